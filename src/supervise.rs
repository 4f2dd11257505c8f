//! Runs every long-lived task and thread of a server: catches and counts panics, restarts what can be restarted, and reports what cannot.
//! Knows no other module, and nothing of what a task does.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::watch;

/// Pause before the first restart. It doubles with each further panic.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A task that ran for so long without a panic starts again with the shortest pause.
const BACKOFF_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// A task that panics while the server stops is run so often again, so that it can end as it should. One that always panics must not keep the
/// server from ending.
const RESTARTS_WHILE_STOPPING: u32 = 3;

/// What a panic of a task leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The task is run again after a pause.
    Restart,
    /// The task is not run again. The server reports that it cannot serve, and its process ends.
    EndServer,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    pub is_running: bool,
    pub panics: u64,
}

/// Owns the knowledge of all tasks of one server. Clones share it.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<SupervisorState>,
}

struct SupervisorState {
    tasks: Mutex<BTreeMap<&'static str, TaskStatus>>,
    /// The task that ended the server. The first one stays.
    failed: watch::Sender<Option<&'static str>>,
    /// No restart waits any more.
    stopping: Mutex<bool>,
    stopped: Condvar,
    stop: watch::Sender<bool>,
    /// Tasks that tests want to panic. Always empty in a release build.
    faults: watch::Sender<Vec<&'static str>>,
    has_faults: AtomicBool,
}

impl Default for Supervisor {
    fn default() -> Supervisor {
        Supervisor {
            shared: Arc::new(SupervisorState {
                tasks: Mutex::default(),
                failed: watch::Sender::new(None),
                stopping: Mutex::new(false),
                stopped: Condvar::new(),
                stop: watch::Sender::new(false),
                faults: watch::Sender::new(vec![]),
                has_faults: AtomicBool::new(false),
            }),
        }
    }
}

impl Supervisor {
    /// Runs `run` in a thread of this name until it returns. With `OnPanic::Restart` it is called again after each panic.
    pub fn thread(
        &self,
        name: &'static str,
        on_panic: OnPanic,
        mut run: impl FnMut(&Heart) + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let supervisor = self.clone();
        // Before it runs, since it may have ended when this returns.
        self.set_running(name, true);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let heart = Heart { name, supervisor: supervisor.clone() };
            let mut backoff = Backoff::new();
            while let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&heart))) {
                match supervisor.panicked(name, on_panic, &*panic) {
                    OnPanic::EndServer => return,
                    OnPanic::Restart => supervisor.shared.wait_unless_stopping(backoff.next()),
                }
                if !backoff.may_restart(*supervisor.shared.stopping()) {
                    break;
                }
                supervisor.set_running(name, true);
            }
            supervisor.set_running(name, false);
        });
        thread.inspect_err(|_| self.set_running(name, false))
    }

    /// Runs what `make` makes in a task of the runtime until it is over. With `OnPanic::Restart` another one is made after each panic. Must
    /// be called within a tokio runtime. To abort the task ends it.
    pub fn task<F>(
        &self,
        name: &'static str,
        on_panic: OnPanic,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send,
    {
        let supervisor = self.clone();
        self.set_running(name, true);
        tokio::spawn(async move {
            let _ended = Ended { name, supervisor: supervisor.clone() };
            let mut backoff = Backoff::new();
            loop {
                let run = async {
                    tokio::select! {
                        () = make() => {}
                        () = supervisor.fault(name) => panic!("a test asked for this panic"),
                    }
                };
                let Err(panic) = AssertUnwindSafe(run).catch_unwind().await else { return };
                match supervisor.panicked(name, on_panic, &*panic) {
                    OnPanic::EndServer => return,
                    OnPanic::Restart => {
                        let mut stop = supervisor.shared.stop.subscribe();
                        let _ = tokio::time::timeout(backoff.next(), stop.wait_for(|stop| *stop)).await;
                    }
                }
                if !backoff.may_restart(*supervisor.shared.stopping()) {
                    return;
                }
                supervisor.set_running(name, true);
            }
        })
    }

    /// Counts and logs the panic of a short-lived task, such as one of a connection, under the name of its kind.
    pub fn count_panic(&self, name: &'static str, panic: &(dyn Any + Send)) {
        tracing::error!(task = name, panic = message(panic), "a task has panicked, which is a bug");
        self.shared.tasks().entry(name).or_insert(TaskStatus { is_running: true, panics: 0 }).panics += 1;
    }

    /// All tasks that were ever run, by name.
    pub fn tasks(&self) -> Vec<(&'static str, TaskStatus)> {
        self.shared.tasks().iter().map(|(name, status)| (*name, *status)).collect()
    }

    /// The name of the task whose panic ended the server, once there is one.
    pub fn failed(&self) -> watch::Receiver<Option<&'static str>> {
        self.shared.failed.subscribe()
    }

    /// Restarts wait for nothing from now on, so that a server can stop.
    pub fn stop(&self) {
        *self.shared.stopping() = true;
        self.shared.stopped.notify_all();
        self.shared.stop.send_replace(true);
    }

    /// Makes a task panic, for tests. Does nothing in a release build: no server in use can be made to panic so.
    #[doc(hidden)]
    pub fn inject_panic(&self, name: &'static str) {
        if cfg!(debug_assertions) {
            self.shared.has_faults.store(true, Ordering::Release);
            self.shared.faults.send_modify(|faults| faults.push(name));
        }
    }

    /// Ends when a test asks for a panic of this task.
    async fn fault(&self, name: &'static str) {
        if cfg!(debug_assertions) {
            let mut faults = self.shared.faults.subscribe();
            while !self.shared.take_fault(name) {
                if faults.changed().await.is_err() {
                    break;
                }
            }
        } else {
            std::future::pending().await
        }
    }

    fn panicked(&self, name: &'static str, on_panic: OnPanic, panic: &(dyn Any + Send)) -> OnPanic {
        let panic = message(panic);
        match on_panic {
            OnPanic::Restart => {
                tracing::error!(
                    task = name,
                    panic,
                    "a task of the server has panicked, which is a bug; it is restarted"
                );
            }
            OnPanic::EndServer => tracing::error!(
                task = name,
                panic,
                "a task has panicked that the server cannot run without, which is a bug; the server reports NOT_SERVING and ends"
            ),
        }
        let mut tasks = self.shared.tasks();
        let status = tasks.entry(name).or_insert(TaskStatus { is_running: false, panics: 0 });
        *status = TaskStatus { is_running: false, panics: status.panics + 1 };
        drop(tasks);
        if on_panic == OnPanic::EndServer {
            self.shared.failed.send_if_modified(|failed| {
                let is_first = failed.is_none();
                failed.get_or_insert(name);
                is_first
            });
        }
        on_panic
    }

    fn set_running(&self, name: &'static str, is_running: bool) {
        self.shared.tasks().entry(name).or_insert(TaskStatus { is_running, panics: 0 }).is_running =
            is_running;
    }
}

impl SupervisorState {
    fn tasks(&self) -> MutexGuard<'_, BTreeMap<&'static str, TaskStatus>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_unless_stopping(&self, pause: Duration) {
        let waited = self.stopped.wait_timeout_while(self.stopping(), pause, |stopping| !*stopping);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether a test asks for a panic of this task. It is asked for once.
    fn take_fault(&self, name: &str) -> bool {
        if !self.has_faults.load(Ordering::Acquire) {
            return false;
        }
        let mut is_taken = false;
        self.faults.send_if_modified(|faults| {
            if let Some(at) = faults.iter().position(|fault| *fault == name) {
                faults.remove(at);
                is_taken = true;
            }
            false
        });
        is_taken
    }
}

/// What a thread has of its supervisor.
pub struct Heart {
    name: &'static str,
    supervisor: Supervisor,
}

impl Heart {
    /// Panics if a test asks for it. To be called for each piece of work; costs nothing in a release build.
    pub fn beat(&self) {
        if cfg!(debug_assertions) && self.supervisor.shared.take_fault(self.name) {
            panic!("a test asked for this panic");
        }
    }
}

/// A task that is not run any more, be it aborted.
struct Ended {
    name: &'static str,
    supervisor: Supervisor,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.supervisor.set_running(self.name, false);
    }
}

struct Backoff {
    next: Duration,
    run_since: Instant,
    /// Once the server stops.
    restarts_left: u32,
}

impl Backoff {
    fn new() -> Backoff {
        Backoff { next: BACKOFF_MIN, run_since: Instant::now(), restarts_left: RESTARTS_WHILE_STOPPING }
    }

    /// Whether a task that has panicked is run again.
    fn may_restart(&mut self, is_stopping: bool) -> bool {
        let may = !is_stopping || self.restarts_left > 0;
        self.restarts_left -= u32::from(is_stopping && may);
        may
    }

    fn next(&mut self) -> Duration {
        let now = Instant::now();
        if now.duration_since(self.run_since) >= BACKOFF_FORGOTTEN_AFTER {
            self.next = BACKOFF_MIN;
        }
        let pause = self.next;
        (self.next, self.run_since) = ((pause * 2).min(BACKOFF_MAX), now + pause);
        pause
    }
}

/// What a thread or a task gave. A panic of it goes on here, so that whoever runs the caller counts the panic. `None`: the runtime is
/// going down.
pub fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Option<T> {
    match ended {
        Ok(given) => Some(given),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => None,
        },
    }
}

/// What a panic says.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
