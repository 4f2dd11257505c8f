//! Resolves the documents of a config at many scopes, and merges each layer once for all requested scopes below it: in plain text, with
//! marks at secrets. Knows the state of a config.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{LayerKey, LayerKind, Pointer, Scope};
use crate::secret::{MASK, Merged, Opened, holds_sealed, mask};

use crate::engine::secrets::key_store::KeyStore;
use crate::engine::state::{ConfigState, LayerEntry};

/// The values that a caller writes to a layer in clear text: what they know of it, secret or not. Null: nothing.
pub(in crate::engine) type Written<'a> = dyn Fn(&LayerKey) -> Value + Sync + 'a;

/// Makes the documents of a config. Quick if scopes are asked for in their order.
pub(in crate::engine) struct Documents<'a> {
    config: &'a ConfigState,
    key_store: &'a KeyStore,
    /// Has a mask in the place of each secret, but those that the layers have from this.
    masking: Option<&'a Written<'a>>,
    /// The scope that was asked for last, and what its layers have: it does not grow with the other scopes.
    at: Option<String>,
    places: Places,
    /// The base documents on the way to the scope that was asked for last, from the top; the layer at each, if there is one.
    way: Vec<MergedLayer<'a>>,
}

struct MergedLayer<'a> {
    path: String,
    layer: Option<&'a Arc<LayerEntry>>,
    document: Merged,
    /// Of the layer.
    places: Places,
}

/// Places in layers.
#[derive(Clone, Default)]
struct Places {
    /// That have a mask.
    masked: BTreeSet<Pointer>,
    /// That have a secret.
    secrets: BTreeSet<Pointer>,
}

impl<'a> Documents<'a> {
    pub fn of(config: &'a ConfigState, key_store: &'a KeyStore) -> Documents<'a> {
        Documents { config, key_store, masking: None, at: None, places: Places::default(), way: vec![] }
    }

    /// As somebody sees them who may reveal no secret: with a mask in the place of each but those that they write themselves.
    pub fn masked(
        config: &'a ConfigState,
        key_store: &'a KeyStore,
        written: &'a Written<'a>,
    ) -> Documents<'a> {
        Documents { masking: Some(written), ..Documents::of(config, key_store) }
    }

    /// Where one of these documents has a mask.
    pub fn masked_in(&self, document: &Value) -> BTreeSet<String> {
        let is_there = |place: &&Pointer| place.find(document).is_some_and(|value| value == MASK);
        self.places.masked.iter().filter(is_there).map(ToString::to_string).collect()
    }

    /// Where the documents of the scope that was asked for last may have secrets.
    pub fn secrets(&self) -> &BTreeSet<Pointer> {
        &self.places.secrets
    }

    /// The effective document. `None` if no layer applies.
    pub fn effective(&mut self, scope: &Scope) -> Option<Arc<Value>> {
        let base = self.base(scope);
        let overrides = self.overrides(scope);
        if overrides.is_empty() {
            return base.map(|base| base.document().clone());
        }
        Some(self.with(base, &overrides).document().clone())
    }

    /// The other documents that the scope has or will have: without overrides, and as these end, one after the other. Each with what it is.
    pub fn others(&mut self, scope: &Scope) -> Vec<(&'static str, Arc<Value>)> {
        let overrides = self.overrides(scope);
        if overrides.is_empty() {
            return vec![];
        }
        let base = self.base(scope);
        let mut others: Vec<_> =
            base.iter().map(|base| ("without overrides", base.document().clone())).collect();
        let mut left = overrides;
        let mut ends: Vec<_> = left.iter().filter_map(|entry| entry.layer.expires).collect();
        ends.sort_unstable();
        ends.dedup();
        for end in ends {
            left.retain(|entry| entry.layer.expires.is_none_or(|expires| expires > end));
            if left.is_empty() {
                break;
            }
            let ended = self.with(base.clone(), &left);
            others.push(("when overrides have ended", ended.document().clone()));
        }
        others
    }

    /// A layer, and the document that it changes.
    pub fn layer_and_inherited(&mut self, kind: LayerKind, scope: &Scope) -> Option<(Value, Arc<Value>)> {
        let entry = self.config.layer_at(kind, scope.as_str())?;
        let layer = self.opened(entry).value;
        let inherited = match kind {
            LayerKind::Base => {
                self.base(scope);
                let above = self.way.len().checked_sub(2).map(|above| self.way[above].document.clone());
                above.unwrap_or_default()
            }
            LayerKind::Override => {
                let base = self.base(scope);
                let mut above = self.overrides(scope);
                above.pop();
                match above.is_empty() {
                    true => base.unwrap_or_default(),
                    false => self.with(base, &above),
                }
            }
        };
        Some((layer, inherited.document().clone()))
    }

    /// The layers at a scope itself, with something else in the place of secrets.
    pub fn masked_layers_at(&mut self, scope: &Scope) -> Vec<Value> {
        let config = self.config;
        let entries = [LayerKind::Base, LayerKind::Override]
            .into_iter()
            .filter_map(|kind| config.layer_at(kind, scope.as_str()));
        let mut layers: Vec<Value> = entries.map(|entry| self.opened(entry).value).collect();
        // A null would remove what is there.
        layers.iter_mut().for_each(|layer| mask(layer, &self.places.secrets, &false.into()));
        layers
    }

    /// The document without overrides. `None` if no base layer applies.
    fn base(&mut self, scope: &Scope) -> Option<Merged> {
        let mut shared = 0;
        for path in scope.lineage_paths() {
            if self.way.get(shared).is_some_and(|step| step.path == path) {
                shared += 1;
                continue;
            }
            self.way.truncate(shared);
            let layer = self.config.layer_at(LayerKind::Base, path);
            let above = self.way.last().map(|above| above.document.clone());
            let around = std::mem::take(&mut self.places);
            let document = self.with(above, layer.as_slice());
            let places = std::mem::replace(&mut self.places, around);
            self.way.push(MergedLayer { path: path.to_owned(), layer, document, places });
            shared += 1;
        }
        self.way.truncate(shared);
        if self.at.as_deref() != Some(scope.as_str()) {
            self.at = Some(scope.as_str().to_owned());
            self.places = Places::default();
            for step in &self.way {
                self.places.masked.extend(step.places.masked.iter().cloned());
                self.places.secrets.extend(step.places.secrets.iter().cloned());
            }
        }
        let any = self.way.iter().any(|step| step.layer.is_some());
        any.then(|| self.way.last().expect("the way starts at the top").document.clone())
    }

    fn overrides(&self, scope: &Scope) -> Vec<&'a Arc<LayerEntry>> {
        let config = self.config;
        scope.lineage_paths().filter_map(|path| config.layer_at(LayerKind::Override, path)).collect()
    }

    fn with(&mut self, base: Option<Merged>, layers: &[&Arc<LayerEntry>]) -> Merged {
        let mut merged = base.unwrap_or_default();
        layers.iter().for_each(|entry| merged.add(&self.opened(entry)));
        merged
    }

    /// A layer as it acts.
    fn opened(&mut self, entry: &LayerEntry) -> Opened {
        let content = &entry.layer.content;
        if !holds_sealed(content.as_str()) {
            return Opened { value: content.to_value(), secrets: vec![] };
        }
        let mut opened = self.key_store.opened(&self.config.id, content);
        if let Some(written) = self.masking {
            let written = written(&entry.key);
            let is_known = |place: &Pointer| {
                place.find(&written).is_some_and(|value| Some(value) == place.find(&opened.value))
            };
            let unknown: Vec<Pointer> =
                opened.secrets.iter().filter(|place| !is_known(place)).cloned().collect();
            mask(&mut opened.value, &unknown, &MASK.into());
            self.places.masked.extend(unknown);
        }
        self.places.secrets.extend(opened.secrets.iter().cloned());
        opened
    }
}

/// A document with something else in the place of secrets. The same, if there are none.
pub(in crate::engine) fn masked(
    mut document: Arc<Value>,
    secrets: &BTreeSet<Pointer>,
    value: &Value,
) -> Arc<Value> {
    if !secrets.is_empty() {
        mask(Arc::make_mut(&mut document), secrets, value);
    }
    document
}
