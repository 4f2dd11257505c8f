//! A decision with its reasons, as an administrator reads it. Knows bindings; `Grants` decides calls.

use std::fmt;
use std::sync::Arc;

use super::binding::{Binding, Lack};
use super::resource::{Need, Resource};
use super::verb::Verb;
use crate::auth::Principal;

/// The most bindings that a refusal names.
const NEAREST_MAX: usize = 3;

/// Whether a subject has a permission, and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The subject of the question.
    pub who: Principal,
    pub verb: Verb,
    pub resource: Resource,
    /// The permission that the request takes, and where: `schema on payments/checkout at /`.
    pub needs: String,
    pub outcome: Outcome,
}

/// The answer.
#[derive(Clone, Debug)]
pub enum Outcome {
    Allowed(Allowing),
    /// The bindings that come nearest, nearest first.
    Denied(Vec<NearMiss>),
}

/// The binding that grants the permission; of several the first.
#[derive(Clone, Debug)]
pub struct Allowing {
    /// Its place in `/bindings`, from 0.
    pub binding: usize,
    pub role: String,
    /// The subject of the binding that names the caller: `group:sre`.
    pub subject: String,
    /// `editor on shop*/* at /staging`.
    pub text: String,
}

/// A binding that grants the permission but for some of its parts.
#[derive(Clone, Debug)]
pub struct NearMiss {
    /// Its place in `/bindings`, from 0.
    pub binding: usize,
    pub role: String,
    /// `editor on shop*/* at /staging`.
    pub text: String,
    pub subjects: Vec<String>,
    /// The parts of the binding that do not fit; never empty.
    pub lacks: Vec<Lack>,
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed(_))
    }

    /// The same decision without the bindings of other subjects: for a reader who is no administrator.
    pub fn without_others(mut self) -> Decision {
        if let Outcome::Denied(nearest) = &mut self.outcome {
            nearest.retain(|miss| !miss.lacks.contains(&Lack::Subject));
        }
        self
    }

    pub(super) fn new(
        bindings: &[Arc<Binding>],
        who: &Principal,
        verb: Verb,
        resource: &Resource,
    ) -> Decision {
        let need = resource.need(verb);
        let outcome = match bindings.iter().find(|binding| binding.is_for(who) && binding.meets(&need)) {
            Some(binding) => Outcome::Allowed(Allowing::new(binding, who)),
            None => Outcome::Denied(nearest(bindings, who, &need)),
        };
        let needs = need.to_string();
        Decision { who: who.clone(), verb, resource: resource.clone(), needs, outcome }
    }
}

impl Allowing {
    fn new(binding: &Binding, who: &Principal) -> Allowing {
        let subject = binding.subject_of(who).map(ToString::to_string).unwrap_or_default();
        Allowing { binding: binding.index, role: binding.role.clone(), subject, text: binding.to_string() }
    }
}

/// Bindings of the caller come first, since the parts that they lack are the answer; then bindings that lack the fewest parts.
fn nearest(bindings: &[Arc<Binding>], who: &Principal, need: &Need<'_>) -> Vec<NearMiss> {
    let mut lacking: Vec<(Vec<Lack>, &Binding)> =
        bindings.iter().map(|binding| (binding.lacks(who, need), &**binding)).collect();
    lacking.sort_by_key(|(lacks, binding)| (lacks.contains(&Lack::Subject), lacks.len(), binding.index));
    let miss = |(lacks, binding): (Vec<Lack>, &Binding)| NearMiss {
        binding: binding.index,
        role: binding.role.clone(),
        text: binding.to_string(),
        subjects: binding.subjects.iter().map(ToString::to_string).collect(),
        lacks,
    };
    // One of the caller's own goes before others; of others only those that fit but for that are worth a word.
    let is_near = |(lacks, _): &(Vec<Lack>, &Binding)| !lacks.contains(&Lack::Subject) || lacks.len() == 1;
    lacking.into_iter().filter(is_near).take(NEAREST_MAX).map(miss).collect()
}

impl Lack {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Lack::Subject => "subject",
            Lack::Verb => "verb",
            Lack::Namespace => "namespace",
            Lack::Config => "config",
            Lack::Scope => "scope",
        }
    }
}

/// `binding 2 (viewer on shop*/* at /) does not fit by its verb`.
impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacks: Vec<&str> = self.lacks.iter().map(|lack| lack.as_str()).collect();
        write!(f, "binding {} ({}) does not fit by its {}", self.binding, self.text, lacks.join(" and "))
    }
}

/// `user:alice may write shop/app at /staging: binding 0 (editor on shop*/* at /staging), as group:sre`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, verb, resource) = (self.who.subject(), self.verb, &self.resource);
        match &self.outcome {
            Outcome::Allowed(by) => {
                let (binding, text, subject) = (by.binding, &by.text, &by.subject);
                write!(f, "{who} may {verb} {resource}: binding {binding} ({text}), as {subject}")
            }
            Outcome::Denied(nearest) => {
                write!(f, "{who} may not {verb} {resource}: no binding gives {}", self.needs)?;
                nearest.iter().try_for_each(|miss| write!(f, "; {miss}"))
            }
        }
    }
}
