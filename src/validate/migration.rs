//! Migrations: steps that bring the layers of a config from one schema to the next. Knows one layer at a time; not where layers are,
//! nor which schema they are for.
//!
//! Layers are merge patches (RFC 7396), and a client gets their merge. So each step does to a layer what makes the merge of all
//! migrated layers the migration of their merge:
//! - *move* takes along whatever a layer has at the place, a `null` as well: that removes what is inherited, then as now. Where a
//!   layer removes or replaces something around the place, it gets a `null` at the new place, for the same reason. (A merged
//!   document can then have empty objects around a place that nothing has: the one difference there is.)
//! - *rename* is a move within one object.
//! - *remove* takes a `null` as well.
//! - *convert* applies to values that a layer replaces as a whole, to everything but objects, of which it may have a part only; and
//!   it has to give such values. With an expression of `value` alone the merge stays what it was; `config` is the layer, not the
//!   document.
//! - *set default* acts on the layer that all others build upon, the base layer of `/`: a default in any other would win over what
//!   is inherited. A scope that removes the value with a `null` stays without. `"everywhere": true` puts it into every layer that
//!   says nothing of the place.
//!
//! A step whose place is not in a layer does nothing to it. What would need knowledge of other layers is refused, and says why:
//! a move to a place at which a layer has a value, whether or not it has one to move, and into something that it removes or
//! replaces. Steps do not reach into arrays, which layers replace as a whole: `convert` them.

mod apply;
mod parse;
mod sight;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use super::expression::Expression;
use crate::model::Pointer;

/// Code of a finding about steps that are not in the form for steps.
pub const MIGRATION_MALFORMED: &str = "MIGRATION_MALFORMED";
/// Code of a finding about a step that cannot be done to a layer.
pub const MIGRATION_FAILED: &str = "MIGRATION_FAILED";

/// The most steps of one migration.
pub const STEPS_MAX: usize = 100;

/// The variables that expressions of steps can name.
const VARIABLES: [&str; 2] = ["value", "config"];

/// Steps, in the order in which they are done.
#[derive(Debug, Default)]
pub struct Migration {
    steps: Vec<Step>,
}

/// What is done to a layer. No place is the whole document.
#[derive(Debug)]
enum Step {
    /// Neither place is within the other.
    Move {
        from: Pointer,
        to: Pointer,
    },
    SetDefault {
        at: Pointer,
        value: Value,
        everywhere: bool,
    },
    Remove {
        at: Pointer,
    },
    Convert {
        at: Pointer,
        expression: Expression,
    },
}

/// Which layer of a config it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The base layer of `/`, on which all others build, or a whole document.
    Foundation,
    /// Any other, overrides of `/` included.
    Above,
}

/// What a migration did to a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The steps that changed something, as numbers from 0.
    pub steps: Vec<usize>,
}

impl Migration {
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Each step in words: `move /a to /b`.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.steps.iter().map(Step::to_string)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Move { from, to } => write!(f, "move {from} to {to}"),
            Step::SetDefault { at, everywhere: false, .. } => write!(f, "set a default at {at}"),
            Step::SetDefault { at, everywhere: true, .. } => write!(f, "set a default at {at} everywhere"),
            Step::Remove { at } => write!(f, "remove {at}"),
            Step::Convert { at, .. } => write!(f, "convert {at}"),
        }
    }
}
