//! The indexes in sled: their trees, keys and values, and how they are read and compacted.

pub(super) mod chunk;
pub(super) mod compact;
pub(super) mod keys;
pub(super) mod layers;
pub(super) mod load;
pub(super) mod pending;
pub(super) mod record;
pub(super) mod retained;
pub(super) mod runs;
pub(super) mod trees;
pub(super) mod versions;
