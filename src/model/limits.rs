//! The limits on documents and commits.

use serde::{Deserialize, Serialize};

/// Nesting of objects and arrays; a scalar member of the document has depth 1. Fixed: canonical text must always parse.
pub const DEPTH_MAX: usize = 64;

/// The largest that `layer_bytes_max` and `document_bytes_max` can be set to, and the longest text of a document that is sent in
/// any format: with what is around it, it must fit the 4 MiB that gRPC clients receive by default.
pub const TEXT_BYTES_MAX: usize = 3 << 20;

/// The largest that `request_bytes_max` can be set to: a request is held in memory whole.
pub const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Limits on what is sent and stored, all configurable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Canonical text of one layer, and any text of one on its way in.
    pub layer_bytes_max: usize,
    /// Canonical text of one effective document.
    pub document_bytes_max: usize,
    /// Layers of one config, at all its scopes.
    pub layers_max: usize,
    /// Tags of one config.
    pub tags_max: usize,
    /// Changes of one commit.
    pub changes_max: usize,
    /// Content that one commit may write: bounds the memory and the journal record of a rollback.
    pub commit_bytes_max: usize,
    /// One message of a client.
    pub request_bytes_max: usize,
    /// Request ids that are remembered for one caller: more within 24 hours are refused.
    pub request_ids_max: usize,
    /// Targets of one Watch, and requests of one BatchGet.
    pub targets_max: usize,
    /// Watch streams on this server.
    pub watchers_max: usize,
    /// Watch streams of one actor: so that nobody takes all that the server may have.
    pub watchers_of_actor_max: usize,
    /// Configs that one Watch follows: a target that follows a whole namespace counts as the configs of the namespace.
    pub watched_configs_max: usize,
    /// Configs that all Watches of one actor follow together, counted in the same way: a target takes up to 1 KiB.
    pub watched_configs_of_actor_max: usize,
    /// Items on one page.
    pub page_size_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            layer_bytes_max: 1 << 20,
            document_bytes_max: 2 << 20,
            layers_max: 100_000,
            tags_max: 10_000,
            changes_max: 1000,
            commit_bytes_max: 64 << 20,
            request_bytes_max: 4 << 20,
            request_ids_max: 200_000,
            targets_max: 1000,
            watchers_max: 100_000,
            watchers_of_actor_max: 50_000,
            watched_configs_max: 200_000,
            watched_configs_of_actor_max: 250_000,
            page_size_max: 1000,
        }
    }
}
