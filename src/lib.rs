//! confwatch: a configuration service. This is the map of the house; `ARCHITECTURE.md` has the invariants.
//!
//! Dependencies point one way: `main -> server -> api -> engine -> (validate, auth, secret, store) -> model`, and `main -> cli ->
//! client -> proto`. `tests/architecture.rs` proves it.

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
mod append_log;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod auth;
#[cfg(feature = "server")]
pub mod backup;
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "clients alone read less"))]
mod bounded_file;
#[cfg(feature = "server")]
pub mod cli;
pub mod client;
#[cfg(feature = "server")]
mod durable_file;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
mod fair_places;
#[cfg(feature = "server")]
pub mod model;
#[cfg(feature = "server")]
mod priority;
pub mod proto;
#[cfg(feature = "server")]
pub mod secret;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod supervise;
#[cfg(feature = "server")]
pub mod validate;
