//! That writes are gathered, and that none is ever left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// A socket that remembers each write, takes so many bytes, and has nothing to read.
#[derive(Debug, Default)]
struct Socket {
    writes: Vec<Vec<u8>>,
    room: usize,
    broken: bool,
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
        Poll::Ready(Ok(()))
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

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection task in slow motion.
struct Task {
    connection: Gather<Socket>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Task {
    fn new(room: usize) -> Task {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        Task { connection: Gather::new(Socket { room, ..Socket::default() }), wakes, waker }
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(&mut Context::from_waker(&self.waker), bytes)
    }

    fn flush(&mut self) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(&mut Context::from_waker(&self.waker))
    }

    fn read(&mut self) {
        let mut bytes = [0];
        let mut buffer = ReadBuf::new(&mut bytes);
        let cx = &mut Context::from_waker(&self.waker);
        assert!(Pin::new(&mut self.connection).poll_read(cx, &mut buffer).is_pending());
    }

    /// What HTTP/2 does with each frame.
    fn send(&mut self, frame: &[u8]) {
        assert!(matches!(self.write(frame), Poll::Ready(Ok(count)) if count == frame.len()));
        assert!(matches!(self.flush(), Poll::Ready(Ok(()))));
    }

    fn is_woken(&self) -> bool {
        self.wakes.0.swap(0, Ordering::Relaxed) > 0
    }

    fn writes(&self) -> &[Vec<u8>] {
        &self.connection.socket.writes
    }
}

#[test]
fn the_frames_of_a_turn_are_one_write_of_the_next() {
    let mut task = Task::new(usize::MAX);
    for frame in [b"one ".as_slice(), b"two ", b"three"] {
        task.send(frame);
    }
    assert!(matches!(task.flush(), Poll::Ready(Ok(()))));
    assert!(task.writes().is_empty());
    assert!(task.is_woken());
    task.read();
    assert_eq!(task.writes(), [b"one two three".to_vec()]);
    assert!(matches!(task.flush(), Poll::Ready(Ok(()))));
    assert!(!task.is_woken(), "an idle connection stays asleep");
}

#[test]
fn turns_that_only_flush_write_too() {
    let mut task = Task::new(usize::MAX);
    task.send(b"frame");
    let mut turns = 0;
    while task.is_woken() {
        turns += 1;
        assert!(turns < 5);
        assert!(matches!(task.flush(), Poll::Ready(Ok(()))));
    }
    assert_eq!(task.writes(), [b"frame".to_vec()]);
}

#[test]
fn a_socket_that_takes_no_more_holds_back_flushes_and_then_writes() {
    let mut task = Task::new(3);
    task.send(b"frame");
    task.read();
    assert_eq!(task.writes(), [b"fra".to_vec()]);
    task.is_woken();
    assert!(task.flush().is_pending());
    assert!(matches!(task.write(b"!"), Poll::Ready(Ok(1))));
    assert!(task.flush().is_pending());
    assert!(!task.is_woken(), "the socket wakes, not we");
    task.connection.socket.room = 100;
    assert!(matches!(task.flush(), Poll::Ready(Ok(()))));
    assert_eq!(task.writes().concat(), b"frame!");
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
fn a_write_that_failed_during_a_read_is_reported_by_the_flush() {
    let mut task = Task::new(usize::MAX);
    task.send(b"frame");
    task.connection.socket.broken = true;
    task.is_woken();
    task.read();
    assert!(task.is_woken());
    let Poll::Ready(Err(error)) = task.flush() else { panic!("the error is lost") };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn shutdown_writes_first() {
    let mut task = Task::new(usize::MAX);
    task.send(b"last words");
    let cx = &mut Context::from_waker(&task.waker);
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
                let mut connection = Gather::new(near);
                for (at, count) in frames.iter().enumerate() {
                    connection.write_all(&vec![at as u8; *count]).await.unwrap();
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
