//! The contract can be used from other languages: names that no language keeps for itself, comments that no generator stumbles over,
//! options for every language, and code that is generated and loaded. Knows `proto/` and the tools of other languages.

mod compatible;
mod generators;
mod http_routes;
mod names;
mod reasons;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "../support/routes.rs"]
mod routes;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "../support/tools.rs"]
mod tools;
