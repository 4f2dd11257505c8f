//! Names of namespaces, configs and tags: checked once, when they are parsed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// A tenant boundary: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespace(Arc<str>);

/// The name of a config within its namespace: as a namespace, with `.` and `_` allowed inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigName(Arc<str>);

/// A movable name for a version of a config: as the name of a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TagName(Arc<str>);

/// Which config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigId {
    pub namespace: Namespace,
    pub config: ConfigName,
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("must not be empty")]
    Empty,
    #[error("has {0} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("has {found:?} at byte {at}, allowed are {allowed}")]
    Character { found: char, at: usize, allowed: &'static str },
    #[error("must start and end with a lower-case letter or a digit")]
    Edge,
}

impl Namespace {
    pub fn parse(text: &str) -> Result<Namespace, NameError> {
        check(text, "a-z, 0-9 and -", |b| b == b'-')?;
        Ok(Namespace(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConfigName {
    pub fn parse(text: &str) -> Result<ConfigName, NameError> {
        check(text, "a-z, 0-9, -, . and _", |b| matches!(b, b'-' | b'.' | b'_'))?;
        Ok(ConfigName(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TagName {
    pub fn parse(text: &str) -> Result<TagName, NameError> {
        check(text, "a-z, 0-9, -, . and _", |b| matches!(b, b'-' | b'.' | b'_'))?;
        Ok(TagName(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConfigId {
    /// Sorts before every config of the namespace, and is none of them.
    pub fn first_of(namespace: &Namespace) -> ConfigId {
        ConfigId { namespace: namespace.clone(), config: ConfigName("".into()) }
    }
}

fn check(text: &str, allowed: &'static str, inside: fn(u8) -> bool) -> Result<(), NameError> {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return Err(NameError::Empty);
    };
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    if let Some((at, found)) =
        text.char_indices().find(|(_, c)| !c.is_ascii() || !(edge(*c as u8) || inside(*c as u8)))
    {
        return Err(NameError::Character { found, at, allowed });
    }
    if !edge(first) || !edge(last) {
        return Err(NameError::Edge);
    }
    Ok(())
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `payments/checkout`.
impl fmt::Display for ConfigId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_character_rules() {
        for good in ["a", "0", "payments", "a-b", "a--b", &"x".repeat(63)] {
            assert!(Namespace::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Namespace::parse(""), Err(NameError::Empty));
        assert_eq!(Namespace::parse(&"x".repeat(64)), Err(NameError::TooLong(64)));
        assert_eq!(Namespace::parse("-a"), Err(NameError::Edge));
        assert_eq!(Namespace::parse("a-"), Err(NameError::Edge));
        for bad in ["A", "a.b", "a_b", "a/b", "ä", "a b", "*", "a\0"] {
            assert!(matches!(Namespace::parse(bad), Err(NameError::Character { .. })), "{bad}");
        }
        assert!(ConfigName::parse("app.d_v-2").is_ok());
        assert_eq!(ConfigName::parse(".a"), Err(NameError::Edge));
        assert!(TagName::parse("release-2026-11").is_ok());
    }
}
