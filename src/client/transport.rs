//! What lies below HTTP: a socket, with TLS or without. Knows no call.
//!
//! A server that does not want this client says so in words of TLS, often after the client has taken the connection for made. HTTP/2
//! tells whoever called no more than that it broke, so that what was said is remembered here.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::transport::channel::ResponseFuture;
use tower::Service;

use super::tls::{self, TlsFailure, TlsOptions};

/// How an alert of TLS begins. Nothing of HTTP/2 that a server sends first does.
const ALERT: [u8; 2] = [0x15, 0x03];

/// Why the newest connection broke, if TLS was the reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause(Arc<Mutex<Option<TlsFailure>>>);

impl Cause {
    fn set(&self, failure: Option<TlsFailure>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn get(&self) -> Option<TlsFailure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A channel whose failed calls say why the connection broke.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    cause: Cause,
}

impl Connection {
    pub(super) fn new(channel: Channel, cause: Cause) -> Connection {
        Connection { channel, cause }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Ok(ready!(self.channel.poll_ready(context))?).into()
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        Answer { response: self.channel.call(request), cause: self.cause.clone() }
    }
}

/// The answer to a call, when it is there.
pub struct Answer {
    response: ResponseFuture,
    cause: Cause,
}

impl Future for Answer {
    type Output = Result<Response<Body>, Box<dyn Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(context));
        Poll::Ready(response.map_err(|error| match self.cause.get() {
            Some(failure) => failure.into(),
            None => error.into(),
        }))
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    pub tcp: HttpConnector,
    /// `None`: plain text.
    pub tls: Option<TlsOptions>,
    /// For the handshake.
    pub timeout: Duration,
    pub cause: Cause,
}

impl Connector {
    pub(super) async fn connect(
        mut self,
        uri: Uri,
    ) -> Result<TokioIo<Transport>, Box<dyn Error + Send + Sync>> {
        self.cause.set(None);
        let host = uri.host().unwrap_or_default().to_owned();
        let socket = self.tcp.call(uri).await?.into_inner();
        let socket = match self.tls {
            None => Socket::Plain { socket, heard: false },
            Some(options) => {
                let name = options.name(&host)?;
                let connector = spawn_blocking(move || options.load()).await??;
                let handshake = timeout(self.timeout, tls::handshake(&connector, name, socket));
                let silent = |_| TlsFailure::Other("the server did not finish the handshake in time".into());
                Socket::Secured(Box::new(handshake.await.map_err(silent)??))
            }
        };
        Ok(TokioIo::new(Transport { socket, cause: self.cause }))
    }
}

pub(super) struct Transport {
    socket: Socket,
    cause: Cause,
}

enum Socket {
    Plain {
        socket: TcpStream,
        /// The server has said something.
        heard: bool,
    },
    Secured(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let (read, failure) = match &mut self.socket {
            Socket::Plain { socket, heard } => {
                let read = ready!(Pin::new(socket).poll_read(context, buffer));
                let said = &buffer.filled()[before..];
                let is_first = !std::mem::replace(heard, true);
                (read, (is_first && said.starts_with(&ALERT)).then_some(TlsFailure::Expected))
            }
            Socket::Secured(socket) => {
                let read = ready!(Pin::new(socket).poll_read(context, buffer));
                let failure = read.as_ref().err().and_then(TlsFailure::of_stream);
                (read, failure)
            }
        };
        Poll::Ready(match failure {
            None => read,
            Some(failure) => {
                self.cause.set(Some(failure.clone()));
                Err(io::Error::new(io::ErrorKind::InvalidData, failure))
            }
        })
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain { socket, .. } => Pin::new(socket).poll_write(context, bytes),
            Socket::Secured(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain { socket, .. } => Pin::new(socket).poll_write_vectored(context, slices),
            Socket::Secured(socket) => Pin::new(socket).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain { socket, .. } => Pin::new(socket).poll_flush(context),
            Socket::Secured(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain { socket, .. } => Pin::new(socket).poll_shutdown(context),
            Socket::Secured(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}
