//! What recorders and the writer of the audit log share, and the messages between them. Knows neither of them.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::counts::Counts;
use super::event::Event;
use super::flood::{Floods, NamespaceExists};
use super::proof::{Broken, Proof};
use super::room::Room;
use crate::model::Timestamp;

/// Gives the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What recorders and the writer share.
pub struct LogState {
    pub dir: PathBuf,
    pub clock: Clock,
    pub floods: Floods,
    pub counts: Counts,
    /// The newest record that is written.
    pub newest: watch::Sender<u64>,
    /// Joined when the log is closed.
    pub thread: Mutex<Option<JoinHandle<()>>>,
}

pub enum Message {
    Write(Box<Event>),
    /// Told when everything before it is written and durable, or cannot be.
    Flush(SyncSender<()>),
    Close,
}

impl LogState {
    pub fn new(dir: PathBuf, clock: Clock, namespace_exists: NamespaceExists) -> Arc<LogState> {
        Arc::new(LogState {
            dir,
            clock,
            floods: Floods::new(namespace_exists),
            counts: Counts::default(),
            newest: watch::Sender::new(0),
            thread: Mutex::default(),
        })
    }

    /// Notes what a proof of the log has found, for metrics and the status: the first link that does not hold. What a crash has torn is none.
    pub fn note_proofs<'a>(&self, proofs: &'a [(Room, Proof)]) -> Option<&'a Broken> {
        let mut broken = proofs.iter().filter_map(|(_, proof)| proof.broken.as_ref());
        let found = broken.find(|broken| !broken.is_torn_end);
        self.counts.is_altered.store(found.is_some(), Ordering::Relaxed);
        found
    }
}
