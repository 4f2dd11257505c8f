//! Work in a task of its own, which ends with its owner. Knows no call.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::call_errors::unanswered;
use super::error::ApiError;
use crate::supervise::joined;

/// Runs a long piece of work in a task of its own, so that it delays no other call of its connection. Dropping the future stops the work.
pub fn aside<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> + Send {
    Task(tokio::spawn(work))
}

/// Runs what blocks on a thread where blocking is allowed. A panic of the work goes on in the caller: the connection counts it, and answers.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    joined(tokio::task::spawn_blocking(work).await).ok_or_else(unanswered)
}

/// Ends with its handle.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The connection counts a panic, and answers.
        Poll::Ready(joined(ready!(self.0.poll_unpin(context))).ok_or_else(unanswered))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
