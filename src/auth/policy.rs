//! The policy: which subjects have which roles on which resources. Knows roles and bindings; never a credential, and not the store of the
//! policy.
//!
//! ```json
//! {
//!   "roles": {"oncall": ["read", "override"]},
//!   "bindings": [
//!     {"subjects": ["user:alice", "group:sre"], "role": "editor", "namespace": "shop*", "config": "*", "scope": "/staging"}
//!   ]
//! }
//! ```
//!
//! Permissions only add up: no binding forbids anything. `*` in the names of namespaces, configs and subjects matches any characters; the subject `*` is
//! every caller whose credential is valid. The namespace of the server, `confwatch`, is granted by its full name only, or by `*` on config `*`,
//! which is everything. A scope covers itself and all scopes below: `/staging` does not allow a write at `/`, which changes
//! production too. No field of a binding has a default, so that a forgotten field grants nothing.
//!
//! Reading a target takes `read` at its own scope, and what it inherits comes with it. `Need` has the exceptions: what governs configs,
//! and the namespace of the server itself.

mod binding;
mod decision;
mod grants;
mod parse;
mod pattern;
mod resource;
mod role;
#[cfg(test)]
mod tests;
mod verb;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{Principal, Problem, Subject, SubjectKind};
use crate::model::{Scope, SystemConfig};
use binding::{Binding, SubjectPattern};
use pattern::Pattern;

pub use binding::Lack;
pub use decision::{Allowing, Decision, NearMiss, Outcome};
pub use grants::Grants;
pub use parse::{BINDINGS_MAX, ROLES_MAX, SUBJECTS_MAX};
pub use resource::Resource;
pub use role::BUILT_IN;
pub use verb::{Verb, VerbSet};

/// A compiled policy. Nothing is allowed without a binding.
#[derive(Clone, Debug)]
pub struct Policy {
    id: PolicyId,
    roles: Arc<BTreeMap<String, VerbSet>>,
    bindings: Arc<[Arc<Binding>]>,
}

/// Identifies a policy within this process, so that grants of one policy are not used for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PolicyId(u64);

impl Policy {
    /// Reads a policy, or gives all problems of the document.
    pub fn parse(document: &Value) -> Result<Policy, Vec<Problem>> {
        let (roles, bindings) = parse::parse(document)?;
        Ok(Policy::new(roles, bindings))
    }

    /// A policy that grants everything to everybody, for `--auth off`.
    pub fn unrestricted() -> Policy {
        let everything = Binding {
            index: 0,
            subjects: vec![SubjectPattern::Everybody],
            role: "admin".to_owned(),
            verbs: VerbSet::ALL,
            namespace: Pattern::new("*"),
            config: Pattern::new("*"),
            scope: Scope::global(),
        };
        Policy::new(BTreeMap::new(), vec![everything])
    }

    /// A policy that grants nothing, for a store without a policy.
    pub fn nothing() -> Policy {
        Policy::new(BTreeMap::new(), vec![])
    }

    /// The policy of a new store, which grants everything to one subject.
    pub fn first(administrator: &Subject) -> Value {
        let subjects = [administrator.as_str()];
        let binding = json!({
            "subjects": subjects, "role": "admin", "namespace": "*", "config": "*", "scope": "/"
        });
        json!({"roles": {}, "bindings": [binding]})
    }

    /// The permissions of a principal, for many checks.
    pub fn grants_of(&self, who: &Principal) -> Grants {
        Grants::new(self.id, self.bindings.iter().filter(|binding| binding.is_for(who)).cloned().collect())
    }

    /// Whether a principal has a permission, for one check. Takes no memory.
    pub fn allows(&self, who: &Principal, verb: Verb, resource: &Resource) -> bool {
        let need = resource.need(verb);
        self.bindings.iter().any(|binding| binding.meets(&need) && binding.is_for(who))
    }

    /// Whether the policy lets any subject change it. Whether a caller has a credential of that subject is not known here.
    pub fn has_administrator(&self) -> bool {
        let policy = Resource::Config { id: SystemConfig::Policy.id().clone(), scope: Scope::global() };
        let need = policy.need(Verb::Write);
        self.bindings.iter().any(|binding| binding.meets(&need) && !binding.subjects.is_empty())
    }

    /// Bindings to `admin` whose patterns match the namespace of the server without granting it, as they are written.
    pub fn bindings_missing_reserved(&self) -> Vec<String> {
        let missing = self.bindings.iter().filter(|binding| binding.misses_reserved());
        missing.map(|binding| format!("binding {} ({binding})", binding.index)).collect()
    }

    /// The users and groups that the bindings name, as they are written: patterns too.
    pub fn named_users_and_groups(&self) -> BTreeSet<String> {
        let subjects = self.bindings.iter().flat_map(|binding| &binding.subjects);
        let named = subjects.filter(|subject| match subject {
            SubjectPattern::Everybody => false,
            SubjectPattern::Named { kind, .. } => matches!(kind, SubjectKind::User | SubjectKind::Group),
        });
        named.map(ToString::to_string).collect()
    }

    /// Whether a principal has a permission, and why.
    pub fn decide(&self, who: &Principal, verb: Verb, resource: &Resource) -> Decision {
        Decision::new(&self.bindings, who, verb, resource)
    }

    /// The roles that the policy defines, by name, without those that every policy has.
    pub fn roles(&self) -> impl Iterator<Item = (&str, VerbSet)> {
        self.roles.iter().map(|(name, verbs)| (name.as_str(), *verbs))
    }

    fn new(roles: BTreeMap<String, VerbSet>, bindings: Vec<Binding>) -> Policy {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = PolicyId(NEXT.fetch_add(1, Ordering::Relaxed));
        Policy { id, roles: Arc::new(roles), bindings: bindings.into_iter().map(Arc::new).collect() }
    }
}
