//! What is left of HTTP when a service does nothing but answer: hyper alone, which has the responses at hand. Knows paths and bytes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use tokio::net::TcpSocket;

use super::document::{BYTES, CONFIGS, content};
use super::workload::http::path;

pub const ARGUMENT: &str = "hyper";

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI";

/// Content that is at hand.
struct Content(Option<Bytes>);

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// The responses, by path.
type Stored = HashMap<String, (HeaderMap, Bytes)>;

/// On this address, until it is killed.
#[tokio::main]
pub async fn serve(address: &str) {
    let stored: Stored = (0..CONFIGS).map(|config| (path(config), response(config))).collect();
    let stored = Arc::new(stored);
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_reuseaddr(true).expect("it is new");
    socket.bind(address.parse().expect("an address")).expect("the port is free");
    let listener = socket.listen(u16::MAX.into()).expect("it is bound");
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let stored = stored.clone();
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            let mut begun = [0; PREFACE.len()];
            let is_http2 = loop {
                match socket.peek(&mut begun).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) if count < begun.len() => {}
                    Ok(_) => break begun == *PREFACE,
                }
            };
            let answer = service_fn(|request| {
                let response = answer(&stored, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let socket = TokioIo::new(socket);
            // A client that goes away is no error.
            let _ = match is_http2 {
                true => http2::Builder::new(TokioExecutor::new()).serve_connection(socket, answer).await,
                false => http1::Builder::new().serve_connection(socket, answer).await,
            };
        });
    }
}

fn answer(stored: &Stored, request: &Request<Incoming>) -> Response<Content> {
    if request.method() == Method::POST {
        // Whoever asks by gRPC whether the server is there is told that there is no such config.
        let mut response = Response::new(Content(None));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("5"));
        return response;
    }
    match stored.get(request.uri().path()) {
        Some((headers, content)) => {
            let mut response = Response::new(Content(Some(content.clone())));
            *response.headers_mut() = headers.clone();
            response
        }
        None => {
            let mut response = Response::new(Content(None));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

/// As confwatch answers it: the headers and the content.
fn response(config: usize) -> (HeaderMap, Bytes) {
    let content = Bytes::from(content(config, 0, BYTES));
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&content)));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("content-length", content.len().to_string()),
        ("confwatch-version", "1".to_owned()),
        ("confwatch-revision", (config + 1).to_string()),
        ("confwatch-digest", digest.clone()),
        ("confwatch-scope", "/".to_owned()),
        ("etag", format!("\"{digest}-json\"")),
        ("confwatch-store-revision", CONFIGS.to_string()),
        ("vary", "accept, accept-encoding, authorization, confwatch-scope".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("confwatch-epoch", "0123456789abcdef".to_owned()),
    ] {
        headers.insert(name, value.try_into().expect("a header value"));
    }
    (headers, content)
}
