//! Reads documents that govern access, and reports all problems of one, each with its place. Knows JSON only.

use serde_json::{Map, Value};

use super::Problem;
use super::problem::PROBLEMS_MAX;
use crate::model::Pointer;
use crate::model::nearest::suggest;

/// The problems that were found so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    problems: Vec<Problem>,
}

/// A value, and its place in the document.
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    pub value: &'v Value,
    pub pointer: Pointer,
}

impl<'v> At<'v> {
    pub fn root(value: &'v Value) -> At<'v> {
        At { value, pointer: Pointer::root() }
    }

    /// A member whose value is not null, if the object has it.
    pub fn member(&self, name: &str) -> Option<At<'v>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(At { value, pointer: self.pointer.child(name) })
    }
}

impl Reader {
    /// Gives the value that was read, or the problems.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() { Ok(read) } else { Err(self.problems) }
    }

    pub fn wrong(&mut self, pointer: &Pointer, message: impl Into<String>, suggestion: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            let (message, suggestion) = (message.into(), suggestion.into());
            self.problems.push(Problem { pointer: pointer.to_string(), message, suggestion });
        }
    }

    /// Gives the value that was read, or adds its problems.
    pub fn take<T, E: std::fmt::Display>(&mut self, pointer: &Pointer, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.wrong(pointer, error.to_string(), "")).ok()
    }

    /// An object with no other members than these.
    pub fn object(&mut self, at: &At<'_>, fields: &[&str]) -> Option<()> {
        for name in self.map(at)?.keys() {
            if !fields.contains(&name.as_str()) {
                let message = format!("there is no field {name:?}");
                self.wrong(&at.pointer.child(name), message, suggest(name, fields.iter().copied()));
            }
        }
        Some(())
    }

    /// An object whose members have names of their own.
    pub fn map<'v>(&mut self, at: &At<'v>) -> Option<&'v Map<String, Value>> {
        let members = at.value.as_object();
        if members.is_none() {
            self.wrong(&at.pointer, "an object expected", "");
        }
        members
    }

    /// The members of such an object, up to a limit.
    pub fn members<'v>(&mut self, at: &At<'v>, most: usize) -> Vec<(&'v str, At<'v>)> {
        let Some(members) = self.map(at) else { return vec![] };
        if members.len() > most {
            self.wrong(&at.pointer, format!("has {} members, at most {most} are allowed", members.len()), "");
            return vec![];
        }
        let place = |name: &String| at.pointer.child(name);
        members.iter().map(|(name, value)| (name.as_str(), At { value, pointer: place(name) })).collect()
    }

    /// The elements of a list, up to a limit.
    pub fn elements<'v>(&mut self, at: &At<'v>, most: usize) -> Vec<At<'v>> {
        let Some(elements) = at.value.as_array() else {
            self.wrong(&at.pointer, "a list expected", "");
            return vec![];
        };
        if elements.len() > most {
            self.wrong(
                &at.pointer,
                format!("has {} elements, at most {most} are allowed", elements.len()),
                "",
            );
            return vec![];
        }
        let place = |n: usize| at.pointer.child(&n.to_string());
        elements.iter().enumerate().map(|(n, value)| At { value, pointer: place(n) }).collect()
    }

    pub fn text<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        let text = at.value.as_str();
        if text.is_none() {
            self.wrong(&at.pointer, "a text expected", "");
        }
        text
    }

    /// A member that must be there.
    pub fn required<'v>(&mut self, at: &At<'v>, name: &str) -> Option<At<'v>> {
        let member = at.member(name);
        if member.is_none() {
            self.wrong(&at.pointer, format!("has no {name:?}"), "");
        }
        member
    }
}
