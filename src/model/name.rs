//! Names of namespaces, configs and tags: checked once, when they are parsed.
//!
//! What governs configs (their schemas, rules and settings) is itself stored in configs, whose names tell it by a colon: `Governs`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

const SCHEMA: &str = "schema:";
const RULES: &str = "rules:";
const SETTINGS: &str = "settings:";
const NAMESPACE_RULES: &str = "namespace:rules";
const NAMESPACE_SETTINGS: &str = "namespace:settings";

/// A tenant boundary: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespace(Arc<str>);

/// The name of a config within its namespace: as a namespace, with `.` and `_` allowed inside. Or that of one that governs others:
/// `schema:NAME`, `rules:NAME`, `settings:NAME`, `namespace:rules` or `namespace:settings`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigName(Arc<str>);

/// A movable name for a version of a config: as the name of a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TagName(Arc<str>);

/// What a config holds that governs others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Governs {
    /// The schema of the config of this name, to which those of others may refer.
    Schema(ConfigName),
    /// The rules of this config, or of all in the namespace.
    Rules(Option<ConfigName>),
    /// The settings of this config, or of the namespace.
    Settings(Option<ConfigName>),
}

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
        if !matches!(text, NAMESPACE_RULES | NAMESPACE_SETTINGS) {
            let governed = [SCHEMA, RULES, SETTINGS].iter().find_map(|prefix| text.strip_prefix(prefix));
            check(governed.unwrap_or(text), "a-z, 0-9, -, . and _", |b| matches!(b, b'-' | b'.' | b'_'))?;
        }
        Ok(ConfigName(text.into()))
    }

    /// What it governs by its name. `None`: it is a config as any other.
    pub fn governs(&self) -> Option<Governs> {
        // Most names have none, and this is asked often.
        let colon = self.0.find(':')?;
        let governed = || ConfigName(self.0[colon + 1..].into());
        match &self.0[..=colon] {
            SCHEMA => Some(Governs::Schema(governed())),
            RULES => Some(Governs::Rules(Some(governed()))),
            SETTINGS => Some(Governs::Settings(Some(governed()))),
            _ if &*self.0 == NAMESPACE_RULES => Some(Governs::Rules(None)),
            _ => Some(Governs::Settings(None)),
        }
    }

    /// Whether it is a config as any other.
    pub fn is_ordinary(&self) -> bool {
        !self.0.contains(':')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Governs {
    /// The name of the config that holds it.
    pub fn name(&self) -> ConfigName {
        let text = match self {
            Governs::Schema(governed) => format!("{SCHEMA}{governed}"),
            Governs::Rules(Some(governed)) => format!("{RULES}{governed}"),
            Governs::Rules(None) => NAMESPACE_RULES.to_owned(),
            Governs::Settings(Some(governed)) => format!("{SETTINGS}{governed}"),
            Governs::Settings(None) => NAMESPACE_SETTINGS.to_owned(),
        };
        ConfigName(text.into())
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

    #[test]
    fn a_name_tells_what_it_governs() {
        let name = |text| ConfigName::parse(text).expect("a name");
        for (text, governs) in [
            ("schema:app", Governs::Schema(name("app"))),
            ("rules:app", Governs::Rules(Some(name("app")))),
            ("namespace:rules", Governs::Rules(None)),
            ("settings:app", Governs::Settings(Some(name("app")))),
            ("namespace:settings", Governs::Settings(None)),
        ] {
            assert_eq!(governs.name(), name(text));
            assert_eq!(name(text).governs(), Some(governs));
            assert!(!name(text).is_ordinary());
        }
        assert_eq!(name("schema").governs(), None);
        for bad in ["schema:", "schema:schema:a", "other:a", "namespace:other", ":rules", "schema:*"] {
            assert!(ConfigName::parse(bad).is_err(), "{bad}");
        }
    }
}
