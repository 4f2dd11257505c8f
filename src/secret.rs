//! Secrets: values that are sealed before they are stored, and opened for those who may see them. Cryptography and documents only;
//! knows the model, and no store, no engine, no network.
//!
//! A client marks a value as secret by `{"$secret": VALUE}`, and a schema by its place. What is stored in its place is
//! `{"$secret": "v1:KEY:BYTES"}`: an object of one text, which merges as one value does.
//!
//! - `KEY` names the data key of the namespace that has sealed it, in 8 hex digits; `BYTES` is base64 (RFC 4648 section 5, unpadded) of
//!   a nonce and what XChaCha20-Poly1305 makes of the value: its canonical JSON, filled up with spaces to a multiple of 32 bytes.
//! - What is sealed is bound to its place, which is namespace, config and JSON pointer: elsewhere it does not open. The scope is no part
//!   of the place, so that a layer can be copied from one scope to another, and one value stands for all scopes below it.
//! - The nonce is synthetic: HMAC-SHA256 under a key of its own over the place and the value. So the same value at the same
//!   place is sealed as the same bytes, a write that changes nothing is seen to change nothing, and digests stay. What this tells
//!   who sees the bytes: that a place has the same value as before, or as in another scope. Nothing about two places.
//! - Who may not see a value sees `***:` and a fingerprint of it, 8 hex digits of an HMAC under a further key over the layer (kind and scope),
//!   the place and the value, so that a change can be seen and nothing can be guessed without the server. Equal secrets of two layers have
//!   different fingerprints. A value that is stored in clear text where it is secret by now has no fingerprint: `***`.
//! - Data keys are stored wrapped by a master key, which is never stored by this server, unless it is told nothing else: `source`.

#[cfg(test)]
mod example;
mod key;
mod keyring;
mod known;
mod layer;
mod merged;
mod ring;
mod sealed;
mod sealing;
mod source;
mod stored;

pub use key::{Key, KeyId};
pub use keyring::Keyring;
pub use known::{Holder, KnownSecret, known_in, readable};
pub use layer::{
    Census, MASK, Opened, hide, holds_sealed, is_sealed, make_way, mask, mentions_hidden, mentions_mark,
    open, sealed_count, sealed_pointers,
};
pub use merged::Merged;
pub use ring::{Ring, SecretPlace};
pub use sealed::SealedText;
pub use sealing::{Origin, SealRefusal, Sealing, refuse_hidden};
pub use source::{Derivation, MasterKeySource, MasterKeys, SourceError};
pub use stored::{KeysError, StoredKey, StoredKeys, StoredMaster, load_masters};

/// The only member of an object that is a secret.
pub const MARK: &str = "$secret";
