//! The structure that each keyword of each draft gives. Knows one subschema at a time.

use jsonschema::Draft;
use serde_json::{Map, Value};

use super::builder::{Builder, Reference, Task};
use super::{Branch, NodeId, When};

/// Steps to look up the name of a member in an object.
const STEPS_PER_NAME: u64 = 3;
/// Steps to hash and compare a value, or 16 bytes of text, to find out whether it is unique.
const STEPS_PER_HASHED: u64 = 6;

/// Reads the keywords of a subschema into its node.
pub(super) fn read<'r>(builder: &mut Builder<'r>, task: &Task<'r>, members: &'r Map<String, Value>) {
    let node = task.node;
    builder.node(node).weight.value = 1;
    read_notes(builder, node, members);
    if let Some(text) = members.get("$ref").and_then(Value::as_str) {
        builder.refer(task, Reference { keyword: "$ref", text: text.to_owned(), anchor: None });
        if !is_modern(task.draft) {
            // Until draft 7, nothing else counts beside it.
            return;
        }
    }
    read_dynamic(builder, task, members);
    read_in_place(builder, task, members);
    read_properties(builder, task, members);
    read_items(builder, task, members);
    read_assertions(builder, node, members);
    for keyword in ["$defs", "definitions"] {
        for (name, source) in object(members, keyword) {
            builder.add_below(task, &[keyword, name], source);
        }
    }
}

fn is_modern(draft: Draft) -> bool {
    matches!(draft, Draft::Draft201909 | Draft::Draft202012)
}

fn read_dynamic<'r>(builder: &mut Builder<'r>, task: &Task<'r>, members: &'r Map<String, Value>) {
    if task.draft == Draft::Draft202012 {
        if let Some(name) = members.get("$dynamicAnchor").and_then(Value::as_str) {
            builder.anchor(name, task.node);
        }
        if let Some(text) = members.get("$dynamicRef").and_then(Value::as_str) {
            let anchor = text.split_once('#').map(|(_, anchor)| anchor.to_owned());
            builder.refer(task, Reference { keyword: "$dynamicRef", text: text.to_owned(), anchor });
        }
    }
    if task.draft == Draft::Draft201909 {
        if members.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            builder.anchor("", task.node);
        }
        if members.contains_key("$recursiveRef") {
            let anchor = Some(String::new());
            builder.refer(task, Reference { keyword: "$recursiveRef", text: "#".to_owned(), anchor });
        }
    }
}

fn read_in_place<'r>(builder: &mut Builder<'r>, task: &Task<'r>, members: &'r Map<String, Value>) {
    for (at, source) in array(members, "allOf").enumerate() {
        let target = builder.add_below(task, &["allOf", &at.to_string()], source);
        builder.node(task.node).refers.push(target);
    }
    for keyword in ["anyOf", "oneOf"] {
        for (at, source) in array(members, keyword).enumerate() {
            let target = builder.add_below(task, &[keyword, &at.to_string()], source);
            branch(builder, task, When::Valid, target);
        }
    }
    if let Some(target) = one(builder, task, members, "not") {
        branch(builder, task, When::Never, target);
    }
    if !matches!(task.draft, Draft::Draft4 | Draft::Draft6)
        && let Some(condition) = one(builder, task, members, "if")
    {
        branch(builder, task, When::If, condition);
        if let Some(target) = one(builder, task, members, "then") {
            branch(builder, task, When::Then(condition), target);
        }
        if let Some(target) = one(builder, task, members, "else") {
            branch(builder, task, When::Else(condition), target);
        }
    }
    let keywords: &[&str] =
        if is_modern(task.draft) { &["dependentSchemas", "dependencies"] } else { &["dependencies"] };
    for keyword in keywords {
        for (name, source) in object(members, keyword).filter(|(_, source)| !source.is_array()) {
            let target = builder.add_below(task, &[keyword, name], source);
            branch(builder, task, When::Has(name.clone()), target);
        }
    }
}

fn branch(builder: &mut Builder, task: &Task, when: When, node: NodeId) {
    builder.node(task.node).branches.push(Branch { when, node });
}

fn read_properties<'r>(builder: &mut Builder<'r>, task: &Task<'r>, members: &'r Map<String, Value>) {
    for (name, source) in object(members, "properties") {
        let target = builder.add_below(task, &["properties", name], source);
        builder.node(task.node).properties.insert(name.clone(), target);
    }
    for (text, source) in object(members, "patternProperties") {
        let target = builder.add_below(task, &["patternProperties", text], source);
        if let Some(pattern) = builder.pattern(task.node, "patternProperties", text) {
            builder.node(task.node).weight.name += pattern.weight;
            builder.node(task.node).patterns.push((pattern, target));
        }
    }
    builder.node(task.node).additional = one(builder, task, members, "additionalProperties");
    if task.draft != Draft::Draft4 {
        builder.node(task.node).names = one(builder, task, members, "propertyNames");
    }
    if is_modern(task.draft) {
        builder.node(task.node).unevaluated_properties = one(builder, task, members, "unevaluatedProperties");
    }
}

fn read_items<'r>(builder: &mut Builder<'r>, task: &Task<'r>, members: &'r Map<String, Value>) {
    let is_newest = task.draft == Draft::Draft202012;
    let (first, rest) = match members.get("items") {
        Some(Value::Array(_)) if !is_newest => ("items", "additionalItems"),
        Some(_) | None => ("prefixItems", "items"),
    };
    if first == "items" || is_newest {
        for (at, source) in array(members, first).enumerate() {
            let target = builder.add_below(task, &[first, &at.to_string()], source);
            builder.node(task.node).first_items.push(target);
        }
    }
    builder.node(task.node).items = one(builder, task, members, rest);
    if task.draft != Draft::Draft4 {
        builder.node(task.node).contains = one(builder, task, members, "contains");
    }
    if is_modern(task.draft) {
        builder.node(task.node).unevaluated_items = one(builder, task, members, "unevaluatedItems");
    }
}

fn read_assertions(builder: &mut Builder, node: NodeId, members: &Map<String, Value>) {
    let forbids = |name: &str| match members.get("type") {
        Some(Value::String(only)) => only != name,
        Some(Value::Array(names)) => !names.iter().any(|other| other == name),
        Some(_) | None => false,
    };
    builder.node(node).forbids_objects = forbids("object");
    builder.node(node).forbids_arrays = forbids("array");
    for keyword in ["enum", "const"] {
        if let Some(values) = members.get(keyword) {
            // Texts and numbers are looked up; lists and objects are compared one by one.
            builder.node(node).weight.value += count_nested(values);
        }
    }
    if let Some(text) = members.get("pattern").and_then(Value::as_str)
        && let Some(pattern) = builder.pattern(node, "pattern", text)
    {
        builder.node(node).weight.text += pattern.weight;
    }
    let names = |value: &Value| value.as_array().map_or(0, Vec::len);
    let dependent =
        ["dependentRequired", "dependencies"].into_iter().filter_map(|keyword| members.get(keyword));
    let dependent = dependent.filter_map(Value::as_object).flat_map(|names_of| names_of.values());
    let looked_up = members.get("required").map_or(0, names)
        + dependent.map(|required| 1 + names(required)).sum::<usize>()
        + ["properties", "dependentSchemas"]
            .map(|keyword| object(members, keyword).count())
            .iter()
            .sum::<usize>();
    builder.node(node).weight.object += looked_up as u64 * STEPS_PER_NAME;
    if members.get("uniqueItems") == Some(&Value::Bool(true)) {
        builder.node(node).weight.within += STEPS_PER_HASHED;
    }
    if members.contains_key("format") {
        builder.node(node).weight.text += 4;
    }
}

/// How many values are in lists and objects within.
fn count_nested(values: &Value) -> u64 {
    match values {
        Value::Array(items) => items
            .iter()
            .map(|item| if item.is_array() || item.is_object() { 1 + count_all(item) } else { 0 })
            .sum(),
        Value::Object(_) => count_all(values),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Recurses as deep as a source may be nested.
fn count_all(value: &Value) -> u64 {
    match value {
        Value::Array(items) => 1 + items.iter().map(count_all).sum::<u64>(),
        Value::Object(members) => 1 + members.values().map(count_all).sum::<u64>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Our own keywords, and `default`. They count beside `$ref` in every draft: people write them there.
fn read_notes(builder: &mut Builder, node: NodeId, members: &Map<String, Value>) {
    builder.node(node).default = members.get("default").cloned();
    for keyword in ["secret", "x-secret", "x-restart-required"] {
        match members.get(keyword) {
            Some(Value::Bool(yes)) if keyword == "x-restart-required" => {
                builder.node(node).notes.restart_required = *yes
            }
            Some(Value::Bool(yes)) => builder.node(node).notes.secret |= *yes,
            Some(_) => {
                builder.flaw(node, "SCHEMA_KEYWORD", keyword, format!("{keyword} must be true or false"))
            }
            None => {}
        }
    }
    for keyword in ["deprecated", "x-deprecated"] {
        match members.get(keyword) {
            Some(Value::Bool(true)) => {
                builder.node(node).notes.deprecated.get_or_insert_default();
            }
            Some(Value::String(message)) if keyword == "x-deprecated" => {
                builder.node(node).notes.deprecated = Some(message.clone());
            }
            Some(Value::Bool(false)) | None => {}
            Some(_) if keyword == "deprecated" => {}
            Some(_) => {
                let message =
                    "x-deprecated must be true, false, or a text that says what to use instead".to_owned();
                builder.flaw(node, "SCHEMA_KEYWORD", keyword, message);
            }
        }
    }
    match members.get("x-owner") {
        Some(Value::String(owner)) => builder.node(node).notes.owner = Some(owner.clone()),
        Some(_) => builder.flaw(node, "SCHEMA_KEYWORD", "x-owner", "x-owner must be a text".to_owned()),
        None => {}
    }
}

fn one<'r>(
    builder: &mut Builder<'r>,
    task: &Task<'r>,
    members: &'r Map<String, Value>,
    keyword: &str,
) -> Option<NodeId> {
    let source = members.get(keyword).filter(|source| source.is_object() || source.is_boolean())?;
    Some(builder.add_below(task, &[keyword], source))
}

fn array<'v>(members: &'v Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'v Value> {
    members.get(keyword).and_then(Value::as_array).into_iter().flatten()
}

fn object<'v>(
    members: &'v Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    members.get(keyword).and_then(Value::as_object).into_iter().flatten()
}
