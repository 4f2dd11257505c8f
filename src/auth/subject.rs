//! Names of callers and groups, as history shows them and bindings name them: `user:alice`, `group:sre`. Knows texts only.

use std::fmt;
use std::sync::Arc;

use crate::model::nearest::nearest;

/// The longest name of a subject or a group, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Separates the prefix of an issuer of JSON web tokens from the name that the issuer gives, in names of users and groups. Names that the
/// server gives itself never have the separator, so that no issuer can name a user of another issuer, nor the built-in administrator.
pub const ISSUER_SEPARATOR: char = '#';
/// The most groups of one caller.
pub const GROUPS_MAX: usize = 1000;

/// The name of a caller, with its kind: a certificate for `alice` is not the user `alice`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    kind: SubjectKind,
    /// `kind:name`.
    text: Arc<str>,
}

/// Where a name comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// A person or a service, as the issuer of JSON web tokens names them, or an API token that acts for one.
    User,
    /// An API token that acts for itself.
    Token,
    /// A client certificate.
    Certificate,
    /// No caller by itself: what callers are members of.
    Group,
}

/// The name of a group, without its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(Arc<str>);

/// A subject with its groups: the view of a caller that a policy has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    subject: Subject,
    groups: Arc<[Group]>,
}

/// Why a text names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    #[error("{0:?} has no kind: one of user:, token:, certificate: and group: goes before the name")]
    NoKind(String),
    #[error("there is no kind {0:?}: a name begins with user:, token:, certificate: or group:")]
    Kind(String),
    #[error("the name must not be empty")]
    Empty,
    #[error("the name has {0} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("the name has an unprintable character, or white space at an end")]
    Character,
    #[error("the certificate has {0} URIs, exactly one is allowed where a URI is the name")]
    SeveralUris(usize),
    #[error("the name has the form of a SPIFFE id, and is no URI of the certificate")]
    NoSpiffeId,
    #[error("a caller is in {0} groups, at most {GROUPS_MAX} are allowed")]
    TooManyGroups(usize),
}

impl SubjectKind {
    pub const ALL: [SubjectKind; 4] =
        [SubjectKind::User, SubjectKind::Token, SubjectKind::Certificate, SubjectKind::Group];

    pub fn as_str(self) -> &'static str {
        match self {
            SubjectKind::User => "user",
            SubjectKind::Token => "token",
            SubjectKind::Certificate => "certificate",
            SubjectKind::Group => "group",
        }
    }

    /// Splits `user:alice`.
    pub(super) fn split(text: &str) -> Result<(SubjectKind, &str), SubjectError> {
        let (kind, name) = text.split_once(':').ok_or_else(|| SubjectError::NoKind(shown(text)))?;
        let known = SubjectKind::ALL.into_iter().find(|known| known.as_str() == kind);
        Ok((known.ok_or_else(|| SubjectError::Kind(shown(kind)))?, name))
    }
}

impl Subject {
    pub fn new(kind: SubjectKind, name: &str) -> Result<Subject, SubjectError> {
        check(name)?;
        Ok(Subject { kind, text: format!("{}:{name}", kind.as_str()).into() })
    }

    /// Reads `user:alice`.
    pub fn parse(text: &str) -> Result<Subject, SubjectError> {
        let (kind, name) = SubjectKind::split(text)?;
        Subject::new(kind, name)
    }

    pub fn kind(&self) -> SubjectKind {
        self.kind
    }

    pub fn name(&self) -> &str {
        &self.text[self.kind.as_str().len() + 1..]
    }

    /// `user:alice`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same without a copy.
    pub fn shared_text(&self) -> Arc<str> {
        self.text.clone()
    }
}

impl Group {
    pub fn parse(name: &str) -> Result<Group, SubjectError> {
        check(name)?;
        Ok(Group(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Principal {
    pub fn new(subject: Subject, groups: Vec<Group>) -> Result<Principal, SubjectError> {
        if groups.len() > GROUPS_MAX {
            return Err(SubjectError::TooManyGroups(groups.len()));
        }
        Ok(Principal { subject, groups: groups.into() })
    }

    /// A principal with this name: the subject of `can-i`. For a group: a member of the group without a name.
    pub fn supposed(subject: Subject, mut groups: Vec<Group>) -> Result<Principal, SubjectError> {
        if subject.kind() == SubjectKind::Group {
            groups.push(Group::parse(subject.name())?);
        }
        Principal::new(subject, groups)
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The first name, of the subject or its groups, that has the form of a name from an issuer: `PREFIX#NAME`.
    pub fn name_of_issuer(&self) -> Option<&str> {
        let groups = self.groups.iter().map(Group::as_str);
        std::iter::once(self.subject.name()).chain(groups).find(|name| name.contains(ISSUER_SEPARATOR))
    }
}

impl SubjectError {
    /// A correction of the text, if one is known.
    pub fn suggestion(&self) -> String {
        match self {
            SubjectError::NoKind(name) => format!("did you mean \"user:{name}\"?"),
            SubjectError::Kind(kind) => nearest(kind, SubjectKind::ALL.map(SubjectKind::as_str))
                .map(|near| format!("did you mean \"{near}:\"?"))
                .unwrap_or_default(),
            SubjectError::Empty
            | SubjectError::TooLong(_)
            | SubjectError::Character
            | SubjectError::SeveralUris(_)
            | SubjectError::NoSpiffeId
            | SubjectError::TooManyGroups(_) => String::new(),
        }
    }
}

fn check(name: &str) -> Result<(), SubjectError> {
    if name.is_empty() {
        return Err(SubjectError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(SubjectError::TooLong(name.len()));
    }
    // History shows names in lines and columns.
    if name.trim() != name || name.chars().any(is_unprintable) {
        return Err(SubjectError::Character);
    }
    Ok(())
}

/// Control characters, and those that change the direction of text or take no room: a name with one could pass for another.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// As much of a text as an error repeats.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_survives_its_text() {
        for text in ["user:alice", "token:ci", "certificate:spiffe://shop/checkout", "group:a:b", "user:ä b"]
        {
            let subject = Subject::parse(text).expect("a subject");
            assert_eq!(subject.as_str(), text);
            assert_eq!(Subject::new(subject.kind(), subject.name()), Ok(subject));
        }
    }

    #[test]
    fn what_names_nobody_is_refused_and_says_what_to_write() {
        let check = |text: &str, message: &str, suggestion: &str| {
            let error = Subject::parse(text).expect_err(text);
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(error.suggestion(), suggestion);
        };
        check("alice", "has no kind", "did you mean \"user:alice\"?");
        check("usr:alice", "there is no kind \"usr\"", "did you mean \"user:\"?");
        check("user:", "must not be empty", "");
        check(&format!("user:{}", "x".repeat(257)), "has 257 bytes", "");
        for bad in ["user: a", "user:a\n", "user:a\0b", "user:a\u{85}b", "user:a\u{202e}b", "user:a\u{200b}"]
        {
            assert_eq!(Subject::parse(bad), Err(SubjectError::Character), "{bad:?}");
        }
    }
}
