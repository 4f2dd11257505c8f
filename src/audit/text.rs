//! Makes text of callers safe for a file that people read on a terminal. Knows no record.

/// At most so many bytes of the text, and a mark where it was cut; what a terminal would obey is made visible.
pub fn bounded(text: &str, bytes_max: usize) -> String {
    let mut safe = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        let before = safe.len();
        match is_harmless(character) {
            true => safe.push(character),
            false => safe.extend(character.escape_unicode()),
        }
        if safe.len() > bytes_max {
            safe.truncate(before);
            safe.push_str("...");
            break;
        }
    }
    safe
}

/// Neither a control character nor one that turns the direction of what follows, or cannot be seen.
fn is_harmless(character: char) -> bool {
    let turns =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns && character != '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_short_and_harmless() {
        assert_eq!(bounded("user:ä", 100), "user:ä");
        assert_eq!(bounded("a\nb\u{1b}[31m\u{9b}\u{202e}", 100), r"a\u{a}b\u{1b}[31m\u{9b}\u{202e}");
        assert_eq!(bounded("ääää", 5), "ää...");
        assert_eq!(bounded(&"\n".repeat(1000), 16).len(), 15 + 3);
    }
}
