//! The store in memory.

use std::sync::Arc;

use confwatch::model::Epoch;
use confwatch::store::{MemoryStore, Store};

use super::conformance::HistorySubject;
use super::conformance::history::history_conformance;
use super::conformance::journal::journal_conformance;

struct Memory(Arc<MemoryStore>);

impl Memory {
    fn new() -> Memory {
        Memory(Arc::new(MemoryStore::new(Epoch(7))))
    }
}

impl HistorySubject for Memory {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(&mut self) {}
}

journal_conformance!(Memory::new());

history_conformance!(Memory::new());
