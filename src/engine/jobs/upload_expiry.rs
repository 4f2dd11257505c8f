//! Removes backups that clients have sent and did not restore from in time. Knows uploads; not what they are for.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::backup::Uploads;
use crate::engine::blocking::blocking;
use crate::engine::error::Error;
use crate::engine::jobs::scheduler::{Done, Job};
use crate::model::Timestamp;

/// Later than the scheduler asks again.
const IDLE: Duration = Duration::from_secs(60);
/// Pause after a failure. Removing fails in silence, so there is none.
const RETRY: Duration = Duration::from_secs(60);

/// Removes uploads when they are too old.
pub(in crate::engine) struct UploadExpiry {
    uploads: Arc<Uploads>,
}

impl UploadExpiry {
    pub fn new(uploads: Arc<Uploads>) -> UploadExpiry {
        UploadExpiry { uploads }
    }
}

impl Job for UploadExpiry {
    fn name(&self) -> &'static str {
        "uploads"
    }

    /// While there is no upload, a time that never comes: the scheduler asks again every few seconds.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.uploads.next_expiry().unwrap_or(now.plus(IDLE)))
    }

    fn changed(&self) -> Done<'_, ()> {
        Box::pin(pending())
    }

    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
        Box::pin(async move {
            let uploads = self.uploads.clone();
            blocking(move || uploads.expire(now)).await
        })
    }

    fn retry_after(&self) -> Duration {
        RETRY
    }
}
