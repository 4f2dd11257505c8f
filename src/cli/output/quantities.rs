//! Bytes and lengths of time, for people. Knows no message.

const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];

/// Such as `1.5 MiB`: two digits at least, and no more than needed.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// The two largest units of a number of seconds, such as `3 d 4 h`.
pub fn long_duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_and_two_digits() {
        let texts = [0, 1023, 1024, 1536, 10 << 10, (1 << 20) - 1, 1 << 20, 80 << 30, u64::MAX].map(bytes);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10 KiB", "1.0 MiB", "1.0 MiB", "80 GiB", "16777216 TiB"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn durations_have_the_two_largest_units() {
        let texts = [0, 59, 60, 3661, 90_000].map(long_duration);
        assert_eq!(texts, ["0 s", "59 s", "1 min 0 s", "1 h 1 min", "1 d 1 h"]);
    }
}
