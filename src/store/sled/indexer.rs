//! The thread that writes the indexes behind the journal. Knows when; `index.rs` knows what.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use super::index::{self, Pending};
use super::trees::Trees;
use super::{Point, SledOptions, guarded};
use crate::model::Revision;
use crate::store::{Head, StoreError};

/// How many bytes of batches may wait. Above it `push` waits.
const PENDING_BYTES_MAX: usize = 32 << 20;

/// Owns the thread. Dropped, it writes what is pending and ends.
pub struct Indexer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Held while a group of batches is written: whoever holds it sees the indexes as of one head. Taken before `queue`.
    writing: Mutex<()>,
}

struct Queue {
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// What the indexes show.
    indexed: Head,
    /// Why nothing is indexed any more.
    failed: Option<String>,
    stopping: bool,
}

impl Indexer {
    /// `indexed` is what the indexes show now.
    pub fn start(trees: Trees, indexed: Head, options: SledOptions) -> Result<Indexer, StoreError> {
        let queue =
            Queue { pending: VecDeque::new(), pending_bytes: 0, indexed, failed: None, stopping: false };
        let shared =
            Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new(), writing: Mutex::new(()) });
        let thread = thread::Builder::new()
            .name("indexer".into())
            .spawn({
                let shared = shared.clone();
                move || shared.run(&trees, &options)
            })
            .map_err(|source| StoreError::Io { what: "starting the indexer".into(), source })?;
        Ok(Indexer { shared, thread: Some(thread) })
    }

    /// Hands over a batch that is durable. Waits while too much is pending.
    pub fn push(&self, batch: Pending) -> Result<(), StoreError> {
        let mut queue = self.shared.lock();
        while queue.pending_bytes > PENDING_BYTES_MAX && queue.failed.is_none() {
            queue = self.shared.wait(queue);
        }
        queue.check()?;
        queue.pending_bytes += batch.bytes.len();
        queue.pending.push_back(batch);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Waits until the indexes show `revision`.
    pub fn wait_for(&self, revision: Revision) -> Result<(), StoreError> {
        let mut queue = self.shared.lock();
        while queue.indexed.revision < revision {
            queue.check()?;
            queue = self.shared.wait(queue);
        }
        Ok(())
    }

    /// Calls `read` while the indexes stand still, with what they show.
    pub fn while_still<T>(&self, read: impl FnOnce(Head) -> T) -> T {
        let _still = self.shared.writing.lock().expect("writing catches panics");
        let indexed = self.shared.lock().indexed;
        read(indexed)
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the indexer panicked; the next start writes what is missing");
        }
    }
}

impl Shared {
    fn run(&self, trees: &Trees, options: &SledOptions) {
        loop {
            let group: Vec<Pending> = {
                let mut queue = self.lock();
                while queue.pending.is_empty() && !queue.stopping {
                    queue = self.wait(queue);
                }
                queue.pending.drain(..).collect()
            };
            if group.is_empty() {
                return;
            }
            options.pause(Point::BeforeIndex);
            let result = {
                let _writing = self.writing.lock().expect("reads of the indexes do not panic");
                let result = guarded(|| index::write(trees, &group));
                let mut queue = self.lock();
                queue.pending_bytes = queue.pending.iter().map(|batch| batch.bytes.len()).sum();
                match &result {
                    Ok(head) => queue.indexed = head.unwrap_or(queue.indexed),
                    Err(error) => queue.failed = Some(format!("writing the indexes: {error}")),
                }
                self.changed.notify_all();
                result
            };
            options.pause(Point::AfterIndex);
            if let Err(error) = result {
                tracing::error!(%error, "the indexes of the store cannot be written");
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).expect("nothing panics while it holds the queue")
    }
}

impl Queue {
    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(why) => Err(StoreError::Failed(why.clone())),
            None => Ok(()),
        }
    }
}
