//! How long a call may wait, going by the deadline that its client has set. Knows the header of gRPC that says so.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tonic::metadata::MetadataMap;

const TIMEOUT: &str = "grpc-timeout";
static TIMEOUT_HEADER: HeaderName = HeaderName::from_static(TIMEOUT);
/// The longest wait, whatever the client allows.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// When the client stops waiting for the beginning of an answer.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    headers.get(&TIMEOUT_HEADER).and_then(|value| value.to_str().ok()).and_then(parse)
}

/// How long to wait for something before saying that it did not happen: the last tenth of the time that the client gives is kept for
/// the answer, which nobody would hear after the deadline.
pub fn wait_max(metadata: &MetadataMap) -> Duration {
    let timeout = metadata.get(TIMEOUT).and_then(|value| value.to_str().ok()).and_then(parse);
    timeout.map_or(WAIT_MAX, |timeout| (timeout - timeout / 10).min(WAIT_MAX))
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
    fn a_wait_ends_before_the_deadline() {
        let check = |header: &'static str, expected: Duration| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", header.parse().expect("a header"));
            assert_eq!(wait_max(&metadata), expected, "{header}");
        };
        check("10S", Duration::from_secs(9));
        check("500m", Duration::from_millis(450));
        check("1000000u", Duration::from_millis(900));
        check("99999999H", WAIT_MAX);
        check("0n", Duration::ZERO);
        for wrong in ["", "S", "1", "1x", "-1S", "123456789n"] {
            check(wrong, WAIT_MAX);
        }
        assert_eq!(wait_max(&MetadataMap::new()), WAIT_MAX);
    }
}
