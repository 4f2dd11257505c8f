//! Parses a policy. Knows the form of the document; `policy` has its meaning.

use std::collections::BTreeMap;

use serde_json::Value;

use super::binding::{Binding, SubjectPattern};
use super::pattern::Pattern;
use super::role::{BUILT_IN, built_in};
use super::verb::{Verb, VerbSet};
use crate::auth::reader::{At, Reader};
use crate::auth::{Problem, SubjectError};
use crate::model::name::NAME_BYTES_MAX;
use crate::model::nearest::suggest;
use crate::model::system::OF_NAMESPACE;
use crate::model::{ConfigName, Namespace, Scope, SystemConfig, TagName};

pub const ROLES_MAX: usize = 1000;
pub const BINDINGS_MAX: usize = 10_000;
/// Subjects of one binding.
pub const SUBJECTS_MAX: usize = 1000;

const BINDING_FIELDS: [&str; 5] = ["subjects", "role", "namespace", "config", "scope"];

type Roles = BTreeMap<String, VerbSet>;

pub(super) fn parse(document: &Value) -> Result<(Roles, Vec<Binding>), Vec<Problem>> {
    let mut reader = Reader::default();
    let root = At::root(document);
    reader.object(&root, &["roles", "bindings"]);
    let roles = root.member("roles").map(|at| read_roles(&mut reader, &at)).unwrap_or_default();
    let bindings = root.member("bindings");
    let bindings = bindings.map(|at| reader.elements(&at, BINDINGS_MAX)).unwrap_or_default();
    let bindings = bindings.iter().enumerate();
    let bindings = bindings.filter_map(|(index, at)| read_binding(&mut reader, &roles, index, at)).collect();
    reader.finish((roles, bindings))
}

fn read_roles(reader: &mut Reader, at: &At<'_>) -> Roles {
    let mut roles = Roles::new();
    for (name, at) in reader.members(at, ROLES_MAX) {
        if built_in(name).is_some() {
            let message = format!("{name:?} is a role that every policy has");
            reader.wrong(&at.pointer, message, "choose another name");
        } else if let Err(error) = TagName::parse(name) {
            reader.wrong(&at.pointer, format!("the name {error}"), "");
        }
        let verbs = reader.elements(&at, Verb::ALL.len());
        let verbs: Vec<Verb> = verbs.iter().filter_map(|at| read_verb(reader, at)).collect();
        roles.insert(name.to_owned(), VerbSet::of(&verbs));
    }
    roles
}

fn read_verb(reader: &mut Reader, at: &At<'_>) -> Option<Verb> {
    let text = reader.text(at)?;
    let verb = Verb::parse(text);
    if verb.is_none() {
        let names = Verb::ALL.map(Verb::as_str);
        let suggestion = match built_in(text) {
            Some(verbs) => format!(
                "{text:?} is a role; its verbs are {}",
                verbs.iter().map(Verb::as_str).collect::<Vec<_>>().join(", ")
            ),
            None => suggest(text, names),
        };
        reader.wrong(&at.pointer, format!("there is no such verb, only {}", names.join(", ")), suggestion);
    }
    verb
}

fn read_binding(reader: &mut Reader, roles: &Roles, index: usize, at: &At<'_>) -> Option<Binding> {
    reader.object(at, &BINDING_FIELDS)?;
    // All fields are read before any is missed, so that all that is wrong is told.
    let [subjects, role, namespace, config, scope] = BINDING_FIELDS.map(|name| reader.required(at, name));
    let subjects = subjects.and_then(|at| read_subjects(reader, &at));
    let role = role.and_then(|at| read_role(reader, roles, &at));
    let namespace = namespace.and_then(|at| read_namespace(reader, &at));
    let config = config.and_then(|at| read_config(reader, &at));
    let scope = scope.and_then(|at| {
        let text = reader.text(&at)?;
        if text.is_empty() {
            // Elsewhere it is short for "/"; here nothing is meant by leaving it out.
            reader.wrong(&at.pointer, "must not be empty", "\"/\" is the global scope, and all below");
            return None;
        }
        reader.take(&at.pointer, Scope::parse(text))
    });
    let (role, verbs) = role?;
    Some(Binding {
        index,
        subjects: subjects?,
        role,
        verbs,
        namespace: namespace?,
        config: config?,
        scope: scope?,
    })
}

fn read_subjects(reader: &mut Reader, at: &At<'_>) -> Option<Vec<SubjectPattern>> {
    let elements = reader.elements(at, SUBJECTS_MAX);
    let count = elements.len();
    let subject = |at: &At<'_>| {
        let text = reader.text(at)?;
        let parsed = SubjectPattern::parse(text);
        parsed
            .map_err(|error: SubjectError| reader.wrong(&at.pointer, error.to_string(), error.suggestion()))
            .ok()
    };
    let subjects: Vec<SubjectPattern> = elements.iter().filter_map(subject).collect();
    (subjects.len() == count).then_some(subjects)
}

fn read_role(reader: &mut Reader, roles: &Roles, at: &At<'_>) -> Option<(String, VerbSet)> {
    let text = reader.text(at)?;
    let verbs = built_in(text).or_else(|| roles.get(text).copied());
    if verbs.is_none() {
        let names = BUILT_IN.iter().map(|(name, _)| *name).chain(roles.keys().map(String::as_str));
        reader.wrong(&at.pointer, "there is no such role", suggest(text, names));
    }
    verbs.map(|verbs| (text.to_owned(), verbs))
}

fn read_namespace(reader: &mut Reader, at: &At<'_>) -> Option<Pattern> {
    let is_name = |text: &str| Namespace::parse(text).map(|_| ());
    read_pattern(reader, at, "a-z, 0-9, - and *", |c| c == '-', is_name)
}

fn read_config(reader: &mut Reader, at: &At<'_>) -> Option<Pattern> {
    let text = reader.text(at)?;
    if text.contains(':') {
        let message = "what governs a config is bound under the name of that config, with the verb schema";
        let suggestion = match text.split_once(':') {
            Some((prefix, name)) if SystemConfig::of_prefix(prefix).is_some() => format!("{name:?}"),
            Some((OF_NAMESPACE, _)) => "\"*\" includes what governs the namespace".to_owned(),
            Some(_) | None => String::new(),
        };
        reader.wrong(&at.pointer, message, suggestion);
        return None;
    }
    let is_name = |text: &str| ConfigName::parse(text).map(|_| ());
    read_pattern(reader, at, "a-z, 0-9, -, ., _ and *", |c| matches!(c, '-' | '.' | '_'), is_name)
}

/// A pattern that can match something: without a star it is a name, and otherwise made of what names are made of.
fn read_pattern<E: std::fmt::Display>(
    reader: &mut Reader,
    at: &At<'_>,
    allowed: &str,
    inside: fn(char) -> bool,
    is_name: impl Fn(&str) -> Result<(), E>,
) -> Option<Pattern> {
    let text = reader.text(at)?;
    let is_allowed = |c: char| c == '*' || c.is_ascii_lowercase() || c.is_ascii_digit() || inside(c);
    if let Some(found) = text.chars().find(|c| !is_allowed(*c)) {
        let lower = text.to_lowercase();
        let would_do = lower != text && lower.chars().all(is_allowed);
        let suggestion = if would_do { format!("names are in lower case: {lower:?}") } else { String::new() };
        reader.wrong(&at.pointer, format!("has {found:?}, allowed are {allowed}"), suggestion);
        return None;
    }
    if text.len() > 2 * NAME_BYTES_MAX {
        reader.wrong(&at.pointer, format!("has {} bytes, and no name is so long", text.len()), "");
        return None;
    }
    let pattern = Pattern::new(text);
    if pattern.is_exact() {
        reader.take(&at.pointer, is_name(text))?;
    }
    Some(pattern)
}
