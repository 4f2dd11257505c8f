//! The budget of one call, and its cancellation. Knows steps and documents; not what is done with them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::workers::Cancelled;
use crate::engine::error::Error;

/// Steps that the documents of one call may take together, beside the share of each. A step is some 12 ns, so this is three seconds.
const CALL_STEPS_MAX: u64 = 250_000_000;
/// The smallest share of a document: a quarter of a millisecond. Large namespaces of small documents can be checked at once.
const DOCUMENT_STEPS_MIN: u64 = 20_000;
/// So often a document is checked, at most, if it is small: with and without its overrides and its defaults, and against what references name.
const CHECKS_OF_DOCUMENT: u64 = 16;
/// Steps to merge, compare and lint 16 bytes of a document.
const STEPS_PER_PART: u64 = 8;
const PART_BYTES: usize = 16;

/// The steps of one call, shared by the threads that work for it.
///
/// Whether they suffice depends on the documents and on what governs them only: the same call always gets the same answer, whatever
/// the server is doing.
pub(in crate::engine) struct Effort<'a> {
    cancelled: &'a Cancelled,
    of_document: u64,
    steps_max: u64,
    spent: AtomicU64,
}

impl<'a> Effort<'a> {
    /// For a call that concerns so many documents.
    pub fn new(documents: usize, cancelled: &'a Cancelled) -> Effort<'a> {
        let documents = documents.max(1) as u64;
        let of_document = DOCUMENT_STEPS_MIN.max(CALL_STEPS_MAX / documents);
        let steps_max = CALL_STEPS_MAX.saturating_add(of_document.saturating_mul(documents));
        Effort { cancelled, of_document, steps_max, spent: AtomicU64::new(0) }
    }

    /// For what the server does of itself, which nobody can repeat with less.
    pub fn unlimited(cancelled: &'a Cancelled) -> Effort<'a> {
        Effort { cancelled, of_document: u64::MAX, steps_max: u64::MAX, spent: AtomicU64::new(0) }
    }

    /// Steps that a document may take in any case.
    #[cfg(test)]
    pub fn of_document(&self) -> u64 {
        self.of_document
    }

    /// Steps that a check of a document may take in any case: whether it takes fewer need not be counted exactly. All checks of a document together
    /// stay within its share.
    pub fn of_check(&self) -> u64 {
        self.of_document / CHECKS_OF_DOCUMENT
    }

    pub fn spend(&self, steps: u64) {
        let add = |spent: u64| Some(spent.saturating_add(steps));
        // It always succeeds.
        let _ = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    #[cfg(test)]
    pub fn spent(&self) -> u64 {
        self.spent.load(Ordering::Relaxed)
    }

    /// Spends what it takes to go through a document of so many bytes.
    pub fn spend_bytes(&self, bytes: usize) {
        self.spend(STEPS_PER_PART * (1 + bytes / PART_BYTES) as u64);
    }

    /// Whether no further document should be looked at.
    pub fn is_over(&self) -> bool {
        self.cancelled.is_set() || self.spent.load(Ordering::Relaxed) > self.steps_max
    }

    /// Fails if not all was done that should have been.
    pub fn check(&self) -> Result<(), Error> {
        self.cancelled.check()?;
        match self.spent.load(Ordering::Relaxed) > self.steps_max {
            true => Err(Error::TooCostly { steps_max: self.steps_max }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_a_share_and_all_together_have_more() {
        let cancelled = Cancelled::default();
        for documents in [1, 40, 1000, 60_000] {
            let effort = Effort::new(documents, &cancelled);
            (0..documents).for_each(|_| effort.spend(effort.of_document()));
            effort.spend(CALL_STEPS_MAX);
            assert!(effort.check().is_ok(), "{documents}");
            effort.spend(1);
            assert!(matches!(effort.check(), Err(Error::TooCostly { .. })), "{documents}");
        }
    }

    #[test]
    fn the_server_itself_is_never_refused_and_a_call_that_is_cancelled_is_over() {
        let cancelled = Cancelled::default();
        let (own, call) = (Effort::unlimited(&cancelled), Effort::new(1, &cancelled));
        own.spend(u64::MAX);
        assert!(own.check().is_ok() && call.check().is_ok());
        cancelled.set();
        assert!(own.is_over() && matches!(call.check(), Err(Error::Cancelled)));
    }
}
