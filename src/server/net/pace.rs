//! Says when a client has taken too little of a response for too long. Knows bytes and times; no transport.

use std::time::Duration;

use tokio::time::Instant;

/// A client that takes less than this in the time that it has takes nothing.
pub(super) const TAKEN_BYTES_MIN: usize = 4 << 10;
/// The same of a transfer, such as a backup: the server keeps a place, and history, for it as long as it goes on.
pub(super) const TRANSFER_BYTES_MIN: usize = 256 << 10;
/// A message that is sent in parts may take so many times as long as the client may take nothing: it keeps the state that it is made of,
/// which others may have replaced long ago.
pub(super) const MESSAGE_PATIENCE: u32 = 20;
/// A stream that has to wait for other connections looks so often whether there is room.
pub(super) const ROOM_INTERVAL: Duration = Duration::from_millis(250);

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

/// How long the server has waited for a client to take enough of what waits for it. That the server has nothing to send is not the fault of the client.
#[derive(Debug, Default)]
pub(super) struct Waited {
    /// `None`: there is room, or there is nothing to send.
    since: Option<Instant>,
    before: Duration,
    taken_bytes: usize,
}

impl Waited {
    /// The server waits for room. When it waits no longer, if it did not wait already.
    pub fn begin(&mut self, patience: Duration, now: Instant) -> Option<Instant> {
        match self.since {
            Some(_) => None,
            None => {
                self.since = Some(now);
                Some(now + patience.saturating_sub(self.before))
            }
        }
    }

    /// There is room, or nothing more to send.
    pub fn stop(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.before += now.saturating_duration_since(since);
        }
    }

    /// The client takes more bytes. Whether these are enough.
    pub fn take(&mut self, bytes: usize, enough: usize) -> bool {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        self.taken_bytes >= enough
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

    #[test]
    fn the_time_that_the_server_takes_is_not_that_of_the_client() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let patience = Duration::from_secs(30);
        let mut waited = Waited::default();
        assert_eq!(waited.begin(patience, begin), Some(after(30)));
        assert_eq!(waited.begin(patience, after(5)), None, "it waits already");
        waited.stop(after(10));
        assert!(!waited.take(60, 100));
        // The disk was slow.
        waited.stop(after(500));
        assert_eq!(waited.begin(patience, after(500)), Some(after(520)), "ten seconds are gone");
        waited.stop(after(515));
        assert_eq!(waited.begin(patience, after(600)), Some(after(605)));
        assert!(waited.take(40, 100));
    }
}
