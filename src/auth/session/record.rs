//! The stored part of a session: everything but the secret. Knows the form in which sessions are stored.

use serde::{Deserialize, Serialize};

use super::{CLIENT_BYTES_MAX, LoginOrigin};
use crate::auth::token::TokenId;
use crate::auth::{Group, Principal, Subject, SubjectKind};
use crate::model::Timestamp;

/// A session, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// SHA-256 of the secret.
    pub(super) hash: [u8; 32],
    /// Who has logged in. Of a session by an API token: the bearer of the token at that time.
    pub principal: Principal,
    pub origin: LoginOrigin,
    pub created: Timestamp,
    /// The last call, within a small part of the idle time.
    pub used: Timestamp,
    /// The address from which the person has logged in. Empty: unknown.
    pub address: String,
    /// The browser, as it names itself.
    pub client: String,
}

/// The same in JSON.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredRecord {
    hash: String,
    subject: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    created: jiff::Timestamp,
    used: jiff::Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    client: String,
}

impl SessionRecord {
    /// The room that the session takes, in units of a session without groups.
    pub(super) fn weight(&self) -> usize {
        let groups: usize = self.principal.groups().iter().map(|group| group.as_str().len()).sum();
        1 + groups / 1024
    }

    /// `None`: a time cannot be written.
    pub(super) fn stored(&self) -> Option<StoredRecord> {
        let time = |time: Timestamp| jiff::Timestamp::from_microsecond(time.0).ok();
        let (token, issuer, name) = match &self.origin {
            LoginOrigin::Token(id) => (Some(id.to_string()), None, None),
            LoginOrigin::Issuer { issuer, name } => (None, Some(issuer.to_string()), Some(name.clone())),
        };
        Some(StoredRecord {
            hash: hex::encode(self.hash),
            subject: self.principal.subject().to_string(),
            groups: self.principal.groups().iter().map(|group| group.as_str().to_owned()).collect(),
            token,
            issuer,
            name,
            created: time(self.created)?,
            used: time(self.used)?,
            address: self.address.clone(),
            client: self.client.clone(),
        })
    }

    /// `None`: it is no record.
    pub(super) fn read(stored: StoredRecord) -> Option<SessionRecord> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&stored.hash, &mut hash).ok()?;
        let subject = Subject::parse(&stored.subject).ok()?;
        let is_person = matches!(subject.kind(), SubjectKind::User | SubjectKind::Token);
        let groups =
            stored.groups.iter().map(|name| Group::parse(name)).collect::<Result<Vec<_>, _>>().ok()?;
        let origin = match (stored.token, stored.issuer, stored.name) {
            (Some(id), None, None) => LoginOrigin::Token(TokenId::parse(&id)?),
            (None, Some(issuer), Some(name)) => LoginOrigin::Issuer { issuer: issuer.into(), name },
            _ => return None,
        };
        Some(SessionRecord {
            hash,
            principal: Principal::new(subject, groups).ok().filter(|_| is_person)?,
            origin,
            created: Timestamp(stored.created.as_microsecond()),
            used: Timestamp(stored.used.as_microsecond()),
            address: stored.address,
            client: client_text(&stored.client),
        })
    }
}

/// What of the name of a client is kept: no control characters, which a terminal would obey.
pub(super) fn client_text(client: &str) -> String {
    let mut text = String::new();
    for c in client.chars().filter(|c| !c.is_control()) {
        if text.len() + c.len_utf8() > CLIENT_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    text
}

/// Without the hash: whoever has the hash can try secrets against it.
impl std::fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRecord")
            .field("principal", &self.principal)
            .field("origin", &self.origin)
            .field("created", &self.created)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}
