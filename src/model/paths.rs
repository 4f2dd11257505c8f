//! The paths of the values of a document, all together: what it takes to name each value once, as secrets, findings, diffs and
//! explanations do. Knows canonical text; never what is named.

/// Bytes that a path may take for each byte that a text may have. The paths of usual documents take less than ten.
pub const PATHS_FACTOR: usize = 64;
/// Texts that are shorter always have short paths: the longest that 64 levels allow are within the limit of a layer.
const SHORT_TEXT: usize = 8 << 10;
/// Bytes for each step of a path, beside its name.
const STEP_BYTES: usize = 32;
/// Bytes of the name of an element: its index.
const INDEX_BYTES: usize = 2;

/// An open object or array.
struct Open {
    /// The bytes of its path.
    path: usize,
    is_array: bool,
}

/// The bytes of the paths of all values in a canonical text, names and steps. 0 for a short text, whose paths nobody has to count.
pub fn path_bytes(canonical: &str) -> usize {
    if canonical.len() <= SHORT_TEXT {
        return 0;
    }
    let bytes = canonical.as_bytes();
    let (mut open, mut here, mut total, mut at) = (Vec::<Open>::new(), 0_usize, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                total = total.saturating_add(here);
                open.push(Open { path: here, is_array: *byte == b'[' });
                here += STEP_BYTES + INDEX_BYTES;
                at += 1;
            }
            b'}' | b']' => {
                here = open.pop().map_or(0, |closed| closed.path);
                at += 1;
            }
            b',' => {
                if let Some(Open { path, is_array: true }) = open.last() {
                    here = path + STEP_BYTES + INDEX_BYTES;
                }
                at += 1;
            }
            b'"' => {
                let end = end_of_string(bytes, at);
                if bytes.get(end) == Some(&b':') {
                    here = open.last().map_or(0, |object| object.path) + STEP_BYTES + (end - at);
                    at = end + 1;
                } else {
                    total = total.saturating_add(here);
                    at = end;
                }
            }
            _ => {
                total = total.saturating_add(here);
                let length = bytes[at..].iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
                at = length.map_or(bytes.len(), |length| at + length);
            }
        }
    }
    total
}

/// After the closing quote of the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::arbitrary;
    use crate::model::canonical::to_canonical;

    /// By walking through the value.
    fn counted(value: &Value, here: usize) -> usize {
        let quoted = |name: &str| Value::from(name).to_string().len();
        here + match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, member)| counted(member, here + STEP_BYTES + quoted(name)))
                .sum::<usize>(),
            Value::Array(items) => {
                items.iter().map(|item| counted(item, here + STEP_BYTES + INDEX_BYTES)).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    #[test]
    fn a_long_name_counts_for_every_value_below_it() {
        let many: Vec<Value> = (0..1000).map(Value::from).collect();
        let document = json!({ "x".repeat(9000): many });
        assert!(path_bytes(&to_canonical(&document)) > 9_000_000);
        assert_eq!(path_bytes(r#"{"a":1}"#), 0);
    }

    proptest! {
        #[test]
        fn the_paths_in_a_text_are_those_of_its_value(value in arbitrary::object()) {
            let document = json!({ "rest": value, "filler": "\"\\{[,:".repeat(2000) });
            let text = to_canonical(&document);
            prop_assert_eq!(path_bytes(&text), counted(&serde_json::from_str(&text).expect("JSON"), 0));
        }
    }
}
