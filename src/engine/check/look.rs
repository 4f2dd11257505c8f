//! Which findings a caller requests: at all places of documents or at one, with lints or without.

use std::sync::Arc;

use crate::model::Pointer;
use crate::validate::{Contract, Finding, Report, Severity, lint};

/// How closely to look.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Look {
    /// Also for lints where nothing governs: they alone would be a third of the work of a write.
    pub lints_everywhere: bool,
    /// Also for lints at the scopes that are written, where nothing governs.
    pub lints_written: bool,
    /// Only at this place of documents, and below it.
    pub within: Option<Arc<Pointer>>,
}

impl Look {
    /// For whoever asks for all that there is to say of a place in documents.
    pub fn at_all(place: Pointer) -> Look {
        Look {
            lints_everywhere: true,
            within: (!place.is_root()).then(|| Arc::new(place)),
            ..Look::default()
        }
    }

    /// For whoever tries a write before it is made.
    pub fn at_written() -> Look {
        Look { lints_written: true, ..Look::default() }
    }

    /// Whether to report a finding for a config without schema, rules and settings. Dry runs of writes leave out suggestions, except that an object is
    /// removed: an empty key in YAML does that unnoticed.
    pub(super) fn tells_ungoverned(&self, finding: &Finding) -> bool {
        self.lints_everywhere
            || finding.severity != Severity::Suggestion
            || finding.code == lint::REMOVES_OBJECT
    }

    /// With these findings, as far as they are asked for.
    pub fn report(&self, findings: impl IntoIterator<Item = Finding>) -> Report {
        let mut report = Report::within(self.within.clone());
        findings.into_iter().for_each(|finding| report.add(finding));
        report
    }

    pub(super) fn by(&self, contract: &Arc<Contract>) -> Arc<Contract> {
        match &self.within {
            None => contract.clone(),
            Some(place) => Arc::new(contract.within(Some(place.clone()))),
        }
    }
}
