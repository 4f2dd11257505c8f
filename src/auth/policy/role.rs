//! Roles: sets of verbs with a name. Knows the roles that every policy has.
//!
//! | role | verbs |
//! | --- | --- |
//! | `viewer` | read, validate |
//! | `editor` | as viewer, and write, override, rollback, tag |
//! | `approver` | as editor, and schema |
//! | `auditor` | read, audit |
//! | `admin` | all, reveal-secret and backup too |
//!
//! No role but `admin` reveals secrets: a service that needs its secrets gets a role such as `"service": ["read", "reveal-secret"]`.

use super::verb::{Verb, VerbSet};

const VIEWER: VerbSet = VerbSet::of(&[Verb::Read, Verb::Validate]);
const EDITOR: VerbSet =
    VerbSet::of(&[Verb::Read, Verb::Validate, Verb::Write, Verb::Override, Verb::Rollback, Verb::Tag]);
const APPROVER: VerbSet = VerbSet::of(&[
    Verb::Read,
    Verb::Validate,
    Verb::Write,
    Verb::Override,
    Verb::Rollback,
    Verb::Tag,
    Verb::Schema,
]);
const AUDITOR: VerbSet = VerbSet::of(&[Verb::Read, Verb::Audit]);

/// The roles that need not be defined, and cannot be defined otherwise.
pub const BUILT_IN: [(&str, VerbSet); 5] = [
    ("viewer", VIEWER),
    ("editor", EDITOR),
    ("approver", APPROVER),
    ("auditor", AUDITOR),
    ("admin", VerbSet::ALL),
];

pub(super) fn built_in(name: &str) -> Option<VerbSet> {
    BUILT_IN.into_iter().find(|(known, _)| *known == name).map(|(_, verbs)| verbs)
}
