//! Checks regularly that the master key can still be read from its source: a server that runs does not need the source, the next start does.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::model::Timestamp;

use crate::engine::blocking::blocking;
use crate::engine::commit::pipeline::Pipeline;
use crate::engine::error::Error;
use crate::engine::jobs::scheduler::{Done, Job};
use crate::engine::secrets::key_store::KeyStore;

/// Pause after a check that could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// Checks the source of the master key. A start has just read it, so that nothing is lost with the time of the last check.
pub(in crate::engine) struct MasterKeyCheck {
    key_store: Arc<KeyStore>,
    pipeline: Arc<Pipeline>,
    interval: Duration,
    /// The time of the last check, in microseconds.
    checked: AtomicI64,
}

impl MasterKeyCheck {
    pub fn new(
        key_store: Arc<KeyStore>,
        pipeline: Arc<Pipeline>,
        interval: Duration,
        now: Timestamp,
    ) -> MasterKeyCheck {
        MasterKeyCheck { key_store, pipeline, interval, checked: AtomicI64::new(now.0) }
    }
}

impl Job for MasterKeyCheck {
    fn name(&self) -> &'static str {
        "master_key"
    }

    fn due(&self, _: Timestamp) -> Option<Timestamp> {
        let interval = i64::try_from(self.interval.as_micros()).unwrap_or(i64::MAX);
        Some(Timestamp(self.checked.load(Ordering::Relaxed).saturating_add(interval)))
    }

    fn changed(&self) -> Done<'_, ()> {
        Box::pin(pending())
    }

    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
        Box::pin(async move {
            let (key_store, state) = (self.key_store.clone(), self.pipeline.published());
            blocking(move || key_store.check_source(&state)).await?;
            self.checked.store(now.0, Ordering::Relaxed);
            Ok(())
        })
    }

    fn retry_after(&self) -> Duration {
        RETRY
    }
}
