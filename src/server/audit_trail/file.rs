//! The file that a SIEM reads: every change and every record of the audit log as one line of JSON, as they happen. Knows how lines look, and
//! when a file was rotated away; not what happened.
//!
//! It begins with what happens once the server runs. What could not be written waits, and is written when it can be. How far the file is, is
//! noted in the data directory after each write (`audit_cursor.rs`): the next start goes on from there, and writes at most the last lines twice.
//! What was removed from the trail before it could be written is told by a line of its own, and counted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cursor::{AUDIT_FILE, Cursor, Position};
use crate::api::{Gap, Trail, TrailItem};
use crate::audit::{Event, Recorder, moment};
use crate::engine::{Engine, Sealed};
use crate::model::{ConfigChange, LayerKind, Revision, Source, Timestamp};
use crate::supervise::OnPanic;

/// Lines that are written together.
const BATCH_MAX: usize = 1000;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// While it cannot be written, the log has one line for so long.
const FAILURE_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What became of the file since the start.
#[derive(Debug, Default)]
pub(in crate::server) struct AuditFileCounts {
    /// Commits and records that were removed before they could be written.
    pub missed: AtomicU64,
    /// It cannot be written now.
    pub is_failing: AtomicBool,
}

/// Writes the file until it is told to stop. Dropped, it stops at once.
pub(in crate::server) struct AuditFile {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
    pub(in crate::server) counts: Arc<AuditFileCounts>,
}

impl AuditFile {
    /// Goes on where the file ended. A new file begins with what was committed since `opened_at`, and with the record of this start.
    pub(in crate::server) fn start(
        path: PathBuf,
        data_dir: &Path,
        engine: &Arc<Engine>,
        recorder: &Recorder,
        opened_at: Revision,
    ) -> AuditFile {
        let (stop, counts) = (CancellationToken::new(), Arc::<AuditFileCounts>::default());
        let cursor = Cursor::new(data_dir, AUDIT_FILE, &path, engine.state().epoch);
        let (_, sequence) = Trail::from_now(engine, recorder).told();
        let begin = Position { revision: opened_at.0, sequence: sequence.saturating_sub(1) };
        let task = engine.supervisor().task("audit-file", OnPanic::Restart, {
            let (engine, recorder, stop, counts) =
                (Arc::downgrade(engine), recorder.clone(), stop.clone(), counts.clone());
            move || {
                let lines = Lines { path: path.clone(), file: None };
                let (engine, recorder, cursor) = (engine.clone(), recorder.clone(), cursor.clone());
                let (stop, counts) = (stop.clone(), counts.clone());
                async move {
                    let Some(engine) = engine.upgrade() else { return };
                    let trail = begun(&engine, &recorder, cursor.read(), begin);
                    drop(engine);
                    follow(trail, lines, cursor, stop, counts).await;
                }
            }
        });
        AuditFile { stop, task: AbortOnDropHandle::new(task), counts }
    }

    /// Writes what there is, and ends.
    pub(in crate::server) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("writing the audit file ended by a panic");
        }
    }
}

/// The trail from where the file ended, as far as it is the same trail.
fn begun(engine: &Arc<Engine>, recorder: &Recorder, ended: Option<Position>, begin: Position) -> Trail {
    let mut trail = Trail::from_now(engine, recorder);
    let (newest, newest_record) = trail.told();
    let Position { revision, sequence } = ended.unwrap_or(begin);
    trail.begin_with_revision(Revision(revision.min(newest.0) + 1));
    // A log that is shorter than it was has been begun anew.
    trail.begin_with_sequence(if sequence <= newest_record { sequence + 1 } else { 1 });
    trail
}

async fn follow(
    mut trail: Trail,
    mut file: Lines,
    cursor: Cursor,
    stop: CancellationToken,
    counts: Arc<AuditFileCounts>,
) {
    let mut told: Option<Instant> = None;
    loop {
        // Before it is looked for what there is: what comes later is not waited for.
        let is_over = stop.is_cancelled();
        let (mut text, mut count) = (String::new(), 0);
        while count < BATCH_MAX {
            match trail.take().await {
                Ok(Some(item)) => {
                    if let TrailItem::Gap(gap) = &item {
                        counts.missed.fetch_add(gap.count(), Relaxed);
                        tracing::error!(%gap, "what was removed before it was read is not in the audit file");
                    }
                    text.push_str(&line(&item));
                    text.push('\n');
                    count += 1;
                }
                Ok(None) => break,
                Err(error) if is_over => {
                    tracing::error!(%error, "the audit file ends before what happened last: the next start writes it");
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "what happened cannot be read for the audit file");
                    tokio::select! {
                        () = tokio::time::sleep(RETRY_AFTER) => {}
                        () = stop.cancelled() => {}
                    }
                    break;
                }
            }
        }
        if count == 0 && is_over {
            return;
        }
        if count == 0 {
            tokio::select! {
                () = trail.changed() => {}
                () = stop.cancelled() => {}
            }
            continue;
        }
        let text: Arc<str> = text.into();
        let (revision, sequence) = trail.told();
        let ended = Position { revision: revision.0, sequence };
        loop {
            let (lines, cursor) = (text.clone(), cursor.clone());
            let write = spawn_blocking(move || {
                let written = file.append(&lines);
                if written.is_ok() {
                    cursor.write(ended);
                }
                (file, written)
            });
            let (back, written) = write.await.unwrap_or_else(|error| panic!("writing ended with {error}"));
            file = back;
            counts.is_failing.store(written.is_err(), Relaxed);
            let Err(error) = written else { break };
            let path = file.path.display();
            if told.is_none_or(|told| told.elapsed() >= FAILURE_TOLD_EVERY) {
                tracing::error!(%error, %path, lines = count, "the audit file cannot be written; it is tried again each second");
                told = Some(Instant::now());
            }
            if stop.is_cancelled() {
                tracing::error!(%path, lines = count, "the audit file ends without these lines: the next start writes them");
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_AFTER) => {}
                () = stop.cancelled() => {}
            }
        }
        if told.take().is_some() {
            tracing::info!(path = %file.path.display(), "the audit file is written again");
        }
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
        if !self.file.as_ref().is_some_and(|file| is_at(file, &self.path)) {
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

/// Whether the file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let same = || {
        let (ours, theirs) = (file.metadata().ok()?, fs::metadata(path).ok()?);
        Some((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
    };
    same().unwrap_or(false)
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
    }
}

#[cfg(test)]
mod tests {
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
