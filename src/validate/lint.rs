//! Lints: find values that are valid and probably a mistake. Knows documents by value and place; no schema and no storage.
//!
//! One pass over a document looks for all of them. It runs in every commit, so it allocates nothing until it finds something. A lint
//! that cries wolf is switched off: where it is not clear, they are silent.

use serde_json::Value;

use crate::model::{LayerKind, Pointer};

use super::{Found, FoundList, Severity};

mod advice;
pub mod credential;
mod document;
mod host;
mod layer;
mod number;
mod path;
mod settings;
mod siblings;
mod words;

pub use document::{check_document, is_production};
pub use layer::check_layer;
pub use settings::LintSettings;

/// What can be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Stable; settings name it.
    pub code: &'static str,
    /// What it looks for.
    pub about: &'static str,
    /// Unless settings say otherwise.
    pub severity: Severity,
}

/// Code of the lint that asks for an override which ends by itself.
pub const DEBUG_IN_PRODUCTION: &str = "DEBUG_IN_PRODUCTION";

/// Code of the lint for a null that removes an object.
pub const REMOVES_OBJECT: &str = "REMOVES_OBJECT";

/// All lints, in the order of `Check`.
pub const ALL: &[Lint] = &[
    Lint {
        code: "CREDENTIAL",
        about: "a value that looks like a credential, by its name or by itself, at a place that is not marked as secret",
        severity: Severity::Warning,
    },
    Lint {
        code: DEBUG_IN_PRODUCTION,
        about: "debugging, or a log level of debug or trace, in an environment named production, prod or live, unless an override sets it that ends by itself",
        severity: Severity::Warning,
    },
    Lint {
        code: "PLAIN_HTTP_IN_PRODUCTION",
        about: "an http:// URL of a public host, in an environment named production, prod or live",
        severity: Severity::Warning,
    },
    Lint { code: "PORT_RANGE", about: "a port that is not within 0 to 65535", severity: Severity::Warning },
    Lint {
        code: "HOST_SYNTAX",
        about: "a host that no resolver can resolve, by its syntax",
        severity: Severity::Warning,
    },
    Lint {
        code: "TIMEOUT",
        about: "a time that is negative, or absurd for the unit that its name says",
        severity: Severity::Warning,
    },
    Lint {
        code: "MIN_ABOVE_MAX",
        about: "a minimum, such as that of a pool, above the maximum beside it",
        severity: Severity::Warning,
    },
    Lint {
        code: "LONG_LIST",
        about: "a list of more than a thousand elements",
        severity: Severity::Suggestion,
    },
    Lint {
        code: "SIMILAR_KEYS",
        about: "names of siblings that differ in case or separators only",
        severity: Severity::Suggestion,
    },
    Lint {
        code: "REDUNDANT_VALUE",
        about: "a value of a layer that equals what the layer inherits",
        severity: Severity::Suggestion,
    },
    Lint {
        code: "SHADOWS_NOTHING",
        about: "a value of an override, or a null of any layer, at a place where nothing is inherited",
        severity: Severity::Suggestion,
    },
    Lint {
        code: REMOVES_OBJECT,
        about: "a null that removes an object with all that is inherited below it, as a YAML key with nothing below it does",
        severity: Severity::Suggestion,
    },
    Lint {
        code: "OCTAL_MODE",
        about: "a mode of files, by its name, whose octal digits are a decimal number: 0644 in YAML is 644",
        severity: Severity::Warning,
    },
    Lint {
        code: "TEXT_FOR_BOOLEAN",
        about: "a text such as \"yes\" or \"true\" where the name says that it is true or false",
        severity: Severity::Warning,
    },
];

/// One of `ALL`, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Credential,
    DebugInProduction,
    PlainHttpInProduction,
    PortRange,
    HostSyntax,
    Timeout,
    MinAboveMax,
    LongList,
    SimilarKeys,
    RedundantValue,
    ShadowsNothing,
    RemovesObject,
    OctalMode,
    TextForBoolean,
}

impl Check {
    fn code(self) -> &'static str {
        ALL[self as usize].code
    }
}

/// An effective document to look at.
pub struct LintInput<'a> {
    pub document: &'a Value,
    /// Whether users see the environment.
    pub is_production: bool,
    /// The merge patch that made the document out of one that was looked at: only what it may have changed is looked at again. `None`:
    /// all of it is.
    pub change: Option<&'a Value>,
    /// Whether the place at a pointer is marked as secret, so that a credential is rightly there.
    pub secret: &'a dyn Fn(&str) -> bool,
    pub settings: &'a LintSettings,
}

/// Whether what was found in a document is still so after a merge patch that made `document` of it, and is not looked for again as part
/// of the change.
pub fn is_unchanged(found: &Found, change: &Value, document: &Value) -> bool {
    let Ok(pointer) = Pointer::parse(&found.pointer) else { return false };
    let (mut change, mut value) = (change, document);
    let mut tokens = pointer.tokens();
    while let Some(token) = tokens.next() {
        let (Value::Object(changes), Value::Object(members)) = (change, value) else { return false };
        match (changes.get(token), members.get(token)) {
            (Some(next_change), Some(next)) => (change, value) = (next_change, next),
            (Some(_), None) => return false,
            (None, _) => {
                let is_looked_at_again =
                    tokens.len() == 0 && siblings::are_looked_at_again(changes, members, &found.code);
                return !is_looked_at_again && pointer.find(document).is_some();
            }
        }
    }
    false
}

/// A layer to look at, beside what it acts on.
pub struct LayerInput<'a> {
    pub layer: &'a Value,
    pub kind: LayerKind,
    /// The effective document without the layer. `None`, where there is none: the layer inherits nothing.
    pub inherited: Option<&'a Value>,
    pub settings: &'a LintSettings,
}

#[cfg(test)]
mod tests;
