//! Proof that a caller may do what they are about to do. Knows what was decided, not how.
//!
//! A handler takes a permit instead of names from a request, and does what the permit says to what the permit names:
//!
//! ```text
//! let permit = access.permit(Verb::Write, Resource::Config { id, scope })?;    // in the one place that decodes requests
//! engine.set(permit, change)                                                   // cannot be called without
//! ```
//!
//! Nothing but `Access` makes one, so that a handler that forgets to ask does not compile. A permit says what held when it was made:
//! who holds one for longer than a call, as a stream does, asks again (`Permit::renewed`) whenever the policy or the credentials change.

use std::sync::Arc;

use super::Access;
use crate::auth::{Caller, Grants, Resource, Verb};
use crate::model::{ConfigId, ConfigName, Namespace, Scope};

/// One caller may do one thing to one resource.
#[derive(Clone, Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    verb: Verb,
    resource: Resource,
}

/// One caller may do all of these things: what a call with many targets takes.
#[derive(Clone, Debug)]
pub struct Permits {
    caller: Arc<Caller>,
    items: Vec<(Verb, Resource)>,
}

/// What one caller may see of a list: everybody may ask for one, and gets what they may read. A handler that lists takes this, and
/// asks it for each item.
#[derive(Clone, Debug)]
pub struct Sight {
    caller: Arc<Caller>,
    grants: Arc<Grants>,
    /// The caller wants no secret in clear text, whatever the policy allows.
    masks_secrets: bool,
}

/// The caller may not. Says nothing of the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{actor} may not {verb} {resource}{}", self.taken())]
pub struct Denied {
    pub actor: Arc<str>,
    pub verb: Verb,
    pub resource: Resource,
    /// Why they wanted it, as they said. Empty: they did not.
    pub reason: String,
}

impl Denied {
    /// The permission that it takes, where that is another one: what governs configs takes `schema` on them, and what the server reads `admin`.
    fn taken(&self) -> String {
        let need = self.resource.need(self.verb);
        match need.verb == self.verb {
            true => String::new(),
            false => format!(": it takes {need}"),
        }
    }

    /// The same, of somebody who gave a reason.
    pub fn wanted_because(self, reason: &str) -> Denied {
        Denied { reason: reason.to_owned(), ..self }
    }
}

impl Permit {
    /// Only for `Access`, after it was decided.
    pub(super) fn new(caller: Arc<Caller>, verb: Verb, resource: Resource) -> Permit {
        Permit { caller, verb, resource }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub fn verb(&self) -> Verb {
        self.verb
    }

    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What it was for, to be moved on.
    pub fn into_resource(self) -> Resource {
        self.resource
    }

    /// The same under another policy or credential, if that allows it too.
    pub fn renewed(self, access: &Access) -> Result<Permit, Denied> {
        access.permit(self.verb, self.resource)
    }
}

impl Permits {
    /// Only for `Access`, after each was decided.
    pub(super) fn new(caller: Arc<Caller>, items: Vec<(Verb, Resource)>) -> Permits {
        Permits { caller, items }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// In the order in which they were asked for.
    pub fn items(&self) -> &[(Verb, Resource)] {
        &self.items
    }

    /// What they were for, to be moved on.
    pub fn into_items(self) -> Vec<(Verb, Resource)> {
        self.items
    }

    /// One permit for each.
    pub fn into_permits(self) -> impl Iterator<Item = Permit> {
        let Permits { caller, items } = self;
        items.into_iter().map(move |(verb, resource)| Permit::new(caller.clone(), verb, resource))
    }

    /// The same under another policy or credential, if that allows all of them too.
    pub fn renewed(self, access: &Access) -> Result<Permits, Denied> {
        access.permit_all(self.items)
    }
}

impl Sight {
    /// Only for `Access`.
    pub(super) fn new(caller: Arc<Caller>, grants: Arc<Grants>, masks_secrets: bool) -> Sight {
        Sight { caller, grants, masks_secrets }
    }

    /// The same with every secret that the policy lets the caller see: for what is done, and not shown.
    pub fn unmasking_secrets(self) -> Sight {
        Sight { masks_secrets: false, ..self }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Whether there is a scope at which the caller may read the config.
    pub fn has_config(&self, namespace: &Namespace, config: &ConfigName) -> bool {
        self.grants.may_see_config(namespace, config)
    }

    /// Whether the caller may read the config at this scope: the layer there, and what a commit did to it.
    pub fn has(&self, namespace: &Namespace, config: &ConfigName, scope: &Scope) -> bool {
        self.grants.allows_config(Verb::Read, namespace, config, scope)
    }

    /// Whether messages to the caller may quote the schema of this config: who may read the config at any scope has to satisfy it.
    pub fn has_schema_of(&self, namespace: &Namespace, governed: &ConfigName) -> bool {
        self.grants.may_see_config(namespace, governed)
    }

    /// Whether secrets in the layer of the config at this scope are shown to the caller as they are.
    pub fn reveals(&self, id: &ConfigId, scope: &Scope) -> bool {
        !self.masks_secrets && self.grants.allows_config(Verb::RevealSecret, &id.namespace, &id.config, scope)
    }

    /// The same for every config of a namespace.
    pub fn reveals_all_of(&self, namespace: &Namespace, scope: &Scope) -> bool {
        !self.masks_secrets && self.grants.reveals_all_of(namespace, scope)
    }

    /// Whether there is anything in the namespace that the caller may read.
    pub fn has_namespace(&self, namespace: &Namespace) -> bool {
        self.grants.may_see_namespace(namespace)
    }
}
