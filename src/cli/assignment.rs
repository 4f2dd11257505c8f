//! Assignments as they are typed: `path=value`. Knows JSON; never a document.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

/// One `path=value`, with the value as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Dotted, or an RFC 6901 pointer.
    pub path: String,
    pub json: String,
}

/// `path=value`: JSON if it is, else a string. `path:=value`: JSON, or refused.
pub fn parse(text: &str) -> Result<Assignment, String> {
    let Some((path, value)) = text.split_once('=') else {
        return Err(format!("{text:?} is not PATH=VALUE, such as content.max=30"));
    };
    let (path, forced) = match path.strip_suffix(':') {
        Some(path) => (path, true),
        None => (path, false),
    };
    if path.is_empty() {
        return Err(format!("{text:?} has no path before the ="));
    }
    let json = match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => value.trim().to_owned(),
        Err(error) if forced => return Err(format!("the value of {path} is not JSON: {error}")),
        Err(_) => serde_json::Value::from(value).to_string(),
    };
    Ok(Assignment { path: path.into(), json })
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
    fn paths_to_remove_become_pointers() {
        for (path, pointer) in
            [("a.b", "/a/b"), (r"a\.b", "/a.b"), ("/a~1b/c", "/a~1b/c"), ("a/b", "/a~1b"), ("a~", "/a~0")]
        {
            assert_eq!(to_pointer(path), pointer, "{path}");
        }
        assert_eq!(removal_patch(&["a.b".into()]), r#"[{"op":"remove","path":"/a/b"}]"#);
    }
}
