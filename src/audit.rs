//! The log of what left no commit: calls that were denied or refused, and secrets that were shown; and of changes of what governs access, which
//! outlast their commits here. Knows the model and files; never a
//! request, an engine or a transport.
//!
//! `Recorder` is where others tell what happened, `flood` keeps what happens again and again from filling the disk, `writer` is the one
//! thread that writes, `check` the one that proves what is written, `room` where what lies, `log` the files of one room, `chain` what makes them provable, `position` how far they are durable, `proof` and
//! `reading` what can be done with them.

mod chain;
mod check;
mod counts;
mod event;
mod files;
mod flood;
mod log;
mod log_state;
mod position;
mod proof;
mod reading;
mod record;
mod recorder;
mod room;
#[cfg(test)]
mod tests;
mod text;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use chain::moment;
pub use counts::Counts;
pub use event::{Entry, Event, Kind, Place};
pub use proof::{Broken, Proof, prove, prove_rooms};
pub use reading::{Backward, Forward, Step};
pub use record::Record;
pub use recorder::{Options, Recorder};
pub use room::Room;

/// How much of the log is kept. Whole segments go, the oldest first, and never the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records are kept so long, and up to a day longer.
    pub age_max: Duration,
    /// What the files may have together, and a segment more for each room: two thirds of it are for what is never pushed out by denials.
    pub bytes_max: u64,
}

/// Where the log of a server is that has its data there.
pub fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}
