//! Runs blocking work on threads where blocking is allowed. Knows nothing of the work.

use crate::supervise::joined;

use super::error::Error;

/// Runs what blocks where blocking is allowed. A panic of the work goes on in the caller, and is counted there.
pub(in crate::engine) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let ended = joined(tokio::task::spawn_blocking(work).await);
    ended.ok_or(Error::Draining { retry_after: crate::engine::RETRY_AFTER })
}
