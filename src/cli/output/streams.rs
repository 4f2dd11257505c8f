//! Writes to standard output and standard error in the format of the command. Knows no message of the wire.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::exit::Failure;
use super::terminal::{printable_json, printable_lines, printable_styled};

pub use super::terminal::{printable, quoted};

pub const ADDED: Style = AnsiColor::Green.on_default();
pub const REMOVED: Style = AnsiColor::Red.on_default();
pub const CHANGED: Style = AnsiColor::Yellow.on_default();
pub const PLACE: Style = AnsiColor::Cyan.on_default();
pub const HEADING: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// In terminals narrower than this, columns that are wrapped cannot be read.
const WRAP_WIDTH_MIN: u16 = 60;

/// Between two columns.
const PADDING: u16 = 2;

/// How answers are written: for people, as one JSON value (of streams, one on each line), or as YAML (of streams, documents
/// with `---` between them).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Table,
    Json,
    Yaml,
}

/// When to use colours. `Auto`: on a terminal, unless NO_COLOR is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// Where a command writes to. Colours are always written here and taken out again where they are not wanted.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: OutputFormat,
    color: ColorChoice,
}

impl Output {
    pub fn new(format: OutputFormat, color: Color) -> Output {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Output { format, color }
    }

    pub fn is_table(&self) -> bool {
        self.format == OutputFormat::Table
    }

    /// Writes text of ours, and nothing after it. Whatever of others is in it, and was not made printable before, is made so here.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let text = printable_styled(text);
        let mut stream = AutoStream::new(io::stdout(), self.color).lock();
        stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|error| Failure::output(&error))
    }

    pub fn line(&self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Writes text in the place of the text before, on a terminal that obeys `clear`.
    pub fn screen(&self, clear: &str, text: &str) -> Result<(), Failure> {
        write!(io::stdout(), "{clear}").map_err(|error| Failure::output(&error))?;
        self.text(text)
    }

    /// Writes a document of someone else as it is; on a terminal, with what the terminal would obey made visible.
    pub fn document(&self, text: &str) -> Result<(), Failure> {
        match io::stdout().is_terminal() {
            true => write_lines(&printable_lines(text)),
            false => write_lines(text),
        }
    }

    /// The same of JSON, which stays JSON.
    pub fn json_document(&self, text: &str) -> Result<(), Failure> {
        match io::stdout().is_terminal() {
            true => write_lines(&printable_json(text)),
            false => write_lines(text),
        }
    }

    /// Writes an answer for programs in the format that was asked for; for people, what `table` writes.
    pub fn answer<T: Serialize>(
        &self,
        view: &T,
        table: impl FnOnce(&Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Table => table(self),
            OutputFormat::Json => {
                let text = serde_json::to_string_pretty(view).map_err(|error| unwritable(&error))?;
                write_lines(&printable_json(&text))
            }
            OutputFormat::Yaml => self.document(&to_yaml(view)?),
        }
    }

    /// Writes one of a stream of answers.
    pub fn item<T: Serialize>(
        &self,
        view: &T,
        table: impl FnOnce(&Output) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Table => table(self),
            OutputFormat::Json => {
                let text = serde_json::to_string(view).map_err(|error| unwritable(&error))?;
                write_lines(&printable_json(&text))
            }
            OutputFormat::Yaml => self.document(&format!("---\n{}", to_yaml(view)?)),
        }
    }

    /// A table without lines: columns by two spaces, as wide as they need to be when nobody reads them on a terminal.
    pub fn table<const N: usize>(&self, header: [&str; N], rows: Vec<[String; N]>) -> Result<(), Failure> {
        let mut table = Table::new();
        let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| printable(&cell))).collect();
        let words = longest_words(&header, &rows);
        table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
        // Some terminals do not know how wide they are, and say 0.
        let is_wide = table.width().is_some_and(|width| width >= WRAP_WIDTH_MIN);
        table.set_content_arrangement(match io::stdout().is_terminal() && is_wide {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        let mut left = table.width().unwrap_or(u16::MAX);
        for (column, word) in table.column_iter_mut().zip(words) {
            column.set_padding((0, PADDING));
            // What is copied from a table, such as an id, must be in one piece. What is further to the right may have to do without.
            let needed = word.saturating_add(PADDING);
            if let Some(rest) = left.checked_sub(needed) {
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(needed)));
                left = rest;
            }
        }
        let mut text = String::new();
        for (row, line) in table.lines().enumerate() {
            let style = if row == 0 { HEADING } else { Style::new() };
            text.push_str(&format!("{style}{}{style:#}\n", line.trim_end()));
        }
        self.text(&text)
    }

    /// Something that does not belong to the answer, on standard error.
    pub fn note(&self, note: &str) {
        self.error_stream(note);
    }

    pub fn warning(&self, warning: &str) {
        self.error_stream(&format!("{WARNING}warning:{WARNING:#} {warning}"));
    }

    /// Says why the command failed, if there is anything to say.
    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let text = failure.to_string();
        let rest = text.strip_prefix("error:").unwrap_or(&text);
        self.error_stream(&format!("{ERROR}error:{ERROR:#}{rest}"));
    }

    /// Standard error is the last place to complain at: if it fails, there is no other.
    fn error_stream(&self, text: &str) {
        let mut stream = AutoStream::new(io::stderr(), self.color).lock();
        let _ = writeln!(stream, "{}", printable_styled(text));
    }
}

/// The width of the longest word of each column.
fn longest_words<const N: usize>(header: &[&str; N], rows: &[[String; N]]) -> Vec<u16> {
    let width = |text: &str| text.split_whitespace().map(UnicodeWidthStr::width).max().unwrap_or_default();
    let longest = |at: usize| rows.iter().map(|row| width(&row[at])).chain([width(header[at])]).max();
    (0..N).map(|at| u16::try_from(longest(at).unwrap_or_default()).unwrap_or(u16::MAX)).collect()
}

fn write_lines(text: &str) -> Result<(), Failure> {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut stream = io::stdout().lock();
    write!(stream, "{text}{newline}").and_then(|()| stream.flush()).map_err(|error| Failure::output(&error))
}

/// `1 layer`, `2 layers`.
pub fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// A unified diff with its lines coloured.
pub fn colored_diff(unified: &str) -> String {
    let mut colored = String::with_capacity(unified.len() * 2);
    for line in unified.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => HEADING,
            [b'@', b'@', ..] => PLACE,
            [b'+', ..] => ADDED,
            [b'-', ..] => REMOVED,
            _ => Style::new(),
        };
        colored.push_str(&format!("{style}{}{style:#}\n", printable(line)));
    }
    colored
}

fn to_yaml<T: Serialize>(view: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(view).map_err(|error| unwritable(&error))
}

fn unwritable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(super::exit::Exit::Failed, format!("the answer cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diffs_are_coloured_by_line() {
        let colored = colored_diff("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z\n");
        let lines: Vec<&str> = colored.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[3], format!("{REMOVED}-x{REMOVED:#}"));
        assert_eq!(lines[4], format!("{ADDED}+y{ADDED:#}"));
        assert_eq!(lines[5], " z");
    }
}
