//! The requests of a batch, some of which stand for all configs of a namespace. Knows messages and values; no state and no caller.

use crate::engine::{At, Error, Secrets, Target, View};
use crate::model::pointer::Pointer;
use crate::model::text::Format;
use crate::model::{ConfigName, Namespace, Revision, Scope};
use crate::proto::v1;

use super::request::{self, DocumentRead, invalid};

/// The name that means all configs of a namespace.
const EVERY_CONFIG: &str = "*";

/// One request of a batch.
pub enum BatchRead {
    One(DocumentRead),
    Every(NamespaceRead),
}

/// A read of the documents of all configs of a namespace for a scope.
pub struct NamespaceRead {
    pub namespace: Namespace,
    pub scope: Scope,
    pub view: View,
    pub format: Format,
    pub min_revision: Revision,
}

impl BatchRead {
    pub fn min_revision(&self) -> Revision {
        match self {
            BatchRead::One(read) => read.min_revision,
            BatchRead::Every(read) => read.min_revision,
        }
    }
}

impl NamespaceRead {
    /// The read of one of the configs.
    pub fn of(&self, config: &ConfigName) -> DocumentRead {
        let id = crate::model::ConfigId { namespace: self.namespace.clone(), config: config.clone() };
        DocumentRead {
            target: Target { id, scope: self.scope.clone(), view: self.view, secrets: Secrets::Hidden },
            at: At::Latest,
            format: self.format,
            pointer: Pointer::default(),
            if_none_match: None,
            min_revision: self.min_revision,
        }
    }
}

/// Reads one request of a batch, whose fields have this prefix.
pub fn read(prefix: &str, request: v1::GetRequest) -> Result<BatchRead, Error> {
    if request.config != EVERY_CONFIG {
        return request::read(prefix, request).map(BatchRead::One);
    }
    let given = [
        ("at", request.at.is_some()),
        ("pointer", !request.pointer.is_empty()),
        ("if_none_match", !request.if_none_match.is_empty()),
    ];
    if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) {
        return Err(invalid(format_args!("{prefix}{name}"), "is not for config \"*\""));
    }
    let view = request::view(format_args!("{prefix}view"), request.view)?;
    Ok(BatchRead::Every(NamespaceRead {
        namespace: request::namespace(format_args!("{prefix}namespace"), &request.namespace)?,
        scope: request::scope(prefix, &request.scope)?,
        view: request::filled(prefix, view, request.apply_defaults)?,
        format: request::format(format_args!("{prefix}format"), request.format)?,
        min_revision: Revision(request.min_revision),
    }))
}
