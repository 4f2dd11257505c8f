//! confwatch: a configuration service. This is the map of the house; `ARCHITECTURE.md` has the invariants.
//!
//! Dependencies point one way: `main -> server -> api -> engine -> (validate, auth, secret, store) -> model`, and `main -> cli ->
//! client -> proto`. `tests/architecture.rs` proves it.

pub mod api;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod client;
pub mod engine;
pub mod model;
pub mod proto;
pub mod secret;
pub mod server;
pub mod store;
pub mod supervise;
pub mod validate;
