//! Places for streams of one kind: a limit for the server, and one for each actor, so that no actor takes all. Knows callers; not what is streamed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Caller;
use crate::engine::{ActorStream, ActorStreams, Error, Limit};

/// Clones share the places.
#[derive(Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    of_actors: Arc<ActorStreams>,
    max: usize,
    /// The streams of the server, for people.
    what: &'static str,
}

/// A place that is taken until this is dropped.
pub struct Place {
    _any: OwnedSemaphorePermit,
    _of_actor: ActorStream,
}

impl Places {
    /// `what` the streams are, for people: those of the server, and those of an actor.
    pub fn new(max: usize, of_actor_max: usize, what: [&'static str; 2]) -> Places {
        let [what, of_actor] = what;
        let of_actors = ActorStreams::at_most(of_actor_max, of_actor);
        Places { all: Arc::new(Semaphore::new(max)), of_actors, max, what }
    }

    /// A place for a stream of a caller. Refused if the caller, or all callers together, have as many as there may be.
    pub fn take(&self, caller: &Caller) -> Result<Place, Error> {
        let of_actor = self.of_actors.open(caller)?;
        let any = self.all.clone().try_acquire_owned().map_err(|_| Error::LimitReached {
            limit_name: Limit::Watchers,
            what: self.what.into(),
            found: self.max,
            limit: self.max,
        })?;
        Ok(Place { _any: any, _of_actor: of_actor })
    }
}
