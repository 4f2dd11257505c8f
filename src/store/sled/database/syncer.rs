//! Waiting for the disk, but not for ever. Knows that something is synced; not what.
//!
//! sled's `flush()` was seen to hang after a disk had failed. A store that waits with it would neither answer nor say why.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::store::StoreError;
use crate::store::sled::index::trees::Trees;

/// No healthy disk takes as long for a sync.
const SYNC_TIME_MAX: Duration = Duration::from_secs(60);

/// What waits for the disk.
type Sync = fn(&Trees) -> Result<(), StoreError>;

/// Owns the thread that flushes. Dropped, it ends it, unless that hangs.
pub struct Syncer {
    requests: Option<SyncSender<Sync>>,
    results: Receiver<Result<(), StoreError>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub fn start(trees: Trees) -> Result<Syncer, StoreError> {
        let (requests, asked) = mpsc::sync_channel(1);
        let (answer, results) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("syncer".into())
            .spawn(move || {
                while let Ok(sync) = asked.recv() {
                    let sync: Sync = sync;
                    if answer.send(sync(&trees)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| StoreError::Io { what: "starting the syncer".into(), source })?;
        Ok(Syncer { requests: Some(requests), results, thread: Some(thread) })
    }

    /// Runs what waits for the disk. After an error this must not be called again.
    pub fn sync(&mut self, sync: Sync) -> Result<(), StoreError> {
        if let Some(requests) = &self.requests {
            // If the thread is gone, there will be no result either.
            let _ = requests.send(sync);
        }
        match self.results.recv_timeout(SYNC_TIME_MAX) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                self.thread = None;
                Err(StoreError::Failed(format!("a sync did not end within {} s", SYNC_TIME_MAX.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(StoreError::Failed("a sync panicked".into())),
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // That it panicked was told by `sync`.
            let _ = thread.join();
        }
    }
}
