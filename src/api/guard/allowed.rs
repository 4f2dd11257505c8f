//! Checks the permissions of each kind of call. A handler takes the result instead of a request: the proof that its caller has the permission.

use std::ops::Deref;

use crate::api::context::CallContext;
use crate::api::convert::batch::{BatchRead, NamespaceRead};
use crate::api::convert::request::DocumentRead;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::{Action, Change, Intent, Reverting, Secrets, Viewer};
use crate::model::{Author, ConfigId, LayerKey, LayerKind, Namespace, Scope};

/// A request that its caller is permitted to make. For the most frequent calls: costs nothing beside the check.
pub struct Allowed<T>(T);

impl<T> Deref for Allowed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Allowed<T> {
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A write that its caller is permitted to make.
pub struct AllowedWrite {
    pub author: Author,
    /// The reader of the outcome.
    pub viewer: Viewer,
    pub intent: Intent,
}

/// Reading takes `read` at the scope that is asked for, and `reveal-secret` there to be shown secrets as they are.
pub fn allow_read(access: &Access, mut read: DocumentRead) -> Result<Allowed<DocumentRead>, Denied> {
    let (id, scope) = (&read.target.id, &read.target.scope);
    if !access.grants().allows_config(Verb::Read, &id.namespace, &id.config, scope) {
        access.permit(Verb::Read, Resource::Config { id: id.clone(), scope: scope.clone() })?;
    }
    if access.reveals(id, scope) {
        read.target.secrets = Secrets::Revealed;
    }
    Ok(Allowed(read))
}

/// A request of a batch that its caller is permitted to make.
pub enum AllowedBatchRead {
    One(Allowed<DocumentRead>),
    /// Of configs that the caller may read: `allow_read` says so of each.
    Every(Allowed<NamespaceRead>),
}

/// Reading all configs of a namespace takes `read` of something in the namespace, and gives what the caller may read of it.
pub fn allow_batch_read(access: &Access, read: BatchRead) -> Result<AllowedBatchRead, Denied> {
    match read {
        BatchRead::One(read) => allow_read(access, read).map(AllowedBatchRead::One),
        BatchRead::Every(read) => {
            if !access.visibility().has_namespace(&read.namespace) {
                access.permit(Verb::Read, Resource::Namespace(read.namespace.clone()))?;
            }
            Ok(AllowedBatchRead::Every(Allowed(read)))
        }
    }
}

/// Validating changes takes `validate` at the scope of each. A change of a config that governs others takes `schema` as well, as storing the
/// change would: an expression or a pattern that the caller chooses could test any value of documents.
pub fn allow_validate(access: &Access, changes: Vec<Change>) -> Result<Allowed<Vec<Change>>, Denied> {
    let needs = changes.iter().flat_map(|change| {
        let resource = || Resource::Config { id: change.id.clone(), scope: change.key.scope.clone() };
        let proposes = !change.id.config.is_ordinary();
        let more = [(Verb::Schema, proposes), (Verb::Read, reads_layer(change))];
        let more = more.into_iter().filter(|(_, is_needed)| *is_needed).map(|(verb, _)| verb);
        let verbs: Vec<Verb> = std::iter::once(Verb::Validate).chain(more).collect();
        verbs.into_iter().map(move |verb| (verb, resource()))
    });
    access.permit_all(needs)?;
    Ok(Allowed(changes))
}

/// Checking a document against a schema that may refer to those of a namespace takes what proposing a schema there takes.
pub fn allow_validate_schema(access: &Access, namespace: Namespace) -> Result<Allowed<Namespace>, Denied> {
    let resource = Resource::Namespace(namespace.clone());
    access.permit_all([(Verb::Validate, resource.clone()), (Verb::Schema, resource)])?;
    Ok(Allowed(namespace))
}

/// A write takes a permission at each scope that the write changes; a write that concerns a config as a whole takes the permission at `/`.
pub fn allow_write(context: &CallContext, viewer: Viewer, intent: Intent) -> Result<AllowedWrite, Denied> {
    match &intent {
        Intent::Revert(reverting) => allow_revert(context, reverting)?,
        Intent::Changes(_)
        | Intent::Restore(_)
        | Intent::TagNamespace(_)
        | Intent::Delete { .. }
        | Intent::Rollback { .. }
        | Intent::Tag { .. }
        | Intent::Expire(_)
        | Intent::PutSchema { .. }
        | Intent::Migrate { .. } => _ = context.permit_all(needs(&intent))?,
    }
    Ok(AllowedWrite { author: context.author(), viewer, intent })
}

/// Taking commits back takes `rollback` and `read` at every scope that they changed. A denial names a scope that the caller may read and not roll
/// back, if there is one, and otherwise the commit: never a scope or a config that the caller may not read.
pub fn allow_revert(access: &Access, reverting: &Reverting) -> Result<(), Denied> {
    let mut hidden = None;
    for (revision, id, scope) in reverting.places() {
        let resource = Resource::Config { id, scope };
        match access.allows(Verb::Read, &resource) {
            true => _ = access.permit(Verb::Rollback, resource)?,
            false => _ = hidden.get_or_insert(revision),
        }
    }
    match hidden {
        None => Ok(()),
        Some(revision) => Err(access.denied(Verb::Rollback, Resource::Commit(revision))),
    }
}

fn needs(intent: &Intent) -> Vec<(Verb, Resource)> {
    let whole =
        |verb: Verb, id: &ConfigId| (verb, Resource::Config { id: id.clone(), scope: Scope::global() });
    match intent {
        Intent::Changes(changes) => changes.iter().flat_map(of_change).collect(),
        Intent::Delete { id, key: Some(key), .. } => vec![of_layer(id, key)],
        // Deleting a config deletes its overrides, too.
        Intent::Delete { id, key: None, .. } => vec![whole(Verb::Write, id), whole(Verb::Override, id)],
        Intent::Rollback { id, scope, .. } => {
            let scope = scope.clone().unwrap_or_else(Scope::global);
            vec![(Verb::Rollback, Resource::Config { id: id.clone(), scope })]
        }
        Intent::Revert(reverting) => reverting
            .places()
            .map(|(_, id, scope)| (Verb::Rollback, Resource::Config { id, scope }))
            .collect(),
        Intent::Restore(restoring) => {
            let scope = restoring.scope.clone();
            let resource = match restoring.id() {
                Some(id) => Resource::Config { id, scope },
                None => Resource::Configs { namespace: restoring.namespace.clone(), scope },
            };
            let mut needs = vec![(Verb::Read, resource.clone()), (Verb::Rollback, resource.clone())];
            if restoring.is_uploaded() {
                needs.extend([(Verb::Write, resource.clone()), (Verb::Override, resource)]);
            }
            needs
        }
        Intent::TagNamespace(tagging) => vec![(Verb::Tag, Resource::Namespace(tagging.namespace.clone()))],
        Intent::Tag { id, .. } => vec![whole(Verb::Tag, id)],
        Intent::PutSchema { governed, .. } | Intent::Migrate { governed, .. } => {
            vec![whole(Verb::Schema, governed)]
        }
        // No caller requests the end of an override.
        Intent::Expire(_) => vec![(Verb::Admin, Resource::Store)],
    }
}

fn of_change(change: &Change) -> impl Iterator<Item = (Verb, Resource)> {
    let read = || (Verb::Read, Resource::Config { id: change.id.clone(), scope: change.key.scope.clone() });
    let read = reads_layer(change).then(read);
    std::iter::once(of_layer(&change.id, &change.key)).chain(read)
}

/// Whether the answer to a change depends on what the layer holds: a JSON patch tests values, and fails where they are not there.
fn reads_layer(change: &Change) -> bool {
    match &change.action {
        Action::JsonPatch(_) => true,
        Action::Replace(_) | Action::MergePatch(_) | Action::Assign(_) | Action::Delete => false,
    }
}

fn of_layer(id: &ConfigId, key: &LayerKey) -> (Verb, Resource) {
    let verb = match key.kind {
        LayerKind::Base => Verb::Write,
        LayerKind::Override => Verb::Override,
    };
    (verb, Resource::Config { id: id.clone(), scope: key.scope.clone() })
}
