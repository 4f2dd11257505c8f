//! All data keys, opened: what the process holds in memory. Knows namespaces; not how the keys are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::Key;
use super::ring::Ring;
use crate::model::{Digest, Namespace};

/// The data keys of every namespace that has any.
#[derive(Debug, Default)]
pub struct Keyring {
    pub(super) rings: BTreeMap<Namespace, Arc<Ring>>,
    /// Of the fingerprints of requests. `None`: there are no keys yet.
    pub(super) requests: Option<Key>,
}

impl Keyring {
    pub fn ring(&self, namespace: &Namespace) -> Option<&Arc<Ring>> {
        self.rings.get(namespace)
    }

    /// What is stored as the fingerprint of a request that has a secret in it: its digest would let it be guessed. `None`: there are no
    /// keys yet, and so no secrets.
    pub fn keyed(&self, fingerprint: Digest) -> Option<Digest> {
        Some(Digest(self.requests.as_ref()?.mac(&[&fingerprint.0])))
    }
}
