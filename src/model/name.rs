//! Names of namespaces, configs and tags: checked once, when they are parsed.
//!
//! What governs configs (their schemas, rules and settings) is itself stored in configs, whose names tell it by a colon: `Governs`.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::system::{Home, OF_NAMESPACE, RESERVED_NAMESPACE, SystemConfig, Writer};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// A tenant boundary: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Namespace(Arc<str>);

/// A map with names of namespaces is searched by text.
impl std::borrow::Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The name of a config within its namespace: as a namespace, with `.` and `_` allowed inside. Or that of one that governs others:
/// `schema:NAME`, `rules:NAME`, `settings:NAME`, `namespace:rules` or `namespace:settings`. Or `namespace:tags`, which has the tags of the
/// namespace.
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

    /// The namespace of the server's own configs.
    pub fn reserved() -> &'static Namespace {
        static RESERVED: LazyLock<Namespace> = LazyLock::new(|| Namespace(RESERVED_NAMESPACE.into()));
        &RESERVED
    }

    pub fn is_reserved(&self) -> bool {
        &*self.0 == RESERVED_NAMESPACE
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConfigName {
    pub fn parse(text: &str) -> Result<ConfigName, NameError> {
        let (prefix, rest) = text.split_once(':').unwrap_or_default();
        if prefix != OF_NAMESPACE || SystemConfig::of_namespace(rest).is_none() {
            let checked = if SystemConfig::of_prefix(prefix).is_some() { rest } else { text };
            check(checked, "a-z, 0-9, -, . and _", |b| matches!(b, b'-' | b'.' | b'_'))?;
        }
        Ok(ConfigName(text.into()))
    }

    /// What it governs by its name. `None`: it is a config as any other.
    pub fn governs(&self) -> Option<Governs> {
        let governed = self.governed().map(|governed| ConfigName(governed.into()));
        match (self.kind()?, governed) {
            (SystemConfig::Schema, Some(governed)) => Some(Governs::Schema(governed)),
            (SystemConfig::Rules, governed) => Some(Governs::Rules(governed)),
            (SystemConfig::Settings, governed) => Some(Governs::Settings(governed)),
            // Kinds that govern no documents.
            (_, Some(_) | None) => None,
        }
    }

    /// The kind of system config that its name says. `None`: it is a config as any other, or one of the server, which its namespace tells.
    pub fn kind(&self) -> Option<SystemConfig> {
        // Most names have no colon, and this is asked often.
        match self.0.split_once(':')? {
            (OF_NAMESPACE, prefix) => SystemConfig::of_namespace(prefix),
            (prefix, _) => SystemConfig::of_prefix(prefix),
        }
    }

    /// The name of the one config that it governs. `None`: it governs none, or the namespace.
    pub fn governed(&self) -> Option<&str> {
        self.0.split_once(':').filter(|(prefix, _)| *prefix != OF_NAMESPACE).map(|(_, governed)| governed)
    }

    /// The name of the system config of a kind for this config, or for the namespace. `None`: the kind has none there.
    pub fn of_system(kind: SystemConfig, governed: Option<&ConfigName>) -> Option<ConfigName> {
        let text = match (kind.home(), governed) {
            (Home::Config { .. } | Home::ConfigAndNamespace { .. }, Some(governed)) => {
                kind.name_of(&governed.0)
            }
            (Home::ConfigAndNamespace { prefix } | Home::Namespace { prefix }, None) => {
                format!("{OF_NAMESPACE}:{prefix}")
            }
            (Home::Config { .. }, None) | (Home::Namespace { .. }, Some(_)) | (Home::Server(_), _) => {
                return None;
            }
        };
        Some(ConfigName(text.into()))
    }

    /// Who writes a config of this name.
    pub fn writer_in(&self, namespace: &Namespace) -> Writer {
        match namespace.is_reserved() {
            true => SystemConfig::of_server(&self.0).map_or(Writer::Administrator, SystemConfig::writer),
            false => self.kind().map_or(Writer::Caller, SystemConfig::writer),
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
        ConfigName::of_system(self.kind(), self.governed())
            .expect("the kind has a config for what it governs")
    }

    pub fn kind(&self) -> SystemConfig {
        match self {
            Governs::Schema(_) => SystemConfig::Schema,
            Governs::Rules(_) => SystemConfig::Rules,
            Governs::Settings(_) => SystemConfig::Settings,
        }
    }

    /// The config that is governed. `None`: all of the namespace are.
    pub fn governed(&self) -> Option<&ConfigName> {
        match self {
            Governs::Schema(governed) => Some(governed),
            Governs::Rules(governed) | Governs::Settings(governed) => governed.as_ref(),
        }
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

    /// The kind of a system config. `None`: it is a config as any other.
    pub fn system(&self) -> Option<SystemConfig> {
        let of_server = || SystemConfig::of_server(&self.config.0);
        self.namespace.is_reserved().then(of_server).flatten().or_else(|| self.config.kind())
    }

    /// Whether a change of the config is recorded in the audit log as a change of access. So is a change of a config in the reserved namespace
    /// that this version of the server does not read, since another version may.
    pub fn is_access(&self) -> bool {
        self.namespace.is_reserved()
    }
}

impl SystemConfig {
    /// The config of the server. For a kind of which the server has one.
    pub fn id(self) -> &'static ConfigId {
        static IDS: LazyLock<[Option<ConfigId>; SystemConfig::ALL.len()]> = LazyLock::new(|| {
            SystemConfig::ALL.map(|config| match config.home() {
                Home::Server(name) => Some(ConfigId {
                    namespace: Namespace::reserved().clone(),
                    config: ConfigName(name.into()),
                }),
                Home::Config { .. } | Home::ConfigAndNamespace { .. } | Home::Namespace { .. } => None,
            })
        });
        IDS[self as usize].as_ref().expect("the caller names a kind of which the server has one")
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

    #[test]
    fn a_system_config_is_found_by_its_name_in_its_namespace() {
        let shop = Namespace::parse("shop").expect("a name");
        for (at, system) in SystemConfig::ALL.into_iter().enumerate() {
            assert_eq!(system as usize, at, "ALL has the order of the variants");
            match system.home() {
                Home::Server(name) => {
                    let id = system.id();
                    assert_eq!(
                        *id,
                        ConfigId {
                            namespace: Namespace::parse("confwatch").expect("a name"),
                            config: ConfigName::parse(name).expect("a name"),
                        }
                    );
                    assert_eq!(id.system(), Some(system));
                    assert_eq!(id.config.writer_in(&id.namespace), system.writer());
                    let elsewhere = ConfigId { namespace: shop.clone(), config: id.config.clone() };
                    assert_eq!(elsewhere.system(), None);
                    assert_eq!(elsewhere.config.writer_in(&shop), Writer::Caller);
                    assert!(id.is_access() && !elsewhere.is_access());
                }
                Home::Namespace { prefix } => {
                    let name = ConfigName::parse(&format!("namespace:{prefix}")).expect("a name");
                    assert_eq!((name.kind(), name.governed(), name.governs()), (Some(system), None, None));
                    assert_eq!(name.writer_in(&shop), system.writer());
                    assert!(!name.is_ordinary() && ConfigName::parse(&format!("{prefix}:app")).is_err());
                }
                Home::Config { prefix } | Home::ConfigAndNamespace { prefix } => {
                    let name = ConfigName::parse(&format!("{prefix}:app")).expect("a name");
                    assert_eq!((name.kind(), name.governed()), (Some(system), Some("app")));
                    assert_eq!(name.writer_in(&shop), system.writer());
                    assert_eq!(name.writer_in(Namespace::reserved()), Writer::Administrator);
                    let of_namespace = ConfigName::parse(&format!("namespace:{prefix}")).ok();
                    let has_one = system.home() == Home::ConfigAndNamespace { prefix };
                    assert_eq!(of_namespace.and_then(|name| name.kind()), has_one.then_some(system));
                }
            }
        }
    }
}
