//! What makes a change acceptable: checks of the effective documents it would produce. Knows the model only.
//!
//! The set to check is exact: the changed scope and every existing layer below it. `contract` puts together what one config must
//! satisfy: its `schema`, `rule`s, and the `lint`s.

mod advice;
mod backup_schedules;
mod contract;
pub mod expression;
mod found;
pub mod lint;
pub mod migration;
mod namespace_limits;
mod proposed;
mod quotas;
mod registry;
mod report;
mod retention;
pub mod rule;
pub mod schema;
mod scope_pattern;
mod scopes;
mod settings;
mod severity;
mod size;

pub use backup_schedules::{BackupSchedule, BackupSchedules, ScheduledKind};
pub use contract::{Broken, CheckedDocument, Contract, Hidden, NamespaceRules, Steps, check_place};
pub use found::{FOUND_MAX, Found, FoundList};
pub use migration::{Migration, NotMigrated, migrate_layers};
pub use proposed::{check_against, check_proposed};
pub use quotas::NamespaceQuotas;
pub use registry::{Registry, SchemaVersion};
pub use report::{FINDINGS_MAX, Finding, Place, Report};
pub use retention::{HistoryLimits, NamespaceRetention};
pub use rule::{RuleInput, RuleSet};
pub use schema::{Permission, Schema};
pub use scopes::{AllowedScopes, SCOPE_NOT_ALLOWED};
pub use settings::Settings;
pub use severity::Severity;
pub use size::check_size;
