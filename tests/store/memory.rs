//! The store in memory.

use std::sync::Arc;

use confwatch::model::Epoch;
use confwatch::store::{MemoryStore, Store};

use super::conformance::{Subject, conformance};

struct Memory(Arc<MemoryStore>);

impl Memory {
    fn new() -> Memory {
        Memory(Arc::new(MemoryStore::new(Epoch(7))))
    }
}

impl Subject for Memory {
    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(&mut self) {}
}

conformance!(Memory::new());
