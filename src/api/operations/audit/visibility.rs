//! What somebody may see of the audit trail. Knows the verb for it; no entry.

use super::filter::Filter;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::model::{ConfigId, ConfigName, Namespace, Scope};

pub struct AuditVisibility {
    access: Access,
    /// All of it, also what concerns no namespace.
    is_all: bool,
}

impl AuditVisibility {
    /// Refuses who may see nothing of what is asked for.
    pub fn open(access: &Access, filter: &Filter) -> Result<AuditVisibility, Denied> {
        let visibility = AuditVisibility::of(access.clone());
        match visibility.is_all || (filter.namespace.is_none() && visibility.sees_any()) {
            true => Ok(visibility),
            false => visibility.narrowed(filter),
        }
    }

    /// Goes by what the caller may now. Refuses who may no longer see what was asked for.
    pub fn renew(&mut self, access: Access, filter: &Filter) -> Result<(), Denied> {
        let renewed = AuditVisibility::of(access);
        // Who sees all of it once and then some of it may ask again for that.
        let is_enough = renewed.is_all || (!self.is_all && filter.namespace.is_none() && renewed.sees_any());
        *self = if is_enough { renewed } else { renewed.narrowed(filter)? };
        Ok(())
    }

    pub fn sees(&self, namespace: &str, config: &str, scope: &str) -> bool {
        if self.is_all {
            return true;
        }
        let Ok(namespace) = Namespace::parse(namespace) else { return false };
        if config.is_empty() {
            return self.access.allows(Verb::Audit, &Resource::Namespace(namespace));
        }
        match (ConfigName::parse(config), Scope::parse(scope)) {
            (Ok(config), Ok(scope)) => self.sees_config(&namespace, &config, &scope),
            _ => false,
        }
    }

    pub fn sees_config(&self, namespace: &Namespace, config: &ConfigName, scope: &Scope) -> bool {
        self.is_all || self.access.grants().allows_config(Verb::Audit, namespace, config, scope)
    }

    fn of(access: Access) -> AuditVisibility {
        let is_all = access.allows(Verb::Audit, &Resource::Store);
        AuditVisibility { access, is_all }
    }

    fn sees_any(&self) -> bool {
        self.access.grants().gives(Verb::Audit)
    }

    /// The same, for who may see all that is asked for.
    fn narrowed(self, filter: &Filter) -> Result<AuditVisibility, Denied> {
        let resource = match (&filter.namespace, &filter.config) {
            (None, _) => Resource::Any,
            (Some(namespace), None) => Resource::Namespace(namespace.clone()),
            (Some(namespace), Some(config)) => {
                let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
                Resource::Config { id, scope: Scope::global() }
            }
        };
        self.access.permit(Verb::Audit, resource)?;
        Ok(self)
    }
}
