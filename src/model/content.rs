//! The stored form of a document.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::Digest;
use super::canonical::to_canonical;

/// A JSON value as canonical text, and its digest: immutable, cheap to clone. Two contents are equal when their values are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Content(Arc<Text>);

/// The text in an allocation of its own: a header before it would push texts whose size is a power of two, as sizes often are, into
/// the next larger class of the allocator, and there are millions of them.
#[derive(PartialEq, Eq, Hash)]
struct Text {
    digest: Digest,
    canonical: Box<str>,
}

impl Content {
    /// `value` must be in normal form, as every parser of `model::text` gives it.
    pub fn of(value: &Value) -> Content {
        Content::of_canonical(&to_canonical(value))
    }

    /// `text` must be canonical.
    pub fn of_canonical(text: &str) -> Content {
        Content(Arc::new(Text { digest: Digest::of(text.as_bytes()), canonical: text.into() }))
    }

    pub fn as_str(&self) -> &str {
        &self.0.canonical
    }

    pub fn to_value(&self) -> Value {
        serde_json::from_str(self.as_str())
            .expect("canonical text is JSON within the depth limit of the parser")
    }

    /// Computed when the content was made.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}

/// Only the size: content may be secret.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.as_str().len())
    }
}
