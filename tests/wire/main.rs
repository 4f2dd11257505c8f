//! What the server promises, over the wire: each test starts a real server in its own directory and talks gRPC to it.

mod auth;
mod bad_input;
mod changes;
mod connections;
mod frames;
mod health;
mod history;
mod hostile;
mod idempotency;
mod messages;
mod overrides;
mod raw;
mod reads;
mod schemas;
mod secrets;
mod support;
mod tags;
mod tls;
mod validate;
mod watch;
mod watch_ending;
mod watch_parts;
mod watch_resume;
mod watching;
mod writes;
