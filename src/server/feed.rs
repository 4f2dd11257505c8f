//! Delivers commits and records of the audit log to consumers, each from a cursor on disk. Knows how to go on after starts, failures and gaps;
//! not what a consumer does.

mod cursor;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api::TrailItem;
use crate::audit::Recorder;
use crate::engine::Engine;
use crate::model::Namespace;
use crate::supervise::{OnPanic, joined};

pub(in crate::server) use cursor::{Cursor, Position};
use source::Source;

/// Pause before a commit or a record is read again.
const READ_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Pause before the first repetition of a delivery. It doubles with each further failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// After so many commits that do not concern the consumer the feed saves its cursor. A cursor that stayed behind would report a gap that has
/// nothing for the consumer, once these commits are compacted.
const SKIPPED_COMMITS_MAX: u64 = 1000;
/// While deliveries fail, the log has one line in this time.
const FAILURE_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// A consumer of commits and records, such as the file of `--audit-file`. `tests.rs` holds each consumer to these rules.
///
/// - **Order.** Commits are in the order of their revisions, records in the order of their sequences. Between a commit and a record the order is
///   that of their times, as far as both are known when the feed reads.
/// - **At least once.** The feed saves its cursor after `deliver` returned `Ok`. After a crash it delivers what follows the saved cursor, so the
///   consumer may have the first items of that already.
/// - **Gaps.** Commits and records that were removed before the feed read them are one `TrailItem::Gap` in their place. The feed counts them and
///   goes on.
/// - **Isolation.** A feed is a task of its own, which has one batch in memory. A slow or failing consumer holds up no write and no other feed.
/// - **Stop.** A feed that is stopped delivers what happened before the stop. It does not repeat a delivery that fails then: the next start does.
/// - **Another history.** A cursor is of one epoch and one destination. With another epoch or destination the feed begins as a new one does.
pub(in crate::server) trait Consumer: Send + 'static {
    /// What the feed delivers.
    fn interest(&self) -> Interest {
        Interest::Everything
    }

    /// Runs before the first batch of a process, and again after a panic. `after` is the saved cursor; `None`: the feed begins as a new one.
    fn begin(&mut self, _after: Option<Position>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Delivers a batch, which has at least one item. On `Ok` the feed never delivers it again. On an error the feed delivers the same batch again
    /// after a pause, as often as needed. The server drops the future if the feed does not stop in time.
    fn deliver(&mut self, batch: &Arc<[TrailItem]>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The pause after so many failures of one batch.
    fn retry_after(&self, failures: u32) -> Duration {
        BACKOFF_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_MAX)
    }
}

/// What a feed delivers.
pub(in crate::server) enum Interest {
    /// All commits, and all records of the audit log.
    Everything,
    /// Commits that change a config of the namespace. The feed reads no commits while no config of the namespace has changed.
    CommitsOf(Namespace),
}

/// What became of a feed since the start.
#[derive(Debug, Default)]
pub(in crate::server) struct FeedCounts {
    /// Commits and records that were removed before they were delivered.
    pub missed: AtomicU64,
    /// The last delivery has failed.
    pub is_failing: AtomicBool,
}

/// A running feed. Dropped, it stops at once.
pub(in crate::server) struct Feed {
    pub(in crate::server) name: &'static str,
    pub(in crate::server) counts: Arc<FeedCounts>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Feed {
    /// Starts a feed that goes on after its cursor. A new feed begins after `begin`.
    pub(in crate::server) fn start<C: Consumer>(
        name: &'static str,
        engine: &Arc<Engine>,
        recorder: &Recorder,
        cursor: Cursor,
        begin: Position,
        mut consumer: impl FnMut() -> C + Send + 'static,
    ) -> Feed {
        let (stop, counts) = (CancellationToken::new(), Arc::<FeedCounts>::default());
        let task = engine.supervisor().task(name, OnPanic::Restart, {
            let (engine, recorder) = (Arc::downgrade(engine), recorder.clone());
            let (stop, counts) = (stop.clone(), counts.clone());
            move || {
                let (engine, recorder, consumer) = (engine.clone(), recorder.clone(), consumer());
                let (stop, counts, cursor) = (stop.clone(), counts.clone(), cursor.clone());
                async move {
                    let Some(engine) = engine.upgrade() else { return };
                    let after = cursor.read();
                    let source = Source::new(&engine, recorder, consumer.interest(), after.unwrap_or(begin));
                    drop(engine);
                    let mut delivering = Delivering { name, consumer, cursor, stop, counts };
                    delivering.consumer.begin(after).await;
                    delivering.run(source).await;
                }
            }
        });
        Feed { name, counts, stop, task: AbortOnDropHandle::new(task) }
    }

    /// Delivers what happened before, and ends.
    pub(in crate::server) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            tracing::error!(feed = self.name, "a feed ended by a panic");
        }
    }
}

struct Delivering<C> {
    name: &'static str,
    consumer: C,
    cursor: Cursor,
    stop: CancellationToken,
    counts: Arc<FeedCounts>,
}

impl<C: Consumer> Delivering<C> {
    async fn run(&mut self, mut source: Source) {
        let mut saved = source.position().revision;
        loop {
            // Before the feed reads: what happens later is not part of a stop.
            let is_stopping = self.stop.is_cancelled();
            let read = source.read().await;
            self.note_gaps(&read.items);
            let skipped = read.position.revision.saturating_sub(saved);
            let is_much = skipped >= SKIPPED_COMMITS_MAX || (skipped > 0 && is_stopping);
            if read.count > 0 || (is_much && read.error.is_none()) {
                if !self.deliver(read.items.into(), read.position).await {
                    return;
                }
                saved = read.position.revision;
            }
            match read.error {
                Some(error) if is_stopping => {
                    tracing::error!(feed = self.name, %error, "a feed ends before the last items: the next start delivers them");
                    return;
                }
                Some(error) => {
                    tracing::error!(feed = self.name, %error, "a feed cannot read; it tries again");
                    self.pause(READ_RETRY_AFTER).await;
                }
                None if read.count > 0 => {}
                None if is_stopping => return,
                None => tokio::select! {
                    () = source.changed() => {}
                    () = self.stop.cancelled() => {}
                },
            }
        }
    }

    fn note_gaps(&self, items: &[TrailItem]) {
        for item in items {
            if let TrailItem::Gap(gap) = item {
                self.counts.missed.fetch_add(gap.count(), Relaxed);
                tracing::error!(feed = self.name, %gap, "a feed misses what was removed before it was delivered");
            }
        }
    }

    /// Delivers a batch and saves the cursor. `false`: the feed stops without this batch.
    async fn deliver(&mut self, batch: Arc<[TrailItem]>, position: Position) -> bool {
        let (mut failures, mut logged) = (0, None::<Instant>);
        while !batch.is_empty() {
            let Err(error) = self.consumer.deliver(&batch).await else { break };
            self.counts.is_failing.store(true, Relaxed);
            let (feed, items) = (self.name, batch.len());
            if logged.is_none_or(|logged| logged.elapsed() >= FAILURE_LOGGED_EVERY) {
                tracing::error!(
                    feed,
                    items,
                    error = format!("{error:#}"),
                    "a delivery has failed; the feed repeats it"
                );
                logged = Some(Instant::now());
            }
            if self.stop.is_cancelled() {
                tracing::error!(
                    feed,
                    items,
                    "a feed ends without its last batch: the next start delivers it"
                );
                return false;
            }
            failures += 1;
            self.pause(self.consumer.retry_after(failures)).await;
        }
        self.counts.is_failing.store(false, Relaxed);
        if logged.is_some() {
            tracing::info!(feed = self.name, "deliveries succeed again");
        }
        let cursor = self.cursor.clone();
        joined(spawn_blocking(move || cursor.write(position)).await);
        true
    }

    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
