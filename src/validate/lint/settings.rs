//! Which lints are on, and how much they matter. Knows no documents.

use serde_json::Value;

use super::{ALL, Check};
use crate::model::nearest::suggest;
use crate::model::pointer::Pointer;
use crate::validate::{Found, FoundList, Severity};

/// The severity of each lint; none of those that are off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintSettings {
    severities: [Option<Severity>; ALL.len()],
}

impl Default for LintSettings {
    fn default() -> LintSettings {
        LintSettings { severities: std::array::from_fn(|at| Some(ALL[at].severity)) }
    }
}

impl LintSettings {
    /// Reads `{"CODE": "off", ...}`, the member `lints` of settings. Lints that it does not name stay as they were, so that the settings
    /// of a config come on top of those of its namespace.
    pub fn read(&mut self, lints: &Value, found: &mut FoundList) {
        let Some(members) = lints.as_object() else {
            let message = "an object of codes and severities expected".to_owned();
            return found.add(Severity::Error, || wrong("/lints".to_owned(), message, String::new()));
        };
        for (code, severity) in members {
            let pointer = || format!("/lints{}", Pointer::root().child(code));
            let Some(at) = ALL.iter().position(|lint| lint.code == code) else {
                let suggestion = suggest(code, ALL.iter().map(|lint| lint.code));
                found.add(Severity::Error, || {
                    wrong(pointer(), format!("there is no lint {code:?}"), suggestion)
                });
                continue;
            };
            self.severities[at] = match severity.as_str() {
                Some("off") => None,
                Some("suggestion") => Some(Severity::Suggestion),
                Some("warning") => Some(Severity::Warning),
                Some("error") => Some(Severity::Error),
                Some(_) | None => {
                    let names = ["off", "suggestion", "warning", "error"];
                    let suggestion = severity.as_str().map(|text| suggest(text, names)).unwrap_or_default();
                    let message = format!("one of {} expected", names.join(", "));
                    found.add(Severity::Error, || wrong(pointer(), message, suggestion));
                    continue;
                }
            };
        }
    }

    /// How much a lint matters; `None` if it is off.
    pub(super) fn of(&self, check: Check) -> Option<Severity> {
        self.severities[check as usize]
    }
}

fn wrong(pointer: String, message: String, suggestion: String) -> Found {
    Found { severity: Severity::Error, code: "SETTINGS_LINT".into(), pointer, message, suggestion }
}
