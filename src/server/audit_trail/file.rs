//! Writes the file that a SIEM reads: each commit and each record of the audit log as one line of JSON. Knows how lines look, and when the file
//! was rotated; not how a feed goes on.
//!
//! A new file begins with the start of the server. After a crash the file may have the last lines twice. A gap is a line of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::task::spawn_blocking;

use crate::api::{Gap, TrailItem};
use crate::audit::{Event, Recorder, moment};
use crate::durable_file;
use crate::engine::{Engine, Sealed};
use crate::model::{ConfigChange, LayerKind, Revision, Source, SystemConfig, Timestamp};
use crate::server::feed::{Consumer, Cursor, Feed, Position};

/// The name of the feed, of its task and of its cursor.
pub(in crate::server) const AUDIT_FILE: &str = "audit-file";
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Starts to write the file. A new file begins with the commits after `opened_at`, with that of a restore before it, and with the record of this start.
pub(in crate::server) fn start(
    path: &Path,
    data_dir: &Path,
    engine: &Arc<Engine>,
    recorder: &Recorder,
    opened_at: Revision,
) -> Feed {
    let cursor = Cursor::new(data_dir, AUDIT_FILE, path, engine.state().epoch);
    let sequence = recorder.newest().borrow().saturating_sub(1);
    let begin = Position { revision: newest_of_before(engine, opened_at).0, sequence };
    let path = path.to_owned();
    Feed::start(AUDIT_FILE, engine, recorder, cursor, begin, move || AuditFile::new(path.clone()))
}

/// The newest commit that a new file does not have. The commit of a restore is in the file: no server has served it before.
fn newest_of_before(engine: &Engine, opened_at: Revision) -> Revision {
    let restored_at = engine.state().config(SystemConfig::Origin.id()).map(|origin| origin.at.revision);
    match restored_at == Some(opened_at) {
        true => Revision(opened_at.0.saturating_sub(1)),
        false => opened_at,
    }
}

/// The consumer that writes the file.
pub(in crate::server) struct AuditFile {
    /// `None` while a thread writes.
    lines: Option<Lines>,
    path: PathBuf,
}

impl AuditFile {
    pub(in crate::server) fn new(path: PathBuf) -> AuditFile {
        AuditFile { lines: None, path }
    }
}

impl Consumer for AuditFile {
    async fn deliver(&mut self, batch: &Arc<[TrailItem]>) -> anyhow::Result<()> {
        let mut lines = self.lines.take().unwrap_or_else(|| Lines { path: self.path.clone(), file: None });
        let batch = batch.clone();
        let write = spawn_blocking(move || {
            let text: String = batch.iter().map(|item| line(item) + "\n").collect();
            let written = lines.append(&text);
            (lines, written)
        });
        let (lines, written) = write.await.unwrap_or_else(|error| panic!("writing ended with {error}"));
        self.lines = Some(lines);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// A file on this machine is not spared by longer pauses.
    fn retry_after(&self, _failures: u32) -> Duration {
        RETRY_AFTER
    }
}

/// A file that others rotate.
struct Lines {
    path: PathBuf,
    file: Option<File>,
}

impl Lines {
    /// Appends to the file that has the name now. All of it or nothing, as far as the disk allows.
    fn append(&mut self, text: &str) -> io::Result<()> {
        if !self.file.as_ref().is_some_and(|file| durable_file::has_name(file, &self.path)) {
            self.file = None;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?,
        };
        let metadata = file.metadata()?;
        if let Err(error) = file.write_all(text.as_bytes()) {
            if metadata.is_file() {
                // Else a part of it would be there twice.
                let _ = file.set_len(metadata.len());
            }
            return Err(error);
        }
        self.file = Some(file);
        Ok(())
    }
}

fn line(item: &TrailItem) -> String {
    let line = match item {
        TrailItem::Record(record) => serde_json::to_string(&RecordLine {
            sequence: record.sequence,
            event: &record.event,
            hash: record.hash.to_string(),
        }),
        TrailItem::Change(sealed) => serde_json::to_string(&ChangeLine::of(sealed)),
        TrailItem::Gap(gap) => serde_json::to_string(&GapLine::of(*gap)),
    };
    line.expect("texts and numbers")
}

#[derive(Serialize)]
struct RecordLine<'a> {
    #[serde(flatten)]
    event: &'a Event,
    sequence: u64,
    hash: String,
}

/// What is missing. Line by line, `from` and `to` are included.
#[derive(Serialize)]
struct GapLine {
    kind: &'static str,
    /// `changes` go by revisions, `records` by sequences.
    of: &'static str,
    from: u64,
    to: u64,
    count: u64,
    detail: &'static str,
}

impl GapLine {
    fn of(gap: Gap) -> GapLine {
        let (of, from, to) = match gap {
            Gap::Commits { from, to } => ("changes", from.0, to.0),
            Gap::Records { from, to } => ("records", from, to),
        };
        let detail = "removed before it was written here";
        GapLine { kind: "gap", of, from, to, count: gap.count(), detail }
    }
}

/// A commit, without content.
#[derive(Serialize)]
struct ChangeLine<'a> {
    #[serde(with = "moment")]
    time: Timestamp,
    kind: &'static str,
    actor: &'a str,
    credential: &'a str,
    address: &'a str,
    outcome: &'static str,
    source: &'static str,
    reason: &'a str,
    request_id: &'a str,
    count: u64,
    revision: u64,
    changes: Vec<ConfigLine<'a>>,
    hash: String,
}

#[derive(Serialize)]
struct ConfigLine<'a> {
    namespace: &'a str,
    config: &'a str,
    version: u64,
    layers: Vec<LayerLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<TagLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_version: Option<u64>,
}

#[derive(Serialize)]
struct LayerLine<'a> {
    scope: &'a str,
    kind: &'static str,
    action: &'static str,
}

#[derive(Serialize)]
struct TagLine<'a> {
    tag: &'a str,
    /// `null`: it is gone.
    version: Option<u64>,
}

impl ChangeLine<'_> {
    fn of(sealed: &Sealed) -> ChangeLine<'_> {
        let commit = &sealed.commit;
        ChangeLine {
            time: commit.time,
            kind: "change",
            actor: &commit.author.actor,
            credential: &commit.author.credential,
            address: &commit.author.address,
            outcome: "COMMITTED",
            source: source_name(commit.source),
            reason: &commit.reason,
            request_id: &commit.author.call_id,
            count: 1,
            revision: commit.revision.0,
            changes: commit.changes.iter().map(ConfigLine::of).collect(),
            hash: sealed.hash.to_string(),
        }
    }
}

impl ConfigLine<'_> {
    fn of(change: &ConfigChange) -> ConfigLine<'_> {
        let layers = change.layers.iter().map(|layer| LayerLine {
            scope: layer.key.scope.as_str(),
            kind: match layer.key.kind {
                LayerKind::Base => "base",
                LayerKind::Override => "override",
            },
            action: if layer.content.is_some() { "put" } else { "delete" },
        });
        let tags = change
            .tags
            .iter()
            .map(|tag| TagLine { tag: tag.tag.as_str(), version: tag.version.map(|version| version.0) });
        ConfigLine {
            namespace: change.id.namespace.as_str(),
            config: change.id.config.as_str(),
            version: change.version.0,
            layers: layers.collect(),
            tags: tags.collect(),
            restored_version: change.restored.map(|version| version.0),
        }
    }
}

pub(in crate::server) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Set => "set",
        Source::Apply => "apply",
        Source::Delete => "delete",
        Source::Rollback => "rollback",
        Source::Expiry => "expiry",
        Source::Tag => "tag",
        Source::Schema => "schema",
        Source::Migration => "migration",
        Source::Revert => "revert",
        Source::Restore => "restore",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_that_was_rotated_away_is_begun_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let mut lines = Lines { path: path.clone(), file: None };
        lines.append("1\n").expect("written");
        lines.append("2\n").expect("written");
        let rotated = dir.path().join("audit.jsonl.1");
        fs::rename(&path, &rotated).expect("renamed");
        lines.append("3\n").expect("written");
        fs::remove_file(&path).expect("removed");
        lines.append("4\n").expect("written");
        let read = |path: &Path| fs::read_to_string(path).expect("read");
        assert_eq!((read(&rotated).as_str(), read(&path).as_str()), ("1\n2\n", "4\n"));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_tried_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("logs");
        let mut lines = Lines { path: missing.join("audit.jsonl"), file: None };
        assert!(lines.append("1\n").is_err());
        fs::create_dir(&missing).expect("made");
        lines.append("1\n").expect("written");
        assert_eq!(fs::read_to_string(&lines.path).expect("read"), "1\n");
    }
}
