//! Gathers what one turn of a connection writes, and hands it to the socket at once. Knows no protocol.
//!
//! HTTP/2 flushes after every frame, which costs a system call each. Here a flush within a turn does nothing: the turn ends with one
//! that does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame_budget::Frames;
use super::poll_turn::Turn;

/// More than this is not held back. Bounds the memory of a connection whose client does not read.
const GATHERED_BYTES_MAX: usize = 64 << 10;
const A_FEW_ANSWERS_BYTES: usize = 8 << 10;

/// A socket whose writes are gathered.
///
/// Nothing is lost in it: the turn is told that there is something to write, and ends with a flush. Once the socket takes no more,
/// that flush waits for it, and writes beyond the limit do.
#[derive(Debug)]
pub(in crate::server) struct Gather<S> {
    socket: S,
    gathered: Vec<u8>,
    /// How much of `gathered` the socket has.
    written: usize,
    turn: Arc<Turn>,
    /// Of what the client sends.
    frames: Frames,
    /// The client does not take what it is sent. What it sends is not read until it does, or its answers would pile up.
    is_full: bool,
    /// Somebody wanted to read meanwhile.
    wants_to_read: bool,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub(in crate::server) fn new(socket: S, turn: Arc<Turn>) -> Gather<S> {
        let (gathered, frames) = (Vec::new(), Frames::default());
        Gather { socket, gathered, written: 0, turn, frames, is_full: false, wants_to_read: false }
    }

    /// Room for what a single answer takes, for what a few do, or for all there may be: growing bit by bit would copy everything
    /// again and again.
    fn make_room(&mut self, count: usize) {
        let needed = self.gathered.len() + count;
        if needed > self.gathered.capacity() {
            let capacity = match needed {
                _ if self.gathered.is_empty() => count,
                _ if needed <= A_FEW_ANSWERS_BYTES => A_FEW_ANSWERS_BYTES,
                _ => GATHERED_BYTES_MAX,
            };
            self.gathered.reserve_exact(capacity - self.gathered.len());
        }
    }

    /// Writes what is gathered. On `Pending` the socket wakes the task when it takes more.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.gathered.len() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.gathered[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.written += count;
                    // A client that takes something is there, also while nothing of it is read.
                    self.turn.add_taken();
                }
            }
        }
        // Given back rather than kept: most connections are quiet most of the time.
        (self.gathered, self.written) = (Vec::new(), 0);
        self.is_full = false;
        if std::mem::take(&mut self.wants_to_read) {
            Turn::wake_by_ref(&self.turn);
        }
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
        if self.gathered.len() + count > GATHERED_BYTES_MAX {
            let drained = self.poll_drain(cx);
            self.is_full = drained.is_pending();
            ready!(drained)?;
        }
        self.turn.add_sent(count as u64);
        if count > GATHERED_BYTES_MAX {
            // What the socket has is not always sent: one with TLS keeps what it has encrypted until it is flushed.
            self.turn.set_unsent(true);
            return Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        }
        self.make_room(count);
        slices.iter().for_each(|slice| self.gathered.extend_from_slice(slice));
        self.turn.set_unsent(true);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.turn.is_gathering() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.turn.set_unsent(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_full {
            // The socket wakes when it takes more, and that wakes who wants to read.
            self.wants_to_read = true;
            return Poll::Pending;
        }
        if self.turn.has_read_enough() {
            // Once the other connections had their turn.
            Turn::wake_by_ref(&self.turn);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let said = self.frames.read(&buffer.filled()[before..]);
            self.turn.add_received(said);
            self.turn.add_read(buffer.filled().len() - before);
        }
        read
    }
}

#[cfg(test)]
mod tests;
