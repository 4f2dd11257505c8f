//! What makes a change acceptable: checks of the effective documents it would produce. Knows the model only.
//!
//! The set to check is exact: the changed scope and every existing layer below it. Schemas and rules join here.

mod found;
mod report;
mod size;

pub use found::{FOUND_MAX, Found, FoundList};
pub use report::{Finding, Place, Report, Severity};
pub use size::check_size;
