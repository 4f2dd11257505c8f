//! Lines of a text with something in them underlined, as compilers show them. Knows no document and no finding.

use std::ops::Range;

use anstyle::Style;
use unicode_width::UnicodeWidthChar;

use super::streams::PLACE;
use super::terminal::is_harmless;

/// Columns of a line that are shown: around what is underlined, where it is longer.
const COLUMNS_MAX: usize = 100;
/// Of these, so many before what is underlined.
const COLUMNS_BEFORE: usize = 40;

/// A place in a text that has a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excerpt {
    /// Such as the path of a file.
    pub name: String,
    /// Counted from 1, as is the column, in characters.
    pub line: usize,
    pub column: usize,
    /// The line as it is shown, in pieces: before what is underlined, that, and after it.
    pieces: [String; 3],
}

/// What stands for what is not to be shown.
const HIDDEN: &str = "***";

impl Excerpt {
    /// The first line of `span`, which is in bytes, as those are of what must not be shown.
    pub fn of(name: &str, text: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> Option<Excerpt> {
        let (before, after) = (text.get(..span.start)?, text.get(span.start..)?);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let head = &before[start..];
        let rest = after.split('\n').next().unwrap_or_default();
        let rest = rest.strip_suffix('\r').unwrap_or(rest);
        let length = span.len().min(rest.len());
        let end = span.start + length;
        let piece = |from: usize, to: usize| masked(text, from..to, hidden).map(|piece| shown(&piece));
        let pieces =
            [piece(start, span.start)?, piece(span.start, end)?, piece(end, span.start + rest.len())?];
        Some(Excerpt {
            name: name.to_owned(),
            line,
            column: head.chars().count() + 1,
            pieces: shortened(&pieces),
        })
    }

    /// Where a parser gave up: line and column count from 1, the column in characters. `hides`: of the line only the first name is shown, and
    /// punctuation.
    pub fn at(name: &str, text: &str, line: usize, column: usize, hides: bool) -> Option<Excerpt> {
        let start: usize = match line.checked_sub(1)? {
            0 => 0,
            before => text.match_indices('\n').nth(before - 1)?.0 + 1,
        };
        let of_line = text[start..].split('\n').next().unwrap_or_default();
        let (at, found) = match of_line.char_indices().nth(column.checked_sub(1)?) {
            Some((at, found)) => (at, found.len_utf8()),
            // Just behind the end of the line.
            None => (of_line.trim_end().len(), 0),
        };
        let span = start + at..start + at + found;
        let first_name = first_name(of_line).map(|name| start + name.start..start + name.end);
        let hidden = match hides {
            true => all_but(text, &span, first_name.as_slice()),
            false => vec![],
        };
        Excerpt::of(name, text, &span, &hidden)
    }

    /// Where it is, and the line with carets below.
    pub fn lines(&self, style: Style) -> Vec<String> {
        let [before, marked, after] = &self.pieces;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let carets = "^".repeat(columns(marked).max(1));
        let indent = " ".repeat(columns(before));
        vec![
            self.place(),
            format!("{PLACE}{number} |{PLACE:#} {before}{marked}{after}").trim_end().to_owned(),
            format!("{PLACE}{margin} |{PLACE:#} {indent}{style}{carets}{style:#}"),
        ]
    }

    /// Where it is alone.
    pub fn place(&self) -> String {
        format!("{PLACE}-->{PLACE:#} {}:{}:{}", shown(&self.name), self.line, self.column)
    }
}

/// What is to be hidden in the lines of `span`: all but punctuation, and what is visible.
pub fn all_but(text: &str, span: &Range<usize>, visible: &[Range<usize>]) -> Vec<Range<usize>> {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end =
        text.get(span.start..).and_then(|after| after.find('\n')).map_or(text.len(), |at| span.start + at);
    let mut hidden: Vec<Range<usize>> = vec![];
    for (at, character) in text.get(start..end).unwrap_or_default().char_indices() {
        let at = start + at;
        let is_shown = PUNCTUATION.contains(character)
            || character.is_whitespace()
            || visible.iter().any(|visible| visible.contains(&at));
        if is_shown {
            continue;
        }
        match hidden.last_mut() {
            // Words of one value are one.
            Some(last) if text[last.end..at].chars().all(|between| between == ' ') => {
                last.end = at + character.len_utf8();
            }
            Some(_) | None => hidden.push(at..at + character.len_utf8()),
        }
    }
    hidden
}

/// Shown in a line of which the values are hidden.
const PUNCTUATION: &str = "{}[],:\"'=";

/// The name with which a line begins: what comes before the first `:` or `=`, unless there is more than a word.
fn first_name(line: &str) -> Option<Range<usize>> {
    let end = line.find([':', '='])?;
    let before = &line[..end];
    let name =
        before.trim_matches(|character: char| character.is_whitespace() || "{[,\"'-".contains(character));
    let start = before.find(name)?;
    let is_name = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    (!name.is_empty() && name.chars().all(is_name)).then_some(start..start + name.len())
}

/// As a terminal shows it: nothing in it moves the cursor or is invisible.
fn shown(text: &str) -> String {
    let harmless = |character: char| match character {
        '\t' => "    ".to_owned(),
        character if !is_harmless(character) => character.escape_unicode().to_string(),
        character => character.to_string(),
    };
    text.chars().map(harmless).collect()
}

/// A part of a text with `HIDDEN` in the place of what is not to be shown.
fn masked(text: &str, part: Range<usize>, hidden: &[Range<usize>]) -> Option<String> {
    let mut masked = String::new();
    let mut at = part.start;
    let mut within: Vec<_> =
        hidden.iter().filter(|span| span.start < part.end && span.end > part.start).collect();
    within.sort_by_key(|span| span.start);
    for span in within {
        if span.end <= at {
            continue;
        }
        masked.push_str(text.get(at..span.start.max(at))?);
        masked.push_str(HIDDEN);
        at = span.end.clamp(at, part.end);
    }
    masked.push_str(text.get(at..part.end)?);
    Some(masked)
}

fn shortened(pieces: &[String; 3]) -> [String; 3] {
    const CUT: &str = "...";
    let [before, marked, after] = pieces.each_ref().map(String::as_str);
    let is_long = columns(before) + columns(marked) + columns(after) > COLUMNS_MAX;
    if !is_long {
        return [before, marked, after].map(str::to_owned);
    }
    let before = match columns(before) > COLUMNS_BEFORE {
        true => format!("{CUT}{}", last_columns(before, COLUMNS_BEFORE)),
        false => before.to_owned(),
    };
    let left = COLUMNS_MAX.saturating_sub(columns(&before));
    let cut = |text: &str, columns_max: usize| match columns(text) > columns_max {
        true => (format!("{}{CUT}", first_columns(text, columns_max)), 0),
        false => (text.to_owned(), columns_max - columns(text)),
    };
    let (marked, left) = cut(marked, left);
    let after = if left == 0 { String::new() } else { cut(after, left).0 };
    [before, marked, after]
}

fn first_columns(text: &str, columns_max: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, character)| {
        used += character.width().unwrap_or(0);
        used > columns_max
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

fn last_columns(text: &str, columns_max: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().rev().find(|(_, character)| {
        used += character.width().unwrap_or(0);
        used > columns_max
    });
    &text[end.map_or(0, |(at, character)| at + character.len_utf8())..]
}

fn columns(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(excerpt: Option<Excerpt>) -> Vec<String> {
        let lines = excerpt.expect("a place").lines(Style::new());
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    fn marked(text: &str, what: &str) -> Vec<String> {
        let start = text.find(what).expect("it is there");
        plain(Excerpt::of("a.yaml", text, &(start..start + what.len()), &[]))
    }

    #[test]
    fn what_is_meant_is_underlined_in_its_line() {
        let text = "limits:\n  max: \"30\" # why\r\nmode: x\n";
        let lines = ["--> a.yaml:2:8", "2 |   max: \"30\" # why", "  |        ^^^^"];
        assert_eq!(marked(text, "\"30\""), lines);
        assert_eq!(marked(text, "limits"), ["--> a.yaml:1:1", "1 | limits:", "  | ^^^^^^"]);
        // Of several lines the first.
        let lines = ["--> a.yaml:2:13", "2 |   max: \"30\" # why", "  |             ^^^^^"];
        assert_eq!(marked(text, "# why\r\nmode"), lines);
    }

    #[test]
    fn carets_stand_below_wide_characters_and_tabs() {
        let wide = marked("键: 值\n", "值");
        assert_eq!(wide, ["--> a.yaml:1:4", "1 | 键: 值", "  |     ^^"]);
        let tab = marked("\ta = 1\n", "1");
        assert_eq!(tab, ["--> a.yaml:1:6", "1 |     a = 1", "  |         ^"]);
        let escape = marked("a: \u{1b}[31m 1\n", "1\n");
        assert_eq!(escape[1], "1 | a: \\u{1b}[31m 1");
    }

    #[test]
    fn of_long_lines_the_surroundings_are_shown() {
        let text = format!("{{\"a\": \"{}\", \"b\": 1, \"c\": \"{}\"}}", "x".repeat(5000), "y".repeat(5000));
        let lines = marked(&text, "1, ");
        assert!(lines[1].starts_with("1 | ...") && lines[1].ends_with("y..."), "{lines:?}");
        assert!(lines[1].len() < 130, "{lines:?}");
        let at = lines[2].find('^').expect("carets");
        assert_eq!(&lines[1][at..=at], "1");
        let long = marked(&text, &"x".repeat(5000));
        assert!(long[2].len() < 130 && long[1].contains("xxx..."), "{long:?}");
    }

    #[test]
    fn what_must_not_be_shown_is_masked() {
        let text = "{\"password\": \"hunter2\", \"port\": \"x\"}";
        let secret = text.find("\"hunter2").expect("there")..text.find(", ").expect("there");
        let port = text.find("\"x").expect("there")..text.len() - 1;
        let lines = plain(Excerpt::of("a", text, &port, std::slice::from_ref(&secret)));
        assert_eq!(lines[1], "1 | {\"password\": ***, \"port\": \"x\"}");
        assert_eq!(lines[2].find('^'), lines[1].find("\"x"));
        let lines = plain(Excerpt::of("a", text, &secret, std::slice::from_ref(&secret)));
        assert_eq!((lines[1].contains("hunter2"), lines[2].matches('^').count()), (false, 3));
    }

    #[test]
    fn a_place_of_a_parser_is_one_character_or_the_end() {
        let at =
            |line, column| plain(Excerpt::at("standard input", "{\"ä\": 1\n\"b\" 2}\n", line, column, false));
        assert_eq!(at(2, 5), ["--> standard input:2:5", "2 | \"b\" 2}", "  |     ^"]);
        assert_eq!(at(1, 2), ["--> standard input:1:2", "1 | {\"ä\": 1", "  |  ^"]);
        assert_eq!(at(1, 9)[2], "  |        ^");
        assert_eq!(Excerpt::at("x", "a", 7, 1, false), None);
        assert_eq!(Excerpt::at("x", "a", 1, 0, false), None);
    }
}
