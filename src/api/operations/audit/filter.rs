//! Filters entries of the audit trail by the fields of a request. Knows the wire; not the caller.

use crate::api::convert::request::{config_name, invalid, namespace, timestamp};
use crate::engine::Error;
use crate::model::{ConfigName, Namespace, Timestamp};
use crate::proto::v1::{self, AuditKind};

/// What is asked for.
pub struct Filter {
    kinds: Vec<AuditKind>,
    actor: Pattern,
    credential: Pattern,
    address: Pattern,
    verb: Pattern,
    outcome: Pattern,
    pub namespace: Option<Namespace>,
    pub config: Option<ConfigName>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// A text, or what it begins with and then "*". Empty: any.
struct Pattern(String);

/// What is looked at of an entry, before one is made.
pub struct Looked<'a> {
    pub kind: AuditKind,
    pub time: Timestamp,
    pub actor: &'a str,
    pub credential: &'a str,
    pub address: &'a str,
    pub verb: &'a str,
    pub outcome: &'a str,
}

impl Filter {
    pub fn read(wire: v1::AuditFilter) -> Result<Filter, Error> {
        let kinds = wire.kinds.iter().map(|kind| match AuditKind::try_from(*kind) {
            Ok(AuditKind::Unspecified) | Err(_) => {
                Err(invalid("filter.kinds", format!("{kind} is no kind of entry")))
            }
            Ok(kind) => Ok(kind),
        });
        let (namespace, config) = match (wire.namespace.as_str(), wire.config.as_str()) {
            ("", "") => (None, None),
            ("", _) => return Err(invalid("filter.namespace", "must be set with config")),
            (text, "") => (Some(namespace("filter.namespace", text)?), None),
            (text, config) => {
                (Some(namespace("filter.namespace", text)?), Some(config_name("filter.config", config)?))
            }
        };
        Ok(Filter {
            kinds: kinds.collect::<Result<_, _>>()?,
            actor: Pattern(wire.actor),
            credential: Pattern(wire.credential),
            address: Pattern(wire.address),
            verb: Pattern(wire.verb),
            outcome: Pattern(wire.outcome),
            namespace,
            config,
            from: wire.from_time.map(|time| timestamp("filter.from_time", &time)).transpose()?,
            to: wire.to_time.map(|time| timestamp("filter.to_time", &time)).transpose()?,
        })
    }

    pub fn wants_changes(&self) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&AuditKind::Change)
    }

    pub fn wants_records(&self) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| *kind != AuditKind::Change)
    }

    /// Whether an entry is asked for, wherever it happened.
    pub fn lets_through(&self, looked: &Looked<'_>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&looked.kind))
            && self.from.is_none_or(|from| from <= looked.time)
            && self.to.is_none_or(|to| looked.time <= to)
            && self.actor.matches(looked.actor)
            && self.credential.matches(looked.credential)
            && self.address.matches(looked.address)
            && self.verb.matches(looked.verb)
            && self.outcome.matches(looked.outcome)
    }

    /// Whether it is about what is asked for. Empty: about no namespace, or no config.
    pub fn is_about(&self, namespace: &str, config: &str) -> bool {
        self.namespace.as_ref().is_none_or(|asked| asked.as_str() == namespace)
            && self.config.as_ref().is_none_or(|asked| asked.as_str() == config)
    }
}

impl Pattern {
    fn matches(&self, text: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => text.starts_with(start),
            None => self.0.is_empty() || self.0 == text,
        }
    }
}
