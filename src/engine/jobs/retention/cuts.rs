//! The history that limits of namespaces would have forgotten, before anything is: what a change of the config `confwatch/retention` leads to. Knows the
//! journal and limits; not when history is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::model::{Namespace, Revision, Timestamp};
use crate::store::{Journal, StoreError};
use crate::validate::{HistoryLimits, NamespaceRetention};

/// Commits are read forwards: so many, and then those before them.
const COMMITS_AT_ONCE: u64 = 4096;
/// Bytes of commits that are read at once, as they are stored. Far fewer than those commits have: what is read beyond their last one is read again.
const PAGE_BYTES: usize = 128 << 10;

/// History of a namespace that is beyond its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Cut {
    /// With what it would begin then.
    pub oldest: Revision,
    /// The commits whose changes would go, and their bytes.
    pub commits: u64,
    pub bytes: u64,
}

/// Whether a limit of an age is due: what is forgotten is more than a tenth of it, since what forgetting costs grows with the number of configs, not with what is
/// forgotten.
pub(super) fn is_due_by_age(
    journal: &dyn Journal,
    age: Duration,
    first: Revision,
    now: Timestamp,
) -> Result<bool, StoreError> {
    Ok(journal.revision_at(now.minus(age + age / 10))?.is_some_and(|due| due > first))
}

/// The bytes that are to go. `None`: none, as the limit is not exceeded by a tenth.
pub(super) fn excess_bytes(limit: u64, bytes: u64) -> Option<u64> {
    (bytes > limit.saturating_add(limit / 10)).then(|| bytes - limit)
}

/// A namespace while its history is counted, from the newest commit to the oldest.
struct Counted {
    /// By the limits before and after the change. `None`: no limits.
    of: [Option<Counting>; 2],
    /// The oldest commit so far that changed it, and the bytes of all of them.
    first: Revision,
    bytes: u64,
}

/// What some limits have go of a namespace.
struct Counting {
    limits: HistoryLimits,
    /// Older commits go by their age.
    by_age_to: Revision,
    by_age: Gone,
    by_bytes: Gone,
}

/// Commits that would go.
#[derive(Clone, Copy, Default)]
struct Gone {
    newest: Revision,
    commits: u64,
    bytes: u64,
}

/// What each of these namespaces would lose by limits before and after a change. Reads the summary of each commit once, as long as that takes.
pub(in crate::engine) fn cuts<'a>(
    journal: &dyn Journal,
    retentions: [&NamespaceRetention; 2],
    namespaces: impl Iterator<Item = &'a Namespace>,
    now: Timestamp,
    cancelled: &Cancelled,
) -> Result<[BTreeMap<Namespace, Cut>; 2], Error> {
    let mut counted: BTreeMap<&Namespace, Counted> = BTreeMap::new();
    for namespace in namespaces {
        let limits = retentions.map(|retention| retention.of(namespace));
        if limits.iter().any(Option::is_some) {
            counted.insert(namespace, Counted::of(limits, journal, now)?);
        }
    }
    let mut cuts = [BTreeMap::new(), BTreeMap::new()];
    if counted.is_empty() {
        return Ok(cuts);
    }
    let forgotten = journal.forgotten();
    each_from_newest(journal, cancelled, |revision, parts| {
        for (namespace, bytes) in parts {
            if !forgotten.has(namespace.as_str(), revision)
                && let Some(counted) = counted.get_mut(namespace)
            {
                counted.take(revision, *bytes);
            }
        }
    })?;
    for (namespace, counted) in counted {
        for (of, cuts) in counted.of.iter().zip(&mut cuts) {
            if let Some(counting) = of
                && let Some(cut) = counting.cut(journal, (counted.first, counted.bytes), now)?
            {
                cuts.insert(namespace.clone(), cut);
            }
        }
    }
    Ok(cuts)
}

impl Counted {
    fn of(
        limits: [Option<HistoryLimits>; 2],
        journal: &dyn Journal,
        now: Timestamp,
    ) -> Result<Counted, StoreError> {
        let mut of = [None, None];
        for (of, limits) in of.iter_mut().zip(limits) {
            let Some(limits) = limits else { continue };
            let kept = limits.age_max.map(|age| journal.revision_at(now.minus(age))).transpose()?.flatten();
            let by_age_to = kept.unwrap_or_default();
            *of = Some(Counting { limits, by_age_to, by_age: Gone::default(), by_bytes: Gone::default() });
        }
        Ok(Counted { of, first: Revision::ZERO, bytes: 0 })
    }

    /// Takes one commit after the other, the newest first.
    fn take(&mut self, revision: Revision, bytes: u64) {
        self.first = revision;
        self.bytes += bytes;
        for counting in self.of.iter_mut().flatten() {
            if revision < counting.by_age_to {
                counting.by_age.add(revision, bytes);
            }
            // With this one, more would be kept than the limit.
            if counting.limits.bytes_max.is_some_and(|limit| self.bytes > limit) {
                counting.by_bytes.add(revision, bytes);
            }
        }
    }
}

impl Counting {
    /// What goes of a history with this first commit and these bytes. `None`: nothing.
    fn cut(
        &self,
        journal: &dyn Journal,
        (first, bytes): (Revision, u64),
        now: Timestamp,
    ) -> Result<Option<Cut>, StoreError> {
        let is_too_old = match self.limits.age_max {
            Some(age) => is_due_by_age(journal, age, first, now)?,
            None => false,
        };
        let is_too_long = self.limits.bytes_max.is_some_and(|limit| excess_bytes(limit, bytes).is_some());
        // Both go from the oldest commit on: the one with more commits has those of the other.
        let (by_age, by_bytes) = (is_too_old.then_some(self.by_age), is_too_long.then_some(self.by_bytes));
        let gone = by_age.into_iter().chain(by_bytes).max_by_key(|gone| gone.commits);
        let gone = gone.filter(|gone| gone.commits > 0);
        let to = if is_too_old { self.by_age_to } else { Revision::ZERO };
        Ok(gone.map(|Gone { newest, commits, bytes }| Cut { oldest: newest.next().max(to), commits, bytes }))
    }
}

impl Gone {
    fn add(&mut self, revision: Revision, bytes: u64) {
        self.newest = self.newest.max(revision);
        (self.commits, self.bytes) = (self.commits + 1, self.bytes + bytes);
    }
}

/// Calls `visit` with each commit, the newest first, and the bytes of each namespace that it changed.
fn each_from_newest(
    journal: &dyn Journal,
    cancelled: &Cancelled,
    mut visit: impl FnMut(Revision, &[(Namespace, u64)]),
) -> Result<(), Error> {
    let (oldest, mut end) = (journal.oldest().max(Revision(1)), journal.head().revision.next());
    while end > oldest {
        let begin = Revision(end.0.saturating_sub(COMMITS_AT_ONCE)).max(oldest);
        let (mut commits, mut next) = (vec![], begin);
        while next < end {
            cancelled.check()?;
            let (page, after) = match journal.summaries(next, PAGE_BYTES) {
                Err(StoreError::Compacted { oldest, .. }) if oldest > next => {
                    next = oldest;
                    continue;
                }
                page => page?,
            };
            let page = page.into_iter().take_while(|summary| summary.revision < end);
            commits.extend(page.map(|summary| (summary.revision, summary.bytes)));
            next = after;
        }
        commits.iter().rev().for_each(|(revision, bytes)| visit(*revision, bytes));
        end = begin;
    }
    Ok(())
}
