//! Threads for long work. They have a lower priority than the threads that serve connections, so that a request which needs little of a
//! processor does not wait behind requests which need much. Knows nothing of the work.

use tokio::runtime::{Builder, Runtime};

use crate::engine::error::Error;
use crate::supervise::joined;

/// How much lower the priority is, in the unit of nice(2): with 10, a thread that serves connections gets nine times as much of a processor
/// for which both compete, and gets the processor at once when it wakes up.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Dropping them lets work that has begun end, and drops what has not.
pub(super) struct WorkThreads {
    /// Runs no tasks, only work on its threads for blocking work. `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl WorkThreads {
    pub fn new(threads_max: usize) -> WorkThreads {
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(threads_max).thread_name("long-work").on_thread_start(lower_priority);
        let runtime = builder.build().expect("a runtime without drivers takes nothing of the system");
        WorkThreads { runtime: Some(runtime) }
    }

    /// Runs work. A panic of the work goes on in the caller, and is counted there.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let running = self.runtime.as_ref().map(|runtime| runtime.spawn_blocking(work));
        let ended = match running {
            Some(running) => joined(running.await),
            None => None,
        };
        ended.ok_or(Error::Draining { retry_after: crate::engine::RETRY_AFTER })
    }
}

impl Drop for WorkThreads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which a task may not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of this thread. Where the system refuses, the work is done at the priority of all others. Only Linux has a niceness
/// for each thread; elsewhere it would be that of the whole process.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the priority of a thread for long work cannot be lowered");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The niceness of a thread, as the kernel reports it.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
        // Fields after the name, which is in brackets: state is the first, niceness the 17th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        fields.split(' ').nth(16).expect("a field").parse().expect("a number")
    }

    #[tokio::test]
    async fn long_work_has_a_lower_priority_than_its_caller() {
        let threads = WorkThreads::new(1);
        let of_work = threads.run(niceness).await.expect("it runs");
        assert_eq!(of_work, (niceness() + NICENESS).min(19));
    }

    #[tokio::test]
    async fn threads_are_dropped_within_a_task_while_they_work() {
        let threads = WorkThreads::new(1);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let mut running = Box::pin(threads.run(move || {
            begins.send(()).expect("the test waits");
            let _ = released.recv();
        }));
        assert!(futures_util::poll!(&mut running).is_pending());
        begun.await.expect("it has begun");
        drop(running);
        drop(threads);
        drop(release);
    }
}
