//! Leaves out of reports and outcomes what their caller may not read. Knows permissions and findings; not how a secret is hidden.

use serde_json::Value;

use crate::auth::Visibility;
use crate::model::{ConfigChange, ConfigId, ConfigName, LayerKey, Namespace, Scope};
use crate::secret::MASK;
use crate::validate::{Finding, Found, Report, SCOPE_NOT_ALLOWED, Severity};

use super::secret_places::SecretPlaces;
use crate::engine::commit::outcome::Outcome;
use crate::engine::commit::planning::Planning;
use crate::engine::commit::put_schema::schema_id;
use crate::engine::commit::read_change::{ReadAction, ReadChange};
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::error::Error;
use crate::engine::state::tags::tags_id;

/// Code of the one finding that stands for all errors in documents that the caller may not read.
pub const HIDDEN_FINDING: &str = "HIDDEN_FINDING";

static GLOBAL: Scope = Scope::global();

/// What a caller may read and reveal. Without a visibility it is the server itself, which sees everything.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Permissions<'a>(Option<&'a Visibility>);

impl<'a> Permissions<'a> {
    pub fn of(visibility: Option<&'a Visibility>) -> Permissions<'a> {
        Permissions(visibility)
    }

    /// Whether the caller may read the document of a config at a scope.
    pub fn read(&self, id: &ConfigId, scope: &Scope) -> bool {
        self.0.is_none_or(|visibility| visibility.has(&id.namespace, &id.config, scope))
    }

    /// Whether the caller may read what the layer at a scope changes: the document above.
    pub fn read_inherited(&self, id: &ConfigId, scope: &Scope) -> bool {
        let above = |scope: &Scope| scope.lineage().take_while(|above| above != scope).last();
        self.read(id, &GLOBAL) || self.read(id, &above(scope).unwrap_or_else(Scope::global))
    }

    /// Whether the caller may read every layer that is merged into a document of the config.
    pub fn read_all(&self, id: &ConfigId) -> bool {
        self.read(id, &GLOBAL)
    }

    /// Whether the caller is shown the secrets in the document of a config at a scope.
    pub fn reveal(&self, id: &ConfigId, scope: &Scope) -> bool {
        self.0.is_none_or(|visibility| visibility.reveals(id, scope))
    }

    /// Whether the caller is shown the secrets in every document of the config.
    pub fn reveal_all(&self, id: &ConfigId) -> bool {
        self.reveal(id, &GLOBAL)
    }

    /// Whether a message to the caller may quote the schema of a config.
    pub fn quote_schema(&self, namespace: &Namespace, governed: &ConfigName) -> bool {
        self.0.is_none_or(|visibility| visibility.has_schema_of(namespace, governed))
    }

    /// The report without the findings in documents that the caller may not read. One finding at the first of the places that the request names
    /// replaces all errors among them: that there is one is why the change is refused. That a scope which the request names is not allowed is
    /// kept, since it depends on no document.
    pub fn redact(&self, report: &mut Report, named: impl FnOnce() -> Vec<(ConfigId, Scope)>) {
        if self.0.is_none() || report.findings.is_empty() {
            return;
        }
        let (mut any, mut error) = (false, false);
        let mut hidden = Report::default();
        let named = named();
        let is_named = |finding: &Finding| {
            finding.code == SCOPE_NOT_ALLOWED
                && finding.severity == Severity::Error
                && named.iter().any(|(id, scope)| *id == finding.place.id && *scope == finding.place.scope)
        };
        report.findings.retain(|finding| {
            let is_shown = self.read(&finding.place.id, &finding.place.scope) || is_named(finding);
            any |= !is_shown;
            if !is_shown && finding.severity == Severity::Error {
                error = true;
                hidden.hide(&finding.place.id, &finding.place.scope);
            }
            is_shown
        });
        hidden.hidden.iter().for_each(|(id, scope)| report.hide(id, scope));
        if any {
            // How many there are would tell of the documents.
            report.omitted = 0;
        }
        if error && let Some((id, scope)) = named.first() {
            report.findings.push(Finding::at(id, scope, hidden_error()));
        }
    }

    /// The error of a write. Where the caller may not read a layer, that a change does not fit what the layer has is a refusal without a word of it; what is
    /// wrong with the change whatever the layer has is told.
    pub fn redact_error(&self, error: Error, intent: &ReadIntent) -> Error {
        let (Error::Document { field, .. } | Error::PatchDoesNotApply { field, .. }) = &error else {
            return error;
        };
        match intent.requested_changes().iter().find(|change| change.field == *field) {
            Some(change) if !self.read(&change.id, &change.key.scope) => change
                .wrong_for_any_layer()
                .unwrap_or_else(|| hidden_refusal(intent, &change.id, &change.key.scope)),
            Some(_) | None => error,
        }
    }

    /// The refusal of a commit that is too large, if its size tells of a layer that the caller may not read: of one whose new content depends on
    /// what is stored.
    pub fn hidden_size(&self, intent: &ReadIntent, changes: &[ConfigChange]) -> Option<Error> {
        let is_replaced = |id: &ConfigId, key: &LayerKey| {
            intent.requested_changes().iter().any(|change| {
                change.id == *id && change.key == *key && matches!(change.action, ReadAction::Replace(..))
            })
        };
        let written = changes.iter().flat_map(|change| {
            let layers = change.layers.iter().filter(|layer| layer.content.is_some());
            layers.map(|layer| (&change.id, &layer.key))
        });
        let mut hidden = written.filter(|(id, key)| !self.read(id, &key.scope) && !is_replaced(id, key));
        hidden.next().map(|(id, key)| hidden_refusal(intent, id, &key.scope))
    }

    /// The outcome without the layers that the caller may not read: that they are among those written, and nothing else of them.
    pub fn redact_outcome(&self, outcome: &mut Outcome, validate_only: bool) {
        for layer in &mut outcome.layers {
            if self.read(&layer.id, &layer.key.scope) {
                continue;
            }
            (layer.before, layer.after, layer.is_shown) = (None, None, false);
            layer.secrets = SecretPlaces::default();
            if validate_only {
                // That nothing would change tells what the layer holds.
                layer.changed = true;
                outcome.changed = true;
            }
        }
    }
}

/// Whether a document has a value that is neither in the document before nor in one of these layers, which the caller may read: one of
/// another layer, that was replaced before. Masks do not count.
pub(in crate::engine) fn uncovers(document: &Value, before: Option<&Value>, layers: &[&Value]) -> bool {
    match document {
        Value::Object(members) if !members.is_empty() => members.iter().any(|(name, member)| {
            let layers: Vec<&Value> = layers.iter().filter_map(|layer| layer.get(name)).collect();
            uncovers(member, before.and_then(|before| before.get(name)), &layers)
        }),
        value => before != Some(value) && value != MASK && !layers.contains(&value),
    }
}

/// Stands for the errors in a document with values that it inherits from a scope that the caller may not read.
pub(in crate::engine) fn hidden_inheritance() -> Found {
    Found {
        message:
            "the document would inherit values from a scope that the caller may not read, and be invalid"
                .into(),
        suggestion: "to be told why takes `read` on the config at the scopes above".into(),
        ..hidden_error()
    }
}

impl Planning<'_> {
    /// Whether the caller may not read the layer at a scope: then a write to the layer counts as a change whatever the layer has, since that
    /// nothing changes would tell the caller.
    pub(in crate::engine) fn is_blind(&self, id: &ConfigId, scope: &Scope) -> bool {
        !Permissions::of(self.visibility).read(id, scope)
    }
}

impl ReadIntent {
    /// The changes of layers that its caller requests.
    fn requested_changes(&self) -> &[ReadChange] {
        match self {
            ReadIntent::Changes(changes) => changes,
            ReadIntent::Keys(_)
            | ReadIntent::Reseal(_)
            | ReadIntent::Delete { .. }
            | ReadIntent::Rollback { .. }
            | ReadIntent::Revert { .. }
            | ReadIntent::Restore(_)
            | ReadIntent::TagNamespace(_)
            | ReadIntent::Tag { .. }
            | ReadIntent::Expire(_)
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => &[],
        }
    }

    /// The values that it has for a layer in clear text. `None`: it has none.
    pub(in crate::engine) fn written(&self, id: &ConfigId, key: &LayerKey) -> Option<Value> {
        match self {
            ReadIntent::Changes(changes) | ReadIntent::Keys(changes) => {
                let change = changes.iter().find(|change| change.id == *id && change.key == *key)?;
                Some(change.action.written())
            }
            ReadIntent::Reseal(_)
            | ReadIntent::Delete { .. }
            | ReadIntent::Rollback { .. }
            | ReadIntent::Revert { .. }
            | ReadIntent::Restore(_)
            | ReadIntent::TagNamespace(_)
            | ReadIntent::Tag { .. }
            | ReadIntent::Expire(_)
            | ReadIntent::PutSchema { .. }
            | ReadIntent::Migrate { .. } => None,
        }
    }

    /// The configs and scopes that it names, in order.
    pub(in crate::engine) fn named_places(&self) -> Vec<(ConfigId, Scope)> {
        match self {
            ReadIntent::Changes(changes) | ReadIntent::Keys(changes) => {
                changes.iter().map(|change| (change.id.clone(), change.key.scope.clone())).collect()
            }
            ReadIntent::Delete { id, key, .. } => {
                vec![(id.clone(), key.as_ref().map_or_else(Scope::global, |key| key.scope.clone()))]
            }
            ReadIntent::Rollback { id, scope, .. } => {
                vec![(id.clone(), scope.clone().unwrap_or_else(Scope::global))]
            }
            ReadIntent::Revert { steps, .. } => {
                steps.iter().map(|step| (step.id.clone(), step.key.scope.clone())).collect()
            }
            ReadIntent::Restore(restored) => {
                let scope = &restored.restoring.scope;
                restored.configs.keys().map(|id| (id.clone(), scope.clone())).collect()
            }
            ReadIntent::TagNamespace(read) => vec![(tags_id(&read.tagging.namespace), Scope::global())],
            ReadIntent::Tag { id, .. } | ReadIntent::Reseal(id) => vec![(id.clone(), Scope::global())],
            ReadIntent::Expire(due) => due.iter().map(|(id, key)| (id.clone(), key.scope.clone())).collect(),
            ReadIntent::PutSchema { governed, .. } => vec![(schema_id(governed), Scope::global())],
            ReadIntent::Migrate { governed, .. } => vec![(governed.clone(), Scope::global())],
        }
    }
}

/// Refuses a write because of a document that its caller may not read.
fn hidden_refusal(intent: &ReadIntent, id: &ConfigId, scope: &Scope) -> Error {
    let mut report = Report::default();
    report.hide(id, scope);
    let (named, at) = intent.named_places().into_iter().next().unwrap_or((id.clone(), scope.clone()));
    report.findings.push(Finding::at(&named, &at, hidden_error()));
    Error::Refused(report)
}

fn hidden_error() -> Found {
    Found {
        severity: Severity::Error,
        code: HIDDEN_FINDING.into(),
        pointer: String::new(),
        message: "a document that the caller may not read would be invalid".into(),
        suggestion: "to be told which and why takes `read` on each config and scope that the change reaches"
            .into(),
    }
}
