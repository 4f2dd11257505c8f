//! The state machine over the journal: commits, current state, resolution, watching. Knows store, validate and model;
//! never the network.
//!
//! `pipeline` is the way in, `state` what is, `resolve` what a target makes of it, `history` what was, `watch` and `changes` the ways out.

mod actor_streams;
mod backup_problem;
mod backups;
mod blocking;
mod check;
mod clocks;
mod commit;
mod error;
mod feed;
mod history_cuts;
mod history_holds;
mod jobs;
mod options;
mod read;
mod secrets;
mod state;
mod state_backups;
#[cfg(test)]
mod tests;
pub mod watch;
mod work_threads;
mod write_call;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, watch as cell};
use tokio_util::sync::CancellationToken;

use crate::model::limits::Limits;
use crate::model::quota::Quotas;
use crate::model::{ConfigId, Epoch, LayerKey, Namespace, Revision, Version};
use crate::store::{Journal, Store};
use crate::supervise::Supervisor;
use crate::validate::Schema;

pub use crate::backup::{
    AUTOMATIC_LABEL, Announced as AnnouncedBackup, BackupError, Catalog as BackupCatalog,
    Finished as FinishedBackup, Keep as KeepBackups, Kept as KeptBackup, Kind as BackupKind,
    Manifest as BackupManifest, Plan as BackupPlan, Position as BackupPosition, Progress as BackupProgress,
    SCHEDULE_LABEL, Selection as BackupSelection, UPLOAD_BYTES_MAX, Upload as BackupUpload, UploadError,
    Uploads as BackupUploads, beyond, sum_of_id as sum_of_upload,
};
pub use crate::secret::{MasterKeySource, SourceError};
pub use crate::store::{Broken, Proof, Sealed, VersionRef};
pub use actor_streams::{ActorStream, ActorStreams};
pub use backup_problem::BackupProblem;
pub use backups::{BackupCounts, BackupFailure, BackupPlace, LastBackup, MadeBackup, ServerBackup};
pub use check::workers::{CancelOnDrop, Cancelled, LargeCall, interruptible};
pub use commit::counts::{BySource, CommitCounts};
pub use commit::expected::Expected;
pub use commit::foreign::ApplyError;
pub use commit::outcome::{LayerOutcome, Outcome};
pub use commit::put_schema::{PutSchema, SchemaOutcome, schema_id, schema_of};
pub use commit::restoring::{BackupSource, RestorePoint, Restoring};
pub use commit::revert_conflict::RevertConflict;
pub use commit::reverting::Reverting;
pub use commit::schemas::registry;
pub use commit::stages::{Stage, Stages};
pub use commit::tagging::{TagNamespace, TagTarget};
pub use commit::write::{Action, Change, Intent, Origin, RollbackTo, Text, Write};
pub use error::{Error, Limit, Missing, Withheld};
pub use feed::changes::{ChangeEvent, Changes, ChangesOptions, keep_seen, shows};
pub use options::{Clock, Options, Progress, Role};
pub use read::affected::Affected;
pub use read::change_list::{ChangeQuery, ListedCommit, ScopeDifference};
pub use read::explanation::Explanation;
pub use read::history::{At, Made, MadeBy};
pub use read::namespace_diff::{Compared, DiffCursor, DiffSide, DocumentDifference, NamespaceDiff};
pub use read::namespace_point::NamespaceAt;
pub use read::overrides::{ListedOverride, OverrideCursor, OverrideQuery};
pub use read::resolve::{Resolved, Target, View};
pub use read::search::{Found, SearchCursor, SearchQuery};
pub use secrets::redaction::HIDDEN_FINDING;
pub use secrets::rotation::{DataKey, DataRotation, KeysStatus, MasterRotation, NamespaceKeys};
pub use secrets::secret_places::{SecretPlaces, Secrets};
pub use secrets::shown::{OnSecret, SecretUse, Viewer};
pub use state::usage::Usage;
pub use state::{ConfigState, Expiry, LayerEntry, Loading, State};

use backups::Backups;
use blocking::blocking;
use check::workers::Workers;
use commit::pipeline::Pipeline;
use commit::request_recovery::{RecoveryInput, RequestRecovery};
use feed::changes::Shown;
use feed::recent::Recent;
use jobs::backup_schedule::ScheduledBackups;
use jobs::expiry::OverrideExpiry;
use jobs::master_key::MasterKeyCheck;
use jobs::retention::{HistoryRetention, Retention, RetentionSettings};
use jobs::scheduler::{self, Job};
use jobs::upload_expiry::UploadExpiry;
use read::history::{config_at, current_at, historic};
use read::resolve::{Resolver, layers_of, resolve};
use secrets::key_store::KeyStore;
use secrets::shown::{Showing, marking_schema};
use watch::{Hub, Insights, SubscriberInfo, SubscriberQuery, Subscription, WatchOptions};

/// When a client of a draining server should come back: the transport spreads it.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Texts larger than this are read by the threads that may block.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// The configuration service, without a network.
pub struct Engine {
    store: Arc<dyn Store>,
    recent: Arc<Recent>,
    pipeline: Arc<Pipeline>,
    hub: Arc<Hub>,
    resolver: Arc<Resolver>,
    key_store: Arc<KeyStore>,
    /// Held while keys are changed: one such change at a time.
    rotating: tokio::sync::Mutex<()>,
    limits: Limits,
    clock: Clock,
    workers: Arc<Workers>,
    wall_clock: Clock,
    supervisor: Supervisor,
    /// A permit for each stream of changes that may be open.
    change_streams: Arc<Semaphore>,
    change_streams_of_actors: Arc<ActorStreams>,
    draining: CancellationToken,
    closed: CancellationToken,
    recall: RequestRecovery,
    backups: Arc<Backups>,
    /// As in `Options`.
    state_backups: Option<usize>,
    retention_grace: Duration,
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    commit: JoinHandle<()>,
    watch: JoinHandle<()>,
    recalling: JoinHandle<()>,
    jobs: Vec<tokio::task::JoinHandle<()>>,
}

impl Engine {
    /// Loads the current state, and expires what fell due while nobody was there. Blocks; needs a tokio runtime around it. Fails without
    /// the master key, if there are secrets.
    pub fn open(store: Arc<dyn Store>, options: Options) -> Result<Arc<Engine>, Error> {
        let journal: Arc<dyn Journal> = store.clone();
        let state = load(&*store, options.quotas, &options.progress)?;
        let loaded = state.revision;
        let key_store = Arc::new(KeyStore::open(options.master_key.clone(), &state)?);
        let resolver = Arc::new(Resolver::new(options.cache_bytes, key_store.clone()));
        let supervisor = options.supervisor.clone();
        let newest = Arc::new(state.clone());
        let (hub, watch) = Hub::start(newest, resolver.clone(), &options.limits, &supervisor);
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        let workers = Arc::new(Workers::new(processors));
        let (pipeline, commit) = Pipeline::start(
            journal.clone(),
            state,
            key_store.clone(),
            hub.clone(),
            workers.clone(),
            &options,
        );
        let closed = CancellationToken::new();
        match options.role {
            Role::Leader => jobs::expiry::expire_overdue(&pipeline, &options.clock)?,
            Role::Replica => {}
        }
        let retention = RetentionSettings {
            retention: Retention { revisions: options.retain_revisions, age: options.retain_for },
            grace: options.retention_grace,
            requests: options.compacted_requests.clone(),
        };
        let backups = Arc::new(Backups::new(
            store.clone(),
            pipeline.clone(),
            (options.backups.clone(), options.uploads.clone()),
            options.clock.clone(),
            options.transfer_timeout,
            closed.clone(),
        ));
        let history = HistoryRetention::new(
            journal.clone(),
            store.clone(),
            pipeline.clone(),
            retention,
            loaded,
            backups.holds.clone(),
            closed.clone(),
        );
        let (interval, now) = (options.master_key_check_interval, (options.clock)());
        let keys = MasterKeyCheck::new(key_store.clone(), pipeline.clone(), interval, now);
        let expiry = OverrideExpiry { pipeline: pipeline.clone() };
        let mut jobs: Vec<Arc<dyn Job>> = vec![Arc::new(history), Arc::new(keys)];
        if let Some(catalog) = options.backups.clone() {
            let scheduled = ScheduledBackups::new(backups.clone(), catalog, pipeline.clone());
            jobs.push(Arc::new(scheduled));
        }
        if let Some(uploads) = options.uploads.clone() {
            jobs.push(Arc::new(UploadExpiry::new(uploads)));
        }
        match options.role {
            Role::Leader => jobs.push(Arc::new(expiry)),
            // The commits of the leader end overrides.
            Role::Replica => {}
        }
        let start = |job| scheduler::start(&supervisor, options.clock.clone(), closed.clone(), job);
        let jobs = jobs.into_iter().map(start).collect();
        let recalling = RecoveryInput {
            journal: journal.clone(),
            to: loaded,
            now: (options.clock)(),
            ids_max: options.limits.request_ids_max,
            compacted: options.compacted_requests,
            closed: closed.clone(),
        };
        let (recall, recalling) = RequestRecovery::start(recalling, pipeline.clone(), &supervisor);
        Ok(Arc::new(Engine {
            recent: Arc::new(Recent::new(&journal)),
            store,
            pipeline,
            hub,
            resolver,
            key_store,
            rotating: tokio::sync::Mutex::default(),
            change_streams: Arc::new(Semaphore::new(options.limits.watchers_max.min(Semaphore::MAX_PERMITS))),
            change_streams_of_actors: ActorStreams::of("streams of changes of this actor", &options.limits),
            limits: options.limits,
            clock: options.clock,
            workers,
            wall_clock: options.wall_clock,
            supervisor,
            draining: CancellationToken::new(),
            closed,
            recall,
            backups,
            state_backups: options.state_backups,
            retention_grace: options.retention_grace,
            tasks: Mutex::new(Some(Tasks { commit, watch, recalling, jobs })),
        }))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Which history of the store this is.
    pub fn epoch(&self) -> Epoch {
        self.pipeline.published().epoch
    }

    /// The newest durable state.
    pub fn state(&self) -> Arc<State> {
        self.pipeline.published()
    }

    /// The newest durable state once it is at least at `revision`. Waits at most for `timeout`.
    pub async fn state_at_least(&self, revision: Revision, timeout: Duration) -> Result<Arc<State>, Error> {
        let state = self.state();
        if state.revision >= revision {
            return Ok(state);
        }
        let mut revisions = self.pipeline.revisions();
        let reached = revisions.wait_for(|reached| *reached >= revision);
        let late = || Error::RevisionNotReached { asked: revision, reached: self.state().revision };
        tokio::select! {
            reached = tokio::time::timeout(timeout, reached) => {
                reached.map_err(|_| late())?.map_err(|_| late())?;
            }
            () = self.draining.cancelled() => return Err(Error::Draining { retry_after: RETRY_AFTER }),
        }
        Ok(self.state())
    }

    /// The revision of the newest durable state, and word of each new one.
    pub fn revisions(&self) -> cell::Receiver<Revision> {
        self.pipeline.revisions()
    }

    /// The revision of the newest durable commit that changed a config of the server itself, and word of each new one.
    pub fn system_revisions(&self) -> cell::Receiver<Revision> {
        self.pipeline.system_revisions()
    }

    /// A config as of a point. What is not in memory is read when the actor has a turn.
    pub async fn config_at(
        &self,
        state: &State,
        id: &ConfigId,
        at: &At,
        actor: &str,
    ) -> Result<Arc<ConfigState>, Error> {
        config_at(&self.store, &self.workers, state, id, at, actor).await
    }

    /// A document as of a point, read as `config_at` reads.
    pub async fn document(
        &self,
        state: &State,
        target: &Target,
        at: &At,
        actor: &str,
    ) -> Result<Arc<Resolved>, Error> {
        let (current, is_current) = current_at(state, &target.id, at)?;
        if is_current {
            let made = self.current_document(current.clone(), target, target.schema_in(state), actor).await?;
            return made.ok_or_else(|| Error::NotFound(no_layer(&current, target)));
        }
        let (store, key_store, marking) =
            (self.store.clone(), self.key_store.clone(), marking_schema(&target.id, state));
        let (target, at) = (Arc::new(target.clone()), at.clone());
        // In one turn: a past version is read with all layers of its config, which nobody keeps while waiting.
        let make = move |_: &Cancelled| {
            let config = historic(&*store, &current, &at)?;
            let made = resolve(&config, &target, None, &key_store, marking.as_deref()).map(Arc::new);
            made.ok_or_else(|| Error::NotFound(no_layer(&config, &target)))
        };
        self.work(actor, make).await
    }

    /// The document of the current state of a config. A large one that is not in memory is made when the actor has a turn.
    async fn current_document(
        &self,
        config: Arc<ConfigState>,
        target: &Target,
        schema: Option<Arc<Schema>>,
        actor: &str,
    ) -> Result<Option<Arc<Resolved>>, Error> {
        if let Some(made) = self.resolver.made(&config, target, schema.as_ref()) {
            return Ok(Some(made));
        }
        let layers = layers_of(&config, &target.scope, target.view);
        let bytes: usize = layers.iter().map(|entry| entry.layer.content.as_str().len()).sum();
        if bytes <= INLINE_BYTES_MAX {
            return Ok(self.resolver.resolve(&config, target, schema));
        }
        // Before the work is begun: who answers at once or not at all begins none.
        tokio::task::yield_now().await;
        let (resolver, target) = (self.resolver.clone(), target.clone());
        self.work(actor, move |_| Ok(resolver.resolve(&config, &target, schema))).await
    }

    /// Runs long work for a call of an actor, which waits until the actor has a turn. Dropping the future stops the work.
    pub async fn work<T: Send + 'static>(
        &self,
        actor: &str,
        work: impl FnOnce(&Cancelled) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.workers.run(actor, work).await
    }

    /// Retained versions of a config below `before`, newest first, each with the commit that made it: at most `limit`, fewer where they
    /// are large, none if there are no more.
    pub async fn versions(
        &self,
        id: &ConfigId,
        before: Version,
        limit: usize,
        viewer: Viewer,
    ) -> Result<Vec<(VersionRef, Sealed)>, Error> {
        let (store, id) = (self.store.clone(), id.clone());
        let (key_store, state) = (self.key_store.clone(), self.state());
        let actor = viewer.visibility().caller().shared_actor().clone();
        let read = move |cancelled: &Cancelled| {
            let read = read::history::versions(&*store, &id, before, limit, cancelled)?;
            let showing = Showing::new(&key_store, &viewer, &state);
            let shown = |(at, sealed)| cancelled.check().and_then(|()| Ok((at, showing.commit(sealed)?)));
            read.into_iter().map(shown).collect()
        };
        self.work(&actor, read).await
    }

    /// A config as it is shown: with the contents of its layers, none of which is as it is stored if it has secrets.
    pub fn shown(&self, state: &State, config: &Arc<ConfigState>, viewer: &Viewer) -> Arc<ConfigState> {
        self.showing(state, viewer).config(config)
    }

    pub(in crate::engine) fn showing<'a>(&'a self, state: &'a State, viewer: &'a Viewer) -> Showing<'a> {
        Showing::new(&self.key_store, viewer, state)
    }

    /// Opens a watch stream. It begins with what any answered write has left, or later.
    pub async fn watch(&self, options: WatchOptions) -> Result<Subscription, Error> {
        let published = self.state().revision;
        tokio::select! {
            () = self.hub.reached(published) => {}
            () = self.draining.cancelled() => {}
        }
        self.hub.subscribe(options, self.now())
    }

    /// Makes a watch stream say how far it is, once it is at the revision that is answered.
    pub fn request_progress(&self, watch_id: &str, who: &str) -> Result<Revision, Error> {
        let revision = self.state().revision;
        self.hub.request_progress(watch_id, who, revision)?;
        Ok(revision)
    }

    /// Who watches a namespace, with what each was last sent, as far as `insights` has it. Costs a look at each watched target and listed stream.
    pub fn subscribers(
        &self,
        query: &SubscriberQuery,
        insights: Insights<'_>,
        cancelled: &Cancelled,
    ) -> Result<Vec<SubscriberInfo>, Error> {
        self.hub.subscribers(query, insights, cancelled)
    }

    /// Watch streams that are open.
    pub fn watcher_count(&self) -> usize {
        self.hub.watcher_count()
    }

    /// Targets that watch streams follow, each counted once.
    pub fn watched_target_count(&self) -> usize {
        self.hub.target_count()
    }

    /// Messages that told watch streams of documents.
    pub fn watch_delivery_count(&self) -> u64 {
        self.hub.delivery_count()
    }

    /// Targets that watch streams follow in a namespace, each as often as it is followed.
    pub fn watcher_count_of(&self, namespace: &Namespace) -> u64 {
        self.hub.watcher_count_of(namespace)
    }

    /// Watch streams that were refused since a namespace has as many watchers as it may have.
    pub fn watch_quota_refusal_count(&self) -> u64 {
        self.hub.quota_refusal_count()
    }

    /// Streams that were refused since their actor has as many as one may have.
    pub fn actor_stream_refusal_count(&self) -> u64 {
        self.hub.actor_refusal_count() + self.change_streams_of_actors.refused()
    }

    /// How long the state has been waiting that waits the longest for the client of its watch stream to make room for it.
    pub fn slowest_watcher_lag(&self) -> Duration {
        self.hub.lag()
    }

    /// How many revisions the hub of the watches is behind what is durable.
    pub fn watch_lag(&self) -> u64 {
        // First where the hub is: it only moves on.
        let told = self.hub.revision();
        self.state().revision.0.saturating_sub(told.0)
    }

    /// Bytes of history that the journal keeps for a namespace.
    pub fn journal_bytes_of(&self, namespace: &Namespace) -> u64 {
        self.pipeline.with_budgets(|budgets| budgets.kept(namespace))
    }

    /// What became of commits since the start.
    pub fn commit_counts(&self) -> &CommitCounts {
        self.pipeline.counts()
    }

    /// Opens a stream of commits.
    pub fn changes(&self, options: ChangesOptions) -> Result<Changes, Error> {
        if self.draining.is_cancelled() {
            return Err(Error::Draining { retry_after: RETRY_AFTER });
        }
        let place = self.change_streams.clone().try_acquire_owned().map_err(|_| Error::LimitReached {
            limit_name: Limit::Watchers,
            what: "streams of changes on this server".into(),
            found: self.limits.watchers_max,
            limit: self.limits.watchers_max,
        })?;
        let of_actor = self.change_streams_of_actors.open(options.viewer.visibility().caller())?;
        let shown = Shown { key_store: self.key_store.clone(), pipeline: Arc::downgrade(&self.pipeline) };
        let (recent, revisions, draining) =
            (self.recent.clone(), self.pipeline.revisions(), self.draining.clone());
        Changes::open(recent, revisions, draining, (place, of_actor), shown, options)
    }

    /// Ends every stream, and refuses new ones. Reads and writes go on.
    pub fn drain(&self) {
        self.draining.cancel();
        self.hub.drain();
    }

    /// Has every thread and task of the engine end, and waits for none of them.
    fn stop(&self) {
        self.drain();
        self.closed.cancel();
        self.workers.close();
        self.pipeline.close();
        self.hub.close();
    }

    /// Makes what is queued durable, and stops. Writes are refused from now on.
    pub async fn close(&self) {
        self.stop();
        let Some(tasks) = self.tasks.lock().expect("nobody panics under this lock").take() else {
            return;
        };
        // A task that panicked is a bug that was reported when it did.
        for job in tasks.jobs {
            let _ = job.await;
        }
        self.backups.forget_observer();
        let threads = [tasks.commit, tasks.watch, tasks.recalling];
        let ended = blocking(move || threads.map(|thread| thread.join().is_ok())).await;
        if !matches!(ended, Ok([true, true, true])) {
            tracing::error!("a thread of the engine ended by a panic");
        }
    }
}

/// Threads of an engine that nobody has closed would go on for ever: they keep the store open.
impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

fn load(store: &dyn Store, quotas: Quotas, progress: &Progress) -> Result<State, Error> {
    const REPORTED_LAYERS: usize = 1000;
    let mut loading = Loading::default();
    let (mut layers, mut reported) = (0, 0);
    progress(0);
    let head = store.load(&mut |config| {
        layers += config.layers.len();
        loading.add(config);
        if layers - reported >= REPORTED_LAYERS {
            reported = layers;
            progress(layers as u64);
        }
    })?;
    Ok(loading.state(store.epoch(), head).with_quotas(quotas))
}

/// Why a config has no document for a target.
fn no_layer(config: &ConfigState, target: &Target) -> Missing {
    let id = config.id.clone();
    match target.view {
        _ if config.is_deleted() => Missing::DeletedConfig(id, config.at.version),
        View::Effective | View::Filled | View::Base => Missing::Layers(id, target.scope.to_string()),
        View::Layer(kind) => Missing::Layer(id, LayerKey { kind, scope: target.scope.clone() }),
    }
}
