//! Settings of a config or of a namespace, as `settings:NAME` and `namespace:settings` store them. Knows the form.
//!
//! ```json
//! {"strict": true, "lints": {"PLAIN_HTTP": "off"}, "levels": ["environment", "service", "user"], "require_reason": true,
//!  "require_match": true, "scopes": ["/", "/production/**"]}
//! ```
//!
//! The settings of a config go before those of the namespace; only a namespace has `levels`, `require_reason`, `require_match` and `scopes`.

use serde_json::Value;

use super::lint::LintSettings;
use super::registry::{check_fields, check_type, malformed};
use super::scopes::{AllowedScopes, SCOPES};
use super::{Found, FoundList};
use crate::model::scope::SCOPE_SEGMENTS_MAX;

const REQUIRE_REASON: &str = "require_reason";
const REQUIRE_MATCH: &str = "require_match";

/// What may be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Warnings refuse a change as errors do.
    pub strict: bool,
    pub lints: LintSettings,
    /// Names of the levels of a scope, from the top.
    pub levels: Vec<String>,
    /// The scopes at which new layers can be made.
    pub scopes: AllowedScopes,
}

impl Settings {
    /// Reads the settings of the namespace and those of the config, either of which may be missing. Tells everything that is wrong, each
    /// with whether it is of the config.
    pub fn parse(namespace: Option<&Value>, config: Option<&Value>) -> Result<Settings, Vec<(bool, Found)>> {
        let mut wrong = vec![];
        let mut settings = Settings::default();
        for (document, is_of_config) in [(namespace, false), (config, true)] {
            let Some(document) = document else { continue };
            let mut found = vec![];
            let fields: &[&str] = if is_of_config {
                &["strict", "lints"]
            } else {
                &["strict", "lints", "levels", REQUIRE_REASON, REQUIRE_MATCH, SCOPES]
            };
            check_fields(document, "", fields, &mut found);
            check_type(document, "strict", Value::is_boolean, "true or false", "", &mut found);
            if !is_of_config {
                for name in [REQUIRE_REASON, REQUIRE_MATCH] {
                    check_type(document, name, Value::is_boolean, "true or false", "", &mut found);
                }
                document.get("levels").inspect(|levels| check_levels(levels, &mut found));
                document.get(SCOPES).inspect(|scopes| settings.scopes.read(scopes, &mut found));
            }
            if let Some(lints) = document.get("lints") {
                let mut unusable = FoundList::default();
                settings.lints.read(lints, &mut unusable);
                found.extend(unusable.into_kept());
            }
            if let Some(strict) = document.get("strict").and_then(Value::as_bool) {
                settings.strict = strict;
            }
            wrong.extend(found.into_iter().map(|found| (is_of_config, found)));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let levels = namespace.and_then(|document| document.get("levels")).and_then(Value::as_array);
        if let Some(levels) = levels {
            settings.levels = levels.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        Ok(settings)
    }

    /// Whether the settings of a namespace demand that every write says why.
    pub fn require_reason(namespace: &Value) -> bool {
        namespace.get(REQUIRE_REASON).and_then(Value::as_bool) == Some(true)
    }

    /// Whether the settings of a namespace demand that every change of a layer says which version it expects.
    pub fn require_match(namespace: &Value) -> bool {
        namespace.get(REQUIRE_MATCH).and_then(Value::as_bool) == Some(true)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        let levels = ["environment", "service", "user"].map(str::to_owned).to_vec();
        Settings { strict: false, lints: LintSettings::default(), levels, scopes: AllowedScopes::default() }
    }
}

fn check_levels(levels: &Value, wrong: &mut Vec<Found>) {
    let names = levels.as_array().filter(|levels| levels.len() <= SCOPE_SEGMENTS_MAX);
    let is_name = |name: &Value| {
        name.as_str().is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    if !names.is_some_and(|names| names.iter().all(is_name)) {
        let message =
            format!("must be a list of at most {SCOPE_SEGMENTS_MAX} names of letters, digits and _");
        wrong.push(malformed("/levels", &message));
    }
}
