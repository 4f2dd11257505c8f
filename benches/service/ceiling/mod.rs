//! The ceiling: what is left when a service does nothing but what its calls cannot do without. Knows requests and responses by
//! their bytes, no configuration.
//!
//! It is tonic's server, with answers that are framed already (no codec) and socket writes that are gathered. Get finds a stored
//! answer, Set appends to a file that was written before and syncs it once for all that wait, Watch hands the newest
//! message to everyone.

mod answer;
mod gather;
mod log;
mod message;
mod service;
mod stored;

use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use gather::Gather;
use service::Ceiling;
use stored::Stored;

pub use log::Log;

pub const ARGUMENT: &str = "ceiling";

/// On this address, in the current directory, until it is killed.
#[tokio::main]
pub async fn serve(address: &str) {
    let ceiling = Ceiling(Arc::new(Stored::new()));
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_reuseaddr(true).expect("it is new");
    socket.bind(address.parse().expect("an address")).expect("the port is free");
    // As many as may wait, so that none of ten thousand who come at once has to try again.
    let listener = socket.listen(u16::MAX.into()).expect("it is bound");
    let sockets = TcpListenerStream::new(listener)
        .map(|socket| socket.and_then(|socket| socket.set_nodelay(true).map(|()| Gather::new(socket))));
    // As the service has it: the largest storms of calls are not what is measured.
    let server = Server::builder().initial_connection_window_size(16 << 20).max_concurrent_streams(100_000);
    server.serve_with_incoming(ceiling, sockets).await.expect("it serves");
}
