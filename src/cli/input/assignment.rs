//! Assignments as they are typed: `path=value`. Knows JSON; never a document.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::Content;

/// One `path=value`, with the value as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Dotted, or an RFC 6901 pointer.
    pub path: String,
    pub json: String,
}

/// `path=value`: JSON if it is, else a string. `path:=value`: JSON, or refused. In the path, `\=` is a `=` and `\:` a `:`.
///
/// A number that would be written in another way is refused: `version=1.10` is more often a text than the number 1.1.
pub fn parse(text: &str) -> Result<Assignment, String> {
    let (path, value) = split(text)?;
    let (path, forced) = match path.strip_suffix(':').filter(|path| !path.ends_with('\\')) {
        Some(path) => (path, true),
        None => (path, false),
    };
    let path = path_of(path)?;
    if is_beyond_integers(value.trim()) {
        return Err(format!(
            "the value of {path} is beyond the integers of 64 bits, which numbers can have: --string {path}={value} is the text"
        ));
    }
    if is_out_of_range(value.trim()) {
        return Err(format!(
            "the value of {path} is a number out of range, beyond 1.8e308: --string {path}={value} is the text"
        ));
    }
    let json = match serde_json::from_str::<Value>(value) {
        Ok(parsed) => match reads_otherwise(value, &parsed) {
            Some(number) if !forced => {
                return Err(format!(
                    "{value} is the number {number}: is it one, or text? {path}:={value} is the number, --string {path}={value} the text"
                ));
            }
            Some(_) | None => value.trim().to_owned(),
        },
        Err(error) if forced => return Err(format!("the value of {path} is not JSON: {error}")),
        Err(_) => Value::from(value).to_string(),
    };
    Ok(Assignment { path, json })
}

/// Whether it is an integer that no document can have as a number.
fn is_beyond_integers(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer && !digits.starts_with('0') && value.parse::<i64>().is_err() && value.parse::<u64>().is_err()
}

/// Whether it is written as a number of JSON, and larger than any that a document can have.
fn is_out_of_range(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && value.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// `path=value`, with the value as text, whatever it looks like.
pub fn parse_string(text: &str) -> Result<Assignment, String> {
    let (path, value) = split(text)?;
    Ok(Assignment { path: path_of(path)?, json: Value::from(value).to_string() })
}

/// At the first `=` that is not escaped.
fn split(text: &str) -> Result<(&str, &str), String> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            '=' if !is_escaped => return Ok((&text[..at], &text[at + 1..])),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    // Without its text, which may be a secret that was to be a value.
    Err("an argument has no =: expected PATH=VALUE, such as content.max=30; an option with an optional value takes it after =, as in --wait=5s".to_owned())
}

/// The path without the escapes that are of the assignment; those of a dot and of a backslash are of the path.
fn path_of(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("an argument has no path before the =: expected PATH=VALUE".to_owned());
    }
    let mut plain = String::with_capacity(path.len());
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some('=' | ':')) => {}
            ('\\', Some('\\')) => {
                characters.next();
                plain.push_str("\\\\");
            }
            (character, _) => plain.push(character),
        }
    }
    Ok(plain)
}

/// How a number is written, if that is another text than this.
fn reads_otherwise(text: &str, parsed: &Value) -> Option<String> {
    let number = parsed.is_number().then(|| Content::of(parsed).as_str().to_owned())?;
    (number != text.trim()).then_some(number)
}

/// As the wire takes them. The same path twice is refused: which of the values was meant?
pub fn to_map(assignments: &[Assignment]) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for assignment in assignments {
        if map.insert(assignment.path.clone(), assignment.json.clone()).is_some() {
            return Err(format!("{} is assigned twice", assignment.path));
        }
    }
    Ok(map)
}

/// A JSON patch that removes these paths from a layer.
pub fn removal_patch(paths: &[String]) -> String {
    let operations: Vec<_> =
        paths.iter().map(|path| serde_json::json!({"op": "remove", "path": to_pointer(path)})).collect();
    serde_json::Value::from(operations).to_string()
}

/// RFC 6901 for a path that is either a pointer already, or dotted with `\.` for a dot within a name.
fn to_pointer(path: &str) -> String {
    if path.starts_with('/') {
        return path.into();
    }
    let mut pointer = String::from("/");
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('.') => pointer.push('.'),
                Some('\\') | None => pointer.push('\\'),
                Some(other) => pointer.extend(['\\', other]),
            },
            '.' => pointer.push('/'),
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, path: &str, json: &str) {
        assert_eq!(parse(text), Ok(Assignment { path: path.into(), json: json.into() }), "{text}");
    }

    #[test]
    fn values_are_json_if_they_are_and_else_strings() {
        check("a.b=5", "a.b", "5");
        check("a=true", "a", "true");
        check("a=null", "a", "null");
        check("a=", "a", r#""""#);
        check("a=thursday", "a", r#""thursday""#);
        check(r#"a="5""#, "a", r#""5""#);
        check("a=1.2.3", "a", r#""1.2.3""#);
        check("a=x=y", "a", r#""x=y""#);
        check(r#"/a/b={"c":[1]}"#, "/a/b", r#"{"c":[1]}"#);
        check("a=NaN", "a", r#""NaN""#);
        check("a=18446744073709551615", "a", "18446744073709551615");
        check("a:=[1]", "a", "[1]");
        check("rate=0.5", "rate", "0.5");
        check("n=-3", "n", "-3");
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for text in ["a", "=5", ":=5", "a:=thursday", "a:="] {
            assert!(parse(text).is_err(), "{text}");
        }
        let twice = [parse("a=1").expect("one"), parse("a=2").expect("two")];
        assert!(to_map(&twice).is_err());
    }

    #[test]
    fn what_may_be_text_is_not_taken_for_another_number() {
        for text in ["sha=12e5", "version=1.10", "a=1.0", "a=1e3", "a=-0"] {
            let why = parse(text).expect_err(text);
            assert!(why.contains("--string"), "{why}");
        }
        for text in ["a=1E400", "a=1e999", "a=-1e999", "a:=1e999", "a=1.5e+400"] {
            let why = parse(text).expect_err(text);
            assert!(why.contains("out of range") && why.contains("--string a="), "{why}");
        }
        check("a=1e999x", "a", r#""1e999x""#);
        check("a=inf", "a", r#""inf""#);
        check("version:=1.10", "version", "1.10");
        for text in ["big=18446744073709551616", "big:=-9223372036854775809"] {
            let why = parse(text).expect_err(text);
            assert!(why.contains("beyond the integers of 64 bits") && why.contains("--string big="), "{why}");
        }
        check("big=18446744073709551615", "big", "18446744073709551615");
        check("big=-9223372036854775808", "big", "-9223372036854775808");
        let text = |text: &str| parse_string(text).expect("an assignment").json;
        assert_eq!(text("version=1.10"), r#""1.10""#);
        assert_eq!(text("a=true"), r#""true""#);
        assert_eq!(text("a="), r#""""#);
        assert_eq!(text(r#"a="x""#), r#""\"x\"""#);
    }

    #[test]
    fn a_key_may_have_what_divides_it_from_its_value() {
        check(r"labels.a\=b=1", "labels.a=b", "1");
        check(r"/labels/a\=b=c=d", "/labels/a=b", r#""c=d""#);
        check(r"a\:=1", "a:", "1");
        check(r"a\::=[1]", "a:", "[1]");
        check(r"a\.b\=c=1", r"a\.b=c", "1");
        check(r"a\\=1", r"a\\", "1");
        assert_eq!(parse_string(r"x\=y=1").expect("one").path, "x=y");
    }

    #[test]
    fn paths_to_remove_become_pointers() {
        for (path, pointer) in
            [("a.b", "/a/b"), (r"a\.b", "/a.b"), ("/a~1b/c", "/a~1b/c"), ("a/b", "/a~1b"), ("a~", "/a~0")]
        {
            assert_eq!(to_pointer(path), pointer, "{path}");
        }
        assert_eq!(removal_patch(&["a.b".into()]), r#"[{"op":"remove","path":"/a/b"}]"#);
    }
}
