//! The streams with an update that flow control blocks, and since when. Knows nothing of the other streams, which are most.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::subscriber_id::SubscriberId;

#[derive(Default)]
pub(super) struct Waiting {
    since: Mutex<HashMap<SubscriberId, Instant>>,
}

impl Waiting {
    pub fn begin(&self, id: SubscriberId, now: Instant) {
        self.since().insert(id, now);
    }

    pub fn end(&self, id: SubscriberId) {
        self.since().remove(&id);
    }

    /// The longest time for which an update has been blocked.
    pub fn longest(&self, now: Instant) -> Duration {
        let oldest = self.since().values().min().copied();
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long the update of each such stream has been blocked.
    pub fn all(&self, now: Instant) -> HashMap<SubscriberId, Duration> {
        let since = self.since();
        since.iter().map(|(id, since)| (*id, now.saturating_duration_since(*since))).collect()
    }

    fn since(&self) -> MutexGuard<'_, HashMap<SubscriberId, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_stream_that_waits_the_longest() {
        let (waiting, start) = (Waiting::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(waiting.longest(at(9)), Duration::ZERO);
        waiting.begin(SubscriberId(1), at(2));
        waiting.begin(SubscriberId(2), at(5));
        assert_eq!(waiting.longest(at(9)), Duration::from_secs(7));
        assert_eq!(waiting.all(at(9)).get(&SubscriberId(2)), Some(&Duration::from_secs(4)));
        waiting.end(SubscriberId(1));
        assert_eq!(waiting.all(at(9)).get(&SubscriberId(1)), None);
        assert_eq!(waiting.longest(at(9)), Duration::from_secs(4));
        waiting.end(SubscriberId(2));
        assert_eq!(waiting.longest(at(9)), Duration::ZERO);
    }
}
