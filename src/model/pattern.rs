//! Patterns of keys: `*timeout*` for the name of a member wherever it is, `/db/*/port` for its place in a document. Pure.

/// The longest text of a pattern, in bytes.
const BYTES_MAX: usize = 512;

/// Which values of a document to find by their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPattern {
    /// Members with such a name, at any place.
    Name(NamePattern),
    /// Values at such a place.
    Place(Vec<Segment>),
}

/// A part of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    One(NamePattern),
    /// `**`: any number of members or elements on the way, or none.
    Any,
}

/// A text in which each `*` is any number of characters, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("must not be empty")]
    Empty,
    #[error("has {0} bytes, at most {BYTES_MAX} are allowed")]
    TooLong(usize),
}

impl KeyPattern {
    /// A text that begins with `/` is the pattern of a place, with `~0` for `~` and `~1` for `/` as in a JSON pointer; another one is that of a name.
    pub fn parse(text: &str) -> Result<KeyPattern, PatternError> {
        match (text.len(), text.strip_prefix('/')) {
            (0, _) => Err(PatternError::Empty),
            (length, _) if length > BYTES_MAX => Err(PatternError::TooLong(length)),
            (_, None) => Ok(KeyPattern::Name(NamePattern(text.into()))),
            (_, Some(path)) => {
                let segment = |text: &str| match text {
                    "**" => Segment::Any,
                    text => Segment::One(NamePattern(text.replace("~1", "/").replace("~0", "~"))),
                };
                Ok(KeyPattern::Place(path.split('/').map(segment).collect()))
            }
        }
    }

    /// Whether it matches the value at this place.
    pub fn matches(&self, place: &[&str]) -> bool {
        match self {
            KeyPattern::Name(name) => place.last().is_some_and(|last| name.matches(last)),
            KeyPattern::Place(segments) => {
                // Which beginnings of the pattern match the tokens so far: time grows with the product of the lengths.
                let mut reached = vec![false; segments.len() + 1];
                reached[0] = true;
                skip_any(segments, &mut reached);
                for token in place {
                    let mut next = vec![false; segments.len() + 1];
                    for (at, segment) in segments.iter().enumerate().filter(|(at, _)| reached[*at]) {
                        match segment {
                            Segment::Any => next[at] = true,
                            Segment::One(name) => next[at + 1] |= name.matches(token),
                        }
                    }
                    skip_any(segments, &mut next);
                    reached = next;
                }
                reached[segments.len()]
            }
        }
    }
}

/// `**` matches nothing, too.
fn skip_any(segments: &[Segment], reached: &mut [bool]) {
    for (at, segment) in segments.iter().enumerate() {
        if reached[at] && *segment == Segment::Any {
            reached[at + 1] = true;
        }
    }
}

impl NamePattern {
    /// Time grows with the product of the lengths at most.
    fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // After the last star, and where its match ends.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p + 1, t));
                p += 1;
            } else if pattern.get(p) == Some(&text[t]) {
                (p, t) = (p + 1, t + 1);
            } else if let Some((after, end)) = star {
                star = Some((after, end + 1));
                (p, t) = (after, end + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naively(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                naively(rest, text) || (!text.is_empty() && naively(pattern, &text[1..]))
            }
            ([p, pattern @ ..], [t, text @ ..]) if p == t => naively(pattern, text),
            _ => false,
        }
    }

    fn place_naively(pattern: &[&str], place: &[&str]) -> bool {
        match (pattern, place) {
            ([], []) => true,
            (["**", rest @ ..], _) => {
                place_naively(rest, place) || (!place.is_empty() && place_naively(pattern, &place[1..]))
            }
            ([p, pattern @ ..], [t, place @ ..]) => {
                naively(p.as_bytes(), t.as_bytes()) && place_naively(pattern, place)
            }
            _ => false,
        }
    }

    #[test]
    fn a_pattern_is_of_a_name_or_of_a_place() {
        let matches = |text: &str, place: &[&str]| KeyPattern::parse(text).expect("a pattern").matches(place);
        assert!(matches("port", &["db", "port"]) && !matches("port", &["port", "x"]));
        assert!(matches("*time*", &["a", "read_timeout_ms"]));
        assert!(matches("/db/*/port", &["db", "main", "port"]) && !matches("/db/*/port", &["db", "port"]));
        assert!(matches("/**/port", &["port"]) && matches("/**/port", &["a", "b", "port"]));
        assert!(matches("/a~1b", &["a/b"]));
        assert_eq!(KeyPattern::parse(""), Err(PatternError::Empty));
        assert!(KeyPattern::parse(&"x".repeat(513)).is_err());
    }

    proptest! {
        #[test]
        fn a_name_matches_what_its_characters_say(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            let expected = naively(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(NamePattern(pattern).matches(&text), expected);
        }

        #[test]
        fn a_place_matches_what_its_segments_say(
            pattern in prop::collection::vec(prop::sample::select(&["a", "b", "*", "**", "a*"][..]), 1..6),
            place in prop::collection::vec(prop::sample::select(&["a", "b", "ab"][..]), 0..6),
        ) {
            let parsed = KeyPattern::parse(&format!("/{}", pattern.join("/"))).expect("a pattern");
            prop_assert_eq!(parsed.matches(&place), place_naively(&pattern, &place));
        }
    }
}
