//! A caller under a policy: every call has one, and permits are made from it. Knows no requests.

mod permit;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Caller, Grants, Policy, Resource, SubjectError, Verb};
use crate::model::{ConfigId, Scope};

pub use permit::{Denied, Permit, Permits, Visibility};

/// A caller, with the permissions that the caller has now.
#[derive(Clone, Debug)]
pub struct Access {
    caller: Arc<Caller>,
    grants: Arc<Grants>,
    /// The caller wants no secret in clear text, whatever the policy allows.
    masks_secrets: bool,
}

impl Access {
    pub fn new(caller: Arc<Caller>, policy: &Policy) -> Access {
        let grants = caller.grants(policy);
        Access { caller, grants, masks_secrets: false }
    }

    /// A caller of this name with every permission: the server itself, and callers of a server with `--auth off`.
    pub fn unrestricted(actor: &str) -> Result<Access, SubjectError> {
        Ok(Access::new(Caller::unverified(actor)?, &Policy::unrestricted()))
    }

    /// The same without the permission to see secrets in clear text.
    pub fn masking_secrets(self) -> Access {
        Access { masks_secrets: true, ..self }
    }

    pub fn masks_secrets(&self) -> bool {
        self.masks_secrets
    }

    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Whether the caller has the permission, where no operation takes a permit: whether secrets are shown, for instance.
    pub fn allows(&self, verb: Verb, resource: &Resource) -> bool {
        self.grants.allows(verb, resource)
    }

    /// Whether secrets of the config are shown to the caller as they are, in its document at this scope.
    pub fn reveals(&self, id: &ConfigId, scope: &Scope) -> bool {
        !self.masks_secrets && self.grants.allows_config(Verb::RevealSecret, &id.namespace, &id.config, scope)
    }

    /// Permits the caller to do this, or denies it.
    pub fn permit(&self, verb: Verb, resource: Resource) -> Result<Permit, Denied> {
        match self.grants.allows(verb, &resource) {
            true => Ok(Permit::new(self.caller.clone(), verb, resource)),
            false => Err(self.denied(verb, resource)),
        }
    }

    /// Permits the caller to do all of this, or denies the first item that the caller may not do.
    pub fn permit_all(&self, items: impl IntoIterator<Item = (Verb, Resource)>) -> Result<Permits, Denied> {
        let items: Vec<(Verb, Resource)> = items.into_iter().collect();
        match items.iter().find(|(verb, resource)| !self.grants.allows(*verb, resource)) {
            None => Ok(Permits::new(self.caller.clone(), items)),
            Some((verb, resource)) => Err(self.denied(*verb, resource.clone())),
        }
    }

    /// Permits the items that the caller may do; the rest is left out.
    pub fn permit_some(&self, items: impl IntoIterator<Item = (Verb, Resource)>) -> Permits {
        let allowed = items.into_iter().filter(|(verb, resource)| self.grants.allows(*verb, resource));
        Permits::new(self.caller.clone(), allowed.collect())
    }

    /// Leave to list.
    pub fn visibility(&self) -> Visibility {
        Visibility::new(self.caller.clone(), self.grants.clone(), self.masks_secrets)
    }

    /// The denial of an item for which the caller has no permission.
    pub fn denied(&self, verb: Verb, resource: Resource) -> Denied {
        Denied { actor: self.caller.actor().into(), verb, resource, reason: String::new() }
    }
}
