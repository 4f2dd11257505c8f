//! Records each change of what governs access in the audit log, where no compaction of commits removes it. Follows the commits beside those
//! who write them; knows the audit log as it is told of things, and the configs of the reserved namespace by name only.
//!
//! How far it is, is noted in `access-changes.json` of the data directory (`audit_cursor.rs`): the next start, also after a kill, records what is
//! missing, and nothing twice.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cursor::{ACCESS_CHANGES, Cursor, Position};
use super::file::source_name;
use crate::api::{COMMITTED, verb};
use crate::audit::{Entry, Forward, Kind, Place, Recorder};
use crate::engine::{Engine, Error, Sealed, State};
use crate::model::{ConfigChange, Namespace, Revision};
use crate::supervise::{OnPanic, joined};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Records them until it is told to stop. Dropped, it stops at once.
pub(in crate::server) struct AccessChanges {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl AccessChanges {
    pub(in crate::server) fn start(
        data_dir: &Path,
        engine: &Arc<Engine>,
        recorder: &Recorder,
    ) -> AccessChanges {
        let stop = CancellationToken::new();
        let cursor =
            Cursor::new(data_dir, ACCESS_CHANGES, recorder.dir().unwrap_or(data_dir), engine.state().epoch);
        let task = engine.supervisor().task("access-changes", OnPanic::Restart, {
            let (engine, recorder, stop) = (Arc::downgrade(engine), recorder.clone(), stop.clone());
            move || {
                let (engine, recorder, cursor, stop) =
                    (engine.clone(), recorder.clone(), cursor.clone(), stop.clone());
                async move {
                    let Some(revisions) = engine.upgrade().map(|engine| engine.revisions()) else { return };
                    let mut following =
                        Following { recorder, cursor, next: Revision::ZERO.next(), known: BTreeSet::new() };
                    following.go_on().await;
                    follow(following, revisions, stop, || engine.upgrade()).await;
                }
            }
        });
        AccessChanges { stop, task: AbortOnDropHandle::new(task) }
    }

    /// Records what there is, and ends.
    pub(in crate::server) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!("recording changes of access ended by a panic");
        }
    }
}

async fn follow(
    mut following: Following,
    mut revisions: tokio::sync::watch::Receiver<Revision>,
    stop: CancellationToken,
    engine: impl Fn() -> Option<Arc<Engine>>,
) {
    loop {
        // Before it is looked for what there is: what comes later is not waited for.
        let is_over = stop.is_cancelled();
        revisions.borrow_and_update();
        let Some(engine) = engine() else { return };
        let recorded = following.record(&engine).await;
        drop(engine);
        match recorded {
            Ok(()) => {}
            Err(error) if is_over => {
                tracing::error!(%error, "the last changes of access are not in the audit log: the next start records them");
            }
            Err(error) => {
                tracing::error!(%error, "changes of access cannot be read for the audit log; it is tried again");
                tokio::select! {
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
        }
        if is_over {
            return;
        }
        tokio::select! {
            changed = revisions.changed() => if changed.is_err() { stop.cancelled().await },
            () = stop.cancelled() => {}
        }
    }
}

struct Following {
    recorder: Recorder,
    cursor: Cursor,
    /// The next commit to look at.
    next: Revision,
    /// Commits that an earlier process recorded and did not note.
    known: BTreeSet<u64>,
}

impl Following {
    /// Begins where the last process ended. Without a note of that, every commit that is retained is looked at.
    async fn go_on(&mut self) {
        let (recorder, cursor) = (self.recorder.clone(), self.cursor.clone());
        let read = spawn_blocking(move || {
            let position = cursor.read()?;
            let known = recorded_after(&recorder, position.sequence).unwrap_or_else(|error| {
                tracing::error!(%error, "the audit log cannot be read: changes of access may be recorded twice");
                BTreeSet::new()
            });
            Some((position, known))
        });
        if let Some(Some((position, known))) = joined(read.await) {
            (self.next, self.known) = (Revision(position.revision + 1), known);
        }
    }

    async fn record(&mut self, engine: &Engine) -> Result<(), Error> {
        let state = engine.state();
        if !has_changes_from(&state, self.next) {
            self.next = state.revision.next();
            return Ok(());
        }
        while self.next <= state.revision {
            let page = match engine.commits(self.next).await {
                Err(Error::Compacted { oldest, .. }) if oldest > self.next => {
                    tracing::error!(
                        from = self.next.0,
                        to = oldest.0 - 1,
                        "commits were compacted before their changes of access were recorded"
                    );
                    self.next = oldest;
                    continue;
                }
                page => page?,
            };
            let Some(last) = page.last() else { break };
            let newest = last.commit.revision;
            let is_new = |sealed: &Arc<Sealed>| !self.known.contains(&sealed.commit.revision.0);
            let new: Vec<_> = page.into_iter().filter(is_new).collect();
            let recorder = self.recorder.clone();
            let recorded = spawn_blocking(move || new.iter().for_each(|sealed| record(&recorder, sealed)));
            let Some(()) = joined(recorded.await) else { return Ok(()) };
            self.next = newest.next();
        }
        self.note().await;
        Ok(())
    }

    /// Notes how far it is, once that is on the disk.
    async fn note(&self) {
        let (recorder, cursor, revision) = (self.recorder.clone(), self.cursor.clone(), self.next.0 - 1);
        let noted = spawn_blocking(move || {
            recorder.flush();
            if !recorder.counts().is_failing.load(std::sync::atomic::Ordering::Relaxed) {
                let sequence = *recorder.newest().borrow();
                cursor.write(Position { revision, sequence });
            }
        });
        joined(noted.await);
    }
}

/// Whether a commit from this one on has changed what governs access.
fn has_changes_from(state: &State, next: Revision) -> bool {
    state.configs_of(Namespace::reserved()).any(|config| config.at.revision >= next)
}

/// Which commits the log has records of, after this record.
fn recorded_after(recorder: &Recorder, sequence: u64) -> io::Result<BTreeSet<u64>> {
    let Some(dir) = recorder.dir() else { return Ok(BTreeSet::new()) };
    recorder.flush();
    let newest = *recorder.newest().borrow();
    let (mut log, mut known) = (Forward::new(dir, sequence + 1), BTreeSet::new());
    while log.next() <= newest {
        let records = log.read(newest)?;
        let changes = records.iter().filter(|record| record.event.kind == Kind::AccessChanged);
        known.extend(changes.map(|record| record.event.revision));
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
