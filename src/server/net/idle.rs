//! When a connection has been without a call for too long. Knows no connection.
//!
//! Whoever can connect can hold a connection, and a part of the beginning of a call, for nothing but an answer to a ping now and then.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::connection_age::Due;

/// The time that a connection has between calls: so long at least, and twice as long at most.
pub(in crate::server) struct Idle {
    timer: Pin<Box<Sleep>>,
    max: Duration,
    grace: Duration,
    is_reached: bool,
}

impl Idle {
    pub(in crate::server) fn new(max: Duration, grace: Duration) -> Idle {
        Idle { timer: Box::pin(sleep(max)), max, grace, is_reached: false }
    }

    /// `was_busy`: whether there are calls, or were some since this was last due; asked only when it is due.
    pub(in crate::server) fn poll(
        &mut self,
        context: &mut Context<'_>,
        was_busy: impl FnOnce() -> bool,
    ) -> Poll<Due> {
        ready!(self.timer.as_mut().poll(context));
        let busy = was_busy();
        let due = match (self.is_reached, busy) {
            (true, _) => Some(Due::End),
            (false, true) => None,
            (false, false) => Some(Due::Leave),
        };
        self.is_reached |= !busy;
        self.timer.as_mut().reset(Instant::now() + if busy { self.max } else { self.grace });
        match due {
            Some(due) => Poll::Ready(due),
            // Not to be asked again in this turn: the timer has been set anew.
            None => self.timer.as_mut().poll(context).map(|()| Due::Leave),
        }
    }
}
