//! YAML out: block style, members sorted, written so that readers of YAML 1.1 and 1.2 read the same value (libyaml, go-yaml,
//! Psych, SnakeYAML, js-yaml). Knows no reader.
//!
//! A string is written plain only where no reader takes it for something else: what starts like a number, a time or an indicator, and the
//! words for true, false and null in any of the versions, are quoted. Texts of several lines are literal blocks, unless white space at the start
//! or end of a line would make them depend on how a reader counts it.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::model::canonical::{sorted_members, to_canonical};

/// The longest key that is written before its `:`. Longer ones get a `?`, because YAML allows 1024 characters there.
const SIMPLE_KEY_BYTES_MAX: usize = 1000;

pub fn render(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => write_members(members, 0, false, &mut text),
        Value::Array(items) if !items.is_empty() => write_items(items, 0, false, &mut text),
        scalar => write_scalar(scalar, 0, &mut text),
    }
    text
}

/// Writes members at an indent. `is_inline`: the first one goes on in a line that has begun.
fn write_members(members: &Map<String, Value>, indent: usize, is_inline: bool, text: &mut String) {
    for (at, (name, member)) in sorted_members(members).into_iter().enumerate() {
        if at > 0 || !is_inline {
            write_indent(indent, text);
        }
        let key = one_line(name);
        if key.len() > SIMPLE_KEY_BYTES_MAX {
            text.push_str("? ");
            text.push_str(&key);
            text.push('\n');
            write_indent(indent, text);
        } else {
            text.push_str(&key);
        }
        text.push(':');
        match member {
            Value::Object(members) if !members.is_empty() => {
                text.push('\n');
                write_members(members, indent + 2, false, text);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                write_items(items, indent, false, text);
            }
            scalar => {
                text.push(' ');
                write_scalar(scalar, indent, text);
            }
        }
    }
}

fn write_items(items: &[Value], indent: usize, is_inline: bool, text: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 || !is_inline {
            write_indent(indent, text);
        }
        text.push_str("- ");
        match item {
            Value::Object(members) if !members.is_empty() => write_members(members, indent + 2, true, text),
            Value::Array(items) if !items.is_empty() => write_items(items, indent + 2, true, text),
            scalar => write_scalar(scalar, indent, text),
        }
    }
}

fn write_indent(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// What takes the rest of a line; or a literal block, deeper than `indent`. Ends the line.
fn write_scalar(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(string) if is_literal(string) => {
            text.push_str(if string.ends_with('\n') { "|\n" } else { "|-\n" });
            for line in string.lines() {
                if !line.is_empty() {
                    write_indent(indent + 2, text);
                    text.push_str(line);
                }
                text.push('\n');
            }
            return;
        }
        Value::String(string) => text.push_str(&one_line(string)),
        Value::Number(number) => {
            let number = to_canonical(&Value::Number(number.clone()));
            match number.split_once('e') {
                // Without a point, YAML 1.1 takes it for a text.
                Some((mantissa, exponent)) if !mantissa.contains('.') => {
                    write!(text, "{mantissa}.0e{exponent}").expect("a text takes what is written to it");
                }
                Some(_) | None => text.push_str(&number),
            }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            text.push_str(&to_canonical(value))
        }
    }
    text.push('\n');
}

fn is_literal(string: &str) -> bool {
    let is_plain_line = |line: &str| {
        line.is_empty() || !line.ends_with(is_blank) && line.chars().all(|c| c == '\t' || is_printable(c))
    };
    string.contains('\n')
        && !string.starts_with(|c| c == '\n' || is_blank(c))
        && !string.ends_with("\n\n")
        && string.split('\n').all(is_plain_line)
}

fn one_line(string: &str) -> Cow<'_, str> {
    if is_plain(string) { Cow::Borrowed(string) } else { Cow::Owned(quoted(string)) }
}

/// Words that stand for something in YAML 1.1, in any case.
const WORDS: [&str; 14] =
    ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "t", "f", "nan", "inf", "infinity"];

fn is_plain(string: &str) -> bool {
    let Some(first) = string.chars().next() else { return false };
    let may_start = first.is_alphabetic() || matches!(first, '_' | '/' | '$') || is_quantity(string);
    let is_inner = |c: char| c.is_alphanumeric() || c == ' ' || (c.is_ascii_graphic() && c != '#');
    may_start
        && string.chars().all(|c| is_inner(c) && is_printable(c))
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
        && !WORDS.iter().any(|word| string.eq_ignore_ascii_case(word))
}

/// Digits and a unit, as in `250ms` or `10GiB`, whose first letter no reader knows as part of a number.
fn is_quantity(string: &str) -> bool {
    let unit = string.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < string.len()
        && unit.bytes().all(|byte| byte.is_ascii_alphabetic())
        && unit
            .bytes()
            .next()
            .is_some_and(|byte| !matches!(byte.to_ascii_lowercase(), b'e' | b'x' | b'o' | b'b'))
}

/// In double quotes, with nothing in it that a reader could refuse, fold or hide.
fn quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        let written = match c {
            '"' => write!(text, "\\\""),
            '\\' => write!(text, "\\\\"),
            '\n' => write!(text, "\\n"),
            '\r' => write!(text, "\\r"),
            '\t' => write!(text, "\\t"),
            c if is_printable(c) => write!(text, "{c}"),
            c => match u32::from(c) {
                code @ ..0x100 => write!(text, "\\x{code:02x}"),
                code @ ..0x10000 => write!(text, "\\u{code:04x}"),
                code => write!(text, "\\U{code:08x}"),
            },
        };
        written.expect("a text takes what is written to it");
    }
    text.push('"');
    text
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Whether every reader takes the character as it is, and people see it: no control, line separator, mark of the order of bytes,
/// direction of text, nor what is no character.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(u32::from(c), 0xA0 | 0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202F | 0x2060..=0x206F | 0xFEFF)
        && !matches!(u32::from(c), 0xFFF0..=0xFFFF | 0xE0000..=0xE0FFF)
        && u32::from(c) & 0xFFFE != 0xFFFE
}
