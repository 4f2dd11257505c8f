//! Runs jobs when they are due: one supervised task for each. Knows when; not what a job does.
//!
//! When a job is due follows from what is durable (the state, the store), never from memory alone: a start, or a restart after a panic, asks the
//! job again and misses nothing. A job that fails is tried again after a pause of its own, and each failure is logged.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::Timestamp;
use crate::supervise::{OnPanic, Supervisor};

use crate::engine::Clock;
use crate::engine::error::Error;

/// The longest sleep of a job that is due at a time: the clock may be set while the job sleeps.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Work that no caller requests.
pub(in crate::engine) trait Job: Send + Sync + 'static {
    /// The name of the job in logs, metrics and health.
    fn name(&self) -> &'static str;

    /// When the job is due. A time that has passed means at once, `None` means not before `changed`.
    fn due(&self, now: Timestamp) -> Option<Timestamp>;

    /// Waits until `due` may give another time than before. Pending for ever if only time can change that.
    fn changed(&self) -> Done<'_, ()>;

    /// Does what is due. Called again at once if the job then is still due.
    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>>;

    /// The pause after a failure.
    fn retry_after(&self) -> Duration;
}

/// How often it is looked whether a condition holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Waits until a condition holds that costs little to look at. For jobs that could be due after any commit, and must not cost each commit that they wake.
pub(in crate::engine) async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What a job does or waits for.
pub(in crate::engine) type Done<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs a job from now on, until `closed`. A panic of the job is counted, and the job runs again.
pub(in crate::engine) fn start(
    supervisor: &Supervisor,
    clock: Clock,
    closed: CancellationToken,
    job: Arc<dyn Job>,
) -> JoinHandle<()> {
    supervisor.task(job.name(), OnPanic::Restart, move || run(job.clone(), clock.clone(), closed.clone()))
}

async fn run(job: Arc<dyn Job>, clock: Clock, closed: CancellationToken) {
    while !closed.is_cancelled() {
        // Before it is looked when the job is due: what changes after the look wakes.
        let changed = job.changed();
        let now = clock();
        let sleep = match job.due(now) {
            Some(due) if due > now => Some(now.until(due).min(SLEEP_MAX)),
            Some(_) => match job.run(now).await {
                Ok(()) => continue,
                // The runtime goes down.
                Err(Error::Draining { .. }) => return,
                Err(error) => {
                    tracing::error!(job = job.name(), %error, "a job failed; it is tried again");
                    tokio::select! {
                        () = tokio::time::sleep(job.retry_after()) => continue,
                        () = closed.cancelled() => return,
                    }
                }
            },
            None => None,
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(sleep.unwrap_or(SLEEP_MAX)), if sleep.is_some() => {}
            () = closed.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::sync::watch;

    use super::*;

    /// A job that is due at a time, and notes when it ran.
    struct Noting {
        due: watch::Sender<Option<i64>>,
        /// What becomes of the next runs; beyond these they succeed.
        fails: Mutex<Vec<fn() -> Error>>,
        ran: watch::Sender<Vec<i64>>,
    }

    impl Job for Noting {
        fn name(&self) -> &'static str {
            "noting"
        }

        fn due(&self, _: Timestamp) -> Option<Timestamp> {
            self.due.borrow().map(Timestamp)
        }

        fn changed(&self) -> Done<'_, ()> {
            let mut due = self.due.subscribe();
            Box::pin(async move { due.changed().await.expect("the job owns the sender") })
        }

        fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
            Box::pin(async move {
                let fails = self.fails.lock().expect("no panic").pop();
                self.ran.send_modify(|ran| ran.push(now.0));
                if let Some(fails) = fails {
                    return Err(fails());
                }
                self.due.send_replace(None);
                Ok(())
            })
        }

        fn retry_after(&self) -> Duration {
            Duration::from_millis(1)
        }
    }

    #[tokio::test]
    async fn a_job_runs_when_it_is_due_also_after_a_change_a_failure_and_a_panic() {
        let time = Arc::new(AtomicI64::new(0));
        let (supervisor, closed) = (Supervisor::default(), CancellationToken::new());
        let fails: Vec<fn() -> Error> = vec![|| panic!("of the test"), || Error::NotWritten("full".into())];
        let job = Arc::new(Noting {
            due: watch::Sender::new(Some(7)),
            fails: Mutex::new(fails),
            ran: watch::Sender::default(),
        });
        let clock: Clock = {
            let time = time.clone();
            Arc::new(move || Timestamp(time.load(Ordering::Relaxed)))
        };
        let task = start(&supervisor, clock, closed.clone(), job.clone());
        let mut ran = job.ran.subscribe();
        assert_eq!(*ran.borrow(), [0; 0], "it is not due");
        // The first run fails, the second one panics.
        time.store(9, Ordering::Relaxed);
        job.due.send_replace(Some(8));
        ran.wait_for(|ran| *ran == [9, 9, 9]).await.expect("open");
        job.due.send_replace(Some(9));
        ran.wait_for(|ran| *ran == [9, 9, 9, 9]).await.expect("open");
        closed.cancel();
        task.await.expect("it ends");
        let tasks = supervisor.tasks();
        assert_eq!(tasks.iter().find(|(name, _)| *name == "noting").expect("it is listed").1.panics, 1);
    }
}
