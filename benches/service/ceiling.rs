//! The ceiling: tonic as it comes, with the least that can be done for each call. Knows requests and responses by their bytes,
//! no configuration.
//!
//! Get finds a stored message, Set appends to a file and syncs it once for all that wait, Watch hands out the newest
//! message to everyone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};

use bytes::Bytes;
use confwatch::api::codec::Encoded;
use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::*;
use http::{Request, Response};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Server;
use tonic_prost::ProstCodec;
use tower::Service;

use super::document::{CONFIGS, WATCHED, config_name, document, get_response, watch_response};

pub const ARGUMENT: &str = "ceiling";

type Answer<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send>>;

/// One to be appended, and who waits for it.
type Append = (Vec<u8>, oneshot::Sender<()>);

#[derive(Clone)]
struct Ceiling(Arc<Shared>);

struct Shared {
    stored: HashMap<String, Bytes>,
    log: mpsc::Sender<Append>,
    newest: watch::Sender<Bytes>,
}

/// In the current directory, until it is killed.
#[tokio::main]
pub async fn serve() {
    let stored =
        (0..CONFIGS).map(|config| (config_name(config), get_response(config).encode_to_vec().into()));
    let (log, appends) = mpsc::channel();
    std::thread::spawn(|| append(appends));
    let first = get_response(WATCHED).document.expect("it has one");
    let newest = watch::Sender::new(watch_response(first).encode_to_vec().into());
    let ceiling = Ceiling(Arc::new(Shared { stored: stored.collect(), log, newest }));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    println!("ceiling serving on {}", listener.local_addr().expect("it listens"));
    let sockets = TcpListenerStream::new(listener)
        .map(|socket| socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket)));
    Server::builder().add_service(ceiling).serve_with_incoming(sockets).await.expect("it serves");
}

fn append(appends: mpsc::Receiver<Append>) {
    let mut file = File::create("log").expect("the directory is there");
    while let Ok(first) = appends.recv() {
        let group: Vec<Append> = std::iter::once(first).chain(appends.try_iter()).collect();
        let bytes: Vec<u8> = group.iter().flat_map(|(bytes, _)| bytes).copied().collect();
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk takes it");
        for (_, written) in group {
            let _ = written.send(());
        }
    }
}

impl UnaryService<GetRequest> for Ceiling {
    type Response = Encoded;
    type Future = Answer<Encoded>;

    fn call(&mut self, request: tonic::Request<GetRequest>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let stored = shared.stored.get(&request.into_inner().config);
            let stored = stored.ok_or_else(|| Status::not_found("no such config"))?;
            Ok(tonic::Response::new(Encoded::joined(vec![stored.clone()])))
        })
    }
}

impl UnaryService<SetRequest> for Ceiling {
    type Response = SetResponse;
    type Future = Answer<SetResponse>;

    fn call(&mut self, request: tonic::Request<SetRequest>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let Some(Change { config, action: Some(Action::Replace(text)), .. }) =
                request.into_inner().change
            else {
                return Err(Status::invalid_argument("a layer to replace is expected"));
            };
            let (written, durable) = oneshot::channel();
            let record = text.content.clone().into_bytes();
            shared.log.send((record, written)).map_err(|_| Status::internal("no log"))?;
            durable.await.map_err(|_| Status::internal("no log"))?;
            let document = document(config, text.content);
            if shared.newest.receiver_count() > 0 {
                let message = watch_response(document.clone()).encode_to_vec();
                shared.newest.send_replace(message.into());
            }
            let report = Some(ValidationReport { valid: true, findings: vec![] });
            let response = SetResponse { document: Some(document), changed: true, report, store_revision: 1 };
            Ok(tonic::Response::new(response))
        })
    }
}

impl ServerStreamingService<WatchRequest> for Ceiling {
    type Response = Encoded;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;
    type Future = Answer<Self::ResponseStream>;

    fn call(&mut self, _: tonic::Request<WatchRequest>) -> Self::Future {
        let messages = WatchStream::new(self.0.newest.subscribe());
        let messages = messages.map(|message| Ok(Encoded::joined(vec![message])));
        Box::pin(async move { Ok(tonic::Response::new(Box::pin(messages) as Self::ResponseStream)) })
    }
}

impl NamedService for Ceiling {
    const NAME: &'static str = "confwatch.v1.ConfigService";
}

/// What is generated for a service, for three methods.
impl Service<Request<Body>> for Ceiling {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ceiling = self.clone();
        match request.uri().path() {
            "/confwatch.v1.ConfigService/Get" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<Encoded, GetRequest>::default());
                Ok(grpc.unary(ceiling, request).await)
            }),
            "/confwatch.v1.ConfigService/Set" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<SetResponse, SetRequest>::default());
                Ok(grpc.unary(ceiling, request).await)
            }),
            "/confwatch.v1.ConfigService/Watch" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::<Encoded, WatchRequest>::default());
                Ok(grpc.server_streaming(ceiling, request).await)
            }),
            path => panic!("{path} is not measured"),
        }
    }
}
