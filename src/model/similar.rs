//! Names that are probably meant where another was typed. Knows texts only.

use strsim::damerau_levenshtein;

/// The shortest name that can be an abbreviation.
const ABBREVIATION_MIN: usize = 2;

/// Of the known names, the one that is most like this one, if any is like it; never the name itself.
pub fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let others = known.into_iter().filter(|other| *other != name);
    others.filter_map(|other| Some((distance(name, other)?, other))).min().map(|(_, other)| other)
}

/// How far two names are from each other. `None`: too far to be taken for one another.
fn distance(name: &str, other: &str) -> Option<usize> {
    let edits = damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    // A letter in three may be wrong, and in short names one.
    let is_typo = edits <= (name.chars().count().max(other.chars().count()) / 4).max(1);
    (is_typo || is_short_for(name, other) || is_short_for(other, name)).then_some(edits)
}

/// Scopes, segment by segment: `/prd/eu` is like `/production/eu`.
pub fn similar_scope<'a>(scope: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let segments = |scope: &str| scope.split('/').skip(1).map(str::to_owned).collect::<Vec<_>>();
    let of_scope = segments(scope);
    let alike = |other: &&str| {
        let of_other = segments(other);
        **other != *scope
            && of_other.len() == of_scope.len()
            && of_scope.iter().zip(&of_other).all(|(a, b)| a == b || distance(a, b).is_some())
    };
    known.into_iter().filter(alike).min_by_key(|other| damerau_levenshtein(scope, other))
}

/// `prd` is short for `production`: it begins alike, and its letters are there in their order.
fn is_short_for(short: &str, long: &str) -> bool {
    let (short, long) = (short.to_lowercase(), long.to_lowercase());
    let mut letters = long.chars();
    short.chars().count() >= ABBREVIATION_MIN
        && short.chars().next() == long.chars().next()
        && short.chars().all(|letter| letters.any(|other| other == letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_abbreviations_are_alike_and_other_names_are_not() {
        let known = ["checkout", "basket", "web"];
        assert_eq!(similar("checkot", known), Some("checkout"));
        assert_eq!(similar("chekcout", known), Some("checkout"));
        assert_eq!(similar("Web", known), Some("web"));
        assert_eq!(similar("search", known), None);
        assert_eq!(similar("web", known), None);
        let scopes = ["/production", "/production/eu", "/staging", "/"];
        assert_eq!(similar_scope("/prd", scopes), Some("/production"));
        assert_eq!(similar_scope("/prodution/eu", scopes), Some("/production/eu"));
        assert_eq!(similar_scope("/stagin", scopes), Some("/staging"));
        assert_eq!(similar_scope("/dev", scopes), None);
        assert_eq!(similar_scope("/staging/eu", scopes), None);
        assert_eq!(similar_scope("/", scopes), None);
    }
}
