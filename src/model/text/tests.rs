use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::arbitrary;

const BYTES_MAX: usize = 1 << 20;

/// Reading gives a value whose canonical text is `expected`.
fn reads(text: &str, format: Format, expected: &str) {
    let value = parse(text, format, BYTES_MAX).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(to_canonical(&value), expected, "{text:?}");
}

/// Reading fails with a code and names the place.
fn refuses(text: &str, format: Format, code: DocumentErrorCode, place: (&str, usize, usize)) {
    let error = parse(text, format, BYTES_MAX).expect_err(text);
    let (pointer, line, column) = place;
    assert_eq!(
        (error.code, error.pointer.as_str(), error.line, error.column),
        (code, pointer, Some(line), Some(column)),
        "{text:?}: {error}"
    );
}

#[test]
fn json_is_read_exactly_or_refused_with_the_place() {
    use DocumentErrorCode::*;
    let (reads, refuses) = (
        |text, expected| reads(text, Format::Json, expected),
        |text, code, place| refuses(text, Format::Json, code, place),
    );
    reads("18446744073709551615", "18446744073709551615");
    reads("-9223372036854775808", "-9223372036854775808");
    reads(" [1.0, -0, 1e2, 1e-400] ", "[1,0,100,0]");
    reads("[4374094629981061120, 4.37409462998106112e18]", "[4374094629981061120,4374094629981061120]");
    reads("[1e20, 123456789012345678901234567890.0]", "[1e+20,1.2345678901234568e+29]");
    reads(r#""\ud83d\ude00""#, "\"😀\"");
    refuses("", MalformedDocument, ("", 1, 1));
    refuses("{\"a\":1}x", MalformedDocument, ("", 1, 8));
    refuses("{\"a\":\n[1,]}", MalformedDocument, ("/a/1", 2, 4));
    refuses("NaN", MalformedDocument, ("", 1, 1));
    refuses("{\"a\": Infinity}", MalformedDocument, ("/a", 1, 7));
    refuses("{'a':1}", MalformedDocument, ("", 1, 2));
    refuses("[01]", MalformedDocument, ("/0", 1, 3));
    refuses(r#""\ud800""#, MalformedDocument, ("", 1, 8));
    refuses("{\"b\":[{\"a\":1,\"a\":2}]}", DuplicateKey, ("/b/0/a", 1, 16));
    refuses("[1, \"2\\\"3\", {\"a\": 18446744073709551616}]", NumberOutOfRange, ("/2/a", 1, 38));
    refuses("-9223372036854775809", NumberOutOfRange, ("", 1, 20));
    refuses("{\"~\":{\"/\":1e400}}", NumberOutOfRange, ("/~0/~1", 1, 15));
}

#[test]
fn yaml_is_read_as_json_or_refused_with_the_place() {
    use DocumentErrorCode::*;
    let (reads, refuses) = (
        |text, expected| reads(text, Format::Yaml, expected),
        |text, code, place| refuses(text, Format::Yaml, code, place),
    );
    reads("", "null");
    reads("# only a comment\n", "null");
    reads(
        "[yes, no, on, off, y, n, true, false, ~, null, ]",
        r#"["yes","no","on","off","y","n",true,false,null,null]"#,
    );
    reads("[010, 0o10, 0x1f, -0, 1., 1e3]", "[10,8,31,0,1,1000]");
    reads("[18446744073709551615, -9223372036854775808]", "[18446744073709551615,-9223372036854775808]");
    reads("[1e20, 18446744073709551616.0]", "[1e+20,1.8446744073709552e+19]");
    reads(
        "[2026_8_6, 0b11, -0x1F, 0X1F, tRue, nULL, True, NULL, 1_000, 0o17]",
        r#"["2026_8_6","0b11","-0x1F","0X1F","tRue","nULL",true,null,"1_000",15]"#,
    );
    reads("['1', \"~\", ! 1, !!float 1, !!str null, !!null '']", r#"["1","~","1",1,"null",null]"#);
    reads("&k a: 1\nb: *k\nc: {*k : 2}", r#"{"a":1,"b":"a","c":{"a":2}}"#);
    reads("x: &x {a: 1}\ny: {<<: [*x, {a: 2, b: 2}]}\n'<<': 3", r#"{"<<":3,"x":{"a":1},"y":{"a":1,"b":2}}"#);
    reads("[12:30:45, 2026-11-05, !!str 1]", r#"["12:30:45","2026-11-05","1"]"#);
    reads("1: a\ntrue: b", r#"{"1":"a","true":"b"}"#);
    reads(
        "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: *x",
        r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3},"e":{"b":1,"c":2}}"#,
    );
    reads("---\na: |\n  x\n  y\n...\n", r#"{"a":"x\ny\n"}"#);
    refuses("a: b: c", MalformedDocument, ("", 1, 5));
    refuses("a: [1,", MalformedDocument, ("/a/1", 1, 4));
    refuses("a: 1\n---\nb: 2", MalformedDocument, ("", 2, 1));
    refuses("a: !foo 1", MalformedDocument, ("/a", 1, 9));
    refuses("? [a]\n: 1", MalformedDocument, ("", 1, 3));
    refuses("~: 1", MalformedDocument, ("", 1, 1));
    refuses("a: *x", MalformedDocument, ("/a", 1, 4));
    refuses("a: &a [*a]", MalformedDocument, ("/a/0", 1, 8));
    refuses("b:\n  a: 1\n  'a': 2", DuplicateKey, ("/b/a", 3, 3));
    refuses("a: [1, .nan]", NumberOutOfRange, ("/a/1", 1, 8));
    refuses("a: -.inf", NumberOutOfRange, ("/a", 1, 4));
    refuses("a: 1e999", NumberOutOfRange, ("/a", 1, 4));
    refuses("a:\n- 18446744073709551616", NumberOutOfRange, ("/a/0", 2, 3));
    refuses("a: -9223372036854775809", NumberOutOfRange, ("/a", 1, 4));
    refuses("a: !!int x", MalformedDocument, ("/a", 1, 10));
    refuses("a: !!binary aGk=", MalformedDocument, ("/a", 1, 13));
    refuses("<<: 1", MalformedDocument, ("/<<", 1, 5));
    // Distinct keys of YAML can be one key of JSON.
    let error = parse("1: a\n'1': b", Format::Yaml, BYTES_MAX).expect_err("two keys 1");
    assert_eq!((error.code, error.pointer.as_str()), (DuplicateKey, "/1"));
}

#[test]
fn toml_is_read_as_json_or_refused_with_the_place() {
    use DocumentErrorCode::*;
    let (reads, refuses) = (
        |text, expected| reads(text, Format::Toml, expected),
        |text, code, place| refuses(text, Format::Toml, code, place),
    );
    reads("", "{}");
    reads(
        "a = [+1_000, 0b11, 0xff, -0.0, 1e3]\n[b]\nc.d = true",
        r#"{"a":[1000,3,255,0,1000],"b":{"c":{"d":true}}}"#,
    );
    reads(
        "a = -9223372036854775808\nb = 9223372036854775807",
        r#"{"a":-9223372036854775808,"b":9223372036854775807}"#,
    );
    reads(
        "a = [1979-05-27 07:32:00.5+01:00, 1979-05-27T07:32:00Z, 1979-05-27, 07:32:00]",
        r#"{"a":["1979-05-27T07:32:00.5+01:00","1979-05-27T07:32:00Z","1979-05-27","07:32:00"]}"#,
    );
    // TOML 1.1
    reads(
        "a = {\n b = '',\n}\nc = 07:32\nd = \"\\x41\\e\"",
        r#"{"a":{"b":""},"c":"07:32:00","d":"A\u001b"}"#,
    );
    refuses("a = ", MalformedDocument, ("", 1, 5));
    refuses("a = null", MalformedDocument, ("", 1, 5));
    refuses("# é\na = 1\na = 2", DuplicateKey, ("", 3, 1));
    refuses("[a]\n[a]", DuplicateKey, ("", 2, 2));
    refuses("a = [1,\n 2,\n nan]", NumberOutOfRange, ("/a/2", 3, 2));
    refuses("[[a]]\n[[a]]\nb = -inf", NumberOutOfRange, ("/a/1/b", 3, 5));
    refuses("a = 1e999", NumberOutOfRange, ("/a", 1, 5));
    refuses("'é' = 9223372036854775808", NumberOutOfRange, ("/é", 1, 7));
}

#[test]
fn sixty_four_levels_are_accepted_and_sixty_five_refused_in_every_format() {
    let arrays = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let objects = |count: usize| format!("{}1{}", "{\"a\":".repeat(count), "}".repeat(count));
    let blocks = |count: usize| (0..count).map(|at| format!("{}a:\n", " ".repeat(at))).collect::<String>();
    // The document itself is a level of TOML.
    let toml_array = |count: usize| format!("a = {}", arrays(count - 1));
    let toml_inline = |count: usize| format!("a = {}1{}", "{a = ".repeat(count - 1), "}".repeat(count - 1));
    let toml_dotted = |count: usize| format!("{} = 1", vec!["a"; count].join("."));
    let toml_header = |count: usize| format!("[{}]\na = 1", vec!["a"; count - 1].join("."));
    let writers: [(Format, &dyn Fn(usize) -> String); 9] = [
        (Format::Json, &arrays),
        (Format::Json, &objects),
        (Format::Yaml, &arrays),
        (Format::Yaml, &objects),
        (Format::Yaml, &blocks),
        (Format::Toml, &toml_array),
        (Format::Toml, &toml_inline),
        (Format::Toml, &toml_dotted),
        (Format::Toml, &toml_header),
    ];
    for (at, (format, write)) in writers.into_iter().enumerate() {
        let value = parse(&write(64), format, BYTES_MAX).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(crate::model::depth::depth(&value), 64, "{at}");
        for count in [65, 66, 79, 80, 81, 255, 300, 1000] {
            let error = parse(&write(count), format, BYTES_MAX).expect_err("too deep");
            assert_eq!(error.code, DocumentErrorCode::TooDeep, "{at}: {count}: {error}");
        }
    }
}

#[test]
fn endless_nesting_is_refused_without_a_stack_to_match() {
    for (format, text) in [
        (Format::Json, "[".repeat(100_000)),
        (Format::Json, "{\"a\":".repeat(100_000)),
        (Format::Yaml, "[".repeat(100_000)),
        (Format::Yaml, "{\"a\":".repeat(100_000)),
        (Format::Yaml, "- ".repeat(100_000)),
        (Format::Toml, format!("a = {}", "[".repeat(100_000))),
        (Format::Toml, format!("a = {}", "{a = ".repeat(100_000))),
        (Format::Toml, format!("{}a = 1", "a.".repeat(100_000))),
        (Format::Toml, format!("[{}a]", "a.".repeat(100_000))),
        // Each of the parser's own limits kept, all of them multiplied.
        (Format::Toml, {
            let dotted = vec!["a"; 79].join(".");
            format!("[{dotted}]\n{dotted} = {}1{}", format!("{{{dotted} = ").repeat(78), "}".repeat(78))
        }),
    ] {
        let error = parse(&text, format, BYTES_MAX).expect_err("too deep");
        assert_eq!(error.code, DocumentErrorCode::TooDeep, "{format:?} {:?}: {error}", &text[..10]);
    }
    // Refused at the first key that is not a string.
    refuses(&"? ".repeat(100_000), Format::Yaml, DocumentErrorCode::MalformedDocument, ("", 1, 3));
}

#[test]
fn a_text_that_is_or_stands_for_too_much_is_refused() {
    let check = |text: &str, format, bytes_max| {
        assert_eq!(
            parse(text, format, bytes_max).map_err(|error| error.code),
            Err(DocumentErrorCode::LayerTooLarge)
        );
    };
    assert!(parse("{\"a\":1}", Format::Json, 7).is_ok());
    check("{\"a\":1}", Format::Json, 6);
    check("a: 1", Format::Yaml, 3);
    check("a = 1", Format::Toml, 4);
    let mut doubling = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (before, name) in ('a'..'i').zip('b'..) {
        doubling += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 9].join(","));
    }
    check(&doubling, Format::Yaml, BYTES_MAX);
    check(
        &format!("a: &a {}\nb:\n{}", "x".repeat(100_000), "- *a\n".repeat(150_000)),
        Format::Yaml,
        BYTES_MAX,
    );
    let members: String = (0..1000).map(|at| format!("a{at}: 1, ")).collect();
    let merges: String = (0..1000).map(|at| format!("k{at}: {{<<: *x}}\n")).collect();
    check(&format!("x: &x {{{members}}}\n{merges}"), Format::Yaml, BYTES_MAX);
}

#[test]
fn a_mark_of_the_byte_order_is_skipped_in_every_format() {
    for (format, text) in [(Format::Json, "{\"a\":1}"), (Format::Yaml, "a: 1"), (Format::Toml, "a = 1")] {
        let content = parse_content(&format!("\u{feff}{text}"), format, BYTES_MAX).expect(text);
        assert_eq!(content.as_str(), "{\"a\":1}", "{format:?}");
    }
}

#[test]
fn a_layer_is_an_object() {
    for (text, format) in [
        ("[]", Format::Json),
        ("null", Format::Json),
        ("\"a\"", Format::Json),
        ("null", Format::Yaml),
        ("~", Format::Yaml),
        ("- 1", Format::Yaml),
    ] {
        let error = parse_object(text, format, BYTES_MAX).expect_err(text);
        assert_eq!(error.code, DocumentErrorCode::NotAnObject, "{text:?}");
    }
    for text in ["", "# a\n", "\u{feff}# a = 1"] {
        assert_eq!(parse_object(text, Format::Toml, BYTES_MAX), Ok(json!({})), "{text:?}");
        assert_eq!(parse_object(text, Format::Yaml, BYTES_MAX), Ok(json!({})), "{text:?}");
    }
    assert_eq!(parse_object("---\n# a\n...\n", Format::Yaml, BYTES_MAX), Ok(json!({})));
    assert_eq!(parse_object("{}", Format::Yaml, BYTES_MAX), Ok(json!({})));
}

#[test]
fn what_is_written_is_sorted_and_made_for_reading() {
    let value = json!({
        "z": {"b": [{"c": 1}], "empty": {}}, "long": "word ".repeat(30) + "end", "lines": "one\ntwo\n", "size": 1e21,
        "no": "no", "list": [1, [], [2]], "time": "12:30:45"
    });
    let long = "word ".repeat(30) + "end";
    let pretty = format!(
        r#"{{
  "lines": "one\ntwo\n",
  "list": [
    1,
    [],
    [
      2
    ]
  ],
  "long": "{long}",
  "no": "no",
  "size": 1e+21,
  "time": "12:30:45",
  "z": {{
    "b": [
      {{
        "c": 1
      }}
    ],
    "empty": {{}}
  }}
}}
"#
    );
    assert_eq!(render_pretty_json(&value), pretty);
    let yaml = format!(
        r#"lines: |
  one
  two
list:
- 1
- []
- - 2
long: {long}
"no": "no"
size: 1.0e+21
time: "12:30:45"
z:
  b:
  - c: 1
  empty: {{}}
"#
    );
    assert_eq!(render(&value, Format::Yaml), Ok(yaml));
    let toml = format!(
        r#"lines = """
one
two
"""
list = [1, [], [2]]
long = "{long}"
no = "no"
size = 1000000000000000000000.0
time = "12:30:45"

[[z.b]]
c = 1

[z.empty]
"#
    );
    assert_eq!(render(&value, Format::Toml), Ok(toml));
}

#[test]
fn toml_says_what_it_cannot_express() {
    for (value, pointer) in [
        (json!([]), ""),
        (json!(1), ""),
        (json!({"a": {"b~": null}}), "/a/b~0"),
        (json!({"a": [1, [null]]}), "/a/1/0"),
        (json!({"a": u64::MAX}), "/a"),
    ] {
        let error = render(&value, Format::Toml).expect_err("not for TOML");
        assert_eq!((error.code, error.pointer.as_str()), (DocumentErrorCode::FormatCannotExpress, pointer));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn json_survives(value in arbitrary::value()) {
        let text = to_canonical(&value);
        prop_assert_eq!(parse(&text, Format::Json, BYTES_MAX), Ok(value.clone()));
        prop_assert_eq!(parse(&render_pretty_json(&value), Format::Json, BYTES_MAX), Ok(value));
    }

    #[test]
    fn yaml_survives(value in arbitrary::value()) {
        let text = render(&value, Format::Yaml).expect("YAML expresses all of JSON");
        prop_assert_eq!(parse(&text, Format::Yaml, BYTES_MAX), Ok(value), "{}", text);
    }

    #[test]
    fn toml_survives(value in arbitrary::object_for_toml()) {
        let text = render(&value, Format::Toml).expect("TOML expresses objects without null");
        prop_assert_eq!(parse(&text, Format::Toml, BYTES_MAX), Ok(value), "{}", text);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        for format in [Format::Json, Format::Yaml, Format::Toml] {
            if let Ok(value) = parse(&text, format, BYTES_MAX) {
                prop_assert_eq!(parse(&to_canonical(&value), Format::Json, BYTES_MAX), Ok(value));
            }
        }
    }
}
