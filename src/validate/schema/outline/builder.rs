//! The outline while it is made: its subschemas, and the references that are still to be followed. Knows no keyword.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Draft;
use referencing::Resolver;
use serde_json::Value;

use super::super::pattern::{SIZE_MAX, SIZE_TOGETHER_MAX, SchemaPattern};
use super::super::source::error;
use super::{Node, NodeId, Outline, SubschemaLocation};
use crate::model::pointer::Pointer;
use crate::validate::Found;

/// A reference to follow.
pub(super) struct Reference {
    pub(super) keyword: &'static str,
    pub(super) text: String,
    /// Of a dynamic one, the name by which other subschemas can take the place of its target.
    pub(super) anchor: Option<String>,
}

/// The outline while it is made.
#[derive(Default)]
pub(super) struct Builder<'r> {
    pub(super) own: Arc<str>,
    pub(super) nodes: Vec<Node>,
    /// By the address of their source, which the registry holds still.
    pub(super) by_address: HashMap<*const Value, NodeId>,
    pub(super) by_location: HashMap<(Arc<str>, String), NodeId>,
    pub(super) rest: Vec<Task<'r>>,
    pub(super) references: Vec<(NodeId, Reference, Resolver<'r>)>,
    /// What `$dynamicRef` can find, by name; the empty one is that of `$recursiveAnchor`.
    pub(super) anchors: HashMap<String, Vec<NodeId>>,
    pub(super) patterns: HashMap<String, Result<Arc<SchemaPattern>, &'static str>>,
    /// The compiled size of all of them, those that are too large included.
    pub(super) patterns_size: usize,
    pub(super) found: Vec<Found>,
}

/// A subschema whose keywords were not looked at yet.
pub(super) struct Task<'r> {
    pub(super) node: NodeId,
    pub(super) source: &'r Value,
    pub(super) resolver: Resolver<'r>,
    pub(super) draft: Draft,
}

impl<'r> Builder<'r> {
    /// The node of a subschema; a new one is walked later.
    pub(super) fn add(
        &mut self,
        source: &'r Value,
        resolver: &Resolver<'r>,
        draft: Draft,
        place: SubschemaLocation,
    ) -> NodeId {
        if let Some(node) = self.by_address.get(&std::ptr::from_ref(source)) {
            return *node;
        }
        let node = self.nodes.len();
        self.by_address.insert(source, node);
        self.nodes.push(Node { place, ..Node::default() });
        self.rest.push(Task { node, source, resolver: resolver.clone(), draft });
        node
    }

    /// The node of a subschema of one that is being walked, at the end of a path of tokens.
    pub(super) fn add_below(&mut self, task: &Task<'r>, path: &[&str], source: &'r Value) -> NodeId {
        let mut place = self.nodes[task.node].place.clone();
        for token in path {
            place.pointer.push_str(&Pointer::root().child(token).to_string());
        }
        self.add(source, &task.resolver, task.draft, place)
    }

    pub(super) fn finish(mut self) -> Result<Outline, Vec<Found>> {
        if !self.found.is_empty() {
            self.found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
            return Err(self.found);
        }
        let patterns_size = self.patterns_size;
        Ok(Outline { nodes: self.nodes, by_location: self.by_location, patterns_size })
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node]
    }

    pub(super) fn refer(&mut self, task: &Task<'r>, reference: Reference) {
        self.references.push((task.node, reference, task.resolver.clone()));
    }

    pub(super) fn anchor(&mut self, name: &str, node: NodeId) {
        self.anchors.entry(name.to_owned()).or_default().push(node);
    }

    /// Compiles an expression, once for all its places.
    pub(super) fn pattern(&mut self, node: NodeId, keyword: &str, text: &str) -> Option<Arc<SchemaPattern>> {
        let size = &mut self.patterns_size;
        let compile = || {
            if *size > SIZE_TOGETHER_MAX {
                return Err("is one too many: all expressions together are too large when compiled");
            }
            let compiled = SchemaPattern::compile(text);
            *size += compiled.as_ref().map_or(SIZE_MAX, |pattern| pattern.size);
            compiled.map(Arc::new)
        };
        match self.patterns.entry(text.to_owned()).or_insert_with(compile).clone() {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                self.flaw(node, "SCHEMA_REGEX", keyword, format!("the regular expression {text:?} {why}"));
                None
            }
        }
    }

    /// Something is wrong with a keyword of a subschema.
    pub(super) fn flaw(&mut self, node: NodeId, code: &'static str, keyword: &str, message: String) {
        let place = self.nodes[node].place.clone();
        let pointer = format!("{}{}", place.pointer, Pointer::root().child(keyword));
        self.report(&place, error(code, &pointer, message, ""));
    }

    /// Of another schema, the place is told in words: the pointer is one into the schema that is put.
    pub(super) fn report(&mut self, place: &SubschemaLocation, mut found: Found) {
        if place.document != self.own {
            found.message = format!("in {}#{}: {}", place.document, found.pointer, found.message);
            found.pointer.clear();
        }
        self.found.push(found);
    }
}
