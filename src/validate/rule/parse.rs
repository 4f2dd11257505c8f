//! Rules as they are stored: `{"rules": {ID: {"expression": …, …}}}`. Knows no document.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::super::expression::{Expression, PATTERN_SIZE_MAX};
use super::{
    Message, PATTERNS_SIZE_MAX, RULE_EXPRESSION_INVALID, RULE_MALFORMED, RULES_MAX, Rule, RuleSet,
    SOURCES_BYTES_MAX, ScopePattern, VARIABLES,
};
use crate::model::Pointer;
use crate::validate::{Found, Severity};

const SET_MEMBERS: [&str; 1] = ["rules"];
const RULE_MEMBERS: [&str; 6] =
    ["expression", "message", "message_expression", "severity", "suggestion", "scope"];
const SEVERITIES: [(&str, Severity); 3] =
    [("error", Severity::Error), ("warning", Severity::Warning), ("suggestion", Severity::Suggestion)];
/// The longest id, and the longest text that is shown as it is.
const ID_BYTES_MAX: usize = 63;
const TEXT_BYTES_MAX: usize = 1000;

impl RuleSet {
    /// Reads and compiles stored rules. All mistakes are told, each with its place.
    pub fn parse(document: &Value) -> Result<RuleSet, Vec<Found>> {
        let mut reader = RuleReader { found: Vec::new(), sources_bytes: 0, patterns_size: 0 };
        let rules = reader.set(document);
        match reader.found.is_empty() {
            true => Ok(RuleSet { rules }),
            false => Err(reader.found),
        }
    }
}

/// Goes on after a mistake, to tell of all of them.
struct RuleReader {
    found: Vec<Found>,
    /// Of all expressions up to now, those that do not compile included.
    sources_bytes: usize,
    patterns_size: usize,
}

impl RuleReader {
    fn set(&mut self, document: &Value) -> Vec<Rule> {
        let root = Pointer::root();
        let Some(members) = self.object(&root, document, "rules") else { return Vec::new() };
        self.members(&root, members, &SET_MEMBERS);
        let Some(rules) = members.get("rules") else { return Vec::new() };
        let place = root.child("rules");
        let Some(rules) = self.object(&place, rules, "rules by id") else { return Vec::new() };
        if rules.len() > RULES_MAX {
            let message = format!("there are {} rules, at most {RULES_MAX} are allowed", rules.len());
            self.malformed(&place, message, "write several conditions as one expression, with `&&`");
            return Vec::new();
        }
        rules.iter().filter_map(|(id, rule)| self.rule(&place.child(id), id, rule)).collect()
    }

    fn rule(&mut self, place: &Pointer, id: &str, rule: &Value) -> Option<Rule> {
        if !is_id(id) {
            let expected = "expected is an id of a-z, 0-9, -, . and _, with a letter or digit first and last";
            self.malformed(place, format!("{expected}, of at most {ID_BYTES_MAX} bytes"), "rename the rule");
        }
        let members = self.object(place, rule, "a rule")?;
        self.members(place, members, &RULE_MEMBERS);
        let source = self.text(place, members, "expression");
        if source.is_none() && !members.contains_key("expression") {
            self.malformed(
                place,
                "a rule needs an expression",
                "add \"expression\": \"config.a <= config.b\"",
            );
        }
        let expression = source.and_then(|source| self.compile(&place.child("expression"), source));
        let message = self.message(place, members);
        let severity = self.severity(place, members);
        let suggestion = self.short_text(place, members, "suggestion").unwrap_or_default();
        let scope = self.scope(place, members);
        Some(Rule {
            id: id.to_owned(),
            expression: expression?,
            source: source?.to_owned(),
            message,
            severity,
            suggestion: suggestion.to_owned(),
            scope,
        })
    }

    fn message(&mut self, place: &Pointer, members: &Map<String, Value>) -> Message {
        let text = self.short_text(place, members, "message");
        let source = self.text(place, members, "message_expression");
        match (text, source) {
            (None, None) => Message::None,
            (Some(text), None) => Message::Text(text.to_owned()),
            (None, Some(source)) => {
                let compiled = self.compile(&place.child("message_expression"), source);
                compiled.map_or(Message::None, |expression| Message::Expression(Box::new(expression)))
            }
            (Some(_), Some(_)) => {
                let message = "a rule has a message or a message_expression, not both";
                self.malformed(&place.child("message_expression"), message, "remove one of them");
                Message::None
            }
        }
    }

    fn severity(&mut self, place: &Pointer, members: &Map<String, Value>) -> Severity {
        let Some(text) = self.text(place, members, "severity") else { return Severity::Error };
        match SEVERITIES.iter().find(|(name, _)| *name == text) {
            Some((_, severity)) => *severity,
            None => {
                let names = SEVERITIES.map(|(name, _)| name).join(", ");
                self.malformed(&place.child("severity"), format!("expected is one of {names}"), "");
                Severity::Error
            }
        }
    }

    fn scope(&mut self, place: &Pointer, members: &Map<String, Value>) -> ScopePattern {
        let Some(text) = self.text(place, members, "scope") else { return ScopePattern::everywhere() };
        ScopePattern::parse(text).unwrap_or_else(|why| {
            let suggestion = "write /production/** for a scope and all below it, * for any one segment";
            self.malformed(&place.child("scope"), format!("the pattern of scopes {why}"), suggestion);
            ScopePattern::everywhere()
        })
    }

    fn compile(&mut self, place: &Pointer, source: &str) -> Option<Expression> {
        self.sources_bytes += source.len();
        if self.sources_bytes > SOURCES_BYTES_MAX {
            let message = format!(
                "the expression is one too many: those of all rules together have more than {SOURCES_BYTES_MAX} bytes"
            );
            self.malformed(
                place,
                message,
                "write fewer or shorter rules, or move some to the rules of single configs",
            );
            return None;
        }
        if self.patterns_size > PATTERNS_SIZE_MAX {
            let message = "the expression is one too many: the regular expressions of all rules together are too large when compiled";
            self.malformed(place, message, "repeat less, and use fewer classes of Unicode");
            return None;
        }
        let mistakes = match Expression::compile(source, &VARIABLES) {
            Ok(expression) => {
                self.patterns_size += expression.patterns_size();
                return Some(expression);
            }
            Err(mistakes) => mistakes,
        };
        // Each may be a pattern that was compiled until it was too large.
        self.patterns_size += mistakes.len() * PATTERN_SIZE_MAX;
        self.found.extend(mistakes.into_iter().map(|mistake| Found {
            severity: Severity::Error,
            code: Cow::Borrowed(RULE_EXPRESSION_INVALID),
            pointer: place.to_string(),
            message: mistake.to_string(),
            suggestion: String::new(),
        }));
        None
    }

    fn object<'v>(
        &mut self,
        place: &Pointer,
        value: &'v Value,
        what: &str,
    ) -> Option<&'v Map<String, Value>> {
        if !value.is_object() {
            self.malformed(place, format!("expected is an object: {what}"), "");
        }
        value.as_object()
    }

    fn text<'v>(&mut self, place: &Pointer, members: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
        let value = members.get(name)?;
        if !value.is_string() {
            self.malformed(&place.child(name), "expected is a string", "");
        }
        value.as_str()
    }

    fn short_text<'v>(
        &mut self,
        place: &Pointer,
        members: &'v Map<String, Value>,
        name: &str,
    ) -> Option<&'v str> {
        let text = self.text(place, members, name)?;
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the text has {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len());
            self.malformed(&place.child(name), message, "");
        }
        Some(text)
    }

    fn members(&mut self, place: &Pointer, members: &Map<String, Value>, allowed: &[&str]) {
        for name in members.keys().filter(|name| !allowed.contains(&name.as_str())) {
            let suggestion = format!("allowed are {}", allowed.join(", "));
            self.malformed(&place.child(name), "there is no such member", suggestion);
        }
    }

    fn malformed(&mut self, place: &Pointer, message: impl Into<String>, suggestion: impl Into<String>) {
        self.found.push(Found {
            severity: Severity::Error,
            code: Cow::Borrowed(RULE_MALFORMED),
            pointer: place.to_string(),
            message: message.into(),
            suggestion: suggestion.into(),
        });
    }
}

fn is_id(id: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inside = |byte: u8| edge(&byte) || matches!(byte, b'-' | b'.' | b'_');
    let bytes = id.as_bytes();
    bytes.len() <= ID_BYTES_MAX
        && id.bytes().all(inside)
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
}
