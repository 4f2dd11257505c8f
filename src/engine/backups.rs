//! Backups of what an engine has, while it serves. Knows the state and the store; not where the bytes go, nor who may have them.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Engine;
use super::blocking::blocking;
use super::commit::pipeline::Pipeline;
use super::error::{Error, Limit};
use super::history_holds::HistoryHolds;
use super::options::Clock;
use super::state::ConfigState;
use super::work_threads::WorkThreads;
use crate::backup::{
    self, BackupError, Catalog, Configs, Finished, Kept, Manifest, Plan, Progress, Selection, StateView,
    Uploads,
};
use crate::fair_places::{FairPlaces, Full, Of, Place};
use crate::model::{Namespace, Timestamp};
use crate::store::{ConfigRecord, Store};

/// Backups that callers may make, verify or restore from at once, one of them by each actor, and for each namespace. Each holds one part of the file in memory, and keeps history
/// from being compacted.
const BACKUPS_MAX: usize = 2;
/// Backups of the whole store that may be made beside those: tenants who make backups of their namespaces keep no administrator waiting. Those
/// of schedules wait for nobody.
const STORE_BACKUPS_MAX: usize = 1;

/// Backups that the server makes at once before writes that change much.
const BEFORE_WRITES_MAX: usize = 2;
/// Backups that are made or read at once: all of these, and one of a schedule.
const THREADS_MAX: usize = BACKUPS_MAX + STORE_BACKUPS_MAX + BEFORE_WRITES_MAX + 1;

/// A backup that is complete.
pub struct MadeBackup<W> {
    pub manifest: Manifest,
    pub finished: Finished,
    pub out: W,
}

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Engine(#[from] Error),
}

/// What becomes of a backup that the server makes by itself.
#[derive(Debug)]
pub enum ServerBackup<'a> {
    Made(&'a Kept),
    Removed(&'a Kept),
    Failed { selection: &'a Selection, why: String },
}

type Observer = Arc<dyn Fn(&ServerBackup<'_>) + Send + Sync>;

/// A place to make a backup in. Clones share it.
#[derive(Clone, Debug)]
pub struct BackupPlace(Arc<Place>);

impl BackupPlace {
    /// For a backup that depends on its client. Cancelled when the backup is to end, since others wait and the client takes too little.
    pub fn yields(&self) -> CancellationToken {
        let given_up = CancellationToken::new();
        let token = given_up.clone();
        self.0.yields_by(move || token.cancel());
        given_up
    }

    /// The client has taken bytes.
    pub fn moved(&self, bytes: u64) {
        self.0.moved(bytes);
    }

    /// The server goes on: it does not wait for the client.
    pub fn goes_on(&self) {
        self.0.pause(Duration::ZERO);
    }
}

/// Makes backups of a store that is in use.
pub(in crate::engine) struct Backups {
    store: Arc<dyn Store>,
    pipeline: Arc<Pipeline>,
    pub holds: Arc<HistoryHolds>,
    pub counts: Arc<BackupCounts>,
    running: Arc<FairPlaces>,
    running_of_store: Arc<FairPlaces>,
    /// Of the backups before writes.
    pub before_writes: Arc<FairPlaces>,
    /// Learns what becomes of backups that the server makes by itself.
    observer: Mutex<Option<Observer>>,
    pub catalog: Option<Arc<Catalog>>,
    pub uploads: Option<Arc<Uploads>>,
    /// On which backups are made and read.
    threads: WorkThreads,
    clock: Clock,
    closed: CancellationToken,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct BackupCounts {
    pub made: AtomicU64,
    pub failed: AtomicU64,
    /// Bytes of all backups that were made.
    pub bytes: AtomicU64,
    last: Mutex<Option<LastBackup>>,
    /// The last backup of a schedule was not made.
    pub(in crate::engine) schedule_failing: AtomicBool,
}

/// The last backup that was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastBackup {
    pub time: Timestamp,
    pub seconds: f64,
    pub bytes: u64,
}

impl BackupCounts {
    pub fn last(&self) -> Option<LastBackup> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self, last: LastBackup) {
        self.made.fetch_add(1, Relaxed);
        self.bytes.fetch_add(last.bytes, Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

impl Backups {
    pub fn new(
        store: Arc<dyn Store>,
        pipeline: Arc<Pipeline>,
        (catalog, uploads): (Option<Arc<Catalog>>, Option<Arc<Uploads>>),
        clock: Clock,
        transfer_timeout: Duration,
        closed: CancellationToken,
    ) -> Backups {
        if let Some(catalog) = &catalog {
            let closed = closed.clone();
            catalog.stop_when(move || closed.is_cancelled());
        }
        Backups {
            store,
            pipeline,
            holds: Arc::default(),
            counts: Arc::default(),
            running: FairPlaces::yielding(BACKUPS_MAX, transfer_timeout),
            running_of_store: FairPlaces::yielding(STORE_BACKUPS_MAX, transfer_timeout),
            before_writes: FairPlaces::new(BEFORE_WRITES_MAX),
            observer: Mutex::default(),
            catalog,
            uploads,
            threads: WorkThreads::new(THREADS_MAX),
            clock,
            closed,
        }
    }

    /// As `Engine::write_backup`. `running` is held as long as the backup is written.
    async fn write<W: Write + Send + 'static>(
        &self,
        plan: Plan,
        out: W,
        mut observe: impl FnMut(Progress) -> bool + Send + 'static,
        running: impl Send + 'static,
    ) -> Result<MadeBackup<W>, BackupFailure> {
        let (store, state, closed) = (self.store.clone(), self.pipeline.published(), self.closed.clone());
        let (holds, counts, clock) = (self.holds.clone(), self.counts.clone(), self.clock.clone());
        let made = self.threads.run(move || {
            let _running = running;
            let _held = holds.hold();
            let begun = Instant::now();
            let configs: Configs<'_> =
                &|visit| state.configs_after(None).map(|config| record_of(config)).try_for_each(&mut *visit);
            let view =
                StateView { revision: state.revision, configs, config_count: state.config_count() as u64 };
            let mut go_on = |progress| !closed.is_cancelled() && observe(progress);
            let made = backup::create(&*store, &view, &plan, out, &mut go_on);
            match &made {
                Ok((_, finished, _)) => counts.made(LastBackup {
                    time: clock(),
                    seconds: begun.elapsed().as_secs_f64(),
                    bytes: finished.bytes,
                }),
                Err(_) => _ = counts.failed.fetch_add(1, Relaxed),
            }
            made
        });
        let (manifest, finished, out) = made.await??;
        Ok(MadeBackup { manifest, finished, out })
    }

    /// As `Engine::verify_backup`.
    async fn verify(
        &self,
        catalog: &Arc<Catalog>,
        (kept, actor): (&Kept, &str),
        cancelled: CancellationToken,
    ) -> Result<Kept, BackupFailure> {
        let selection = kept.manifest.selection().unwrap_or(Selection::All);
        let running = self.place(actor, namespace_of(&selection), false).await?;
        let (catalog, now, closed) = (catalog.clone(), (self.clock)(), self.closed.clone());
        let id = kept.id.clone();
        let verified = self.threads.run(move || {
            let _running = running;
            catalog.verify(&id, now, &|| closed.is_cancelled() || cancelled.is_cancelled())
        });
        Ok(verified.await??)
    }

    /// A place for an actor who makes a backup of this, or reads one, once it is their turn. The backup is of `namespace`, or of all of them.
    pub async fn place(
        &self,
        actor: &str,
        namespace: Option<&Namespace>,
        of_store: bool,
    ) -> Result<Place, Error> {
        let of = Of { actor, tenant: namespace.map(Namespace::as_str) };
        if of_store && let Ok(place) = self.running_of_store.try_take(of) {
            return Ok(place);
        }
        let refused = |what: &'static str, limit| Error::LimitReached {
            limit_name: Limit::Backups,
            what: what.into(),
            found: limit,
            limit,
        };
        self.running.take_in_time(of).await.map_err(|full| match full {
            Full::OfActor => {
                refused("backups that are made or read at once by this actor", self.running.share_max())
            }
            Full::OfAll => {
                refused("backups that are made or read at once on this server", self.running.max())
            }
        })
    }

    /// The same, to make a backup of this selection.
    async fn place_of(&self, actor: &str, selection: &Selection) -> Result<Place, Error> {
        self.place(actor, namespace_of(selection), *selection == Selection::All).await
    }

    /// As `Engine::keep_backup`, of the server itself, which needs no permit.
    pub async fn keep(
        &self,
        catalog: &Arc<Catalog>,
        plan: Plan,
        observe: impl FnMut(Progress) -> bool + Send + 'static,
    ) -> Result<Kept, BackupFailure> {
        let selection = plan.selection.clone();
        let kept = self.keep_with(catalog, plan, observe, ()).await;
        match &kept {
            Ok(kept) => self.tell(&ServerBackup::Made(kept)),
            Err(failure) => {
                self.tell(&ServerBackup::Failed { selection: &selection, why: failure.to_string() });
            }
        }
        kept
    }

    /// Removes backups that the server has made by itself. Blocks.
    pub fn remove(&self, catalog: &Catalog, gone: &[&Kept]) -> Result<(), BackupError> {
        gone.iter().try_for_each(|gone| {
            catalog.remove(&gone.id)?;
            self.tell(&ServerBackup::Removed(gone));
            Ok(())
        })
    }

    fn tell(&self, event: &ServerBackup<'_>) {
        let observer = self.observer().clone();
        if let Some(observer) = observer {
            observer(event);
        }
    }

    /// Who observes backups may hold the engine.
    pub fn forget_observer(&self) {
        *self.observer() = None;
    }

    fn observer(&self) -> MutexGuard<'_, Option<Observer>> {
        self.observer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_with(
        &self,
        catalog: &Arc<Catalog>,
        plan: Plan,
        observe: impl FnMut(Progress) -> bool + Send + 'static,
        running: impl Send + 'static,
    ) -> Result<Kept, BackupFailure> {
        let (begun_in, begun) = (catalog.clone(), plan.clone());
        let (id, file) = blocking(move || begun_in.begin(&begun)).await??;
        let MadeBackup { manifest, finished, out } = self.write(plan, file, observe, running).await?;
        let catalog = catalog.clone();
        Ok(blocking(move || catalog.commit(&id, out, manifest, finished)).await??)
    }
}

impl Engine {
    /// What became of backups since the start.
    pub fn backup_counts(&self) -> &Arc<BackupCounts> {
        &self.backups.counts
    }

    /// Has somebody learn what becomes of backups that the server makes by itself, until the engine is closed.
    pub fn observe_backups(&self, observer: impl Fn(&ServerBackup<'_>) + Send + Sync + 'static) {
        *self.backups.observer() = Some(Arc::new(observer));
    }

    /// The directory in which backups are kept. `None`: none is kept.
    pub fn backup_catalog(&self) -> Option<&Arc<Catalog>> {
        self.backups.catalog.as_ref()
    }

    /// The backups that clients have sent to restore from them. `None`: none are received.
    pub fn backup_uploads(&self) -> Option<&Arc<Uploads>> {
        self.backups.uploads.as_ref()
    }

    /// Makes a backup in the directory of backups. As `write_backup`.
    pub async fn keep_backup(
        &self,
        catalog: &Arc<Catalog>,
        plan: Plan,
        observe: impl FnMut(Progress) -> bool + Send + 'static,
    ) -> Result<Kept, BackupFailure> {
        let running = self.backups.place_of(&plan.actor, &plan.selection).await?;
        self.backups.keep_with(catalog, plan, observe, running).await
    }

    /// Verifies a backup in the directory of backups. Ends early once it is cancelled.
    pub async fn verify_backup(
        &self,
        catalog: &Arc<Catalog>,
        (kept, actor): (&Kept, &str),
        cancelled: CancellationToken,
    ) -> Result<Kept, BackupFailure> {
        self.backups.verify(catalog, (kept, actor), cancelled).await
    }

    /// Writes a backup of the state that is durable now, and of the history that leads to it. Commits go on meanwhile; a compaction waits.
    /// `observe` learns how far it is, and says whether to go on. `place` is of `backup_place`, and is held until the backup is written.
    pub async fn write_backup<W: Write + Send + 'static>(
        &self,
        plan: Plan,
        place: BackupPlace,
        out: W,
        observe: impl FnMut(Progress) -> bool + Send + 'static,
    ) -> Result<MadeBackup<W>, BackupFailure> {
        let written = self.backups.write(plan, out, observe, place.clone()).await;
        match written {
            Err(_) if place.0.is_given_up() => Err(Error::PlaceGivenUp.into()),
            written => written,
        }
    }

    /// Waits for the turn of an actor to make a backup of this selection.
    pub async fn backup_place(&self, actor: &str, selection: &Selection) -> Result<BackupPlace, Error> {
        Ok(BackupPlace(Arc::new(self.backups.place_of(actor, selection).await?)))
    }
}

/// The one namespace that a selection is of.
fn namespace_of(selection: &Selection) -> Option<&Namespace> {
    match selection {
        Selection::All => None,
        Selection::Namespace(namespace) => Some(namespace),
        Selection::Config(id) => Some(&id.namespace),
    }
}

fn record_of(config: &ConfigState) -> ConfigRecord {
    ConfigRecord {
        id: config.id.clone(),
        at: config.at,
        layers: config.layers().iter().map(|entry| (entry.key.clone(), entry.layer.clone())).collect(),
        tags: config.tags().clone(),
    }
}
