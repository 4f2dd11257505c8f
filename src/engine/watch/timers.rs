//! The timers of all streams: wakes a stream that is due for a progress message or a recheck. Knows streams by their ids only.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::subscriber_id::SubscriberId;

/// The unit of the timers: streams that are due within one tick are served together.
const TICK: Duration = Duration::from_millis(50);

/// Ticks since the timers were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub u64);

impl Tick {
    /// The one that is running at `now`.
    pub fn at(started: Instant, now: Instant) -> Tick {
        let ticks = now.duration_since(started).as_millis() / TICK.as_millis();
        Tick(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// When each stream is checked next: one entry each. A message that a stream sends meanwhile delays the check only when the entry is due.
pub(super) struct Timers {
    started: Instant,
    due: BTreeSet<(Tick, SubscriberId)>,
}

impl Timers {
    pub fn new(started: Instant) -> Timers {
        Timers { started, due: BTreeSet::new() }
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// The ticks that make an interval; at least one.
    pub fn ticks_of(interval: Duration) -> u32 {
        u32::try_from(interval.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX).max(1)
    }

    /// Enters a stream. Whether it is the first that is due.
    pub fn add(&mut self, due: Tick, id: SubscriberId) -> bool {
        self.due.insert((due, id));
        self.due.first() == Some(&(due, id))
    }

    pub fn remove(&mut self, due: Tick, id: SubscriberId) {
        self.due.remove(&(due, id));
    }

    /// Takes a stream that is due.
    pub fn take_due(&mut self, now: Tick) -> Option<SubscriberId> {
        let (due, id) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.pop_first();
        Some(id)
    }

    /// When the next stream is due.
    pub fn next(&self) -> Option<Instant> {
        let (due, _) = self.due.first()?;
        Some(self.started + TICK * u32::try_from(due.0).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_due_in_order_and_not_before_their_time() {
        let started = Instant::now();
        let mut timers = Timers::new(started);
        let at = |ms| started + Duration::from_millis(ms);
        assert_eq!((Tick::at(started, at(49)), Tick::at(started, at(50))), (Tick(0), Tick(1)));
        assert!(timers.add(Tick(3), SubscriberId(1)));
        assert!(timers.add(Tick(2), SubscriberId(2)));
        assert!(!timers.add(Tick(9), SubscriberId(3)));
        assert_eq!(timers.next(), Some(at(100)));
        assert_eq!(timers.take_due(Tick::at(started, at(99))), None);
        assert_eq!(timers.take_due(Tick::at(started, at(150))), Some(SubscriberId(2)));
        assert_eq!(timers.take_due(Tick::at(started, at(150))), Some(SubscriberId(1)));
        assert_eq!(timers.take_due(Tick::at(started, at(150))), None);
        timers.remove(Tick(9), SubscriberId(3));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn intervals_are_at_least_a_tick() {
        let ticks = [1, 60, 100, 10_000].map(|ms| Timers::ticks_of(Duration::from_millis(ms)));
        assert_eq!(ticks, [1, 1, 2, 200]);
    }
}
