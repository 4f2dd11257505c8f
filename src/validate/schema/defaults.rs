//! Fills in what a document leaves out and its schema has a `default` for. Knows no violations.

use serde_json::Value;

use crate::model::limits::DEPTH_MAX;

use super::outline::{NodeId, Outline, ROOT};

/// Values that one document can be given. A schema whose defaults contain themselves would fill it without end.
const VALUES_MAX: usize = 100_000;

/// Why a document could not be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the default values of the schema would add more than {VALUES_MAX} values, or nest deeper than {DEPTH_MAX} levels"
)]
pub struct DefaultsTooLarge;

/// `leads` says of each subschema whether one with a default can be reached from it; others are left out.
pub(super) fn fill(outline: &Outline, leads: &[bool], document: &mut Value) -> Result<(), DefaultsTooLarge> {
    Filling { outline, leads, added: 0 }.below(document, &[ROOT], 0)
}

struct Filling<'a> {
    outline: &'a Outline,
    leads: &'a [bool],
    added: usize,
}

impl Filling<'_> {
    /// Fills a value to which these subschemas apply. Recurses as deep as documents may be nested.
    fn value(&mut self, value: &mut Value, nodes: &[NodeId], depth: usize) -> Result<(), DefaultsTooLarge> {
        let outline = self.outline;
        let applied = self.always(nodes);
        match value {
            Value::Object(members) => {
                for id in &applied {
                    for (name, property) in &outline.node(*id).properties {
                        if !members.contains_key(name)
                            && let Some(default) = default_of(outline, *property)
                        {
                            self.added += count(default);
                            if self.added > VALUES_MAX
                                || depth + 1 + crate::model::depth::depth(default) > DEPTH_MAX
                            {
                                return Err(DefaultsTooLarge);
                            }
                            members.insert(name.clone(), default.clone());
                        }
                    }
                }
                for (name, member) in members {
                    let nodes: Vec<NodeId> =
                        applied.iter().flat_map(|id| self.outline.node(*id).of_member(name)).collect();
                    self.below(member, &nodes, depth + 1)?;
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    let place = applied.iter().filter_map(|id| {
                        let node = self.outline.node(*id);
                        node.first_items.get(at).copied().or(node.items)
                    });
                    let nodes: Vec<NodeId> = place.collect();
                    self.below(item, &nodes, depth + 1)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn below(&mut self, value: &mut Value, nodes: &[NodeId], depth: usize) -> Result<(), DefaultsTooLarge> {
        match nodes.iter().any(|node| self.leads[*node]) {
            true => self.value(value, nodes, depth),
            false => Ok(()),
        }
    }

    /// All that applies without a condition.
    fn always(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let mut applied: Vec<NodeId> = Vec::new();
        for id in nodes.iter().flat_map(|id| self.outline.always(*id)) {
            if !applied.contains(&id) {
                applied.push(id);
            }
        }
        applied
    }
}

/// The nearest `default`: that beside a `$ref` comes before that of its target.
fn default_of(outline: &Outline, node: NodeId) -> Option<&Value> {
    outline.always(node).into_iter().find_map(|id| outline.nodes[id].default.as_ref())
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
