//! Regular expressions of schemas: only those that a linear engine can match. Knows no schema around them.

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::{Value, json};

/// The compiled size of one expression. Bounds what matching costs for each byte.
pub(super) const SIZE_MAX: usize = 1 << 20;
/// Sizes that are tried in turn, to learn roughly how large an expression is.
const SIZES: [usize; 9] = [1 << 12, 1 << 13, 1 << 14, 3 << 13, 1 << 15, 1 << 16, 1 << 17, 1 << 19, SIZE_MAX];
/// Size that costs one step of work for 16 bytes of text, when an expression has so many states that the engine simulates them one
/// by one. Measured: 45 ns for each byte of text and KiB of size; a step is 12 ns.
const SIZE_PER_STEP: usize = 20;

/// Steps to compile a KiB of an expression.
pub(super) const STEPS_PER_KIB: u64 = 2500;

/// The compiled size of all expressions of a schema and of those that it refers to. Bounds how long compiling them takes, which grows with
/// their size, and their memory.
pub(super) const SIZE_TOGETHER_MAX: usize = 48 << 20;

/// One regular expression of a schema.
pub(super) struct SchemaPattern {
    validator: Validator,
    /// Steps of work for each 16 bytes of a text, at worst.
    pub(super) weight: u64,
    /// The compiled size, at most.
    pub(super) size: usize,
}

impl SchemaPattern {
    /// Reads an expression of ECMA-262; the error is the end of a sentence that begins with it.
    pub(super) fn compile(text: &str) -> Result<SchemaPattern, &'static str> {
        let schema = json!({ "pattern": text });
        for size in SIZES {
            let options = with_size(jsonschema::options().offline(), size);
            if let Ok(validator) = options.build(&schema) {
                return Ok(SchemaPattern { validator, weight: (size / SIZE_PER_STEP) as u64, size });
            }
        }
        let looks_around = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|mark| text.contains(mark));
        let refers_back =
            text.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9' | b'k'));
        Err(if looks_around {
            "looks around ((?=, (?!, (?<= or (?<!), which cannot be matched in linear time and is not supported"
        } else if refers_back {
            "refers back to a group, which cannot be matched in linear time and is not supported"
        } else if is_ecma(text) {
            "is too large: counted repetitions such as {1,1000} are written out, and multiply when nested"
        } else {
            "is not a regular expression of ECMA-262"
        })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        self.validator.is_valid(&Value::from(text))
    }
}

/// Valid, if not for the linear engine.
fn is_ecma(text: &str) -> bool {
    let options = jsonschema::options().offline().should_validate_formats(true);
    options.build(&json!({"format": "regex"})).is_ok_and(|format| format.is_valid(&Value::from(text)))
}

/// The engine for every expression of a schema.
pub(super) fn with_linear_engine(options: ValidationOptions<'_>) -> ValidationOptions<'_> {
    with_size(options, SIZE_MAX)
}

fn with_size(options: ValidationOptions<'_>, size: usize) -> ValidationOptions<'_> {
    options.with_pattern_options(PatternOptions::regex().size_limit(size))
}
