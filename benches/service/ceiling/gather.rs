//! A socket whose writes go out together, once in a turn of the connection's task. Knows no protocol.
//!
//! It does what `src/server/gather.rs` does, and is a copy of its idea rather than of the file so that the ceiling stays
//! what it is while the service changes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

const GATHERED_BYTES_MAX: usize = 64 << 10;
/// A turn ends with so many flushes that have nothing new to write.
const IDLE_FLUSHES_OF_A_TURN: u32 = 2;

/// What is left behind by a flush goes out when the task reads next, which it is woken for.
pub struct Gather {
    socket: TcpStream,
    gathered: Vec<u8>,
    written: usize,
    blocked: bool,
    idle_flushes: u32,
}

impl Gather {
    pub fn new(socket: TcpStream) -> Gather {
        Gather { socket, gathered: Vec::new(), written: 0, blocked: false, idle_flushes: 0 }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            let result = Pin::new(&mut self.socket).poll_write(cx, &self.gathered[self.written..]);
            self.blocked = result.is_pending();
            self.written += ready!(result)?;
        }
        (self.gathered, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gather {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count: usize = slices.iter().map(|slice| slice.len()).sum();
        self.idle_flushes = 0;
        if self.gathered.len() + count > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.blocked && self.idle_flushes < IDLE_FLUSHES_OF_A_TURN {
            self.idle_flushes += 1;
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl AsyncRead for Gather {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Connected for Gather {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}
