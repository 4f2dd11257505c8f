//! Events of the audit log: as callers report them, and as files have them. Knows no file.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::chain::{moment, optional_moment};
use super::text::bounded;
use crate::model::Timestamp;

/// What of a text that a caller sent is kept.
const TEXT_BYTES_MAX: usize = 256;
/// What of a credential or an actor is kept: the names of issuers and subjects can be long.
const NAME_BYTES_MAX: usize = 512;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Who called is known, and may not do this.
    Denied,
    /// Who called is not known: there was no credential, or it was not good.
    Refused,
    /// Secrets were shown as they are.
    Revealed,
    /// Somebody has put a value over a secret that they may not see.
    Overwritten,
    /// What governs access was changed by a commit: the policy, tokens, quotas or keys. The record stays when the commit is compacted.
    AccessChanged,
    /// Somebody has begun to make a backup, or a backup was made, or has failed.
    Backup,
    /// A person has logged in or out, or a session was ended.
    Session,
    /// A server has begun to write this log.
    Started,
    /// The server has stopped as it should.
    Stopped,
    /// Records could not be kept: there were too many, the disk did not take them, or a crash lost them before they were durable.
    Lost,
    /// The end of the log was torn by a crash, and was cut off; or records are missing or were altered.
    Repaired,
    /// Old segments were removed, as it is set.
    Removed,
}

/// What happened, as it is told. Nothing of it is copied unless it is written.
pub struct Entry<'a> {
    pub kind: Kind,
    /// Empty: nobody is known.
    pub actor: &'a str,
    pub credential: &'a dyn fmt::Display,
    pub address: Option<IpAddr>,
    /// The path of the call.
    pub method: &'a str,
    /// What was asked for: a verb of the policy.
    pub verb: &'a str,
    pub place: Place<'a>,
    /// How it ended, as clients are told: `PERMISSION_DENIED`.
    pub outcome: &'a str,
    /// As the client named its call.
    pub request_id: &'a str,
    /// Why, as the caller said. Empty: they did not, or could not.
    pub reason: &'a str,
}

/// To what something was done. All empty: to the store, or to nothing that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place<'a> {
    pub namespace: &'a str,
    /// Empty: all of the namespace.
    pub config: &'a str,
    pub scope: &'a str,
}

/// What happened, as it is kept. No text is long, and none has characters that a terminal would obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened; of a sum, when it was written down. In a log never earlier than the record before.
    #[serde(with = "moment")]
    pub time: Timestamp,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actor: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verb: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The commit that changed what governs access. 0: it is about none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u64,
    /// How often. More than once, or with `first_time`: a sum of what happened again after it was written once.
    pub count: u64,
    /// Of a sum: when the first and the last of them happened.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_moment")]
    pub first_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_moment")]
    pub last_time: Option<Timestamp>,
    /// Of a sum over several resources: to which of them the first and the last happened, such as `payments/checkout/production`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_resource: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_resource: String,
    /// Of records that a crash lost before they were durable: the sequences of the first and the last. 0: the event is about no such records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_from: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_to: u64,
    /// What else there is to say, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::Denied,
        Kind::Refused,
        Kind::Revealed,
        Kind::Overwritten,
        Kind::AccessChanged,
        Kind::Backup,
        Kind::Session,
        Kind::Started,
        Kind::Stopped,
        Kind::Lost,
        Kind::Repaired,
        Kind::Removed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Denied => "denied",
            Kind::Refused => "refused",
            Kind::Revealed => "revealed",
            Kind::Overwritten => "overwritten",
            Kind::AccessChanged => "access_changed",
            Kind::Backup => "backup",
            Kind::Session => "session",
            Kind::Started => "started",
            Kind::Stopped => "stopped",
            Kind::Lost => "lost",
            Kind::Repaired => "repaired",
            Kind::Removed => "removed",
        }
    }
}

impl Entry<'_> {
    pub(super) fn event(&self, time: Timestamp) -> Event {
        Event {
            actor: bounded(self.actor, NAME_BYTES_MAX),
            credential: bounded(&self.credential.to_string(), NAME_BYTES_MAX),
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            method: bounded(self.method, TEXT_BYTES_MAX),
            verb: bounded(self.verb, TEXT_BYTES_MAX),
            namespace: bounded(self.place.namespace, TEXT_BYTES_MAX),
            config: bounded(self.place.config, TEXT_BYTES_MAX),
            scope: bounded(self.place.scope, NAME_BYTES_MAX),
            outcome: bounded(self.outcome, TEXT_BYTES_MAX),
            request_id: bounded(self.request_id, TEXT_BYTES_MAX),
            reason: bounded(self.reason, NAME_BYTES_MAX),
            ..Event::new(self.kind, time)
        }
    }

    /// What makes it the same again. Takes no memory.
    pub(super) fn hash_into(&self, hasher: &mut impl Hasher) {
        (self.kind, self.actor, self.verb, self.place, self.outcome).hash(hasher);
        self.network().hash(hasher);
        // Cannot fail: a hasher takes everything.
        let _ = write!(Hashing(hasher), "{}", self.credential);
    }

    /// Where it comes from: of IPv6 a network of 64 bits, which one client usually has whole.
    pub(super) fn network(&self) -> Option<IpAddr> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        })
    }
}

impl Event {
    /// Something that the log itself has to say.
    pub(super) fn new(kind: Kind, time: Timestamp) -> Event {
        let empty = String::new;
        Event {
            time,
            kind,
            actor: empty(),
            credential: empty(),
            address: empty(),
            method: empty(),
            verb: empty(),
            namespace: empty(),
            config: empty(),
            scope: empty(),
            outcome: empty(),
            request_id: empty(),
            reason: empty(),
            revision: 0,
            count: 1,
            first_time: None,
            last_time: None,
            first_resource: empty(),
            last_resource: empty(),
            lost_from: 0,
            lost_to: 0,
            detail: empty(),
        }
    }

    pub(super) fn with_detail(self, detail: &str) -> Event {
        Event { detail: bounded(detail, NAME_BYTES_MAX), ..self }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes text into a hash.
struct Hashing<'a, H: Hasher>(&'a mut H);

impl<H: Hasher> fmt::Write for Hashing<'_, H> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
