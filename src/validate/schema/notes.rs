//! Collects the notes of a schema about values: secret, deprecated, and so on. Knows no violations. Only subschemas that lead to such a
//! note are visited, so a schema without any costs nothing.

use std::collections::{BTreeSet, HashMap};

use jsonschema::Validator;
use serde_json::Value;

use crate::model::pointer::Pointer;

use super::outline::{Branch, NodeId, Outline, ROOT, When};

/// Where the notes of a schema are, and the validators of the conditions on the way to them.
pub(super) struct Notes {
    /// Whether a subschema leads to a note, by itself or through others.
    leads: Vec<bool>,
    leads_to_secret: Vec<bool>,
    pub(super) has_deprecated: bool,
    /// Of `anyOf`, `oneOf` and `if`, on the way to notes that are not about secrets.
    pub(super) conditions: HashMap<NodeId, Validator>,
}

/// What is said of one value by all subschemas that apply to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// With what to do instead, or nothing.
    pub deprecated: Option<String>,
    /// A change of it takes effect after a restart only.
    pub restart_required: bool,
    /// Who answers for it.
    pub owner: Option<String>,
}

impl Annotations {
    fn is_empty(&self) -> bool {
        *self == Annotations::default()
    }
}

impl Notes {
    /// Finds the notes of a schema. Their conditions are compiled later, when it is known how many there are.
    pub(super) fn of(outline: &Outline) -> Notes {
        let leads = outline.leading(|node| !node.notes.is_empty());
        let leads_to_secret = outline.leading(|node| node.notes.secret);
        let has_deprecated = leads[ROOT] && outline.nodes.iter().any(|node| node.notes.deprecated.is_some());
        Notes { leads, leads_to_secret, has_deprecated, conditions: HashMap::new() }
    }

    /// Whether any place is marked as secret.
    pub(super) fn lead_to_secret(&self) -> bool {
        self.leads_to_secret[ROOT]
    }

    /// The subschemas that decide whether a note that is not about secrets applies.
    pub(super) fn conditions(&self, outline: &Outline) -> BTreeSet<NodeId> {
        let leads_to_other = outline.leading(|node| {
            node.notes.deprecated.is_some() || node.notes.restart_required || node.notes.owner.is_some()
        });
        let branches = outline.nodes.iter().flat_map(|node| &node.branches);
        let on_the_way = branches.filter(|branch| leads_to_other[branch.node]);
        on_the_way
            .filter_map(|branch| match &branch.when {
                When::Valid | When::If => Some(branch.node),
                When::Then(condition) | When::Else(condition) => Some(*condition),
                When::Has(_) | When::Never => None,
            })
            .collect()
    }

    /// The places of secrets; all that is below one is secret as well. Every branch counts, also one that does not apply: rather too
    /// much is hidden than too little.
    pub(super) fn secrets(&self, outline: &Outline, document: &Value) -> BTreeSet<String> {
        let mut secrets = BTreeSet::new();
        let mut walk = |pointer: &str, nodes: &[NodeId]| {
            let is_secret = nodes.iter().any(|id| outline.node(*id).notes.secret);
            if is_secret {
                secrets.insert(pointer.to_owned());
            }
            !is_secret
        };
        let applied = |nodes: &[NodeId], _: &Value| outline.perhaps(nodes);
        let leads = &self.leads_to_secret;
        NotesWalk { outline, leads, applied: &applied, visit: &mut walk }.start(document);
        secrets
    }

    /// What is said of each value, by pointer: without the texts of subschemas that may not be quoted.
    pub(super) fn each(
        &self,
        outline: &Outline,
        document: &Value,
        may_quote: &dyn Fn(NodeId) -> bool,
    ) -> Vec<(String, Annotations)> {
        let mut all = Vec::new();
        let mut visit = |pointer: &str, nodes: &[NodeId]| {
            let mut said = Annotations::default();
            for id in nodes {
                let notes = &outline.node(*id).notes;
                let advice = || match notes.deprecated.as_ref()? {
                    advice if may_quote(*id) => Some(advice.clone()),
                    _ => Some(String::new()),
                };
                said.deprecated = said.deprecated.or_else(advice);
                said.restart_required |= notes.restart_required;
                said.owner = said.owner.or_else(|| notes.owner.clone());
            }
            if !said.is_empty() {
                all.push((pointer.to_owned(), said));
            }
            true
        };
        let applied = |nodes: &[NodeId], value: &Value| self.applied(outline, nodes, value);
        NotesWalk { outline, leads: &self.leads, applied: &applied, visit: &mut visit }.start(document);
        all
    }

    /// The subschemas that do apply to a value.
    fn applied(&self, outline: &Outline, nodes: &[NodeId], value: &Value) -> Vec<NodeId> {
        let mut applied: Vec<NodeId> = Vec::new();
        let mut rest = nodes.to_vec();
        while let Some(id) = rest.pop() {
            if !self.leads[id] || applied.contains(&id) {
                continue;
            }
            applied.push(id);
            let node = outline.node(id);
            rest.extend(node.refers.iter().chain(&node.dynamic));
            rest.extend(
                node.branches.iter().filter(|branch| self.holds(branch, value)).map(|branch| branch.node),
            );
        }
        applied.sort_unstable();
        applied
    }

    fn holds(&self, branch: &Branch, value: &Value) -> bool {
        let is_valid =
            |condition: &NodeId| self.conditions.get(condition).map(|validator| validator.is_valid(value));
        match &branch.when {
            When::Valid | When::If => is_valid(&branch.node) == Some(true),
            When::Then(condition) => is_valid(condition) == Some(true),
            When::Else(condition) => is_valid(condition) == Some(false),
            When::Has(name) => value.get(name).is_some(),
            When::Never => false,
        }
    }
}

/// Visits the values of a document together with the subschemas that apply to them.
struct NotesWalk<'a, 'v> {
    outline: &'a Outline,
    /// Others are left out.
    leads: &'a [bool],
    /// All that applies to a value, given those that do by its place.
    applied: &'a dyn Fn(&[NodeId], &Value) -> Vec<NodeId>,
    /// Says whether to go on below.
    visit: &'v mut dyn FnMut(&str, &[NodeId]) -> bool,
}

impl NotesWalk<'_, '_> {
    fn start(&mut self, document: &Value) {
        if self.leads[ROOT] {
            self.value(document, &[ROOT], &mut String::new());
        }
    }

    /// Recurses as deep as documents may be nested.
    fn value(&mut self, value: &Value, nodes: &[NodeId], pointer: &mut String) {
        let applied = (self.applied)(nodes, value);
        if !(self.visit)(pointer, &applied) {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let nodes = applied.iter().flat_map(|id| self.outline.node(*id).of_member(name));
                    let nodes: Vec<NodeId> = nodes.filter(|id| self.leads[*id]).collect();
                    self.below(member, &nodes, name, pointer);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let nodes = applied.iter().flat_map(|id| self.outline.node(*id).of_element(at));
                    let nodes: Vec<NodeId> = nodes.filter(|id| self.leads[*id]).collect();
                    if !nodes.is_empty() {
                        self.below(item, &nodes, &at.to_string(), pointer);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn below(&mut self, value: &Value, nodes: &[NodeId], token: &str, pointer: &mut String) {
        if nodes.is_empty() {
            return;
        }
        let end = pointer.len();
        pointer.push_str(&Pointer::root().child(token).to_string());
        self.value(value, nodes, pointer);
        pointer.truncate(end);
    }
}
