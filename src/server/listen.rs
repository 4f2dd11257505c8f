//! Takes connections, and serves each until it ends. Knows no protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::front::Front;
use super::settings::Settings;

/// When no file descriptor is left, accepting fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`, and returns when the last connection has ended. They end with this future, too.
pub(super) async fn serve(
    listener: TcpListener,
    front: Front,
    settings: Arc<Settings>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            socket = accept(&listener) => socket,
            Some(_) = connections.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let served = connection::serve(socket, front.clone(), settings.clone(), stop.clone());
        connections.spawn(async {
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection ended with an error");
            }
        });
    }
    // Clients that come now are told at once that nobody is there.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await.and_then(|(socket, _)| socket.set_nodelay(true).map(|()| socket)) {
            Ok(socket) => return socket,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
