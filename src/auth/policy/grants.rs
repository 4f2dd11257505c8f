//! The permissions of one caller: the bindings of a policy that name the caller, so that a check reads few bindings. Knows no subjects.

use std::sync::Arc;

use super::binding::Binding;
use super::resource::{Need, Resource};
use super::verb::{Verb, VerbSet};
use super::{Policy, PolicyId};
use crate::model::{ConfigName, Namespace, Scope};

/// The part of a policy that concerns one caller.
#[derive(Clone, Debug)]
pub struct Grants {
    policy: PolicyId,
    /// The verbs of all its bindings: most refusals need no look at a binding.
    verbs: VerbSet,
    bindings: Box<[Arc<Binding>]>,
}

impl Grants {
    pub(super) fn new(policy: PolicyId, bindings: Box<[Arc<Binding>]>) -> Grants {
        let verbs = bindings.iter().fold(VerbSet::default(), |all, binding| all.union(binding.verbs));
        Grants { policy, verbs, bindings }
    }

    /// Whether these grants were made from that policy.
    pub fn are_of(&self, policy: &Policy) -> bool {
        self.policy == policy.id
    }

    /// Whether the caller has the permission. Takes no memory.
    pub fn allows(&self, verb: Verb, resource: &Resource) -> bool {
        self.meets(&resource.need(verb))
    }

    /// The same for a config at a scope, without making a resource of it.
    pub fn allows_config(
        &self,
        verb: Verb,
        namespace: &Namespace,
        config: &ConfigName,
        scope: &Scope,
    ) -> bool {
        self.meets(&Need::of(verb, namespace, config, scope))
    }

    /// Whether the caller may read the config at any scope: then lists show its name. A config that governs others is read at `/` only.
    pub fn may_see_config(&self, namespace: &Namespace, config: &ConfigName) -> bool {
        let everywhere = Scope::global();
        let need = Need::of(Verb::Read, namespace, config, &everywhere);
        if need.verb != Verb::Read || !config.is_ordinary() {
            return self.meets(&need);
        }
        self.verbs.contains(need.verb)
            && self
                .bindings
                .iter()
                .any(|binding| binding.verbs.contains(need.verb) && binding.is_about(&need))
    }

    /// Whether the caller may read anything of the namespace.
    pub fn may_see_namespace(&self, namespace: &Namespace) -> bool {
        let need = Resource::Namespace(namespace.clone());
        let verb = need.need(Verb::Read).verb;
        let is_about = |binding: &Arc<Binding>| {
            binding.verbs.contains(verb) && binding.covers_namespace(Some(namespace.as_str()))
        };
        self.verbs.contains(verb) && self.bindings.iter().any(is_about)
    }

    /// Whether the caller may do this to every config of the namespace at this scope.
    pub fn allows_all_of(&self, verb: Verb, namespace: &Namespace, scope: &Scope) -> bool {
        self.meets(&Need::of_all(verb, namespace, scope))
    }

    /// Whether secrets of every config of the namespace are shown to the caller at this scope.
    pub fn reveals_all_of(&self, namespace: &Namespace, scope: &Scope) -> bool {
        self.allows_all_of(Verb::RevealSecret, namespace, scope)
    }

    /// Whether the caller has the permission on any resource.
    pub fn gives(&self, verb: Verb) -> bool {
        self.verbs.contains(verb)
    }

    fn meets(&self, need: &Need<'_>) -> bool {
        self.verbs.contains(need.verb) && self.bindings.iter().any(|binding| binding.meets(need))
    }
}
