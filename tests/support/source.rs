//! Reads Rust sources into tokens and the paths they name. Knows the lexical rules of Rust, nothing of this project.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub struct Source {
    /// Relative to the crate, with `/`: `src/api/error.rs`.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), tokens: tokens(text) }
    }
}

/// A word, a `::`, or one character of punctuation. Comments and the inside of strings are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// A path such as `crate::store::StoreError` and where it stands. Of a group in braces: one for each entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub segments: Vec<String>,
    pub line: usize,
}

/// Every `.rs` file below `directory` of the crate, sorted by path.
pub fn sources(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(directory), &mut files);
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let text = fs::read_to_string(&file).expect("a source file is readable UTF-8");
            let path = file.strip_prefix(root).expect("found below the root");
            Source::new(&path.to_string_lossy().replace('\\', "/"), &text)
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory is readable") {
        let path = entry.expect("a directory entry is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every path of two segments or more, with groups expanded: `use a::{b, c::d}` names `a::b` and `a::c::d`.
pub fn paths(tokens: &[Token]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts_path = is_word(&tokens[at]) && (at == 0 || tokens[at - 1].text != "::");
        if starts_path && tokens.get(at + 1).is_some_and(|next| next.text == "::") {
            at = expand(tokens, at, &[], &mut named);
        } else {
            at += 1;
        }
    }
    named
}

/// Reads one path tree from `at` on and answers where it ends.
fn expand(tokens: &[Token], mut at: usize, prefix: &[String], named: &mut Vec<Named>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        if token.text == "{" && !segments.is_empty() {
            at += 1;
            while let Some(token) = tokens.get(at) {
                match token.text.as_str() {
                    "}" => return at + 1,
                    "," => at += 1,
                    _ => {
                        // What may follow an entry is a name for it: `as S`.
                        at = expand(tokens, at, &segments, named);
                        while tokens.get(at).is_some_and(|token| token.text != "," && token.text != "}") {
                            at += 1;
                        }
                    }
                }
            }
            return at;
        }
        if !is_word(token) && token.text != "*" {
            break;
        }
        segments.push(token.text.clone());
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    if segments.len() > 1 {
        named.push(Named { segments, line });
    }
    at
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let start = at;
        match (chars[at], peek(at + 1)) {
            ('/', '/') => at = skip_until(&chars, at, |at| peek(at) == '\n'),
            ('/', '*') => at = skip_until(&chars, at + 2, |at| peek(at) == '*' && peek(at + 1) == '/') + 2,
            ('"', _) => at = after_string(&chars, at + 1),
            ('r', '"' | '#') | ('b', 'r') if raw_hashes(&chars, at).is_some() => {
                let (content, hashes) = raw_hashes(&chars, at).expect("just looked");
                let closes = |at: usize| peek(at) == '"' && (1..=hashes).all(|n| peek(at + n) == '#');
                at = skip_until(&chars, content, closes) + 1 + hashes;
            }
            ('\'', '\\') => at = skip_until(&chars, at + 3, |at| peek(at) == '\'') + 1,
            ('\'', _) if peek(at + 2) == '\'' => at += 3,
            (c, _) if c.is_alphanumeric() || c == '_' => {
                at = skip_until(&chars, at, |at| !(peek(at).is_alphanumeric() || peek(at) == '_'));
                tokens.push(Token { text: chars[start..at].iter().collect(), line });
            }
            (':', ':') => {
                at += 2;
                tokens.push(Token { text: "::".to_owned(), line });
            }
            (c, _) => {
                at += 1;
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
            }
        }
        let end = at.min(chars.len());
        line += chars[start..end].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn skip_until(chars: &[char], mut at: usize, found: impl Fn(usize) -> bool) -> usize {
    while at < chars.len() && !found(at) {
        at += 1;
    }
    at
}

fn after_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Where the content of a raw string that starts at `at` begins, and how many `#` it has.
fn raw_hashes(chars: &[char], at: usize) -> Option<(usize, usize)> {
    let mut next = at + if chars[at] == 'b' { 2 } else { 1 };
    let start = next;
    while chars.get(next) == Some(&'#') {
        next += 1;
    }
    (chars.get(next) == Some(&'"')).then_some((next + 1, next - start))
}

#[test]
fn comments_and_strings_hold_no_tokens() {
    let words = |text: &str| tokens(text).into_iter().map(|token| token.text).collect::<Vec<_>>().join(" ");
    assert_eq!(words("a /* b */ \"c \\\" d\" r#\"e \" f\"# 'g' '\\'' &'h i // j\nk"), "a & ' h i k");
}

#[test]
fn groups_name_every_path_in_them() {
    let named: Vec<String> = paths(&tokens(
        "use crate::{api, store::{self, Store as S}, engine::*};\nlet x = crate::model::Scope::parse(y);",
    ))
    .into_iter()
    .map(|path| format!("{}:{}", path.line, path.segments.join("::")))
    .collect();
    assert_eq!(
        named,
        [
            "1:crate::api",
            "1:crate::store::self",
            "1:crate::store::Store",
            "1:crate::engine::*",
            "2:crate::model::Scope::parse"
        ]
    );
}
