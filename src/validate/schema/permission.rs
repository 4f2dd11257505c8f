//! Decides whether a valid document can have a field at a path. Knows the outline only; if it is not sure, the answer is `Unknown`.

use std::collections::HashMap;

use super::outline::{NodeId, Outline, ROOT, When};

/// Whether a document that satisfies a schema can have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// It cannot: a rule that reads it never finds it.
    No,
    /// The schema does not name it, and does not forbid it.
    Unknown,
    /// The schema names it.
    Yes,
}

pub(super) fn of(outline: &Outline, path: &[&str]) -> Permission {
    Asking { outline, path, known: HashMap::new() }.node(ROOT, 0)
}

struct Asking<'a> {
    outline: &'a Outline,
    path: &'a [&'a str],
    /// For a subschema, the field at the rest of the path from this index on.
    known: HashMap<(NodeId, usize), Permission>,
}

impl Asking<'_> {
    fn node(&mut self, id: NodeId, at: usize) -> Permission {
        if let Some(known) = self.known.get(&(id, at)) {
            return *known;
        }
        // The way back of a dynamic reference says nothing new.
        self.known.insert((id, at), Permission::Unknown);
        let permission = self.in_place(id, at);
        self.known.insert((id, at), permission);
        permission
    }

    /// All that always applies must allow it, and of alternatives one.
    fn in_place(&mut self, id: NodeId, at: usize) -> Permission {
        let outline = self.outline;
        let node = outline.node(id);
        let mut all = vec![self.own(id, at)];
        if node.dynamic.is_empty() {
            all.extend(node.refers.iter().map(|inner| self.node(*inner, at)));
        }
        let mut alternatives = Vec::new();
        let mut said = Vec::new();
        for branch in &node.branches {
            match branch.when {
                When::Valid => alternatives.push(self.node(branch.node, at)),
                When::If | When::Then(_) | When::Else(_) | When::Has(_) => {
                    said.push(self.node(branch.node, at))
                }
                When::Never => {}
            }
        }
        all.extend(alternatives.iter().max());
        said.extend(alternatives);
        match all.iter().min() {
            Some(Permission::No) => Permission::No,
            _ if all.iter().chain(&said).any(|one| *one == Permission::Yes) => Permission::Yes,
            _ => Permission::Unknown,
        }
    }

    /// What a subschema says by itself.
    fn own(&mut self, id: NodeId, at: usize) -> Permission {
        let outline = self.outline;
        let node = outline.node(id);
        match node.verdict {
            Some(false) => return Permission::No,
            Some(true) => return Permission::Unknown,
            None => {}
        }
        let Some(name) = self.path.get(at) else { return Permission::Unknown };
        if name.parse::<usize>().is_ok() && !node.forbids_arrays {
            // An element of a list, by what the caller means.
            return Permission::Unknown;
        }
        if node.forbids_objects {
            return Permission::No;
        }
        let is_named = node.properties.contains_key(*name);
        let matched = node.patterns.iter().any(|(pattern, _)| pattern.matches(name));
        let mut answers = Vec::new();
        for inner in
            node.properties.get(*name).copied().into_iter().chain(
                node.patterns.iter().filter(|(pattern, _)| pattern.matches(name)).map(|(_, inner)| *inner),
            )
        {
            answers.push(self.node(inner, at + 1));
        }
        if !is_named && !matched {
            match (node.additional, node.unevaluated_properties) {
                (Some(additional), _) => answers.push(self.node(additional, at + 1)),
                (None, Some(others)) if !self.is_evaluated(id, name) => {
                    answers.push(self.node(others, at + 1))
                }
                (None, _) => {}
            }
        }
        match answers.iter().min() {
            Some(Permission::No) => Permission::No,
            // Named, and all that is asked of it is allowed.
            Some(_) if is_named && self.is_declared(id, at) => Permission::Yes,
            Some(least) => *least,
            None => Permission::Unknown,
        }
    }

    /// The last name of the path is named here, or the rest of it further below.
    fn is_declared(&mut self, id: NodeId, at: usize) -> bool {
        let name = self.path[at];
        let inner = self.outline.node(id).properties[name];
        at + 1 == self.path.len() || self.node(inner, at + 1) == Permission::Yes
    }

    /// Some subschema for the same value may have evaluated the property.
    fn is_evaluated(&self, id: NodeId, name: &str) -> bool {
        self.outline.perhaps(&[id]).into_iter().map(|id| self.outline.node(id)).any(|node| {
            node.properties.contains_key(name)
                || node.additional.is_some()
                || node.patterns.iter().any(|(pattern, _)| pattern.matches(name))
                || !node.dynamic.is_empty()
        }) || self
            .outline
            .perhaps(&[id])
            .into_iter()
            .skip(1)
            .any(|id| self.outline.node(id).unevaluated_properties.is_some())
    }
}
