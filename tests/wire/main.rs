//! What the server promises, over the wire: each test starts a real server in its own directory and talks gRPC to it.

mod support;
mod writes;
