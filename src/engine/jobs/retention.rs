//! History that is no longer to be kept: counted after a start, and compacted beside serving, so that no write waits for it. Knows the
//! store and the pipeline; not how a store compacts, nor which history single namespaces keep.

mod cuts;
mod namespaces;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(in crate::engine) use self::cuts::{Cut, cuts};
use self::namespaces::NamespaceHistories;
use crate::model::{Namespace, Revision, Timestamp};
use crate::store::{CompactedRequests, Compaction, History, Journal, StoreError, Summary};

use crate::engine::commit::pipeline::Pipeline;
use crate::engine::commit::request_ids::REQUEST_WINDOW;
use crate::engine::error::Error;
use crate::engine::history_holds::HistoryHolds;
use crate::engine::jobs::scheduler::{Done, Job, until};
use crate::engine::work_threads::WorkThreads;

/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;
/// How often to look for history that has become too old, at most and at least.
const LOOKS_APART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// History that is kept for so long is compacted by age only by a server that has run for some time.
const LONG_AGE: Duration = Duration::from_secs(24 * 3600);
const WAIT_AFTER_START: Duration = Duration::from_secs(3600);
/// Pause after a compaction that failed.
const RETRY: Duration = Duration::from_secs(60);

/// Which history is kept. A commit is compacted when it is beyond each of the limits that are set: never, if none is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Retention {
    pub revisions: Option<u64>,
    pub age: Option<Duration>,
}

/// What a server is set to keep of history.
pub(in crate::engine) struct RetentionSettings {
    pub retention: Retention,
    /// How long nothing is compacted by `confwatch/retention` after a change of that config.
    pub grace: Duration,
    /// Where the request ids of commits go before the commits are compacted.
    pub requests: Option<Arc<CompactedRequests>>,
}

/// Compacts what is no longer to be kept.
pub(in crate::engine) struct HistoryRetention {
    work: Arc<Work>,
    /// When it was last looked, and which commit was the newest then.
    looked: Mutex<Option<(Timestamp, Revision)>>,
    /// When it first looked.
    began: OnceLock<Timestamp>,
    thread: WorkThreads,
}

struct Work {
    journal: Arc<dyn Journal>,
    /// Of the same journal.
    history: Arc<dyn History>,
    pipeline: Arc<Pipeline>,
    retention: Retention,
    /// Where the request ids of commits go before the commits are compacted.
    requests: Option<Arc<CompactedRequests>>,
    /// The last commit that was there at the start.
    loaded: Revision,
    /// What was there at the start is counted.
    is_counted: AtomicBool,
    holds: Arc<HistoryHolds>,
    closed: CancellationToken,
    of_namespaces: NamespaceHistories,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl Retention {
    /// The revision from which on history is to be kept. `None`: nothing is to be compacted now. It is more than is allowed by a tenth
    /// then: what a compaction costs grows with the number of configs, not with what it forgets.
    fn oldest_kept(&self, journal: &dyn Journal, now: Timestamp) -> Result<Option<Revision>, StoreError> {
        let (head, oldest) = (journal.head().revision, journal.oldest());
        let by_count = self.revisions.map(|kept| {
            self.is_beyond_count(journal).then(|| Revision((head.0 + 1).saturating_sub(kept.max(1))))
        });
        let by_age = match self.age {
            None => None,
            // The journal need not be asked if the count says no.
            Some(_) if by_count == Some(None) => None,
            Some(age) => {
                let is_due = journal.revision_at(now.minus(age + age / 10))?.is_some_and(|due| due > oldest);
                Some(if is_due { journal.revision_at(now.minus(age))? } else { None })
            }
        };
        Ok(match (by_count, by_age) {
            (Some(count), Some(age)) => count.zip(age).map(|(count, age)| count.min(age)),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => None,
        })
    }

    /// Whether there are so many commits that some are to be compacted, if no age keeps them.
    fn is_beyond_count(&self, journal: &dyn Journal) -> bool {
        let kept = |kept: u64| {
            let count = journal.head().revision.0.saturating_sub(journal.oldest().0);
            count > kept.saturating_add(kept / 10)
        };
        self.revisions.is_some_and(kept)
    }

    /// Whether nothing is compacted yet by a server that began then: a machine may start with a clock that is wrong until the network corrects it,
    /// and what a clock of next year says is too old is gone for good.
    fn waits(&self, began: Timestamp, now: Timestamp) -> bool {
        self.age.is_some_and(|age| waits(age, began, now))
    }

    /// How long to sleep until history may have become too old.
    fn looks_apart(&self) -> Option<Duration> {
        self.age.map(|age| (age / 20).clamp(LOOKS_APART.0, LOOKS_APART.1))
    }
}

fn waits(age: Duration, began: Timestamp, now: Timestamp) -> bool {
    age >= LONG_AGE && began.until(now) < WAIT_AFTER_START
}

impl HistoryRetention {
    pub fn new(
        journal: Arc<dyn Journal>,
        history: Arc<dyn History>,
        pipeline: Arc<Pipeline>,
        RetentionSettings { retention, grace, requests }: RetentionSettings,
        loaded: Revision,
        holds: Arc<HistoryHolds>,
        closed: CancellationToken,
    ) -> HistoryRetention {
        let of_namespaces = NamespaceHistories {
            journal: journal.clone(),
            history: history.clone(),
            pipeline: pipeline.clone(),
            holds: holds.clone(),
            closed: closed.clone(),
            grace,
            looked: Mutex::default(),
            measured: Mutex::default(),
        };
        let work = Work {
            journal,
            history,
            pipeline,
            retention,
            requests,
            loaded,
            is_counted: AtomicBool::new(false),
            holds,
            closed,
            of_namespaces,
        };
        HistoryRetention {
            work: Arc::new(work),
            looked: Mutex::new(None),
            began: OnceLock::new(),
            thread: WorkThreads::new(1),
        }
    }
}

impl Job for HistoryRetention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let Some((time, revision)) = *self.looked.lock().expect(UNPOISONED) else { return Some(now) };
        let of_all = match self.work.is_beyond_count(revision) {
            true => Some(now),
            false => self.work.retention.looks_apart().map(|apart| time.plus(apart)),
        };
        let of_namespaces = self.work.of_namespaces.due(now);
        of_all.into_iter().chain(of_namespaces).min()
    }

    /// Without being woken by each commit.
    fn changed(&self) -> Done<'_, ()> {
        let mut revisions = self.work.pipeline.system_revisions();
        // A limit on the number of revisions is the only one that any commit may exceed; all others are looked at from time to time.
        let is_beyond_count = || {
            let looked = *self.looked.lock().expect(UNPOISONED);
            looked.is_none_or(|(_, revision)| self.work.is_beyond_count(revision))
        };
        Box::pin(async move {
            tokio::select! {
                changed = revisions.changed() => changed.expect("the pipeline owns the sender"),
                () = until(is_beyond_count), if self.work.retention.revisions.is_some() => {}
            }
        })
    }

    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
        let (work, head) = (self.work.clone(), self.work.journal.head().revision);
        let began = *self.began.get_or_init(|| now);
        Box::pin(async move {
            let compacted = self.thread.run(move || {
                work.count_history()?;
                if !work.retention.waits(began, now) {
                    work.forget(now)?;
                }
                // The ages of namespaces are days.
                work.of_namespaces.look(now, !waits(LONG_AGE, began, now))
            });
            compacted.await??;
            *self.looked.lock().expect(UNPOISONED) = Some((now, head));
            Ok(())
        })
    }

    fn retry_after(&self) -> Duration {
        RETRY
    }
}

impl Work {
    /// Whether commits were made since this one, and there are more than are to be kept.
    fn is_beyond_count(&self, looked: Revision) -> bool {
        self.journal.head().revision > looked && self.retention.is_beyond_count(&*self.journal)
    }

    /// Counts what the journal had at the start, for the budgets of namespaces.
    fn count_history(&self) -> Result<(), StoreError> {
        if !self.is_counted.load(Relaxed)
            && let Some(sizes) = self.sizes(self.journal.oldest(), self.loaded, |_| Ok(()))?
        {
            self.pipeline.with_budgets(|budgets| budgets.add_history(&sizes));
            self.is_counted.store(true, Relaxed);
        }
        Ok(())
    }

    fn forget(&self, now: Timestamp) -> Result<(), Error> {
        let Some(to) = self.retention.oldest_kept(&*self.journal, now)? else { return Ok(()) };
        let from = self.journal.oldest();
        if to <= from {
            return Ok(());
        }
        // A request that is repeated after a restart is known by these.
        let remembered = now.minus(REQUEST_WINDOW);
        let keep_requests = |page: &[Summary]| match &self.requests {
            Some(requests) => {
                requests.add(page.iter().filter(|summary| summary.time > remembered), remembered)
            }
            None => Ok(()),
        };
        let Some(sizes) = self.sizes(from, Revision(to.0 - 1), keep_requests)? else { return Ok(()) };
        // While a backup is made, nothing is compacted: the next look does.
        let compacted = self.holds.compact(|is_wanted| {
            self.history.compact_unless(to, &|| self.closed.is_cancelled() || is_wanted())
        });
        match compacted.transpose()? {
            Some(Compaction::Done) => {}
            Some(Compaction::Stopped) | None => return Ok(()),
        }
        let sizes: Vec<(Namespace, u64)> = sizes.into_iter().collect();
        self.pipeline.with_budgets(|budgets| budgets.forget(&sizes));
        tracing::info!(oldest = to.0, "history was compacted");
        Ok(())
    }

    /// The bytes of the commits of these revisions, by namespace. `visit` is given the summaries page by page. `None` if it was closed before all were read.
    fn sizes(
        &self,
        from: Revision,
        to: Revision,
        visit: impl Fn(&[Summary]) -> Result<(), StoreError>,
    ) -> Result<Option<HashMap<Namespace, u64>>, StoreError> {
        let mut sizes: HashMap<Namespace, u64> = HashMap::new();
        let mut from = from.max(Revision(1));
        while from <= to {
            if self.closed.is_cancelled() {
                return Ok(None);
            }
            let (mut page, next) = self.journal.summaries(from, PAGE_BYTES)?;
            page.retain(|summary| summary.revision <= to);
            visit(&page)?;
            for (namespace, bytes) in page.into_iter().flat_map(|summary| summary.bytes) {
                *sizes.entry(namespace).or_default() += bytes;
            }
            from = next;
        }
        Ok(Some(sizes))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Author, Commit, ConfigChange, ConfigId, ConfigName, Epoch, Source, Version};
    use crate::store::MemoryStore;

    const SECOND: i64 = 1_000_000;

    /// A store with a commit for each second.
    fn store(seconds: u64) -> MemoryStore {
        let store = MemoryStore::new(Epoch(1));
        for second in 1..=seconds {
            let namespace = Namespace::parse("test").expect("a name");
            let id = ConfigId { namespace, config: ConfigName::parse("a").expect("a name") };
            let layers = vec![crate::model::LayerChange {
                key: crate::model::LayerKey {
                    kind: crate::model::LayerKind::Base,
                    scope: crate::model::Scope::global(),
                },
                content: Some(crate::model::Content::of(&serde_json::json!({ "n": second }))),
                expires: None,
                format: None,
            }];
            let change = ConfigChange { id, version: Version(second), layers, tags: vec![], restored: None };
            let commit = Commit {
                revision: Revision(second),
                time: Timestamp(second as i64 * SECOND),
                author: Author::default(),
                source: Source::Set,
                reason: String::new(),
                request: None,
                annotations: BTreeMap::new(),
                changes: vec![change],
                forgotten: vec![],
            };
            store.append(&[commit]).expect("appended");
        }
        store
    }

    #[test]
    fn history_is_kept_that_is_young_enough_or_among_the_newest() {
        let store = store(100);
        let now = Timestamp(100 * SECOND);
        let check = |revisions: Option<u64>, age: Option<u64>, expected: Option<u64>| {
            let retention = Retention { revisions, age: age.map(Duration::from_secs) };
            let found = retention.oldest_kept(&store, now).expect("read");
            assert_eq!(found, expected.map(Revision), "{retention:?}");
        };
        check(None, None, None);
        check(Some(10), None, Some(91));
        check(Some(95), None, None);
        check(None, Some(20), Some(80));
        check(None, Some(99), None);
        // Whichever keeps more: a flood of commits erases nothing that is younger than the age.
        check(Some(10), Some(50), Some(50));
        check(Some(50), Some(10), Some(51));
        check(Some(10), Some(99), None);
        check(Some(95), Some(10), None);
    }

    #[test]
    fn a_server_that_has_just_begun_compacts_nothing_by_a_long_age() {
        let keeps = |age: u64| Retention { revisions: None, age: Some(Duration::from_secs(age)) };
        let at = |seconds: i64| Timestamp(seconds * SECOND);
        assert!(keeps(90 * 24 * 3600).waits(at(7), at(3606)));
        assert!(!keeps(90 * 24 * 3600).waits(at(7), at(3607)));
        assert!(!keeps(3600).waits(at(7), at(7)));
        assert!(!Retention { revisions: Some(1), age: None }.waits(at(7), at(7)));
    }
}
