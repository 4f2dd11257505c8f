//! Values and pure functions: what a configuration is, and what can be done with it. No I/O, no clock, no async; knows
//! no other module.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod assign;
pub mod canonical;
pub mod commit;
pub mod content;
pub mod depth;
pub mod diff;
pub mod digest;
pub mod document_error;
pub mod explain;
pub mod histogram;
pub mod layer;
pub mod limits;
pub mod merge;
pub mod name;
pub mod nearest;
pub mod patch;
pub mod paths;
pub mod pattern;
pub mod pointer;
pub mod quota;
pub mod scope;
pub mod similar;
pub mod system;
pub mod text;
pub mod three_way;
pub mod time;
pub mod version;

pub use commit::{Author, Commit, ConfigChange, ForgottenPart, LayerChange, Request, Source, TagChange};
pub use content::Content;
pub use digest::Digest;
pub use document_error::{DocumentError, DocumentErrorCode};
pub use histogram::Histogram;
pub use layer::{Layer, LayerKey, LayerKind};
pub use name::{ConfigId, ConfigName, Governs, Namespace, TagName};
pub use pointer::{Pointer, PointerError};
pub use scope::Scope;
pub use system::SystemConfig;
pub use text::Format;
pub use time::Timestamp;
pub use version::{Epoch, Revision, Version};
