//! Backups. Knows manifests and the wire.

use std::collections::BTreeMap;

use serde::Serialize;

use super::time;
use crate::backup::Manifest;
use crate::proto::v1;

/// What a backup has, and from where.
#[derive(Debug, Serialize)]
pub struct BackupView {
    pub kind: &'static str,
    /// `*`, `NAMESPACE` or `NAMESPACE/CONFIG`.
    pub selection: String,
    pub epoch: String,
    pub first_revision: u64,
    pub last_revision: u64,
    pub base_hash: String,
    pub last_hash: String,
    pub commits: u64,
    pub configs: u64,
    pub layers: u64,
    pub secrets: u64,
    pub size_bytes: u64,
    /// Empty: the file was not read to its end.
    pub sha256: String,
    pub create_time: String,
    pub actor: String,
    pub note: String,
    pub labels: BTreeMap<String, String>,
    pub program: String,
    /// Empty: a server does not keep it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_time: Option<String>,
    pub pinned: bool,
}

#[derive(Debug, Serialize)]
pub struct BackupsView {
    pub backups: Vec<BackupView>,
}

impl BackupView {
    /// Of a file, by its manifest.
    pub fn of(manifest: &Manifest, size_bytes: u64, sha256: String) -> BackupView {
        BackupView {
            kind: manifest.kind.as_str(),
            selection: manifest.selection.clone(),
            epoch: manifest.epoch.clone(),
            first_revision: manifest.first_revision,
            last_revision: manifest.last_revision,
            base_hash: manifest.base_hash.clone(),
            last_hash: manifest.last_hash.clone(),
            commits: manifest.counts.commits,
            configs: manifest.counts.configs,
            layers: manifest.counts.layers,
            secrets: manifest.counts.secrets,
            size_bytes,
            sha256,
            create_time: manifest.created().to_string(),
            actor: manifest.actor.clone(),
            note: manifest.note.clone(),
            labels: manifest.labels.clone(),
            program: manifest.program.clone(),
            id: String::new(),
            verify_time: None,
            pinned: false,
        }
    }

    /// What the backup has, in one line.
    pub fn summary(&self) -> String {
        let revisions = match self.commits {
            0 => format!("revision {}", self.last_revision),
            commits => format!("revisions {}, {commits} commits", self.revisions()),
        };
        let of = if self.selection == "*" { "the store".to_owned() } else { self.selection.clone() };
        let sum = if self.sha256.is_empty() { String::new() } else { format!(", {}", self.sha256) };
        format!(
            "{} backup of {of}, {revisions}, {} configs, {} layers, {} bytes{sum}",
            self.kind, self.configs, self.layers, self.size_bytes
        )
    }

    /// The revisions of the commits that the backup has; of a backup without commits, the revision of the state.
    pub fn revisions(&self) -> String {
        match self.commits {
            0 => self.last_revision.to_string(),
            _ => format!("{} to {}", self.first_revision, self.last_revision),
        }
    }

    /// What the backup has, for people.
    pub fn lines(&self) -> Vec<String> {
        let of = if self.selection == "*" { "the store" } else { &self.selection };
        let mut lines = vec![
            format!("kind         {}", self.kind),
            format!("of           {of}"),
            format!("revisions    {}", self.revisions()),
            format!("epoch        {}", self.epoch),
            format!(
                "holds        {} commits; {} configs, {} layers, {} secrets",
                self.commits, self.configs, self.layers, self.secrets
            ),
            format!("last hash    {}", self.last_hash),
            format!("made         {} by {}, {}", self.create_time, self.actor, self.program),
            format!("size         {} bytes", self.size_bytes),
        ];
        if self.kind == "state" {
            lines[2] = format!("revision     {}", self.last_revision);
        }
        if !self.note.is_empty() {
            lines.push(format!("note         {}", self.note));
        }
        if !self.id.is_empty() {
            let verified = self.verify_time.as_deref().unwrap_or("never");
            lines.push(format!("verified     {verified}"));
            lines.push(format!("pinned       {}", if self.pinned { "yes" } else { "no" }));
        }
        lines.extend(self.labels.iter().map(|(key, value)| format!("label        {key}={value}")));
        lines
    }
}

impl From<&v1::Backup> for BackupView {
    fn from(backup: &v1::Backup) -> BackupView {
        let selection = match (backup.namespace.as_str(), backup.config.as_str()) {
            ("", _) => "*".to_owned(),
            (namespace, "") => namespace.to_owned(),
            (namespace, config) => format!("{namespace}/{config}"),
        };
        BackupView {
            kind: match backup.kind() {
                v1::BackupKind::Unspecified | v1::BackupKind::Full => "full",
                v1::BackupKind::State => "state",
                v1::BackupKind::Incremental => "incremental",
            },
            selection,
            epoch: backup.epoch.clone(),
            first_revision: backup.first_revision,
            last_revision: backup.last_revision,
            base_hash: backup.base_hash.clone(),
            last_hash: backup.last_hash.clone(),
            commits: backup.commits,
            configs: backup.configs,
            layers: backup.layers,
            secrets: backup.secrets,
            size_bytes: backup.size_bytes,
            sha256: backup.sha256.clone(),
            create_time: time(backup.create_time.as_ref()).unwrap_or_default(),
            actor: backup.actor.clone(),
            note: backup.note.clone(),
            labels: backup.labels.clone(),
            program: backup.program.clone(),
            id: backup.id.clone(),
            verify_time: time(backup.verify_time.as_ref()),
            pinned: backup.pinned,
        }
    }
}
