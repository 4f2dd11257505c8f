//! Reads limits of namespaces, `{"default": {…}, "namespaces": {"NAME": {…}}}`, as several system configs have them, and objects with named members. Knows
//! the form; not what is limited.
//!
//! A namespace without a limit of its own has the limit of `default`, and `default` that of the caller.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Found;
use super::registry::{check_fields, malformed};
use crate::model::{Namespace, Pointer};

/// As many namespaces can have limits of their own: each may have series in the metrics.
const NAMESPACES_MAX: usize = 1000;

/// The limits of every namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamespaceLimits<L> {
    pub default: L,
    pub namespaces: BTreeMap<Namespace, L>,
}

impl<L: Copy> NamespaceLimits<L> {
    /// The same for all of them.
    pub fn of_all(default: L) -> NamespaceLimits<L> {
        NamespaceLimits { default, namespaces: BTreeMap::new() }
    }

    /// Reads a document. `read` is given the limits of one namespace, their place, and the limits that hold where it has none. `refuse` gives the reason
    /// why a namespace cannot have limits.
    pub fn read(
        document: &Value,
        otherwise: L,
        read: impl Fn(&Value, &str, L, &mut Vec<Found>) -> L,
        refuse: impl Fn(&Namespace) -> Option<&'static str>,
    ) -> Result<NamespaceLimits<L>, Vec<Found>> {
        let mut wrong = vec![];
        check_fields(document, "", &["default", "namespaces"], &mut wrong);
        let mut limits = NamespaceLimits::of_all(otherwise);
        if let Some(default) = document.get("default") {
            limits.default = read(default, "/default", otherwise, &mut wrong);
        }
        for Member { name, value, place } in members(document, "namespaces", NAMESPACES_MAX, &mut wrong) {
            match Namespace::parse(name) {
                Ok(namespace) => match refuse(&namespace) {
                    Some(why) => wrong.push(malformed(&place, why)),
                    None => {
                        let own = read(value, &place, limits.default, &mut wrong);
                        limits.namespaces.insert(namespace, own);
                    }
                },
                Err(error) => wrong.push(malformed(&place, &error.to_string())),
            }
        }
        if wrong.is_empty() { Ok(limits) } else { Err(wrong) }
    }

    pub fn of(&self, namespace: &Namespace) -> L {
        self.namespaces.get(namespace).copied().unwrap_or(self.default)
    }
}

/// A member of an object, with its pointer.
pub(super) struct Member<'a> {
    pub name: &'a str,
    pub value: &'a Value,
    pub place: String,
}

/// The members of an object that a document may have as a field, in order. Tells of a field that is no object, and of too many members.
pub(super) fn members<'a>(
    document: &'a Value,
    field: &str,
    max: usize,
    wrong: &mut Vec<Found>,
) -> impl Iterator<Item = Member<'a>> + use<'a> {
    let root = Pointer::root().child(field);
    let members = document.get(field);
    let object = members.and_then(Value::as_object);
    if members.is_some() && object.is_none() {
        wrong.push(malformed(&root.to_string(), "must be an object"));
    }
    if object.is_some_and(|object| object.len() > max) {
        wrong.push(malformed(&root.to_string(), &format!("must have at most {max} {field}")));
    }
    object.into_iter().flatten().map(move |(name, value)| {
        let place = root.child(name).to_string();
        Member { name, value, place }
    })
}
