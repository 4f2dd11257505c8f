//! Explains the origin of each value of a document, as its caller may see it. Knows resolution and permissions; the model compares layers.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::Visibility;
use crate::model::explain::{Explained, Origin as ValueOrigin, explain};
use crate::model::pointer::Pointer;
use crate::secret::{MASK, Merged, Opened};

use super::resolve::{Resolved, Target, layers_of, values_of};
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::{marking_schema, shown};
use crate::engine::state::{ConfigState, LayerEntry, State};
use crate::engine::{At, Engine};
use crate::validate::Schema;

/// A document, and where its values come from.
pub struct Explanation {
    pub resolved: Arc<Resolved>,
    /// Name layers by their place in `Resolved::layers`. `None`: telling them takes more than was allowed.
    pub origins: Option<Vec<ValueOrigin>>,
    /// The layers that the caller may not read, by the same place. Of these, only values that the document has are in `origins`.
    pub withheld: Vec<usize>,
}

/// What an explanation is made of.
pub(super) struct Explaining {
    pub resolved: Arc<Resolved>,
    pub config: Arc<ConfigState>,
    pub target: Target,
    pub key_store: Arc<KeyStore>,
    /// Marks secrets.
    pub marking: Option<Arc<Schema>>,
    pub visibility: Visibility,
    within: Pointer,
    bytes_max: usize,
}

impl Engine {
    /// A document, and where each value within a place of it comes from, in at most `bytes_max`. `make` makes the answer of it where work may take
    /// long: an explanation of thousands of values is large.
    ///
    /// The document is what the caller sees of its scope. A value that another layer replaces is shown by what the caller may at the scope of
    /// the layer that has it: not at all without `read` there, and hidden without `reveal-secret` if it is secret.
    pub async fn explain<T: Send + 'static>(
        &self,
        state: &State,
        target: &Target,
        at: &At,
        (within, bytes_max): (Pointer, usize),
        visibility: Visibility,
        make: impl FnOnce(Explanation) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let actor = visibility.caller().shared_actor().clone();
        let explaining = self.explaining(state, target, at, (within, bytes_max), visibility).await?;
        self.work(&actor, move |cancelled| Ok(make(explaining.explain(cancelled)?))).await
    }

    pub(super) async fn explaining(
        &self,
        state: &State,
        target: &Target,
        at: &At,
        (within, bytes_max): (Pointer, usize),
        visibility: Visibility,
    ) -> Result<Explaining, Error> {
        let actor = visibility.caller().shared_actor();
        let resolved = self.document(state, target, at, actor).await?;
        let config = self.config_at(state, &target.id, at, actor).await?;
        let (target, key_store, marking) =
            (target.clone(), self.key_store.clone(), marking_schema(&target.id, state));
        Ok(Explaining { resolved, config, target, key_store, marking, visibility, within, bytes_max })
    }
}

impl Explaining {
    pub fn explain(&self, cancelled: &Cancelled) -> Result<Explanation, Error> {
        let Explaining { resolved, config, target, key_store, marking, visibility, within, bytes_max } = self;
        let entries = layers_of(config, &target.scope, target.view);
        let layers: Vec<Opened> = match target.secrets {
            Secrets::Revealed => {
                entries.iter().map(|entry| key_store.opened(&target.id, &entry.layer.content)).collect()
            }
            // A fingerprint is one value as it is.
            Secrets::Hidden => {
                let values = values_of(&resolved.layers).into_iter();
                values.map(|value| Opened { value, secrets: vec![] }).collect()
            }
        };
        let mut merged = Merged::default();
        layers.iter().for_each(|layer| merged.add(layer));
        let explained: Vec<Explained<'_>> =
            layers.iter().map(|layer| Explained { value: &layer.value, opaque: &layer.secrets }).collect();
        let origins = explain(merged.document(), &explained, within, *bytes_max);
        cancelled.check()?;
        let permissions = Permissions::of(Some(visibility));
        let is_withheld = |at: &usize| !permissions.read(&target.id, &entries[*at].key.scope);
        let withheld: Vec<usize> = (0..entries.len()).filter(is_withheld).collect();
        // The layers whose secrets the caller may see as far as they are in the document, and no further.
        let hidden = |entry: &LayerEntry| {
            let reveals =
                target.secrets == Secrets::Hidden || permissions.reveal(&target.id, &entry.key.scope);
            let hide = || {
                let (key, content) = (&entry.key, &entry.layer.content);
                shown(key_store, &target.id, key, content, Secrets::Hidden, marking.as_deref())
            };
            (!reveals).then(hide).flatten().map(|content| content.to_value())
        };
        let looked = entries.iter().map(|entry| cancelled.check().map(|()| hidden(entry)));
        let hidden: Vec<Option<Value>> = looked.collect::<Result<_, _>>()?;
        let origins = origins.map(|origins| {
            let seen = origins.into_iter().filter_map(|origin| as_seen(origin, &withheld, &hidden));
            seen.collect()
        });
        Ok(Explanation { resolved: resolved.clone(), origins, withheld })
    }
}

/// An origin without what the caller may not see. `None`: nothing is left of it.
fn as_seen(mut origin: ValueOrigin, withheld: &[usize], hidden: &[Option<Value>]) -> Option<ValueOrigin> {
    origin.shadowed.retain(|shadowed| !withheld.contains(&shadowed.layer));
    // A value that is not in the document.
    if origin.value.is_none() && origin.shadowed.iter().all(|shadowed| shadowed.value.is_none()) {
        return None;
    }
    for shadowed in &mut origin.shadowed {
        if let (Some(value), Some(hidden)) = (&mut shadowed.value, &hidden[shadowed.layer]) {
            // What is within a secret has no place of its own there.
            *value = origin.pointer.find(hidden).cloned().unwrap_or_else(|| MASK.into());
        }
    }
    Some(origin)
}
