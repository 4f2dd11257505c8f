//! Gathers what one turn of a connection writes, and hands it to the socket at once. Knows no protocol.
//!
//! HTTP/2 flushes after every frame, which costs a system call each. Here a flush only says that there is something to
//! write, and wakes the task of the connection: what it writes until its next turn goes out together.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// More than this is not held back. Bounds the memory of a connection whose client does not read.
const GATHERED_BYTES_MAX: usize = 64 << 10;
/// The last flush of a turn follows the one of its last frame, with nothing written between them; any further one is of
/// a later turn.
const IDLE_FLUSHES_OF_A_TURN: u32 = 2;

/// A socket whose writes are gathered.
///
/// Nothing is lost in it: while a flush leaves bytes behind, the task has been woken, and its next turn writes them,
/// whether it begins with a read (as HTTP/2 does), a write beyond the limit, another flush, or a shutdown. Once the socket takes no
/// more, flushes wait for it as usual until it has taken everything.
#[derive(Debug)]
pub(super) struct Gather<S> {
    socket: S,
    gathered: Vec<u8>,
    /// How much of `gathered` the socket has.
    written: usize,
    /// The socket took no more when it was last tried, and will wake the task.
    blocked: bool,
    /// Flushes since the last write.
    idle_flushes: u32,
    /// What went wrong while writing during a read: the next write or flush says so.
    failed: Option<io::Error>,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub(super) fn new(socket: S) -> Gather<S> {
        Gather { socket, gathered: Vec::new(), written: 0, blocked: false, idle_flushes: 0, failed: None }
    }

    /// Writes what is gathered. On `Pending` the socket wakes the task when it takes more.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        while self.written < self.gathered.len() {
            let result = Pin::new(&mut self.socket).poll_write(cx, &self.gathered[self.written..]);
            self.blocked = result.is_pending();
            match ready!(result)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        // Given back rather than kept: most connections are quiet most of the time.
        (self.gathered, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count: usize = slices.iter().map(|slice| slice.len()).sum();
        self.idle_flushes = 0;
        if self.gathered.len() + count > GATHERED_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        if count > GATHERED_BYTES_MAX {
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let in_this_turn = self.idle_flushes < IDLE_FLUSHES_OF_A_TURN;
        if !self.gathered.is_empty() && !self.blocked && self.failed.is_none() && in_this_turn {
            self.idle_flushes += 1;
            cx.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A turn begins with reading. What the client sent can still be read when it takes no more.
        if self.failed.is_none()
            && let Poll::Ready(Err(error)) = self.poll_drain(cx)
        {
            self.failed = Some(error);
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: Connected> Connected for Gather<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.socket.connect_info()
    }
}

#[cfg(test)]
mod tests;
