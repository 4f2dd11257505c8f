//! A server that knows nothing: what an attack on it does to others on the machine is the machine's own.
//!
//! It is tonic's server. It reads each call to its end and refuses it, and holds streams of health open, as the server does that is measured.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::transport::Server;
use tower::Service;

use super::server::die_with_parent;

pub const ARGUMENT: &str = "--bare";

const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// The other process: killed when it is dropped.
pub struct BareServer {
    child: Child,
    pub address: SocketAddr,
}

impl BareServer {
    pub fn start() -> BareServer {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(ARGUMENT).stdin(Stdio::null()).stdout(Stdio::piped());
        die_with_parent(&mut command);
        let mut child = command.spawn().expect("this program");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where");
        let address = line.trim().parse().expect("an address");
        BareServer { child, address }
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until it is killed, and says where.
#[tokio::main]
pub async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
    println!("{}", listener.local_addr().expect("it is bound"));
    let server = Server::builder().initial_connection_window_size(16 << 20).max_concurrent_streams(100_000);
    server.serve_with_incoming(Refusing, TcpListenerStream::new(listener)).await.expect("it serves");
}

#[derive(Clone)]
struct Refusing;

impl Service<Request<Body>> for Refusing {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let mut body = pin!(body);
            while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
            let is_stream = head.uri.path() == HEALTH_WATCH;
            let mut response = Response::new(if is_stream { Answer::Serving } else { Answer::Ended });
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            if !is_stream {
                response.headers_mut().insert("grpc-status", HeaderValue::from_static("16"));
            }
            Ok(response)
        })
    }
}

/// The body of a response.
enum Answer {
    Ended,
    /// That it serves, and then nothing.
    Serving,
    Open,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {
            Answer::Ended => Poll::Ready(None),
            Answer::Serving => {
                *self = Answer::Open;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\x02\x08\x01")))))
            }
            Answer::Open => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Ended)
    }
}
