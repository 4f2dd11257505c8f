//! Escapes text of others for a terminal: the text cannot move the cursor, hide output, or change the order of reading. Knows characters;
//! not their meaning.
//!
//! Escaped are the control characters of ASCII and those from U+0080 to U+009F (of which U+009B begins a sequence as ESC [ does), DEL,
//! the characters that change the direction of writing, and all that cannot be seen: format characters, private and unassigned ones, line and
//! paragraph separators, and what Unicode lets a font leave out.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// Characters that cannot be seen. Of those that choose between variants U+FE0E and U+FE0F stay, which emoji have.
static INVISIBLE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]--[\x{FE0E}\x{FE0F}]]")
        .expect("the classes are known")
});

/// What a line may have, as `printable` leaves it.
pub fn is_harmless(character: char) -> bool {
    match character {
        '\t' | ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        character => !INVISIBLE.is_match(character.encode_utf8(&mut [0; 4])),
    }
}

/// Within a line: line ends are escaped, too.
pub fn printable(text: &str) -> String {
    escaped(text, is_harmless, escape).into_owned()
}

/// One line within quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('"', "\\\""))
}

/// Of several lines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character == '\n' || is_harmless(character), escape)
}

/// JSON that means the same, with escapes as JSON has them.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    let escape = |character: char| {
        character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    escaped(text, |character| character == '\n' || is_harmless(character), escape)
}

/// What has styles of our own in it, and may have text of others: of escape sequences the styles stay.
pub fn printable_styled(text: &str) -> Cow<'_, str> {
    const ESCAPE: char = '\u{1b}';
    if !text.contains(ESCAPE) {
        return printable_lines(text);
    }
    let mut safe = String::with_capacity(text.len());
    for (at, piece) in text.split(ESCAPE).enumerate() {
        let style = if at == 0 { 0 } else { style_bytes(piece) };
        match (at, style) {
            (0, _) => {}
            (_, 0) => safe.push_str(&escape(ESCAPE)),
            (_, style) => {
                safe.push(ESCAPE);
                safe.push_str(&piece[..style]);
            }
        }
        safe.push_str(&printable_lines(&piece[style..]));
    }
    Cow::Owned(safe)
}

/// How long the rest of a style is that stands behind an ESC: `[`, digits and `;`, `m`. 0: it is none.
fn style_bytes(text: &str) -> usize {
    let Some(rest) = text.strip_prefix('[') else { return 0 };
    let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if rest[digits..].starts_with('m') { 1 + digits + 1 } else { 0 }
}

fn escape(character: char) -> String {
    character.escape_unicode().to_string()
}

fn escaped(text: &str, is_harmless: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if text.chars().all(&is_harmless) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|character| match (is_harmless(character), character) {
        (true, character) => character.to_string(),
        (false, '\n') => "\\n".to_owned(),
        (false, '\r') => "\\r".to_owned(),
        (false, character) => escape(character),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_made_visible() {
        assert_eq!(printable("plain\ttext ü"), "plain\ttext ü");
        assert_eq!(printable("\u{1b}[31mred"), "\\u{1b}[31mred");
        assert_eq!(printable("two\nlines"), "two\\nlines");
        assert_eq!(printable("\u{9b}2J\u{7f}"), "\\u{9b}2J\\u{7f}");
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200f}"), "a\\u{202e}b\\u{2066}c\\u{200f}");
        assert_eq!(printable("a\u{200b}b\u{feff}c\u{e0041}d"), "a\\u{200b}b\\u{feff}c\\u{e0041}d");
        assert_eq!(
            printable("\u{ad}\u{2028}\u{3164}\u{e000}\u{378}"),
            "\\u{ad}\\u{2028}\\u{3164}\\u{e000}\\u{378}"
        );
        assert_eq!(
            printable("e\u{301} \u{2764}\u{fe0f} \u{4e2d} \u{1f600}"),
            "e\u{301} \u{2764}\u{fe0f} \u{4e2d} \u{1f600}"
        );
        assert_eq!(printable_lines("a\r\n\u{85}b\n"), "a\\r\n\\u{85}b\n");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({"\u{9b}2J": "\u{7f}\u{202e}ü", "b": "\u{e0041}"});
        let text = printable_json(&value.to_string()).into_owned();
        assert_eq!(text, r#"{"b":"\udb40\udc41","\u009b2J":"\u007f\u202eü"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }

    #[test]
    fn styles_of_our_own_stay_and_other_sequences_do_not() {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let styled = format!("{red}bad{red:#} \u{1b}[2J\u{1b}]0;title\u{7}\n");
        let expected = format!("{red}bad{red:#} \\u{{1b}}[2J\\u{{1b}}]0;title\\u{{7}}\n");
        assert_eq!(printable_styled(&styled), expected);
        assert_eq!(printable_styled("\u{1b}"), "\\u{1b}");
        assert_eq!(printable_styled("\u{1b}[31"), "\\u{1b}[31");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_would_obey_is_left(text in any::<String>(), pieces in prop::collection::vec(
            prop::sample::select(vec!["\u{1b}[", "31m", "\u{9b}", "m", "\u{7f}", "x", "\u{202e}", "\u{200b}", "\u{e0041}", "\n"]), 0..12)) {
            let text = text + &pieces.concat();
            let plain = anstream::adapter::strip_str(&printable_styled(&text)).to_string();
            for safe in [printable(&text), printable_lines(&text).into_owned(), printable_json(&text).into_owned(), plain] {
                prop_assert!(safe.chars().all(|character| character == '\n' || is_harmless(character)), "{safe:?}");
            }
        }
    }
}
