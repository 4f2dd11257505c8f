//! Counts of audited events since the start: denials, reveals, written and lost records. Knows no file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::event::{Entry, Kind};
use super::room::Room;

/// What happened since the start, whether it was written or not.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls and streams that were denied or refused, by what their clients were told.
    denied: Mutex<BTreeMap<String, u64>>,
    pub reveals: AtomicU64,
    /// Records that were written.
    pub records: AtomicU64,
    /// What happened and is in no record.
    pub lost: AtomicU64,
    /// Records that were removed before their time, by room.
    pub early: [AtomicU64; Room::ALL.len()],
    /// Of what was lost, what the log does not tell yet.
    pub(super) lost_untold: AtomicU64,
    /// Denials on their way to the writer.
    pub(super) yielding: AtomicU64,
    /// Reveals that were recorded and are not in a file yet.
    pub(super) reveals_unwritten: AtomicU64,
    pub bytes: AtomicU64,
    /// The disk does not take records now.
    pub is_failing: AtomicBool,
    /// Records that were durable were gone when the log was opened.
    pub is_incomplete: AtomicBool,
    /// The last proof found a link that does not hold.
    pub is_altered: AtomicBool,
}

impl Counts {
    /// Calls and streams that were denied or refused, by what their clients were told.
    pub fn denied(&self) -> BTreeMap<String, u64> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn count(&self, entry: &Entry<'_>) {
        match entry.kind {
            Kind::Denied | Kind::Refused => {
                let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
                match denied.get_mut(entry.outcome) {
                    Some(count) => *count += 1,
                    None => _ = denied.insert(entry.outcome.to_owned(), 1),
                }
            }
            Kind::Revealed
            | Kind::Overwritten
            | Kind::AccessChanged
            | Kind::Backup
            | Kind::Session
            | Kind::Started
            | Kind::Stopped
            | Kind::Lost
            | Kind::Repaired
            | Kind::Removed => {}
        }
    }

    pub(super) fn note_early(&self, room: Room, records: u64) {
        self.early[room as usize].fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
        self.lost_untold.fetch_add(count, Ordering::Relaxed);
    }
}
