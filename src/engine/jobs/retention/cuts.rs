//! The history that limits of namespaces would have forgotten, before anything is: what a change of the config `confwatch/retention` leads to. Knows the
//! journal and limits; not when history is forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::model::{Namespace, Revision, Timestamp};
use crate::store::{Forgotten, Journal, StoreError, Summary};
use crate::validate::{HistoryLimits, NamespaceRetention};

/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;

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

/// A namespace with limits while its history is counted.
struct Counted {
    limits: HistoryLimits,
    /// The first commit that changed it, and the bytes of all of them.
    first: Option<Revision>,
    bytes: u64,
    /// Older commits go by their age.
    by_age: Revision,
    /// So many bytes of the oldest commits go.
    excess: u64,
    gone_bytes: u64,
    gone: u64,
    oldest: Revision,
}

/// What each of these namespaces would lose. Reads the summaries of all commits twice, as long as that takes.
pub(in crate::engine) fn cuts<'a>(
    journal: &dyn Journal,
    retention: &NamespaceRetention,
    namespaces: impl Iterator<Item = &'a Namespace>,
    now: Timestamp,
    cancelled: &Cancelled,
) -> Result<BTreeMap<Namespace, Cut>, Error> {
    let limited = namespaces.filter_map(|namespace| Some((namespace.clone(), retention.of(namespace)?)));
    let mut counted: BTreeMap<Namespace, Counted> =
        limited.map(|(namespace, limits)| (namespace, Counted::of(limits))).collect();
    if counted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let forgotten = journal.forgotten();
    each(journal, cancelled, |summary| {
        for (counted, bytes) in parts(summary, &forgotten, &mut counted) {
            counted.first.get_or_insert(summary.revision);
            counted.bytes += bytes;
        }
    })?;
    for counted in counted.values_mut() {
        counted.decide(journal, now)?;
    }
    each(journal, cancelled, |summary| {
        for (counted, bytes) in parts(summary, &forgotten, &mut counted) {
            counted.take(summary.revision, bytes);
        }
    })?;
    let lost = counted.into_iter().filter(|(_, counted)| counted.gone > 0);
    let lost = lost.map(|(namespace, Counted { oldest, gone, gone_bytes, .. })| {
        (namespace, Cut { oldest, commits: gone, bytes: gone_bytes })
    });
    Ok(lost.collect())
}

impl Counted {
    fn of(limits: HistoryLimits) -> Counted {
        let (by_age, oldest) = (Revision::ZERO, Revision::ZERO);
        Counted { limits, first: None, bytes: 0, by_age, excess: 0, gone_bytes: 0, gone: 0, oldest }
    }

    fn decide(&mut self, journal: &dyn Journal, now: Timestamp) -> Result<(), StoreError> {
        let Some(first) = self.first else { return Ok(()) };
        if let Some(age) = self.limits.age_max
            && is_due_by_age(journal, age, first, now)?
        {
            self.by_age = journal.revision_at(now.minus(age))?.unwrap_or_default();
        }
        self.excess = self.limits.bytes_max.and_then(|limit| excess_bytes(limit, self.bytes)).unwrap_or(0);
        Ok(())
    }

    /// Takes one commit after the other, the oldest first.
    fn take(&mut self, revision: Revision, bytes: u64) {
        if revision < self.by_age || self.gone_bytes < self.excess {
            (self.gone, self.gone_bytes) = (self.gone + 1, self.gone_bytes + bytes);
            self.oldest = revision.next().max(self.by_age);
        }
    }
}

/// What a commit changed of namespaces that are counted, as far as that is retained.
fn parts<'a>(
    summary: &Summary,
    forgotten: &Forgotten,
    counted: &'a mut BTreeMap<Namespace, Counted>,
) -> Vec<(&'a mut Counted, u64)> {
    let mut bytes: BTreeMap<&Namespace, u64> = BTreeMap::new();
    for (namespace, of_namespace) in &summary.bytes {
        if !forgotten.has(namespace.as_str(), summary.revision) {
            bytes.insert(namespace, *of_namespace);
        }
    }
    match bytes.len() {
        // Nearly all commits are of one namespace.
        1 => {
            let (namespace, bytes) = bytes.into_iter().next().expect("there is one");
            counted.get_mut(namespace).map(|counted| (counted, bytes)).into_iter().collect()
        }
        _ => counted
            .iter_mut()
            .filter_map(|(namespace, counted)| Some((counted, *bytes.get(namespace)?)))
            .collect(),
    }
}

/// Calls `visit` with the summary of each commit, the oldest first.
fn each(journal: &dyn Journal, cancelled: &Cancelled, mut visit: impl FnMut(&Summary)) -> Result<(), Error> {
    let (mut next, to) = (journal.oldest().max(Revision(1)), journal.head().revision);
    while next <= to {
        cancelled.check()?;
        let (page, after) = match journal.summaries(next, PAGE_BYTES) {
            Err(StoreError::Compacted { oldest, .. }) if oldest > next => {
                next = oldest;
                continue;
            }
            page => page?,
        };
        page.iter().filter(|summary| summary.revision <= to).for_each(&mut visit);
        next = after;
    }
    Ok(())
}
