//! Logs why calls failed within the server, each with the request id of its call: clients do not receive the cause. Knows errors and calls; no
//! transport.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::context::CallContext;
use super::error::ApiError;

/// Calls can fail by the thousands: a log has at most so many lines about them in a second.
const LINES_PER_SECOND: u32 = 20;

/// Limits the lines of a log in each second, and counts the lines that are left out.
#[derive(Debug, Default)]
pub struct LineBudget(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    /// When the second began.
    since: Option<Instant>,
    written: u32,
    /// Since the last line.
    left_out: u64,
}

impl LineBudget {
    /// Takes the room of one line, with the number of lines that were left out before it. `None`: there is no room.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (lines.since, lines.written) = (Some(now), 0);
        }
        if lines.written >= LINES_PER_SECOND {
            lines.left_out += 1;
            return None;
        }
        lines.written += 1;
        Some(std::mem::take(&mut lines.left_out))
    }
}

/// Writes the causes of failed calls to the log of the server.
#[derive(Debug, Default)]
pub struct FailureLog(LineBudget);

impl FailureLog {
    /// Logs the cause of an error that ends a call, if the error has one.
    pub fn note(&self, context: &CallContext, error: &ApiError) {
        let Some(cause) = &error.cause else { return };
        let Some(left_out) = self.0.take(Instant::now()) else { return };
        let (reason, method, request_id) = (error.reason, context.method(), context.request_id());
        tracing::error!(cause, reason, method, request_id, left_out, "a call has failed within the server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_and_the_next_one_has_the_number_of_those_left_out() {
        let (budget, now) = (LineBudget::default(), Instant::now());
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(budget.take(now), Some(0));
        }
        assert_eq!((budget.take(now), budget.take(now)), (None, None));
        assert_eq!(budget.take(now + Duration::from_secs(1)), Some(2));
        assert_eq!(budget.take(now + Duration::from_secs(1)), Some(0));
    }
}
