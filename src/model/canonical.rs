//! Canonical JSON: RFC 8785, except that integers within i64 and u64 are written with all their digits.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// Canonical text of a value: members sorted by UTF-16 code units, no white space, numbers as ECMAScript writes them.
pub fn to_canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// The normal form of a value: each number that canonical text writes as an integer within i64 or u64 is that integer,
/// so that equal canonical texts mean equal values. Every parser of `model::text` ends with it.
pub fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
                let text = ryu_js::Buffer::new().format_finite(float).to_owned();
                if let Ok(integer) = text.parse::<u64>() {
                    *number = integer.into();
                } else if let Ok(integer) = text.parse::<i64>() {
                    *number = integer.into();
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(number, text),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (at, (name, member)) in sorted_members(members).into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write_string(name, text);
                text.push(':');
                write(member, text);
            }
            text.push('}');
        }
    }
}

/// In the order of their names.
pub(super) fn sorted_members(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut sorted: Vec<_> = members.iter().collect();
    // serde_json's map is sorted by UTF-8 already, which differs only beyond the basic plane.
    sorted.sort_by(|(a, _), (b, _)| compare_names(a, b));
    sorted
}

/// RFC 8785 section 3.2.3: by UTF-16 code units. UTF-8 has the same order, but for characters beyond the basic plane (first
/// byte 0xF0 and up): as surrogates they come before U+E000 to U+FFFF (first byte 0xEE or 0xEF).
pub(super) fn compare_names(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if matches!(byte, 0xEE | 0xEF) { 0xFF } else { byte };
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) => (rank(a), a).cmp(&(rank(b), b)),
        None => a.len().cmp(&b.len()),
    }
}

pub(super) fn write_number(number: &Number, text: &mut String) {
    match number.as_f64() {
        Some(float) if number.is_f64() => text.push_str(ryu_js::Buffer::new().format_finite(float)),
        Some(_) | None => write!(text, "{number}").expect("a text takes what is written to it"),
    }
}

/// RFC 8785 section 3.2.2.2: serde_json escapes exactly what ECMAScript's JSON.stringify does.
pub(super) fn write_string(string: &str, text: &mut String) {
    // Without a way out at the first one: a loop over short strings that the compiler can unroll, for most have none.
    let is_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if string.bytes().fold(false, |found, byte| found | is_escaped(byte)) {
        text.push_str(&serde_json::to_string(string).expect("a string is JSON"));
    } else {
        text.push('"');
        text.push_str(string);
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::arbitrary;

    fn check(input: &str, expected: &str) {
        let mut value: Value = serde_json::from_str(input).expect("JSON");
        normalize(&mut value);
        assert_eq!(to_canonical(&value), expected);
        assert_eq!(serde_json::from_str::<Value>(expected).expect("JSON"), value, "normal form");
    }

    #[test]
    fn numbers_are_written_as_ecmascript_does_and_integers_exactly() {
        check("9007199254740993", "9007199254740993");
        check("18446744073709551615", "18446744073709551615");
        check("-9223372036854775808", "-9223372036854775808");
        check("1.0", "1");
        check("-0.0", "0");
        check("1e2", "100");
        check("1e21", "1e+21");
        check("1e-7", "1e-7");
        check("0.000001", "0.000001");
        check("333333333.33333329", "333333333.3333333");
        check("1e20", "100000000000000000000");
        check("123456789012345678901234", "1.2345678901234569e+23");
    }

    #[test]
    fn members_are_sorted_by_utf16_and_strings_escaped_minimally() {
        check(r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#);
        // RFC 8785 section 3.2.3: U+1F600 sorts as a surrogate pair, before U+FB33.
        check(r#"{"\ufb33":1,"\ud83d\ude00":2,"\u20ac":3}"#, "{\"€\":3,\"😀\":2,\"\u{fb33}\":1}");
        check(r#""\u000f\n\"\\\/é""#, "\"\\u000f\\n\\\"\\\\/é\"");
    }

    proptest! {
        #[test]
        fn names_are_in_the_order_of_utf16(a in "[a\u{7ff}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}", b in "[a\u{d7ff}\u{e000}\u{fb33}\u{10000}\u{20000}]{0,3}") {
            prop_assert_eq!(compare_names(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }

        #[test]
        fn canonical_text_is_a_fixed_point(value in arbitrary::value()) {
            let text = to_canonical(&value);
            let read: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(to_canonical(&read), text);
            prop_assert_eq!(read, value, "normal form");
        }

        #[test]
        fn equal_texts_mean_equal_values(a in arbitrary::similar_object(), b in arbitrary::similar_object()) {
            prop_assert_eq!(to_canonical(&a) == to_canonical(&b), a == b);
        }

        #[test]
        fn equal_numbers_mean_equal_texts(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite());
            let [a_text, b_text] = [a, b].map(|float| to_canonical(&Value::from(float)));
            prop_assert_eq!(a_text == b_text, a == b);
            prop_assert_eq!(a_text.parse(), Ok(a));
        }
    }
}
