//! Steps as they are stored: `[{"move": {"from": "/a", "to": "/b"}}, …]`. Knows no layer.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{MIGRATION_MALFORMED, Migration, MigrationStep, STEPS_MAX, VARIABLES};
use crate::model::Pointer;
use crate::model::depth::depth;
use crate::model::limits::DEPTH_MAX;
use crate::validate::expression::Expression;
use crate::validate::{Found, Severity};

/// The kinds of step, with their members.
const KINDS: [(&str, &[&str]); 5] = [
    ("move", &["from", "to"]),
    ("rename", &["at", "to"]),
    ("set_default", &["at", "value", "everywhere"]),
    ("remove", &["at"]),
    ("convert", &["at", "expression"]),
];

impl Migration {
    /// Reads and compiles stored steps. All mistakes are told, each with its place.
    pub fn parse(document: &Value) -> Result<Migration, Vec<Found>> {
        let mut reader = MigrationReader { found: Vec::new() };
        let steps = reader.steps(document);
        match reader.found.is_empty() {
            true => Ok(Migration { steps }),
            false => Err(reader.found),
        }
    }
}

/// Goes on after a mistake, to tell of all of them.
struct MigrationReader {
    found: Vec<Found>,
}

impl MigrationReader {
    fn steps(&mut self, document: &Value) -> Vec<MigrationStep> {
        let root = Pointer::root();
        let Value::Array(steps) = document else {
            self.malformed(&root, "expected is a list of steps", "");
            return Vec::new();
        };
        if steps.len() > STEPS_MAX {
            let message = format!("there are {} steps, at most {STEPS_MAX} are allowed", steps.len());
            self.malformed(&root, message, "migrate in several versions of the schema");
            return Vec::new();
        }
        let step = |(number, step): (usize, &Value)| self.step(&root.child(&number.to_string()), step);
        steps.iter().enumerate().filter_map(step).collect()
    }

    fn step(&mut self, place: &Pointer, step: &Value) -> Option<MigrationStep> {
        let single =
            step.as_object().filter(|members| members.len() == 1).and_then(|members| members.iter().next());
        let known = single.and_then(|(kind, body)| {
            let (kind, members) = KINDS.iter().find(|(name, _)| name == kind)?;
            Some((*kind, *members, body))
        });
        let Some((kind, allowed, body)) = known else {
            let kinds = KINDS.map(|(name, _)| name).join(", ");
            self.malformed(place, format!("expected is an object with one of {kinds}"), "");
            return None;
        };
        let place = &place.child(kind);
        let Value::Object(members) = body else {
            self.malformed(place, format!("expected is an object with {}", allowed.join(", ")), "");
            return None;
        };
        for name in members.keys().filter(|name| !allowed.contains(&name.as_str())) {
            let suggestion = format!("allowed are {}", allowed.join(", "));
            self.malformed(&place.child(name), "there is no such member", suggestion);
        }
        match kind {
            "move" => {
                let (from, to) = (self.pointer(place, members, "from"), self.pointer(place, members, "to"));
                self.move_value(place, from?, to?)
            }
            "rename" => {
                let (at, to) = (self.pointer(place, members, "at"), self.text(place, members, "to"));
                let (at, name) = (at?, to?);
                let parent: Vec<String> =
                    at.tokens().take(at.tokens().len() - 1).map(str::to_owned).collect();
                let to = parent.into_iter().chain([name.to_owned()]).collect();
                self.move_value(place, at, to)
            }
            "set_default" => self.set_default(place, members),
            "remove" => Some(MigrationStep::Remove { at: self.pointer(place, members, "at")? }),
            "convert" => self.convert(place, members),
            other => unreachable!("{other} is not one of the kinds"),
        }
    }

    fn move_value(&mut self, place: &Pointer, from: Pointer, to: Pointer) -> Option<MigrationStep> {
        if from.contains(&to) || to.contains(&from) {
            let message = format!("{from} and {to} are the same place, or one is within the other");
            self.malformed(place, message, "move by way of a third place");
            return None;
        }
        Some(MigrationStep::Move { from, to })
    }

    fn set_default(&mut self, place: &Pointer, members: &Map<String, Value>) -> Option<MigrationStep> {
        let at = self.pointer(place, members, "at");
        let value = members.get("value");
        match value {
            None => self.malformed(place, "the step needs a value", ""),
            Some(Value::Null) => {
                self.malformed(&place.child("value"), "null is no value: in a layer, it removes", "");
            }
            Some(value) if depth(value) >= DEPTH_MAX => {
                self.malformed(&place.child("value"), "the value nests too deep", "");
            }
            Some(_) => {}
        }
        if members.get("everywhere").is_some_and(|everywhere| !everywhere.is_boolean()) {
            self.malformed(&place.child("everywhere"), "expected is true or false", "");
        }
        Some(MigrationStep::SetDefault { at: at?, value: value?.clone() })
    }

    fn convert(&mut self, place: &Pointer, members: &Map<String, Value>) -> Option<MigrationStep> {
        let (at, source) = (self.pointer(place, members, "at"), self.text(place, members, "expression"));
        match Expression::compile(source?, &VARIABLES) {
            Ok(expression) => Some(MigrationStep::Convert { at: at?, expression }),
            Err(mistakes) => {
                let place = place.child("expression");
                mistakes.iter().for_each(|mistake| self.malformed(&place, mistake.to_string(), ""));
                None
            }
        }
    }

    /// A place below the root.
    fn pointer(&mut self, place: &Pointer, members: &Map<String, Value>, name: &str) -> Option<Pointer> {
        let text = self.text(place, members, name)?;
        let place = place.child(name);
        match Pointer::parse(text) {
            Ok(pointer) if pointer.is_root() => {
                self.malformed(&place, "the place is the whole document", "name a place in it");
                None
            }
            Ok(pointer) if pointer.tokens().len() > DEPTH_MAX => {
                self.malformed(&place, "the place is deeper than documents are", "");
                None
            }
            Ok(pointer) => Some(pointer),
            Err(error) => {
                self.malformed(&place, format!("the pointer {error}"), "write /a/b for b in a");
                None
            }
        }
    }

    fn text<'v>(&mut self, place: &Pointer, members: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
        match members.get(name) {
            Some(Value::String(text)) => return Some(text),
            Some(_) => self.malformed(&place.child(name), "expected is a string", ""),
            None => self.malformed(place, format!("the step needs {name:?}"), ""),
        }
        None
    }

    fn malformed(&mut self, place: &Pointer, message: impl Into<String>, suggestion: impl Into<String>) {
        self.found.push(Found {
            severity: Severity::Error,
            code: Cow::Borrowed(MIGRATION_MALFORMED),
            pointer: place.to_string(),
            message: message.into(),
            suggestion: suggestion.into(),
        });
    }
}
