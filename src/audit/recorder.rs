//! Takes events from the rest of the server, and never waits for a disk. Knows no file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::Retention;
use super::check;
use super::counts::Counts;
use super::event::{Entry, Event};
use super::flood::NamespaceExists;
use super::log_state::{Clock, LogState, Message};
use super::proof::{Proof, prove_rooms};
use super::room::Room;
use super::writer::{self, Writer};
use crate::model::Timestamp;
use crate::supervise::{OnPanic, Supervisor};

/// What waits for the writer. More is lost, and told to be.
const QUEUE_MAX: usize = 20_000;
/// Records of reveals that are not in a file yet. While there are more, no secret is shown.
const REVEALS_UNWRITTEN_MAX: u64 = 10_000;

/// How a log is to be.
#[derive(Clone)]
pub struct Options {
    pub dir: PathBuf,
    pub retention: Retention,
    pub clock: Clock,
    /// Only existing namespaces have sums of their own, since callers can make up any number of names.
    pub namespace_exists: NamespaceExists,
    /// What the first record says of the server that begins to write.
    pub started: String,
    /// Runs the thread that writes.
    pub supervisor: Supervisor,
}

/// Takes what happened. Clones share the log.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<LogState>,
    /// `None`: what happens is counted, and nothing is written.
    queue: Option<SyncSender<Message>>,
    /// The thread that checks the log. It ends when its sender is gone, be it with the last recorder.
    check: Arc<Mutex<Option<CheckThread>>>,
}

struct CheckThread {
    thread: JoinHandle<()>,
    stop: SyncSender<()>,
}

impl Recorder {
    /// Begins to write a log, by a thread of its own. Cannot fail: a log that cannot be written is told of, and tried again.
    pub fn start(options: Options) -> io::Result<Recorder> {
        let (queue, messages) = sync_channel(QUEUE_MAX);
        let shared = LogState::new(options.dir, options.clock, options.namespace_exists);
        let mut writer = Writer::new(shared.clone(), options.retention, &options.started);
        let run = move |heart: &_| writer::run(&mut writer, &messages, heart);
        let thread = options.supervisor.thread("audit", OnPanic::Restart, run)?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        let (stop, stopped) = sync_channel(0);
        let (checked, tell) = (shared.clone(), queue.clone());
        let run = move |heart: &_| check::run(&checked, &tell, &stopped, heart);
        let thread = options.supervisor.thread("audit-check", OnPanic::Restart, run)?;
        let check = Arc::new(Mutex::new(Some(CheckThread { thread, stop })));
        Ok(Recorder { shared, queue: Some(queue), check })
    }

    /// Counts, and writes nothing.
    pub fn none() -> Recorder {
        let clock = Arc::new(|| Timestamp::from_system(std::time::SystemTime::now()));
        let shared = LogState::new(PathBuf::new(), clock, Arc::new(|_| false));
        Recorder { shared, queue: None, check: Arc::default() }
    }

    /// Takes what happened now. What is the same as a short time ago is counted: that costs a look-up.
    pub fn record(&self, entry: &Entry<'_>) {
        self.record_detailed(entry, "");
    }

    /// The same with more about it, for people.
    pub fn record_detailed(&self, entry: &Entry<'_>, detail: &str) {
        self.shared.counts.count(entry);
        let Some(queue) = &self.queue else { return };
        let Some(event) = self.shared.floods.note(entry, (self.shared.clock)()) else { return };
        let event = match detail.is_empty() || !event.detail.is_empty() {
            true => event,
            false => event.with_detail(detail),
        };
        // A flood of denials leaves room for what must not be lost.
        let yields = Room::of_event(&event).yields();
        let counts = &self.shared.counts;
        if yields && counts.yielding.fetch_add(1, Ordering::Relaxed) >= QUEUE_MAX as u64 / 2 {
            counts.yielding.fetch_sub(1, Ordering::Relaxed);
            return counts.lose(1);
        }
        match queue.try_send(Message::Write(Box::new(event))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                counts.yielding.fetch_sub(yields.into(), Ordering::Relaxed);
                counts.lose(1);
            }
        }
    }

    /// Records that secrets are about to be shown. Such records are never summed up and never lost: whether there is room for this one. If
    /// not, the secrets must not be shown.
    #[must_use]
    pub fn record_reveal(&self, entry: &Entry<'_>) -> bool {
        self.record_disclosure(entry, "")
    }

    /// As `record_reveal`, for a backup, which has all that is selected. `detail` says what the backup has.
    #[must_use]
    pub fn record_backup(&self, entry: &Entry<'_>, detail: &str) -> bool {
        self.record_disclosure(entry, detail)
    }

    fn record_disclosure(&self, entry: &Entry<'_>, detail: &str) -> bool {
        let counts = &self.shared.counts;
        if let Some(queue) = &self.queue {
            if counts.reveals_unwritten.fetch_add(1, Ordering::Relaxed) >= REVEALS_UNWRITTEN_MAX {
                counts.reveals_unwritten.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            let event = Box::new(entry.event((self.shared.clock)()).with_detail(detail));
            if queue.try_send(Message::Write(event)).is_err() {
                counts.reveals_unwritten.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
        }
        counts.reveals.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Takes what a commit changed of what governs access, and is never summed up. Blocks while there is too much to write.
    pub fn record_access_change(&self, entry: &Entry<'_>, revision: u64, time: Timestamp, detail: &str) {
        let Some(queue) = &self.queue else { return };
        let event = Event { revision, ..entry.event(time) }.with_detail(detail);
        if queue.send(Message::Write(Box::new(event))).is_err() {
            self.shared.counts.lose(1);
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// The directory of the log. `None`: nothing is written.
    pub fn dir(&self) -> Option<&Path> {
        self.queue.as_ref().map(|_| self.shared.dir.as_path())
    }

    /// Proves all parts of the log, up to what happened before, and notes the result for metrics and the status. `None`: nothing is written. Blocks.
    pub fn prove(&self) -> io::Result<Option<Vec<(Room, Proof)>>> {
        self.flush();
        let newest = *self.newest().borrow();
        let Some(dir) = self.dir() else { return Ok(None) };
        let proofs = prove_rooms(dir, Some(newest))?;
        self.shared.note_proofs(&proofs);
        Ok(Some(proofs))
    }

    /// The newest record that is written, and word of each new one.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.shared.newest.subscribe()
    }

    /// Waits until what happened before is written and durable, or cannot be. Blocks.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        // It ends with an error if the writer is gone: then there is nothing to wait for.
        if self.queue.as_ref().is_some_and(|queue| queue.send(Message::Flush(done)).is_ok()) {
            let _ = wait.recv();
        }
    }

    /// Writes what was counted, makes everything durable, and ends. What happens from now on is lost. Blocks.
    pub fn close(&self) {
        let check = self.check.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(CheckThread { thread, stop }) = check {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that checks the audit log ended by a panic");
            }
        }
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(thread), Some(queue)) = (thread, &self.queue) {
            let _ = queue.send(Message::Close);
            if thread.join().is_err() {
                tracing::error!("the thread of the audit log ended by a panic");
            }
        }
    }
}
