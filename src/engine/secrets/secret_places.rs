//! Where a document has secrets, and whether a reader is shown them. Knows permissions; not how a secret is stored.

use serde_json::Value;

use crate::auth;
use crate::model::{ConfigId, Pointer, Scope};

/// How secrets stand in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Secrets {
    /// As a fingerprint each, which changes when they do.
    Hidden,
    /// As they are.
    Revealed,
}

impl Secrets {
    /// How they stand for somebody in the layer at a scope.
    pub fn seen_by(visibility: &auth::Visibility, id: &ConfigId, scope: &Scope) -> Secrets {
        match visibility.reveals(id, scope) {
            true => Secrets::Revealed,
            false => Secrets::Hidden,
        }
    }
}

/// Where a document has secrets, and whether it has them in clear text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretPlaces {
    pointers: Vec<Pointer>,
    are_revealed: bool,
}

/// More pointers than this, or longer ones, become one for the whole document: they travel with each document.
const POINTERS_MAX: usize = 500;
const POINTERS_BYTES_MAX: usize = 16 << 10;

impl SecretPlaces {
    /// The places that are pointed to and exist in the document.
    pub(in crate::engine) fn new(
        pointers: impl IntoIterator<Item = Pointer>,
        document: &Value,
        secrets: Secrets,
    ) -> SecretPlaces {
        let pointers = pointers.into_iter().filter(|pointer| pointer.find(document).is_some());
        let mut pointers: Vec<Pointer> = pointers.collect();
        let bytes: usize = pointers.iter().map(|pointer| pointer.to_string().len()).sum();
        if pointers.len() > POINTERS_MAX || bytes > POINTERS_BYTES_MAX {
            pointers = vec![Pointer::root()];
        }
        SecretPlaces { pointers, are_revealed: secrets == Secrets::Revealed }
    }

    /// About as many bytes as the pointers have in a message.
    pub fn bytes(&self) -> usize {
        self.pointers.iter().map(|pointer| pointer.to_string().len() + 4).sum()
    }

    /// The secrets that are masked.
    pub fn hidden(&self) -> &[Pointer] {
        if self.are_revealed { &[] } else { &self.pointers }
    }

    /// The secrets in clear text.
    pub fn revealed(&self) -> &[Pointer] {
        if self.are_revealed { &self.pointers } else { &[] }
    }
}
