//! Reveals or masks the secrets of content before a caller receives it. Knows states and the keyring; not the caller.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::auth;
use crate::model::{ConfigId, Content, LayerKey, Pointer, Scope};
use crate::secret::{MASK, hide, holds_sealed, mask};
use crate::store::Sealed;
use crate::validate::Schema;

use super::key_store::KeyStore;
use super::secret_places::{SecretPlaces, Secrets};
use crate::engine::commit::outcome::{LayerOutcome, Outcome};
use crate::engine::error::Withheld;
use crate::engine::state::{ConfigState, LayerEntry, State};

/// Who looks, and who is to hear of it when they are shown secrets.
#[derive(Clone)]
pub struct Viewer {
    visibility: auth::Visibility,
    on_secret: Option<OnSecret>,
}

/// What somebody does with the secrets of a layer, that others are to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretUse {
    /// They are shown to them as they are.
    Revealed,
    /// They may not see them, and put a value over one: the fingerprint tells them whether it was the same.
    Overwritten,
}

/// Called for each layer with secrets that are used. `is_owed`: others are shown in the same message already. If it fails, the secrets must
/// not be shown.
pub type OnSecret =
    Arc<dyn Fn(SecretUse, &ConfigId, &Scope, /* is_owed */ bool) -> Result<(), Withheld> + Send + Sync>;

impl Viewer {
    /// Of whom nobody is to hear.
    pub fn new(visibility: auth::Visibility) -> Viewer {
        Viewer { visibility, on_secret: None }
    }

    pub fn with(visibility: auth::Visibility, on_secret: OnSecret) -> Viewer {
        Viewer { visibility, on_secret: Some(on_secret) }
    }

    /// Tells that the viewer has put a value over a secret that they may not see.
    pub(in crate::engine) fn overwrites(&self, id: &ConfigId, scope: &Scope) {
        if let Some(on_secret) = &self.on_secret {
            // It was done already, so nothing can be withheld.
            let _ = on_secret(SecretUse::Overwritten, id, scope, true);
        }
    }

    /// Tells that the viewer is about to be shown secrets.
    fn reveals(&self, id: &ConfigId, scope: &Scope, is_owed: bool) -> Result<(), Withheld> {
        self.on_secret.as_ref().map_or(Ok(()), |on_secret| on_secret(SecretUse::Revealed, id, scope, is_owed))
    }

    pub fn visibility(&self) -> &auth::Visibility {
        &self.visibility
    }

    /// The same who may see something else by now.
    pub fn see_as(&mut self, visibility: auth::Visibility) {
        self.visibility = visibility;
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").field("visibility", &self.visibility).finish_non_exhaustive()
    }
}

/// Shows content that is stored, for one message.
pub(in crate::engine) struct Showing<'a> {
    key_store: &'a KeyStore,
    viewer: &'a Viewer,
    /// By its schemas it is told what is secret now, and was stored in plain text before it was marked.
    state: &'a State,
    /// Secrets were shown: the rest of the message is not held back.
    has_shown: Cell<bool>,
    /// Why secrets that the viewer may see are masked.
    withheld: RefCell<Option<Withheld>>,
}

impl<'a> Showing<'a> {
    pub fn new(key_store: &'a KeyStore, viewer: &'a Viewer, state: &'a State) -> Showing<'a> {
        Showing { key_store, viewer, state, has_shown: Cell::new(false), withheld: RefCell::new(None) }
    }

    pub fn config(&self, config: &Arc<ConfigState>) -> Arc<ConfigState> {
        let schema = marking_schema(&config.id, self.state);
        let content = |entry: &LayerEntry| {
            let content = &entry.layer.content;
            let secrets = self.secrets_in(&config.id, &entry.key.scope, [content]);
            shown(self.key_store, &config.id, &entry.key, content, secrets, schema.as_deref())
        };
        config.with_contents(content)
    }

    /// Fails if the viewer may see secrets of the commit, and cannot be shown them now.
    pub fn commit(&self, mut sealed: Sealed) -> Result<Sealed, Withheld> {
        for change in &mut sealed.commit.changes {
            let schema = marking_schema(&change.id, self.state);
            for layer in &mut change.layers {
                if let Some(content) = &mut layer.content {
                    let secrets = self.secrets_in(&change.id, &layer.key.scope, [&*content]);
                    self.show(&change.id, &layer.key, secrets, content, schema.as_deref());
                }
            }
        }
        self.withheld.take().map_or(Ok(sealed), Err)
    }

    /// What was done is done: secrets that cannot be shown now are masked.
    pub fn outcome(&self, mut outcome: Outcome) -> Outcome {
        for LayerOutcome { id, key, before, after, secrets, proposed, .. } in &mut outcome.layers {
            let schema = marking_schema(id, self.state);
            let contents = after.iter().map(|layer| &layer.content);
            let contents = contents.chain(before.iter().map(|entry| &entry.layer.content));
            let shown = self.secrets_in(id, &key.scope, contents);
            if let Some(layer) = after {
                *secrets = places_in(self.key_store, id, &layer.content, shown, schema.as_deref());
                self.show(id, key, shown, &mut layer.content, schema.as_deref());
                if !proposed.is_empty() {
                    let mut value = layer.content.to_value();
                    mask(&mut value, &*proposed, &MASK.into());
                    layer.content = Content::of(&value);
                }
            }
            if let Some(entry) = before
                && let Some(content) =
                    self::shown(self.key_store, id, key, &entry.layer.content, shown, schema.as_deref())
            {
                *entry = entry.with_content(content);
            }
        }
        outcome
    }

    fn show(
        &self,
        id: &ConfigId,
        key: &LayerKey,
        secrets: Secrets,
        content: &mut Content,
        marking: Option<&Schema>,
    ) {
        if let Some(shown) = shown(self.key_store, id, key, content, secrets, marking) {
            *content = shown;
        }
    }

    /// How secrets in contents of a layer are shown. If there are any and they are shown as they are, that is recorded.
    fn secrets_in<'c>(
        &self,
        id: &ConfigId,
        scope: &Scope,
        contents: impl IntoIterator<Item = &'c Content>,
    ) -> Secrets {
        let secrets = Secrets::seen_by(&self.viewer.visibility, id, scope);
        let has_secrets = || contents.into_iter().any(|content| holds_sealed(content.as_str()));
        if secrets == Secrets::Hidden || !has_secrets() {
            return secrets;
        }
        match self.viewer.reveals(id, scope, self.has_shown.get()) {
            Ok(()) => {
                self.has_shown.set(true);
                Secrets::Revealed
            }
            Err(withheld) => {
                self.withheld.replace(Some(withheld));
                Secrets::Hidden
            }
        }
    }
}

/// The schema of a config, if it says what is to be hidden.
pub(in crate::engine) fn marking_schema(id: &ConfigId, state: &State) -> Option<Arc<Schema>> {
    let schema = state.governance(&id.namespace)?.schema(&id.config)?;
    schema.marks_secrets().then_some(schema)
}

/// Content of a layer as it is shown. `None`: as it is stored.
pub(in crate::engine) fn shown(
    key_store: &KeyStore,
    id: &ConfigId,
    key: &LayerKey,
    content: &Content,
    secrets: Secrets,
    marking: Option<&Schema>,
) -> Option<Content> {
    let marking = marking.filter(|_| secrets == Secrets::Hidden);
    if !holds_sealed(content.as_str()) && marking.is_none() {
        return None;
    }
    let opened = key_store.opened(id, content);
    let mut value = opened.value;
    match secrets {
        Secrets::Revealed => {}
        Secrets::Hidden => {
            let marked = marking.map(|schema| marked_pointers(schema, &value)).unwrap_or_default();
            // A value that is stored in clear text has no fingerprint: those of earlier versions would be compared with that of the secret.
            let mut places: BTreeMap<&Pointer, Option<&LayerKey>> =
                marked.iter().map(|at| (at, None)).collect();
            places.extend(opened.secrets.iter().map(|at| (at, Some(key))));
            hide(id, &mut value, places, key_store.fingerprinting_ring(&id.namespace).as_deref());
        }
    }
    Some(Content::of(&value))
}

/// Where a layer has secrets.
fn places_in(
    key_store: &KeyStore,
    id: &ConfigId,
    content: &Content,
    secrets: Secrets,
    marking: Option<&Schema>,
) -> SecretPlaces {
    if !holds_sealed(content.as_str()) && marking.is_none() {
        return SecretPlaces::default();
    }
    let opened = key_store.opened(id, content);
    let marked = marking.map(|schema| marked_pointers(schema, &opened.value)).unwrap_or_default();
    let all: BTreeSet<Pointer> = opened.secrets.into_iter().chain(marked).collect();
    SecretPlaces::new(all, &opened.value, secrets)
}

/// Where a schema says that a document has secrets. The whole is no secret: its members are.
pub(in crate::engine) fn marked_pointers(schema: &Schema, document: &Value) -> Vec<Pointer> {
    let pointers = schema.secret_pointers(document);
    let members = document.as_object().into_iter().flat_map(|members| members.keys());
    match pointers.contains("") {
        true => members.map(|name| Pointer::root().child(name)).collect(),
        false => pointers.iter().map(|text| Pointer::parse(text).expect("a schema tells pointers")).collect(),
    }
}

impl LayerEntry {
    /// The same layer with other content.
    pub(in crate::engine) fn with_content(&self, content: Content) -> Arc<LayerEntry> {
        let mut layer = self.layer.clone();
        layer.content = content;
        Arc::new(LayerEntry { key: self.key.clone(), layer })
    }
}
