//! Backups of what an engine has, while it serves. Knows the state and the store; not where the bytes go, nor who may have them.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::Engine;
use super::blocking::blocking;
use super::error::{Error, Limit};
use super::history_holds::HistoryHolds;
use super::state::ConfigState;
use crate::backup::{self, BackupError, Configs, Finished, Manifest, Plan, Progress, StateView};
use crate::model::Timestamp;
use crate::store::ConfigRecord;

/// Backups that may be in progress. Each holds one part of the file in memory, and keeps history from being compacted.
const BACKUPS_MAX: usize = 2;

/// A backup that is complete.
pub struct MadeBackup<W> {
    pub manifest: Manifest,
    pub finished: Finished,
    pub out: W,
}

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupFailure {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Engine(#[from] Error),
}

/// What the engine knows of backups.
pub(in crate::engine) struct Backups {
    pub holds: Arc<HistoryHolds>,
    pub counts: Arc<BackupCounts>,
    running: Arc<Semaphore>,
}

/// Counted since the start.
#[derive(Debug, Default)]
pub struct BackupCounts {
    pub made: AtomicU64,
    pub failed: AtomicU64,
    /// Bytes of all backups that were made.
    pub bytes: AtomicU64,
    last: Mutex<Option<LastBackup>>,
}

/// The last backup that was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastBackup {
    pub time: Timestamp,
    pub seconds: f64,
    pub bytes: u64,
}

impl BackupCounts {
    pub fn last(&self) -> Option<LastBackup> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self, last: LastBackup) {
        self.made.fetch_add(1, Relaxed);
        self.bytes.fetch_add(last.bytes, Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

impl Default for Backups {
    fn default() -> Backups {
        Backups {
            holds: Arc::default(),
            counts: Arc::default(),
            running: Arc::new(Semaphore::new(BACKUPS_MAX)),
        }
    }
}

impl Engine {
    /// What became of backups since the start.
    pub fn backup_counts(&self) -> &Arc<BackupCounts> {
        &self.backups.counts
    }

    /// Writes a backup of the state that is durable now, and of the history that leads to it. Commits go on meanwhile; a compaction waits.
    /// `observe` learns how far it is, and says whether to go on.
    pub async fn write_backup<W: Write + Send + 'static>(
        &self,
        plan: Plan,
        out: W,
        mut observe: impl FnMut(Progress) -> bool + Send + 'static,
    ) -> Result<MadeBackup<W>, BackupFailure> {
        let running = self.backups.running.clone().try_acquire_owned();
        let running = running.map_err(|_| Error::LimitReached {
            limit_name: Limit::Backups,
            what: "backups in progress on this server",
            found: BACKUPS_MAX,
            limit: BACKUPS_MAX,
        })?;
        let (store, state, closed) = (self.store.clone(), self.state(), self.closed.clone());
        let (holds, counts, clock) =
            (self.backups.holds.clone(), self.backups.counts.clone(), self.clock.clone());
        let made = blocking(move || {
            let _running = running;
            let _held = holds.hold();
            let begun = Instant::now();
            let configs: Configs<'_> =
                &|visit| state.configs_after(None).map(|config| record_of(config)).try_for_each(&mut *visit);
            let view =
                StateView { revision: state.revision, configs, config_count: state.config_count() as u64 };
            let mut go_on = |progress| !closed.is_cancelled() && observe(progress);
            let made = backup::create(&*store, &view, &plan, out, &mut go_on);
            match &made {
                Ok((_, finished, _)) => counts.made(LastBackup {
                    time: clock(),
                    seconds: begun.elapsed().as_secs_f64(),
                    bytes: finished.bytes,
                }),
                Err(_) => _ = counts.failed.fetch_add(1, Relaxed),
            }
            made
        });
        let (manifest, finished, out) = made.await??;
        Ok(MadeBackup { manifest, finished, out })
    }
}

fn record_of(config: &ConfigState) -> ConfigRecord {
    ConfigRecord {
        id: config.id.clone(),
        at: config.at,
        layers: config.layers().iter().map(|entry| (entry.key.clone(), entry.layer.clone())).collect(),
        tags: config.tags().clone(),
    }
}
