//! The priority of threads for long work: lower than that of the threads that serve connections, so that a request which needs little of a
//! processor does not wait behind requests which need much. Knows nothing of the work.

/// How much lower the priority is, in the unit of nice(2): with 10, a thread that serves connections gets nine times as much of a processor
/// for which both compete, and gets the processor at once when it wakes up.
#[cfg(target_os = "linux")]
pub const NICENESS: i32 = 10;

/// Lowers the priority of this thread, and of the threads that it starts. Where the system refuses, the work is done at the priority of all
/// others. Only Linux has a niceness for each thread; elsewhere it would be that of the whole process.
pub fn lower() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the priority of a thread for long work cannot be lowered");
    }
}
