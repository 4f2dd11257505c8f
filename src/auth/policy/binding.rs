//! A binding grants a role to subjects on resources, and checks whether the grant meets a need. Knows no policy.

use std::fmt;

use super::pattern::Pattern;
use super::resource::Need;
use super::verb::{Verb, VerbSet};
use crate::auth::{Principal, Subject, SubjectError, SubjectKind};
use crate::model::Scope;
use crate::model::system::RESERVED_NAMESPACE;

/// A compiled binding.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// The index of the binding in the document, from 0.
    pub index: usize,
    pub subjects: Vec<SubjectPattern>,
    pub role: String,
    pub verbs: VerbSet,
    pub namespace: Pattern,
    pub config: Pattern,
    pub scope: Scope,
}

/// The subjects of a binding.
#[derive(Clone, Debug)]
pub(super) enum SubjectPattern {
    /// `*`: every caller whose credential is good.
    Everybody,
    /// `user:alice`, `group:sre-*`.
    Named { kind: SubjectKind, name: Pattern },
}

/// The part of a binding that does not meet a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The binding is for other subjects.
    Subject,
    /// The role of the binding does not have the verb.
    Verb,
    /// The binding is for other namespaces.
    Namespace,
    /// The binding is for other configs.
    Config,
    /// The binding is for other scopes, or for scopes below.
    Scope,
}

impl Binding {
    /// Whether the binding grants the permission to its subjects. Takes no memory.
    pub fn meets(&self, need: &Need<'_>) -> bool {
        self.verbs.contains(need.verb) && self.is_about(need) && self.scope.contains(need.scope)
    }

    /// Whether the binding is for the config, at any scope.
    pub fn is_about(&self, need: &Need<'_>) -> bool {
        self.covers_namespace(need.namespace) && covers(&self.config, need.config)
    }

    /// Whether the binding is for the namespace. The namespace of the server itself is granted by its full name, or by `*` together with the
    /// config `*`, which is everything: never by a pattern that happens to match, such as `c*`, nor by some configs of every namespace.
    pub fn covers_namespace(&self, name: Option<&str>) -> bool {
        match name {
            Some(RESERVED_NAMESPACE) => {
                (self.namespace.is_exact() && self.namespace.matches(RESERVED_NAMESPACE))
                    || (self.namespace.is_any() && self.config.is_any())
            }
            _ => covers(&self.namespace, name),
        }
    }

    /// Whether the patterns of the binding match the namespace of the server, which a pattern does not grant: the author of the policy may have meant to
    /// grant it.
    pub fn misses_reserved(&self) -> bool {
        self.verbs.contains(Verb::Admin)
            && self.namespace.matches(RESERVED_NAMESPACE)
            && !self.covers_namespace(Some(RESERVED_NAMESPACE))
    }

    pub fn is_for(&self, who: &Principal) -> bool {
        self.subject_of(who).is_some()
    }

    /// The first subject of the binding that names the caller.
    pub fn subject_of(&self, who: &Principal) -> Option<&SubjectPattern> {
        self.subjects.iter().find(|subject| subject.matches(who))
    }

    pub fn lacks(&self, who: &Principal, need: &Need<'_>) -> Vec<Lack> {
        let lacks = [
            (Lack::Subject, self.is_for(who)),
            (Lack::Verb, self.verbs.contains(need.verb)),
            (Lack::Namespace, self.covers_namespace(need.namespace)),
            (Lack::Config, covers(&self.config, need.config)),
            (Lack::Scope, self.scope.contains(need.scope)),
        ];
        lacks.into_iter().filter(|(_, is_met)| !is_met).map(|(lack, _)| lack).collect()
    }
}

fn covers(pattern: &Pattern, name: Option<&str>) -> bool {
    name.map_or_else(|| pattern.is_any(), |name| pattern.matches(name))
}

impl SubjectPattern {
    pub fn parse(text: &str) -> Result<SubjectPattern, SubjectError> {
        if text == "*" {
            return Ok(SubjectPattern::Everybody);
        }
        // Stars are allowed in names, too.
        let subject = Subject::parse(text)?;
        Ok(SubjectPattern::Named { kind: subject.kind(), name: Pattern::new(subject.name()) })
    }

    fn matches(&self, who: &Principal) -> bool {
        match self {
            SubjectPattern::Everybody => true,
            SubjectPattern::Named { kind: SubjectKind::Group, name } => {
                who.groups().iter().any(|group| name.matches(group.as_str()))
            }
            SubjectPattern::Named { kind, name } => {
                who.subject().kind() == *kind && name.matches(who.subject().name())
            }
        }
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectPattern::Everybody => f.write_str("*"),
            SubjectPattern::Named { kind, name } => write!(f, "{}:{name}", kind.as_str()),
        }
    }
}

/// `editor on shop*/* at /staging`.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}/{} at {}", self.role, self.namespace, self.config, self.scope)
    }
}
