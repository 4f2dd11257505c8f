//! Limits the open streams of one kind for each actor, and the configs that they follow. Knows actors by name; not what is streamed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::{Caller, Credential};
use crate::model::limits::Limits;

use super::error::{Error, Limit};

/// Counts the streams that are open, and the configs that they follow.
pub struct ActorStreams {
    max: usize,
    configs_max: usize,
    what: &'static str,
    open: Mutex<HashMap<Arc<str>, Open>>,
    refused: AtomicU64,
}

#[derive(Clone, Copy, Default)]
struct Open {
    streams: usize,
    configs: usize,
}

/// A stream that is counted until it is dropped. Without an actor, nothing is.
pub struct ActorStream {
    of: Option<(Arc<ActorStreams>, Arc<str>)>,
    /// With what its labels count for. There may be very many streams: these are small.
    configs: u32,
    labels: u32,
}

/// Labels count for one config that is followed for each so many bytes: as much memory as a target takes.
const LABEL_BYTES_OF_CONFIG: usize = 1 << 10;

/// Namespaces can grow while streams follow them. Then an actor may follow so many times as many configs as streams may be opened for.
const GROWTH_MAX: usize = 2;

impl ActorStreams {
    /// `what` they are, for people.
    pub(super) fn of(what: &'static str, limits: &Limits) -> Arc<ActorStreams> {
        ActorStreams::new(what, limits.watchers_of_actor_max, limits.watched_configs_of_actor_max)
    }

    /// Of streams that follow no configs of their own.
    pub fn at_most(max: usize, what: &'static str) -> Arc<ActorStreams> {
        ActorStreams::new(what, max, usize::MAX)
    }

    fn new(what: &'static str, max: usize, configs_max: usize) -> Arc<ActorStreams> {
        Arc::new(ActorStreams { max, configs_max, what, open: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// Counts one more stream of a caller, or refuses it. Callers that are believed without proof have no limit: anybody can claim another name.
    pub fn open(self: &Arc<ActorStreams>, caller: &Caller) -> Result<ActorStream, Error> {
        self.open_following(caller, 0, 0)
    }

    /// The same for a stream that follows so many configs, and whose client has labels of so many bytes.
    pub(super) fn open_following(
        self: &Arc<ActorStreams>,
        caller: &Caller,
        configs: usize,
        label_bytes: usize,
    ) -> Result<ActorStream, Error> {
        let labels = small(label_bytes / LABEL_BYTES_OF_CONFIG);
        let configs = small(configs).saturating_add(labels);
        if *caller.credential() == Credential::Unverified {
            return Ok(ActorStream { of: None, configs, labels });
        }
        let actor = caller.shared_actor();
        let mut open = self.lock();
        let count = match open.get_mut(actor) {
            Some(count) => count,
            None => open.entry(actor.clone()).or_default(),
        };
        if count.streams >= self.max {
            let found = count.streams;
            return Err(self.refuse(Limit::WatchersOfActor, self.what, found, self.max));
        }
        let followed = count.configs.saturating_add(configs as usize);
        if followed > self.configs_max {
            if count.streams == 0 {
                open.remove(actor);
            }
            return Err(self.refuse_configs(followed));
        }
        *count = Open { streams: count.streams + 1, configs: followed };
        drop(open);
        Ok(ActorStream { of: Some((self.clone(), actor.clone())), configs, labels })
    }

    fn refuse_configs(&self, found: usize) -> Error {
        let what = "configs followed by the watch streams of this actor, and KiB of their labels";
        self.refuse(Limit::WatchedConfigsOfActor, what, found, self.configs_max)
    }

    fn refuse(&self, limit_name: Limit, what: &'static str, found: usize, limit: usize) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::LimitReached { limit_name, what: what.into(), found, limit }
    }

    /// Streams that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActorStream {
    /// Counts that the stream follows so many configs by now. Fails if that is far more than its actor may follow.
    pub(super) fn grow(&mut self, configs: usize) -> Result<(), Error> {
        let configs = small(configs).saturating_add(self.labels);
        let more = configs.saturating_sub(self.configs) as usize;
        let Some((streams, actor)) = self.of.as_ref().filter(|_| more > 0) else { return Ok(()) };
        let mut open = streams.lock();
        let count = open.entry(actor.clone()).or_default();
        let followed = count.configs.saturating_add(more);
        if followed > streams.configs_max.saturating_mul(GROWTH_MAX) {
            drop(open);
            return Err(streams.refuse_configs(followed));
        }
        count.configs = followed;
        self.configs = configs;
        Ok(())
    }
}

impl Drop for ActorStream {
    fn drop(&mut self) {
        let Some((streams, actor)) = self.of.take() else { return };
        if let Entry::Occupied(mut count) = streams.lock().entry(actor) {
            let open = count.get_mut();
            (open.streams, open.configs) = (open.streams - 1, open.configs - self.configs as usize);
            if open.streams == 0 {
                count.remove();
            }
        }
    }
}

/// Of the configs that a stream follows, far fewer can be in memory.
fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
