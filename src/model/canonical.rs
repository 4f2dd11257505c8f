//! Canonical JSON: RFC 8785, with two exceptions, so that one number has one text and every text means one number:
//! - a number whose value is an integer within i64 or u64 is written with all its digits, where RFC 8785 would round beyond
//!   2^53: `4374094629981061120` and `4.37409462998106112e18` are one number;
//! - a double beyond 64 bits is written with an exponent, `1e+20`, where RFC 8785 has digits up to 10^21. So an integer without an
//!   exponent is always exact, and one beyond 64 bits can be refused wherever it is read.
//!
//! Texts stored before these exceptions are read as what they say, and keep the digests that they were stored with.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// Canonical text of a value: members sorted by UTF-16 code units, no white space, numbers as ECMAScript writes them.
pub fn to_canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

/// Brings a value into normal form: each number whose value is an integer within i64 or u64 becomes that integer, so that
/// equal canonical texts mean equal values. Every parser of `model::text` ends with it.
pub fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(integer) = number.as_f64().filter(|_| number.is_f64()).and_then(integer_of) {
                *number = integer;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// The integer that a double is, if it is one within i64 or u64.
fn integer_of(float: f64) -> Option<Number> {
    const BEYOND_U64: f64 = 18_446_744_073_709_551_616.0;
    const I64_MIN: f64 = -9_223_372_036_854_775_808.0;
    match float {
        _ if float.fract() != 0.0 => None,
        0.0..BEYOND_U64 => Some((float as u64).into()),
        I64_MIN..0.0 => Some((float as i64).into()),
        _ => None,
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
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => match integer_of(float) {
            Some(integer) => write_number(&integer, text),
            None => write_float(float, text),
        },
        None => write!(text, "{number}").expect("a text takes what is written to it"),
    }
}

/// As ECMAScript does, but for integers: they have an exponent.
fn write_float(float: f64, text: &mut String) {
    let mut buffer = ryu_js::Buffer::new();
    let written = buffer.format_finite(float);
    let digits = written.strip_prefix('-').unwrap_or(written);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.push_str(written);
    }
    let (first, rest) = digits.split_at(1);
    let (sign, fraction) = (&written[..written.len() - digits.len()], rest.trim_end_matches('0'));
    let point = if fraction.is_empty() { "" } else { "." };
    write!(text, "{sign}{first}{point}{fraction}e+{}", rest.len())
        .expect("a text takes what is written to it");
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
        check("4374094629981061120", "4374094629981061120");
        check("4.37409462998106112e18", "4374094629981061120");
        check("-4.37409462998106112e18", "-4374094629981061120");
        check("18446744073709549568.0", "18446744073709549568");
        check("18446744073709551616.0", "1.8446744073709552e+19");
        check("-9223372036854775808.0", "-9223372036854775808");
        check("-9223372036854777856.0", "-9.223372036854778e+18");
        check("1e20", "1e+20");
        check("-123e18", "-1.23e+20");
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

        #[test]
        fn a_double_is_written_as_its_exact_value(float in prop_oneof![any::<f64>(), -2e19..2e19]) {
            prop_assume!(float.is_finite());
            let text = to_canonical(&Value::from(float));
            match text.parse::<i128>() {
                // The text of an integer is exact.
                Ok(integer) => prop_assert_eq!(format!("{:.0}", float + 0.0), integer.to_string()),
                Err(_) => prop_assert!(float.fract() != 0.0 || float.abs() > 9.2e18, "{}", text),
            }
        }
    }
}
