//! What the server promises, over the wire: each test starts a real server in its own directory and talks gRPC to it.

mod changes;
mod support;
mod watch;
mod watch_ending;
mod watch_parts;
mod watch_resume;
mod watching;
mod writes;
