//! Migrations: steps that bring the layers of a config from one schema to the next. Knows one config at a time; not where layers are
//! stored, nor which schema they are for.
//!
//! Layers are merge patches (RFC 7396), and a client gets their merge. What the steps mean is what they do to a merged document:
//! - *move* takes the value at a place to another one. It is refused where there is a value at that place already, and where something
//!   around it is no object.
//! - *rename* is a move within one object.
//! - *remove* takes a value away.
//! - *convert* gives a value in place of another one. Neither may be an object: of that a layer can have a part only.
//! - *set default* sets a value where a document has none. (`"everywhere"` is read and changes nothing: it once set the default in layers
//!   that inherit a value.)
//!
//! `layers.rs` changes all layers of a config such that each of its documents becomes its migration, or refuses, with the place. To see
//! what a layer should say, the steps are done to it as well (`Role::Above`): there, a `null` is moved like a value, because it removes what
//! is inherited, then as now.
//!
//! A step whose place is not there does nothing. Steps do not reach into arrays, which layers replace as a whole: `convert` them. Nor do
//! steps reach into secrets, which are moved and removed as a whole: none is converted, and no expression sees one.

mod apply;
mod layer_value;
mod layers;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use super::expression::Expression;
use crate::model::Pointer;

pub use layers::{NotMigrated, migrate_layers};

/// Code of a finding about steps that are not in the form for steps.
pub const MIGRATION_MALFORMED: &str = "MIGRATION_MALFORMED";
/// Code of a finding about a step that cannot be done to a layer.
pub const MIGRATION_FAILED: &str = "MIGRATION_FAILED";

/// The most steps of one migration.
pub const STEPS_MAX: usize = 100;

/// What the expressions of the steps may take together for one document or layer: about half a second.
pub const EXPRESSION_STEPS_MAX: u64 = 5_000_000;

/// The variables that expressions of steps can name.
const VARIABLES: [&str; 2] = ["value", "config"];

/// Steps, in the order in which they are done.
#[derive(Debug, Default)]
pub struct Migration {
    steps: Vec<MigrationStep>,
}

/// What is done to a layer. No place is the whole document.
#[derive(Debug)]
enum MigrationStep {
    /// Neither place is within the other.
    Move {
        from: Pointer,
        to: Pointer,
    },
    SetDefault {
        at: Pointer,
        value: Value,
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

    /// How often a document is gone through, at most.
    fn passes(&self) -> u64 {
        let converts = self.steps.iter().filter(|step| matches!(step, MigrationStep::Convert { .. })).count();
        2 + converts as u64
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Each step in words: `move /a to /b`.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        self.steps.iter().map(MigrationStep::to_string)
    }
}

impl fmt::Display for MigrationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrationStep::Move { from, to } => write!(f, "move {from} to {to}"),
            MigrationStep::SetDefault { at, .. } => write!(f, "set a default at {at}"),
            MigrationStep::Remove { at } => write!(f, "remove {at}"),
            MigrationStep::Convert { at, .. } => write!(f, "convert {at}"),
        }
    }
}
