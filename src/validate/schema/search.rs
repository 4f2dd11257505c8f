//! Looks for violations in a document that could have too many to hold at once: piece by piece, until enough are found. Knows no
//! keyword; where a value is wrong by itself and not by what is below it, it tells that much only.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::Value;

use crate::model::pointer::Pointer;
use crate::validate::{Found, FoundList, Severity};

use super::message::Teller;
use super::outline::{NodeId, ROOT};
use super::{Schema, VISITS_AT_ONCE_MAX, violation};

pub(super) struct Search<'a> {
    schema: &'a Schema,
    teller: &'a Teller<'a>,
    found: &'a mut FoundList,
    /// Of parts of the schema, made when they are needed. `None` where that was too much, or is not possible.
    validators: HashMap<NodeId, Option<Validator>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(schema: &'a Schema, teller: &'a Teller<'a>, found: &'a mut FoundList) -> Search<'a> {
        Search { schema, teller, found, validators: HashMap::new() }
    }

    pub(super) fn run(&mut self, document: &Value) {
        self.value(document, &[ROOT], &Pointer::root());
    }

    /// Looks in a value that violates one of these subschemas.
    fn value(&mut self, value: &Value, nodes: &[NodeId], pointer: &Pointer) {
        let visits: u64 = nodes.iter().map(|node| self.schema.visits(*node, value)).sum();
        if visits <= VISITS_AT_ONCE_MAX {
            self.tell_all(value, nodes, pointer);
            return;
        }
        let before = (self.found.kept().len(), self.found.dropped(Severity::Error));
        let mut applied: Vec<NodeId> =
            nodes.iter().flat_map(|node| self.schema.outline.always(*node)).collect();
        applied.sort_unstable();
        applied.dedup();
        let schema = self.schema;
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let below: Vec<NodeId> =
                        applied.iter().flat_map(|id| schema.outline.node(*id).of_member(name)).collect();
                    self.below(member, &below, pointer, name);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let below = applied.iter().filter_map(|id| {
                        let node = schema.outline.node(*id);
                        node.first_items.get(at).copied().or(node.items)
                    });
                    let below: Vec<NodeId> = below.collect();
                    if !below.is_empty() {
                        self.below(item, &below, pointer, &at.to_string());
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if before == (self.found.kept().len(), self.found.dropped(Severity::Error)) {
            let pointer = pointer.to_string();
            self.found.add(Severity::Error, || violation(&pointer));
        }
    }

    fn below(&mut self, value: &Value, nodes: &[NodeId], pointer: &Pointer, token: &str) {
        let violated: Vec<NodeId> =
            nodes.iter().copied().filter(|node| self.violates(*node, value)).collect();
        if !violated.is_empty() && !self.found.is_full() {
            self.value(value, &violated, &pointer.child(token));
        }
    }

    fn violates(&mut self, node: NodeId, value: &Value) -> bool {
        self.validator(node).is_some_and(|validator| !validator.is_valid(value))
    }

    fn validator(&mut self, node: NodeId) -> Option<&Validator> {
        let has_room = self.validators.len() < self.schema.sources.parts_max();
        let schema = self.schema;
        let compile = || has_room.then(|| schema.sources.compile(&schema.outline, node).ok()).flatten();
        self.validators.entry(node).or_insert_with(compile).as_ref()
    }

    fn tell_all(&mut self, value: &Value, nodes: &[NodeId], pointer: &Pointer) {
        let outer = self.teller;
        for node in nodes {
            let mut below = FoundList::default();
            let teller = Teller {
                is_secret: &|place| (outer.is_secret)(&format!("{pointer}{place}")),
                names: outer.names,
                may_quote: outer.may_quote,
                code: outer.code,
            };
            if let Some(validator) = self.validator(*node) {
                validator.iter_errors(value).for_each(|error| teller.tell(&error, &mut below));
            }
            for found in below.into_kept() {
                let place = format!("{pointer}{}", found.pointer);
                self.found.add(Severity::Error, || Found { pointer: place, ..found });
            }
        }
    }
}
