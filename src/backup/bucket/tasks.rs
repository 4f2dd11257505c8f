//! Runs the requests to a bucket, while the caller waits. Knows no request.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::Error;
use tokio::runtime::{Builder, Runtime};

/// How long a caller may wait after it was stopped.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

type IsStopped = Box<dyn Fn() -> bool + Send + Sync>;

/// A runtime of the bucket's own: the callers have one or none.
pub struct Tasks {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    is_stopped: Mutex<Option<IsStopped>>,
}

impl Tasks {
    pub fn start() -> io::Result<Arc<Tasks>> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("bucket").enable_all().build()?;
        Ok(Arc::new(Tasks { runtime: Some(runtime), is_stopped: Mutex::new(None) }))
    }

    /// Ends calls early once `is_stopped` returns true.
    pub fn stop_when(&self, is_stopped: IsStopped) {
        *self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_stopped);
    }

    /// Runs a request to its end. Once it is stopped, the error has the kind `BrokenPipe`.
    pub fn run<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = sync_channel(1);
        let task = self.runtime().spawn(async move {
            // The caller may have been stopped.
            let _ = sender.send(request.await);
        });
        loop {
            match receiver.recv_timeout(STOP_INTERVAL) {
                Ok(done) => return done.map_err(io_error),
                Err(RecvTimeoutError::Timeout) if self.is_stopped() => {
                    task.abort();
                    return Err(io::Error::new(ErrorKind::BrokenPipe, "the request was stopped"));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("the request has ended without a response"));
                }
            }
        }
    }

    /// Runs a request for which nobody waits.
    pub fn run_in_background(&self, request: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(request);
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until it is dropped")
    }

    fn is_stopped(&self) -> bool {
        let is_stopped = self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        is_stopped.as_ref().is_some_and(|is_stopped| is_stopped())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may be dropped by a task of another one, which must not wait.
            runtime.shutdown_background();
        }
    }
}

/// An error of the client of a bucket, on one line.
pub(super) fn io_error(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        Error::InvalidPath { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, one_line(&error.to_string()))
}

/// Responses of servers are XML over several lines, which a log would tear.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
