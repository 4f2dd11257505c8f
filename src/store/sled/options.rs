//! How a store in sled works, and where tests can stop it. Knows no trees.

use std::sync::Arc;

use crate::model::Epoch;
use crate::supervise::Supervisor;

/// How a `SledStore` works.
#[derive(Clone)]
pub struct SledOptions {
    pub fsync: Fsync,
    /// How much of the database sled keeps in memory.
    pub cache_bytes: u64,
    /// How large a file of the write-ahead log becomes before the next one is begun. There are up to four.
    pub wal_segment_bytes: usize,
    /// How large a file of the journal becomes before the next one is begun. Of a store that is created: it keeps it.
    pub journal_segment_bytes: u64,
    /// Of a store that is created; random if `None`.
    pub epoch: Option<Epoch>,
    /// Called at each point: lets tests stop the store between two steps.
    pub pause: Option<Pause>,
    /// Runs the thread that archives.
    pub supervisor: Supervisor,
}

/// Whether an append waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// An acknowledged commit survives a power cut.
    Always,
    /// What was acknowledged in the last second or so may be lost in a crash, from the end.
    Never,
}

pub type Pause = Arc<dyn Fn(Point) + Send + Sync>;

/// A moment in the work of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A batch is written to the log, not yet durable.
    BeforeSync,
    /// A batch is durable, not yet visible.
    AfterSync,
    /// The archiver has taken batches from its queue.
    BeforeArchive,
    /// The database shows them.
    AfterArchive,
    /// A compaction lets others have their turn.
    BetweenSlices,
    /// A compaction has copied what it keeps.
    BeforeForget,
    /// It has forgotten the rest, which is still on disk.
    BeforeSweep,
    /// A file of the journal is written anew, and is to take the place of the one before.
    BeforeReplace,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions {
            fsync: Fsync::Always,
            cache_bytes: 8 << 20,
            wal_segment_bytes: 16 << 20,
            journal_segment_bytes: 64 << 20,
            epoch: None,
            pause: None,
            supervisor: Supervisor::default(),
        }
    }
}

impl SledOptions {
    /// Lets a test stop the store at a point.
    pub(super) fn pause(&self, point: Point) {
        if let Some(pause) = &self.pause {
            pause(point);
        }
    }
}
