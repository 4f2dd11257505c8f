//! What an engine is opened with. Knows no engine.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backup::{Catalog, Uploads};
use crate::model::Timestamp;
use crate::model::limits::Limits;
use crate::model::quota::Quotas;
use crate::secret::MasterKeySource;
use crate::store::CompactedRequests;
use crate::supervise::Supervisor;

/// Gives the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Told how many layers have been loaded: 0 at first, then every thousand or so.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Who makes the commits of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The engine, of the writes of its callers, and of what falls due.
    #[default]
    Leader,
    /// Another process, whose commits the engine applies one after the other: `Engine::apply_commits`. Every other write is refused,
    /// and no override is ended here: the commit of the leader that ends it arrives. Reads, watches, the stream of changes and the retention
    /// of history are those of any engine.
    ///
    /// A replica shares with its leader: the epoch, with which its store is created; all commits from revision 1 on, or a copy of a store
    /// to start from; and the master key, if there are secrets. Nothing else.
    Replica,
}

/// How an engine is to be.
#[derive(Clone)]
pub struct Options {
    pub role: Role,
    pub limits: Limits,
    /// What each namespace may have, unless an administrator says otherwise.
    pub quotas: Quotas,
    /// History that is kept, in revisions. `None`: all of it.
    pub retain_revisions: Option<u64>,
    /// History that is kept, by age. With both, a commit is kept that either would keep. `None`: all of it.
    pub retain_for: Option<Duration>,
    /// How long no history is compacted by `confwatch/retention` after a change of that config, so that a mistake can be taken back.
    pub retention_grace: Duration,
    /// Memory for resolved documents.
    pub cache_bytes: u64,
    /// Where the key is that wraps the keys that seal secrets.
    pub master_key: MasterKeySource,
    /// Time between two checks that the master key is still there.
    pub master_key_check_interval: Duration,
    /// Where backups are kept. `None`: nowhere.
    pub backups: Option<Arc<Catalog>>,
    /// Before a restore, a migration, and a write to more layers of a namespace than this, the state of the namespace is kept as a backup, where
    /// backups are kept. `None`: no state is.
    pub state_backups: Option<usize>,
    /// Where the request ids of compacted commits are kept for a later start. `None`: a later start does not know them.
    pub compacted_requests: Option<Arc<CompactedRequests>>,
    /// While others wait for its place, a backup that is sent ends when its client takes too little of it in this time.
    pub transfer_timeout: Duration,
    /// Where backups are received that clients restore from. `None`: none are.
    pub uploads: Option<Arc<Uploads>>,
    pub clock: Clock,
    /// The time of day, which may be set at any moment: for what must not be used for too long by either clock.
    pub wall_clock: Clock,
    /// Told how the start goes on.
    pub progress: Progress,
    /// Runs the threads and tasks of the engine.
    pub supervisor: Supervisor,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            role: Role::default(),
            limits: Limits::default(),
            quotas: Quotas::default(),
            retain_revisions: None,
            retain_for: None,
            retention_grace: Duration::ZERO,
            cache_bytes: 64 << 20,
            master_key: MasterKeySource::Process,
            master_key_check_interval: Duration::from_secs(60),
            backups: None,
            compacted_requests: None,
            uploads: None,
            transfer_timeout: Duration::from_secs(5),
            state_backups: None,
            clock: Arc::new(|| Timestamp::from_system(SystemTime::now())),
            wall_clock: Arc::new(|| Timestamp::from_system(SystemTime::now())),
            progress: Arc::new(|_| {}),
            supervisor: Supervisor::default(),
        }
    }
}
