//! The ranges that numbers and lengths of time must be in. Knows no source of a value: whatever said it, the same holds.

use std::fmt;
use std::time::Duration;

use super::Settings;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
/// More connections or requests than a machine can have.
const COUNT_MAX: u64 = 10_000_000;
/// HTTP/2 has 31 bits for it.
const STREAMS_MAX: u64 = (1 << 31) - 1;

/// Refuses the first setting that is out of its range.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    let ratio = settings.otlp_sampled;
    within("otlp_sampled", ratio, 0.0, 1.0)?;
    let numbers = [
        ("store_cache_bytes", Some(settings.store_cache_bytes), 64 * KIB, TIB),
        ("document_cache_bytes", Some(settings.document_cache_bytes), 0, TIB),
        ("retain_revisions", settings.retain_revisions, 1, u64::MAX),
        ("connections_max", Some(settings.connections_max as u64), 1, COUNT_MAX),
        ("connections_per_address_max", Some(settings.connections_per_address_max as u64), 1, COUNT_MAX),
        ("requests_unfinished_max", Some(settings.requests_unfinished_max as u64), 1, COUNT_MAX),
        ("requests_unfinished_bytes_max", Some(settings.requests_unfinished_bytes_max), 64 * KIB, TIB),
        ("responses_unread_bytes_max", Some(settings.responses_unread_bytes_max), 64 * KIB, TIB),
        ("header_bytes_max", Some(settings.header_bytes_max.into()), KIB, MIB),
        (
            "streams_per_connection_max",
            settings.streams_per_connection_max.map(|max| max as u64),
            1,
            STREAMS_MAX,
        ),
        // Less has no room for one segment of each part.
        ("audit_bytes_max", Some(settings.audit_retention.bytes_max), MIB, u64::MAX),
    ];
    for (name, value, min, max) in numbers {
        value.map_or(Ok(()), |value| within(name, value, min, max))?;
    }
    let jwt = settings.jwt.as_ref();
    let durations = [
        ("tls_reload_interval", Some(settings.tls_reload_interval), MILLISECOND, DAY),
        ("jwt_keys_interval", jwt.and_then(|jwt| jwt.keys_interval), MILLISECOND, DAY),
        ("jwt_lifetime_max", jwt.map(|jwt| jwt.lifetime_max), SECOND, CENTURY),
        ("retain_for", settings.retain_for, MILLISECOND, CENTURY),
        ("drain_timeout", Some(settings.drain_timeout), MILLISECOND, DAY),
        ("keepalive_interval", Some(settings.keepalive_interval), MILLISECOND, DAY),
        ("keepalive_timeout", Some(settings.keepalive_timeout), MILLISECOND, DAY),
        ("handshake_timeout", Some(settings.handshake_timeout), MILLISECOND, DAY),
        ("connection_idle_max", settings.connection_idle_max, MILLISECOND, CENTURY),
        ("request_timeout", Some(settings.request_timeout), MILLISECOND, DAY),
        ("response_timeout", Some(settings.response_timeout), MILLISECOND, DAY),
        ("connection_age_max", settings.connection_age_max, MILLISECOND, CENTURY),
        ("audit_retention_days", Some(settings.audit_retention.age_max), DAY, CENTURY),
    ];
    for (name, value, min, max) in durations {
        value.map_or(Ok(()), |value| within(name, Length(value), Length(min), Length(max)))?;
    }
    Ok(())
}

fn within<T: PartialOrd + fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<(), String> {
    match min <= value && value <= max {
        true => Ok(()),
        false => Err(format!("{name} is {value}, from {min} to {max} expected")),
    }
}

/// A length of time, shown as settings have it.
#[derive(PartialEq, PartialOrd)]
struct Length(Duration);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Length(duration) = self;
        let (millis, days) = (duration.as_millis(), duration.as_secs() / DAY.as_secs());
        match duration {
            _ if millis < 1000 => write!(f, "{millis}ms"),
            _ if days > 0 => write!(f, "{days}d"),
            _ => write!(f, "{}s", duration.as_secs()),
        }
    }
}
