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

/// Streams that are woken before others may come and go.
const WAKES_MAX: usize = 256;

/// What every stream of the target is told, and the streams.
pub(super) struct SharedTarget {
    pub target: Arc<Target>,
    /// Replaced by the hub when a commit can have changed it. A stream looks at it without a lock.
    told: ArcSwap<SharedDocument>,
    /// The streams that follow nothing else. They come under the lock of the table, too.
    alone: Mutex<Followers>,
    /// Those that follow other targets as well.
    among: Mutex<Followers>,
}

impl SharedTarget {
    pub fn new(target: Target, state: &State) -> SharedTarget {
        let target = Arc::new(target);
        let told = ArcSwap::from_pointee(SharedDocument::new(target.clone(), state));
        SharedTarget { target, told, alone: Mutex::default(), among: Mutex::default() }
    }

    /// What streams are told now. To be held for a moment only.
    pub fn told(&self) -> Guard<Arc<SharedDocument>> {
        self.told.load()
    }

    /// Looks at a new state. Whether there is something to tell.
    pub fn advance(&self, state: &State, resolver: &Resolver) -> bool {
        let told = SharedDocument::new(self.target.clone(), state);
        let repeats = told.repeats(&self.told(), resolver);
        // Also if it repeats: who comes now is told the current version.
        self.told.store(Arc::new(told));
        !repeats
    }

    /// The same, but leaves it to whoever asks first to make the document. Gives what streams were told before, if that was made.
    pub fn postpone(&self, state: &State) -> Known {
        self.told.swap(Arc::new(SharedDocument::new(self.target.clone(), state))).known()
    }

    /// Whether streams that were told this before have something to be told.
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
            // The hub is about to move on to the next one.
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
            // Not if the hub has told something newer meanwhile.
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

    /// Wakes the streams that follow nothing else. They may be very many: one that comes or goes does not wait for the last.
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
