//! The time of the server: the time of day when the server started, and what has passed since. It never goes back and never jumps, whatever
//! happens to the clock of the machine, so that an override of a minute lasts a minute. Knows the clocks of the system; nothing of what they are for.
//!
//! What has passed is told by a clock that also runs while the machine sleeps. From the time of day the time of the server differs once that is set:
//! it then follows at one part in 200, forward or back. A restart takes the time of day as it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::engine::Clock;
use crate::model::Timestamp;

/// How much of the time that has passed the correction may be: one part of so many.
const SLEW_PART: i64 = 200;
/// How often the correction is looked at.
const SLEW_EVERY: Duration = Duration::from_millis(100);

/// Both clocks of a server.
#[derive(Clone)]
pub struct Clocks {
    /// For everything that is measured or recorded.
    pub steady: Clock,
    /// The time of day, for what must not be used for too long on either clock.
    pub wall: Clock,
}

impl Default for Clocks {
    fn default() -> Clocks {
        Clocks::over(|| Timestamp::from_system(SystemTime::now()), elapsed())
    }
}

impl fmt::Debug for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clocks")
    }
}

impl Clocks {
    /// Clocks over any time of day, and any measure of what has passed since some moment.
    pub fn over(
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Clocks {
        let wall: Clock = Arc::new(wall);
        let steady = Steady::new(wall(), elapsed());
        let read = wall.clone();
        Clocks { steady: Arc::new(move || steady.now(elapsed(), || read())), wall }
    }
}

struct Steady {
    /// The time that `elapsed` counts from, in microseconds.
    origin: i64,
    /// What is added to it by now.
    correction: AtomicI64,
    /// When the correction was last looked at, in microseconds that had passed.
    looked: AtomicI64,
    /// The latest time that was told.
    newest: AtomicI64,
}

impl Steady {
    fn new(wall: Timestamp, elapsed: Duration) -> Steady {
        let passed = micros(elapsed);
        Steady {
            origin: wall.0.saturating_sub(passed),
            correction: AtomicI64::new(0),
            looked: AtomicI64::new(passed),
            newest: AtomicI64::new(wall.0),
        }
    }

    fn now(&self, elapsed: Duration, wall: impl Fn() -> Timestamp) -> Timestamp {
        let passed = micros(elapsed);
        let looked = self.looked.load(Ordering::Relaxed);
        let since = passed.saturating_sub(looked);
        if since >= micros(SLEW_EVERY)
            && self.looked.compare_exchange(looked, passed, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let most = since / SLEW_PART;
            let behind = wall().0.saturating_sub(self.at(passed)).clamp(-most, most);
            self.correction.fetch_add(behind, Ordering::Relaxed);
        }
        let now = self.at(passed);
        Timestamp(self.newest.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn at(&self, passed: i64) -> i64 {
        self.origin.saturating_add(passed).saturating_add(self.correction.load(Ordering::Relaxed))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What has passed since the machine was started, its sleep included.
#[cfg(target_os = "linux")]
fn elapsed() -> impl Fn() -> Duration + Send + Sync + 'static {
    || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // Safety: the system writes to `time` alone.
        let read = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
        assert!(read == 0, "Linux has this clock since version 2.6.39");
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
}

/// What has passed since the server was started. Other systems count their sleep in this clock, or have none that does.
#[cfg(not(target_os = "linux"))]
fn elapsed() -> impl Fn() -> Duration + Send + Sync + 'static {
    let started = std::time::Instant::now();
    move || started.elapsed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use proptest::prelude::*;

    use super::*;

    const START: i64 = 1_790_000_000_000_000;

    /// Clocks that a test sets: the time of day, and what has passed, in milliseconds.
    fn set_by_hand() -> (Clocks, Arc<AtomicI64>, Arc<AtomicU64>) {
        let (wall, passed) = (Arc::new(AtomicI64::new(START)), Arc::new(AtomicU64::new(5_000)));
        let clocks = Clocks::over(
            {
                let wall = wall.clone();
                move || Timestamp(wall.load(Ordering::Relaxed))
            },
            {
                let passed = passed.clone();
                move || Duration::from_millis(passed.load(Ordering::Relaxed))
            },
        );
        (clocks, wall, passed)
    }

    fn seconds(clocks: &Clocks) -> f64 {
        ((clocks.steady)().0 - START) as f64 / 1e6
    }

    #[test]
    fn what_lasts_a_minute_lasts_a_minute_when_the_clock_is_set_by_an_hour() {
        for hour in [3_600_000_000, -3_600_000_000] {
            let (clocks, wall, passed) = set_by_hand();
            assert_eq!(seconds(&clocks), 0.0);
            wall.fetch_add(hour, Ordering::Relaxed);
            passed.fetch_add(60_000, Ordering::Relaxed);
            wall.fetch_add(60_000_000, Ordering::Relaxed);
            let now = seconds(&clocks);
            assert!((59.7..=60.3).contains(&now), "{now}");
            assert_eq!((clocks.wall)().0, START + hour + 60_000_000);
        }
    }

    #[test]
    fn a_clock_that_was_corrected_is_followed_slowly() {
        let (clocks, wall, passed) = set_by_hand();
        wall.fetch_add(2_000_000, Ordering::Relaxed);
        for _ in 0..500 {
            passed.fetch_add(1000, Ordering::Relaxed);
            wall.fetch_add(1_000_000, Ordering::Relaxed);
            let _ = seconds(&clocks);
        }
        assert_eq!((clocks.steady)(), (clocks.wall)());
    }

    #[test]
    fn the_sleep_of_the_machine_has_passed() {
        let (clocks, wall, passed) = set_by_hand();
        wall.fetch_add(3_600_000_000, Ordering::Relaxed);
        passed.fetch_add(3_600_000, Ordering::Relaxed);
        assert_eq!((clocks.steady)(), (clocks.wall)());
    }

    proptest! {
        #[test]
        fn time_never_goes_back(steps in prop::collection::vec((-10_000_000..10_000_000i64, 0..3000u64), 1..100)) {
            let (clocks, wall, passed) = set_by_hand();
            let mut before = (clocks.steady)();
            for (set, pass) in steps {
                wall.fetch_add(set, Ordering::Relaxed);
                passed.fetch_add(pass, Ordering::Relaxed);
                let now = (clocks.steady)();
                prop_assert!(now >= before);
                let most = Duration::from_millis(pass).as_micros() as i64;
                let slewed = (most + micros(SLEW_EVERY)) / SLEW_PART + 1;
                prop_assert!(now.0 - before.0 <= most + slewed, "{before} {now} {pass}");
                before = now;
            }
        }
    }

    #[test]
    fn the_clocks_of_the_system_agree() {
        let clocks = Clocks::default();
        let (steady, wall) = ((clocks.steady)(), (clocks.wall)());
        assert!(steady.until(wall).max(wall.until(steady)) < Duration::from_secs(60), "{steady} {wall}");
    }
}
