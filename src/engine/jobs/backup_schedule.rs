//! Makes the backups that `confwatch/backups` schedules, and removes those that it no longer keeps. Knows schedules and the directory of
//! backups; not how a backup is made.
//!
//! A backup of a schedule has its name as the label `schedule`: the time of the newest one says when the schedule is due next. After a time in
//! which no server ran there is one backup, not one for each time that was missed.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backup::{Catalog, Keep, Kept, Kind, Plan, Position, SCHEDULE_LABEL, Selection, beyond};
use crate::engine::backups::{BackupFailure, Backups};
use crate::engine::blocking::blocking;
use crate::engine::commit::pipeline::Pipeline;
use crate::engine::error::Error;
use crate::engine::jobs::scheduler::{Done, Job};
use crate::engine::state::State;
use crate::model::{Digest, Epoch, Revision, SystemConfig, Timestamp};
use crate::validate::{BackupSchedule, BackupSchedules, ScheduledKind};

/// The actor of a backup that nobody has requested.
const ACTOR: &str = "system";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause after a backup that failed.
const RETRY: Duration = Duration::from_secs(300);

/// Makes backups when their schedules are due.
pub(in crate::engine) struct ScheduledBackups {
    work: Arc<Work>,
}

struct Work {
    backups: Arc<Backups>,
    catalog: Arc<Catalog>,
    pipeline: Arc<Pipeline>,
    /// When the newest backup of each schedule was made. `None` before the directory was read.
    made: Mutex<Option<BTreeMap<String, Timestamp>>>,
}

impl ScheduledBackups {
    pub fn new(backups: Arc<Backups>, catalog: Arc<Catalog>, pipeline: Arc<Pipeline>) -> ScheduledBackups {
        let work = Work { backups, catalog, pipeline, made: Mutex::new(None) };
        ScheduledBackups { work: Arc::new(work) }
    }
}

impl Job for ScheduledBackups {
    fn name(&self) -> &'static str {
        "backups"
    }

    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let made = self.work.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = &*made else { return Some(now) };
        let state = self.work.pipeline.published();
        let schedules = schedules(&state);
        schedules.0.iter().filter_map(|(name, schedule)| next(made, &state, name, schedule)).min()
    }

    fn changed(&self) -> Done<'_, ()> {
        let mut revisions = self.work.pipeline.system_revisions();
        Box::pin(async move { revisions.changed().await.expect("the pipeline owns the sender") })
    }

    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
        Box::pin(async move {
            let catalog = self.work.catalog.clone();
            let kept = blocking(move || catalog.list()).await?.unwrap_or_else(|error| {
                tracing::error!(%error, "the directory of backups cannot be read");
                vec![]
            });
            let made = newest(&kept);
            *self.work.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
            let state = self.work.pipeline.published();
            for (name, schedule) in schedules(&state).0 {
                let is_due = next(&made, &state, &name, &schedule).is_some_and(|due| due <= now);
                if is_due {
                    self.work.make(&name, &schedule, &kept, now).await?;
                }
            }
            Ok(())
        })
    }

    fn retry_after(&self) -> Duration {
        RETRY
    }
}

impl Work {
    async fn make(
        &self,
        name: &str,
        schedule: &BackupSchedule,
        kept: &[Kept],
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.pipeline.published();
        let (kind, since) = match schedule.kind {
            ScheduledKind::Full => (Kind::Full, None),
            ScheduledKind::State => (Kind::State, None),
            ScheduledKind::Incremental => match position(kept, state.epoch) {
                Some(since) => (Kind::Incremental, Some(since)),
                None => (Kind::Full, None),
            },
        };
        let plan = Plan {
            kind,
            selection: Selection::All,
            since,
            server: String::new(),
            actor: ACTOR.to_owned(),
            created: now,
            note: String::new(),
            labels: BTreeMap::from([(SCHEDULE_LABEL.to_owned(), name.to_owned())]),
        };
        let made = self.backups.keep(&self.catalog, plan.clone(), |_| true).await;
        let made = match made {
            // History was compacted since, or is another one.
            Err(BackupFailure::Backup(crate::backup::BackupError::Mismatch(_)))
                if kind == Kind::Incremental =>
            {
                let plan = Plan { kind: Kind::Full, since: None, ..plan };
                self.backups.keep(&self.catalog, plan, |_| true).await
            }
            made => made,
        };
        self.backups.counts.schedule_failing.store(made.is_err(), Relaxed);
        let made = match made {
            Ok(made) => made,
            Err(BackupFailure::Engine(error)) => return Err(error),
            Err(BackupFailure::Backup(error)) => {
                tracing::error!(schedule = name, %error, "a scheduled backup has failed");
                return Err(Error::HistoryUnavailable(error.to_string()));
            }
        };
        tracing::info!(schedule = name, id = made.id, bytes = made.bytes, "a scheduled backup was made");
        self.note(name, now);
        self.prune(name, schedule, now).await
    }

    /// Notes that a backup of the schedule was made.
    fn note(&self, name: &str, now: Timestamp) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get_or_insert_default().insert(name.to_owned(), now);
    }

    /// Removes the backups of the schedule that it no longer keeps.
    async fn prune(&self, name: &str, schedule: &BackupSchedule, now: Timestamp) -> Result<(), Error> {
        let days = schedule.keep_days.and_then(|days| u32::try_from(days).ok());
        let keep = Keep {
            count: schedule.keep_count,
            since: days.and_then(|days| DAY.checked_mul(days)).map(|age| now.minus(age)),
            bytes: schedule.keep_bytes,
        };
        if keep == Keep::default() {
            return Ok(());
        }
        let (backups, catalog, name) = (self.backups.clone(), self.catalog.clone(), name.to_owned());
        let pruned = blocking(move || {
            let all = catalog.list()?;
            // What another schedule, or somebody, has made stays.
            let is_ours = |kept: &Kept| schedule_of(kept) == Some(&name);
            backups.remove(&catalog, &beyond(&all, keep, is_ours))
        });
        if let Err(error) = pruned.await? {
            tracing::error!(%error, "old backups could not be removed");
        }
        Ok(())
    }
}

/// When a schedule is due next: after its newest backup, and if there is none after the last change of the schedules.
fn next(
    made: &BTreeMap<String, Timestamp>,
    state: &State,
    name: &str,
    schedule: &BackupSchedule,
) -> Option<Timestamp> {
    let changed =
        || state.config(SystemConfig::Backups.id()).map_or(Timestamp::default(), |config| config.at.time);
    schedule.next_after(made.get(name).copied().unwrap_or_else(changed))
}

pub(in crate::engine) fn has_schedules(state: &State) -> bool {
    !schedules(state).0.is_empty()
}

fn schedules(state: &State) -> BackupSchedules {
    let document = state.system_document(SystemConfig::Backups);
    // None is committed that cannot be read.
    document.and_then(|document| BackupSchedules::parse(&document).ok()).unwrap_or_default()
}

/// The schedule that a backup belongs to: only the server itself makes backups of a schedule, and only of the whole store.
fn schedule_of(kept: &Kept) -> Option<&String> {
    let manifest = &kept.manifest;
    let is_own = manifest.actor == ACTOR && manifest.selection().is_ok_and(|of| of == Selection::All);
    manifest.labels.get(SCHEDULE_LABEL).filter(|_| is_own)
}

/// When the newest backup of each schedule was made.
fn newest(kept: &[Kept]) -> BTreeMap<String, Timestamp> {
    // The oldest come first.
    kept.iter().filter_map(|kept| Some((schedule_of(kept)?.clone(), kept.manifest.created()))).collect()
}

/// Where the newest backup with the history of this store ends.
fn position(kept: &[Kept], epoch: Epoch) -> Option<Position> {
    let manifests = kept.iter().rev().map(|kept| &kept.manifest);
    let mut of_store = manifests.filter(|manifest| manifest.kind != Kind::State && manifest.selection == "*");
    let newest = of_store.find(|manifest| manifest.epoch == epoch.to_string())?;
    Some(Position {
        epoch,
        revision: Revision(newest.last_revision),
        hash: Digest::parse(&newest.last_hash)?,
    })
}
