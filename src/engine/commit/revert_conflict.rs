//! Why a commit cannot be taken back. Knows the model alone.

use crate::model::{ConfigId, LayerKey, Pointer, Revision};

/// A place at which a commit cannot be taken back, since the value has been changed since. Texts are cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevertConflict {
    /// The commit that was to be taken back.
    pub revision: Revision,
    pub id: ConfigId,
    pub key: LayerKey,
    /// Root: the layer as a whole, or the time at which the override ends.
    pub pointer: Pointer,
    /// The value now, as a caller without `reveal-secret` sees it. `None`: there is none.
    pub current: Option<String>,
    /// The value that would come back.
    pub restored: Option<String>,
    /// The values are the times at which an override ends.
    pub is_expiry: bool,
}
