//! Idempotency: which request ids were used, and what came of them, for 24 hours.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Commit, Digest, Request, Revision, Timestamp};

use super::write::Outcome;

/// How long a request id is remembered.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// The request ids of the last 24 hours. Those that made a commit are in the journal, too, and are read back from it at
/// the start; those that changed nothing are only known to the process.
#[derive(Default)]
pub(super) struct Requests {
    known: HashMap<String, Known>,
    /// By the time they were used.
    order: VecDeque<(Timestamp, String)>,
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

impl Requests {
    /// What the request came to, if it was there before.
    pub fn first(&self, request: &Request) -> Result<Option<First>, Reused> {
        let Some(known) = self.known.get(&request.id) else {
            return Ok(None);
        };
        if known.fingerprint == request.fingerprint {
            return Ok(Some(known.first.clone()));
        }
        Err(Reused(match &known.first {
            First::Commit(revision) => *revision,
            First::Nothing(outcome) => outcome.revision,
        }))
    }

    /// Remembers a request, and forgets those older than the window.
    pub fn remember(&mut self, request: &Request, first: First, now: Timestamp) {
        while let Some((time, _)) = self.order.front()
            && *time < now.minus(REQUEST_WINDOW)
        {
            let (_, id) = self.order.pop_front().expect("there is a front");
            self.known.remove(&id);
        }
        let known = Known { fingerprint: request.fingerprint, first };
        self.known.insert(request.id.clone(), known);
        self.order.push_back((now, request.id.clone()));
    }

    /// Remembers what a commit of the journal says.
    pub fn recall(&mut self, commit: &Commit) {
        if let Some(request) = &commit.request {
            self.remember(request, First::Commit(commit.revision), commit.time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_known_for_a_day() {
        let mut requests = Requests::default();
        let request = |id: &str| Request { id: id.into(), fingerprint: Digest::of(b"a") };
        let day = REQUEST_WINDOW.as_micros() as i64;
        requests.remember(&request("a"), First::Commit(Revision(1)), Timestamp(0));
        requests.remember(&request("b"), First::Commit(Revision(2)), Timestamp(day));
        assert!(matches!(requests.first(&request("a")), Ok(Some(First::Commit(Revision(1))))));
        requests.remember(&request("c"), First::Commit(Revision(3)), Timestamp(day + 1));
        assert!(matches!(requests.first(&request("a")), Ok(None)));
        assert!(matches!(requests.first(&request("b")), Ok(Some(_))));
        let other = Request { id: "b".into(), fingerprint: Digest::of(b"b") };
        assert!(matches!(requests.first(&other), Err(Reused(Revision(2)))));
    }
}
