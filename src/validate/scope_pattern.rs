//! Patterns of scopes: where a rule applies, and which scopes a namespace allows. Knows neither.

use crate::model::Scope;

/// Segments, of which `*` stands for any one, and whether any number may follow. `/production` is that scope alone,
/// `/production/**` that scope and all below, `/*/checkout` that service in each environment, `/**` every scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopePattern {
    segments: Vec<Segment>,
    and_below: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Exactly(String),
}

impl ScopePattern {
    pub fn everywhere() -> ScopePattern {
        ScopePattern { segments: Vec::new(), and_below: true }
    }

    pub fn parse(text: &str) -> Result<ScopePattern, String> {
        let Some(path) = text.strip_prefix('/') else { return Err("must start with \"/\"".into()) };
        let (path, and_below) = match path.strip_suffix("**") {
            Some(path) => (path.strip_suffix('/').unwrap_or(path), true),
            None => (path, false),
        };
        if and_below && !text.ends_with("/**") {
            return Err("has \"**\" within a segment: it stands alone, at the end".into());
        }
        let texts: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
        // What a scope may be is what a pattern may be.
        let scope = texts.iter().map(|segment| if *segment == "*" { "x" } else { segment });
        let scope = scope.map(|segment| format!("/{segment}")).collect::<String>();
        if texts.contains(&"") {
            return Err("has an empty segment".into());
        }
        if texts.iter().any(|segment| segment.contains('*') && *segment != "*") {
            return Err("has \"*\" that is not a whole segment, or \"**\" before the end".into());
        }
        Scope::parse(&scope).map_err(|error| error.to_string())?;
        let segment = |text: &str| if text == "*" { Segment::Any } else { Segment::Exactly(text.into()) };
        Ok(ScopePattern { segments: texts.into_iter().map(segment).collect(), and_below })
    }

    /// The scope with as many segments as `scope` that the pattern matches and that differs from `scope` in the fewest segments. `None`: the
    /// pattern matches no scope with so many segments.
    pub fn nearest(&self, scope: &Scope) -> Option<String> {
        let actual: Vec<&str> = scope.segments().collect();
        let has_length = match self.and_below {
            true => actual.len() >= self.segments.len(),
            false => actual.len() == self.segments.len(),
        };
        let segment = |(at, found): (usize, &&str)| match self.segments.get(at) {
            Some(Segment::Exactly(expected)) => format!("/{expected}"),
            Some(Segment::Any) | None => format!("/{found}"),
        };
        has_length.then(|| actual.iter().enumerate().map(segment).collect())
    }

    pub fn matches(&self, scope: &Scope) -> bool {
        let mut actual = scope.segments();
        let fits = |segment: &Segment| match (segment, actual.next()) {
            (Segment::Any, found) => found.is_some(),
            (Segment::Exactly(expected), found) => found == Some(expected),
        };
        self.segments.iter().all(fits) && (self.and_below || actual.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_it_says() {
        let check = |pattern: &str, matching: &[&str], others: &[&str]| {
            let parsed = ScopePattern::parse(pattern).expect("a pattern");
            let matches = |scope: &&str| parsed.matches(&Scope::parse(scope).expect("a scope"));
            assert!(matching.iter().all(matches), "{pattern} {matching:?}");
            assert!(!others.iter().any(matches), "{pattern} {others:?}");
        };
        check("/**", &["/", "/a", "/a/b/c"], &[]);
        check("/", &["/"], &["/a"]);
        check("/a", &["/a"], &["/", "/b", "/a/b", "/ab"]);
        check("/a/**", &["/a", "/a/b", "/a/b/c"], &["/", "/b", "/ab"]);
        check("/*", &["/a", "/b"], &["/", "/a/b"]);
        check("/*/b", &["/a/b"], &["/a", "/a/c", "/a/b/c"]);
        check("/*/b/**", &["/a/b", "/a/b/c"], &["/a", "/a/c"]);
    }

    #[test]
    fn the_nearest_scope_keeps_what_the_pattern_leaves_open() {
        let check = |pattern: &str, text: &str, expected: Option<&str>| {
            let (pattern, scope) = (ScopePattern::parse(pattern), Scope::parse(text).expect("a scope"));
            assert_eq!(pattern.expect("a pattern").nearest(&scope).as_deref(), expected, "{text}");
        };
        check("/production", "/prd", Some("/production"));
        check("/production/*", "/prd/eu", Some("/production/eu"));
        check("/production/**", "/prd/eu/x", Some("/production/eu/x"));
        check("/production/*", "/prd", None);
        check("/production", "/prd/eu", None);
    }

    #[test]
    fn what_is_not_a_pattern_is_refused() {
        for text in
            ["", "a", "a/**", "/a/**/b", "/a*", "/a**", "/***", "/a//b", "/a b", "//", "/a/", "/a//**"]
        {
            assert!(ScopePattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(ScopePattern::parse("/**"), Ok(ScopePattern::everywhere()));
    }
}
