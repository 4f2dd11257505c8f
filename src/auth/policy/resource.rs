//! Resources of calls, and the permission that each takes. Knows the names of the model, and no binding.

use std::fmt;

use super::verb::Verb;
use crate::model::system::Writer;
use crate::model::{ConfigId, ConfigName, Namespace, Revision, Scope};

/// The resource of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Everything in the store: the resource of a backup.
    Store,
    /// Anything at all, for a caller who may do something nowhere.
    Any,
    /// Each config that a commit changed, where the names of some must not be in a denial.
    Commit(Revision),
    /// All of a namespace.
    Namespace(Namespace),
    /// All configs of a namespace at a scope.
    Configs { namespace: Namespace, scope: Scope },
    /// A config at a scope. What concerns a config as a whole (its tags, a rollback of all its layers) is at `/`.
    Config { id: ConfigId, scope: Scope },
}

/// A permission, and where a call needs it. `None` is every namespace or config: only a binding to `*` covers it.
#[derive(Clone, Copy, Debug)]
pub(in crate::auth) struct Need<'a> {
    pub verb: Verb,
    pub namespace: Option<&'a str>,
    pub config: Option<&'a str>,
    pub scope: &'a Scope,
}

/// The global scope, for needs that refer to it.
static GLOBAL: Scope = Scope::global();

impl Resource {
    pub fn config(namespace: Namespace, config: ConfigName, scope: Scope) -> Resource {
        Resource::Config { id: ConfigId { namespace, config }, scope }
    }

    pub(in crate::auth) fn need(&self, verb: Verb) -> Need<'_> {
        match self {
            Resource::Store | Resource::Any | Resource::Commit(_) => {
                Need { verb, namespace: None, config: None, scope: &GLOBAL }
            }
            Resource::Namespace(namespace) => Need::of_all(verb, namespace, &GLOBAL),
            Resource::Configs { namespace, scope } => Need::of_all(verb, namespace, scope),
            Resource::Config { id, scope } => Need::of(verb, &id.namespace, &id.config, scope),
        }
    }
}

impl<'a> Need<'a> {
    /// The same for every config of a namespace at once.
    pub fn of_all(verb: Verb, namespace: &'a Namespace, scope: &'a Scope) -> Need<'a> {
        let verb = if namespace.is_reserved() { Verb::Admin } else { verb };
        Need { verb, namespace: Some(namespace.as_str()), config: None, scope }
    }

    /// - In the namespace of the server everything takes `admin`, at `/`.
    /// - What governs a config is bound under the name of that config, what governs a namespace under `*`; to change it takes `schema` at
    ///   `/`, whatever the verb, and so does the verb `schema` itself.
    /// - The tags of a namespace are bound under `*`, and setting one takes `tag` at `/`.
    /// - All else takes the verb at the scope.
    pub fn of(verb: Verb, namespace: &'a Namespace, config: &'a ConfigName, scope: &'a Scope) -> Need<'a> {
        let (writer, namespace, name) =
            (config.writer_in(namespace), Some(namespace.as_str()), config.as_str());
        match writer {
            Writer::Administrator | Writer::Server => {
                Need { verb: Verb::Admin, namespace, config: Some(name), scope: &GLOBAL }
            }
            Writer::Tagger => {
                let (verb, scope) = if verb.changes() { (Verb::Tag, &GLOBAL) } else { (verb, scope) };
                Need { verb, namespace, config: None, scope }
            }
            Writer::Caller => {
                let scope = if verb == Verb::Schema { &GLOBAL } else { scope };
                Need { verb, namespace, config: Some(name), scope }
            }
            Writer::SchemaOwner if verb.changes() => {
                Need { verb: Verb::Schema, namespace, config: config.governed(), scope: &GLOBAL }
            }
            Writer::SchemaOwner => Need { verb, namespace, config: config.governed(), scope },
        }
    }
}

/// `payments/checkout at /production`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Store => f.write_str("the whole store"),
            Resource::Any => f.write_str("anything in the store"),
            Resource::Commit(revision) => write!(f, "each config that revision {revision} changed"),
            Resource::Namespace(namespace) => write!(f, "all of {namespace}"),
            Resource::Configs { namespace, scope } => write!(f, "all of {namespace} at {scope}"),
            Resource::Config { id, scope } => write!(f, "{id} at {scope}"),
        }
    }
}

/// `schema on payments/checkout at /`.
impl fmt::Display for Need<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, config) = (self.namespace.unwrap_or("*"), self.config.unwrap_or("*"));
        write!(f, "{} on {namespace}/{config} at {}", self.verb, self.scope)
    }
}
