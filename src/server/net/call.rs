//! The beginning of a call on a connection of any protocol: counted, within the limits of the connection, and answered by the router. Knows no
//! protocol, and nothing of what is called.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::Request;

use super::connection_context::ConnectionContext;
use super::request_bodies::{ConnectionRequests, Inbound, Received};
use crate::api::answer::{Answer, Refuse};
use crate::api::call_errors::{headers_too_large, too_many_open_calls};
use crate::api::error::ApiError;
use crate::api::unread::Unread;
use crate::engine;
use crate::server::router::Called;
use crate::server::telemetry::calls::Begun;

/// What HTTP/2 counts for a header field beside its name and its value.
const HEADER_FIELD_BYTES: usize = 32;
/// Calls under way on one connection of services that ask nobody who they are: health and reflection.
const OPEN_CALLS_MAX: usize = 16;

/// A call that has begun.
pub(in crate::server) struct BegunCall {
    pub begun: Begun,
    pub answer: Answer,
    /// Makes the response of its transport that has nothing but an error.
    pub refuse: Refuse,
    /// Of a service that is open to all: they are counted.
    pub open: Option<Arc<()>>,
}

/// What the calls of one connection share.
pub(in crate::server) struct ConnectionCalls {
    pub service: Arc<ConnectionContext>,
    pub unread: Arc<Unread>,
    requests: Arc<ConnectionRequests>,
    /// Held by each call of a service that is open to all.
    open_calls: Arc<()>,
}

impl ConnectionCalls {
    pub(in crate::server) fn new(service: Arc<ConnectionContext>, unread: Arc<Unread>) -> ConnectionCalls {
        let requests = ConnectionRequests::new(service.requests.clone());
        ConnectionCalls { service, unread, requests, open_calls: Arc::default() }
    }

    /// Begins a call. A panic is counted and answered: the other calls of the connection go on.
    pub(in crate::server) fn begin<I: Inbound>(&self, called: Called, request: Request<I>) -> BegunCall {
        let service = &self.service;
        let begun = service.calls.begin(called.rpc(), &request);
        let header_bytes = header_bytes(&request);
        let path = request.uri().path();
        let (is_open_to_all, is_open_ended) = (called.is_open_to_all(path), called.is_open_ended(path));
        let refuse = called.refuse();
        let mut request = match is_open_ended {
            true => request.map(Received::open),
            false => request.map(|body| Received::whole(body, self.requests.clone(), header_bytes)),
        };
        begun.enter(request.extensions_mut());
        let open = is_open_to_all.then(|| self.open_calls.clone());
        let answer = || {
            if header_bytes > service.settings.header_bytes_max as usize {
                service.connections.counts.headers_too_large.fetch_add(1, Relaxed);
                return Answer::Now(refuse(&headers_too_large(service.settings.header_bytes_max)));
            }
            if let Err(refused) = self.unread.check() {
                return Answer::Now(refuse(&refused));
            }
            // The connection holds one, too, and so does this call.
            if is_open_to_all && Arc::strong_count(&self.open_calls) > OPEN_CALLS_MAX + 1 {
                service.connections.counts.open_calls_refused.fetch_add(1, Relaxed);
                return Answer::Now(refuse(&too_many_open_calls()));
            }
            service.front.call(called, request)
        };
        let answer = catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
            service.calls.count_panic(&*panic);
            Answer::Now(refuse(&panicked()))
        });
        BegunCall { begun, answer, refuse, open }
    }
}

/// What the metadata of a call take.
fn header_bytes<B>(request: &Request<B>) -> usize {
    let fields = request.headers().iter();
    fields.map(|(name, value)| name.as_str().len() + value.len() + HEADER_FIELD_BYTES).sum()
}

/// The error of a call that has panicked.
pub(in crate::server) fn panicked() -> ApiError {
    engine::Error::Panicked.into()
}
