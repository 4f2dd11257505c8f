//! The history that single namespaces no longer keep, as the config `confwatch/retention` says: measured as commits come, and forgotten
//! beside serving. Knows the store, the state and limits; not when the job runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::commit::pipeline::Pipeline;
use crate::engine::error::Error;
use crate::engine::history_holds::HistoryHolds;
use crate::engine::state::State;

use super::cuts::{excess_bytes, is_due_by_age};
use crate::model::{Namespace, Revision, SystemConfig, Timestamp, Version};
use crate::store::{Compaction, History, Journal, StoreError};
use crate::validate::{HistoryLimits, NamespaceRetention};

/// Commits that are read at once, as they are stored.
const PAGE_BYTES: usize = 4 << 20;
/// How often to look for history that is beyond a limit.
const LOOKS_APART: Duration = Duration::from_secs(60);

/// Forgets what namespaces no longer keep.
pub(in crate::engine) struct NamespaceHistories {
    pub journal: Arc<dyn Journal>,
    /// Of the same journal.
    pub history: Arc<dyn History>,
    pub pipeline: Arc<Pipeline>,
    pub holds: Arc<HistoryHolds>,
    pub closed: CancellationToken,
    /// How long nothing is forgotten after a change of the config, so that a mistake can be taken back.
    pub grace: Duration,
    /// When it was last looked, with which version of the config, and whether that had a limit.
    pub looked: Mutex<Option<(Timestamp, Version, bool)>>,
    pub measured: Mutex<Measured>,
}

/// What the commits up to one of them have of each namespace.
#[derive(Default)]
pub(in crate::engine) struct Measured {
    /// The oldest commit of the journal then.
    oldest: Revision,
    to: Revision,
    namespaces: HashMap<Namespace, Measure>,
}

/// The retained history of a namespace.
#[derive(Clone, Copy)]
struct Measure {
    /// The first revision that may have changed it.
    first: Revision,
    bytes: u64,
}

const UNPOISONED: &str = "nothing panics under this lock";

impl NamespaceHistories {
    /// When to look again. `None`: not before the config changes.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.pipeline.published();
        match *self.looked.lock().expect(UNPOISONED) {
            None if version(&state) == Version::ZERO => None,
            Some((time, seen, is_limited)) if seen == version(&state) => {
                let settled = self.settled(&state);
                is_limited.then(|| if time < settled { settled } else { time.plus(LOOKS_APART) })
            }
            None | Some(_) => Some(now),
        }
    }

    /// When the limits hold that the config has.
    fn settled(&self, state: &State) -> Timestamp {
        let config = state.config(SystemConfig::Retention.id());
        config.map_or(Timestamp::default(), |config| config.at.time.plus(self.grace))
    }

    /// Forgets what is beyond the limits. `by_age`: the clock is to be believed.
    pub fn look(&self, now: Timestamp, by_age: bool) -> Result<(), Error> {
        let state = self.pipeline.published();
        let version = version(&state);
        let retention = retention(&state);
        if !retention.is_empty() && self.settled(&state) <= now {
            self.measure(state.revision)?;
            let namespaces: Vec<Namespace> = state.namespaces().cloned().collect();
            for namespace in &namespaces {
                if self.closed.is_cancelled() {
                    return Ok(());
                }
                let Some(limits) = retention.of(namespace) else { continue };
                let limits = HistoryLimits { age_max: limits.age_max.filter(|_| by_age), ..limits };
                if let Some(to) = self.oldest_kept(namespace, limits, now)? {
                    self.forget(namespace, to, limits.versions_min)?;
                }
            }
        }
        self.reclaim()?;
        *self.looked.lock().expect(UNPOISONED) = Some((now, version, !retention.is_empty()));
        Ok(())
    }

    /// Measures the commits that came since the last time. At first all of them, as long as that takes.
    fn measure(&self, to: Revision) -> Result<(), StoreError> {
        let mut measured = self.measured.lock().expect(UNPOISONED);
        let (oldest, forgotten) = (self.journal.oldest(), self.journal.forgotten());
        if measured.oldest != oldest {
            // All history was compacted meanwhile.
            *measured = Measured { oldest, ..Measured::default() };
        }
        let mut next = measured.to.next().max(oldest);
        while next <= to && !self.closed.is_cancelled() {
            let (page, after) = match self.journal.summaries(next, PAGE_BYTES) {
                Err(StoreError::Compacted { oldest, .. }) if oldest > next => {
                    next = oldest;
                    continue;
                }
                page => page?,
            };
            for summary in page.into_iter().take_while(|summary| summary.revision <= to) {
                measured.to = summary.revision;
                for (namespace, bytes) in summary.bytes {
                    // What earlier commits have of it is forgotten already.
                    if !forgotten.has(namespace.as_str(), summary.revision) {
                        let new = Measure { first: summary.revision, bytes: 0 };
                        measured.namespaces.entry(namespace).or_insert(new).bytes += bytes;
                    }
                }
            }
            next = after;
        }
        Ok(())
    }

    /// The revision from which on the history of a namespace is to be kept. `None`: nothing is to be forgotten now. It is more than is allowed
    /// by a tenth then: what forgetting costs grows with the number of configs, not with what is forgotten.
    fn oldest_kept(
        &self,
        namespace: &Namespace,
        limits: HistoryLimits,
        now: Timestamp,
    ) -> Result<Option<Revision>, StoreError> {
        let Some(Measure { first, bytes }) = self.measure_of(namespace) else { return Ok(None) };
        let by_age = match limits.age_max {
            None => None,
            Some(age) => match is_due_by_age(&*self.journal, age, first, now)? {
                true => self.journal.revision_at(now.minus(age))?,
                false => None,
            },
        };
        let by_bytes = match limits.bytes_max.and_then(|limit| excess_bytes(limit, bytes)) {
            Some(excess) => {
                let mut gone = 0;
                let found = self.find(namespace, first, self.measured_to(), |_, bytes| {
                    gone += bytes;
                    gone >= excess
                })?;
                found.map(Revision::next)
            }
            None => None,
        };
        Ok(by_age.max(by_bytes).map(|to| to.min(self.measured_to())).filter(|to| *to > first))
    }

    fn forget(&self, namespace: &Namespace, to: Revision, versions_min: u64) -> Result<(), Error> {
        let Some(Measure { first, bytes }) = self.measure_of(namespace) else { return Ok(()) };
        let before = self.bytes(namespace, first, to)?;
        // While a backup is made, nothing is forgotten: the next look does.
        let forgotten = self.holds.compact(|is_wanted| {
            let is_stopped = || self.closed.is_cancelled() || is_wanted();
            self.history.forget_unless(namespace, to, versions_min, &is_stopped)
        });
        match forgotten.transpose()? {
            Some(Compaction::Done) => {}
            // It may have been forgotten, and not yet removed everywhere.
            Some(Compaction::Stopped) if self.journal.oldest_of(namespace) >= to => {}
            Some(Compaction::Stopped) | None => return Ok(()),
        }
        let gone = before.saturating_sub(self.bytes(namespace, first, to)?);
        self.pipeline.with_budgets(|budgets| budgets.forget(&[(namespace.clone(), gone)]));
        let next = self.find(namespace, to, self.measured_to(), |_, _| true)?;
        let mut measured = self.measured.lock().expect(UNPOISONED);
        let (first, bytes) = (next.unwrap_or(measured.to.next()), bytes.saturating_sub(before));
        match next {
            Some(_) => measured.namespaces.insert(namespace.clone(), Measure { first, bytes }),
            None => measured.namespaces.remove(namespace),
        };
        tracing::info!(%namespace, oldest = to.0, "history of a namespace was compacted");
        Ok(())
    }

    /// Gives back the space of what was forgotten, also of what the last process has left.
    fn reclaim(&self) -> Result<(), Error> {
        if self.journal.forgotten().is_empty() {
            return Ok(());
        }
        let reclaimed = self
            .holds
            .compact(|is_wanted| self.history.reclaim_unless(&|| self.closed.is_cancelled() || is_wanted()));
        reclaimed.transpose()?;
        Ok(())
    }

    /// What the commits from `from` to before `to` have of a namespace.
    fn bytes(&self, namespace: &Namespace, from: Revision, to: Revision) -> Result<u64, StoreError> {
        let mut sum = 0;
        self.find(namespace, from, Revision(to.0.saturating_sub(1)), |_, bytes| {
            sum += bytes;
            false
        })?;
        Ok(sum)
    }

    /// The first commit from `from` to `to` that changed a namespace and that `is_it`, which is given its bytes.
    fn find(
        &self,
        namespace: &Namespace,
        from: Revision,
        to: Revision,
        mut is_it: impl FnMut(Revision, u64) -> bool,
    ) -> Result<Option<Revision>, StoreError> {
        let mut next = from.max(self.journal.oldest());
        while next <= to && !self.closed.is_cancelled() {
            let (page, after) = self.journal.summaries(next, PAGE_BYTES)?;
            for summary in page.into_iter().take_while(|summary| summary.revision <= to) {
                let own = summary.bytes.iter().find(|(of, _)| of == namespace);
                if let Some((_, bytes)) = own
                    && is_it(summary.revision, *bytes)
                {
                    return Ok(Some(summary.revision));
                }
            }
            next = after;
        }
        Ok(None)
    }

    fn measure_of(&self, namespace: &Namespace) -> Option<Measure> {
        self.measured.lock().expect(UNPOISONED).namespaces.get(namespace).copied()
    }

    fn measured_to(&self) -> Revision {
        self.measured.lock().expect(UNPOISONED).to
    }
}

fn version(state: &State) -> Version {
    let [version] = state.versions([SystemConfig::Retention]);
    version
}

/// None is committed that cannot be read: what cannot is of another version of the server, and nothing is forgotten.
fn retention(state: &State) -> NamespaceRetention {
    let document = state.system_document(SystemConfig::Retention);
    document.map_or_else(NamespaceRetention::default, |document| {
        NamespaceRetention::parse(&document).unwrap_or_else(|wrong| {
            tracing::error!(?wrong, "the retention of namespaces cannot be read: nothing is compacted by it");
            NamespaceRetention::default()
        })
    })
}
