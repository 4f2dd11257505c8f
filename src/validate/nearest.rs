//! Which of several names was meant, by edit distance. Knows texts only.

/// Longer texts are not compared: the work grows with the product of the lengths.
const CHARS_MAX: usize = 64;
/// More candidates are not looked at.
const CANDIDATES_MAX: usize = 10_000;

/// The candidate that `written` was most likely meant to be, if one is near: it differs in case and separators only, or in at most a
/// third of its characters. Of equally near ones the first.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let characters: Vec<char> = written.chars().take(CHARS_MAX + 1).collect();
    if characters.len() > CHARS_MAX {
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
            let allowed = characters.len().max(candidate.chars().take(CHARS_MAX).count()) / 3;
            match distance(&characters, candidate) {
                Some(distance) if distance <= allowed => distance,
                Some(_) | None => continue,
            }
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The text without what naming styles differ in: `timeOut`, `time_out` and `time-out` are one.
pub fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase)
}

/// How many insertions, removals, replacements and swaps of neighbours lead from one text to the other (optimal string alignment).
/// `None` if the second is too long.
fn distance(a: &[char], b: &str) -> Option<usize> {
    let b: Vec<char> = b.chars().take(CHARS_MAX + 1).collect();
    if b.len() > CHARS_MAX {
        return None;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, to) in b.iter().enumerate() {
            let mut least = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + usize::from(from != to));
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied()
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
    }

    #[test]
    fn what_is_not_near_is_not_guessed() {
        check("colour", &["host", "port"], None);
        check("a", &["b"], None);
        check("", &["b", ""], None);
        check("port", &["port"], None);
        check(&"x".repeat(1000), &["x"], None);
        check("x", &[&"x".repeat(1000)], None);
    }

    #[test]
    fn distances_count_swaps_as_one() {
        let check = |a: &str, b: &str, expected| {
            assert_eq!(distance(&a.chars().collect::<Vec<_>>(), b), Some(expected), "{a} {b}");
        };
        check("", "", 0);
        check("", "abc", 3);
        check("abc", "", 3);
        check("kitten", "sitting", 3);
        check("prot", "port", 1);
        check("ca", "abc", 3);
    }
}
