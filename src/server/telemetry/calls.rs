//! Counts calls by method and code, and logs them. Knows the name and the end of a call, not its message.

mod log;
mod methods;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::{Extensions, HeaderMap, HeaderValue, Request};
use tonic::{Code, Status};

use super::traces::{Span, Traces};
use crate::api::answer::Outcome;
use crate::api::context::{REQUEST_ID, request_id};
use crate::api::rpc::Rpc;
use crate::model::Histogram;
use crate::supervise::Supervisor;
use log::Log;
use methods::Methods;

/// Ticks are what the durations of calls are counted in: of nanoseconds, ten thousand streams would fill 64 bits within weeks.
pub(in crate::server) const TICK_NANOS: u64 = 100;
/// In ticks: from a document that is at hand to a call that is about to time out.
const DURATION_BOUNDS: [u64; 16] = {
    const MICROSECOND: u64 = 1000 / TICK_NANOS;
    const MILLISECOND: u64 = 1000 * MICROSECOND;
    [
        50 * MICROSECOND,
        100 * MICROSECOND,
        250 * MICROSECOND,
        500 * MICROSECOND,
        MILLISECOND,
        2 * MILLISECOND + 500 * MICROSECOND,
        5 * MILLISECOND,
        10 * MILLISECOND,
        25 * MILLISECOND,
        50 * MILLISECOND,
        100 * MILLISECOND,
        250 * MILLISECOND,
        500 * MILLISECOND,
        1000 * MILLISECOND,
        2500 * MILLISECOND,
        10_000 * MILLISECOND,
    ]
};
/// As many as there are codes: `Code::Unauthenticated` is the last.
const CODES: usize = 17;

/// The calls of a server.
pub(in crate::server) struct Calls {
    methods: Methods,
    log: Log,
    /// `None`: nobody wants any.
    traces: Option<Arc<Traces>>,
    /// Counts panics of calls.
    supervisor: Supervisor,
}

/// A method, and what became of its calls.
#[derive(Debug)]
pub(in crate::server) struct Method {
    pub service: String,
    pub name: String,
    /// It answers with a stream, which lasts as long as its client wants.
    pub streams: bool,
    handled: [AtomicU64; CODES],
    /// In ticks.
    pub durations: Histogram,
}

/// A call that has begun.
pub(in crate::server) struct Begun {
    method: u16,
    at: Instant,
    /// As the client named it. In a box, as few do, and there may be very many calls.
    request_id: Option<Box<HeaderValue>>,
    /// Of a call that is traced. A stream has it while it is opened.
    span: Option<Span>,
}

/// A call that is under way. Dropped before it has ended, it was cancelled by its client.
pub(in crate::server) struct Ongoing {
    begun: Begun,
    /// Until it has ended.
    calls: Option<Arc<Calls>>,
}

impl Calls {
    /// Of the RPCs of the contract, and of the services in these sets of descriptors, as `protoc` encodes them.
    pub(in crate::server) fn new(descriptors: &[&[u8]]) -> Result<Calls, prost::DecodeError> {
        let (methods, supervisor) = (Methods::read(descriptors)?, Supervisor::default());
        Ok(Calls { methods, log: Log::default(), traces: None, supervisor })
    }

    /// The same, of which traces are made.
    pub(in crate::server) fn traced(self, traces: Option<Arc<Traces>>) -> Calls {
        Calls { traces, ..self }
    }

    /// The same, with panics counted by this supervisor.
    pub(in crate::server) fn supervised(self, supervisor: Supervisor) -> Calls {
        Calls { supervisor, ..self }
    }

    pub(in crate::server) fn methods(&self) -> &[Method] {
        self.methods.all()
    }

    /// Counts and logs the panic of a call.
    pub(in crate::server) fn count_panic(&self, panic: &(dyn Any + Send)) {
        self.supervisor.count_panic("call", panic);
    }

    pub(in crate::server) fn begin<B>(&self, rpc: Option<Rpc>, request: &Request<B>) -> Begun {
        let id = request_id(request.headers());
        let method = self.methods.of(rpc, request.uri().path());
        let span = self.traces.as_ref().and_then(|traces| {
            let method = self.methods.get(method);
            traces.begin((&method.service, &method.name), request.headers(), id)
        });
        Begun { method, at: Instant::now(), request_id: id.map(|id| Box::new(id.clone())), span }
    }

    /// The client has got the beginning of its answer. For whoever traces it a stream has ended: it may go on for weeks.
    pub(in crate::server) fn opened(&self, begun: &mut Begun) {
        if self.methods.get(begun.method).streams
            && let Some(span) = begun.span.take()
        {
            span.end(Code::Ok);
        }
    }

    pub(in crate::server) fn end(&self, begun: &mut Begun, code: Code) {
        if let Some(span) = begun.span.take() {
            span.end(code);
        }
        let method = self.methods.get(begun.method);
        let time = begun.at.elapsed();
        let ticks =
            time.as_secs() * (1_000_000_000 / TICK_NANOS) + u64::from(time.subsec_nanos()) / TICK_NANOS;
        method.handled[code as usize].fetch_add(1, Relaxed);
        method.durations.add(ticks);
        self.log.tell(method, code, time, begun.request_id.as_deref());
    }
}

impl Method {
    fn new(service: &str, name: &str, streams: bool) -> Method {
        Method {
            service: service.to_owned(),
            name: name.to_owned(),
            streams,
            handled: Default::default(),
            durations: Histogram::new(&DURATION_BOUNDS),
        }
    }

    /// How many calls ended with which code. Those with which none did are left out.
    pub(in crate::server) fn handled(&self) -> impl Iterator<Item = (Code, u64)> {
        let counts =
            (0..).zip(&self.handled).map(|(code, count)| (Code::from_i32(code), count.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}

impl Begun {
    /// Lets those who answer the call tell what they do for it, if it is traced.
    pub(in crate::server) fn enter(&self, extensions: &mut Extensions) {
        if let Some(span) = &self.span {
            extensions.insert(Arc::clone(span.stages()));
        }
    }

    pub(in crate::server) fn ongoing(self, calls: &Arc<Calls>) -> Ongoing {
        Ongoing { begun: self, calls: Some(Arc::clone(calls)) }
    }

    /// Says to a client that has named its request how it did.
    pub(in crate::server) fn add_request_id(&self, headers: &mut HeaderMap) {
        if let Some(id) = &self.request_id {
            headers.insert(&REQUEST_ID, HeaderValue::clone(id));
        }
    }
}

impl Ongoing {
    pub(in crate::server) fn begun(&self) -> &Begun {
        &self.begun
    }

    /// Counts and logs the panic of the call.
    pub(in crate::server) fn count_panic(&self, panic: &(dyn Any + Send)) {
        if let Some(calls) = &self.calls {
            calls.count_panic(panic);
        }
    }

    pub(in crate::server) fn opened(&mut self) {
        if let Some(calls) = &self.calls {
            calls.opened(&mut self.begun);
        }
    }

    pub(in crate::server) fn end(&mut self, code: Code) {
        if let Some(calls) = self.calls.take() {
            calls.end(&mut self.begun, code);
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The code in the headers or trailers that end a call.
pub(in crate::server) fn code_in(headers: &HeaderMap) -> Code {
    headers.get(Status::GRPC_STATUS).map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes()))
}

/// The code of the end of a call whose response has none in headers or trailers.
pub(in crate::server) fn code_of(outcome: Outcome) -> Code {
    outcome.0.map_or(Code::Ok, |code| Code::from(code as i32))
}

#[cfg(test)]
mod tests;
