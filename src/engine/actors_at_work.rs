//! Which actors do something that each may do once at a time. Knows names alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The actors who are at work.
#[derive(Debug, Default)]
pub(in crate::engine) struct ActorsAtWork(Mutex<BTreeSet<String>>);

/// An actor who is at work until this is dropped.
#[derive(Debug)]
pub(in crate::engine) struct ActorAtWork {
    all: Arc<ActorsAtWork>,
    actor: String,
}

impl ActorsAtWork {
    /// Lets an actor begin. `None`: the actor is at work.
    pub fn enter(self: &Arc<ActorsAtWork>, actor: &str) -> Option<ActorAtWork> {
        let is_new = self.names().insert(actor.to_owned());
        is_new.then(|| ActorAtWork { all: self.clone(), actor: actor.to_owned() })
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActorAtWork {
    fn drop(&mut self) {
        self.all.names().remove(&self.actor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_at_work_once_and_others_meanwhile() {
        let actors = Arc::new(ActorsAtWork::default());
        let first = actors.enter("a").expect("free");
        assert!(actors.enter("a").is_none());
        let _other = actors.enter("b").expect("another one");
        drop(first);
        assert!(actors.enter("a").is_some());
    }
}
