//! Keeps connections that always have more to do from filling the queue in which all others wait for a processor. Knows no protocol.
//!
//! A connection that has used up its turn waits here for the next, in the order of arrival, and no more of them have a turn at once than there are
//! processors. It keeps its turn until its thread has looked for events of sockets, so that those of others come between two turns. A client that sends a call now and then, and a watcher, never wait here: a hundred busy connections delay them by the turns of a few.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Clones share the turns.
#[derive(Clone, Debug)]
pub(in crate::server) struct BusyTurns(PollSemaphore);

/// Gives the turn to the next connection when it is dropped.
pub(in crate::server) struct BusyTurn(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Default for BusyTurns {
    /// As many connections have a turn at once as there are processors.
    fn default() -> BusyTurns {
        BusyTurns::new(thread::available_parallelism().map_or(1, |count| count.get()))
    }
}

impl BusyTurns {
    /// So many connections have a turn at once.
    fn new(at_once: usize) -> BusyTurns {
        BusyTurns(PollSemaphore::new(Arc::new(Semaphore::new(at_once))))
    }

    /// Ready when it is the connection's turn. Whoever gives up waiting drops this clone.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<BusyTurn> {
        let turn = self.0.poll_acquire(context);
        turn.map(|permit| BusyTurn(permit.expect("nobody closes the semaphore")))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;

    use super::*;

    #[test]
    fn turns_are_given_in_the_order_of_arrival() {
        let turns = BusyTurns::new(1);
        let (mut first, mut second, mut third) = (turns.clone(), turns.clone(), turns.clone());
        let context = &mut Context::from_waker(noop_waker_ref());
        let Poll::Ready(turn) = first.poll(context) else { panic!("it is free") };
        assert!(second.poll(context).is_pending() && third.poll(context).is_pending());
        drop(turn);
        assert!(first.poll(context).is_pending(), "others have waited for longer");
        assert!(third.poll(context).is_pending());
        let Poll::Ready(turn) = second.poll(context) else { panic!("it is next") };
        // One that gives up keeps nobody waiting.
        drop(third);
        drop(turn);
        assert!(first.poll(context).is_ready());
    }
}
