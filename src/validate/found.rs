//! What one check has to say of one document, and a bounded list of it. Knows no config and no scope.

use std::borrow::Cow;

use super::Severity;

/// A finding whose document is known from the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub severity: Severity,
    /// A stable UPPER_SNAKE name, or the id of a rule.
    pub code: Cow<'static, str>,
    /// RFC 6901; `""` is the whole document.
    pub pointer: String,
    /// What was expected, and what was found.
    pub message: String,
    /// What to do about it; may be empty.
    pub suggestion: String,
}

impl Found {
    /// The same, in a document that has this one at `place`.
    pub fn below(mut self, place: &str) -> Found {
        self.pointer.insert_str(0, place);
        self
    }
}

/// As much as one document is told of. The rest is only counted: a hostile document could have a hundred thousand flaws.
pub const FOUND_MAX: usize = 1000;

/// What was found, in the order in which it was, and how much more there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundList {
    kept: Vec<Found>,
    /// Not kept, by severity: errors, warnings, suggestions.
    dropped: [usize; 3],
}

impl FoundList {
    /// Takes one more. Calls `make` only if there is room, since a message may be the larger half of the work.
    pub fn add(&mut self, severity: Severity, make: impl FnOnce() -> Found) {
        match self.kept.len() < FOUND_MAX {
            true => self.kept.push(make()),
            false => self.dropped[severity as usize] += 1,
        }
    }

    pub fn kept(&self) -> &[Found] {
        &self.kept
    }

    pub fn into_kept(self) -> Vec<Found> {
        self.kept
    }

    /// How many of this severity are not told of.
    pub fn dropped(&self, severity: Severity) -> usize {
        self.dropped[severity as usize]
    }

    pub fn has_errors(&self) -> bool {
        self.dropped(Severity::Error) > 0 || self.kept.iter().any(|found| found.severity == Severity::Error)
    }

    /// The same, where warnings refuse as errors do.
    pub fn with_warnings_as_errors(mut self) -> FoundList {
        let warnings = self.kept.iter_mut().filter(|found| found.severity == Severity::Warning);
        warnings.for_each(|found| found.severity = Severity::Error);
        self.dropped[Severity::Error as usize] +=
            std::mem::take(&mut self.dropped[Severity::Warning as usize]);
        self
    }

    /// How many are not told of.
    pub fn dropped_count(&self) -> usize {
        self.dropped.iter().sum()
    }

    /// Whether it is useless to look for more.
    pub fn is_full(&self) -> bool {
        self.kept.len() == FOUND_MAX
    }
}
