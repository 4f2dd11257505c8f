//! The socket of a connection of HTTP/1.1, which fails if its client takes nothing of a response, or does not send a complete head. Knows bytes;
//! no request.
//!
//! HTTP/2 has streams for which this is decided one by one. On a connection of HTTP/1.1 one call holds up all others, so that the
//! connection ends with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::pace::{TAKEN_BYTES_MIN, Waited};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum TimedOut {
    #[error("the client has taken too little of a response for too long")]
    NothingTaken,
    #[error("the client did not send the head of a request in time")]
    HeadTooSlow,
}

/// The call that a connection is busy with, as far as its socket has to know.
#[derive(Debug)]
pub(in crate::server) struct CurrentCall {
    /// Whether a call is under way: then the client sends no head.
    pub is_busy: AtomicBool,
    /// How many bytes of the response the client must take in the time that it has.
    taken_bytes_min: AtomicUsize,
}

impl Default for CurrentCall {
    fn default() -> CurrentCall {
        CurrentCall { is_busy: AtomicBool::new(false), taken_bytes_min: AtomicUsize::new(TAKEN_BYTES_MIN) }
    }
}

impl CurrentCall {
    /// What the client must take of the response from now on.
    pub(in crate::server) fn require(&self, bytes: usize) {
        self.taken_bytes_min.store(bytes, Relaxed);
    }

    pub(in crate::server) fn end(&self) {
        self.require(TAKEN_BYTES_MIN);
        self.is_busy.store(false, Relaxed);
    }
}

/// A socket whose client must go on.
pub(in crate::server) struct TimedSocket<S> {
    socket: S,
    call: Arc<CurrentCall>,
    /// Runs from the first byte of a head until its end.
    head: Option<Pin<Box<Sleep>>>,
    head_patience: Duration,
    /// `None`: the client takes enough.
    stall: Option<Box<Stall>>,
    patience: Duration,
}

/// A client that does not make room as fast as the server has something for it.
struct Stall {
    timer: Pin<Box<Sleep>>,
    waited: Waited,
}

impl<S> TimedSocket<S> {
    /// `head_patience`: how long the head of a request may take. `patience`: how long the client may take less than it must.
    pub(in crate::server) fn new(
        socket: S,
        call: Arc<CurrentCall>,
        head_patience: Duration,
        patience: Duration,
    ) -> TimedSocket<S> {
        TimedSocket { socket, call, head: None, head_patience, stall: None, patience }
    }

    fn taken_bytes_min(&self) -> usize {
        self.call.taken_bytes_min.load(Relaxed)
    }

    /// What became of an attempt to write.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                let min = self.taken_bytes_min();
                if let Some(stall) = &mut self.stall {
                    stall.waited.stop(Instant::now());
                    if stall.waited.take(count, min) {
                        self.stall = None;
                    }
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

    /// Ready if the client has taken too little for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<TimedOut> {
        let patience = self.patience;
        let stall = self.stall.get_or_insert_with(|| {
            Box::new(Stall { timer: Box::pin(sleep(patience)), waited: Waited::default() })
        });
        if let Some(end) = stall.waited.begin(patience, Instant::now()) {
            stall.timer.as_mut().reset(end);
        }
        ready!(stall.timer.as_mut().poll(context));
        Poll::Ready(TimedOut::NothingTaken)
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
        if self.call.is_busy.load(Relaxed) {
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
                // A response that must be taken at a pace is sent in many pieces: the pace is that of all of them.
                let is_at_pace = self.taken_bytes_min() > TAKEN_BYTES_MIN;
                match &mut self.stall {
                    Some(stall) if is_at_pace => stall.waited.stop(Instant::now()),
                    stall => *stall = None,
                }
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

    fn timed<S>(socket: S, call: &Arc<CurrentCall>) -> TimedSocket<S> {
        TimedSocket::new(socket, call.clone(), HEAD_PATIENCE, PATIENCE)
    }

    fn why(error: &io::Error) -> Option<&TimedOut> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    #[tokio::test]
    async fn a_head_that_has_begun_must_end() {
        let (socket, mut client) = duplex(64);
        let call = Arc::new(CurrentCall::default());
        let mut socket = timed(socket, &call);
        let mut buffer = [0; 64];
        // Nothing has begun: it may take as long as it likes.
        assert!(tokio::time::timeout(HEAD_PATIENCE * 4, socket.read(&mut buffer)).await.is_err());
        client.write_all(b"GET /").await.expect("written");
        assert_eq!(socket.read(&mut buffer).await.expect("read"), 5);
        let error = socket.read(&mut buffer).await.expect_err("too slow");
        assert_eq!(why(&error), Some(&TimedOut::HeadTooSlow));
        // The content of a call has another limit.
        call.is_busy.store(true, Relaxed);
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

    /// Sends pieces of 8 KiB, flushed one by one, to a client that takes one of them after each pause.
    async fn sent(call: &Arc<CurrentCall>, patience: Duration, pause: Duration) -> io::Result<()> {
        let (socket, mut client) = duplex(8 << 10);
        let mut socket = TimedSocket::new(socket, call.clone(), HEAD_PATIENCE, patience);
        let taking = async {
            let mut piece = [0; 8 << 10];
            loop {
                sleep(pause).await;
                client.read_exact(&mut piece).await.expect("a piece");
            }
        };
        let sending = async {
            for _ in 0..20 {
                socket.write_all(&[0; 8 << 10]).await?;
                socket.flush().await?;
            }
            Ok(())
        };
        tokio::select! {
            sent = sending => sent,
            () = taking => unreachable!("it has no end"),
        }
    }

    #[tokio::test]
    async fn a_client_must_take_a_transfer_at_a_pace() {
        let call = Arc::new(CurrentCall::default());
        let (long, pause) = (Duration::from_secs(60), Duration::from_millis(5));
        sent(&call, long, pause).await.expect("the client takes enough of a response");
        call.require(64 << 10);
        sent(&call, long, pause).await.expect("and of a transfer");
        // Seven pieces at most in the time that there is for eight.
        let error = sent(&call, pause * 7, pause).await.expect_err("the client is too slow for a transfer");
        assert_eq!(why(&error), Some(&TimedOut::NothingTaken));
        call.end();
        sent(&call, long, pause).await.expect("the next call is none");
    }
}
