//! Threads for long work, of a lower priority than those that serve connections: `src/priority.rs`. Knows nothing of the work.

use tokio::runtime::{Builder, Runtime};

use super::error::Error;
use crate::priority;
use crate::supervise::joined;

/// Dropping them lets work that has begun end, and drops what has not.
pub(in crate::engine) struct WorkThreads {
    /// Runs no tasks, only work on its threads for blocking work. `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl WorkThreads {
    pub fn new(threads_max: usize) -> WorkThreads {
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(threads_max).thread_name("long-work").on_thread_start(priority::lower);
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
        assert_eq!(of_work, (niceness() + priority::NICENESS).min(19));
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
