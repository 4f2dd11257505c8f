//! Connections: listening, TLS, HTTP/2 and HTTP/1.1, limits on connections, requests and responses.

pub(super) mod busy_turns;
pub(super) mod call;
pub(super) mod certificate;
pub(super) mod connection;
pub(super) mod connection_age;
pub(super) mod connection_context;
pub(super) mod connections;
pub(super) mod frame_budget;
pub(super) mod http1;
pub(super) mod idle;
pub(super) mod keepalive;
pub(super) mod listen;
pub(super) mod open_files;
pub(super) mod pace;
pub(super) mod poll_turn;
pub(super) mod protocol;
pub(super) mod proxy;
pub(super) mod request_bodies;
pub(super) mod response;
pub(super) mod timed_socket;
pub(super) mod tls;
pub(super) mod write_coalescing;
