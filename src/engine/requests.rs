//! Idempotency: which request ids were used, and what came of them, for 24 hours.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Commit, Digest, Request, Revision, Timestamp};

use super::write::Outcome;

/// How long a request id is remembered, unless there are too many.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// The request ids of the last 24 hours, the newest of them if there are more than are remembered. Those that made a commit are in
/// the journal, too, and are read back from it at the start; those that changed nothing are only known to the process.
pub(super) struct Requests {
    ids_max: usize,
    known: HashMap<Arc<str>, Known>,
    /// By the time they were used, which is the order of their revisions.
    order: VecDeque<(Timestamp, Arc<str>)>,
}

struct Known {
    fingerprint: Digest,
    first: First,
}

/// What the first request with an id came to.
#[derive(Clone)]
pub(super) enum First {
    /// The commit of this revision tells.
    Commit(Revision),
    Nothing(Arc<Outcome>),
}

/// The id was used for another request.
pub(super) struct Reused(pub Revision);

impl First {
    /// What it came to stands if this revision does.
    fn revision(&self) -> Revision {
        match self {
            First::Commit(revision) => *revision,
            First::Nothing(outcome) => outcome.revision,
        }
    }
}

impl Requests {
    /// Remembers so many.
    pub fn new(ids_max: usize) -> Requests {
        Requests { ids_max, known: HashMap::new(), order: VecDeque::new() }
    }

    /// What the request came to, if it was there before. `keyed` is the fingerprint that it has if it has secrets.
    pub fn first(
        &self,
        request: &Request,
        keyed: impl FnOnce() -> Option<Digest>,
    ) -> Result<Option<First>, Reused> {
        let Some(known) = self.known.get(&*request.id) else {
            return Ok(None);
        };
        if known.fingerprint == request.fingerprint || Some(known.fingerprint) == keyed() {
            return Ok(Some(known.first.clone()));
        }
        Err(Reused(known.first.revision()))
    }

    /// Remembers a request, and forgets those older than the window, and the oldest of too many.
    pub fn remember(&mut self, request: &Request, first: First, now: Timestamp) {
        while let Some((time, _)) = self.order.front()
            && (*time < now.minus(REQUEST_WINDOW) || self.order.len() >= self.ids_max)
        {
            let (_, id) = self.order.pop_front().expect("there is a front");
            self.known.remove(&id);
        }
        let id: Arc<str> = request.id.as_str().into();
        self.known.insert(id.clone(), Known { fingerprint: request.fingerprint, first });
        self.order.push_back((now, id));
    }

    /// Remembers what a commit of the journal says.
    pub fn recall(&mut self, commit: &Commit) {
        if let Some(request) = &commit.request {
            self.remember(request, First::Commit(commit.revision), commit.time);
        }
    }

    /// Forgets the requests that came to something after `revision`: it did not come about.
    pub fn forget_after(&mut self, revision: Revision) {
        while let Some((_, id)) = self.order.back()
            && self.known.get(id).is_some_and(|known| known.first.revision() > revision)
        {
            self.known.remove(id);
            self.order.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str) -> Request {
        Request { id: id.into(), fingerprint: Digest::of(b"a") }
    }

    fn remember(requests: &mut Requests, id: &str, revision: u64, time: i64) {
        requests.remember(&request(id), First::Commit(Revision(revision)), Timestamp(time));
    }

    fn knows(requests: &Requests, id: &str) -> bool {
        matches!(requests.first(&request(id), || None), Ok(Some(_)))
    }

    #[test]
    fn requests_are_known_for_a_day() {
        let mut requests = Requests::new(10);
        let day = REQUEST_WINDOW.as_micros() as i64;
        remember(&mut requests, "a", 1, 0);
        remember(&mut requests, "b", 2, day);
        assert!(matches!(requests.first(&request("a"), || None), Ok(Some(First::Commit(Revision(1))))));
        remember(&mut requests, "c", 3, day + 1);
        assert!(matches!(requests.first(&request("a"), || None), Ok(None)));
        assert!(matches!(requests.first(&request("b"), || None), Ok(Some(_))));
        let other = Request { id: "b".into(), fingerprint: Digest::of(b"b") };
        assert!(matches!(requests.first(&other, || None), Err(Reused(Revision(2)))));
    }

    #[test]
    fn of_too_many_requests_the_oldest_are_forgotten() {
        let mut requests = Requests::new(2);
        for (revision, id) in [(1, "a"), (2, "b"), (3, "c")] {
            remember(&mut requests, id, revision, 0);
        }
        assert!(!knows(&requests, "a") && knows(&requests, "b") && knows(&requests, "c"));
    }

    #[test]
    fn what_did_not_come_about_is_forgotten_and_can_be_asked_again() {
        let mut requests = Requests::new(10);
        for (revision, id) in [(1, "a"), (2, "b"), (3, "c")] {
            remember(&mut requests, id, revision, 0);
        }
        requests.forget_after(Revision(1));
        assert!(knows(&requests, "a") && !knows(&requests, "b") && !knows(&requests, "c"));
        remember(&mut requests, "c", 2, 0);
        requests.forget_after(Revision(2));
        assert!(knows(&requests, "a") && knows(&requests, "c"));
    }
}
