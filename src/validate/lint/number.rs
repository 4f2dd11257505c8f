//! Numbers that cannot be meant: ports and times. Knows a name and a number.

use super::advice::Advice;
use super::words::{Words, is_one_of};

/// Longer waits are no timeouts.
const WAIT_SECONDS_MAX: f64 = 86_400.0;
/// Longer times are in another unit than their name says.
const TIME_SECONDS_MAX: f64 = 10.0 * 366.0 * 86_400.0;

/// `port`, `db_port`, `ports`, and not `transport` or `connections_per_port`.
pub(super) fn is_port(name: &Words) -> bool {
    is_one_of(&["port", "ports"], name.last())
        && !is_one_of(&["per", "max", "min", "num", "number"], name.before_last(1))
}

/// 0 asks the system for a free one; -1 stands for none.
pub(super) fn is_port_number(value: f64) -> bool {
    value.fract() == 0.0 && (-1.0..=65_535.0).contains(&value)
}

/// `mode`, `file_mode`, `umask`, `permissions`.
pub(super) fn is_mode(name: &Words) -> bool {
    is_one_of(&["mode", "umask", "chmod", "permissions", "perms"], name.last())
}

/// A number whose decimal digits are those of a usual octal mode of files: 644, and not 420, which is that mode.
pub(super) fn is_octal_as_decimal(value: f64) -> bool {
    const USUAL: [f64; 15] = [
        400.0, 440.0, 444.0, 600.0, 640.0, 644.0, 660.0, 664.0, 666.0, 700.0, 750.0, 755.0, 770.0, 775.0,
        777.0,
    ];
    USUAL.contains(&value) || [22.0, 27.0, 77.0].contains(&value)
}

/// Digits that are no port. Anything else may be a name or a reference.
pub(super) fn is_wrong_port_text(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 20
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse::<u16>().is_err()
}

/// What is wrong with a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WrongTime {
    Negative,
    /// So many seconds.
    TooLong(f64),
    /// Less than a millisecond, and not nothing.
    TooShort,
}

impl WrongTime {
    pub(super) fn told(self, value: f64) -> Advice {
        let (message, suggestion) = match self {
            WrongTime::Negative => ("a time that is not negative expected".to_owned(), ""),
            WrongTime::TooLong(seconds) if seconds >= 10.0 * 86_400.0 => (
                format!("{value} is {:.0} days, by the unit in its name", seconds / 86_400.0),
                "check the unit",
            ),
            WrongTime::TooLong(seconds) => (
                format!("{value} is {:.0} hours, by the unit in its name", seconds / 3600.0),
                "check the unit",
            ),
            WrongTime::TooShort => {
                (format!("{value} is less than a millisecond, by the unit in its name"), "check the unit")
            }
        };
        Advice { message, suggestion: suggestion.to_owned() }
    }
}

/// How long a thing of this name is waited for, or lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DurationKind {
    Wait,
    Time,
}

/// Whether the time of this name cannot be meant. -1 often stands for no limit.
pub(super) fn wrong_time(name: &Words, value: f64) -> Option<WrongTime> {
    if (0.0..1.0e-9).contains(&value) || value == -1.0 {
        return None;
    }
    let kind = kind(name)?;
    if value < 0.0 {
        return Some(WrongTime::Negative);
    }
    let seconds = value * unit_seconds(name)?;
    let most = if kind == DurationKind::Wait { WAIT_SECONDS_MAX } else { TIME_SECONDS_MAX };
    if seconds > most {
        Some(WrongTime::TooLong(seconds))
    } else {
        (kind == DurationKind::Wait && seconds < 0.001 && unit_seconds(name) >= Some(0.001))
            .then_some(WrongTime::TooShort)
    }
}

/// `-5s` as a timeout.
pub(super) fn is_negative_duration(name: &Words, text: &str) -> bool {
    let Some(rest) = text.strip_prefix('-') else { return false };
    let number = rest.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &rest[number.len()..];
    let is_unit = ["ms", "s", "m", "h", "d", "us", "ns", "sec", "min"].contains(&unit);
    is_unit && number.parse::<f64>().is_ok() && kind(name).is_some()
}

/// `None` of names that are about something else, such as `timeout_retries` and `interval_count`.
fn kind(name: &Words) -> Option<DurationKind> {
    let at_end = |back: usize| {
        let word = name.before_last(back);
        let is_wait = is_one_of(&["timeout", "deadline", "wait", "backoff"], word)
            || (word.eq_ignore_ascii_case("out") && name.before_last(back + 1).eq_ignore_ascii_case("time"));
        let times =
            ["ttl", "interval", "delay", "keepalive", "duration", "period", "expiry", "lifetime", "age"];
        if is_wait { Some(DurationKind::Wait) } else { is_one_of(&times, word).then_some(DurationKind::Time) }
    };
    // Last, or before the unit.
    match unit(name.last()) {
        Some(_) => at_end(1),
        None => at_end(0),
    }
}

fn unit_seconds(name: &Words) -> Option<f64> {
    unit(name.last())
}

fn unit(word: &str) -> Option<f64> {
    let is = |names: &[&str]| is_one_of(names, word);
    if is(&["ms", "msec", "msecs", "millis", "millisecond", "milliseconds"]) {
        Some(0.001)
    } else if is(&["s", "sec", "secs", "second", "seconds"]) {
        Some(1.0)
    } else if is(&["min", "mins", "minute", "minutes"]) {
        Some(60.0)
    } else if is(&["h", "hr", "hrs", "hour", "hours"]) {
        Some(3600.0)
    } else if is(&["day", "days"]) {
        Some(86_400.0)
    } else if is(&["us", "usec", "micros", "microsecond", "microseconds"]) {
        Some(1.0e-6)
    } else if is(&["ns", "nsec", "nanos", "nanosecond", "nanoseconds"]) {
        Some(1.0e-9)
    } else {
        None
    }
}
