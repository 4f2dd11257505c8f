//! Scopes: paths down the hierarchy for which a config can differ.

use std::fmt;
use std::sync::Arc;

/// The most segments of a scope.
pub const SCOPE_SEGMENTS_MAX: usize = 8;
/// The longest segment, in bytes.
pub const SEGMENT_BYTES_MAX: usize = 63;

/// A path such as `/production/checkout`; `/` is the global scope. The order puts every scope before those below it.
///
/// The global scope, by far the most frequent, takes no memory and no count of its owners: it is none. Of the others, paths are in
/// order as texts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Option<Arc<str>>);

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error("must start with \"/\"")]
    NotAbsolute,
    #[error("has {0} segments, at most {SCOPE_SEGMENTS_MAX} are allowed")]
    TooDeep(usize),
    #[error("has an empty segment")]
    EmptySegment,
    #[error("segment {segment:?} has {bytes} bytes, at most {SEGMENT_BYTES_MAX} are allowed")]
    SegmentTooLong { segment: String, bytes: usize },
    #[error(
        "segment {segment:?} has {found:?}, allowed are letters, digits, -, ., _ and @, with a letter or digit first and last"
    )]
    Character { segment: String, found: char },
}

impl Scope {
    pub const fn global() -> Scope {
        Scope(None)
    }

    /// Reads a scope. `""` is the global scope; one trailing `/` is ignored.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        Ok(Scope::read(text)?.map_or_else(Scope::global, |text| Scope(Some(text.into()))))
    }

    /// Finds whatever `parse` would refuse.
    pub fn check(text: &str) -> Result<(), ScopeError> {
        Scope::read(text).map(drop)
    }

    /// The text of a scope. `None`: it is the global one.
    fn read(text: &str) -> Result<Option<&str>, ScopeError> {
        if text.is_empty() || text == "/" {
            return Ok(None);
        }
        let path = text.strip_prefix('/').ok_or(ScopeError::NotAbsolute)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let count = path.split('/').count();
        if count > SCOPE_SEGMENTS_MAX {
            return Err(ScopeError::TooDeep(count));
        }
        path.split('/').try_for_each(check_segment)?;
        Ok(Some(&text[..1 + path.len()]))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("/")
    }

    /// The segments from the top; none for the global scope.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').filter(|segment| !segment.is_empty())
    }

    /// The scopes from `/` down to this one, both included: the order of merging.
    pub fn lineage(&self) -> impl Iterator<Item = Scope> {
        self.lineage_paths().map(|path| match path {
            "/" => Scope::global(),
            path => Scope(Some(path.into())),
        })
    }

    /// The same as text, which costs no memory.
    pub fn lineage_paths(&self) -> impl Iterator<Item = &str> + Clone {
        let path = self.0.as_deref().unwrap_or_default();
        let above = path.match_indices('/').skip(1).map(move |(end, _)| &path[..end]);
        std::iter::once("/").chain(above).chain((!path.is_empty()).then_some(path))
    }

    pub fn is_global(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a change at `self` concerns `other`: it is the same scope, or one below.
    pub fn contains(&self, other: &Scope) -> bool {
        self.is_global()
            || other
                .as_str()
                .strip_prefix(self.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn check_segment(segment: &str) -> Result<(), ScopeError> {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inside = |c: char| edge(c) || matches!(c, '-' | '.' | '_' | '@');
    let (Some(first), Some(last)) = (segment.chars().next(), segment.chars().last()) else {
        return Err(ScopeError::EmptySegment);
    };
    if segment.len() > SEGMENT_BYTES_MAX {
        return Err(ScopeError::SegmentTooLong { segment: segment.into(), bytes: segment.len() });
    }
    let wrong = segment.chars().find(|c| !inside(*c));
    match wrong.or_else(|| [first, last].into_iter().find(|c| !edge(*c))) {
        Some(found) => Err(ScopeError::Character { segment: segment.into(), found }),
        None => Ok(()),
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).expect("a scope")
    }

    #[test]
    fn scopes_have_a_normal_form() {
        assert_eq!(scope(""), scope("/"));
        assert_eq!(scope("/production/").as_str(), "/production");
        assert_eq!(scope("/a/b/c/d/e/f/g/h").segments().count(), 8);
    }

    #[test]
    fn what_is_not_a_scope_is_refused() {
        assert_eq!(Scope::parse("production"), Err(ScopeError::NotAbsolute));
        assert_eq!(Scope::parse("/a/b/c/d/e/f/g/h/i"), Err(ScopeError::TooDeep(9)));
        assert_eq!(Scope::parse("/a//b"), Err(ScopeError::EmptySegment));
        assert_eq!(Scope::parse("//"), Err(ScopeError::EmptySegment));
        assert!(matches!(Scope::parse("/.."), Err(ScopeError::Character { .. })));
        assert!(matches!(Scope::parse("/a b"), Err(ScopeError::Character { .. })));
        assert!(matches!(
            Scope::parse(&format!("/{}", "x".repeat(64))),
            Err(ScopeError::SegmentTooLong { .. })
        ));
    }

    #[test]
    fn lineage_leads_from_the_top_down() {
        let names = |text| scope(text).lineage().map(|s| s.to_string()).collect::<Vec<_>>();
        assert_eq!(names("/"), ["/"]);
        assert_eq!(names("/a"), ["/", "/a"]);
        assert_eq!(names("/a/b/c"), ["/", "/a", "/a/b", "/a/b/c"]);
    }

    #[test]
    fn a_scope_contains_itself_and_what_is_below() {
        assert!(scope("/").contains(&scope("/a/b")));
        assert!(scope("/a").contains(&scope("/a")));
        assert!(scope("/a").contains(&scope("/a/b")));
        assert!(!scope("/a").contains(&scope("/ab")));
        assert!(!scope("/a/b").contains(&scope("/a")));
    }
}
