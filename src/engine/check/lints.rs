//! Runs lints on a config at many scopes: an inherited finding is reported at the scope of its layer and not computed again. Knows which
//! scopes are checked, and no lint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::model::Scope;
use crate::validate::{Contract, Found, FoundList};

use crate::engine::read::documents::{Documents, masked};

/// Looks at scopes. Quick if they come in their order.
pub(in crate::engine) struct Lints<'a> {
    contract: &'a Contract,
    /// All that are looked at, be it by others.
    scopes: BTreeMap<&'a str, &'a Scope>,
    /// What was found at the scopes above the last one, from the top.
    way: Vec<(&'a Scope, Vec<Found>)>,
}

impl<'a> Lints<'a> {
    pub fn new(contract: &'a Contract, scopes: &BTreeSet<&'a Scope>) -> Lints<'a> {
        Lints { contract, scopes: scopes.iter().map(|scope| (scope.as_str(), *scope)).collect(), way: vec![] }
    }

    /// What is found at a scope and is not inherited from another. A secret is what it is meant to be: nothing is found there.
    pub fn new_at(
        &mut self,
        scope: &'a Scope,
        document: Arc<Value>,
        documents: &mut Documents<'_>,
    ) -> FoundList {
        let document = &*masked(document, documents.secrets(), &Value::Null);
        let Some(above) = self.nearest_above(scope) else {
            let found = self.contract.lint(scope, document);
            self.way = vec![(scope, found.kept().to_vec())];
            return found;
        };
        self.go_to(above, documents);
        let (_, inherited) = self.way.last().expect("it was put there");
        let layers = documents.masked_layers_at(scope);
        let all = self.contract.lint_below((above, inherited), &layers, (scope, document)).into_kept();
        let mut new = FoundList::default();
        for found in all.iter().filter(|found| !inherited.contains(found)) {
            new.add(found.severity, || found.clone());
        }
        self.way.push((scope, all));
        new
    }

    /// Has what is found at a scope at the end of the way: another may have looked at it, or it was long ago.
    fn go_to(&mut self, scope: &'a Scope, documents: &mut Documents<'_>) {
        while self.way.last().is_some_and(|(last, _)| !last.contains(scope)) {
            self.way.pop();
        }
        if self.way.last().is_none_or(|(last, _)| *last != scope) {
            let document = documents.effective(scope).unwrap_or_default();
            let document = masked(document, documents.secrets(), &Value::Null);
            self.way.push((scope, self.contract.lint(scope, &document).into_kept()));
        }
    }

    /// The first of the scopes on the way up.
    fn nearest_above(&self, scope: &Scope) -> Option<&'a Scope> {
        let mut paths: Vec<&str> = scope.lineage_paths().collect();
        paths.pop();
        paths.into_iter().rev().find_map(|path| self.scopes.get(path).copied())
    }
}
