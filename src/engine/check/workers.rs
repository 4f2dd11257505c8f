//! Long work for one request: stops when the caller is gone, and is bounded for each actor. Knows nothing of what the work is.
//!
//! What takes long runs by this module: large texts and plans of writes that are not small, validation, the targets that a change affects,
//! explanations, comparisons, pages of versions, documents of the past, and responses that are large. A call that keeps much in memory between
//! such pieces of work is bounded for each actor, too. Dropping the future of such a method is enough: work that waits for a thread is not begun, and checks
//! stop after the documents that they are at. A single document is not stopped; what it may cost is bounded. A transport drops the
//! future of a call when the client cancels the call, when the connection closes, and when the deadline passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::blocking::blocking;
use crate::engine::error::Error;
use crate::engine::work_threads::WorkThreads;
use crate::fair_places::{FairPlaces, Of, Place};

/// Says whether work for a request should stop, since the caller of the request is gone or the engine closes. Clones share their flags, which never
/// go back.
#[derive(Clone, Debug, Default)]
pub struct Cancelled {
    call: Arc<AtomicBool>,
    /// Of all work of an engine. Work outside of an engine has a flag that nobody sets.
    closing: Arc<AtomicBool>,
    /// Tests cancel at a check of their choice.
    #[cfg(test)]
    checks: Arc<checks::Checks>,
}

/// Cancels when it is dropped.
#[derive(Debug)]
pub struct CancelOnDrop(Cancelled);

impl Cancelled {
    /// For a call of an engine that sets `closing` when it closes.
    fn of_engine(closing: &Arc<AtomicBool>) -> Cancelled {
        Cancelled { closing: closing.clone(), ..Cancelled::default() }
    }

    /// Whether the work should stop. Two atomic reads: cheap enough for every turn of a loop over documents.
    pub fn is_set(&self) -> bool {
        #[cfg(test)]
        self.checks.count(&self.call);
        self.call.load(Ordering::Relaxed) || self.closing.load(Ordering::Relaxed)
    }

    /// Fails with `Error::Cancelled` if the work should stop.
    pub fn check(&self) -> Result<(), Error> {
        match self.is_set() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }

    pub fn set(&self) {
        self.call.store(true, Ordering::Relaxed);
    }

    /// A guard to be held by the future of the call. It also cancels after the work is done, when nobody looks at the flag any more.
    pub fn set_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.clone())
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs work on a thread where blocking is allowed. When the returned future is dropped, the flag that the work was given is set, and
/// the work is not even started if it still waits for a thread.
pub async fn interruptible<T: Send + 'static>(
    work: impl FnOnce(&Cancelled) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (work, _cancels) = cancellable(Cancelled::default(), work);
    blocking(work).await?
}

/// Work that is not even started once the guard is dropped.
fn cancellable<T>(
    cancelled: Cancelled,
    work: impl FnOnce(&Cancelled) -> Result<T, Error>,
) -> (impl FnOnce() -> Result<T, Error>, CancelOnDrop) {
    let cancels = cancelled.set_on_drop();
    let work = move || {
        cancelled.check()?;
        work(&cancelled)
    };
    (work, cancels)
}

/// Large calls that run at once, half of them of one actor. A call that takes commits back keeps up to 64 MiB of contents, and all others keep less, so
/// that all of them together keep 256 MiB, however many credentials somebody has.
const LARGE_CALLS_MAX: usize = 4;
/// So many actors can have all their turns at once.
const ACTORS_AT_ONCE: usize = 2;

/// Shares the threads for long work, and the memory of large calls, among actors: no actor can occupy all threads.
pub struct Workers {
    work_threads: WorkThreads,
    turns: Arc<FairPlaces>,
    large_calls: Arc<FairPlaces>,
    /// The engine closes: all work should stop.
    closing: Arc<AtomicBool>,
}

/// A call that may keep large contents in memory while it waits for threads, or for its turn at a config. It holds no thread. Clones share it.
#[must_use]
#[derive(Clone, Debug)]
pub struct LargeCall {
    _place: Arc<Place>,
}

impl Workers {
    /// For a machine with so many processors.
    pub fn new(processors: usize) -> Workers {
        let of_actor_max = processors.max(2);
        Workers {
            work_threads: WorkThreads::new(of_actor_max * ACTORS_AT_ONCE),
            turns: FairPlaces::new(of_actor_max * ACTORS_AT_ONCE),
            large_calls: FairPlaces::new(LARGE_CALLS_MAX),
            closing: Arc::default(),
        }
    }

    /// As `interruptible`, for work of an actor, which waits for its turn, and gives way to the threads that serve connections. The turn ends with the work, not with the future: an actor
    /// who abandons calls does not get more threads by that.
    pub async fn run<T: Send + 'static>(
        &self,
        actor: &str,
        work: impl FnOnce(&Cancelled) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turns.take(Of::actor(actor)).await;
        let (work, _cancels) =
            cancellable(Cancelled::of_engine(&self.closing), move |cancelled: &Cancelled| {
                let _turn = turn;
                work(cancelled)
            });
        self.told(self.work_threads.run(work).await?)
    }

    /// As `run`, for work of the server itself, which takes no turn among callers.
    pub async fn run_of_server<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cancelled) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (work, _cancels) = cancellable(Cancelled::of_engine(&self.closing), work);
        self.told(blocking(work).await?)
    }

    /// Stops all work, also of callers who still wait: they learn that the server shuts down.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// The result for a caller who has not cancelled the call: nobody else waits for it.
    fn told<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| match error {
            Error::Cancelled if self.closing.load(Ordering::Relaxed) => {
                Error::Draining { retry_after: crate::engine::RETRY_AFTER }
            }
            error => error,
        })
    }

    /// Waits until a large call of an actor may begin. To be called before the call reads anything large, and by no call that holds a thread, or a
    /// lock at a config: calls that have begun wait for those.
    pub async fn begin_large(&self, actor: &str) -> LargeCall {
        LargeCall { _place: Arc::new(self.large_calls.take(Of::actor(actor)).await) }
    }
}

/// Counts the checks of work, and cancels at one of them, so that tests can prove that each check ends the work.
#[cfg(test)]
mod checks {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    #[derive(Debug, Default)]
    pub struct Checks {
        made: AtomicU64,
        /// 0: at none.
        cancel_at: AtomicU64,
    }

    impl super::Cancelled {
        /// Is set from the check of this number on.
        pub fn at_check(number: u64) -> super::Cancelled {
            let cancelled = super::Cancelled::default();
            cancelled.checks.cancel_at.store(number, Ordering::Relaxed);
            cancelled
        }

        /// The checks that were made.
        pub fn checks_made(&self) -> u64 {
            self.checks.made.load(Ordering::Relaxed)
        }
    }

    impl Checks {
        pub fn count(&self, call: &AtomicBool) {
            let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
            if made == self.cancel_at.load(Ordering::Relaxed) {
                call.store(true, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_is_told_when_its_future_is_dropped() {
        let (started, is_started) = tokio::sync::oneshot::channel();
        let (stopped, is_stopped) = tokio::sync::oneshot::channel();
        let call = tokio::spawn(interruptible(move |cancelled| {
            started.send(()).expect("the test waits");
            while !cancelled.is_set() {
                std::thread::yield_now();
            }
            stopped.send(cancelled.check().is_err()).expect("the test waits");
            Ok(())
        }));
        is_started.await.expect("the work has begun");
        call.abort();
        assert!(is_stopped.await.expect("the work has ended"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_stops_when_its_engine_closes_and_its_caller_is_told_so() {
        let workers = Arc::new(Workers::new(1));
        let until_cancelled = |started: tokio::sync::oneshot::Sender<()>| {
            move |cancelled: &Cancelled| {
                started.send(()).expect("the test waits");
                while !cancelled.is_set() {
                    std::thread::yield_now();
                }
                cancelled.check()
            }
        };
        let (of_caller, begun) = tokio::sync::oneshot::channel();
        let (of_server, also_begun) = tokio::sync::oneshot::channel();
        let calls = [
            tokio::spawn({
                let (workers, work) = (workers.clone(), until_cancelled(of_caller));
                async move { workers.run("a", work).await }
            }),
            tokio::spawn({
                let (workers, work) = (workers.clone(), until_cancelled(of_server));
                async move { workers.run_of_server(work).await }
            }),
        ];
        begun.await.expect("the work has begun");
        also_begun.await.expect("the work has begun");
        workers.close();
        for call in calls {
            assert!(matches!(call.await.expect("no panic"), Err(Error::Draining { .. })));
        }
        assert!(matches!(workers.run("a", |_| Ok(())).await, Err(Error::Draining { .. })));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_actor_who_has_abandoned_all_turns_keeps_nobody_else_from_working() {
        let workers = Arc::new(Workers::new(1));
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (started, mut starts) = tokio::sync::mpsc::unbounded_channel();
        let hog = || {
            let (workers, released, started) = (workers.clone(), released.clone(), started.clone());
            tokio::spawn(async move {
                let work = move |_: &Cancelled| {
                    started.send(()).expect("the test waits");
                    let _ = released.lock().expect("a lock").recv();
                    Ok(())
                };
                workers.run("hog", work).await
            })
        };
        let hogs: Vec<_> = (0..20).map(|_| hog()).collect();
        for _ in 0..2 {
            starts.recv().await.expect("work has begun");
        }
        // The two that run go on; those that wait are gone.
        hogs.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(workers.run("other", |_| Ok(7)).await.expect("there is a turn"), 7);
        assert!(starts.try_recv().is_err());
        drop(release);
    }

    #[tokio::test]
    async fn large_calls_of_an_actor_wait_for_each_other_and_for_nobody_else() {
        let workers = Workers::new(64);
        let mut begun = vec![];
        for _ in 0..LARGE_CALLS_MAX / 2 {
            begun.push(workers.begin_large("hog").await);
        }
        let mut waiting = Box::pin(workers.begin_large("hog"));
        assert!(waiting.as_mut().now_or_never().is_none());
        let other = workers.begin_large("other").now_or_never();
        assert!(other.is_some(), "another actor does not wait");
        assert_eq!(workers.run("hog", |_| Ok(7)).await.expect("large calls hold no thread"), 7);
        begun.pop();
        assert!(waiting.now_or_never().is_some());
    }
}
