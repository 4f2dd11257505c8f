//! Keywords of a schema that have no effect: misspelled, of another draft, beside a `$ref` that hides them, or formats that are not known.
//! They are valid, and the documents that they were to keep out are accepted. Knows a source, and no document.

use std::collections::BTreeMap;

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use crate::model::nearest::nearest;
use crate::model::pointer::Pointer;
use crate::validate::{Found, Severity};

/// Code of what is found.
pub const SCHEMA_NO_EFFECT: &str = "SCHEMA_NO_EFFECT";

/// More are not told.
const FOUND_MAX: usize = 100;

/// A draft by its place among the five.
type Number = usize;
const NEWEST: Number = 4;
const DRAFTS: [&str; 5] = ["4", "6", "7", "2019-09", "2020-12"];
const DRAFT_6: Number = 1;
const DRAFT_7: Number = 2;
const DRAFT_2019: Number = 3;

/// Keywords of every draft, or of which the meaning does not depend on it.
const ALWAYS: &[&str] = &[
    "$schema",
    "$ref",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "type",
    "enum",
    "properties",
    "patternProperties",
    "additionalProperties",
    "required",
    "dependencies",
    "items",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "secret",
    "$comment",
    "deprecated",
    "examples",
    "readOnly",
    "writeOnly",
    "$vocabulary",
];

/// Others, with the first and the last draft that has them.
const SOMETIMES: &[(&str, Number, Number)] = &[
    ("id", 0, 0),
    ("$id", DRAFT_6, NEWEST),
    ("const", DRAFT_6, NEWEST),
    ("contains", DRAFT_6, NEWEST),
    ("propertyNames", DRAFT_6, NEWEST),
    ("if", DRAFT_7, NEWEST),
    ("then", DRAFT_7, NEWEST),
    ("else", DRAFT_7, NEWEST),
    ("contentEncoding", DRAFT_6, NEWEST),
    ("contentMediaType", DRAFT_6, NEWEST),
    ("additionalItems", 0, DRAFT_2019),
    ("$anchor", DRAFT_2019, NEWEST),
    ("dependentRequired", DRAFT_2019, NEWEST),
    ("dependentSchemas", DRAFT_2019, NEWEST),
    ("unevaluatedProperties", DRAFT_2019, NEWEST),
    ("unevaluatedItems", DRAFT_2019, NEWEST),
    ("minContains", DRAFT_2019, NEWEST),
    ("maxContains", DRAFT_2019, NEWEST),
    ("contentSchema", DRAFT_2019, NEWEST),
    ("$recursiveRef", DRAFT_2019, DRAFT_2019),
    ("$recursiveAnchor", DRAFT_2019, DRAFT_2019),
    ("prefixItems", NEWEST, NEWEST),
    ("$dynamicRef", NEWEST, NEWEST),
    ("$dynamicAnchor", NEWEST, NEWEST),
];

/// What counts beside a `$ref` up to draft 7.
const BESIDE_REF: &[&str] = &[
    "$ref",
    "$schema",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "$comment",
    "deprecated",
    "examples",
    "readOnly",
    "writeOnly",
    "secret",
    "id",
    "$id",
];

/// Where subschemas are: in an object of them, in a list, or alone.
const OF_NAMES: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
const IN_LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const ALONE: [&str; 12] = [
    "not",
    "if",
    "then",
    "else",
    "additionalProperties",
    "propertyNames",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Keywords of ours that are about a value: without a value that its subschema describes, they are about nothing.
const ABOUT_VALUES: [&str; 5] = ["secret", "x-secret", "x-deprecated", "x-restart-required", "x-owner"];

/// What has no effect in the schema `source`, with places in it.
pub fn without_effect(source: &Value) -> Vec<Found> {
    let draft = source.get("$schema").and_then(Value::as_str).map(Draft::from_schema_uri);
    let draft = match draft {
        Some(Draft::Draft4) => 0,
        Some(Draft::Draft6) => DRAFT_6,
        Some(Draft::Draft7) => DRAFT_7,
        Some(Draft::Draft201909) => DRAFT_2019,
        Some(_) | None => NEWEST,
    };
    let mut looking =
        Looking { draft, schema: source.get("$schema"), formats: BTreeMap::new(), found: Vec::new() };
    // With the keyword around it, if any, below which nothing is said of a value of the document.
    let mut rest = vec![(source, Pointer::root(), None)];
    while let Some((value, place, unheard)) = rest.pop() {
        let Value::Object(members) = value else { continue };
        looking.keywords(members, &place);
        if let Some(around) = unheard {
            looking.about_nothing(members, &place, around);
        }
        for keyword in OF_NAMES {
            for (name, below) in members.get(keyword).and_then(Value::as_object).into_iter().flatten() {
                // Others may refer to a definition, wherever it is.
                let unheard = unheard.filter(|_| !["$defs", "definitions"].contains(&keyword));
                rest.push((below, place.child(keyword).child(name), unheard));
            }
        }
        for keyword in IN_LISTS {
            let below = members.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate();
            rest.extend(
                below.map(|(at, below)| (below, place.child(keyword).child(&at.to_string()), unheard)),
            );
        }
        for keyword in ALONE {
            let unheard = unheard.or_else(|| is_unheard(members, keyword).then_some(keyword));
            rest.extend(members.get(keyword).map(|below| (below, place.child(keyword), unheard)));
        }
        if looking.found.len() >= FOUND_MAX {
            break;
        }
    }
    looking.found.truncate(FOUND_MAX);
    looking.found.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    looking.found
}

/// Whether the subschema of a keyword describes no value of a document: `not` only what a value must not be, `propertyNames` and
/// `contentSchema` no value, and some are not read without another keyword.
fn is_unheard(members: &Map<String, Value>, keyword: &str) -> bool {
    match keyword {
        "not" | "propertyNames" | "contentSchema" => true,
        "then" | "else" => !members.contains_key("if"),
        "additionalItems" => !members.get("items").is_some_and(Value::is_array),
        _ => false,
    }
}

struct Looking<'v> {
    draft: Number,
    schema: Option<&'v Value>,
    /// Whether a format is known.
    formats: BTreeMap<String, bool>,
    found: Vec<Found>,
}

impl Looking<'_> {
    fn keywords(&mut self, members: &Map<String, Value>, place: &Pointer) {
        let is_hidden = self.draft <= DRAFT_7 && members.get("$ref").is_some_and(Value::is_string);
        for (keyword, value) in members {
            let place = place.child(keyword);
            let is_known = ALWAYS.contains(&keyword.as_str()) || keyword.starts_with("x-");
            let drafts = SOMETIMES.iter().find(|(name, ..)| name == keyword);
            match drafts {
                _ if is_hidden && !BESIDE_REF.contains(&keyword.as_str()) && !keyword.starts_with("x-") => {
                    let message = format!("{keyword:?} has no effect beside \"$ref\", up to draft 7");
                    self.warn(&place, message, "put both into allOf, or name a newer draft in $schema");
                }
                Some((_, first, last)) if !(*first..=*last).contains(&self.draft) => {
                    let message = format!("{keyword:?} has no effect in draft {}", DRAFTS[self.draft]);
                    let advice = format!(
                        "it is a keyword of draft {}: name it in $schema",
                        if self.draft < *first { DRAFTS[*first] } else { DRAFTS[*last] }
                    );
                    self.warn(&place, message, &advice);
                }
                Some(_) => {}
                None if is_known => {}
                None => self.unknown(keyword, &place),
            }
            if keyword == "format"
                && !is_hidden
                && let Some(format) = value.as_str()
                && !self.knows_format(format)
            {
                let message =
                    format!("the format is not known in draft {}, so any text has it", DRAFTS[self.draft]);
                self.warn(&place, message, "use pattern, or a format such as date-time, uri or hostname");
            }
        }
    }

    fn about_nothing(&mut self, members: &Map<String, Value>, place: &Pointer, around: &str) {
        for keyword in ABOUT_VALUES {
            if members.get(keyword).is_some_and(|value| *value != Value::Bool(false)) {
                let message = format!(
                    "{keyword:?} has no effect below {around:?}, which describes no value of the document"
                );
                self.warn(&place.child(keyword), message, "put it where the schema describes the value");
            }
        }
    }

    fn unknown(&mut self, keyword: &str, place: &Pointer) {
        let known = ALWAYS.iter().copied().chain(SOMETIMES.iter().map(|(name, ..)| *name));
        // It may be as long as the schema.
        let shown: String = keyword.chars().take(40).collect();
        let message = format!("{shown:?} is no keyword of JSON Schema and has no effect");
        match nearest(keyword, known) {
            Some(near) => self.warn(place, message, &format!("did you mean {near:?}?")),
            None => self.add(Severity::Suggestion, place, message, "for an annotation, start it with x-"),
        }
    }

    /// Whether there is a text that does not have the format.
    fn knows_format(&mut self, format: &str) -> bool {
        // None is a regular expression, a pointer, a template, a reference, a name or a time; the last two are no addresses.
        const OF_NO_FORMAT: [&str; 3] = ["(({%~ ", "", "@"];
        if let Some(known) = self.formats.get(format) {
            return *known;
        }
        let mut schema = json!({ "format": format });
        if let Some(draft) = self.schema {
            schema["$schema"] = draft.clone();
        }
        let validator = jsonschema::options().should_validate_formats(true).build(&schema);
        let known = validator
            .is_ok_and(|validator| OF_NO_FORMAT.iter().any(|text| !validator.is_valid(&json!(text))));
        self.formats.insert(format.to_owned(), known);
        known
    }

    fn warn(&mut self, place: &Pointer, message: String, suggestion: &str) {
        self.add(Severity::Warning, place, message, suggestion);
    }

    fn add(&mut self, severity: Severity, place: &Pointer, message: String, suggestion: &str) {
        self.found.push(Found {
            severity,
            code: SCHEMA_NO_EFFECT.into(),
            pointer: place.to_string(),
            message,
            suggestion: suggestion.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: Value, expected: &[(&str, Severity)]) {
        let found = without_effect(&source);
        let places: Vec<_> = found.iter().map(|found| (found.pointer.as_str(), found.severity)).collect();
        assert_eq!(places, expected, "{source}: {found:?}");
    }

    #[test]
    fn keywords_that_nothing_reads_are_told_with_what_was_meant() {
        const WARNING: Severity = Severity::Warning;
        check(json!({"propertes": {"a": {}}}), &[("/propertes", WARNING)]);
        assert_eq!(without_effect(&json!({"propertes": {}}))[0].suggestion, "did you mean \"properties\"?");
        check(json!({"properties": {"a": {"minimun": 1}}}), &[("/properties/a/minimun", WARNING)]);
        check(json!({"items": [{"requierd": []}]}), &[("/items/0/requierd", WARNING)]);
        check(
            json!({"nullable": true, "x-owner": "a", "secret": true}),
            &[("/nullable", Severity::Suggestion)],
        );
        // Names of properties are no keywords, nor is data.
        check(
            json!({"properties": {"propertes": {}}, "default": {"propertes": 1}, "enum": [{"minimun": 1}]}),
            &[],
        );
        let old = "http://json-schema.org/draft-04/schema#";
        check(json!({"$schema": old, "const": 1, "if": {}}), &[("/const", WARNING), ("/if", WARNING)]);
        check(json!({"$schema": old, "id": "a", "enum": [1]}), &[]);
        check(
            json!({"additionalItems": false, "id": "a"}),
            &[("/additionalItems", WARNING), ("/id", WARNING)],
        );
        let seven = "http://json-schema.org/draft-07/schema#";
        check(
            json!({"$schema": seven, "$ref": "#/definitions/a", "minimum": 1, "default": 1}),
            &[("/minimum", WARNING)],
        );
        check(json!({"$ref": "#/$defs/a", "minimum": 1}), &[]);
        check(json!({"format": "datetime"}), &[("/format", WARNING)]);
    }

    #[test]
    fn marks_where_no_value_is_described_are_told() {
        const WARNING: Severity = Severity::Warning;
        let marked = json!({"properties": {"a": {"x-secret": true}}});
        for around in ["not", "propertyNames", "contentSchema", "then", "else"] {
            let place = format!("/{around}/properties/a/x-secret");
            check(json!({ around: marked }), &[(&place, WARNING)]);
            check(
                json!({ around: { "anyOf": [{"secret": true}] } }),
                &[(&format!("/{around}/anyOf/0/secret"), WARNING)],
            );
            check(json!({ around: { "x-secret": false } }), &[]);
            // Others may refer to it.
            check(json!({ around: { "$defs": { "a": { "x-secret": true } } } }), &[]);
        }
        let seven = "http://json-schema.org/draft-07/schema#";
        check(
            json!({"$schema": seven, "items": {}, "additionalItems": marked}),
            &[("/additionalItems/properties/a/x-secret", WARNING)],
        );
        check(json!({"$schema": seven, "items": [{}], "additionalItems": marked}), &[]);
        check(
            json!({"if": marked, "then": marked, "else": marked, "contains": marked, "anyOf": [marked]}),
            &[],
        );
        for keyword in ["x-deprecated", "x-owner", "x-restart-required"] {
            check(json!({"not": {keyword: "a"}}), &[(&format!("/not/{keyword}"), WARNING)]);
        }
    }

    #[test]
    fn the_formats_of_the_newest_draft_are_known() {
        for format in [
            "date-time",
            "date",
            "time",
            "duration",
            "email",
            "hostname",
            "ipv4",
            "ipv6",
            "uri",
            "uri-reference",
            "iri",
            "iri-reference",
            "uuid",
            "uri-template",
            "json-pointer",
            "relative-json-pointer",
            "regex",
        ] {
            check(json!({ "format": format }), &[]);
        }
        // jsonschema is built without their tables.
        for format in ["idn-email", "idn-hostname"] {
            check(json!({ "format": format }), &[("/format", Severity::Warning)]);
        }
    }
}
