//! That writes are gathered, and that none is ever left behind.

use std::task::Waker;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::server::net::write_coalescing::*;

/// A socket that remembers each write, takes so many bytes, and has nothing to read.
#[derive(Debug, Default)]
struct Socket {
    writes: Vec<Vec<u8>>,
    room: usize,
    broken: bool,
    /// A flush does not end.
    holds_back: bool,
    shut: bool,
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(self.room);
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.writes.push(bytes[..count].to_vec());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds_back { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

/// A connection task in slow motion.
struct Task {
    connection: Gather<Socket>,
    turn: Arc<Turn>,
}

impl Task {
    /// In a turn.
    fn new(room: usize) -> Task {
        let turn = Arc::new(Turn::default());
        turn.begin(Waker::noop(), 32 << 10);
        Task { connection: Gather::new(Socket { room, ..Socket::default() }, turn.clone()), turn }
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(&mut Context::from_waker(Waker::noop()), bytes)
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(&mut Context::from_waker(Waker::noop()))
    }

    /// What HTTP/2 does with each frame.
    fn send(&mut self, frame: &[u8]) {
        assert!(matches!(self.write(frame), Poll::Ready(Ok(count)) if count == frame.len()));
        assert!(matches!(self.flush(), Poll::Ready(Ok(()))));
    }

    /// What a connection does last.
    fn end_turn(&mut self) -> Poll<io::Result<()>> {
        assert!(self.turn.is_unsent());
        self.turn.stop_gathering();
        let flushed = self.flush();
        self.turn.begin(Waker::noop(), 32 << 10);
        flushed
    }

    fn writes(&self) -> &[Vec<u8>] {
        &self.connection.socket.writes
    }
}

#[test]
fn the_frames_of_a_turn_are_one_write_at_its_end() {
    let mut task = Task::new(usize::MAX);
    for frame in [b"one ".as_slice(), b"two ", b"three"] {
        task.send(frame);
    }
    assert!(task.writes().is_empty());
    assert!(matches!(task.end_turn(), Poll::Ready(Ok(()))));
    assert_eq!(task.writes(), [b"one two three".to_vec()]);
    assert!(!task.turn.is_unsent(), "nothing is left to do");
}

#[test]
fn a_socket_that_takes_no_more_holds_back_the_end_of_the_turn_and_then_writes() {
    let mut task = Task::new(3);
    task.send(b"frame");
    assert!(task.end_turn().is_pending());
    assert_eq!(task.writes(), [b"fra".to_vec()]);
    task.send(b"!");
    assert!(task.end_turn().is_pending());
    task.connection.socket.room = 100;
    assert!(matches!(task.end_turn(), Poll::Ready(Ok(()))));
    assert_eq!(task.writes().concat(), b"frame!");
}

#[test]
fn what_a_socket_with_tls_has_encrypted_is_not_sent_until_it_is_flushed() {
    for frame in [5, GATHERED_BYTES_MAX + 1] {
        let mut task = Task::new(usize::MAX);
        task.connection.socket.holds_back = true;
        task.send(&vec![7; frame]);
        assert!(task.end_turn().is_pending());
        assert!(task.turn.is_unsent(), "the next turn has to flush again");
        task.connection.socket.holds_back = false;
        assert!(matches!(task.end_turn(), Poll::Ready(Ok(()))));
        assert!(!task.turn.is_unsent());
    }
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut task = Task::new(0);
    let frame = [7; 16 << 10];
    let taken = (0..100).take_while(|_| task.write(&frame).is_ready()).count();
    assert_eq!(taken * frame.len(), GATHERED_BYTES_MAX);
    task.connection.socket.room = usize::MAX;
    assert!(task.write(&frame).is_ready());
}

#[test]
fn a_large_write_keeps_its_place_and_is_not_copied() {
    let mut task = Task::new(usize::MAX);
    task.send(b"first");
    let large = vec![7; GATHERED_BYTES_MAX + 1];
    task.send(&large);
    assert_eq!(task.writes(), [b"first".to_vec(), large]);
}

#[test]
fn a_write_that_failed_is_reported() {
    let mut task = Task::new(usize::MAX);
    task.send(b"frame");
    task.connection.socket.broken = true;
    let Poll::Ready(Err(error)) = task.end_turn() else { panic!("the error is lost") };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn shutdown_writes_first() {
    let mut task = Task::new(usize::MAX);
    task.send(b"last words");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(Pin::new(&mut task.connection).poll_shutdown(cx), Poll::Ready(Ok(()))));
    assert_eq!(task.writes(), [b"last words".to_vec()]);
    assert!(task.connection.socket.shut);
}

proptest! {
    #[test]
    fn everything_arrives_in_order_whatever_the_sizes(
        frames in prop::collection::vec(1..100_000_usize, 0..12),
        capacity in 1..200_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = duplex(capacity);
            let expected: Vec<u8> =
                frames.iter().enumerate().flat_map(|(at, count)| vec![at as u8; *count]).collect();
            let writer = async {
                let turn = Arc::new(Turn::default());
                let mut connection = Gather::new(near, turn.clone());
                for (at, count) in frames.iter().enumerate() {
                    turn.begin(Waker::noop(), 32 << 10);
                    connection.write_all(&vec![at as u8; *count]).await.unwrap();
                    connection.flush().await.unwrap();
                    turn.stop_gathering();
                    connection.flush().await.unwrap();
                }
                connection.shutdown().await.unwrap();
            };
            let mut received = vec![];
            let reader = far.read_to_end(&mut received);
            let (_, read) = tokio::join!(writer, reader);
            read.unwrap();
            assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
        });
    }
}

/// A socket with more to read than anybody takes.
#[derive(Debug, Default)]
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&vec![0; buffer.remaining()]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_turn_reads_so_much_and_the_rest_is_read_in_the_next_ones() {
    let turn = Arc::new(Turn::default());
    let waker = Waker::from(turn.clone());
    let mut socket = Gather::new(Endless, turn.clone());
    let mut read = || {
        let mut bytes = [0; 8 << 10];
        let mut buffer = ReadBuf::new(&mut bytes);
        Pin::new(&mut socket).poll_read(&mut Context::from_waker(&waker), &mut buffer)
    };
    // While HTTP/2 begins there are no turns.
    assert_eq!((0..100).take_while(|_| read().is_ready()).count(), 100);
    for _ in 0..3 {
        turn.begin(Waker::noop(), 32 << 10);
        assert_eq!((0..100).take_while(|_| read().is_ready()).count(), 4);
        assert!(turn.has_read_enough() && turn.goes_on(), "the connection is polled again");
    }
}
