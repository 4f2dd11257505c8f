//! Exports a span for each call to a collector, by OTLP. Knows the name, metadata and end of a call; not its message.
//!
//! Spans wait in a queue of a fixed size and are sent by a thread of their own: with a collector that is slow or gone they are dropped, and no
//! call waits. Without an endpoint there is none of this.

mod collector;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tonic::Code;

use crate::api::code_name::code_name;
use crate::engine::{Stage, Stages};

/// Under this name, unless `OTEL_SERVICE_NAME` has another.
const SERVICE_NAME: &str = "confwatch";
/// How long spans may take to be sent when the server stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes spans, and sends them.
pub(in crate::server) struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
    propagator: TraceContextPropagator,
}

/// Of a call that is sampled, until it ends.
pub(in crate::server) struct Span(Box<Spanned>);

struct Spanned {
    span: opentelemetry_sdk::trace::Span,
    /// Spans of their own, below it.
    stages: Arc<Stages>,
    tracer: SdkTracer,
}

impl Traces {
    /// To the collector at this URL, where gRPC is spoken. Of calls whose caller says nothing of it, this part is sampled. Must be called
    /// within a tokio runtime. Fails for what is no URL; a collector that is not there may come.
    pub(in crate::server) fn start(endpoint: &str, sampled: f64) -> anyhow::Result<Traces> {
        let wrong = || format!("otlp-endpoint: cannot send to {endpoint:?}");
        let channel = collector::channel(endpoint).with_context(wrong)?;
        let exporter =
            SpanExporter::builder().with_tonic().with_channel(channel).build().with_context(wrong)?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) {
            resource = resource.with_service_name(SERVICE_NAME);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sampled))))
            .with_resource(resource.build())
            .build();
        let (tracer, propagator) = (provider.tracer(SERVICE_NAME), TraceContextPropagator::new());
        Ok(Traces { tracer, provider, propagator })
    }

    /// Begins the span of a call, below that of its caller if the metadata name one. `None`: it is not sampled.
    pub(in crate::server) fn begin(
        &self,
        (service, method): (&str, &str),
        headers: &HeaderMap,
        request_id: Option<&HeaderValue>,
    ) -> Option<Span> {
        let parent = self.propagator.extract_with_context(&Context::new(), &Metadata(headers));
        let mut attributes = vec![
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service.to_owned()),
            KeyValue::new("rpc.method", method.to_owned()),
        ];
        if let Some(id) = request_id.and_then(|id| id.to_str().ok()) {
            attributes.push(KeyValue::new("confwatch.request_id", id.to_owned()));
        }
        let builder = SpanBuilder::from_name(Cow::Owned(format!("{service}/{method}")))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        let span = self.tracer.build_with_context(builder, &parent);
        span.is_recording().then(|| {
            let (stages, tracer) = (Arc::default(), self.tracer.clone());
            Span(Box::new(Spanned { span, stages, tracer }))
        })
    }

    /// Sends what is left. Blocks, but not for long.
    pub(in crate::server) fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

impl Span {
    /// Where what is done for the call is told.
    pub(in crate::server) fn stages(&self) -> &Arc<Stages> {
        &self.0.stages
    }

    pub(in crate::server) fn end(self, code: Code) {
        let Spanned { mut span, stages, tracer } = *self.0;
        let within = Context::new().with_remote_span_context(span.span_context().clone());
        for Stage { name, from, until } in stages.take() {
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(from);
            tracer.build_with_context(builder, &within).end_with_timestamp(until);
        }
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(code as i32)));
        if is_of_server(code) {
            span.set_status(Status::error(code_name(code as i32)));
        }
        span.end();
    }
}

/// Whether it is an error of the server, as the conventions have it: what a client did wrong is none.
fn is_of_server(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

/// Where the caller says which span is its own.
struct Metadata<'a>(&'a HeaderMap);

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
