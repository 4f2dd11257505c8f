//! The scopes that a namespace allows, as the field `scopes` of `namespace:settings` lists them. Knows patterns and scopes; no config.

use serde_json::Value;

use super::registry::malformed;
use super::scope_pattern::ScopePattern;
use super::{Found, Severity};
use crate::model::Scope;
use crate::model::similar::similar_scope;

/// Code of a finding about a layer at a scope that its namespace does not allow.
pub const SCOPE_NOT_ALLOWED: &str = "SCOPE_NOT_ALLOWED";
/// The name of the field in `namespace:settings`.
pub(super) const SCOPES: &str = "scopes";
/// The most patterns of a namespace.
pub(super) const SCOPE_PATTERNS_MAX: usize = 1000;
/// A message lists no more patterns.
const LISTED_MAX: usize = 20;

/// The scopes at which a namespace may have new layers. Without patterns: every scope.
#[derive(Clone, Debug, Default)]
pub struct AllowedScopes {
    /// As they are written, and compiled.
    patterns: Option<Vec<(String, ScopePattern)>>,
}

impl AllowedScopes {
    /// Reads the field `scopes`, and reports every pattern that is malformed.
    pub(super) fn read(&mut self, list: &Value, wrong: &mut Vec<Found>) {
        let place = format!("/{SCOPES}");
        let items = list.as_array().filter(|items| (1..=SCOPE_PATTERNS_MAX).contains(&items.len()));
        let Some(items) = items else {
            let message = format!("must be a list of 1 to {SCOPE_PATTERNS_MAX} patterns of scopes");
            wrong.push(malformed(&place, &message));
            return;
        };
        let mut patterns = vec![];
        for (at, item) in items.iter().enumerate() {
            let text = item.as_str().ok_or_else(|| "must be a text such as \"/production/**\"".to_owned());
            match text.and_then(|text| Ok((text.to_owned(), ScopePattern::parse(text)?))) {
                Ok(pattern) => patterns.push(pattern),
                Err(why) => wrong.push(malformed(&format!("{place}/{at}"), &why)),
            }
        }
        self.patterns = Some(patterns);
    }

    /// Whether a scope may have a new layer.
    pub fn allow(&self, scope: &Scope) -> bool {
        self.patterns
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|(_, pattern)| pattern.matches(scope)))
    }

    /// The finding about a layer at a scope that is not allowed: an error for a new layer, a warning for an existing one. Quotes the patterns
    /// only if `may_quote`: the caller may read the settings.
    pub fn refusal(&self, scope: &Scope, is_new: bool, may_quote: bool) -> Found {
        let setting = format!("`{SCOPES}` of namespace:settings");
        let message = match is_new {
            true => format!("scope {scope} is not allowed by {setting}, so it cannot get a layer"),
            false => format!("scope {scope}, which has a layer, is not allowed by {setting}"),
        };
        let suggestion = match (is_new, may_quote) {
            (false, _) => format!("delete the layer, or add {scope} to {setting}"),
            (true, false) => {
                format!("use another scope, or ask somebody with `schema` to add {scope} to {setting}")
            }
            (true, true) => self.suggestion(scope, &setting),
        };
        let severity = if is_new { Severity::Error } else { Severity::Warning };
        Found { severity, code: SCOPE_NOT_ALLOWED.into(), pointer: String::new(), message, suggestion }
    }

    fn suggestion(&self, scope: &Scope, setting: &str) -> String {
        let patterns = self.patterns.as_deref().unwrap_or_default();
        let nearest: Vec<String> =
            patterns.iter().filter_map(|(_, pattern)| pattern.nearest(scope)).collect();
        if let Some(similar) = similar_scope(scope.as_str(), nearest.iter().map(String::as_str)) {
            return format!("use {similar}, or add {scope} to {setting}");
        }
        let listed: Vec<&str> = patterns.iter().take(LISTED_MAX).map(|(text, _)| text.as_str()).collect();
        let more = match patterns.len().saturating_sub(LISTED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("use a scope that is allowed: {}{more}; or add {scope} to {setting}", listed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allowed(list: Value) -> AllowedScopes {
        let (mut allowed, mut wrong) = (AllowedScopes::default(), vec![]);
        allowed.read(&list, &mut wrong);
        assert_eq!(wrong, vec![]);
        allowed
    }

    fn scope(text: &str) -> Scope {
        Scope::parse(text).expect("a scope")
    }

    #[test]
    fn without_the_setting_every_scope_is_allowed_and_with_it_those_that_a_pattern_matches() {
        assert!(AllowedScopes::default().allow(&scope("/anything/goes")));
        let some = allowed(json!(["/", "/production", "/production/*", "/staging/**"]));
        for text in ["/", "/production", "/production/eu", "/staging", "/staging/a/b"] {
            assert!(some.allow(&scope(text)), "{text}");
        }
        for text in ["/prd", "/production/eu/a", "/stagin"] {
            assert!(!some.allow(&scope(text)), "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_similar_scope_or_those_that_are_allowed() {
        let some = allowed(json!(["/", "/production/*"]));
        let found = some.refusal(&scope("/prd/eu"), true, true);
        assert_eq!((found.severity, &*found.code), (Severity::Error, SCOPE_NOT_ALLOWED));
        assert!(found.message.contains("`scopes` of namespace:settings"), "{}", found.message);
        assert!(found.suggestion.starts_with("use /production/eu, or"), "{}", found.suggestion);
        let far = some.refusal(&scope("/x"), true, true).suggestion;
        assert!(far.contains("allowed: /, /production/*; or"), "{far}");
        let blind = some.refusal(&scope("/prd/eu"), true, false);
        assert!(!format!("{blind:?}").contains("production"), "{blind:?}");
        assert_eq!(some.refusal(&scope("/x"), false, true).severity, Severity::Warning);
        let many = allowed((0..30).map(|n| format!("/s{n}/a")).collect::<Vec<_>>().into());
        assert!(many.refusal(&scope("/x"), true, true).suggestion.contains(" and 10 more"));
    }

    #[test]
    fn a_list_that_is_none_is_refused_with_its_place() {
        let wrong = |list: Value| {
            let mut wrong = vec![];
            AllowedScopes::default().read(&list, &mut wrong);
            wrong.into_iter().map(|found| found.pointer).collect::<Vec<_>>()
        };
        assert_eq!(wrong(json!("/production")), ["/scopes"]);
        assert_eq!(wrong(json!([])), ["/scopes"]);
        assert_eq!(wrong(json!(["/a", "b", 3, "/**/c"])), ["/scopes/1", "/scopes/2", "/scopes/3"]);
        assert_eq!(wrong(vec!["/a"; SCOPE_PATTERNS_MAX + 1].into()), ["/scopes"]);
    }
}
