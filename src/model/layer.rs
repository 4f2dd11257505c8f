//! Layers: the documents that are stored.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::Format;
use super::{Content, Digest, Scope, Timestamp, Version};

/// The two kinds of layer a scope can hold. The order is the order of merging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LayerKind {
    Base,
    Override,
}

/// Which layer of a config. The order is the order of merging, for the layers of one lineage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey {
    pub kind: LayerKind,
    pub scope: Scope,
}

/// A layer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub content: Content,
    /// The config's version at which this layer last changed.
    pub version: Version,
    /// When an override with a time to live ends.
    pub expires: Option<Timestamp>,
    /// The format of the text that it was last written as; `None` if it never was written as a whole.
    pub format: Option<Format>,
}

impl Layer {
    /// Of the content.
    pub fn digest(&self) -> Digest {
        self.content.digest()
    }
}

impl LayerKey {
    pub fn base(scope: Scope) -> LayerKey {
        LayerKey { kind: LayerKind::Base, scope }
    }

    pub fn overriding(scope: Scope) -> LayerKey {
        LayerKey { kind: LayerKind::Override, scope }
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayerKind::Base => "base",
            LayerKind::Override => "override",
        })
    }
}
