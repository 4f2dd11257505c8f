//! The findings of one check of one document, as a bounded list. Knows no config and no scope.

use std::borrow::Cow;
use std::sync::Arc;

use super::Severity;
use crate::model::Pointer;

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
    /// Nothing else is of interest.
    within: Option<Arc<Pointer>>,
}

impl FoundList {
    /// Takes only what is found at a place or below it.
    pub fn within(place: Option<Arc<Pointer>>) -> FoundList {
        FoundList { within: place, ..FoundList::default() }
    }

    /// Takes one more. Calls `make` only if it is kept, since a message may be the larger half of the work. Where there is no room, an
    /// error takes the place of something less: what refuses a change is always told.
    pub fn add(&mut self, severity: Severity, make: impl FnOnce() -> Found) {
        let Some(place) = &self.within else { return self.put(severity, make) };
        let found = make();
        if place.contains_text(&found.pointer) {
            self.put(severity, || found);
        }
    }

    fn put(&mut self, severity: Severity, make: impl FnOnce() -> Found) {
        if self.kept.len() < FOUND_MAX {
            return self.kept.push(make());
        }
        let lesser = |found: &Found| found.severity != Severity::Error;
        match self.kept.iter().rposition(lesser).filter(|_| severity == Severity::Error) {
            Some(at) => {
                let left_out = self.kept.remove(at);
                self.dropped[left_out.severity as usize] += 1;
                self.kept.push(make());
            }
            None => self.dropped[severity as usize] += 1,
        }
    }

    /// Changes each finding, or leaves it out.
    pub fn filter_map(&mut self, change: impl FnMut(Found) -> Option<Found>) {
        self.kept = std::mem::take(&mut self.kept).into_iter().filter_map(change).collect();
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
        self.kept.iter().any(|found| found.severity == Severity::Error)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(severity: Severity) -> Found {
        let (pointer, message, suggestion) = Default::default();
        Found { severity, code: "CODE".into(), pointer, message, suggestion }
    }

    #[test]
    fn an_error_is_kept_however_many_lesser_findings_there_were() {
        let mut list = FoundList::default();
        for severity in [Severity::Warning, Severity::Error, Severity::Suggestion] {
            (0..FOUND_MAX / 2).for_each(|_| list.add(severity, || found(severity)));
        }
        assert!(!list.kept().iter().any(|found| found.severity == Severity::Suggestion));
        (0..FOUND_MAX).for_each(|_| list.add(Severity::Error, || found(Severity::Error)));
        assert!(list.has_errors() && list.kept().iter().all(|found| found.severity == Severity::Error));
        assert_eq!(list.kept().len() + list.dropped_count(), FOUND_MAX / 2 * 3 + FOUND_MAX);
    }
}
