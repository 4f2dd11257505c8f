//! Traces, as a collector receives them.

use std::sync::{Arc, Mutex};

use confwatch::proto::v1::*;
use confwatch::server::Settings;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use super::support::*;

/// What was received, in the order of its arrival.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("nobody panics").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Where it listens.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let service = TraceServiceServer::new(self.clone());
        let incoming = TcpListenerStream::new(listener);
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(incoming));
        url
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().expect("nobody panics");
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// All that it was told, as text.
    fn text(&self) -> String {
        format!("{:?}", self.0.lock().expect("nobody panics"))
    }
}

async fn serve(endpoint: &str, change: impl FnOnce(&mut Settings)) -> TestServer {
    let change = |settings: &mut Settings| {
        settings.otlp_endpoint = Some(endpoint.to_owned());
        change(settings);
    };
    TestServer::start_in(TempDir::new().expect("a directory"), change).await
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    found?.value.clone()?.value
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.into()))
}

const GET: &str = "confwatch.v1.ConfigService/Get";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn with(parent: &'static str) -> Request<GetRequest> {
    let mut request = Request::new(get("/"));
    request.metadata_mut().insert("traceparent", parent.parse().expect("ASCII"));
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_has_a_span_below_that_of_its_caller_and_nothing_of_what_it_says() {
    let collector = Collector::default();
    let server = serve(&collector.start().await, believing).await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"password":"canary-value"}"#).await;
    let mut request = with(PARENT);
    request.metadata_mut().insert("x-request-id", "request-7".parse().expect("ASCII"));
    request.metadata_mut().insert("authorization", "Bearer canary-token".parse().expect("ASCII"));
    client.get(request).await.expect("it is there");
    client.get(GetRequest { config: "canary-name".into(), ..get("/") }).await.expect_err("it is not there");
    server.stop().await;

    let spans = collector.named(GET);
    let [found, missing] = spans.as_slice() else { panic!("two calls are two spans: {spans:?}") };
    assert_eq!(hex::encode(&found.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex::encode(&found.parent_span_id), "b7ad6b7169203331");
    assert_eq!(attribute(found, "rpc.system"), text("grpc"));
    assert_eq!(attribute(found, "rpc.service"), text("confwatch.v1.ConfigService"));
    assert_eq!(attribute(found, "rpc.method"), text("Get"));
    assert_eq!(attribute(found, "rpc.grpc.status_code"), Some(Value::IntValue(0)));
    assert_eq!(attribute(found, "confwatch.request_id"), text("request-7"));
    assert!(missing.parent_span_id.is_empty() && missing.trace_id != found.trace_id);
    assert_eq!(attribute(missing, "rpc.grpc.status_code"), Some(Value::IntValue(Code::NotFound as i64)));
    let written = collector.named("confwatch.v1.ConfigService/Set");
    for stage in ["plan", "store"] {
        let below = collector.named(stage);
        assert_eq!((below.len(), written.len()), (1, 1));
        assert_eq!(below[0].parent_span_id, written[0].span_id, "{stage} is part of the write");
        assert!(below[0].start_time_unix_nano <= below[0].end_time_unix_nano);
    }
    let told = collector.text();
    assert!(told.contains(r#"StringValue("confwatch")"#), "the service has a name: {told}");
    assert!(!told.contains("canary"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_caller_decides_whether_its_call_is_sampled_and_the_ratio_where_it_does_not() {
    let collector = Collector::default();
    let server = serve(&collector.start().await, |settings| settings.otlp_sampled = 0.0).await;
    let mut client = server.client().await;
    put(&mut client, "/", "{}").await;
    client.get(get("/")).await.expect("it is there");
    client.get(with(UNSAMPLED)).await.expect("it is there");
    client.get(with("not a parent")).await.expect("it is there");
    client.get(with(PARENT)).await.expect("it is there");
    server.stop().await;
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(collector.named(GET).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_span_of_a_stream_is_over_when_it_is_open() {
    let collector = Collector::default();
    let server = serve(&collector.start().await, |_| {}).await;
    let mut client = server.client().await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.watch(watch).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");
    // Ended by the server, as it stops: UNAVAILABLE.
    server.stop().await;
    while let Ok(Some(_)) = stream.message().await {}
    let spans = collector.named("confwatch.v1.ConfigService/Watch");
    assert_eq!(spans.len(), 1);
    assert_eq!(attribute(&spans[0], "rpc.grpc.status_code"), Some(Value::IntValue(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    // One that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silence = format!("http://{}", silent.local_addr().expect("an address"));
    for endpoint in [nobody, silence] {
        let server = serve(&endpoint, |_| {}).await;
        let mut client = server.client().await;
        put(&mut client, "/", "{}").await;
        // More than are kept.
        for _ in 0..3000 {
            client.get(get("/")).await.expect("it is there");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_is_refused_at_the_start() {
    let directory = TempDir::new().expect("a directory");
    let settings = Settings { otlp_endpoint: Some("not a url".into()), ..settings(directory.path()) };
    let error = confwatch::server::Server::start(settings).await.err().expect("it does not start");
    assert!(format!("{error:#}").contains("otlp-endpoint"), "{error:#}");
}
