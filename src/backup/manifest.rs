//! The manifest of a backup: what the file holds, and from where. Knows the model; no bytes.
//!
//! The manifest is JSON with the names of the fields below. A reader ignores members that it does not know.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::BackupError;
use crate::model::{ConfigId, ConfigName, Namespace, Revision, Timestamp};

/// The label with the schedule of a backup, which the server alone sets.
pub const SCHEDULE_LABEL: &str = "schedule";

/// The label with the kind of write before which a backup was kept. The server alone sets the label.
pub const AUTOMATIC_LABEL: &str = "automatic";

/// What a backup holds, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The program that made the backup: `confwatch 0.1.0`.
    pub program: String,
    /// The name of the server, if the server has one.
    pub server: String,
    /// The epoch of the store: 16 hex digits.
    pub epoch: String,
    pub kind: Kind,
    /// `*`, `NAMESPACE` or `NAMESPACE/CONFIG`.
    pub selection: String,
    /// The first revision whose commit is in the file. A backup of the state has none: the revision after `last_revision`.
    pub first_revision: u64,
    /// The revision of the state.
    pub last_revision: u64,
    /// When the last commit was made, in microseconds since the Unix epoch.
    pub last_time_us: i64,
    /// The hash of the commit before the first one: `sha256:` and 64 hex digits.
    pub base_hash: String,
    /// The hash of the last commit.
    pub last_hash: String,
    /// Of a full backup: the oldest revision of which the changes of a namespace are in the file, of namespaces whose history was compacted by
    /// itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub forgotten: BTreeMap<Namespace, Revision>,
    pub counts: Counts,
    /// When the backup was made, in microseconds since the Unix epoch.
    pub created_us: i64,
    /// Who made the backup.
    pub actor: String,
    pub note: String,
    pub labels: BTreeMap<String, String>,
    pub parts: Vec<Part>,
}

/// How much of what a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub commits: u64,
    /// Configs of the state that have layers.
    pub configs: u64,
    pub layers: u64,
    pub secrets: u64,
}

/// A part of the file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub kind: char,
    pub stored_bytes: u64,
    pub plain_bytes: u64,
    /// Of the stored bytes: `sha256:` and 64 hex digits.
    pub sha256: String,
}

/// How much of history a backup has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All commits that the store retains, and the state.
    Full,
    /// The state alone.
    State,
    /// The commits after those of another backup. No state.
    Incremental,
}

/// What of a store a backup has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    Namespace(Namespace),
    Config(ConfigId),
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Full, Kind::State, Kind::Incremental];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Full => "full",
            Kind::State => "state",
            Kind::Incremental => "incremental",
        }
    }
}

impl Selection {
    /// Reads what `Display` writes. `None` if the text is not that.
    pub fn parse(text: &str) -> Option<Selection> {
        let namespace = |text: &str| Namespace::parse(text).ok();
        match text.split_once('/') {
            None if text == "*" => Some(Selection::All),
            None => namespace(text).map(Selection::Namespace),
            Some((of, config)) => {
                let config = ConfigName::parse(config).ok()?;
                Some(Selection::Config(ConfigId { namespace: namespace(of)?, config }))
            }
        }
    }

    /// Whether all of another selection is in this one.
    pub fn covers(&self, other: &Selection) -> bool {
        match other {
            Selection::All => *self == Selection::All,
            Selection::Namespace(_) => *self == Selection::All || self == other,
            Selection::Config(id) => self.has(id),
        }
    }

    /// Whether something of a namespace is selected.
    pub fn has_of(&self, namespace: &Namespace) -> bool {
        match self {
            Selection::All => true,
            Selection::Namespace(selected) => selected == namespace,
            Selection::Config(config) => config.namespace == *namespace,
        }
    }

    pub fn has(&self, id: &ConfigId) -> bool {
        match self {
            Selection::All => true,
            Selection::Namespace(namespace) => id.namespace == *namespace,
            Selection::Config(config) => id == config,
        }
    }
}

impl Manifest {
    pub fn selection(&self) -> Result<Selection, BackupError> {
        Selection::parse(&self.selection)
            .ok_or_else(|| BackupError::damaged(format!("it selects {:?}", self.selection)))
    }

    pub fn created(&self) -> Timestamp {
        Timestamp(self.created_us)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::All => f.write_str("*"),
            Selection::Namespace(namespace) => namespace.fmt(f),
            Selection::Config(id) => id.fmt(f),
        }
    }
}
