//! Moments and durations as people type them. Knows no command, and reads no clock.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

/// A duration such as `30m`, `1h30m`, `2d` or `PT30M`; a day has 24 hours. Never negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: Span =
        text.trim().parse().map_err(|_| format!("{text:?} is not a duration such as 30m or 1h30m"))?;
    let duration = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| format!("{text:?} is not a fixed time: use weeks, days, hours, minutes or seconds"))?;
    Duration::try_from(duration).map_err(|_| format!("{text:?} is negative"))
}

/// A moment as it was typed: some are known only once the clock is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    /// RFC 3339, or a time ago: `15m`, `2h ago`.
    pub fn parse(text: &str) -> Result<Moment, String> {
        if let Ok(at) = text.parse() {
            return Ok(Moment::At(at));
        }
        let past = text.trim();
        let past = past.strip_suffix("ago").map_or(past, str::trim_end);
        parse_duration(past).map(Moment::Ago).map_err(|_| {
            format!("{text:?} is neither RFC 3339, such as 2026-11-21T08:30:00Z, nor a time ago, such as 15m")
        })
    }

    pub fn resolve(self, now: Timestamp) -> Result<Timestamp, String> {
        match self {
            Moment::At(at) => Ok(at),
            Moment::Ago(duration) => {
                now.checked_sub(duration).map_err(|_| "that long ago is before the calendar begins".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("30m", 1800), ("1h30m", 5400), ("90s", 90), ("2d", 172_800), ("1w", 604_800), ("PT5M", 300)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "30", "-5m", "1 month", "soon", "5m ago"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_absolute_or_ago() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a time");
        for (text, expected) in [
            ("2026-11-21T08:30:00Z", "2026-11-21T08:30:00Z"),
            ("2026-11-21T10:30:00+02:00", "2026-11-21T08:30:00Z"),
            ("15m", "2026-11-21T08:45:00Z"),
            ("2h ago", "2026-11-21T07:00:00Z"),
            ("1d", "2026-11-20T09:00:00Z"),
        ] {
            let moment = Moment::parse(text).expect(text);
            assert_eq!(moment.resolve(now).map(|at| at.to_string()), Ok(expected.into()), "{text}");
        }
        for text in ["yesterday", "ago", "2026-11-21", "-15m"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
