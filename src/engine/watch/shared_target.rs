//! A watched target: the update that all of its streams share, and the list of these streams. Knows nothing of the table that has it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arc_swap::{ArcSwap, Guard};

use crate::model::Version;

use super::followers::Followers;
use super::message::Known;
use super::shared_document::SharedDocument;
use super::subscriber_id::SubscriberId;
use crate::engine::read::resolve::{Resolved, Resolver, Target};
use crate::engine::state::State;

/// The number of streams that are woken before streams can be added and removed again.
const WAKES_MAX: usize = 256;

/// The document of the target for every stream, and the streams.
pub(super) struct SharedTarget {
    pub target: Arc<Target>,
    /// Replaced by the hub when a commit can have changed the document. A stream reads it without a lock.
    told: ArcSwap<SharedDocument>,
    /// The streams with this single target. Streams are added under the lock of the table, too.
    alone: Mutex<Followers>,
    /// The streams that follow other targets as well.
    among: Mutex<Followers>,
}

impl SharedTarget {
    pub fn new(target: Target, state: &State) -> SharedTarget {
        let target = Arc::new(target);
        let told = ArcSwap::from_pointee(SharedDocument::new(target.clone(), state));
        SharedTarget { target, told, alone: Mutex::default(), among: Mutex::default() }
    }

    /// The current document for streams. Hold the guard for a moment only.
    pub fn told(&self) -> Guard<Arc<SharedDocument>> {
        self.told.load()
    }

    /// Advances to a new state. Whether the document has changed.
    pub fn advance(&self, state: &State, resolver: &Resolver) -> bool {
        let told = SharedDocument::new(self.target.clone(), state);
        let repeats = told.repeats(&self.told(), resolver);
        // Replaced also if the document is the same: new streams are sent the current version.
        self.told.store(Arc::new(told));
        !repeats
    }

    /// The same, but the first stream that needs the document makes it. Gives the document before, if it was made.
    pub fn postpone(&self, state: &State) -> Known {
        self.told.swap(Arc::new(SharedDocument::new(self.target.clone(), state))).known()
    }

    /// Whether the document differs from an earlier one that streams were sent.
    pub fn has_news_since(&self, before: Known, resolver: &Resolver) -> bool {
        let told = self.told.load_full();
        let now = told.digest(resolver).map_or(Known::Absent, Known::Document);
        before == Known::Nothing || before != now
    }

    /// The document as of a state that is or was that of the hub.
    pub fn document_at(&self, state: &State, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let told = self.told();
        match told.revision <= state.revision {
            true => told.document(resolver),
            // The hub is about to advance to the next state.
            false => resolver.resolve_in(state, &self.target),
        }
    }

    /// The same with the version that the config has in that state: elsewhere the config may have changed since the target did.
    pub fn current_document_at(&self, state: &State, resolver: &Resolver) -> Option<Arc<Resolved>> {
        let told = self.told();
        let version = state.config(&self.target.id).map_or(Version::ZERO, |config| config.at.version);
        if told.revision <= state.revision && told.version < version {
            let current = Arc::new(SharedDocument::new(self.target.clone(), state));
            let document = current.document(resolver);
            // Unless the hub has set a newer document meanwhile.
            self.told.compare_and_swap(&*told, current);
            return document;
        }
        drop(told);
        self.document_at(state, resolver)
    }

    pub fn alone(&self) -> MutexGuard<'_, Followers> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn among(&self) -> MutexGuard<'_, Followers> {
        self.among.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the streams with this single target. There may be very many: adding or removing a stream does not wait for all of them.
    pub fn wake_alone(&self, wakers: &mut Vec<Waker>) {
        let mut after = SubscriberId(0);
        loop {
            let alone = self.alone();
            let mut looked = 0;
            for (_, subscriber) in alone.after(after).take(WAKES_MAX) {
                after = subscriber.id;
                looked += 1;
                wakers.extend(subscriber.take_waker());
            }
            drop(alone);
            wakers.drain(..).for_each(Waker::wake);
            if looked < WAKES_MAX {
                return;
            }
        }
    }
}
