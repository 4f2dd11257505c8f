//! The limits, keys and permissions that a plan depends on beside the state.

use crate::auth::Visibility;
use crate::model::Timestamp;
use crate::model::limits::Limits;

use crate::engine::check::effort::Effort;
use crate::engine::check::look::Look;
use crate::engine::check::workers::Cancelled;
use crate::engine::secrets::key_store::KeyStore;

/// The inputs of a plan beside the state.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Planning<'a> {
    pub limits: &'a Limits,
    pub key_store: &'a KeyStore,
    /// Nothing will be stored.
    pub validate_only: bool,
    pub look: &'a Look,
    /// What the caller may read and reveal. `None`: the server writes for itself, and sees everything.
    pub visibility: Option<&'a Visibility>,
    pub now: Timestamp,
    /// Whether the caller has cancelled the call.
    pub cancelled: &'a Cancelled,
}

impl<'a> Planning<'a> {
    /// The limit on the cost of a plan for so many documents. Plans of the server itself have no limit.
    pub fn effort(&self, documents: usize) -> Effort<'a> {
        match self.visibility {
            Some(_) => Effort::new(documents, self.cancelled),
            None => Effort::unlimited(self.cancelled),
        }
    }
}
