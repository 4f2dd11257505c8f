//! Secrets in the engine: data keys, sealing, showing, redaction, and limits on guesses.

pub(super) mod guesses;
pub(super) mod key_store;
pub(super) mod keys;
pub(super) mod redaction;
pub(super) mod rotation;
pub(super) mod seal;
pub(super) mod secret_places;
pub(super) mod shown;
