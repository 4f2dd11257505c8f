//! Requests that never reach a handler, answered as the contract says: tonic calls a message that it cannot decode an
//! internal error, and one that is too large out of range.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::status::Unreadable;

/// Wraps a generated service.
#[derive(Clone)]
pub struct Contract<S> {
    service: S,
    /// Of a message.
    bytes_max: usize,
    /// Messages that were larger than they may be.
    too_large: Arc<AtomicU64>,
}

impl<S> Contract<S> {
    /// Around a service that takes messages of so many bytes.
    pub fn new(service: S, bytes_max: usize, too_large: &Arc<AtomicU64>) -> Contract<S> {
        Contract { service, bytes_max, too_large: Arc::clone(too_large) }
    }
}

impl<S: NamedService> NamedService for Contract<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Contract<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (response, bytes_max) = (self.service.call(request), self.bytes_max);
        let too_large = Arc::clone(&self.too_large);
        Box::pin(async move {
            let response = response.await?;
            Ok(match unreadable(&response, bytes_max) {
                Some(unreadable) => {
                    let is_too_large = matches!(unreadable, Unreadable::TooLarge { .. });
                    too_large.fetch_add(u64::from(is_too_large), Relaxed);
                    Status::from(unreadable).into_http()
                }
                None => response,
            })
        })
    }
}

/// What tonic 0.14 says of a request that it could not read: by its messages, as the codes alone do not tell. Handlers of ours
/// never answer with these codes without details.
fn unreadable(response: &Response<Body>, bytes_max: usize) -> Option<Unreadable> {
    let status = Status::from_header_map(response.headers())?;
    match status.code() {
        _ if !status.details().is_empty() => None,
        Code::Internal => Some(Unreadable::Malformed),
        Code::OutOfRange if status.message().contains("message length too large") => {
            Some(Unreadable::TooLarge { limit: bytes_max })
        }
        // tonic stops where a message that is unpacked exceeds what one may have.
        Code::ResourceExhausted if status.message().contains("exceeded while decompressing") => {
            Some(Unreadable::TooLarge { limit: bytes_max })
        }
        _ => None,
    }
}
