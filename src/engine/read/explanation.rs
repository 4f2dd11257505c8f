//! Explains the origin of each value of a document, as its caller may see it. Knows resolution and permissions; the model compares layers.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::Sight;
use crate::model::explain::{Explained, Origin as ValueOrigin, explain};
use crate::model::pointer::Pointer;
use crate::secret::{MASK, Merged, Opened};

use super::resolve::{Resolved, Target, layers_of, values_of};
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::{marking_schema, shown};
use crate::engine::state::State;
use crate::engine::{At, Engine};

/// A document, and where its values come from.
pub struct Explanation {
    pub resolved: Arc<Resolved>,
    /// Name layers by their place in `Resolved::layers`. `None`: telling them takes more than was allowed.
    pub origins: Option<Vec<ValueOrigin>>,
    /// The layers that the caller may not read, by the same place. Of these, only values that the document has are in `origins`.
    pub withheld: Vec<usize>,
}

impl Engine {
    /// A document, and where each value within a place of it comes from, in at most `bytes_max`.
    ///
    /// The document is what the caller sees of its scope. A value that another layer replaces is shown by what the caller may at the scope of
    /// the layer that has it: not at all without `read` there, and hidden without `reveal-secret` if it is secret.
    pub async fn explain(
        &self,
        state: &State,
        target: &Target,
        at: &At,
        within: Pointer,
        bytes_max: usize,
        sight: Sight,
    ) -> Result<Explanation, Error> {
        let actor = sight.caller().shared_actor().clone();
        let resolved = self.document(state, target, at, &actor).await?;
        let config = self.config_at(state, &target.id, at, &actor).await?;
        let (target, key_store, marking) =
            (target.clone(), self.key_store.clone(), marking_schema(&target.id, state));
        let tell = move |cancelled: &Cancelled| {
            let entries = layers_of(&config, &target.scope, target.view);
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
            let explained: Vec<Explained<'_>> = layers
                .iter()
                .map(|layer| Explained { value: &layer.value, opaque: &layer.secrets })
                .collect();
            let origins = explain(merged.document(), &explained, &within, bytes_max);
            cancelled.check()?;
            let permissions = Permissions::of(Some(&sight));
            let is_withheld = |at: &usize| !permissions.read(&target.id, &entries[*at].key.scope);
            let withheld: Vec<usize> = (0..entries.len()).filter(is_withheld).collect();
            // The layers whose secrets the caller may see as far as they are in the document, and no further.
            let hidden = |entry: &&Arc<_>| {
                let entry: &crate::engine::LayerEntry = entry;
                let reveals =
                    target.secrets == Secrets::Hidden || permissions.reveal(&target.id, &entry.key.scope);
                let hide = || {
                    let (key, content) = (&entry.key, &entry.layer.content);
                    shown(&key_store, &target.id, key, content, Secrets::Hidden, marking.as_deref())
                };
                (!reveals).then(hide).flatten().map(|content| content.to_value())
            };
            let looked = entries.iter().map(|entry| cancelled.check().map(|()| hidden(entry)));
            let hidden: Vec<Option<Value>> = looked.collect::<Result<_, _>>()?;
            let origins = origins.map(|origins| {
                let seen = origins.into_iter().filter_map(|origin| as_seen(origin, &withheld, &hidden));
                seen.collect()
            });
            Ok(Explanation { resolved, origins, withheld })
        };
        self.work(&actor, tell).await
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
