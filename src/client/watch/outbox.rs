//! The updates that the application has not received yet. Pure. Has names and digests, no documents: the application receives the state at
//! the time of its call, so memory is bounded by the targets.

use std::collections::{BTreeMap, BTreeSet};

use super::Event;
use super::held::{EventKind, Folded, Held, Key};
use crate::proto::v1::{State, TargetState};

/// What to tell next, merged into as few events as tell it all.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What may differ from what was told.
    dirty: BTreeSet<Key>,
    /// The digest told last of each target; `None`: it was told to be absent.
    told: BTreeMap<Key, Option<String>>,
    from_cache: bool,
    /// A snapshot came, and whether it was a reset.
    snapshot: Option<bool>,
    progress: bool,
}

impl Outbox {
    /// Whatever is held now came from the cache.
    pub(super) fn add_cache(&mut self, held: &Held) {
        self.dirty.extend(held.states().map(|(key, _)| key.clone()));
        self.from_cache = !self.dirty.is_empty();
    }

    pub(super) fn add(&mut self, folded: Folded, held: &Held) {
        match folded.kind {
            EventKind::Snapshot { reset } => self.snapshot = Some(reset || self.snapshot == Some(true)),
            EventKind::Update | EventKind::Progress => {}
        }
        self.progress = true;
        for key in folded.changed {
            if held.state(&key).is_some() || self.told.contains_key(&key) {
                self.dirty.insert(key);
            } else {
                // Came and went before anyone was told.
                self.dirty.remove(&key);
            }
        }
    }

    /// The next event, if there is something to tell.
    pub(super) fn take(&mut self, held: &Held) -> Option<Event> {
        if self.snapshot.is_none() && !self.from_cache && !self.progress {
            return None;
        }
        let dirty = std::mem::take(&mut self.dirty);
        let changed: Vec<_> = dirty.into_iter().filter_map(|key| self.tell(key, held)).collect();
        let revision = held.revision();
        let (snapshot, from_cache) = (self.snapshot.take(), std::mem::take(&mut self.from_cache));
        self.progress = false;
        Some(match (snapshot, from_cache, changed.is_empty()) {
            (Some(reset), _, _) => Event::Snapshot { revision, changed, reset },
            (None, true, _) => Event::FromCache(changed),
            (None, false, false) => Event::Update { revision, changed },
            (None, false, true) => Event::Progress { revision },
        })
    }

    /// The state of a target, unless it is the one that was told.
    fn tell(&mut self, key: Key, held: &Held) -> Option<TargetState> {
        let state = held.state(&key);
        let document = state.flatten().cloned();
        let digest = document.as_ref().map(|document| document.digest.clone());
        let told = match state {
            Some(_) => self.told.insert(key.clone(), digest.clone()),
            // Gone for good: nothing to compare with later, so not to be told if it never was.
            None => Some(self.told.remove(&key).flatten()),
        };
        (told != Some(digest)).then(|| TargetState {
            target: Some(key.target()),
            state: if document.is_some() { State::Present } else { State::Absent }.into(),
            document,
        })
    }
}
