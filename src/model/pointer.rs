//! JSON pointers (RFC 6901): the names of places in a document. Knows values only; where a pointer leads to nothing, its
//! caller decides what that means.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// A place in a document. The order is that of the tokens: a place comes before all places below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(Vec<String>);

/// Why a text is not a pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("must be empty or start with \"/\"")]
    NotAbsolute,
    #[error("has \"~\" at byte {at} without 0 or 1 after it")]
    Escape { at: usize },
}

impl Pointer {
    /// The whole document.
    pub fn root() -> Pointer {
        Pointer::default()
    }

    /// Reads the string form of RFC 6901 section 3: `""`, `/a/b`, with `~0` for `~` and `~1` for `/`.
    pub fn parse(text: &str) -> Result<Pointer, PointerError> {
        if text.is_empty() {
            return Ok(Pointer::root());
        }
        let path = text.strip_prefix('/').ok_or(PointerError::NotAbsolute)?;
        for (at, _) in text.match_indices('~') {
            if !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')) {
                return Err(PointerError::Escape { at });
            }
        }
        // In this order, so that ~01 becomes ~1 (RFC 6901 section 4).
        Ok(Pointer(path.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The place of a member or an element of what is here.
    pub fn child(&self, token: &str) -> Pointer {
        let mut tokens = self.0.clone();
        tokens.push(token.to_owned());
        Pointer(tokens)
    }

    /// The names of members and indices of elements on the way, unescaped.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The value at this place. The index of an element is written without leading zeros; `-`, the place after the last
    /// element, has no value.
    pub fn find<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        self.tokens().try_fold(document, |value, token| match value {
            Value::Object(members) => members.get(token),
            Value::Array(items) => items.get(index(token)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// `other` is this place or one below it.
    pub fn contains(&self, other: &Pointer) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether one of these places is this place, above it, or below it.
    pub fn touches(&self, places: &BTreeSet<Pointer>) -> bool {
        // What is below a place comes next to it in the order.
        let below = places.range::<Pointer, _>(self..).next().is_some_and(|next| self.contains(next));
        below || (0..self.0.len()).any(|depth| places.contains(&Pointer(self.0[..depth].to_vec())))
    }

    /// The same of a pointer as text. What is no pointer is nowhere.
    pub fn contains_text(&self, other: &str) -> bool {
        Pointer::parse(other).is_ok_and(|other| self.contains(&other))
    }
}

/// Reads an array index (RFC 6901 section 4). `None` if the token is not one.
pub fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit());
    token.parse().ok().filter(|_| canonical)
}

impl FromIterator<String> for Pointer {
    fn from_iter<T: IntoIterator<Item = String>>(tokens: T) -> Pointer {
        Pointer(tokens.into_iter().collect())
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 6901 section 5.
    #[test]
    fn a_place_touches_those_above_and_below_it_and_no_others() {
        let pointer = |text: &str| Pointer::parse(text).expect("a pointer");
        let places = BTreeSet::from([pointer("/a/b"), pointer("/a-b"), pointer("/c")]);
        for text in ["", "/a", "/a/b", "/a/b/c/d", "/c", "/c/0"] {
            assert!(pointer(text).touches(&places), "{text}");
        }
        for text in ["/a/a", "/a/bc", "/b", "/cc", "/d", "/a/c"] {
            assert!(!pointer(text).touches(&places), "{text}");
        }
        assert!(!pointer("").touches(&BTreeSet::new()));
    }

    #[test]
    fn pointers_find_what_the_rfc_says() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
        });
        let check = |text: &str, expected: Option<Value>| {
            let pointer = Pointer::parse(text).expect("a pointer");
            assert_eq!(pointer.find(&document), expected.as_ref(), "{text}");
            assert_eq!(pointer.to_string(), text);
        };
        check("", Some(document.clone()));
        check("/foo", Some(json!(["bar", "baz"])));
        check("/foo/0", Some(json!("bar")));
        check("/", Some(json!(0)));
        check("/a~1b", Some(json!(1)));
        check("/c%d", Some(json!(2)));
        check("/e^f", Some(json!(3)));
        check("/g|h", Some(json!(4)));
        check("/i\\j", Some(json!(5)));
        check("/k\"l", Some(json!(6)));
        check("/ ", Some(json!(7)));
        check("/m~0n", Some(json!(8)));
        for nothing in ["/foo/2", "/foo/-", "/foo/01", "/foo/+1", "/foo/", "/foo/0/x", "/nope"] {
            check(nothing, None);
        }
    }

    #[test]
    fn what_is_not_a_pointer_is_refused() {
        assert_eq!(Pointer::parse("a"), Err(PointerError::NotAbsolute));
        assert_eq!(Pointer::parse("/a~"), Err(PointerError::Escape { at: 2 }));
        assert_eq!(Pointer::parse("/~2"), Err(PointerError::Escape { at: 1 }));
        assert_eq!(Pointer::parse("/~01").map(|p| p.tokens().collect::<String>()), Ok("~1".to_owned()));
    }

    #[test]
    fn a_pointer_contains_itself_and_what_is_below() {
        let at = |text| Pointer::parse(text).expect("a pointer");
        assert!(at("").contains(&at("/a")) && at("/a").contains(&at("/a")) && at("/a").contains(&at("/a/b")));
        assert!(!at("/a").contains(&at("/ab")) && !at("/a/b").contains(&at("/a")));
    }

    proptest! {
        #[test]
        fn a_pointer_survives_its_text(tokens in prop::collection::vec("[a~/01é]{0,3}", 0..5)) {
            let pointer: Pointer = tokens.into_iter().collect();
            prop_assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer));
        }
    }
}
