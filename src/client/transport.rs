//! What lies below HTTP: a socket, with TLS or without. Knows no call.
//!
//! A server that does not want this client says so in words of TLS, often after the client has taken the connection for made. HTTP/2
//! tells whoever called no more than that it broke, so that what was said is remembered here.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::transport::channel::ResponseFuture;
use tower::Service;

use super::credential::Stamp;
use super::tls::{self, TlsFailure, TlsOptions};

/// The code of a call whose credential was refused, as it travels.
const UNAUTHENTICATED: &str = "16";
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

/// A channel whose failed calls say why the connection broke. A client certificate that was renewed takes its place as soon as the server
/// refuses the one before: a connection keeps the certificate that it was made with.
#[derive(Clone, Debug)]
pub struct Connection {
    channel: Channel,
    /// Of `channel`, among those that were made.
    number: u64,
    renewal: Arc<Renewal>,
    cause: Cause,
}

/// How a channel is made, and the newest one.
pub(super) struct Renewal {
    make: Box<dyn Fn() -> Channel + Send + Sync>,
    /// The files of the client certificate. Empty: there is none, and no channel but the first.
    files: Vec<PathBuf>,
    newest: Mutex<Newest>,
}

struct Newest {
    channel: Channel,
    number: u64,
    /// Of the files, when the channel was made.
    stamps: Vec<Option<Stamp>>,
}

impl Renewal {
    pub(super) fn new(make: impl Fn() -> Channel + Send + Sync + 'static, files: Vec<PathBuf>) -> Renewal {
        let newest = Newest { channel: make(), number: 0, stamps: stamps_of(&files) };
        Renewal { make: Box::new(make), files, newest: Mutex::new(newest) }
    }

    /// Makes another channel if there is another certificate than that of the channel of this number.
    fn refused(&self, number: u64) {
        let mut newest = self.newest();
        let stamps = stamps_of(&self.files);
        if newest.number == number && newest.stamps != stamps {
            *newest = Newest { channel: (self.make)(), number: number + 1, stamps };
        }
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps_of(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|path| Stamp::of(path).ok()).collect()
}

impl Connection {
    pub(super) fn new(renewal: Renewal, cause: Cause) -> Connection {
        let channel = renewal.newest().channel.clone();
        Connection { channel, number: 0, renewal: Arc::new(renewal), cause }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = PendingResponse;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.renewal.files.is_empty() {
            let newest = self.renewal.newest();
            if newest.number != self.number {
                (self.channel, self.number) = (newest.channel.clone(), newest.number);
            }
        }
        Ok(ready!(self.channel.poll_ready(context))?).into()
    }

    fn call(&mut self, request: Request<Body>) -> PendingResponse {
        let renewal = (!self.renewal.files.is_empty()).then(|| (self.renewal.clone(), self.number));
        PendingResponse { response: self.channel.call(request), renewal, cause: self.cause.clone() }
    }
}

/// The answer to a call, when it is there.
pub struct PendingResponse {
    response: ResponseFuture,
    /// To be told if the server refuses the certificate of this channel.
    renewal: Option<(Arc<Renewal>, u64)>,
    cause: Cause,
}

impl Future for PendingResponse {
    type Output = Result<Response<Body>, Box<dyn Error + Send + Sync>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(context));
        if let (Ok(response), Some((renewal, number))) = (&response, &self.renewal)
            && response.headers().get(Status::GRPC_STATUS).is_some_and(|code| code == UNAUTHENTICATED)
        {
            renewal.refused(*number);
        }
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
