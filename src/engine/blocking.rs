//! Runs blocking work on threads where blocking is allowed. Knows nothing of the work.

use crate::supervise::message;

use super::error::Error;

/// Runs what blocks where blocking is allowed.
pub(in crate::engine) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => {
            tracing::error!(panic = message(&*panic), "the work of a call has panicked, which is a bug");
            Error::Panicked
        }
        // The runtime is going down.
        Err(_) => Error::Draining { retry_after: crate::engine::RETRY_AFTER },
    })
}
