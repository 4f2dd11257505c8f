//! The limits, keys and permissions that a plan depends on beside the state.

use crate::auth::Sight;
use crate::model::Timestamp;
use crate::model::limits::Limits;

use crate::engine::check::effort::Effort;
use crate::engine::check::look::Look;
use crate::engine::check::workers::Cancelled;
use crate::engine::secrets::key_store::KeyStore;

/// What a plan goes by, beside the state.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Planning<'a> {
    pub limits: &'a Limits,
    pub key_store: &'a KeyStore,
    /// Nothing will be stored.
    pub validate_only: bool,
    pub look: &'a Look,
    /// What the caller may read and reveal. `None`: the server writes for itself, and sees everything.
    pub sight: Option<&'a Sight>,
    pub now: Timestamp,
    /// Whether anybody still waits for the plan.
    pub cancelled: &'a Cancelled,
}

impl<'a> Planning<'a> {
    /// What the plan may cost that concerns so many documents. What the server does of itself has no limit.
    pub fn effort(&self, documents: usize) -> Effort<'a> {
        match self.sight {
            Some(_) => Effort::new(documents, self.cancelled),
            None => Effort::unlimited(self.cancelled),
        }
    }
}
