//! The core schema of YAML 1.2 (section 10.3.2): the type and value of a plain scalar. Knows no document.

use serde_json::{Number, Value};

use super::super::{BEYOND_64_BITS, NOT_A_DOUBLE};

/// The tags that a scalar can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarTag {
    Null,
    Bool,
    Int,
    Float,
    Text,
}

/// The value of a plain scalar without a tag. The error says why a number cannot be stored.
pub fn resolve(text: &str) -> Result<Value, &'static str> {
    match tag_of(text) {
        ScalarTag::Null => Ok(Value::Null),
        ScalarTag::Bool => Ok(Value::Bool(text.starts_with(['t', 'T']))),
        ScalarTag::Int => integer(text).ok_or(BEYOND_64_BITS),
        ScalarTag::Float => float(text).ok_or(NOT_A_DOUBLE),
        ScalarTag::Text => Ok(Value::from(text)),
    }
}

/// The value of a scalar with an explicit tag.
pub fn resolve_as(tag: ScalarTag, text: &str) -> Result<Value, &'static str> {
    match (tag, tag_of(text)) {
        (ScalarTag::Text, _) => Ok(Value::from(text)),
        (ScalarTag::Float, ScalarTag::Int | ScalarTag::Float) => float(text).ok_or(NOT_A_DOUBLE),
        (tag, found) if tag == found => resolve(text),
        (ScalarTag::Null, _) => Err("the value is tagged !!null, but is not null"),
        (ScalarTag::Bool, _) => Err("the value is tagged !!bool, but is neither true nor false"),
        (ScalarTag::Int, _) => Err("the value is tagged !!int, but is not an integer"),
        (ScalarTag::Float, _) => Err("the value is tagged !!float, but is not a number"),
    }
}

/// The tag of a plain scalar, by the regular expressions of the specification.
pub fn tag_of(text: &str) -> ScalarTag {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarTag::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => ScalarTag::Bool,
        ".nan" | ".NaN" | ".NAN" => ScalarTag::Float,
        _ if is_integer(text) => ScalarTag::Int,
        _ if is_float(unsigned(text)) => ScalarTag::Float,
        _ => ScalarTag::Text,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[-+]?[0-9]+`, `0o[0-7]+` or `0x[0-9a-fA-F]+`.
fn is_integer(text: &str) -> bool {
    let (digits, is_digit): (_, fn(u8) -> bool) = match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(octal), _) => (octal, |byte| matches!(byte, b'0'..=b'7')),
        (_, Some(hexadecimal)) => (hexadecimal, |byte| byte.is_ascii_hexdigit()),
        (None, None) => (unsigned(text), |byte| byte.is_ascii_digit()),
    };
    !digits.is_empty() && digits.bytes().all(is_digit)
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` or `\.(inf|Inf|INF)`.
fn is_float(text: &str) -> bool {
    if matches!(text, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(unsigned(exponent))),
        None => (text, None),
    };
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    is_mantissa && exponent.is_none_or(|exponent| !exponent.is_empty() && all_digits(exponent))
}

/// `None`: it is beyond 64 bits.
fn integer(text: &str) -> Option<Value> {
    let radix = |digits, radix| u64::from_str_radix(digits, radix).ok().map(Value::from);
    match (text.strip_prefix("0o"), text.strip_prefix("0x")) {
        (Some(octal), _) => radix(octal, 8),
        (_, Some(hexadecimal)) => radix(hexadecimal, 16),
        (None, None) => {
            text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok()
        }
    }
}

/// `None`: it is not finite.
fn float(text: &str) -> Option<Value> {
    match tag_of(text) {
        ScalarTag::Int => match integer(text) {
            Some(integer) => Some(integer),
            None => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        },
        // Rust reads "inf" without the point only, so what is not finite is no number here.
        _ => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_the_core_schema_says() {
        let check = |texts: &[&str], expected: ScalarTag| {
            for text in texts {
                assert_eq!(tag_of(text), expected, "{text:?}");
            }
        };
        check(&["", "~", "null", "Null", "NULL"], ScalarTag::Null);
        check(&["true", "True", "TRUE", "false", "False", "FALSE"], ScalarTag::Bool);
        check(&["0", "-0", "+1", "010", "0o17", "0x1F", "18446744073709551616"], ScalarTag::Int);
        check(
            &["1.", ".5", "-.5", "1e3", "1.5E-3", "+1.e+3", ".inf", "-.INF", "+.Inf", ".nan"],
            ScalarTag::Float,
        );
        check(
            &[
                "nULL", "tRue", "yes", "2026_8_6", "1_000", "0b11", "-0x1F", "0X1F", "+0o7", "0o8", "0O7",
                "0x", "0o", "1,000", "12:30", "-.nan", "+.NaN", ".iNf", ".", "-", "+", "e3", ".e3", "1e",
                "1e+", "1.5.2", "--1", "1 ", "\u{0661}", "Infinity", "NaN", "inf", "1__0", "_1", "0x1_f",
                "1e1_0", "=", "<<",
            ],
            ScalarTag::Text,
        );
    }

    #[test]
    fn a_number_that_cannot_be_kept_is_refused() {
        for text in [
            "18446744073709551616",
            "-9223372036854775809",
            "0xfffffffffffffffff",
            "0o7777777777777777777777777",
        ] {
            assert_eq!(resolve(text), Err(BEYOND_64_BITS), "{text}");
        }
        for text in [".inf", "-.Inf", ".nan", "1e999", "-1e999"] {
            assert_eq!(resolve(text), Err(NOT_A_DOUBLE), "{text}");
        }
        assert_eq!(resolve("+18446744073709551615"), Ok(u64::MAX.into()));
        assert_eq!(resolve("1e20"), Ok(1e20.into()));
    }

    #[test]
    fn a_tag_says_how_to_read_a_scalar() {
        assert_eq!(resolve_as(ScalarTag::Text, "1"), Ok("1".into()));
        assert_eq!(resolve_as(ScalarTag::Float, "1"), Ok(1.into()));
        assert_eq!(resolve_as(ScalarTag::Float, "36893488147419103232"), Ok(2f64.powi(65).into()));
        assert_eq!(resolve_as(ScalarTag::Int, "0x1f"), Ok(31.into()));
        assert!(resolve_as(ScalarTag::Int, "1.5").is_err());
        assert!(resolve_as(ScalarTag::Bool, "yes").is_err());
        assert!(resolve_as(ScalarTag::Null, "x").is_err());
        assert!(resolve_as(ScalarTag::Float, "x").is_err());
    }
}
