//! Regular expressions with a known price. Knows nothing of expressions.

use regex::{Regex, RegexBuilder};

/// A compiled pattern. It is matched in time linear in the text, with a factor that grows with its size in the worst case.
#[derive(Debug)]
pub struct MeteredRegex {
    regex: Regex,
    steps_per_byte: u64,
    size: usize,
}

/// The compiled size of the largest pattern.
pub const SIZE_MAX: usize = 128 << 10;

/// Sizes of compiled patterns, and what one byte of text costs in the worst case: when no automaton can be built ahead, and all
/// states are simulated.
const SIZES: [(usize, u64); 4] = [(2 << 10, 2), (8 << 10, 8), (32 << 10, 32), (SIZE_MAX, 128)];

impl MeteredRegex {
    pub fn new(text: &str) -> Result<MeteredRegex, String> {
        let mut refusal = String::new();
        for (bytes_max, steps_per_byte) in SIZES {
            match RegexBuilder::new(text).size_limit(bytes_max).dfa_size_limit(1 << 20).build() {
                Ok(regex) => return Ok(MeteredRegex { regex, steps_per_byte, size: bytes_max }),
                Err(regex::Error::CompiledTooBig(_)) => {
                    refusal = "is too large when compiled: repeat less".to_owned();
                }
                Err(regex::Error::Syntax(text)) => {
                    // The last line says what is wrong; those before show where, in a drawing.
                    let line = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    return Err(format!("is not a regular expression: {line}"));
                }
                Err(error) => return Err(format!("is not a regular expression: {error}")),
            }
        }
        Err(refusal)
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Its compiled size, at most.
    pub fn size(&self) -> usize {
        self.size
    }

    /// What it costs to match a text.
    pub fn steps(&self, text: &str) -> u64 {
        1 + (text.len() as u64).saturating_mul(self.steps_per_byte)
    }
}
