//! System configs: configs that the server reads itself. Their names, where they are stored, and who writes them. Knows names alone; how a
//! document is checked and followed is in the registry of the engine, `engine/state/system.rs`.

/// The namespace of the server's own configs. Administrators alone read and write in the namespace.
pub const RESERVED_NAMESPACE: &str = "confwatch";

/// What precedes the colon in the name of a system config for a namespace as a whole: `namespace:rules`.
pub const OF_NAMESPACE: &str = "namespace";

/// A kind of config that the server reads itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemConfig {
    /// Roles and bindings.
    Policy,
    /// API tokens.
    Tokens,
    /// Limits of each namespace.
    Quotas,
    /// Data keys, wrapped by the master key.
    Keys,
    /// The backup that the store was restored from.
    Origin,
    /// Schedules of backups.
    Backups,
    /// The history that each namespace keeps.
    Retention,
    /// The schema of a config.
    Schema,
    /// Rules of a config, or of a namespace.
    Rules,
    /// Settings of a config, or of a namespace.
    Settings,
    /// Tags of a namespace.
    Tags,
}

/// Where configs of a kind are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// One config of the server, with this name in the reserved namespace. Each change is recorded in the audit log as a change of access.
    Server(&'static str),
    /// One for each config that has one, in the namespace of that config: `PREFIX:CONFIG`.
    Config { prefix: &'static str },
    /// The same, and one for the namespace: `namespace:PREFIX`.
    ConfigAndNamespace { prefix: &'static str },
    /// One for the namespace: `namespace:PREFIX`.
    Namespace { prefix: &'static str },
}

/// Who writes a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Callers with the permission for the kind of write.
    Caller,
    /// Callers with the permission `schema` on the config that is governed.
    SchemaOwner,
    /// Callers with the permission `tag` on all of the namespace, by SetTag and DeleteTag alone.
    Tagger,
    /// Callers with the permission `admin`.
    Administrator,
    /// The server alone. Administrators read the config.
    Server,
}

impl SystemConfig {
    pub const ALL: [SystemConfig; 11] = [
        SystemConfig::Policy,
        SystemConfig::Tokens,
        SystemConfig::Quotas,
        SystemConfig::Keys,
        SystemConfig::Origin,
        SystemConfig::Backups,
        SystemConfig::Retention,
        SystemConfig::Schema,
        SystemConfig::Rules,
        SystemConfig::Settings,
        SystemConfig::Tags,
    ];

    /// Where configs of the kind are stored, and who writes them.
    const fn place(self) -> (Home, Writer) {
        match self {
            SystemConfig::Policy => (Home::Server("policy"), Writer::Administrator),
            SystemConfig::Tokens => (Home::Server("tokens"), Writer::Administrator),
            SystemConfig::Quotas => (Home::Server("quotas"), Writer::Administrator),
            SystemConfig::Keys => (Home::Server("keys"), Writer::Server),
            SystemConfig::Origin => (Home::Server("origin"), Writer::Server),
            SystemConfig::Backups => (Home::Server("backups"), Writer::Administrator),
            SystemConfig::Retention => (Home::Server("retention"), Writer::Administrator),
            SystemConfig::Schema => (Home::Config { prefix: "schema" }, Writer::SchemaOwner),
            SystemConfig::Rules => (Home::ConfigAndNamespace { prefix: "rules" }, Writer::SchemaOwner),
            SystemConfig::Settings => (Home::ConfigAndNamespace { prefix: "settings" }, Writer::SchemaOwner),
            SystemConfig::Tags => (Home::Namespace { prefix: "tags" }, Writer::Tagger),
        }
    }

    pub const fn home(self) -> Home {
        self.place().0
    }

    pub const fn writer(self) -> Writer {
        self.place().1
    }

    /// The kind of which the server has one config with this name, in the reserved namespace.
    pub fn of_server(name: &str) -> Option<SystemConfig> {
        SystemConfig::ALL
            .into_iter()
            .find(|config| matches!(config.home(), Home::Server(other) if other == name))
    }

    /// The kind that is stored as `PREFIX:CONFIG`.
    pub fn of_prefix(prefix: &str) -> Option<SystemConfig> {
        SystemConfig::ALL.into_iter().find(|config| config.prefix() == Some(prefix))
    }

    /// The kind that is stored as `namespace:PREFIX`.
    pub(super) fn of_namespace(prefix: &str) -> Option<SystemConfig> {
        SystemConfig::ALL.into_iter().find(|config| match config.home() {
            Home::ConfigAndNamespace { prefix: other } | Home::Namespace { prefix: other } => other == prefix,
            Home::Config { .. } | Home::Server(_) => false,
        })
    }

    /// The name of the config of the kind that governs this one. For a kind that configs have.
    pub fn name_of(self, governed: &str) -> String {
        let prefix = self.prefix().expect("the caller names a kind that configs have");
        format!("{prefix}:{governed}")
    }

    /// What precedes the colon in names of the kind that configs have. `None`: a kind of the server, or of namespaces alone.
    pub const fn prefix(self) -> Option<&'static str> {
        match self.home() {
            Home::Config { prefix } | Home::ConfigAndNamespace { prefix } => Some(prefix),
            Home::Server(_) | Home::Namespace { .. } => None,
        }
    }
}
