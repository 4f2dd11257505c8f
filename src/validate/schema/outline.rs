//! The structure of a schema with references resolved: the subschemas of a value, and those of its members. Knows no values; does not
//! decide whether one is valid.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::pattern::SchemaPattern;

mod build;
mod builder;
mod keywords;

pub(super) use build::build;

/// A subschema in the outline.
pub(super) type NodeId = usize;

/// The schema itself.
pub(super) const ROOT: NodeId = 0;

/// The subschemas of a schema and of those that it refers to, as a graph. The root is the first.
pub(super) struct Outline {
    pub(super) nodes: Vec<Node>,
    /// By base URI and pointer: how violations name their place.
    by_location: HashMap<(Arc<str>, String), NodeId>,
    /// The compiled size of all regular expressions, at most.
    pub(super) patterns_size: usize,
}

/// One subschema.
#[derive(Default)]
pub(super) struct Node {
    pub(super) place: SubschemaLocation,
    /// Of `true` and `false`.
    pub(super) verdict: Option<bool>,
    /// Apply to the same value, always: `$ref`, `allOf`.
    pub(super) refers: Vec<NodeId>,
    /// Apply to the same value, perhaps: what `$dynamicRef` can lead to instead of what `refers` says.
    pub(super) dynamic: Vec<NodeId>,
    /// Apply to the same value, under a condition.
    pub(super) branches: Vec<Branch>,
    pub(super) properties: BTreeMap<String, NodeId>,
    pub(super) patterns: Vec<(Arc<SchemaPattern>, NodeId)>,
    /// `additionalProperties`: members that neither of the two above names.
    pub(super) additional: Option<NodeId>,
    pub(super) unevaluated_properties: Option<NodeId>,
    /// `propertyNames`.
    pub(super) names: Option<NodeId>,
    /// `prefixItems`, or `items` as a list.
    pub(super) first_items: Vec<NodeId>,
    /// Elements after those.
    pub(super) items: Option<NodeId>,
    pub(super) contains: Option<NodeId>,
    pub(super) unevaluated_items: Option<NodeId>,
    /// `type` leaves objects out.
    pub(super) forbids_objects: bool,
    /// `type` leaves arrays out.
    pub(super) forbids_arrays: bool,
    pub(super) default: Option<Value>,
    pub(super) notes: Notes,
    pub(super) weight: Weight,
}

/// A subschema that applies under a condition.
pub(super) struct Branch {
    pub(super) when: When,
    pub(super) node: NodeId,
}

/// When a branch applies, and its annotations count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// `anyOf` and `oneOf`: if the value is valid under it.
    Valid,
    /// `if`: the same, but nothing follows for the value if it is not.
    If,
    /// `then`, with the node of its `if`.
    Then(NodeId),
    /// `else`, with the node of its `if`.
    Else(NodeId),
    /// `dependentSchemas`: if the value has this member.
    Has(String),
    /// `not`: it has no say.
    Never,
}

/// What is said about a value, beside what makes it valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    pub(super) secret: bool,
    /// With what to do instead, or nothing.
    pub(super) deprecated: Option<String>,
    pub(super) restart_required: bool,
    pub(super) owner: Option<String>,
}

/// What checking a value costs, without the subschemas, in steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    /// Any value.
    pub(super) value: u64,
    /// Each 16 bytes of a text.
    pub(super) text: u64,
    /// Each 16 bytes of each name of a member.
    pub(super) name: u64,
    /// An object, beside what any value costs.
    pub(super) object: u64,
    /// Each value and 16 bytes of text within an array, however deep.
    pub(super) within: u64,
}

/// Where a subschema is.
#[derive(Clone, Debug, Default)]
pub(super) struct SubschemaLocation {
    /// The URI of its document.
    pub(super) document: Arc<str>,
    pub(super) pointer: String,
    /// The URI of the innermost `$id` around it, and how much of the pointer leads there.
    base: Arc<str>,
    base_bytes: usize,
}

impl Outline {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The subschema at a place, given by base URI and pointer.
    pub(super) fn find(&self, base: &str, pointer: &str) -> Option<NodeId> {
        self.by_location.get(&(base.into(), pointer.to_owned())).copied()
    }

    /// The subschemas that apply to the same value whenever this one does, itself first.
    pub(super) fn always(&self, node: NodeId) -> Vec<NodeId> {
        self.closure(&[node], |node, next| next.extend(&node.refers))
    }

    /// The subschemas that apply or may apply to the same value, itself first. Not what `not` has.
    pub(super) fn perhaps(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        self.closure(nodes, |node, next| {
            next.extend(node.refers.iter().chain(&node.dynamic));
            next.extend(
                node.branches.iter().filter(|branch| branch.when != When::Never).map(|branch| branch.node),
            );
        })
    }

    /// For each subschema, whether one that `is_goal` can be reached from it.
    pub(super) fn leading(&self, is_goal: impl Fn(&Node) -> bool) -> Vec<bool> {
        let mut before: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        let mut leads = vec![false; self.nodes.len()];
        let mut rest = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            node.in_place().chain(node.below()).for_each(|next| before[next].push(id));
            if is_goal(node) {
                leads[id] = true;
                rest.push(id);
            }
        }
        while let Some(id) = rest.pop() {
            for earlier in &before[id] {
                if !std::mem::replace(&mut leads[*earlier], true) {
                    rest.push(*earlier);
                }
            }
        }
        leads
    }

    fn closure(&self, nodes: &[NodeId], more: impl Fn(&Node, &mut Vec<NodeId>)) -> Vec<NodeId> {
        let mut reached: Vec<NodeId> = Vec::new();
        let mut next: Vec<NodeId> = nodes.to_vec();
        let mut at = 0;
        let mut seen = std::collections::HashSet::new();
        while let Some(id) = next.get(at).copied() {
            at += 1;
            if seen.insert(id) {
                reached.push(id);
                more(&self.nodes[id], &mut next);
            }
        }
        reached
    }
}

impl Node {
    /// The subschemas that this one has for a member.
    pub(super) fn of_member(&self, name: &str) -> impl Iterator<Item = NodeId> {
        let named = self.properties.get(name).copied();
        let matched: Vec<NodeId> = self
            .patterns
            .iter()
            .filter(|(pattern, _)| pattern.matches(name))
            .map(|(_, node)| *node)
            .collect();
        let other = self.additional.filter(|_| named.is_none() && matched.is_empty());
        named.into_iter().chain(matched).chain(other).chain(self.unevaluated_properties)
    }

    /// The subschemas that this one has for an element, `contains` among them.
    pub(super) fn of_element(&self, at: usize) -> impl Iterator<Item = NodeId> {
        let in_place = self.first_items.get(at).copied().or(self.items);
        in_place.into_iter().chain(self.contains).chain(self.unevaluated_items)
    }

    /// The subschemas that apply or may apply to the same value.
    pub(super) fn in_place(&self) -> impl Iterator<Item = NodeId> {
        self.refers.iter().chain(&self.dynamic).copied().chain(self.branches.iter().map(|branch| branch.node))
    }

    /// All subschemas for what is below the value.
    pub(super) fn below(&self) -> impl Iterator<Item = NodeId> {
        let named = self.properties.values().copied().chain(self.patterns.iter().map(|(_, node)| *node));
        let others =
            [self.additional, self.unevaluated_properties, self.items, self.contains, self.unevaluated_items];
        named.chain(self.first_items.iter().copied()).chain(others.into_iter().flatten())
    }
}

impl SubschemaLocation {
    /// The URI of the innermost `$id` around it, or that of the document.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A reference that leads here from anywhere.
    pub(super) fn uri(&self) -> String {
        let pointer =
            percent_encoding::utf8_percent_encode(&self.pointer, percent_encoding::NON_ALPHANUMERIC);
        format!("{}#{}", self.document, pointer.to_string().replace("%2F", "/"))
    }
}

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        *self == Notes::default()
    }
}
