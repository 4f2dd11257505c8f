//! Fills in what a document leaves out and its schema has a `default` for, and checks the defaults themselves: whatever is filled in
//! must satisfy the subschema that it is the default of.

use jsonschema::ValidationError;
use serde_json::{Map, Value, json};

use crate::model::limits::DEPTH_MAX;
use crate::model::pointer::Pointer;
use crate::validate::Found;

use super::bounds::Bounds;
use super::outline::{NodeId, Outline, ROOT};
use super::work::{self, Measure};
use super::{Sources, options, source};

/// Values that one document can be given. A schema whose defaults contain themselves would fill it without end.
const VALUES_MAX: usize = 100_000;
/// A default of which it is known that checking it takes no more steps need not be counted exactly: the bound of each is added up.
const UNCOUNTED_MAX: u64 = 10_000;

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

/// Checks each default of the schema with this URI against its subschema, after what is below it was filled in.
pub(super) fn check(
    outline: &Outline,
    leads: &[bool],
    bounds: &Bounds,
    sources: &Sources,
    own: &str,
) -> Result<(), Vec<Found>> {
    let own_nodes = outline.nodes.iter().enumerate().filter(|(_, node)| *node.place.document == *own);
    let (mut references, mut values, mut found, mut steps) = (Map::new(), Map::new(), Vec::new(), 0_u64);
    for (id, node) in own_nodes {
        let Some(default) = &node.default else { continue };
        let place = format!("{}/default", node.place.pointer);
        let mut value = default.clone();
        let filled = Filling { outline, leads, added: 0 }.below(&mut value, &[id], 1);
        if let Err(too_large) = filled {
            found.push(wrong(&place, format!("cannot be filled in: {too_large}")));
            continue;
        }
        steps =
            steps.saturating_add(work::count(outline, bounds, id, &value, (Measure::Steps, UNCOUNTED_MAX)));
        if steps > work::STEPS_MAX {
            return Err(vec![super::too_costly(&place)]);
        }
        references.insert(id.to_string(), json!({"$ref": node.place.uri()}));
        values.insert(id.to_string(), value);
    }
    if !values.is_empty() {
        // One validator for all of them: each that is compiled reads all sources.
        let schema = json!({ "properties": references });
        let failed = |error: ValidationError| {
            vec![source::error("SCHEMA_INVALID", "", error.masked().to_string(), "")]
        };
        let validator = options(sources).build(&schema).map_err(failed)?;
        let mut told = Vec::new();
        for error in validator.iter_errors(&Value::Object(values)) {
            let path = error.instance_path().as_str().trim_start_matches('/');
            let (id, below) = path.split_once('/').unwrap_or((path, ""));
            let Some(node) = id.parse::<NodeId>().ok().and_then(|id| outline.nodes.get(id)) else { continue };
            if told.contains(&id.to_owned()) || found.len() > 100 {
                continue;
            }
            told.push(id.to_owned());
            let within = if below.is_empty() { String::new() } else { format!(", at /{below} in it,") };
            let keyword = error.schema_path().as_str().rsplit('/').next().unwrap_or_default().to_owned();
            let message =
                format!("does not satisfy the subschema that it is the default of{within} by {keyword:?}");
            found.push(wrong(&format!("{}/default", node.place.pointer), message));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn wrong(place: &str, message: String) -> Found {
    let pointer = Pointer::parse(place).map(|pointer| pointer.to_string()).unwrap_or_default();
    let advice = "write a default that is valid, for it is delivered with apply_defaults";
    source::error("SCHEMA_DEFAULT", &pointer, message, advice)
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
