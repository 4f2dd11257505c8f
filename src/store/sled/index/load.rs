//! Reading the current state of everything, for the start of a server: one pass over each tree that holds it. Knows trees; not whether
//! they are up to date.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sled::IVec;

use super::layers::{parse_current, parse_tag};
use super::trees::Trees;
use super::{chunk, keys, record};
use crate::model::scope::ScopeError;
use crate::model::{Layer, LayerKey, Namespace, Scope};
use crate::store::codec::kind_of;
use crate::store::sled::{corrupt, guarded, place};
use crate::store::{ConfigRecord, StoreError};

/// Layers that go from one thread to the other at once, and bytes of them.
const BATCH_LAYERS: usize = 256;
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for the second thread.
const BATCHES_MAX: usize = 8;

/// A layer with its key in `current`.
type CurrentLayer = (IVec, LayerKey, Layer);

impl Trees {
    /// The current state of every config, in the order of their ids.
    ///
    /// A second thread reads the layers and checks their digests, which is the larger half of the work.
    pub fn load(&self, visit: &mut dyn FnMut(ConfigRecord)) -> Result<(), StoreError> {
        thread::scope(|scope| {
            let (sender, receiver) = sync_channel(BATCHES_MAX);
            let reader = scope.spawn(move || guarded(|| self.read_layers(sender)));
            let visited = self.visit_configs(receiver, visit);
            // What the reader could not read is why there was too little to visit.
            reader.join().expect("panics are caught within")?;
            visited
        })
    }

    /// Sends the layers in the order of their keys, until there are no more or nobody wants them.
    fn read_layers(&self, sender: SyncSender<Vec<CurrentLayer>>) -> Result<(), StoreError> {
        let mut scopes = Scopes::default();
        let (mut batch, mut bytes) = (Vec::with_capacity(BATCH_LAYERS), 0);
        let mut items = self.current.iter().peekable();
        while let Some((key, value)) = chunk::next(&self.current, &mut items)? {
            let damaged = |what: &str| corrupt(place(&self.current, &key), what);
            let parsed = keys::split_layer(&key).and_then(|(kind, scope)| {
                Some(LayerKey { kind: kind_of(kind).ok()?, scope: scopes.parse(scope).ok()? })
            });
            let layer_key = parsed.ok_or_else(|| damaged("not the key of a layer"))?;
            let layer = parse_current(&value).map_err(|what| damaged(&what))?;
            bytes += value.len();
            batch.push((key, layer_key, layer));
            if batch.len() == BATCH_LAYERS || bytes > BATCH_BYTES {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_LAYERS));
                if sender.send(full).is_err() {
                    return Ok(());
                }
                bytes = 0;
            }
        }
        // Nobody wants it if an error was found.
        let _ = sender.send(batch);
        Ok(())
    }

    /// Puts together what belongs to each config: all three trees are in the order of configs.
    fn visit_configs(
        &self,
        layers: Receiver<Vec<CurrentLayer>>,
        visit: &mut dyn FnMut(ConfigRecord),
    ) -> Result<(), StoreError> {
        let mut layers = layers.into_iter().flatten().peekable();
        let mut tags = self.tags.iter().peekable();
        let mut namespace: Option<Namespace> = None;
        for entry in &self.configs {
            let (key, value) = entry?;
            let damaged = || corrupt(place(&self.configs, &key), "not the version of a config");
            let (mut id, _) = keys::parse_config(&key).ok_or_else(damaged)?;
            // One text for all configs of a namespace.
            match namespace.as_ref().filter(|namespace| **namespace == id.namespace) {
                Some(namespace) => id.namespace = namespace.clone(),
                None => namespace = Some(id.namespace.clone()),
            }
            let at = record::decode_config(&value).ok_or_else(damaged)?;
            let mut record = ConfigRecord { id, at, layers: Vec::new(), tags: Default::default() };
            while let Some((_, layer_key, layer)) = layers.next_if(|(part, ..)| part.starts_with(&key)) {
                record.layers.push((layer_key, layer));
            }
            let is_here = |tag: &sled::Result<(IVec, IVec)>| {
                tag.as_ref().map_or(true, |(tag_key, _)| tag_key.starts_with(&key))
            };
            while let Some(tag) = tags.next_if(is_here) {
                let (tag_key, value) = tag?;
                let (name, version) = parse_tag(&key, &tag_key, &value)
                    .ok_or_else(|| corrupt(place(&self.tags, &tag_key), "not a tag of a version"))?;
                record.tags.insert(name, version);
            }
            visit(record);
        }
        if let Some((key, ..)) = layers.next() {
            return Err(corrupt(place(&self.current, &key), "a layer of no config"));
        }
        match tags.next() {
            Some(tag) => Err(corrupt(place(&self.tags, &tag?.0), "a tag of no config")),
            None => Ok(()),
        }
    }
}

/// Scopes that were met, so that the same scope of many configs is one text. A few thousand, each in the one place that its hash
/// says: where there are more, most are of one config only.
struct Scopes(Vec<Scope>);

impl Default for Scopes {
    fn default() -> Scopes {
        Scopes(vec![Scope::global(); 4096])
    }
}

impl Scopes {
    fn parse(&mut self, text: &str) -> Result<Scope, ScopeError> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let place = hasher.finish() as usize % self.0.len();
        if self.0[place].as_str() != text {
            self.0[place] = Scope::parse(text)?;
        }
        Ok(self.0[place].clone())
    }
}
