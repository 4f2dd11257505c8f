//! Reads commits as they are stored, without their content, for summaries and for proofs of the chain. Knows no content.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::engine::blocking::blocking;
use crate::engine::error::Error;
use crate::model::{Namespace, Revision, Timestamp};
use crate::store::{Forgotten, Proof, Sealed, prove};

impl Engine {
    /// Some commits from `from` on, in order, as they are stored: what is secret is sealed. None if there is none yet.
    pub async fn commits(&self, from: Revision) -> Result<Vec<Arc<Sealed>>, Error> {
        self.recent.read(from).await
    }

    /// The oldest revision that is retained.
    pub fn oldest(&self) -> Result<Revision, Error> {
        self.recent.oldest()
    }

    /// The oldest revision of which all changes of a namespace are retained.
    pub fn oldest_of(&self, namespace: &Namespace) -> Revision {
        self.store.oldest_of(namespace)
    }

    /// The namespaces whose history was compacted by itself, with their oldest revisions.
    pub fn forgotten(&self) -> Forgotten {
        self.store.forgotten()
    }

    /// The last retained commit that was made at or before a moment.
    pub async fn revision_at(&self, time: Timestamp) -> Result<Option<Revision>, Error> {
        let store = self.store.clone();
        Ok(blocking(move || store.revision_at(time)).await??)
    }

    /// Proves the chain of all retained commits, as they lie on the disk. Takes as long as it takes to read them.
    pub async fn prove(&self) -> Result<Proof, Error> {
        let store = self.store.clone();
        Ok(blocking(move || prove(&*store)).await??)
    }

    /// Cancelled when streams must end.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }
}
