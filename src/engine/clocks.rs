//! The time of an engine, by its two clocks. Knows no state.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Clock, Engine};
use crate::model::Timestamp;

impl Engine {
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The later one of the two clocks: a credential has expired when it has by either.
    pub fn credential_time(&self) -> Timestamp {
        (self.clock)().max((self.wall_clock)())
    }

    /// Gives that time.
    pub fn credential_clock(&self) -> Clock {
        let (clock, wall_clock) = (self.clock.clone(), self.wall_clock.clone());
        Arc::new(move || clock().max(wall_clock()))
    }

    /// How far the time of day is ahead of the clock, in microseconds.
    pub fn clock_offset(&self) -> i64 {
        (self.wall_clock)().0.saturating_sub((self.clock)().0)
    }

    /// How much later the newest commit is than the time of day, if it is: a server before this one had a clock that was ahead, or the clock is
    /// behind now. Commits have the time of the newest one until the clock has caught up.
    pub fn history_ahead(&self) -> Option<Duration> {
        let ahead = self.state().time.0.saturating_sub((self.wall_clock)().0);
        u64::try_from(ahead).ok().map(Duration::from_micros).filter(|ahead| !ahead.is_zero())
    }
}
