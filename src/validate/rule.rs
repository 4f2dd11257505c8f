//! Rules: conditions over a whole document, in CEL, which relate fields to each other, to the scope, and to what was there before.
//! Knows one document at a time; not where rules are stored, nor to which configs they apply.
//!
//! An expression is true where the document satisfies the rule. It can name:
//! - `config`: the effective document;
//! - `scope`: its scope as text, `"/production/checkout"`;
//! - `levels`: a map with the segment of the scope at each level of the namespace: `levels.environment`. It has every level; `""`
//!   where the scope ends above it;
//! - `old`: the effective document before the change, `null` if there was none.
//!
//! Missing fields, wrong types and too much work are not "satisfied": a rule that cannot be evaluated is a finding itself, with
//! the severity of the rule.

mod input;
mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::advice::NEEDS_REVEAL;
use super::expression::{Expression, Failure, FieldRead, Mistake, Variables};
use super::scope_pattern::ScopePattern;
use super::{Found, FoundList, Severity};
use crate::model::Pointer;

pub use input::RuleInput;

/// Code of a finding about a rule that could not be evaluated.
pub const RULE_FAILED: &str = "RULE_FAILED";
/// Code of a finding about rules that are not in the form for rules.
pub const RULE_MALFORMED: &str = "RULE_MALFORMED";
/// Code of a finding about an expression that does not compile.
pub const RULE_EXPRESSION_INVALID: &str = "RULE_EXPRESSION_INVALID";
/// Code of a finding about an expression that reads a field which documents cannot have.
pub const RULE_FIELD_UNKNOWN: &str = "RULE_FIELD_UNKNOWN";

/// The most rules of one set.
pub const RULES_MAX: usize = 500;
/// The sources of all expressions of one set, messages included. Bounds how long compiling them takes, which happens anew whenever
/// something that governs the namespace changes.
pub const SOURCES_BYTES_MAX: usize = 256 << 10;
/// The compiled size of all patterns of one set: of what is beyond it, nothing is compiled. Bounds the memory of a set and, as for the
/// regular expressions of a schema, the time to compile it.
pub const PATTERNS_SIZE_MAX: usize = 8 << 20;
/// What all rules together may take for one document: about half a second.
pub const DOCUMENT_STEPS_MAX: u64 = 5_000_000;
/// The longest message that an expression can make.
pub const MESSAGE_BYTES_MAX: usize = 1000;

/// The variables that expressions of rules can name.
const VARIABLES: [&str; 4] = ["config", "scope", "levels", "old"];

/// Compiled rules.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// In the order of their ids.
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Also the code of its findings: in lower case, so that it is none of ours.
    id: String,
    expression: Expression,
    source: String,
    message: Message,
    severity: Severity,
    suggestion: String,
    scope: ScopePattern,
}

#[derive(Debug)]
enum Message {
    /// Made of the source of the rule.
    None,
    Text(String),
    Expression(Box<Expression>),
}

/// The fields of documents that one rule reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleReads<'r> {
    pub rule: &'r str,
    /// `["a", "b"]` for `config.a.b`. Fields of elements of lists and maps, as of `x` in `config.l.all(x, …)`, are not told.
    pub paths: Vec<&'r [String]>,
}

impl RuleSet {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The compiled size of the patterns of all expressions, at most.
    pub fn patterns_size(&self) -> usize {
        let of_message = |rule: &Rule| match &rule.message {
            Message::Expression(expression) => expression.patterns_size(),
            Message::None | Message::Text(_) => 0,
        };
        self.rules.iter().map(|rule| rule.expression.patterns_size() + of_message(rule)).sum()
    }

    /// Whether any rule looks at what was there before.
    pub fn names_old(&self) -> bool {
        self.rules.iter().any(Rule::names_old)
    }

    /// Checks a document. Conversion for CEL is done once for all sets that check the same input.
    pub fn check(&self, input: &mut RuleInput<'_>, found: &mut FoundList) {
        for rule in &self.rules {
            if rule.scope.matches(input.scope()) {
                rule.check(input, found);
            }
        }
    }

    /// What each rule reads of a document, its message included.
    pub fn reads(&self) -> impl Iterator<Item = RuleReads<'_>> {
        self.rules.iter().map(|rule| RuleReads {
            rule: &rule.id,
            paths: rule.fields().map(|(_, read)| read.path.as_slice()).collect(),
        })
    }

    /// A finding for each field that a rule reads and that no document can have, as `forbidden` knows it. Pointers are those of
    /// the stored rules.
    pub fn check_fields(&self, forbidden: &dyn Fn(&[&str]) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        for rule in &self.rules {
            for (member, read) in rule.fields() {
                let path: Vec<&str> = read.path.iter().map(String::as_str).collect();
                if !forbidden(&path) {
                    continue;
                }
                let message =
                    format!("`config.{}` is read, which the schema does not permit", path.join("."));
                found.push(Found {
                    severity: Severity::Error,
                    code: Cow::Borrowed(RULE_FIELD_UNKNOWN),
                    pointer: Pointer::root().child("rules").child(&rule.id).child(member).to_string(),
                    message: Mistake { line: read.line, column: read.column, message }.to_string(),
                    suggestion: "correct the name, or permit the field in the schema first".into(),
                });
            }
        }
        found
    }
}

impl Rule {
    fn check(&self, input: &mut RuleInput<'_>, found: &mut FoundList) {
        let with_old = self.names_old();
        let (variables, steps) = input.prepared(with_old);
        match self.expression.is_true(variables, steps) {
            Ok(true) => {}
            Ok(false) | Err(_) if self.reads_masked(input.masked()).is_some() => {
                let reads = self.reads_masked(input.masked()).expect("it was asked above");
                if !reads.nothing_else {
                    found.add(self.severity, || self.undecided(reads.place));
                }
            }
            Ok(false) => {
                // Of a list that is full, messages are not made any more.
                found.add(self.severity, || Found {
                    severity: self.severity,
                    code: Cow::Owned(self.id.clone()),
                    pointer: self.pointer(),
                    message: input.with_told(with_old, |variables, steps| self.message(variables, steps)),
                    suggestion: self.suggestion.clone(),
                });
            }
            Err(failure) => found.add(self.severity, || self.failed(failure)),
        }
    }

    /// Fields of documents that it reads, with the member of the stored rule that has the expression.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &FieldRead)> {
        let by_message = match &self.message {
            Message::Expression(expression) => expression.reads(),
            Message::None | Message::Text(_) => &[],
        };
        let all = self.expression.reads().iter().map(|read| ("expression", read));
        let all = all.chain(by_message.iter().map(|read| ("message_expression", read)));
        all.filter(|(_, read)| read.variable == "config")
    }

    /// Whether it reads a place that has a mask.
    fn reads_masked<'m>(&self, masked: &'m BTreeSet<String>) -> Option<MaskedReads<'m>> {
        if masked.is_empty() {
            return None;
        }
        let mut found = MaskedReads { place: "", nothing_else: !self.expression.reads().is_empty() };
        for read in self.expression.reads() {
            let path = read.path.iter().cloned().collect::<Pointer>().to_string();
            let within = |outer: &str, inner: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let place = masked.iter().find(|place| within(place, &path) || within(&path, place));
            found.nothing_else &= place.is_some_and(|place| within(place, &path));
            found.place = place.map_or(found.place, String::as_str);
        }
        (!found.place.is_empty()).then_some(found)
    }

    /// It does not hold with a mask in the place of a secret, and the caller may not have it evaluated with the secret.
    fn undecided(&self, place: &str) -> Found {
        Found {
            severity: self.severity,
            code: Cow::Owned(self.id.clone()),
            pointer: self.pointer(),
            message: format!(
                "rule {} depends on the secret at {place}, which the caller may not see",
                self.id
            ),
            suggestion: NEEDS_REVEAL.to_owned(),
        }
    }

    /// The first field that it reads.
    fn pointer(&self) -> String {
        let first = self.expression.reads().iter().find(|read| read.variable == "config");
        first.map_or_else(String::new, |read| read.path.iter().cloned().collect::<Pointer>().to_string())
    }

    fn names_old(&self) -> bool {
        let by_message = match &self.message {
            Message::Expression(expression) => expression.names("old"),
            Message::None | Message::Text(_) => false,
        };
        by_message || self.expression.names("old")
    }

    fn message(&self, variables: &Variables<'_>, steps: &mut u64) -> String {
        let default = || format!("rule {} expects {}", self.id, one_line(&self.source));
        match &self.message {
            Message::None => default(),
            Message::Text(text) => text.clone(),
            Message::Expression(expression) => match expression.text(variables, steps) {
                Ok(mut text) => {
                    text.truncate(start_bytes(&text, MESSAGE_BYTES_MAX));
                    text
                }
                Err(failure) => format!("{} (its message failed: {})", default(), failure.message),
            },
        }
    }

    fn failed(&self, failure: Failure) -> Found {
        Found {
            severity: self.severity,
            code: Cow::Borrowed(RULE_FAILED),
            pointer: self.pointer(),
            message: format!("rule {} cannot be evaluated: {}", self.id, failure.message),
            suggestion: failure.suggestion,
        }
    }
}

/// What a rule that is not satisfied reads of masked places.
struct MaskedReads<'m> {
    place: &'m str,
    /// Whether the secret was valid was decided when it was written.
    nothing_else: bool,
}

fn one_line(source: &str) -> String {
    let words: Vec<&str> = source.split_whitespace().collect();
    let mut line = words.join(" ");
    if line.len() > SOURCE_IN_MESSAGE_BYTES_MAX {
        line.truncate(start_bytes(&line, SOURCE_IN_MESSAGE_BYTES_MAX));
        line.push('…');
    }
    line
}

/// How much of an expression a message shows.
const SOURCE_IN_MESSAGE_BYTES_MAX: usize = 200;

/// How many bytes of a text are at most so many, without a part of a character.
fn start_bytes(text: &str, bytes_max: usize) -> usize {
    (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
