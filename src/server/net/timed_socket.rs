//! The socket of a connection of HTTP/1.1, which fails if its client takes nothing of a response, or does not send a complete head. Knows bytes;
//! no request.
//!
//! HTTP/2 has streams for which this is decided one by one. On a connection of HTTP/1.1 one call holds up all others, so that the
//! connection ends with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::server::net::response::TAKEN_BYTES_MIN;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum TimedOut {
    #[error("the client has taken nothing of a response for too long")]
    NothingTaken,
    #[error("the client did not send the head of a request in time")]
    HeadTooSlow,
}

/// A socket whose client must go on.
pub(in crate::server) struct TimedSocket<S> {
    socket: S,
    /// Whether a call is under way: then what comes is no head.
    is_busy: Arc<AtomicBool>,
    /// Runs from the first byte of a head until its end.
    head: Option<Pin<Box<Sleep>>>,
    head_patience: Duration,
    /// Runs while the client makes no room.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Taken since that timer was set.
    taken_bytes: usize,
    patience: Duration,
}

impl<S> TimedSocket<S> {
    /// `head_patience`: how long the head of a request may take. `patience`: how long the client may take nothing.
    pub(in crate::server) fn new(
        socket: S,
        is_busy: Arc<AtomicBool>,
        head_patience: Duration,
        patience: Duration,
    ) -> TimedSocket<S> {
        TimedSocket { socket, is_busy, head: None, head_patience, stalled: None, taken_bytes: 0, patience }
    }

    /// What became of an attempt to write.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.taken_bytes = self.taken_bytes.saturating_add(count);
                if self.taken_bytes >= TAKEN_BYTES_MIN {
                    self.stalled = None;
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match self.poll_stalled(context) {
                Poll::Ready(timed_out) => {
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, timed_out)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// Ready if the client has taken nothing for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<TimedOut> {
        let (patience, taken_bytes) = (self.patience, &mut self.taken_bytes);
        let timer = self.stalled.get_or_insert_with(|| {
            *taken_bytes = 0;
            Box::pin(sleep(patience))
        });
        while timer.as_mut().poll(context).is_ready() {
            if *taken_bytes < TAKEN_BYTES_MIN {
                return Poll::Ready(TimedOut::NothingTaken);
            }
            *taken_bytes = 0;
            timer.as_mut().reset(Instant::now() + patience);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if self.is_busy.load(Relaxed) {
            self.head = None;
            return read;
        }
        if read.is_ready() {
            if buffer.filled().len() > before && self.head.is_none() {
                self.head = Some(Box::pin(sleep(self.head_patience)));
            }
            return read;
        }
        let Some(timer) = &mut self.head else { return Poll::Pending };
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, TimedOut::HeadTooSlow)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, buffer);
        self.written(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, buffers);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        match flushed {
            Poll::Ready(flushed) => {
                self.stalled = None;
                Poll::Ready(flushed)
            }
            // TLS writes what it holds when it is flushed.
            Poll::Pending => match self.poll_stalled(context) {
                Poll::Ready(timed_out) => {
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, timed_out)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(40);
    const HEAD_PATIENCE: Duration = Duration::from_millis(20);

    fn timed<S>(socket: S, busy: &Arc<AtomicBool>) -> TimedSocket<S> {
        TimedSocket::new(socket, busy.clone(), HEAD_PATIENCE, PATIENCE)
    }

    fn why(error: &io::Error) -> Option<&TimedOut> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    #[tokio::test]
    async fn a_head_that_has_begun_must_end() {
        let (socket, mut client) = duplex(64);
        let busy = Arc::new(AtomicBool::new(false));
        let mut socket = timed(socket, &busy);
        let mut buffer = [0; 64];
        // Nothing has begun: it may take as long as it likes.
        assert!(tokio::time::timeout(HEAD_PATIENCE * 4, socket.read(&mut buffer)).await.is_err());
        client.write_all(b"GET /").await.expect("written");
        assert_eq!(socket.read(&mut buffer).await.expect("read"), 5);
        let error = socket.read(&mut buffer).await.expect_err("too slow");
        assert_eq!(why(&error), Some(&TimedOut::HeadTooSlow));
        // The content of a call has another limit.
        busy.store(true, Relaxed);
        assert!(tokio::time::timeout(HEAD_PATIENCE * 2, socket.read(&mut buffer)).await.is_err());
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (socket, client) = duplex(8 << 10);
        let mut socket = timed(socket, &Arc::default());
        socket.write_all(&[0; 8 << 10]).await.expect("there is room");
        let error = socket.write_all(&[0; 1]).await.expect_err("the client takes nothing");
        assert_eq!(why(&error), Some(&TimedOut::NothingTaken));
        drop(client);
    }
}
