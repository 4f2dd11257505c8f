//! The quotas of namespaces, as an administrator writes them. Knows the form; not what there is.
//!
//! ```json
//! {"default": {"configs": 1000}, "namespaces": {"payments": {"configs": 50, "bytes": 10485760, "watchers": 0}}}
//! ```
//!
//! A namespace without a limit of its own has the limit of `default`, and `default` that of the settings of the server. 0: no limit.

use serde_json::Value;

use super::Found;
use super::namespace_limits::NamespaceLimits;
use super::registry::{check_fields, malformed};
use crate::model::Namespace;
use crate::model::quota::{Quota, Quotas};

/// The quotas of every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceQuotas(NamespaceLimits<Quotas>);

impl NamespaceQuotas {
    /// The same for all of them.
    pub fn of_all(default: Quotas) -> NamespaceQuotas {
        NamespaceQuotas(NamespaceLimits::of_all(default))
    }

    /// Reads a document, which comes on top of the settings of the server.
    pub fn parse(document: &Value, settings: Quotas) -> Result<NamespaceQuotas, Vec<Found>> {
        NamespaceLimits::read(document, settings, read, |_| None).map(NamespaceQuotas)
    }

    pub fn of(&self, namespace: &Namespace) -> Quotas {
        self.0.of(namespace)
    }

    /// Those that an administrator has given quotas of their own.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> + Clone {
        self.0.namespaces.keys()
    }
}

fn read(limits: &Value, place: &str, otherwise: Quotas, wrong: &mut Vec<Found>) -> Quotas {
    check_fields(limits, place, &Quota::ALL.map(Quota::as_str), wrong);
    let mut quotas = otherwise;
    for quota in Quota::ALL {
        let Some(limit) = limits.get(quota.as_str()) else { continue };
        match limit.as_u64() {
            Some(limit) => quotas.set(quota, limit),
            None => {
                wrong.push(malformed(
                    &format!("{place}/{}", quota.as_str()),
                    "must be a number from 0, which is no limit",
                ));
            }
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SETTINGS: Quotas = Quotas {
        configs: Some(10),
        bytes: Some(20),
        watchers: None,
        journal_bytes: None,
        journal_bytes_per_minute: Some(30),
    };

    fn namespace(name: &str) -> Namespace {
        Namespace::parse(name).expect("a name")
    }

    #[test]
    fn what_is_not_said_of_a_namespace_is_as_by_default_and_then_as_the_settings_say() {
        let document = json!({
            "default": {"configs": 5},
            "namespaces": {"payments": {"bytes": 7, "watchers": 3}, "free": {"configs": 0, "bytes": 0}},
        });
        let quotas = NamespaceQuotas::parse(&document, SETTINGS).expect("quotas");
        let of = |name| quotas.of(&namespace(name));
        assert_eq!(of("other"), Quotas { configs: Some(5), ..SETTINGS });
        assert_eq!(
            of("payments"),
            Quotas { configs: Some(5), bytes: Some(7), watchers: Some(3), ..SETTINGS }
        );
        assert_eq!(of("free"), Quotas { configs: None, bytes: None, ..SETTINGS });
        assert_eq!(quotas.namespaces().count(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let check = |document: Value, pointers: &[&str]| {
            let wrong = NamespaceQuotas::parse(&document, SETTINGS).expect_err("it is wrong");
            let found: Vec<_> = wrong.iter().map(|found| found.pointer.as_str()).collect();
            assert_eq!(found, pointers, "{document}");
        };
        check(json!({"defaults": {}}), &["/defaults"]);
        check(json!({"default": {"config": 1}}), &["/default/config"]);
        check(json!({"default": {"configs": -1, "bytes": "1"}}), &["/default/configs", "/default/bytes"]);
        check(json!({"namespaces": []}), &["/namespaces"]);
        check(json!({"namespaces": {"A": {}, "b": 1}}), &["/namespaces/A", "/namespaces/b"]);
        let many: serde_json::Map<_, _> = (0..1001).map(|n| (format!("n{n}"), json!({}))).collect();
        check(json!({ "namespaces": many }), &["/namespaces"]);
    }
}
