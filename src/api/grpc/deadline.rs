//! The deadline that a client has set for a call. Knows the header of gRPC that has it.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// When the client stops waiting for the beginning of an answer.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    headers.get(&TIMEOUT).and_then(|value| value.to_str().ok()).and_then(parse)
}

/// At most 8 digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_at_most_8_digits_and_a_unit() {
        let read = |value: &'static str| {
            deadline(&HeaderMap::from_iter([(TIMEOUT.clone(), value.parse().expect("a header"))]))
        };
        assert_eq!(read("10S"), Some(Duration::from_secs(10)));
        assert_eq!(read("500m"), Some(Duration::from_millis(500)));
        assert_eq!(read("1000000u"), Some(Duration::from_secs(1)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for wrong in ["", "S", "1", "1x", "-1S", "123456789n"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
