//! Applies a change to the content of its layer: pure, a part of `plan.rs`. Seals nothing, and reads nothing that is sealed.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::Visibility;
use crate::model::assign::apply_assignments;
use crate::model::limits::Limits;
use crate::model::merge::merge_patch;
use crate::model::patch::{Opaque, apply_json_patch};
use crate::model::text::DocumentError;
use crate::model::{ConfigId, Content, Version};
use crate::secret::{Holder, holds_sealed, is_sealed, make_way, readable};

use super::document_error::{bounded, document_error, not_an_object};
use super::expected::Expected;
use super::read_change::{ReadAction, ReadChange};
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::state::{ConfigState, LayerEntry};

/// What a change makes of the content of its layer, of which it may expect a version. `None`: it is gone. Secrets are not sealed yet.
pub(in crate::engine) fn content_after(
    base: Option<&Arc<ConfigState>>,
    change: &ReadChange,
    visibility: Option<&Visibility>,
    key_store: &KeyStore,
    limits: &Limits,
) -> Result<Option<Content>, Error> {
    let current = base.and_then(|config| config.layer(&change.key));
    let version = current.map_or(Version::ZERO, |entry| entry.layer.version);
    Expected::check(change.expected, version, current.is_some(), || {
        format!("the {} layer of {} at {}", change.key.kind, change.id, change.key.scope)
    })?;
    let reveals = visibility.is_none_or(|visibility| visibility.reveals(&change.id, &change.key.scope));
    let secrets = Opening { id: &change.id, key_store, reveals };
    new_content(current.map(Arc::as_ref), &change.action, &secrets, limits.layer_bytes_max)
        .map_err(|error| document_error(change.field.clone(), error))
}

/// How a change meets the secrets of its layer.
struct Opening<'a> {
    id: &'a ConfigId,
    key_store: &'a KeyStore,
    /// The caller may reveal the secrets of the layer.
    reveals: bool,
}

/// Changes act on a layer as it is stored: each secret in it is one sealed value, which none of them looks into.
fn new_content(
    current: Option<&LayerEntry>,
    action: &ReadAction,
    secrets: &Opening<'_>,
    bytes_max: usize,
) -> Result<Option<Content>, DocumentError> {
    let stored = || match current {
        Some(entry) => entry.layer.content.to_value(),
        None => Value::Object(Map::new()),
    };
    let value = match action {
        ReadAction::Delete => return Ok(None),
        ReadAction::Replace(content, _) => return Ok(Some(content.clone())),
        ReadAction::MergePatch(patch) => {
            let mut value = stored();
            make_way(&mut value, patch);
            merge_patch(&mut value, patch);
            value
        }
        ReadAction::JsonPatch(patch) => {
            match current.filter(|entry| holds_sealed(entry.layer.content.as_str())) {
                None => apply_json_patch(&stored(), patch, bytes_max, None)?,
                Some(entry) => {
                    let known = secrets.reveals.then(|| {
                        let holder = Holder { layer: &entry.key, is_own: true, is_revealed: true };
                        secrets.key_store.known(secrets.id, &entry.layer.content, holder)
                    });
                    let read = |value: &Value| readable(value, known.as_deref().unwrap_or_default());
                    let read: &dyn Fn(&Value) -> Value = &read;
                    let opaque = Opaque { is_opaque: is_sealed, read: secrets.reveals.then_some(read) };
                    apply_json_patch(&stored(), patch, bytes_max, Some(&opaque))?
                }
            }
        }
        ReadAction::Assign(values) => apply_assignments(&stored(), values, is_sealed)?,
    };
    if !value.is_object() {
        return Err(not_an_object());
    }
    bounded(Content::of(&value), bytes_max).map(Some)
}
