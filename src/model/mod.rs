//! Values and pure functions: what a configuration is, and what can be done with it. No I/O, no clock, no async; knows
//! no other module.

pub mod canonical;
pub mod commit;
pub mod content;
pub mod digest;
pub mod layer;
pub mod limits;
pub mod name;
pub mod scope;
pub mod time;
pub mod version;

pub use commit::{Commit, ConfigChange, LayerChange, Request, Source, TagChange};
pub use content::Content;
pub use digest::Digest;
pub use layer::{Layer, LayerKey, LayerKind};
pub use name::{ConfigId, ConfigName, Namespace, TagName};
pub use scope::Scope;
pub use time::Timestamp;
pub use version::{Epoch, Revision, Version};
