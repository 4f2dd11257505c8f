//! Makes an outline: walks the sources, then follows the references. What each keyword means is in `keywords`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use jsonschema::{Draft, Registry, Retrieve, Uri};
use referencing::Resolver;
use serde_json::Value;

use super::super::pattern::{Pattern, SIZE_MAX, SIZE_TOGETHER_MAX};
use super::super::source::{self, error, uri_of};
use super::keywords::{self, Reference};
use super::{Node, NodeId, Outline, Place};
use crate::model::ConfigName;
use crate::model::pointer::Pointer;
use crate::validate::Found;

/// More subschemas are refused. What is made of them later grows with it.
const NODES_MAX: usize = 100_000;

/// Makes the outline of a schema, given the sources of it and of those that it refers to, and all schemas of the namespace, to say
/// what could have been meant.
pub(in super::super) fn build(
    name: &ConfigName,
    sources: &BTreeMap<ConfigName, &Value>,
    known: &BTreeMap<ConfigName, Value>,
) -> Result<Outline, Vec<Found>> {
    let unknown = Unknown::default();
    let mut registry = Registry::new().retriever(Arc::new(unknown.clone()) as Arc<dyn Retrieve>);
    let own_uri = uri_of(name);
    let own = sources[name];
    let place_of = |failure: &referencing::Error| vec![whole_failure(own, failure, known)];
    for (name, source) in sources {
        registry = registry.add(uri_of(name), *source).map_err(|failure| place_of(&failure))?;
    }
    let registry = registry.prepare().map_err(|failure| place_of(&failure))?;
    let mut builder = Builder { own: own_uri.into(), ..Builder::default() };
    for name in std::iter::once(name).chain(sources.keys().filter(|other| *other != name)) {
        let uri: Arc<str> = uri_of(name).into();
        let parsed = jsonschema::uri::from_str(&uri).map_err(|failure| place_of(&failure))?;
        let place = Place { document: Arc::clone(&uri), pointer: String::new(), base: uri, base_bytes: 0 };
        builder.add(sources[name], &registry.resolver(parsed), Draft::default(), place);
        builder.walk();
    }
    builder.follow(&unknown, sources, known);
    builder.finish()
}

/// Says that nothing is there for every URI that is not of the namespace, and remembers it, so that the place of every reference that
/// leads there can be told, and not of the first one only.
#[derive(Clone, Default)]
struct Unknown(Arc<Mutex<HashSet<String>>>);

impl Retrieve for Unknown {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().expect("no holder of the lock panics").insert(uri.as_str().to_owned());
        Ok(Value::Bool(true))
    }
}

impl Unknown {
    fn has(&self, uri: &str) -> bool {
        self.0.lock().expect("no holder of the lock panics").contains(uri)
    }
}

/// The outline while it is made.
#[derive(Default)]
pub(super) struct Builder<'r> {
    own: Arc<str>,
    nodes: Vec<Node>,
    /// By the address of their source, which the registry holds still.
    by_address: HashMap<*const Value, NodeId>,
    by_location: HashMap<(Arc<str>, String), NodeId>,
    rest: Vec<Task<'r>>,
    references: Vec<(NodeId, Reference, Resolver<'r>)>,
    /// What `$dynamicRef` can find, by name; the empty one is that of `$recursiveAnchor`.
    anchors: HashMap<String, Vec<NodeId>>,
    patterns: HashMap<String, Result<Arc<Pattern>, &'static str>>,
    /// The compiled size of all of them, those that are too large included.
    patterns_size: usize,
    found: Vec<Found>,
}

/// A subschema whose keywords were not looked at yet.
pub(super) struct Task<'r> {
    pub(super) node: NodeId,
    source: &'r Value,
    resolver: Resolver<'r>,
    pub(super) draft: Draft,
}

impl<'r> Builder<'r> {
    /// The node of a subschema; a new one is walked later.
    fn add(&mut self, source: &'r Value, resolver: &Resolver<'r>, draft: Draft, place: Place) -> NodeId {
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

    fn walk(&mut self) {
        while let Some(mut task) = self.rest.pop() {
            if self.nodes.len() > NODES_MAX {
                let message = format!("has, with all that it refers to, more than {NODES_MAX} subschemas");
                self.found.push(error("SCHEMA_TOO_LARGE", "", message, "refer to smaller schemas"));
                self.rest.clear();
                return;
            }
            task.draft = match task.draft.detect(task.source) {
                Draft::Unknown => task.draft,
                draft => draft,
            };
            let resource = task.draft.create_resource_ref(task.source);
            if resource.id().is_some_and(|id| !id.starts_with('#')) {
                match task.resolver.in_subresource(resource) {
                    Ok(resolver) => {
                        task.resolver = resolver;
                        let place = &mut self.nodes[task.node].place;
                        place.base = without_fragment(task.resolver.base_uri().as_str()).into();
                        place.base_bytes = place.pointer.len();
                    }
                    Err(failure) => self.flaw(task.node, "SCHEMA_REFERENCE", "$id", failure.to_string()),
                }
            }
            let place = &self.nodes[task.node].place;
            let location = (Arc::clone(&place.base), place.pointer[place.base_bytes..].to_owned());
            self.by_location.entry(location).or_insert(task.node);
            let Task { source, .. } = task;
            match source {
                Value::Bool(verdict) => self.nodes[task.node].verdict = Some(*verdict),
                Value::Object(members) => keywords::read(self, &task, members),
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
        }
    }

    /// Follows the references, and those of what they lead to.
    fn follow(
        &mut self,
        unknown: &Unknown,
        sources: &BTreeMap<ConfigName, &'r Value>,
        known: &BTreeMap<ConfigName, Value>,
    ) {
        while let Some((node, reference, resolver)) = self.references.pop() {
            let text = if reference.text.is_empty() { "#" } else { &reference.text };
            // The registry neither has the meta-schemas nor asks for them.
            let lookup = resolver.lookup(text).or_else(|failure| {
                let base = jsonschema::uri::from_str(without_fragment(text)).map_err(|_| failure)?;
                referencing::SPECIFICATIONS.resolver(base).lookup(text)
            });
            let resolved = match lookup {
                Ok(resolved) if !unknown.has(without_fragment(resolved.resolver().base_uri().as_str())) => {
                    resolved
                }
                Ok(_) | Err(_) => {
                    let place = self.nodes[node].place.clone();
                    let pointer = format!("{}/{}", place.pointer, reference.keyword);
                    self.report(&place, source::missing(&reference.text, &pointer, known));
                    continue;
                }
            };
            let (contents, resolver, draft) = resolved.into_inner();
            let base: Arc<str> = without_fragment(resolver.base_uri().as_str()).into();
            let target = match self.by_address.get(&std::ptr::from_ref(contents)) {
                Some(target) => *target,
                // Below a keyword that has no subschemas, or in a meta-schema.
                None => {
                    let document = sources.keys().map(uri_of).find(|uri| **uri == *base);
                    let pointer = fragment(text).filter(|path| path.starts_with('/')).unwrap_or_default();
                    let document = document.map_or_else(|| Arc::clone(&base), Arc::from);
                    self.add(contents, &resolver, draft, Place { document, pointer, base, base_bytes: 0 })
                }
            };
            self.walk();
            self.nodes[node].refers.push(target);
            if let Some(anchor) = reference.anchor {
                let others = self.anchors.get(&anchor).cloned().unwrap_or_default();
                self.nodes[node].dynamic.extend(others.into_iter().filter(|other| *other != target));
            }
        }
    }

    fn finish(mut self) -> Result<Outline, Vec<Found>> {
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
    pub(super) fn pattern(&mut self, node: NodeId, keyword: &str, text: &str) -> Option<Arc<Pattern>> {
        let size = &mut self.patterns_size;
        let compile = || {
            if *size > SIZE_TOGETHER_MAX {
                return Err("is one too many: all expressions together are too large when compiled");
            }
            let compiled = Pattern::compile(text);
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
    fn report(&mut self, place: &Place, mut found: Found) {
        if place.document != self.own {
            found.message = format!("in {}#{}: {}", place.document, found.pointer, found.message);
            found.pointer.clear();
        }
        self.found.push(found);
    }
}

fn without_fragment(uri: &str) -> &str {
    uri.split('#').next().unwrap_or(uri)
}

fn fragment(reference: &str) -> Option<String> {
    let (_, fragment) = reference.split_once('#')?;
    percent_encoding::percent_decode_str(fragment).decode_utf8().ok().map(|text| text.into_owned())
}

/// What fails before any place is known: a URI that is none, or that cannot be relative here.
fn whole_failure(own: &Value, failure: &referencing::Error, known: &BTreeMap<ConfigName, Value>) -> Found {
    let text = failure.to_string();
    let is_named = |uri: &str| !uri.is_empty() && text.contains(uri);
    let mut found = None;
    for keyword in ["$ref", "$dynamicRef", "$id", "id"] {
        source::each_text(own, keyword, &mut |pointer, uri| {
            if found.is_none() && is_named(uri) {
                found = Some(match keyword {
                    "$ref" | "$dynamicRef" => source::missing(uri, &pointer.to_string(), known),
                    _ => error("SCHEMA_REFERENCE", &pointer.to_string(), text.clone(), ""),
                });
            }
        });
    }
    found.unwrap_or_else(|| error("SCHEMA_REFERENCE", "", text, ""))
}
