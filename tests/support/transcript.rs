//! Runs what ```console blocks of a Markdown page show, and compares it with what they say comes out. Knows shells and
//! Markdown; what a command means is not its business.
//!
//! A line that starts with `$ confwatch `, `$ echo ` or `$ curl ` is run, `\` at its end continues it, and the lines up to the next `$` are what it
//! prints. Where none are shown it only has to succeed. `confwatch watch` goes on beside the commands after it. Other commands, and those that
//! go on for ever or want a person, are for the reader.

/// A command that goes on beside those after it.
pub const WATCH: &str = "confwatch watch ";
/// Commands that do not end by themselves.
const ENDLESS: [&str; 5] = ["serve", "watch", "follow", "--follow", "edit"];

/// A command of a page and where its output stands.
struct Command {
    text: String,
    /// Lines of the page, from and up to.
    output: std::ops::Range<usize>,
}

/// What a command did.
pub struct Ran {
    pub output: String,
    pub succeeded: bool,
}

/// Runs a page. Answers the page as it should be, and what is wrong with it.
pub fn check(page: &str, mut run: impl FnMut(&str) -> Ran) -> (String, Vec<String>) {
    let lines: Vec<&str> = page.lines().collect();
    let (mut correct, mut wrong, mut copied) = (Vec::new(), Vec::new(), 0);
    for command in commands(&lines) {
        let shown = lines[command.output.clone()].join("\n");
        let ran = run(&command.text);
        let line = command.output.start;
        correct.extend(lines[copied..line].iter().map(|line| (*line).to_owned()));
        copied = command.output.end;
        if shown.is_empty() {
            if !ran.succeeded {
                wrong.push(format!("line {line}: `{}` fails:\n{}", command.text, ran.output));
            }
        } else {
            correct.extend(ran.output.trim_end().lines().map(|line| line.trim_end().to_owned()));
            if normal(&shown) != normal(&ran.output) {
                wrong.push(format!("line {line}: `{}` prints:\n{}\nnot:\n{shown}", command.text, ran.output));
            }
        }
    }
    correct.extend(lines[copied..].iter().map(|line| (*line).to_owned()));
    (correct.join("\n") + "\n", wrong)
}

fn commands(lines: &[&str]) -> Vec<Command> {
    let mut commands = Vec::new();
    let (mut inside, mut at) = (false, 0);
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if line.starts_with("```") {
            inside = !inside && line == "```console";
        }
        let Some(text) = line.strip_prefix("$ ").filter(|_| inside) else { continue };
        let mut text = text.to_owned();
        while text.ends_with('\\') && at < lines.len() {
            text =
                format!("{}{}", text.trim_end_matches('\\'), lines[at].trim_start_matches("> ").trim_start());
            at += 1;
        }
        let end =
            (at..lines.len()).find(|end| lines[*end].starts_with("$ ") || lines[*end].starts_with("```"));
        let output = at..end.unwrap_or(lines.len());
        at = output.end;
        let is_endless = text.split(' ').any(|word| ENDLESS.contains(&word)) && !text.contains("--help");
        let is_ours = ["confwatch ", "echo ", "curl "].iter().any(|ours| text.starts_with(ours));
        if is_ours && !is_endless || text.starts_with(WATCH) {
            commands.push(Command { text, output });
        }
    }
    commands
}

/// Without what differs from run to run: digests and ids, times, ages, ports, and the white space that aligns them.
fn normal(text: &str) -> String {
    let lines = text.trim_end().lines().map(|line| {
        let words =
            line.split_whitespace().map(|word| word.split_inclusive(SEPARATORS).map(normal_piece).collect());
        words.filter(|word: &String| !word.is_empty()).collect::<Vec<_>>().join(" ")
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

const SEPARATORS: [char; 10] = ['"', ',', ';', '(', ')', '[', ']', '=', '@', '/'];

fn normal_piece(piece: &str) -> String {
    let word = piece.trim_end_matches(SEPARATORS);
    let rest = &piece[word.len()..];
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let bare = word.trim_start_matches("sha256:").trim_end_matches(['…', '.']);
    let is_hex = bare.len() >= 8 && bare.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_age = shape.trim_start_matches('0').chars().count() <= 2
        && shape.starts_with('0')
        && ["s", "ms", "m"].iter().any(|unit| shape.ends_with(unit));
    let normal = if word.starts_with("sha256:") || is_hex && !shape.starts_with("0000-00-00") {
        "DIGEST"
    } else if shape.starts_with("0000-00-00") {
        "TIME"
    } else if shape.starts_with("00:00:00") {
        // The second word of a date and a time: one or two words, the same thing.
        ""
    } else if shape.starts_with("000.0.0.0:") {
        "ADDRESS"
    } else if is_age {
        "AGE"
    } else {
        word
    };
    format!("{normal}{rest}")
}

#[test]
fn what_differs_from_run_to_run_does_not_count() {
    let one = "version 7  sha256:0a1b2c3d4e…  2026-11-21T09:00:01Z  (127.0.0.1:40123) 3s ago";
    let two = "version 7 sha256:ffffffffff…   2027-01-02 10:11:12Z (127.0.0.1:7420) 12s ago";
    assert_eq!(normal(one), normal(two));
    assert_ne!(normal("version 7"), normal("version 8"));
}

#[test]
fn a_page_is_run_and_corrected() {
    let page = "# Tour\n\n```console\n$ confwatch get a \\\n    b\nold\n$ ls\nx\n$ confwatch set c\n```\n";
    let mut run = Vec::new();
    let (correct, wrong) = check(page, |command| {
        run.push(command.to_owned());
        Ran { output: "new\n".to_owned(), succeeded: true }
    });
    assert_eq!(run, ["confwatch get a b", "confwatch set c"]);
    assert_eq!(correct, page.replace("old", "new"));
    assert_eq!(wrong.len(), 1, "{wrong:?}");
}
