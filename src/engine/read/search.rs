//! Search for values in the layers of configs, now or at a point in time. A secret is never found by its value. Knows points and history; never
//! messages.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::Value;

use super::history::{Made, made_by};
use super::namespace_point::{NamespaceAt, NamespacePoint};
use crate::engine::Engine;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::shown::{Viewer, marked_pointers, marking_schema};
use crate::engine::state::{ConfigState, LayerEntry, State};
use crate::model::pattern::KeyPattern;
use crate::model::{ConfigId, ConfigName, LayerKey, Namespace, Pointer, Revision, Scope, Version};
use crate::secret::{MASK, holds_sealed, mask};
use crate::store::Store;

/// The work of one page, in bytes of layers that are looked through, beside the layer that exceeds it.
const COST_MAX: usize = 32 << 20;
/// The work that looking at a config or a layer, and reading a commit, is, in such bytes.
const CONFIG_COST: usize = 128;
const LAYER_COST: usize = 64;
const COMMIT_COST: usize = 16 << 10;

/// What to search for: each that is set must match.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// Only this namespace, or this config of it.
    pub filter: Option<(Namespace, Option<ConfigName>)>,
    /// Only layers at or below this scope.
    pub within: Option<Scope>,
    pub key: Option<KeyPattern>,
    /// The value itself.
    pub value: Option<Value>,
    /// A part of a string, in lower case.
    pub text: Option<String>,
    /// Who made the layer what it is.
    pub actor: Option<String>,
    /// A part of the reason that they gave, in lower case.
    pub reason: Option<String>,
    /// A tag takes a namespace.
    pub at: NamespaceAt,
    pub after: Option<SearchCursor>,
}

/// Where a search goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchCursor {
    /// That of the first page.
    pub revision: Revision,
    pub id: ConfigId,
    /// After so many values of this layer. `None`: after the config.
    pub layer: Option<(LayerKey, usize)>,
}

/// A value that was found.
pub struct Found {
    pub id: ConfigId,
    pub key: LayerKey,
    pub pointer: Pointer,
    /// With a mask in the place of each secret within. `None`: it is a secret; or the query names no value, and it is the layer.
    pub value: Option<Value>,
    pub is_secret: bool,
    /// The version that made the layer what it is, and its commit, if that is retained.
    pub version: Version,
    pub made: Option<Made>,
}

impl Engine {
    /// Gives `take` one value after the other, until it breaks or the page has cost enough. Where the search goes on; `None`: it has ended. Also the
    /// revision that was searched.
    pub async fn search<P: Send + 'static>(
        &self,
        query: SearchQuery,
        viewer: Viewer,
        mut page: P,
        take: impl Fn(&mut P, Found) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(P, Revision, Option<SearchCursor>), Error> {
        let (store, key_store, state) = (self.store.clone(), self.key_store.clone(), self.state());
        let actor = viewer.visibility().caller().shared_actor().clone();
        let search = move |cancelled: &Cancelled| {
            let at = match (&query.at, &query.after) {
                (NamespaceAt::Tag(_), _) | (_, None) => query.at.clone(),
                (_, Some(after)) => NamespaceAt::Revision(after.revision),
            };
            let namespace = match &query.filter {
                Some((namespace, _)) => namespace.clone(),
                None => Namespace::reserved().clone(),
            };
            let point = NamespacePoint::of(&*store, &state, &namespace, &at)?;
            let revision = point.revision;
            let (store, key_store, state, viewer) = (&*store, &*key_store, &*state, &viewer);
            let mut searcher =
                Searcher { store, key_store, state, viewer, query: &query, point, cancelled, cost: 0 };
            let next = searcher.page(|found| take(&mut page, found))?;
            Ok((page, revision, next))
        };
        self.work(&actor, search).await
    }
}

struct Searcher<'a> {
    store: &'a dyn Store,
    key_store: &'a KeyStore,
    state: &'a State,
    viewer: &'a Viewer,
    query: &'a SearchQuery,
    point: NamespacePoint,
    cancelled: &'a Cancelled,
    /// In bytes.
    cost: usize,
}

impl Searcher<'_> {
    fn page(
        &mut self,
        mut take: impl FnMut(Found) -> ControlFlow<()>,
    ) -> Result<Option<SearchCursor>, Error> {
        let state = self.state;
        let after = self.query.after.as_ref();
        let namespace = self.query.filter.as_ref().map(|(namespace, _)| namespace);
        let first = namespace.map(ConfigId::first_of);
        // The config that the page before has begun.
        let begun = after.filter(|after| after.layer.is_some()).and_then(|after| state.config(&after.id));
        let rest = state.configs_after(after.map(|after| &after.id).or(first.as_ref()));
        let of_namespace = |config: &&Arc<ConfigState>| namespace.is_none_or(|of| config.id.namespace == *of);
        for current in begun.into_iter().chain(rest.take_while(of_namespace)) {
            self.cancelled.check()?;
            self.cost += CONFIG_COST;
            if self.is_searched(&current.id)
                && let Some(config) = self.point.config(self.store, current)?
                && let Some(layer) = self.config(&config, &mut take)?
            {
                let (revision, id) = (self.point.revision, current.id.clone());
                return Ok(Some(SearchCursor { revision, id, layer: Some(layer) }));
            }
            if self.cost > COST_MAX {
                let (revision, id) = (self.point.revision, current.id.clone());
                return Ok(Some(SearchCursor { revision, id, layer: None }));
            }
        }
        Ok(None)
    }

    /// System configs are searched if they are named.
    fn is_searched(&self, id: &ConfigId) -> bool {
        let only = self.query.filter.as_ref().and_then(|(_, config)| config.as_ref());
        let is_asked_for = match only {
            Some(only) => *only == id.config,
            None => id.system().is_none() && !id.namespace.is_reserved(),
        };
        is_asked_for && self.viewer.visibility().has_config(&id.namespace, &id.config)
    }

    /// Where the page ends within the config. `None`: the config has been searched.
    fn config(
        &mut self,
        config: &Arc<ConfigState>,
        take: &mut impl FnMut(Found) -> ControlFlow<()>,
    ) -> Result<Option<(LayerKey, usize)>, Error> {
        let after = self.query.after.as_ref().filter(|after| after.id == config.id);
        let begun = after.and_then(|after| after.layer.as_ref());
        let id = &config.id;
        if !self.point.is_now(self.state.config(id).unwrap_or(config)) {
            self.cost += config.layers().len() * LAYER_COST;
        }
        for entry in config.layers() {
            let key = &entry.key;
            if begun.is_some_and(|(begun, _)| key < begun) {
                continue;
            }
            self.cancelled.check()?;
            self.cost += LAYER_COST;
            let is_within = self.query.within.as_ref().is_none_or(|within| within.contains(&key.scope));
            if !is_within || !self.viewer.visibility().has(&id.namespace, &id.config, &key.scope) {
                continue;
            }
            let skipped = begun.filter(|(begun, _)| begun == key).map_or(0, |(_, skipped)| *skipped);
            let found = self.layer(config, entry)?;
            for (at, found) in found.into_iter().enumerate().skip(skipped) {
                if take(found).is_break() {
                    return Ok(Some((key.clone(), at + 1)));
                }
            }
            if self.cost > COST_MAX {
                return Ok(Some((key.clone(), usize::MAX)));
            }
        }
        Ok(None)
    }

    /// All values of a layer that match.
    fn layer(&mut self, config: &ConfigState, entry: &LayerEntry) -> Result<Vec<Found>, Error> {
        let SearchQuery { key, value, text, actor, reason, .. } = self.query;
        let content = &entry.layer.content;
        let names_value = key.is_some() || value.is_some() || text.is_some();
        let matches = match names_value {
            true => {
                let (document, secrets) = self.masked(&config.id, entry);
                // Without the lengths of secrets, which where a page ends must not tell.
                self.cost += match secrets.is_empty() {
                    true => content.as_str().len(),
                    false => document.to_string().len(),
                };
                let mut walk = Walk { query: self.query, secrets: &secrets, place: vec![], found: vec![] };
                walk.value(&document, false);
                walk.found
            }
            false => vec![(Pointer::root(), None, false)],
        };
        if matches.is_empty() {
            return Ok(vec![]);
        }
        let version = entry.layer.version;
        self.cost += COMMIT_COST;
        let made = made_by(self.store, &config.id, version)?;
        let by = made.as_ref().and_then(|made| made.by.as_ref());
        let is_actor = actor.as_ref().is_none_or(|actor| by.is_some_and(|by| by.author.actor == *actor));
        let is_reason = reason
            .as_ref()
            .is_none_or(|reason| by.is_some_and(|by| by.reason.to_lowercase().contains(reason)));
        if !is_actor || !is_reason {
            return Ok(vec![]);
        }
        let found = matches.into_iter().map(|(pointer, value, is_secret)| Found {
            id: config.id.clone(),
            key: entry.key.clone(),
            pointer,
            value,
            is_secret,
            version,
            made: made.clone(),
        });
        Ok(found.collect())
    }

    /// A layer with a mask in the place of each secret, and these places.
    fn masked(&self, id: &ConfigId, entry: &LayerEntry) -> (Value, BTreeSet<Pointer>) {
        let content = &entry.layer.content;
        let marking = marking_schema(id, self.state);
        if marking.is_none() && !holds_sealed(content.as_str()) {
            return (content.to_value(), BTreeSet::new());
        }
        let opened = self.key_store.opened(id, content);
        let marked = marking.map(|schema| marked_pointers(&schema, &opened.value)).unwrap_or_default();
        let secrets: BTreeSet<Pointer> = opened.secrets.into_iter().chain(marked).collect();
        let mut document = opened.value;
        mask(&mut document, &secrets, &MASK.into());
        (document, secrets)
    }
}

/// Goes through a document.
struct Walk<'a> {
    query: &'a SearchQuery,
    secrets: &'a BTreeSet<Pointer>,
    place: Vec<String>,
    /// Place, value, and whether it is a secret.
    found: Vec<(Pointer, Option<Value>, bool)>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, is_element: bool) {
        let pointer = || self.place.iter().cloned().collect::<Pointer>();
        let is_secret = !self.secrets.is_empty() && self.secrets.contains(&pointer());
        if self.has_key(is_element) && self.has_value(value, is_secret) {
            let pointer = pointer();
            self.found.push((pointer, (!is_secret).then(|| value.clone()), is_secret));
        }
        if is_secret {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.place.push(name.clone());
                    self.value(member, false);
                    self.place.pop();
                }
            }
            Value::Array(elements) => {
                for (at, element) in elements.iter().enumerate() {
                    self.place.push(at.to_string());
                    self.value(element, true);
                    self.place.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn has_key(&self, is_element: bool) -> bool {
        match &self.query.key {
            None => true,
            // The index of an element is no name.
            Some(KeyPattern::Name(_)) if is_element => false,
            Some(key) => key.matches(&self.place.iter().map(String::as_str).collect::<Vec<_>>()),
        }
    }

    fn has_value(&self, value: &Value, is_secret: bool) -> bool {
        let SearchQuery { value: wanted, text, .. } = self.query;
        if wanted.is_none() && text.is_none() {
            return true;
        }
        !is_secret
            && wanted.as_ref().is_none_or(|wanted| wanted == value)
            && text.as_ref().is_none_or(|text| {
                value.as_str().is_some_and(|value| value.to_lowercase().contains(text.as_str()))
            })
    }
}
