//! The three calls that are measured, without a codec. Knows HTTP and the framing of gRPC.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::{Change, GetRequest, SetRequest, WatchRequest};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use prost::Message;
use tokio_stream::wrappers::WatchStream;
use tonic::body::Body;
use tower::Service;

use super::answer::Answer;
use super::message;
use super::stored::Stored;

/// Of a gRPC message.
const HEAD_BYTES: usize = 5;

#[derive(Clone)]
pub struct Ceiling(pub Arc<Stored>);

impl Service<Request<Body>> for Ceiling {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stored = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let answer = match head.uri.path() {
                "/confwatch.v1.ConfigService/Get" => get(&stored, message(body).await),
                "/confwatch.v1.ConfigService/Set" => set(&stored, message(body).await).await,
                "/confwatch.v1.ConfigService/Watch" => watch(&stored, message(body).await),
                path => panic!("{path} is not measured"),
            };
            let mut response = Response::new(answer);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            Ok(response)
        })
    }
}

fn get(stored: &Stored, request: Bytes) -> Answer {
    let request = GetRequest::decode(request).expect("a request");
    Answer::One(Some(stored.entry(&request.config).answer.clone()))
}

async fn set(stored: &Stored, request: Bytes) -> Answer {
    let request = SetRequest::decode(request).expect("a request");
    let Some(Change { config, action: Some(Action::Replace(text)), .. }) = request.change else {
        panic!("a layer to replace is expected");
    };
    stored.writer.append(text.content.clone()).await;
    stored.entry(&config).publish(&config, &text.content);
    Answer::One(Some(message::set_response(config, text.content)))
}

fn watch(stored: &Stored, request: Bytes) -> Answer {
    let request = WatchRequest::decode(request).expect("a request");
    if let [target] = &*request.targets {
        let entry = stored.entry(&target.config);
        let mut newest = entry.newest.subscribe();
        let state = newest.borrow_and_update().clone();
        let first = if target.if_none_match.is_empty() { state } else { entry.current() };
        return Answer::Newest(Some(first), WatchStream::from_changes(newest));
    }
    let configs = request.targets.iter().map(|target| target.config.as_str());
    let (first, changes) = stored.watch(configs);
    Answer::Each(Some(first), changes)
}

/// All of the only message of a request. Mostly it is one frame, and not copied.
async fn message(body: Body) -> Bytes {
    let mut body = pin!(body);
    let mut whole = Bytes::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(part) = frame.expect("the client sends all").into_data() else { break };
        whole =
            if whole.is_empty() { part } else { BytesMut::from_iter(whole.into_iter().chain(part)).freeze() };
    }
    whole.advance(HEAD_BYTES);
    whole
}
