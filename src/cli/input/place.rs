//! A namespace or a config of it, and maybe a scope, as one word: `payments`, `payments/checkout` or `payments@/production`. Knows no command.

use std::str::FromStr;

use super::args::Target;
use crate::cli::output::exit::Failure;

/// A namespace or a config of it, and maybe a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    /// Empty: all of the namespace.
    pub config: String,
    /// Empty: no scope was named.
    pub scope: String,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (name, scope) = text.split_once('@').unwrap_or((text, ""));
        if !scope.is_empty() && !scope.starts_with('/') {
            return Err("a scope starts with \"/\", as in payments@/production".into());
        }
        let (namespace, config) = name.split_once('/').unwrap_or((name, ""));
        if namespace.is_empty() || config.contains('/') || (config.is_empty() && name.contains('/')) {
            return Err("expected NAMESPACE or NAMESPACE/CONFIG, as in payments/checkout".into());
        }
        let config = if config == "*" { "" } else { config };
        Ok(Place { namespace: namespace.into(), config: config.into(), scope: scope.into() })
    }
}

impl Place {
    /// With the scope of `--scope`, which can repeat the one in the word but not contradict it.
    pub fn at_scope(self, scope: Option<String>) -> Result<Place, Failure> {
        match scope {
            Some(beside) if !self.scope.is_empty() && self.scope != beside => {
                Err(Failure::usage(format!("two scopes: @{} and --scope {beside}", self.scope)))
            }
            Some(scope) => Ok(Place { scope, ..self }),
            None => Ok(self),
        }
    }

    /// The config, if one was named.
    pub fn target(&self) -> Option<Target> {
        let (namespace, config) = (self.namespace.clone(), self.config.clone());
        (!config.is_empty()).then(|| Target { namespace, config, scope: self.scope() })
    }

    /// The scope, if one was named.
    pub fn scope(&self) -> Option<String> {
        (!self.scope.is_empty()).then(|| self.scope.clone())
    }

    /// `payments` or `payments/checkout`, without the scope.
    pub fn name(&self) -> String {
        match self.config.as_str() {
            "" => self.namespace.clone(),
            config => format!("{}/{config}", self.namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_namespace_or_a_config_with_or_without_a_scope() {
        let place = |namespace: &str, config: &str, scope: &str| Place {
            namespace: namespace.into(),
            config: config.into(),
            scope: scope.into(),
        };
        for (text, expected) in [
            ("a", place("a", "", "")),
            ("a/b", place("a", "b", "")),
            ("a/*@/x", place("a", "", "/x")),
            ("a@/x", place("a", "", "/x")),
            ("a/rules:b@/", place("a", "rules:b", "/")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "a/", "/b", "a/b/c", "a@x", "@/x"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
        assert!(place("a", "b", "/x").at_scope(Some("/y".into())).is_err());
        assert_eq!(place("a", "b", "").at_scope(Some("/y".into())).expect("one").scope, "/y");
    }
}
