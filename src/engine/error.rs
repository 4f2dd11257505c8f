//! The errors of the engine. `api::error` maps each to an answer for clients.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::commit::revert_conflict::RevertConflict;
use crate::backup::BackupError;
use crate::model::quota::Quota;
use crate::model::text::DocumentError;
use crate::model::{
    ConfigId, Epoch, LayerKey, Namespace, Pointer, Revision, Scope, TagName, Timestamp, Version,
};
use crate::secret::{KeysError, SourceError};
use crate::store::StoreError;
use crate::validate::{Report, Severity};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    /// A document in the request that cannot be stored, whatever is there already.
    #[error("{field}: {error}")]
    Document { field: String, error: DocumentError },
    /// A patch in the request that does not fit the layer it meets.
    #[error("{field}: {error}")]
    PatchDoesNotApply { field: String, error: DocumentError },
    #[error("{0}")]
    NotFound(Missing),
    #[error("request id {id:?} was used for another request, in revision {revision}")]
    RequestIdReused { id: String, revision: Revision },
    #[error("{place} is at version {current}, not {expected} as expected")]
    VersionMismatch { place: String, expected: Version, current: Version },
    #[error("{place} does not exist, and the request expects that it does")]
    NotExisting { place: String },
    #[error(
        "namespace {0} requires of every change that it says which version it expects: `expected_version` or `must_exist`, over HTTP If-Match or If-None-Match"
    )]
    MatchRequired(Namespace),
    /// The tag of a rollback or restore was moved meanwhile, another version became the one before, or more configs changed. The engine then
    /// looks again; nobody else sees it.
    #[error("another version is to be restored by now")]
    TargetMoved,
    /// A config that is to be restored was changed after the revision that the caller expects.
    #[error("{id} was changed by revision {current}, after revision {expected}, which the request expects")]
    RevisionMismatch { id: ConfigId, expected: Revision, current: Revision },
    /// Secrets are to be sealed in a namespace that has no data key yet. The engine then makes one; nobody else sees it.
    #[error("namespace {0} has no data key")]
    KeyMissing(Namespace),
    /// The keys that seal secrets cannot be had.
    #[error(transparent)]
    MasterKey(#[from] SourceError),
    #[error(transparent)]
    DataKeys(#[from] KeysError),
    #[error("namespace {0} demands a reason for every change")]
    ReasonRequired(Namespace),
    #[error("tag {tag} of namespace {namespace} names revision {current}, not {expected} as expected")]
    TagMismatch { namespace: Namespace, tag: TagName, expected: Revision, current: Revision },
    #[error("the change was refused by validation{}", places_of_errors(.0))]
    Refused(Report),
    /// Values that a revert would restore have been changed since.
    #[error("other commits have since changed {}, so nothing was taken back", places(conflicts.len() + omitted))]
    RevertConflict { conflicts: Vec<RevertConflict>, omitted: usize },
    #[error("revision {asked} was compacted, the oldest available is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// A version of a config that is no longer retained.
    #[error("version {version} of {id} was compacted: the history of namespace {} begins with revision {oldest}", .id.namespace)]
    VersionCompacted { id: ConfigId, version: Version, oldest: Revision },
    #[error("revision {asked} is ahead of the store, which is at revision {store}")]
    RevisionInFuture { asked: Revision, store: Revision },
    #[error(
        "the position is of another history of the store, epoch {asked}; the store was restored and has epoch {store}: start afresh"
    )]
    OtherEpoch { asked: Epoch, store: Epoch },
    #[error("revision {asked} was not reached in time, the server is at revision {reached}")]
    RevisionNotReached { asked: Revision, reached: Revision },
    #[error("{what}: {found}, at most {limit} are allowed")]
    LimitReached { limit_name: Limit, what: Cow<'static, str>, found: usize, limit: usize },
    /// A backup was ended for others.
    #[error(
        "others wait to make or read a backup, and the client took too little of this one: take it faster, or try again later"
    )]
    PlaceGivenUp,
    #[error("namespace {namespace} would have {found} {}, its quota is {limit}", .quota.as_str())]
    QuotaExceeded { namespace: Namespace, quota: Quota, found: u64, limit: u64 },
    /// Nobody waits for the answer any more, so the work was stopped.
    #[error("the caller has cancelled the call")]
    Cancelled,
    /// Checking all documents that the call reaches would take too long.
    #[error(
        "checking all documents that the call reaches, and what governs them, takes more than {steps_max} steps"
    )]
    TooCostly { steps_max: u64 },
    /// The same, of what may be written in a while.
    #[error(
        "namespace {namespace} writes too fast: its quota is {per_minute} bytes of journal in a minute, {burst} at once"
    )]
    WritesTooFast { namespace: Namespace, per_minute: u64, burst: u64, wait: Duration },
    /// A caller who may not see a secret writes other values to it again and again. `wait`: until there is room for these; `None`: never.
    #[error(
        "too many values for the secret at {pointer} of {id} from a caller who may not reveal it: {at_once} at once and one a minute are allowed; \
         leave out secrets that do not change, or have reveal-secret granted at {scope}"
    )]
    SecretGuesses { id: ConfigId, scope: Scope, pointer: Pointer, at_once: u32, wait: Option<Duration> },
    /// The caller has asked too often whether documents would be invalid which they may not read.
    #[error(
        "too many changes in namespace {namespace} have shown whether documents would be valid that the caller may not read: {at_once} at once and \
         one a minute are allowed; try again later, or have `read` granted on what the change reaches"
    )]
    HiddenFindings { namespace: Namespace, at_once: u32, wait: Duration },
    /// Secrets cannot be shown to the caller now.
    #[error(transparent)]
    SecretsWithheld(#[from] Withheld),
    #[error("the server is shutting down")]
    Draining { retry_after: Duration },
    /// The journal did not take the write, or one before it that it was planned on. It may take it now.
    #[error("nothing was written: {0}")]
    NotWritten(String),
    /// The journal no longer takes writes, or cannot tell whether it took this one. Reads go on.
    #[error("the server cannot write: {0}")]
    Unwritable(String),
    /// The engine is a replica: its commits are made by another process.
    #[error("this server takes no writes: it is a replica of another one")]
    OfReplica,
    /// The archive of history has failed and is being opened again.
    #[error("history cannot be read now: {0}")]
    HistoryUnavailable(String),
    /// The state before a write that changes much was not kept as a backup, so the write was not made.
    #[error("{0}")]
    StateNotKept(BackupError),
    /// A backup cannot be read, or is not what is asked for.
    #[error(transparent)]
    Backup(BackupError),
    /// The work of a call ended by a panic, which is a bug. It was logged where it happened.
    #[error("the server has failed to answer, which is a bug: its log says where")]
    Panicked,
    #[error("history cannot be read")]
    Store(#[source] StoreError),
}

/// Why secrets are not shown to a caller who may see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The caller was shown too many a short time ago.
    #[error(
        "too many documents with secrets were shown to this actor: at most {per_second} a second are allowed, and {burst} at once"
    )]
    Limited { per_second: u32, burst: u32, wait: Duration },
    /// The audit log has no room for the record.
    #[error("the audit log cannot record now that secrets are shown, so they are not")]
    Unrecorded,
}

impl Withheld {
    /// When a stream tries again. Those that wait for the same spread over a while.
    pub fn retry_in(&self) -> Duration {
        let wait = match self {
            Withheld::Limited { wait, .. } => *wait,
            Withheld::Unrecorded => Duration::from_millis(500),
        };
        wait + Duration::from_millis(100).mul_f64(1.0 + fastrand::f64())
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    CommitBytes,
    Layers,
    RequestIds,
    Tags,
    QueuedWrites,
    Watchers,
    WatchersOfActor,
    WatchedConfigs,
    WatchedConfigsOfActor,
    DataKeys,
    Backups,
}

/// What does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Config(ConfigId),
    /// It existed, and was deleted at this version.
    DeletedConfig(ConfigId, Version),
    /// It exists, but no layer of it applies.
    Layers(ConfigId, String),
    Layer(ConfigId, LayerKey),
    Version(ConfigId, Version, Version),
    VersionAtRevision(ConfigId, Revision),
    VersionAtTime(ConfigId, Timestamp),
    Tag(ConfigId, TagName),
    NamespaceTag(Namespace, TagName),
    Value(ConfigId, String),
    Watch(String),
    /// It does not exist, or the caller may not see it.
    Backup(String),
    Upload(String),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Missing::Config(id) => write!(f, "config {id} does not exist"),
            Missing::DeletedConfig(id, version) => {
                write!(f, "config {id} was deleted at version {version}")
            }
            Missing::Layers(id, scope) => write!(f, "config {id} has no layer at {scope} or above"),
            Missing::Layer(id, key) => write!(f, "config {id} has no {} layer at {}", key.kind, key.scope),
            Missing::Version(id, version, newest) => {
                write!(f, "config {id} has no version {version}, its newest is {newest}")
            }
            Missing::VersionAtRevision(id, revision) => {
                write!(f, "config {id} did not exist at revision {revision}")
            }
            Missing::VersionAtTime(id, time) => write!(f, "config {id} did not exist at {time}"),
            Missing::Tag(id, tag) => write!(f, "config {id} has no tag {tag}"),
            Missing::NamespaceTag(namespace, tag) => write!(f, "namespace {namespace} has no tag {tag}"),
            Missing::Value(id, pointer) => write!(f, "config {id} has no value at {pointer:?}"),
            Missing::Watch(watch) => write!(f, "there is no watch stream {watch:?}"),
            Missing::Backup(id) => write!(f, "there is no backup {id:?}"),
            Missing::Upload(id) => {
                write!(
                    f,
                    "there is no upload {id:?} of this caller: it was used or replaced, no part of it came for 5 minutes, or it is too old"
                )
            }
        }
    }
}

/// ` at shop/checkout /production`: the document of the first error, and the number of other documents with errors.
fn places_of_errors(report: &Report) -> String {
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let documents: BTreeSet<(&ConfigId, &Scope)> =
        errors.clone().map(|finding| (&finding.place.id, &finding.place.scope)).collect();
    let Some(first) = errors.map(|finding| &finding.place).next() else { return String::new() };
    match documents.len() - 1 {
        0 => format!(" at {} {}", first.id, first.scope),
        others => format!(" at {} {} and {others} more", first.id, first.scope),
    }
}

fn places(count: usize) -> String {
    match count {
        1 => "the value at 1 place".into(),
        count => format!("the values at {count} places"),
    }
}

impl From<Missing> for Error {
    fn from(missing: Missing) -> Error {
        Error::NotFound(missing)
    }
}

impl From<BackupError> for Error {
    fn from(error: BackupError) -> Error {
        match error {
            BackupError::Store(error) => error.into(),
            BackupError::Stopped => Error::Cancelled,
            BackupError::TooLarge { what, found, limit } => {
                Error::LimitReached { limit_name: Limit::CommitBytes, what: what.into(), found, limit }
            }
            BackupError::Foreign
            | BackupError::Format { .. }
            | BackupError::Damaged(_)
            | BackupError::Mismatch(_)
            | BackupError::Revision { .. }
            | BackupError::Full(_)
            | BackupError::MasterKey(_)
            | BackupError::NotEmpty(_)
            | BackupError::Io { .. } => Error::Backup(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::Compacted { asked, oldest } => Error::Compacted { asked, oldest },
            StoreError::Refused(why) => Error::NotWritten(why),
            StoreError::Failed(why) | StoreError::Doubtful(why) => Error::Unwritable(why),
            StoreError::Unavailable(why) => Error::HistoryUnavailable(why),
            StoreError::Locked { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Format { .. }
            | StoreError::Io { .. } => Error::Store(error),
        }
    }
}
