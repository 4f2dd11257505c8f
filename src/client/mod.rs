//! The Rust client. Knows the wire; never the engine or the server.
