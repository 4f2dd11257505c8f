//! What a client reads or watches. Knows the wire only: names are checked by the server.

use crate::proto::v1::{Format, View, WatchTarget};

/// A config and the scope to resolve it for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub namespace: String,
    /// To watch every config of the namespace: `*`.
    pub config: String,
    /// Such as `/production/checkout`; `/` for the global scope.
    pub scope: String,
}

impl From<(&str, &str, &str)> for Target {
    fn from((namespace, config, scope): (&str, &str, &str)) -> Target {
        Target { namespace: namespace.into(), config: config.into(), scope: scope.into() }
    }
}

/// The effective document, as JSON.
impl From<Target> for WatchTarget {
    fn from(Target { namespace, config, scope }: Target) -> WatchTarget {
        WatchTarget {
            namespace,
            config,
            scope,
            view: View::Effective.into(),
            format: Format::Json.into(),
            ..Default::default()
        }
    }
}

/// The effective document, as JSON.
impl From<(&str, &str, &str)> for WatchTarget {
    fn from(target: (&str, &str, &str)) -> WatchTarget {
        Target::from(target).into()
    }
}
