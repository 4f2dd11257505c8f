//! The stored part of an API token: everything but the secret. Knows the form in which tokens are stored.

use serde_json::{Map, Value, json};

use crate::auth::reader::{At, Reader};
use crate::auth::{GROUPS_MAX, Group, Principal, Subject, SubjectKind};
use crate::model::Timestamp;

/// The longest name of a token, in characters.
pub const NAME_CHARS_MAX: usize = 100;

const FIELDS: [&str; 7] = ["name", "hash", "subject", "groups", "created", "expires", "revoked"];

/// A token, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The purpose of the token, in the words of its author.
    pub name: String,
    /// SHA-256 of the secret.
    pub(super) hash: [u8; 32],
    /// The subject of the bearer.
    pub principal: Principal,
    pub created: Timestamp,
    pub expires: Option<Timestamp>,
    /// When the token was revoked. A revoked token is kept so that the subject behind an id in the history can be looked up.
    pub revoked: Option<Timestamp>,
}

impl TokenRecord {
    /// The member of `tokens` that stores the token.
    pub fn to_value(&self) -> Value {
        let groups: Vec<&str> = self.principal.groups().iter().map(Group::as_str).collect();
        let mut value = Map::from_iter([
            ("name".to_owned(), json!(self.name)),
            ("hash".to_owned(), json!(hex::encode(self.hash))),
            ("subject".to_owned(), json!(self.principal.subject().as_str())),
            ("groups".to_owned(), json!(groups)),
            ("created".to_owned(), json!(self.created.to_string())),
        ]);
        for (name, time) in [("expires", self.expires), ("revoked", self.revoked)] {
            if let Some(time) = time {
                value.insert(name.to_owned(), json!(time.to_string()));
            }
        }
        Value::Object(value)
    }

    /// Reads a member of `tokens`.
    pub(super) fn read(reader: &mut Reader, at: &At<'_>) -> Option<TokenRecord> {
        reader.object(at, &FIELDS)?;
        let name = reader.required(at, "name").and_then(|at| read_name(reader, &at));
        let hash = reader.required(at, "hash").and_then(|at| read_hash(reader, &at));
        let subject = reader.required(at, "subject").and_then(|at| read_subject(reader, &at));
        let groups = at.member("groups").map(|at| read_groups(reader, &at)).unwrap_or_default();
        let created = reader.required(at, "created").and_then(|at| read_time(reader, &at));
        let expires = at.member("expires").map(|at| read_time(reader, &at));
        let revoked = at.member("revoked").map(|at| read_time(reader, &at));
        let principal = reader.take(&at.pointer, Principal::new(subject?, groups))?;
        // A member that is no time was reported, and the document is refused.
        let (expires, revoked) = (expires.flatten(), revoked.flatten());
        Some(TokenRecord { name: name?, hash: hash?, principal, created: created?, expires, revoked })
    }
}

/// Why a text is no name of a token.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("the name must not be empty"),
        _ if name.chars().count() > NAME_CHARS_MAX => Err("the name has more than 100 characters"),
        _ if name.trim() != name || name.chars().any(char::is_control) => {
            Err("the name has a control character, or white space at an end")
        }
        _ => Ok(()),
    }
}

/// Why nobody can bear a token of this subject.
pub(super) fn check_subject(subject: &Subject) -> Result<(), &'static str> {
    match subject.kind() {
        SubjectKind::User | SubjectKind::Token => Ok(()),
        SubjectKind::Certificate | SubjectKind::Group => Err("a token is for a user: or a token:"),
    }
}

fn read_name(reader: &mut Reader, at: &At<'_>) -> Option<String> {
    let name = reader.text(at)?;
    reader.take(&at.pointer, check_name(name))?;
    Some(name.to_owned())
}

fn read_hash(reader: &mut Reader, at: &At<'_>) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let decoded = reader.text(at).map(|text| hex::decode_to_slice(text, &mut hash));
    if !matches!(decoded, Some(Ok(()))) {
        reader.wrong(&at.pointer, "SHA-256 in 64 hexadecimal digits expected", "");
        return None;
    }
    Some(hash)
}

fn read_subject(reader: &mut Reader, at: &At<'_>) -> Option<Subject> {
    let text = reader.text(at)?;
    let subject = Subject::parse(text);
    let subject =
        subject.map_err(|error| reader.wrong(&at.pointer, error.to_string(), error.suggestion())).ok()?;
    reader.take(&at.pointer, check_subject(&subject))?;
    Some(subject)
}

fn read_groups(reader: &mut Reader, at: &At<'_>) -> Vec<Group> {
    let elements = reader.elements(at, GROUPS_MAX);
    let group = |at: &At<'_>| {
        let name = reader.text(at)?;
        reader.take(&at.pointer, Group::parse(name))
    };
    elements.iter().filter_map(group).collect()
}

fn read_time(reader: &mut Reader, at: &At<'_>) -> Option<Timestamp> {
    let text = reader.text(at)?;
    let time = text.parse::<jiff::Timestamp>().ok();
    if time.is_none() {
        reader.wrong(&at.pointer, "a time such as 2026-11-21T08:46:30Z expected", "");
    }
    time.map(|time| Timestamp(time.as_microsecond()))
}

/// Without the hash: whoever has the hash can try secrets against it.
impl std::fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRecord")
            .field("name", &self.name)
            .field("principal", &self.principal)
            .field("created", &self.created)
            .field("expires", &self.expires)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}
