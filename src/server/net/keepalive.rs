//! Detects that the peer of a connection is gone: sends a ping when the peer is silent, and closes the connection without an answer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

use super::poll_turn::Turn;

pub(in crate::server) struct Keepalive {
    pings: PingPong,
    interval: Duration,
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
    /// It has been asked, and whatever it sends is an answer.
    asked: bool,
}

/// The client is gone.
pub(in crate::server) struct Silence;

impl Keepalive {
    pub(in crate::server) fn new(pings: PingPong, interval: Duration, timeout: Duration) -> Keepalive {
        Keepalive { pings, interval, timeout, timer: Box::pin(sleep(interval)), asked: false }
    }

    /// Looks at the time only: what comes in is noted by `turn`.
    pub(in crate::server) fn poll(&mut self, context: &mut Context<'_>, turn: &Turn) -> Poll<Silence> {
        while self.timer.as_mut().poll(context).is_ready() {
            let heard = turn.take_received();
            if self.asked && !heard {
                return Poll::Ready(Silence);
            }
            self.asked = !heard;
            let wait = match self.asked {
                true => {
                    self.ask();
                    self.timeout
                }
                false => self.interval,
            };
            self.timer.as_mut().reset(Instant::now() + wait);
        }
        Poll::Pending
    }

    fn ask(&mut self) {
        // The answer to the last one, which came long ago.
        let _ = self.pings.poll_pong(&mut Context::from_waker(Waker::noop()));
        // It fails when the connection is closing, which ends it as well.
        let _ = self.pings.send_ping(Ping::opaque());
    }
}
