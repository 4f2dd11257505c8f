//! What is seen of secrets: content as it is shown to who asks, which is never as it is stored. Knows states and the vault; not who asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::model::{Commit, ConfigId, Content, LayerChange, Pointer};
use crate::secret::{hide, holds_sealed};
use crate::store::Sealed;
use crate::validate::Schema;

use super::state::{ConfigState, LayerEntry, State};
use super::vault::Vault;
use super::write::{LayerOutcome, Outcome};

/// How secrets stand in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Secrets {
    /// As a fingerprint each, which changes when they do.
    Hidden,
    /// As they are.
    Revealed,
}

/// Shows content that is stored.
pub(super) struct Sight<'a> {
    pub vault: &'a Vault,
    pub secrets: Secrets,
    /// By its schemas it is told what is secret now, and was stored in plain text before it was marked.
    pub state: &'a State,
}

impl Sight<'_> {
    pub fn content(&self, id: &ConfigId, content: &Content) -> Content {
        let schema = marking_schema(id, self.secrets, self.state);
        shown(self.vault, id, content, self.secrets, schema.as_deref()).unwrap_or_else(|| content.clone())
    }

    pub fn config(&self, config: &Arc<ConfigState>) -> Arc<ConfigState> {
        let schema = marking_schema(&config.id, self.secrets, self.state);
        config.with_contents(|entry| {
            shown(self.vault, &config.id, &entry.layer.content, self.secrets, schema.as_deref())
        })
    }

    pub fn commit(&self, mut sealed: Sealed) -> Sealed {
        self.show(&mut sealed.commit);
        sealed
    }

    fn show(&self, commit: &mut Commit) {
        for change in &mut commit.changes {
            let show = |layer: &mut LayerChange| {
                layer.content = layer.content.as_ref().map(|content| self.content(&change.id, content));
            };
            change.layers.iter_mut().for_each(show);
        }
    }

    pub fn outcome(&self, mut outcome: Outcome) -> Outcome {
        for LayerOutcome { id, before, after, .. } in &mut outcome.layers {
            if let Some(layer) = after {
                layer.content = self.content(id, &layer.content);
            }
            *before = before.take().map(|entry| {
                let content = self.content(id, &entry.layer.content);
                entry.with_content(content)
            });
        }
        outcome
    }
}

/// The schema of a config, if it says what is to be hidden.
pub(super) fn marking_schema(id: &ConfigId, secrets: Secrets, state: &State) -> Option<Arc<Schema>> {
    match secrets {
        Secrets::Hidden => {
            let schema = state.governance(&id.namespace)?.schema(&id.config)?;
            schema.marks_secrets().then_some(schema)
        }
        Secrets::Revealed => None,
    }
}

/// Content as it is shown. `None`: as it is stored.
pub(super) fn shown(
    vault: &Vault,
    id: &ConfigId,
    content: &Content,
    secrets: Secrets,
    marking: Option<&Schema>,
) -> Option<Content> {
    if !holds_sealed(content.as_str()) && marking.is_none() {
        return None;
    }
    let opened = vault.opened(id, content);
    let mut value = opened.value;
    match secrets {
        Secrets::Revealed => {}
        Secrets::Hidden => {
            let marked = marking.map(|schema| marked_pointers(schema, &value)).unwrap_or_default();
            let all: BTreeSet<&Pointer> = opened.secrets.iter().chain(&marked).collect();
            hide(id, &mut value, all, vault.ring(&id.namespace).as_deref());
        }
    }
    Some(Content::of(&value))
}

/// Where a schema says that a document has secrets. The whole is no secret: its members are.
pub(super) fn marked_pointers(schema: &Schema, document: &Value) -> Vec<Pointer> {
    let pointers = schema.secret_pointers(document);
    let members = document.as_object().into_iter().flat_map(|members| members.keys());
    match pointers.contains("") {
        true => members.map(|name| Pointer::root().child(name)).collect(),
        false => pointers.iter().map(|text| Pointer::parse(text).expect("a schema tells pointers")).collect(),
    }
}

impl LayerEntry {
    /// The same layer with other content.
    pub(super) fn with_content(&self, content: Content) -> Arc<LayerEntry> {
        let mut layer = self.layer.clone();
        layer.content = content;
        Arc::new(LayerEntry { key: self.key.clone(), layer })
    }
}
