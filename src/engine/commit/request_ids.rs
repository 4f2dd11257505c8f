//! Idempotency: the request ids of callers with their outcomes, for 24 hours. Knows no documents: the answer to a repeated request is
//! read again from the journal.
//!
//! An id belongs to a caller and to the namespaces that the request writes: equal ids of two callers, or of one caller in two
//! namespaces, are two requests. An id that is younger than 24 hours is never forgotten. A caller with too many of them gets an error
//! for a new one, and no other caller notices.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Commit, Digest, Namespace, Request, Revision, Timestamp, Version};
use crate::store::{Summary, VersionRef};

use super::outcome::Outcome;
use super::put_schema::SchemaOutcome;
use crate::engine::error::{Error, Limit};

/// How long a request id is remembered.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// The most memory of one id for each namespace of its request: 128 bytes of id, the outcome, and the maps around them.
const ID_BYTES: usize = 512;
/// Memory for the ids of all callers. Beyond it, only callers that have fewer than the average caller get new ones.
const BYTES_MAX: usize = 512 << 20;

/// The request ids of the last 24 hours. Those that made a commit are in the journal, too, and are read back from it at the start; those
/// that changed nothing are only known to the process.
pub(in crate::engine) struct Requests {
    of_caller_max: usize,
    callers: HashMap<Arc<str>, OfCaller>,
    /// By the time they were used, which is the order of their revisions.
    order: VecDeque<(Timestamp, Arc<RequestKey>)>,
    /// Ids of all callers, each once for each of its namespaces.
    count: usize,
}

/// The ids of one caller.
#[derive(Default)]
struct OfCaller {
    known: HashMap<(Namespace, Arc<str>), Arc<KnownRequest>>,
}

struct RequestKey {
    caller: Arc<str>,
    id: Arc<str>,
    namespaces: Vec<Namespace>,
    revision: Revision,
}

struct KnownRequest {
    fingerprint: Digest,
    first: First,
}

/// The caller of a request, and the namespaces that it writes: sorted, each once, never empty.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Owner<'a> {
    pub caller: &'a str,
    pub namespaces: &'a [Namespace],
}

/// A request that is to be made once.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Repeatable<'a> {
    pub owner: Owner<'a>,
    pub request: &'a Request,
}

/// The outcome of the first request with an id.
#[derive(Clone)]
pub(in crate::engine) enum First {
    /// The commit of this revision has the outcome.
    Commit(Revision),
    Nothing(Box<Nothing>),
}

/// The outcome of a request that changed nothing, as far as it cannot be read again from the journal as of its revision.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Nothing {
    pub revision: Revision,
    pub at: Option<VersionRef>,
    pub restored: Option<Version>,
    pub restored_revision: Option<Revision>,
    pub tag: (Option<Version>, Option<Version>),
    pub namespace_tag: (Option<Revision>, Option<Revision>),
    pub schema: SchemaOutcome,
}

/// The id was used for another request.
pub(in crate::engine) struct Reused(pub Revision);

impl Nothing {
    pub fn of(outcome: &Outcome) -> Nothing {
        let Outcome { revision, at, restored, restored_revision, tag, namespace_tag, schema, .. } = *outcome;
        Nothing { revision, at, restored, restored_revision, tag, namespace_tag, schema }
    }
}

impl First {
    /// The outcome is final once this revision is durable.
    pub fn revision(&self) -> Revision {
        match self {
            First::Commit(revision) => *revision,
            First::Nothing(nothing) => nothing.revision,
        }
    }
}

impl Requests {
    /// Remembers at most so many for each caller.
    pub fn new(of_caller_max: usize) -> Requests {
        Requests { of_caller_max, callers: HashMap::new(), order: VecDeque::new(), count: 0 }
    }

    /// The outcome of the request, if it was made before. `keyed` is the fingerprint of a request with secrets.
    pub fn first(
        &self,
        owner: Owner<'_>,
        request: &Request,
        keyed: impl FnOnce() -> Option<Digest>,
    ) -> Result<Option<First>, Reused> {
        let Some(caller) = self.callers.get(owner.caller) else { return Ok(None) };
        let id: Arc<str> = request.id.as_str().into();
        let known = |namespace: &Namespace| caller.known.get(&(namespace.clone(), id.clone()));
        let known: Vec<&Arc<KnownRequest>> = owner.namespaces.iter().filter_map(known).collect();
        let Some(one) = known.first() else { return Ok(None) };
        let keyed = keyed();
        let is_same = |known: &&&Arc<KnownRequest>| {
            known.fingerprint == request.fingerprint || Some(known.fingerprint) == keyed
        };
        match known.iter().find(is_same) {
            Some(same) => Ok(Some(same.first.clone())),
            None => Err(Reused(one.first.revision())),
        }
    }

    /// Refuses a new id of a caller that has as many as it may have. Forgets the ids that are older than the window.
    pub fn check_room(&mut self, caller: &str, now: Timestamp) -> Result<(), Error> {
        self.forget_old(now);
        let found = self.callers.get(caller).map_or(0, |caller| caller.known.len());
        let all_max = BYTES_MAX / ID_BYTES;
        let limit = match self.count >= all_max {
            true => self.of_caller_max.min(all_max / self.callers.len().max(1)),
            false => self.of_caller_max,
        };
        if found < limit {
            return Ok(());
        }
        let (limit_name, what) = (Limit::RequestIds, "request ids of one caller within 24 hours".into());
        Err(Error::LimitReached { limit_name, what, found: found + 1, limit })
    }

    /// Remembers a request.
    pub fn remember(&mut self, owner: Owner<'_>, request: &Request, first: First, now: Timestamp) {
        self.forget_old(now);
        let caller = match self.callers.get_key_value(owner.caller) {
            Some((caller, _)) => caller.clone(),
            None => owner.caller.into(),
        };
        let id: Arc<str> = request.id.as_str().into();
        let revision = first.revision();
        let known = Arc::new(KnownRequest { fingerprint: request.fingerprint, first });
        let ids = &mut self.callers.entry(caller.clone()).or_default().known;
        for namespace in owner.namespaces {
            if ids.insert((namespace.clone(), id.clone()), known.clone()).is_none() {
                self.count += 1;
            }
        }
        let namespaces = owner.namespaces.to_vec();
        self.order.push_back((now, Arc::new(RequestKey { caller, id, namespaces, revision })));
    }

    /// Remembers the request of a commit of the journal.
    pub fn recall(&mut self, commit: &Commit) {
        if let Some(request) = &commit.request {
            let owner = Owner { caller: &commit.author.actor, namespaces: &commit.namespaces() };
            self.remember(owner, request, First::Commit(commit.revision), commit.time);
        }
    }

    /// The same, from the summary of a commit.
    pub fn recall_summary(&mut self, summary: Summary) {
        if let Some(request) = &summary.request {
            let namespaces: Vec<Namespace> =
                summary.bytes.iter().map(|(namespace, _)| namespace.clone()).collect();
            let owner = Owner { caller: &summary.actor, namespaces: &namespaces };
            self.remember(owner, request, First::Commit(summary.revision), summary.time);
        }
    }

    /// Forgets the requests whose commits would have come after `revision`, and have failed.
    pub fn forget_after(&mut self, revision: Revision) {
        while self.order.back().is_some_and(|(_, key)| key.revision > revision) {
            let (_, key) = self.order.pop_back().expect("there is a last one");
            self.forget(&key);
        }
    }

    fn forget_old(&mut self, now: Timestamp) {
        let oldest = now.minus(REQUEST_WINDOW);
        while self.order.front().is_some_and(|(time, _)| *time < oldest) {
            let (_, key) = self.order.pop_front().expect("there is a first one");
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &RequestKey) {
        let Some(caller) = self.callers.get_mut(&key.caller) else { return };
        for namespace in &key.namespaces {
            let place = (namespace.clone(), key.id.clone());
            // It may have been used again since.
            if caller.known.get(&place).is_some_and(|known| known.first.revision() == key.revision) {
                caller.known.remove(&place);
                self.count -= 1;
            }
        }
        if caller.known.is_empty() {
            self.callers.remove(&key.caller);
        }
    }
}

#[cfg(test)]
mod tests;
