//! Work in a task of its own, which ends with its owner. Knows no call.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::error::{ApiError, broken};

/// Runs a long piece of work in a task of its own, so that it delays no other call of its connection. Dropping the future stops the work.
pub fn aside<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> + Send {
    Task(tokio::spawn(work))
}

/// Ends with its handle.
struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.0.poll_unpin(context)) {
            Ok(done) => Poll::Ready(Ok(done)),
            // The connection counts the panic, and answers.
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => Poll::Ready(Err(broken(&error))),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
