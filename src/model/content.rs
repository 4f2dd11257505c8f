//! The stored form of a document.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Digest;
use super::canonical::to_canonical;

/// A JSON value as canonical text: immutable, cheap to clone. Two contents are equal when their values are.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content(Arc<str>);

impl Content {
    /// `value` must be in normal form, as every parser of `model::text` gives it.
    pub fn of(value: &Value) -> Content {
        Content(to_canonical(value).into())
    }

    /// `text` must be canonical.
    pub fn of_canonical(text: &str) -> Content {
        Content(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_value(&self) -> Value {
        serde_json::from_str(&self.0).expect("canonical text is JSON within the depth limit of the parser")
    }

    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// Only the size: content may be secret.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}
