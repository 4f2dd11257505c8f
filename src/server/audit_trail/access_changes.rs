//! Records each change of access in the audit log, where no compaction of commits removes the record. Knows the audit log and the reserved
//! namespace; not how a feed goes on.
//!
//! After a crash the audit log may have records of commits behind the cursor: `begin` reads them, so that no change is recorded twice.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::ensure;
use tokio::task::spawn_blocking;

use super::file::source_name;
use crate::api::{COMMITTED, TrailItem, verb};
use crate::audit::{Entry, Forward, Kind, Place, Recorder};
use crate::engine::{Engine, Sealed};
use crate::model::{ConfigChange, Namespace, Revision};
use crate::server::feed::{Consumer, Cursor, Feed, Interest, Position};
use crate::supervise::joined;

/// The name of the feed, of its task and of its cursor.
pub(in crate::server) const ACCESS_CHANGES: &str = "access-changes";

/// Starts to record changes of access. A new feed begins with the oldest commit that is retained.
pub(in crate::server) fn start(data_dir: &Path, engine: &Arc<Engine>, recorder: &Recorder) -> Feed {
    let destination = recorder.dir().unwrap_or(data_dir);
    let cursor = Cursor::new(data_dir, ACCESS_CHANGES, destination, engine.state().epoch);
    let begin = Position { revision: 0, sequence: 0 };
    let consumer = recorder.clone();
    Feed::start(ACCESS_CHANGES, engine, recorder, cursor, begin, move || AccessChanges::new(consumer.clone()))
}

/// The consumer that records changes of access.
pub(in crate::server) struct AccessChanges {
    recorder: Recorder,
    /// Commits that have records: of a process that did not save its cursor after them, or of a delivery that failed.
    recorded: BTreeSet<Revision>,
}

impl AccessChanges {
    pub(in crate::server) fn new(recorder: Recorder) -> AccessChanges {
        AccessChanges { recorder, recorded: BTreeSet::new() }
    }
}

impl Consumer for AccessChanges {
    fn interest(&self) -> Interest {
        Interest::CommitsOf(Namespace::reserved().clone())
    }

    async fn begin(&mut self, after: Option<Position>) {
        let Some(after) = after else { return };
        let recorder = self.recorder.clone();
        let read = spawn_blocking(move || recorded_after(&recorder, after.sequence));
        match joined(read.await) {
            Some(Ok(recorded)) => self.recorded = recorded,
            Some(Err(error)) => {
                tracing::error!(%error, "the audit log cannot be read: changes of access may be recorded twice");
            }
            None => {}
        }
    }

    /// The feed reports gaps; the audit log has no record of a commit that was compacted before.
    async fn deliver(&mut self, batch: &Arc<[TrailItem]>) -> anyhow::Result<()> {
        let (recorder, batch) = (self.recorder.clone(), batch.clone());
        let mut recorded = std::mem::take(&mut self.recorded);
        let write = spawn_blocking(move || {
            for item in batch.iter() {
                if let TrailItem::Change(sealed) = item
                    && recorded.insert(sealed.commit.revision)
                {
                    record(&recorder, sealed);
                }
            }
            recorder.flush();
            let is_written = !recorder.counts().is_failing.load(Relaxed);
            if let Some(newest) = batch.iter().filter_map(revision_of).max().filter(|_| is_written) {
                recorded = recorded.split_off(&newest.next());
            }
            (recorded, is_written)
        });
        let (recorded, is_written) =
            write.await.unwrap_or_else(|error| panic!("recording ended with {error}"));
        self.recorded = recorded;
        ensure!(is_written, "the audit log cannot be written");
        Ok(())
    }
}

fn revision_of(item: &TrailItem) -> Option<Revision> {
    match item {
        TrailItem::Change(sealed) => Some(sealed.commit.revision),
        TrailItem::Record(_) | TrailItem::Gap(_) => None,
    }
}

/// Which commits the log has records of, after this record.
fn recorded_after(recorder: &Recorder, sequence: u64) -> io::Result<BTreeSet<Revision>> {
    let Some(dir) = recorder.dir() else { return Ok(BTreeSet::new()) };
    recorder.flush();
    let newest = *recorder.newest().borrow();
    let (mut log, mut known) = (Forward::new(dir, sequence + 1), BTreeSet::new());
    while log.next() <= newest {
        let records = log.read(newest)?;
        let changes = records.iter().filter(|record| record.event.kind == Kind::AccessChanged);
        known.extend(changes.map(|record| Revision(record.event.revision)));
        if records.is_empty() {
            break;
        }
    }
    Ok(known)
}

/// One record for each config that governs access.
fn record(recorder: &Recorder, sealed: &Sealed) {
    let commit = &sealed.commit;
    let governs = |change: &&ConfigChange| change.id.is_access() && !change.layers.is_empty();
    let changes = commit.changes.iter().filter(governs);
    for change in changes {
        let scope = match change.layers.as_slice() {
            [layer] => layer.key.scope.as_str(),
            [..] => "/",
        };
        let entry = Entry {
            kind: Kind::AccessChanged,
            actor: &commit.author.actor,
            credential: &commit.author.credential,
            address: commit.author.address.parse().ok(),
            method: "",
            verb: verb(commit),
            place: Place {
                namespace: change.id.namespace.as_str(),
                config: change.id.config.as_str(),
                scope,
            },
            outcome: COMMITTED,
            request_id: &commit.author.call_id,
            reason: &commit.reason,
        };
        let (revision, source) = (commit.revision, source_name(commit.source));
        let detail = format!("revision {revision} {source}, version {}", change.version);
        recorder.record_access_change(&entry, revision.0, commit.time, &detail);
    }
}
