//! Room for recursion that is bounded, but not by the stack of whoever calls. Knows nothing of what runs.

use std::io;
use std::thread::{Builder, scope};

/// Enough for the parser on [`super::SOURCE_BYTES_MAX`], and for an evaluation [`super::DEPTH_MAX`] deep, in debug builds too.
/// Only what is used of it becomes memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs on a thread with a large stack, and waits for it. An error means that there is no thread to be had now.
pub fn with_room<T: Send>(run: impl FnOnce() -> T + Send) -> io::Result<T> {
    scope(|scope| {
        let thread =
            Builder::new().name("expression".into()).stack_size(STACK_BYTES).spawn_scoped(scope, run)?;
        thread.join().map_err(|_| io::Error::other("the thread panicked"))
    })
}
