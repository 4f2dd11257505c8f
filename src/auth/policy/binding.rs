//! A binding gives a role to subjects on resources, and checks whether that meets a need. Knows no policy.

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
    /// Where it is in the document, from 0.
    pub index: usize,
    pub subjects: Vec<SubjectPattern>,
    pub role: String,
    pub verbs: VerbSet,
    pub namespace: Pattern,
    pub config: Pattern,
    pub scope: Scope,
}

/// Whom a binding is for.
#[derive(Clone, Debug)]
pub(super) enum SubjectPattern {
    /// `*`: every caller whose credential is good.
    Everybody,
    /// `user:alice`, `group:sre-*`.
    Named { kind: SubjectKind, name: Pattern },
}

/// What of a binding does not meet a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It is for others.
    Subject,
    /// Its role does not have the verb.
    Verb,
    /// It is for other namespaces.
    Namespace,
    /// It is for other configs.
    Config,
    /// It is for other scopes, or for ones below.
    Scope,
}

impl Binding {
    /// Whether it gives the right to those that it is for. Takes no memory.
    pub fn meets(&self, need: &Need<'_>) -> bool {
        self.verbs.contains(need.verb) && self.is_about(need) && self.scope.contains(need.scope)
    }

    /// Whether it is for the config, at any scope.
    pub fn is_about(&self, need: &Need<'_>) -> bool {
        self.covers_namespace(need.namespace) && covers(&self.config, need.config)
    }

    /// Whether it is for the namespace. The namespace of the server itself is granted by its full name, or by `*` together with the
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

    /// Whether its patterns match the namespace of the server, which they do not grant: somebody may have meant them to.
    pub fn misses_reserved(&self) -> bool {
        self.verbs.contains(Verb::Admin)
            && self.namespace.matches(RESERVED_NAMESPACE)
            && !self.covers_namespace(Some(RESERVED_NAMESPACE))
    }

    pub fn is_for(&self, who: &Principal) -> bool {
        self.subject_of(who).is_some()
    }

    /// The first of its subjects that the caller is.
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
