//! Computes the pause before the next attempt. Knows no clock; the randomness is an argument.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// A server that asks for more is not believed: it may have meant another unit.
const RETRY_AFTER_LONGEST: Duration = Duration::from_secs(60);

/// Grows with every attempt that fails.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next attempt: half to one and a half times the nominal one, by `random` from 0 to 1, so that the
    /// clients of a server that comes back do not come all at once. What the server asks for is followed as it is: it
    /// has jitter of its own.
    pub(super) fn next(&mut self, retry_after: Option<Duration>, random: f64) -> Duration {
        let nominal = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        match retry_after {
            Some(asked) => asked.min(RETRY_AFTER_LONGEST),
            None => nominal.mul_f64(0.5 + random.clamp(0.0, 1.0)),
        }
    }

    /// The server was heard.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pauses_double_from_100_ms_to_10_s() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next(None, 0.5).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(None, 0.5).as_millis(), 100);
    }

    #[test]
    fn what_the_server_asks_for_is_followed_within_reason() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(Some(Duration::from_secs(3)), 0.9), Duration::from_secs(3));
        assert_eq!(backoff.next(Some(Duration::from_secs(3600)), 0.9), RETRY_AFTER_LONGEST);
    }

    proptest! {
        #[test]
        fn a_pause_stays_within_half_of_its_nominal_length(failures in 0..5000_u32, random in 0.0..=1.0) {
            let mut backoff = Backoff { failures };
            let pause = backoff.next(None, random);
            prop_assert!(pause >= FIRST / 2 && pause <= LONGEST * 3 / 2, "{pause:?}");
        }
    }
}
