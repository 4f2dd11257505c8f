//! Which history of which namespace is forgotten, while the journal still has the commits. Knows names and revisions; no store.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Namespace, Revision};

/// The oldest retained revision of each namespace whose history was compacted by itself. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten(Arc<BTreeMap<Namespace, Revision>>);

impl Forgotten {
    /// The oldest retained revision of a namespace. `None`: its history was not compacted by itself.
    pub fn oldest_of(&self, namespace: &str) -> Option<Revision> {
        self.0.get(namespace).copied()
    }

    /// Whether what a revision changed of a namespace is forgotten.
    pub fn has(&self, namespace: &str, revision: Revision) -> bool {
        self.oldest_of(namespace).is_some_and(|oldest| revision < oldest)
    }

    /// The same, and the history of one more namespace before `oldest`.
    pub fn with(&self, namespace: &Namespace, oldest: Revision) -> Forgotten {
        let mut namespaces = (*self.0).clone();
        namespaces.insert(namespace.clone(), oldest);
        Forgotten(Arc::new(namespaces))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each namespace, in order, with its oldest retained revision.
    pub fn iter(&self) -> impl Iterator<Item = (&Namespace, Revision)> {
        self.0.iter().map(|(namespace, oldest)| (namespace, *oldest))
    }

    /// The newest of the oldest revisions: from there on nothing is forgotten.
    pub fn newest(&self) -> Option<Revision> {
        self.0.values().copied().max()
    }
}

impl FromIterator<(Namespace, Revision)> for Forgotten {
    fn from_iter<T: IntoIterator<Item = (Namespace, Revision)>>(namespaces: T) -> Forgotten {
        Forgotten(Arc::new(namespaces.into_iter().collect()))
    }
}
