//! The command line as people and scripts use it: the real binary against a real server of the same binary.

mod access;
mod audit;
mod backup;
mod bucket;
mod environment;
mod exit_codes;
mod find;
mod first_night;
mod fleet;
mod follow;
mod harness;
mod login;
mod read;
mod retention;
mod sample;
mod schema;
mod second_night;
mod secrets;
mod status;
mod terminal;
mod tls;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "../support/tools.rs"]
mod tools;
mod tree;
mod upgrades;
mod validate;
mod write;
