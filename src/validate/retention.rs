//! Which history of each namespace is kept, as an administrator writes it. Knows the form; not what there is.
//!
//! ```json
//! {"default": {"age_max_days": 365}, "namespaces": {"ci": {"versions_min": 5, "age_max_days": 14, "bytes_max": 268435456}}}
//! ```
//!
//! A namespace without a limit of its own has the limit of `default`. 0: no limit. The history of the namespace `confwatch`, the record of who changed access, is
//! never compacted by itself.

use std::time::Duration;

use serde_json::Value;

use super::Found;
use super::namespace_limits::NamespaceLimits;
use super::registry::{check_fields, malformed};
use crate::model::Namespace;

/// Versions of each config that are kept whatever their age: each of them takes an entry of the indexes.
const VERSIONS_MIN_MAX: u64 = 10_000;
const DAYS_MAX: u64 = 36_500;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The history that every namespace keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRetention(NamespaceLimits<HistoryLimits>);

/// The history that a namespace keeps: what is beyond one of the limits goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryLimits {
    /// So many of the newest versions of each config stay all the same.
    pub versions_min: u64,
    pub age_max: Option<Duration>,
    /// Of the journal, as quotas count them.
    pub bytes_max: Option<u64>,
}

impl NamespaceRetention {
    /// Reads a document.
    pub fn parse(document: &Value) -> Result<NamespaceRetention, Vec<Found>> {
        let refuse = |namespace: &Namespace| {
            let why =
                "must not be limited: it is the record of who changed access, and stays with all history";
            namespace.is_reserved().then_some(why)
        };
        NamespaceLimits::read(document, HistoryLimits::default(), read, refuse).map(NamespaceRetention)
    }

    /// What a namespace keeps. `None`: all that the store does.
    pub fn of(&self, namespace: &Namespace) -> Option<HistoryLimits> {
        Some(self.0.of(namespace)).filter(|limits| limits.is_limited() && !namespace.is_reserved())
    }

    /// Whether no namespace has a limit.
    pub fn is_empty(&self) -> bool {
        !self.0.namespaces.values().chain([&self.0.default]).any(HistoryLimits::is_limited)
    }

    /// The namespaces that have limits of their own, in order.
    pub fn named(&self) -> impl Iterator<Item = &Namespace> {
        self.0.namespaces.keys()
    }
}

impl HistoryLimits {
    fn is_limited(&self) -> bool {
        self.age_max.is_some() || self.bytes_max.is_some()
    }
}

fn read(limits: &Value, place: &str, otherwise: HistoryLimits, wrong: &mut Vec<Found>) -> HistoryLimits {
    check_fields(limits, place, &["versions_min", "age_max_days", "bytes_max"], wrong);
    let mut limit = |name: &str, max: u64| {
        let value = limits.get(name)?;
        let limit = value.as_u64().filter(|limit| *limit <= max);
        if limit.is_none() {
            let message = match max {
                u64::MAX => "must be a whole number from 0, which is no limit".to_owned(),
                max => format!("must be a whole number from 0, which is no limit, to {max}"),
            };
            wrong.push(malformed(&format!("{place}/{name}"), &message));
        }
        limit
    };
    let (versions, days, bytes) = (
        limit("versions_min", VERSIONS_MIN_MAX),
        limit("age_max_days", DAYS_MAX),
        limit("bytes_max", u64::MAX),
    );
    HistoryLimits {
        versions_min: versions.unwrap_or(otherwise.versions_min),
        age_max: match days {
            None => otherwise.age_max,
            Some(days) => Some(DAY * days as u32).filter(|age| !age.is_zero()),
        },
        bytes_max: match bytes {
            None => otherwise.bytes_max,
            Some(bytes) => Some(bytes).filter(|bytes| *bytes > 0),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    #[test]
    fn what_is_not_said_of_a_namespace_is_as_by_default() {
        let document = json!({
            "default": {"age_max_days": 30, "versions_min": 2},
            "namespaces": {"ci": {"bytes_max": 7, "versions_min": 5}, "free": {"age_max_days": 0}},
        });
        let retention = NamespaceRetention::parse(&document).expect("it is right");
        let of = |name| retention.of(&namespace(name));
        let default = HistoryLimits { versions_min: 2, age_max: Some(DAY * 30), bytes_max: None };
        assert_eq!(of("other"), Some(default));
        assert_eq!(of("ci"), Some(HistoryLimits { versions_min: 5, bytes_max: Some(7), ..default }));
        assert_eq!((of("free"), of("confwatch")), (None, None));
        assert!(!retention.is_empty());
        let nothing =
            NamespaceRetention::parse(&json!({"default": {"versions_min": 3}})).expect("it is right");
        assert!(nothing.is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |document: Value, pointers: &[&str]| {
            let wrong = NamespaceRetention::parse(&document).expect_err("it is wrong");
            let found: Vec<_> = wrong.iter().map(|found| found.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{document}");
        };
        check(json!({"defaults": {}}), &["/defaults"]);
        check(json!({"default": {"age_max": 1}}), &["/default/age_max"]);
        check(
            json!({"default": {"age_max_days": 36501, "bytes_max": -1}}),
            &["/default/age_max_days", "/default/bytes_max"],
        );
        check(json!({"default": {"versions_min": 10001}}), &["/default/versions_min"]);
        check(json!({"namespaces": []}), &["/namespaces"]);
        check(json!({"namespaces": {"A": {}, "b": 1}}), &["/namespaces/A", "/namespaces/b"]);
        check(json!({"namespaces": {"confwatch": {"age_max_days": 1}}}), &["/namespaces/confwatch"]);
    }
}
