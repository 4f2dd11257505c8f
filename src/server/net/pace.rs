//! Says when a client has taken too little of a response for too long. Knows bytes and times; no transport.

use std::time::Duration;

use tokio::time::Instant;

/// How fast a client takes a response: at least so many bytes within the time that it has. A client that does not is given up once that time has
/// passed, and no later.
pub(super) struct Pace {
    bytes_min: usize,
    patience: Duration,
    /// When the client had last taken enough.
    since: Instant,
    /// Taken since then.
    taken_bytes: usize,
}

impl Pace {
    pub fn begin(bytes_min: usize, patience: Duration, now: Instant) -> Pace {
        Pace { bytes_min, patience, since: now, taken_bytes: 0 }
    }

    /// The client takes more bytes.
    pub fn take(&mut self, bytes: usize, now: Instant) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        if self.taken_bytes >= self.bytes_min {
            self.forgive(now);
        }
    }

    /// Begins again, whatever the client has taken.
    pub fn forgive(&mut self, now: Instant) {
        (self.since, self.taken_bytes) = (now, 0);
    }

    /// When the client is given up, unless it takes enough before.
    pub fn ends(&self) -> Instant {
        self.since + self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_nothing_more_is_given_up_after_its_time_once() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::begin(100, Duration::from_secs(30), begin);
        // What fits the window of the client is taken at once, and is no reason to wait twice as long.
        pace.take(1000, begin);
        assert_eq!(pace.ends(), after(30));
        pace.take(100, after(10));
        assert_eq!(pace.ends(), after(40));
        pace.take(50, after(20));
        pace.take(49, after(39));
        assert_eq!(pace.ends(), after(40), "that is too little");
        pace.take(1, after(39));
        assert_eq!(pace.ends(), after(69));
        pace.take(99, after(50));
        pace.forgive(after(69));
        pace.take(99, after(70));
        assert_eq!(pace.ends(), after(99));
    }
}
