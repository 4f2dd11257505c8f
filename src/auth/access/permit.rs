//! Proof that a caller has the permission for a call. Knows the decision, not how it was made.
//!
//! A handler takes a permit instead of names from a request, and does what the permit says to what the permit names:
//!
//! ```text
//! let permit = access.permit(Verb::Write, Resource::Config { id, scope })?;    // in the one place that decodes requests
//! engine.set(permit, change)                                                   // cannot be called without
//! ```
//!
//! Nothing but `Access` makes a permit, so that a handler without a check of permissions does not compile. A permit is valid for the policy at the time
//! of the check: a stream, which holds a permit for longer than a call, renews it (`Permit::renewed`) whenever the policy or the credentials change.

use std::sync::Arc;

use super::Access;
use crate::auth::{Caller, Grants, Resource, Verb};
use crate::model::{ConfigId, ConfigName, Namespace, Scope};

/// The permission of one caller to do one thing to one resource.
#[derive(Clone, Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    verb: Verb,
    resource: Resource,
}

/// The permissions of one caller for all targets of a call.
#[derive(Clone, Debug)]
pub struct Permits {
    caller: Arc<Caller>,
    items: Vec<(Verb, Resource)>,
}

/// The part of the store that one caller may see. A handler that lists takes it instead of a permit, and checks each item: every caller may list, and
/// gets the readable items.
#[derive(Clone, Debug)]
pub struct Visibility {
    caller: Arc<Caller>,
    grants: Arc<Grants>,
    /// The caller wants no secret in clear text, whatever the policy allows.
    masks_secrets: bool,
}

/// The denial of a call. Shows nothing of the policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{actor} may not {verb} {resource}{}", self.taken())]
pub struct Denied {
    pub actor: Arc<str>,
    pub verb: Verb,
    pub resource: Resource,
    /// The reason that the caller stated for the call. Empty: none.
    pub reason: String,
}

impl Denied {
    /// The permission that the call takes, if that has another verb: a config that governs others takes `schema` on them, and a config of the server `admin`.
    fn taken(&self) -> String {
        let need = self.resource.need(self.verb);
        match need.verb == self.verb {
            true => String::new(),
            false => format!(": it takes {need}"),
        }
    }

    /// The same denial with the reason that the caller stated.
    pub fn wanted_because(self, reason: &str) -> Denied {
        Denied { reason: reason.to_owned(), ..self }
    }
}

impl Permit {
    /// Only for `Access`, after the check.
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

    /// Gives the resource of the permit.
    pub fn into_resource(self) -> Resource {
        self.resource
    }

    /// Checks the permit under another policy or credential.
    pub fn renewed(self, access: &Access) -> Result<Permit, Denied> {
        access.permit(self.verb, self.resource)
    }
}

impl Permits {
    /// Only for `Access`, after the check of each item.
    pub(super) fn new(caller: Arc<Caller>, items: Vec<(Verb, Resource)>) -> Permits {
        Permits { caller, items }
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The permitted items in the order of the check.
    pub fn items(&self) -> &[(Verb, Resource)] {
        &self.items
    }

    /// Gives the permitted items.
    pub fn into_items(self) -> Vec<(Verb, Resource)> {
        self.items
    }

    /// Gives one permit for each item.
    pub fn into_permits(self) -> impl Iterator<Item = Permit> {
        let Permits { caller, items } = self;
        items.into_iter().map(move |(verb, resource)| Permit::new(caller.clone(), verb, resource))
    }

    /// Checks all permits under another policy or credential.
    pub fn renewed(self, access: &Access) -> Result<Permits, Denied> {
        access.permit_all(self.items)
    }
}

impl Visibility {
    /// Only for `Access`.
    pub(super) fn new(caller: Arc<Caller>, grants: Arc<Grants>, masks_secrets: bool) -> Visibility {
        Visibility { caller, grants, masks_secrets }
    }

    /// The same with every secret that the policy lets the caller see: for the work on a write, whose secrets are not shown.
    pub fn unmasking_secrets(self) -> Visibility {
        Visibility { masks_secrets: false, ..self }
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

    /// Whether the caller may read everything in the namespace.
    pub fn has_all_of(&self, namespace: &Namespace) -> bool {
        self.grants.allows_all_of(Verb::Read, namespace, &Scope::global())
    }

    /// Whether there is anything in the namespace that the caller may read.
    pub fn has_namespace(&self, namespace: &Namespace) -> bool {
        self.grants.may_see_namespace(namespace)
    }
}
