//! Keeps compaction and backups apart: while somebody reads all of history, its oldest revision does not move. Knows neither.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Shared by the job that compacts and by those who read all of history.
#[derive(Default)]
pub(in crate::engine) struct HistoryHolds {
    /// Those who hold history, or wait for a compaction to stop.
    wanted: AtomicUsize,
    /// Written by a compaction, read by those who hold history. Locked before every lock of the store.
    compacting: RwLock<()>,
}

/// History whose oldest revision does not move.
pub(in crate::engine) struct HeldHistory<'a> {
    holds: &'a HistoryHolds,
    _held: RwLockReadGuard<'a, ()>,
}

impl HistoryHolds {
    /// Holds history. Blocks until a compaction has stopped, which takes it some milliseconds.
    pub fn hold(&self) -> HeldHistory<'_> {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        let held = self.compacting.read().unwrap_or_else(PoisonError::into_inner);
        HeldHistory { holds: self, _held: held }
    }

    /// Runs a compaction, unless history is held. `None`: it is. What runs must stop soon once `is_wanted` says yes.
    pub fn compact<T>(&self, run: impl FnOnce(&dyn Fn() -> bool) -> T) -> Option<T> {
        let is_wanted = || self.wanted.load(Ordering::SeqCst) > 0;
        if is_wanted() {
            return None;
        }
        let _compacting = match self.compacting.try_write() {
            Ok(compacting) => compacting,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        Some(run(&is_wanted))
    }
}

impl Drop for HeldHistory<'_> {
    fn drop(&mut self) {
        self.holds.wanted.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compaction_does_not_begin_while_history_is_held_and_stops_when_it_is_wanted() {
        let holds = HistoryHolds::default();
        let held = holds.hold();
        assert_eq!(holds.compact(|_| ()), None);
        drop(held);
        std::thread::scope(|scope| {
            let ran = holds.compact(|is_wanted| {
                assert!(!is_wanted());
                scope.spawn(|| drop(holds.hold()));
                while !is_wanted() {
                    std::thread::yield_now();
                }
            });
            assert_eq!(ran, Some(()));
        });
        assert_eq!(holds.compact(|is_wanted| is_wanted()), Some(false));
    }
}
