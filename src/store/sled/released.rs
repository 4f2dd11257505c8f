//! Reports when the directory of a store is free again. Knows nothing of its files.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether a store has let go of its directory. Outlives the store.
#[derive(Clone, Debug, Default)]
pub struct Released(Arc<(Mutex<bool>, Condvar)>);

/// Reports the release when it is dropped.
#[derive(Debug)]
pub(super) struct ReleaseOnDrop(pub Released);

impl Released {
    /// Blocks until the directory is free, for `timeout` at most. Whether it is free.
    pub fn wait(&self, timeout: Duration) -> bool {
        let (is_free, freed) = &*self.0;
        let is_free = is_free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = freed.wait_timeout_while(is_free, timeout, |is_free| !*is_free);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        let (is_free, freed) = &*self.0.0;
        *is_free.lock().unwrap_or_else(PoisonError::into_inner) = true;
        freed.notify_all();
    }
}
