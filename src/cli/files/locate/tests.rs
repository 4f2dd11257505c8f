use proptest::prelude::*;
use serde_json::json;

use crate::cli::files::locate::*;
use crate::model::arbitrary;
use crate::model::text::render;

fn find<'t>(text: &'t str, format: Format, pointer: &str) -> Option<(Option<&'t str>, Option<&'t str>)> {
    let pointer = Pointer::parse(pointer).expect("a pointer");
    let place = Places::of(text, format).expect("well formed").find(&pointer)?;
    let slice = |span: Option<Span>| span.map(|span| &text[span]);
    Some((slice(place.key), slice(place.value)))
}

fn check(text: &str, format: Format, expected: &[(&str, Option<&str>, Option<&str>)]) {
    for (pointer, key, value) in expected {
        assert_eq!(find(text, format, pointer), Some((*key, *value)), "{pointer} in {text}");
    }
}

#[test]
fn places_in_json() {
    let text = r#"{ "a" : {"b\"c": [1, "two", {"x": null}]}, "d": -1.5e3,
  "e": [
    {"name": "first"},
    {
      "name": "second"
    }
  ] }"#;
    check(
        text,
        Format::Json,
        &[
            ("/a", Some("\"a\""), Some(r#"{"b\"c": [1, "two", {"x": null}]}"#)),
            ("/a/b\"c", Some(r#""b\"c""#), Some(r#"[1, "two", {"x": null}]"#)),
            ("/a/b\"c/1", None, Some("\"two\"")),
            ("/a/b\"c/2/x", Some("\"x\""), Some("null")),
            ("/d", Some("\"d\""), Some("-1.5e3")),
            ("/e", Some("\"e\""), None),
            ("/e/0", None, Some(r#"{"name": "first"}"#)),
            // It begins with its first member.
            ("/e/1", Some("\"name\""), None),
        ],
    );
    assert_eq!(find(text, Format::Json, "/nothing"), None);
    assert_eq!(find(text, Format::Json, "/a/b\"c/3"), None);
}

#[test]
fn places_in_yaml() {
    let text = r#"# a comment
limits: &limits
  max: 30   # why
  "quoted key": 'it''s'
list:
- one
-   two: 2
    three: "3"
- [4, {five: 5}]
text: |
  several
  lines
plain text: some words: no
80: number
yes: on
nothing:
copy: *limits
merged:
  <<: *limits
  own: 1
"#
    .replace("some words: no", "some words");
    check(
        &text,
        Format::Yaml,
        &[
            ("/limits", Some("limits"), None),
            ("/limits/max", Some("max"), Some("30")),
            ("/limits/quoted key", Some("\"quoted key\""), Some("'it''s'")),
            ("/list", Some("list"), None),
            ("/list/0", None, Some("one")),
            ("/list/1", Some("two"), None),
            ("/list/1/three", Some("three"), Some("\"3\"")),
            ("/list/2", None, Some("[4, {five: 5}]")),
            ("/list/2/0", None, Some("4")),
            ("/list/2/1/five", Some("five"), Some("5")),
            ("/text", Some("text"), None),
            ("/plain text", Some("plain text"), Some("some words")),
            ("/80", Some("80"), Some("number")),
            ("/yes", Some("yes"), Some("on")),
            ("/nothing", Some("nothing"), None),
            ("/copy", Some("copy"), None),
            ("/copy/max", Some("max"), Some("30")),
            ("/merged/max", Some("max"), Some("30")),
            ("/merged/own", Some("own"), Some("1")),
        ],
    );
}

#[test]
fn places_in_toml() {
    let text = r#"
title = "x" # why
a.b."c d" = 0x10
point = { x = 1, y = [2, 3] }
when = 2026-11-21
[limits]
max = 1_000
[[pool]]
size = 3
[[pool]]
name = 'n'
size = 4
"#;
    check(
        text,
        Format::Toml,
        &[
            ("/title", Some("title"), Some("\"x\"")),
            ("/a/b/c d", Some("\"c d\""), Some("0x10")),
            ("/point", Some("point"), Some("{ x = 1, y = [2, 3] }")),
            ("/point/y/1", None, Some("3")),
            ("/when", Some("when"), Some("2026-11-21")),
            ("/limits", Some("limits"), None),
            ("/limits/max", Some("max"), Some("1_000")),
            ("/pool/0", Some("size"), None),
            ("/pool/1", Some("name"), None),
            ("/pool/1/size", Some("size"), Some("4")),
        ],
    );
}

#[test]
fn characters_of_several_bytes_do_not_shift_places() {
    check("{\"ä😀\": \"é\", \"b\": 1}", Format::Json, &[("/b", Some("\"b\""), Some("1"))]);
    check(
        "ä😀: é # ö\nb: [ü, 1]\n",
        Format::Yaml,
        &[("/b/1", None, Some("1")), ("/ä😀", Some("ä😀"), Some("é"))],
    );
    check("\"ä😀\" = \"é\"\nb = 1\n", Format::Toml, &[("/b", Some("b"), Some("1"))]);
}

#[test]
fn a_document_leaves_open_what_it_does_not_decide() {
    let places = Places::of(r#"{"a": {"b": 1}, "n": null, "l": [1]}"#, Format::Json).expect("well formed");
    let open = |text| places.leaves_open(&Pointer::parse(text).expect("a pointer"));
    assert!(open("/x") && open("/a/x") && open("/x/y"));
    assert!(!open("") && !open("/a") && !open("/a/b") && !open("/a/b/c") && !open("/n/x") && !open("/l/7"));
}

/// Every place within a value.
fn pointers(value: &Value, at: &Pointer, found: &mut Vec<Pointer>) {
    found.push(at.clone());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers(member, &at.child(name), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| pointers(item, &at.child(&i.to_string()), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Replaces the values one after the other and looks whether the document has changed there and nowhere else.
fn is_there(text: &str, format: Format, document: &Value) {
    let Some(places) = Places::of(text, format) else { panic!("{text}") };
    let mut all = Vec::new();
    pointers(document, &Pointer::root(), &mut all);
    for pointer in all.iter().filter(|pointer| !pointer.is_root()).take(200) {
        let Some(ValueSpans { value: Some(span), .. }) = places.find(pointer) else { continue };
        let mut changed = text.to_owned();
        changed.replace_range(span, "4711.25");
        // TOML has lists of tables that other elements cannot join.
        let Ok(after) = parse(&changed, format, TEXT_BYTES_MAX) else { continue };
        let mut expected = document.clone();
        *expected.pointer_mut(&pointer.to_string()).expect("it is there") = json!(4711.25);
        assert_eq!(after, expected, "{pointer} in {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_found_is_what_was_meant(document in arbitrary::value()) {
        is_there(&render(&document, Format::Json).expect("JSON"), Format::Json, &document);
        is_there(&crate::model::text::render_pretty_json(&document), Format::Json, &document);
        is_there(&render(&document, Format::Yaml).expect("YAML"), Format::Yaml, &document);
    }

    #[test]
    fn what_is_found_in_toml_is_what_was_meant(document in arbitrary::object_for_toml()) {
        is_there(&render(&document, Format::Toml).expect("TOML"), Format::Toml, &document);
    }
}
