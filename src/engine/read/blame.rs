//! The commit that made each value of a document what it is. Knows explanations and history; never messages.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde_json::Value;

use super::explanation::{Explaining, Explanation};
use super::history::{Made, made_by};
use super::resolve::{Target, layers_of};
use crate::auth::Visibility;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::secrets::shown::shown;
use crate::engine::state::State;
use crate::engine::{At, Engine};
use crate::model::{ConfigId, Content, LayerKey, Pointer, Version};
use crate::secret::{holds_sealed, sealed_pointers};
use crate::store::{Store, StoreError};
use crate::validate::Schema;

/// Versions of one layer that are compared, and of all layers of a document.
const STEPS_OF_LAYER_MAX: usize = 200;
const STEPS_MAX: usize = 1000;
/// Layers of all the versions that are read for that: a version is read with all layers of its config.
const LAYERS_READ_MAX: usize = 200_000;

impl Engine {
    /// A document, where its values come from, and for each the version that made it what it is. `None`: the layer has that value since before
    /// the versions that were looked at or are retained, or the caller may not read the layer. `make` makes the answer of it where work may take
    /// long.
    pub async fn blame<T: Send + 'static>(
        &self,
        state: &State,
        target: &Target,
        (within, bytes_max): (Pointer, usize),
        visibility: Visibility,
        make: impl FnOnce(Explanation, Vec<Option<Made>>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let actor = visibility.caller().shared_actor().clone();
        let explaining = self.explaining(state, target, &At::Latest, (within, bytes_max), visibility).await?;
        let store = self.store.clone();
        let look = move |cancelled: &Cancelled| {
            let explanation = explaining.explain(cancelled)?;
            let made = made(&*store, &explaining, &explanation, cancelled)?;
            Ok(make(explanation, made))
        };
        self.work(&actor, look).await
    }
}

/// The version that made each value of an explanation, in the same order.
fn made(
    store: &dyn Store,
    explaining: &Explaining,
    explanation: &Explanation,
    cancelled: &Cancelled,
) -> Result<Vec<Option<Made>>, Error> {
    let Explaining { config, target, key_store, marking, visibility, .. } = explaining;
    let mut layers: BTreeMap<&LayerKey, BlamedLayer<'_>> = BTreeMap::new();
    let entries = layers_of(config, &target.scope, target.view);
    for (at, origin) in explanation.origins.iter().flatten().enumerate() {
        if explanation.withheld.contains(&origin.layer) {
            continue;
        }
        let entry = entries[origin.layer];
        let layer = layers.entry(&entry.key).or_insert_with(|| BlamedLayer {
            version: entry.layer.version,
            content: entry.layer.content.clone(),
            places: vec![],
        });
        layer.places.push((at, &origin.pointer));
    }
    let mut blame = Blame {
        store,
        key_store,
        id: &target.id,
        visibility,
        marking: marking.as_deref(),
        cancelled,
        steps_left: STEPS_MAX,
        layers_left: LAYERS_READ_MAX,
    };
    let mut made = vec![None; explanation.origins.as_ref().map_or(0, Vec::len)];
    let mut known: BTreeMap<Version, Option<Made>> = BTreeMap::new();
    for (key, layer) in layers {
        for (at, version) in blame.versions(key, layer)? {
            let of_version = match known.entry(version) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(made_by(store, &target.id, version)?),
            };
            made[at] = of_version.clone();
        }
    }
    Ok(made)
}

/// A layer as it is stored, and the places of the values to follow back, each with its number.
struct BlamedLayer<'a> {
    version: Version,
    content: Content,
    places: Vec<(usize, &'a Pointer)>,
}

/// A version of a layer.
struct Compared {
    value: Value,
    /// Where it has secrets.
    sealed: Vec<Pointer>,
}

impl Compared {
    /// Whether another version has the same at a place. A secret and a value in clear text are never the same: whoever made the place secret has
    /// made the value.
    fn is_same(&self, other: &Compared, place: &Pointer) -> bool {
        let is_around = |secret: &&Pointer| secret.contains(place) || place.contains(secret);
        let (secrets, others) = (self.sealed.iter().filter(is_around), other.sealed.iter().filter(is_around));
        place.find(&self.value) == place.find(&other.value) && secrets.eq(others)
    }
}

struct Blame<'a> {
    store: &'a dyn Store,
    key_store: &'a Arc<KeyStore>,
    id: &'a ConfigId,
    visibility: &'a Visibility,
    marking: Option<&'a Schema>,
    cancelled: &'a Cancelled,
    steps_left: usize,
    layers_left: usize,
}

impl Blame<'_> {
    /// For each place of a layer the version that made its value: the layer is followed back until the value is another one.
    fn versions(&mut self, key: &LayerKey, layer: BlamedLayer<'_>) -> Result<Vec<(usize, Version)>, Error> {
        let BlamedLayer { mut version, content, mut places } = layer;
        let mut content = self.as_compared(key, &content);
        let mut found = vec![];
        for _ in 0..STEPS_OF_LAYER_MAX {
            self.cancelled.check()?;
            if places.is_empty() || self.steps_left == 0 || self.layers_left == 0 || version == Version::ZERO
            {
                break;
            }
            self.steps_left -= 1;
            let before = match version {
                Version(1) => None,
                Version(number) => match self.store.snapshot(self.id, Version(number - 1)) {
                    Err(StoreError::Compacted { .. }) => break,
                    snapshot => snapshot?.and_then(|mut snapshot| {
                        self.layers_left = self.layers_left.saturating_sub(snapshot.layers.len());
                        snapshot.layers.remove(key)
                    }),
                },
            };
            let Some(before) = before else {
                found.extend(places.drain(..).map(|(at, _)| (at, version)));
                break;
            };
            let older = self.as_compared(key, &before.content);
            places.retain(|(at, place)| {
                let is_same = content.is_same(&older, place);
                if !is_same {
                    found.push((*at, version));
                }
                is_same
            });
            (version, content) = (before.version, older);
        }
        Ok(found)
    }

    /// A layer as it is shown to the caller: two versions are compared by what the caller may see alone.
    fn as_compared(&self, key: &LayerKey, content: &Content) -> Compared {
        let secrets = Secrets::seen_by(self.visibility, self.id, &key.scope);
        let shown = shown(self.key_store, self.id, key, content, secrets, self.marking);
        let sealed = match holds_sealed(content.as_str()) {
            true => sealed_pointers(content.to_value()).into_iter().map(|(pointer, _)| pointer).collect(),
            false => vec![],
        };
        Compared { value: shown.as_ref().unwrap_or(content).to_value(), sealed }
    }
}
