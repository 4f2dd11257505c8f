//! Patterns with `*`, which matches any characters or none. Knows no names.

use std::fmt;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: Box<str>,
    form: Form,
}

/// Checks are made on every call, and nearly all patterns are one of the first three.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Stars only.
    Any,
    /// No star.
    Exact,
    /// One star, after so many bytes and at the end.
    Prefix(usize),
    /// What is between the stars has to occur in this order, the first and the last piece at the ends.
    Pieces { first: Box<str>, middle: Box<[Box<str>]>, last: Box<str> },
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let mut pieces: Vec<Box<str>> = text.split('*').map(Box::from).collect();
        let form = match (pieces.len(), pieces.pop()) {
            (1, _) | (_, None) => Form::Exact,
            _ if text.bytes().all(|byte| byte == b'*') => Form::Any,
            (2, Some(last)) if last.is_empty() => Form::Prefix(pieces[0].len()),
            (_, Some(last)) => {
                let first = pieces.remove(0);
                Form::Pieces { first, middle: pieces.into(), last }
            }
        };
        Pattern { text: text.into(), form }
    }

    /// Whether the pattern matches every text.
    pub fn is_any(&self) -> bool {
        self.form == Form::Any
    }

    /// Whether the pattern matches one text only.
    pub fn is_exact(&self) -> bool {
        self.form == Form::Exact
    }

    /// Matches a text. Takes no memory, and time in proportion to the length of the text.
    pub fn matches(&self, text: &str) -> bool {
        match &self.form {
            Form::Any => true,
            Form::Exact => *self.text == *text,
            Form::Prefix(length) => text.as_bytes().starts_with(&self.text.as_bytes()[..*length]),
            Form::Pieces { first, middle, last } => {
                let Some(mut left) = text.strip_prefix(&**first) else { return false };
                for piece in middle {
                    match left.find(&**piece) {
                        Some(at) => left = &left[at + piece.len()..],
                        None => return false,
                    }
                }
                left.ends_with(&**last)
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a pattern means, character by character.
    fn matches_naively(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                matches_naively(rest, text) || !text.is_empty() && matches_naively(pattern, &text[1..])
            }
            ([p, pattern @ ..], [t, text @ ..]) if p == t => matches_naively(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_characters_say(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let expected = matches_naively(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
        }
    }

    #[test]
    fn a_star_is_everything_and_a_name_itself() {
        assert!(Pattern::new("*").is_any() && Pattern::new("**").is_any());
        assert!(!Pattern::new("").is_any() && !Pattern::new("a*").is_any());
        assert!(Pattern::new("a").is_exact() && !Pattern::new("a*").is_exact());
        assert!(!Pattern::new("ab*ba").matches("aba"));
    }
}
