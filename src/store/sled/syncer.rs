//! Waiting for the disk, but not for ever. Knows who can be synced and nothing else of it.
//!
//! sled's `flush()` was seen to hang after a disk had failed. A store that waits with it would neither answer nor say why.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::trees::Trees;
use crate::store::StoreError;

/// No healthy disk takes as long for a sync.
const SYNC_TIME_MAX: Duration = Duration::from_secs(60);

/// Owns the thread that flushes. Dropped, it ends it, unless that hangs.
pub struct Syncer {
    requests: Option<SyncSender<()>>,
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
                while let Ok(()) = asked.recv() {
                    if answer.send(trees.sync()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| StoreError::Io { what: "starting the syncer".into(), source })?;
        Ok(Syncer { requests: Some(requests), results, thread: Some(thread) })
    }

    /// Makes all that was written durable. After an error it must not be called again.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(requests) = &self.requests {
            // If the thread is gone, there will be no result either.
            let _ = requests.send(());
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
