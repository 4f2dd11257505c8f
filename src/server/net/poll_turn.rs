//! Schedules the turns of a connection and batches what each turn writes to its socket. Knows no protocol.
//!
//! Whatever happens to a connection while it is at work, it looks at before it rests: that wakes nobody. HTTP/2 and the calls of a
//! connection would otherwise wake its task from within, for a turn in which there is nothing to do.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::yield_now;

use super::frame_budget::FrameCounts;

const RESTING: u8 = 0;
const AT_WORK: u8 = 1;
const WANTED: u8 = 2;
/// Shared by a connection, its socket, and everything that wakes it.
#[derive(Debug, Default)]
pub(in crate::server) struct Turn {
    state: AtomicU8,
    task: AtomicWaker,
    /// Flushes wait for the end of the turn.
    gathering: AtomicBool,
    /// The socket has yet to be given something.
    unsent: AtomicBool,
    /// So much is read from the socket in this turn yet.
    bytes_to_read: AtomicUsize,
    /// The client has sent something since this was last asked.
    received: AtomicBool,
    /// What it has said, and was sent, since that was last asked.
    noise: AtomicU64,
    calls: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Turn {
    /// Begins a turn of the task that `waker` wakes. HTTP/2 looks at all frames that it can read before it gives up the thread: without a
    /// limit of bytes, a connection that sends without a pause keeps the thread from all others.
    pub(in crate::server) fn begin(&self, waker: &Waker, read_bytes_max: usize) {
        self.task.register(waker);
        self.state.store(AT_WORK, Ordering::Release);
        self.bytes_to_read.store(read_bytes_max, Ordering::Relaxed);
        self.gathering.store(true, Ordering::Relaxed);
    }

    /// Whether something has happened since the turn began, or this was last asked.
    pub(in crate::server) fn goes_on(&self) -> bool {
        self.state.swap(AT_WORK, Ordering::AcqRel) == WANTED
    }

    /// From here on, flushes are flushes.
    pub(in crate::server) fn stop_gathering(&self) {
        self.gathering.store(false, Ordering::Relaxed);
    }

    /// Rests, unless something has happened: then the turn goes on.
    pub(in crate::server) fn rest(&self) -> bool {
        self.state.compare_exchange(AT_WORK, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Rests, to be woken once others had their turn and the thread has looked for events of sockets: a task that wakes itself keeps its
    /// thread from looking for as long as 61 turns of tasks.
    pub(in crate::server) fn pause(&self, task: &mut Context<'_>) {
        self.state.store(RESTING, Ordering::Release);
        // It is pending when it is polled first, and wakes the task then.
        let _ = pin!(yield_now()).poll(task);
    }

    /// Counts what was read from the socket.
    pub(in crate::server) fn add_read(&self, bytes: usize) {
        let left = self.bytes_to_read.load(Ordering::Relaxed);
        self.bytes_to_read.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Whether no more is read in this turn. Before the first turn, which is while HTTP/2 begins, all is read.
    pub(in crate::server) fn has_read_enough(&self) -> bool {
        self.state.load(Ordering::Relaxed) != RESTING && self.bytes_to_read.load(Ordering::Relaxed) == 0
    }

    pub(in crate::server) fn is_gathering(&self) -> bool {
        self.gathering.load(Ordering::Relaxed)
    }

    pub(in crate::server) fn set_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Ordering::Relaxed);
    }

    pub(in crate::server) fn is_unsent(&self) -> bool {
        self.unsent.load(Ordering::Relaxed)
    }

    pub(in crate::server) fn add_received(&self, said: FrameCounts) {
        self.received.store(true, Ordering::Relaxed);
        self.noise.fetch_add(said.noise, Ordering::Relaxed);
        self.calls.fetch_add(said.calls, Ordering::Relaxed);
    }

    /// The client's machine has taken something of what it was sent.
    pub(in crate::server) fn add_taken(&self) {
        self.received.store(true, Ordering::Relaxed);
    }

    pub(in crate::server) fn add_sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(in crate::server) fn take_said(&self) -> FrameCounts {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        FrameCounts { noise: take(&self.noise), calls: take(&self.calls), sent_bytes: take(&self.sent_bytes) }
    }

    pub(in crate::server) fn take_received(&self) -> bool {
        self.received.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Turn>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Turn>) {
        let wanted = |state| (state != RESTING).then_some(WANTED);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, wanted).is_err() {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Wakes>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_happens_within_a_turn_wakes_nobody_and_is_not_forgotten() {
        let (turn, wakes) = (Arc::new(Turn::default()), Arc::new(Wakes::default()));
        let (inside, task) = (Waker::from(turn.clone()), Waker::from(wakes.clone()));
        turn.begin(&task, 1);
        inside.wake_by_ref();
        inside.wake_by_ref();
        assert!(turn.goes_on());
        assert!(!turn.goes_on());
        inside.wake_by_ref();
        assert!(!turn.rest());
        assert!(turn.goes_on() && turn.rest());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        inside.wake_by_ref();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_pause_is_followed_by_a_turn() {
        let (turn, wakes) = (Arc::new(Turn::default()), Arc::new(Wakes::default()));
        let task = Waker::from(wakes.clone());
        turn.begin(&task, 1);
        turn.pause(&mut Context::from_waker(&task));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }
}
