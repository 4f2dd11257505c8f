//! How many streams of one kind each actor has open, so that none takes all that there may be. Knows actors by name; not what is streamed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::{Caller, Credential};
use crate::model::limits::Limits;

use super::error::{Error, Limit};

/// Counts the streams that are open.
pub(super) struct ActorStreams {
    max: usize,
    what: &'static str,
    open: Mutex<HashMap<Arc<str>, usize>>,
    refused: AtomicU64,
}

/// A stream that is counted until it is dropped. Without an actor, nothing is.
pub(super) struct ActorStream(Option<(Arc<ActorStreams>, Arc<str>)>);

impl ActorStreams {
    /// `what` they are, for people.
    pub fn of(what: &'static str, limits: &Limits) -> Arc<ActorStreams> {
        let max = limits.watchers_of_actor_max;
        Arc::new(ActorStreams { max, what, open: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// Counts one more stream of a caller, or refuses it. Who is believed without proof has no limit: anybody can claim another name.
    pub fn open(self: &Arc<ActorStreams>, caller: &Caller) -> Result<ActorStream, Error> {
        if *caller.credential() == Credential::Unverified {
            return Ok(ActorStream(None));
        }
        let actor = caller.shared_actor();
        let mut open = self.lock();
        let count = match open.get_mut(actor) {
            Some(count) => count,
            None => open.entry(actor.clone()).or_default(),
        };
        if *count >= self.max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Error::LimitReached {
                limit_name: Limit::WatchersOfActor,
                what: self.what,
                found: *count,
                limit: self.max,
            });
        }
        *count += 1;
        drop(open);
        Ok(ActorStream(Some((self.clone(), actor.clone()))))
    }

    /// Streams that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActorStream {
    fn drop(&mut self) {
        let Some((streams, actor)) = self.0.take() else { return };
        if let Entry::Occupied(mut count) = streams.lock().entry(actor) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
