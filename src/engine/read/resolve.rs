//! Resolution: which layers make the document of a target, and the document itself, made once and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::Value;

use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::merge::fold;
use crate::model::text::{DocumentError, Format, render};
use crate::model::{ConfigId, Content, Digest, LayerKey, LayerKind, Pointer, Scope};
use crate::secret::{MASK, Merged, hide, holds_sealed, mask, sealed_pointers};
use crate::store::VersionRef;
use crate::validate::Schema;

use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::secret_places::{SecretPlaces, Secrets};
use crate::engine::secrets::shown::{marked_pointers, shown};
use crate::engine::state::{ConfigState, LayerEntry, State};

/// What to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// Base layers from `/` down to the scope, then override layers from `/` down to the scope.
    Effective,
    /// The same, with the defaults of the config's active schema where it has no value.
    Filled,
    /// The same without overrides.
    Base,
    /// The layer of this kind at exactly this scope, as it is.
    Layer(LayerKind),
}

/// What a client reads or watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub id: ConfigId,
    pub scope: Scope,
    pub view: View,
    pub secrets: Secrets,
}

/// The document of a target as of a version of its config.
#[derive(Debug)]
pub struct Resolved {
    pub target: Arc<Target>,
    pub at: VersionRef,
    /// Of the whole document.
    pub digest: Digest,
    pub content: Content,
    /// What was merged, in order.
    pub layers: Vec<Arc<LayerEntry>>,
    /// It has secrets as they are.
    pub reveals: bool,
    pub secrets: SecretPlaces,
    /// Whose defaults are filled in.
    schema: Option<Arc<Schema>>,
    memos: [OnceLock<Box<FormatMemo>>; 3],
}

/// What was derived from a resolved document for one format, each at its first use.
#[derive(Debug, Default)]
struct FormatMemo {
    text: OnceLock<Result<Arc<str>, DocumentError>>,
    encoded: OnceLock<Bytes>,
}

impl Target {
    /// The schema whose defaults it wants.
    pub fn schema_in(&self, state: &State) -> Option<Arc<Schema>> {
        match self.view {
            View::Filled => state.governance(&self.id.namespace)?.schema(&self.id.config),
            View::Effective | View::Base | View::Layer(_) => None,
        }
    }

    /// The highest target that has the same layers, and therefore the same content, if it is another one: there may be very many scopes below a
    /// layer, and one content for all of them.
    fn with_the_same_layers(&self, config: &ConfigState) -> Option<Target> {
        let kinds = match self.view {
            View::Effective | View::Filled => &[LayerKind::Base, LayerKind::Override][..],
            View::Base => &[LayerKind::Base],
            View::Layer(_) => return None,
        };
        let has_layer = |path: &&str| kinds.iter().any(|kind| config.layer_at(*kind, path).is_some());
        let lowest = self.scope.lineage_paths().filter(has_layer).last()?;
        let scope = Scope::parse(lowest).expect("it is a part of a scope");
        (scope != self.scope).then(|| Target { scope, ..self.clone() })
    }
}

impl View {
    /// Whether a change of the layer can change the document of this view of `scope`.
    pub fn depends_on(self, scope: &Scope, layer: &LayerKey) -> bool {
        match self {
            View::Effective | View::Filled => layer.scope.contains(scope),
            View::Base => layer.kind == LayerKind::Base && layer.scope.contains(scope),
            View::Layer(kind) => layer.kind == kind && layer.scope == *scope,
        }
    }
}

/// Makes the document of a target, with the defaults of a schema, if there is one. `None` if no layer of the config applies to it.
///
/// Values that are hidden have their places from what is sealed, and from `marking`, by which values of the past are secret that were
/// stored in plain text.
pub fn resolve(
    config: &ConfigState,
    target: &Arc<Target>,
    schema: Option<Arc<Schema>>,
    key_store: &KeyStore,
    marking: Option<&Schema>,
) -> Option<Resolved> {
    let mut layers: Vec<_> = layers_of(config, &target.scope, target.view).into_iter().cloned().collect();
    let holds_secrets =
        marking.is_some() || layers.iter().any(|entry| holds_sealed(entry.layer.content.as_str()));
    let mut reveals = target.secrets == Secrets::Revealed
        && layers.iter().any(|entry| holds_sealed(entry.layer.content.as_str()));
    let opened = holds_secrets.then(|| merge_opened(&layers, &target.id, key_store));
    let marked = marking.zip(opened.as_ref());
    let marked =
        marked.map(|(schema, merged)| marked_pointers(schema, merged.document())).unwrap_or_default();
    let mut places: BTreeSet<Pointer> =
        opened.iter().flat_map(|merged| merged.secrets()).chain(&marked).cloned().collect();
    let merged = opened.filter(|_| layers.len() > 1).and_then(|merged| match target.secrets {
        Secrets::Revealed => Some(Value::clone(merged.document())),
        // Hidden values merge as they are: each is one value. But those that were in plain text have been merged before they were marked.
        Secrets::Hidden if marking.is_none() => None,
        Secrets::Hidden => {
            let mut document = Value::clone(merged.document());
            let ring = key_store.fingerprinting_ring(&target.id.namespace);
            let holders = holders_of_secrets(&layers);
            let holder = |place| merged.secrets().contains(place).then(|| holders.get(place).copied());
            let places = places.iter().map(|place| (place, holder(place).flatten()));
            hide(&target.id, &mut document, places, ring.as_deref());
            Some(document)
        }
    });
    if holds_secrets {
        for entry in &mut layers {
            let (key, content) = (&entry.key, &entry.layer.content);
            let content = shown(key_store, &target.id, key, content, target.secrets, marking);
            if let Some(content) = content {
                *entry = entry.with_content(content);
            }
        }
    }
    let [first, rest @ ..] = layers.as_slice() else {
        return None;
    };
    let is_one = || rest.is_empty() && !first.layer.content.may_hold_null();
    let as_it_is = matches!(target.view, View::Layer(_)) || (schema.is_none() && is_one());
    let (content, digest) = match as_it_is {
        true => (first.layer.content.clone(), first.layer.digest()),
        false => {
            let mut document = merged.unwrap_or_else(|| fold(&values_of(&layers)));
            if let Some(schema) = &schema {
                let mut filled = document.clone();
                // Defaults that are too large to fill in are left out.
                if schema.fill_defaults(&mut filled).is_ok() {
                    let secret = secret_defaults(schema, &document, &filled);
                    match target.secrets {
                        // No fingerprint: whoever chooses the default could compare it with that of a secret.
                        Secrets::Hidden => mask(&mut filled, &secret, &MASK.into()),
                        Secrets::Revealed => reveals |= !secret.is_empty(),
                    }
                    places.extend(secret);
                    document = filled;
                }
            }
            let content = Content::of(&document);
            let digest = content.digest();
            (content, digest)
        }
    };
    let secrets = match places.is_empty() {
        true => SecretPlaces::default(),
        false => SecretPlaces::new(places, &content.to_value(), target.secrets),
    };
    Some(Resolved {
        target: target.clone(),
        at: config.at,
        digest,
        content,
        layers,
        reveals,
        secrets,
        schema,
        memos: Default::default(),
    })
}

/// The merge of layers as they are, with their secrets.
pub(in crate::engine) fn merge_opened(
    layers: &[Arc<LayerEntry>],
    id: &ConfigId,
    key_store: &KeyStore,
) -> Merged {
    let mut merged = Merged::default();
    layers.iter().for_each(|entry| merged.add(&key_store.opened(id, &entry.layer.content)));
    merged
}

/// The last layer that has a secret at each place: where the merged document has a secret, that layer holds it.
fn holders_of_secrets(layers: &[Arc<LayerEntry>]) -> BTreeMap<Pointer, &LayerKey> {
    let secrets =
        layers.iter().filter(|entry| holds_sealed(entry.layer.content.as_str())).flat_map(|entry| {
            let sealed = sealed_pointers(entry.layer.content.to_value());
            sealed.into_iter().map(|(place, _)| (place, &entry.key))
        });
    secrets.collect()
}

/// Where defaults were filled in that are secret: a place that the schema marks and the document did not have.
fn secret_defaults(schema: &Schema, document: &Value, filled: &Value) -> Vec<Pointer> {
    if !schema.marks_secrets() {
        return vec![];
    }
    let marked = marked_pointers(schema, filled).into_iter();
    marked.filter(|place| place.find(document).is_none()).collect()
}

/// The layers that make a document, in the order of merging.
pub fn layers_of<'a>(config: &'a ConfigState, scope: &Scope, view: View) -> Vec<&'a Arc<LayerEntry>> {
    let along = |kind| scope.lineage_paths().filter_map(move |path| config.layer_at(kind, path));
    match view {
        View::Effective | View::Filled => along(LayerKind::Base).chain(along(LayerKind::Override)).collect(),
        View::Base => along(LayerKind::Base).collect(),
        View::Layer(kind) => config.layer_at(kind, scope.as_str()).into_iter().collect(),
    }
}

pub fn values_of(layers: &[Arc<LayerEntry>]) -> Vec<Value> {
    layers.iter().map(|entry| entry.layer.content.to_value()).collect()
}

impl Content {
    /// False only if there is no null in it: one in a string counts, too.
    fn may_hold_null(&self) -> bool {
        self.as_str().contains("null")
    }
}

impl Resolved {
    /// The same content as the document of another target, which has the same layers.
    fn at_target(&self, target: &Arc<Target>) -> Resolved {
        Resolved {
            target: target.clone(),
            at: self.at,
            digest: self.digest,
            content: self.content.clone(),
            layers: self.layers.clone(),
            reveals: self.reveals,
            secrets: self.secrets.clone(),
            schema: self.schema.clone(),
            memos: Default::default(),
        }
    }

    /// The whole document as text in a format.
    pub fn text(&self, format: Format) -> Result<Arc<str>, DocumentError> {
        self.memo(format)
            .text
            .get_or_init(|| match format {
                Format::Json => Ok(self.content.as_str().into()),
                Format::Yaml | Format::Toml => render(&self.content.to_value(), format).map(Arc::from),
            })
            .clone()
    }

    /// The format to give to a watcher that asked for `format`: JSON where that one cannot express the document, or
    /// not within the size of a message: YAML can be many times as long as JSON.
    pub fn deliverable(&self, format: Format) -> Format {
        match format {
            Format::Json => Format::Json,
            Format::Yaml | Format::Toml => match self.text(format) {
                Ok(text) if text.len() <= TEXT_BYTES_MAX => format,
                Ok(_) | Err(_) => Format::Json,
            },
        }
    }

    /// Length of the text that a watcher gets who asked for `format`.
    pub fn deliverable_bytes(&self, format: Format) -> usize {
        match self.deliverable(format) {
            Format::Json => self.content.as_str().len(),
            format @ (Format::Yaml | Format::Toml) => self.text(format).map_or(0, |text| text.len()),
        }
    }

    /// The encoding that the transport keeps with a document: what `encode` made at its first call for this format.
    pub fn encoded(&self, format: Format, encode: impl FnOnce() -> Bytes) -> Bytes {
        self.memo(format).encoded.get_or_init(encode).clone()
    }

    /// Made when it is needed: of very many watched documents nothing is derived.
    fn memo(&self, format: Format) -> &FormatMemo {
        self.memos[format as usize].get_or_init(Box::default)
    }
}

/// Resolved documents of current versions, kept while there is room.
pub(in crate::engine) struct Resolver {
    cache: Cache<Arc<Target>, Arc<Resolved>, ByBytes>,
    key_store: Arc<KeyStore>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Arc<Target>, Arc<Resolved>> for ByBytes {
    fn weight(&self, _: &Arc<Target>, resolved: &Arc<Resolved>) -> u64 {
        // The content and an encoding of it, and what is around them.
        2 * resolved.content.as_str().len() as u64 + 512
    }
}

impl Resolver {
    /// Keeps about so many bytes.
    pub fn new(bytes_max: u64, key_store: Arc<KeyStore>) -> Resolver {
        Resolver { cache: Cache::with_weighter(10_000, bytes_max, ByBytes), key_store }
    }

    pub fn key_store(&self) -> &KeyStore {
        &self.key_store
    }

    /// The document of a target in a published state.
    pub fn resolve_in(&self, state: &State, target: &Arc<Target>) -> Option<Arc<Resolved>> {
        self.resolve_shared(state.config(&target.id)?, target, target.schema_in(state))
    }

    /// The document of a target in a published state of its config, with the schema that was active then if the target wants it.
    pub fn resolve(
        &self,
        config: &ConfigState,
        target: &Target,
        schema: Option<Arc<Schema>>,
    ) -> Option<Arc<Resolved>> {
        let made = self.made(config, target, schema.as_ref());
        made.or_else(|| self.make(config, &Arc::new(target.clone()), schema))
    }

    /// The same, for somebody who keeps the target: the document shares it.
    pub fn resolve_shared(
        &self,
        config: &ConfigState,
        target: &Arc<Target>,
        schema: Option<Arc<Schema>>,
    ) -> Option<Arc<Resolved>> {
        let made = self.made(config, target, schema.as_ref());
        made.or_else(|| self.make(config, target, schema))
    }

    fn make(
        &self,
        config: &ConfigState,
        target: &Arc<Target>,
        schema: Option<Arc<Schema>>,
    ) -> Option<Arc<Resolved>> {
        let resolved = match target.with_the_same_layers(config) {
            Some(same) => self.resolve(config, &same, schema)?.at_target(target),
            None => resolve(config, target, schema, &self.key_store, None)?,
        };
        let resolved = Arc::new(resolved);
        self.cache.insert(target.clone(), resolved.clone());
        Some(resolved)
    }

    /// The same, if it was made before and is in memory still.
    pub fn made(
        &self,
        config: &ConfigState,
        target: &Target,
        schema: Option<&Arc<Schema>>,
    ) -> Option<Arc<Resolved>> {
        let same_schema = |resolved: &Resolved| match (&resolved.schema, schema) {
            (None, None) => true,
            (Some(of), Some(schema)) => Arc::ptr_eq(of, schema),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let resolved = self.cache.get(target)?;
        (resolved.at.version == config.at.version && same_schema(&resolved)).then_some(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_depends_on_the_layers_it_merges_and_no_others() {
        let scope = |text| Scope::parse(text).expect("a scope");
        let here = scope("/production");
        for (view, base_above, override_above, base_here, base_below) in [
            (View::Effective, true, true, true, false),
            (View::Base, true, false, true, false),
            (View::Layer(LayerKind::Base), false, false, true, false),
        ] {
            assert_eq!(view.depends_on(&here, &LayerKey::base(scope("/"))), base_above);
            assert_eq!(view.depends_on(&here, &LayerKey::overriding(scope("/"))), override_above);
            assert_eq!(view.depends_on(&here, &LayerKey::base(here.clone())), base_here);
            assert_eq!(view.depends_on(&here, &LayerKey::base(scope("/production/checkout"))), base_below);
        }
    }
}
