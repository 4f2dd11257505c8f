//! Ends connections at their maximum age, and their streams with UNAVAILABLE. Knows no connection.
//!
//! Connections that never end stay where they are: behind a balancer a new server would get none of them, and what was decided when
//! a connection was made, such as trust in a certificate, would hold for ever.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::api::call_errors::connection_too_old;
use crate::api::error::ApiError;

/// How much of the age may be added, or taken away: connections that began together do not end together.
const JITTER: f64 = 0.1;
/// Nobody goes away: a new connection will do.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The time that a connection has.
pub(in crate::server) struct Age {
    timer: Pin<Box<Sleep>>,
    grace: Duration,
    is_reached: bool,
}

/// What is due for a connection.
pub(in crate::server) enum Due {
    /// Its streams are told to come back on another, and its calls end.
    Leave,
    /// What has not ended is given up.
    End,
}

impl Age {
    /// `max`, more or less by `random` from 0 to 1. From then on its calls have `grace` to end.
    pub(in crate::server) fn new(max: Duration, grace: Duration, random: f64) -> Age {
        Age { timer: Box::pin(sleep(jittered(max, random))), grace, is_reached: false }
    }

    pub(in crate::server) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Due> {
        ready!(self.timer.as_mut().poll(context));
        if std::mem::replace(&mut self.is_reached, true) {
            return Poll::Ready(Due::End);
        }
        self.timer.as_mut().reset(Instant::now() + self.grace);
        Poll::Ready(Due::Leave)
    }
}

fn jittered(max: Duration, random: f64) -> Duration {
    max.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

/// How a stream ends whose connection leaves.
pub(in crate::server) fn farewell() -> ApiError {
    connection_too_old(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;

    #[test]
    fn connections_of_the_same_age_leave_within_a_tenth_of_it() {
        let seconds = |random| jittered(Duration::from_secs(100), random).as_secs_f64().round();
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(seconds), [90.0, 95.0, 100.0, 110.0]);
    }

    #[test]
    fn a_stream_is_told_that_it_may_come_back() {
        let status = Status::from(farewell());
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_retry_info().expect("a delay").retry_delay, Some(RETRY_AFTER));
    }
}
