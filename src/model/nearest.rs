//! Which of several names was meant, by edit distance. Knows texts only.

/// Longer texts are not compared: the work grows with the product of the lengths.
const CHARS_MAX: usize = 64;
/// More candidates are not looked at.
const CANDIDATES_MAX: usize = 10_000;

/// The candidate that `written` was most likely meant to be, if one is near: it differs in case and separators only, or in at most a
/// third of its characters. Of equally near ones the first.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = |text: &str| text.chars().take(CHARS_MAX + 1).count();
    let written_length = length(written);
    if written_length > CHARS_MAX {
        return None;
    }
    let plain: String = plain(written).collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
        if candidate == written {
            continue;
        }
        let distance = if !plain.is_empty() && self::plain(candidate).eq(plain.chars()) {
            0
        } else {
            // Insertions, removals, replacements and swaps of neighbours count one each.
            let distance = match length(candidate) {
                ..=CHARS_MAX => strsim::osa_distance(written, candidate),
                _ => continue,
            };
            if distance > written_length.max(length(candidate)) / 3 {
                continue;
            }
            distance
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The text without what naming styles differ in: `timeOut`, `time_out` and `time-out` are one.
fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase)
}

/// `did you mean "port"?`, or nothing.
pub fn suggest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, candidates).map(|name| format!("did you mean {name:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, candidates: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(written, candidates.iter().copied()), expected, "{written}");
    }

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        check("prot", &["host", "port"], Some("port"));
        check("tiemout", &["timeout", "time"], Some("timeout"));
        check("inof", &["debug", "info", "error"], Some("info"));
        check("maxConnections", &["max_connections", "min_connections"], Some("max_connections"));
        check("MAX_CONNECTIONS", &["max-connections"], Some("max-connections"));
        let verbs = ["read", "write", "reveal-secret", "admin"];
        check("wirte", &verbs, Some("write"));
        check("READ", &verbs, Some("read"));
        check("reveal_secret", &verbs, Some("reveal-secret"));
    }

    #[test]
    fn what_is_not_near_is_not_guessed() {
        check("colour", &["host", "port"], None);
        check("a", &["b"], None);
        check("", &["b", ""], None);
        check("port", &["port"], None);
        check("owner", &["read", "write", "reveal-secret", "admin"], None);
        check(&"x".repeat(1000), &["x"], None);
        check("x", &[&"x".repeat(1000)], None);
    }

    #[test]
    fn distances_count_swaps_as_one() {
        let check = |a: &str, b: &str, expected| assert_eq!(strsim::osa_distance(a, b), expected, "{a} {b}");
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("prot", "port", 1);
        check("ca", "abc", 3);
    }
}
