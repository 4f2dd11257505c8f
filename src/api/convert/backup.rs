//! Backups, from messages and to messages. Knows manifests and messages; no call.

use std::collections::BTreeMap;

use super::request::{bounded_map, bounded_text, config_id, invalid, namespace};
use super::response::time_message;
use crate::engine::{
    AUTOMATIC_LABEL, BackupKind, BackupManifest, BackupPosition, BackupSelection, Error, KeptBackup,
    SCHEDULE_LABEL,
};
use crate::model::{Digest, Epoch, Revision};
use crate::proto::v1;

const NOTE_BYTES_MAX: usize = 1024;
/// Of a label with its value.
const LABEL_BYTES_MAX: usize = 256;

/// The kind that a request names.
pub fn kind_of(kind: i32) -> Result<BackupKind, Error> {
    match v1::BackupKind::try_from(kind) {
        Ok(v1::BackupKind::Unspecified | v1::BackupKind::Full) => Ok(BackupKind::Full),
        Ok(v1::BackupKind::State) => Ok(BackupKind::State),
        Ok(v1::BackupKind::Incremental) => Ok(BackupKind::Incremental),
        Err(_) => Err(invalid("kind", format!("{kind} is no kind of backup"))),
    }
}

/// What a backup has, by its names.
pub fn selection(namespace_text: &str, config: &str) -> Result<BackupSelection, Error> {
    match (namespace_text, config) {
        ("", "") => Ok(BackupSelection::All),
        ("", _) => Err(invalid("namespace", "must be set where config is")),
        (of, "") => namespace("namespace", of).map(BackupSelection::Namespace),
        (of, config) => config_id("", of, config).map(BackupSelection::Config),
    }
}

/// The end of the backup that an incremental one follows.
pub fn since(
    kind: BackupKind,
    selection: &BackupSelection,
    since: Option<&v1::BackupPosition>,
) -> Result<Option<BackupPosition>, Error> {
    let since = match (kind, since) {
        (BackupKind::Incremental, Some(since)) => since,
        (BackupKind::Incremental, None) => {
            return Err(invalid("since", "must be set for an incremental backup"));
        }
        (BackupKind::Full | BackupKind::State, Some(_)) => {
            return Err(invalid("since", "is for incremental backups alone"));
        }
        (BackupKind::Full | BackupKind::State, None) => return Ok(None),
    };
    if *selection != BackupSelection::All {
        return Err(invalid("namespace", "must be empty: an incremental backup is of the store"));
    }
    let epoch = Epoch::parse(&since.epoch).ok_or_else(|| invalid("since.epoch", "must be 16 hex digits"))?;
    let hash = Digest::parse(&since.chain_hash).ok_or_else(|| invalid("since.chain_hash", "is no hash"))?;
    Ok(Some(BackupPosition { epoch, revision: Revision(since.revision), hash }))
}

/// Refuses a note or labels that are too long, and the labels by which the server finds the backups of a schedule and those before writes, to
/// remove them.
pub fn check_texts(note: &str, labels: &BTreeMap<String, String>) -> Result<(), Error> {
    bounded_text("note", note, NOTE_BYTES_MAX)?;
    let reserved = [SCHEDULE_LABEL, AUTOMATIC_LABEL].into_iter().find(|label| labels.contains_key(*label));
    if let Some(label) = reserved {
        return Err(invalid("labels", format!("has the label {label:?}, which only the server sets")));
    }
    bounded_map("labels", labels, LABEL_BYTES_MAX)
}

pub fn kind_message(kind: BackupKind) -> v1::BackupKind {
    match kind {
        BackupKind::Full => v1::BackupKind::Full,
        BackupKind::State => v1::BackupKind::State,
        BackupKind::Incremental => v1::BackupKind::Incremental,
    }
}

/// A backup that the server keeps.
pub fn kept_message(kept: &KeptBackup) -> v1::Backup {
    v1::Backup {
        id: kept.id.clone(),
        verify_time: kept.verified.map(time_message),
        pinned: kept.is_pinned,
        ..backup_message(&kept.manifest, kept.bytes, kept.sha256)
    }
}

pub fn backup_message(manifest: &BackupManifest, bytes: u64, sha256: Option<Digest>) -> v1::Backup {
    let (namespace, config) = match manifest.selection() {
        Ok(BackupSelection::Namespace(namespace)) => (namespace.to_string(), String::new()),
        Ok(BackupSelection::Config(id)) => (id.namespace.to_string(), id.config.to_string()),
        Ok(BackupSelection::All) | Err(_) => Default::default(),
    };
    v1::Backup {
        kind: kind_message(manifest.kind).into(),
        namespace,
        config,
        epoch: manifest.epoch.clone(),
        first_revision: manifest.first_revision,
        last_revision: manifest.last_revision,
        base_hash: manifest.base_hash.clone(),
        last_hash: manifest.last_hash.clone(),
        commits: manifest.counts.commits,
        configs: manifest.counts.configs,
        layers: manifest.counts.layers,
        secrets: manifest.counts.secrets,
        size_bytes: bytes,
        sha256: sha256.map(|sum| sum.to_string()).unwrap_or_default(),
        create_time: Some(time_message(manifest.created())),
        actor: manifest.actor.clone(),
        note: manifest.note.clone(),
        labels: manifest.labels.clone(),
        program: manifest.program.clone(),
        ..Default::default()
    }
}
