//! Takes connections, and serves each until it ends. Knows no protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::connection;
use super::connection_age::Age;
use super::connection_context::ConnectionContext;
use super::connections::{Admitted, TooMany};
use super::http1;
use super::protocol::{self, Protocol};
use super::proxy;
use super::tls::{self, Secured, Tls};
use crate::api::guard::peer::{Peer, PeerCertificate};
use crate::supervise::OnPanic;

/// When no file descriptor is left, accepting fails at once, again and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that are refused come in numbers: the log has one line for so long.
const REFUSALS_TOLD: Duration = Duration::from_secs(10);
/// Read of a client of TLS that has named no protocol, to find out which it speaks.
const FIRST_BYTES_MAX: usize = 1 << 10;

/// Serves until `stop`, and returns when the last connection has ended. They end with this future, too.
pub(in crate::server) async fn serve(
    listener: TcpListener,
    service: Arc<ConnectionContext>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let reloading = service.tls.clone().map(|tls| {
        let followed = service.clone();
        AbortOnDropHandle::new(service.supervisor.task("certificates", OnPanic::Restart, move || {
            let (tls, service) = (tls.clone(), followed.clone());
            async move { tls.follow(service.settings.tls_reload_interval, &service.connections.counts).await }
        }))
    });
    let mut refusals = Refusals::default();
    loop {
        let (socket, address) = tokio::select! {
            accepted = accept(&listener) => accepted,
            Some(ended) = tasks.join_next() => {
                service.look_for_panic(ended);
                continue;
            }
            () = stop.cancelled() => break,
        };
        if proxy::is_trusted(&service.settings.proxy_protocol_from, address.ip()) {
            tasks.spawn(passed_on(socket, address, service.clone(), stop.clone()));
            continue;
        }
        match service.connections.admit(address.ip()) {
            Ok(admitted) => tasks.spawn(admit(socket, address, service.clone(), admitted, stop.clone())),
            Err(refused) => {
                refusals.tell(refused, address);
                continue;
            }
        };
    }
    // Clients that come now are told at once that nobody is there.
    drop(listener);
    drop(reloading);
    while let Some(ended) = tasks.join_next().await {
        service.look_for_panic(ended);
    }
}

/// The next connection, however long that takes.
pub(in crate::server) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|accepted| accepted.0.set_nodelay(true).map(|()| accepted)) {
            Ok((socket, address)) => {
                return (socket, SocketAddr::new(address.ip().to_canonical(), address.port()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection of a trusted proxy: it counts as one of the client's, as soon as the proxy has said whose it is. Before that it counts as one
/// of all that there may be.
async fn passed_on(
    mut socket: TcpStream,
    proxy: SocketAddr,
    service: Arc<ConnectionContext>,
    stop: CancellationToken,
) {
    let counts = &service.connections.counts;
    let Ok(waiting) = service.connections.admit_unannounced() else { return };
    let patience = service.settings.handshake_timeout;
    let announced = tokio::select! {
        announced = proxy::client_address(&mut socket, proxy, patience) => announced,
        () = stop.cancelled() => return,
    };
    drop(waiting);
    let admitted = announced.map(|client| (client, service.connections.admit(client.ip())));
    match admitted {
        Ok((client, Ok(admitted))) => admit(socket, client, service, admitted, stop).await,
        Ok((client, Err(refused))) => {
            tracing::debug!(reason = %refused, address = %client, %proxy, "a connection was refused");
        }
        Err(error) => {
            counts.unannounced.fetch_add(1, Relaxed);
            tracing::debug!(%error, %proxy, "a connection has not come about");
        }
    }
}

async fn admit(
    socket: TcpStream,
    address: SocketAddr,
    service: Arc<ConnectionContext>,
    admitted: Admitted,
    stop: CancellationToken,
) {
    match service.tls.clone() {
        None => plain(socket, address, service, admitted, stop).await,
        Some(tls) => secured(tls, socket, address, service, admitted, stop).await,
    }
}

async fn plain(
    socket: TcpStream,
    address: SocketAddr,
    service: Arc<ConnectionContext>,
    admitted: Admitted,
    stop: CancellationToken,
) {
    let protocol = tokio::select! {
        spoken = timeout(service.settings.handshake_timeout, protocol::of_socket(&socket)) => spoken,
        () = stop.cancelled() => return,
    };
    match protocol {
        Ok(protocol) => serve_by(protocol, socket, address, None, service, stop).await,
        Err(_) => service.ended(Err(connection::Failed::NotBegun), address),
    }
    drop(admitted);
}

async fn secured(
    tls: Arc<Tls>,
    socket: TcpStream,
    address: SocketAddr,
    service: Arc<ConnectionContext>,
    admitted: Admitted,
    stop: CancellationToken,
) {
    let counts = &service.connections.counts;
    // In a box, so that its memory is not kept for as long as the connection.
    let accepted = tokio::select! {
        accepted = Box::pin(tls.accept(socket, service.settings.handshake_timeout)) => accepted,
        () = stop.cancelled() => return,
    };
    drop(tls);
    match accepted {
        Ok(Secured { stream, protocol: Some(protocol), certificate }) => {
            serve_by(protocol, stream, address, certificate, service, stop).await;
        }
        // Most are old clients of HTTP/1.1.
        Ok(Secured { stream, protocol: None, certificate }) => {
            let mut stream = BufReader::with_capacity(FIRST_BYTES_MAX, stream);
            let protocol = tokio::select! {
                spoken = timeout(service.settings.handshake_timeout, protocol::of_reader(&mut stream)) => spoken,
                () = stop.cancelled() => return,
            };
            match protocol {
                Ok(protocol) => serve_by(protocol, stream, address, certificate, service, stop).await,
                Err(_) => service.ended(Err(connection::Failed::NotBegun), address),
            }
        }
        Err(error) => {
            match error {
                tls::Failed::TimedOut => counts.handshakes_timed_out.fetch_add(1, Relaxed),
                tls::Failed::Refused(_) | tls::Failed::Certificate(_) => {
                    counts.handshakes_failed.fetch_add(1, Relaxed)
                }
            };
            tracing::debug!(%error, %address, "a connection has not come about");
        }
    }
    drop(admitted);
}

/// Serves a connection whose protocol is known.
async fn serve_by(
    protocol: Protocol,
    socket: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    certificate: Option<PeerCertificate>,
    service: Arc<ConnectionContext>,
    stop: CancellationToken,
) {
    let age = service.age();
    let peer = service.peer(address, certificate);
    let served = match protocol {
        Protocol::Http2 => connection::serve(socket, peer, service.clone(), age, stop).await,
        // In a box, so that the tasks of the many connections of HTTP/2 have no room for it.
        Protocol::Http1 => Box::pin(http1::serve(socket, peer, service.clone(), age, stop)).await,
    };
    service.ended(served, address);
}

impl ConnectionContext {
    fn peer(&self, address: SocketAddr, certificate: Option<PeerCertificate>) -> Arc<Peer> {
        let (unread, in_progress) =
            (self.unread.connection(address.ip()), self.in_progress.connection(address.ip()));
        Arc::new(Peer::new(address, certificate, unread, in_progress))
    }

    fn age(&self) -> Option<Age> {
        let max = self.settings.connection_age_max?;
        Some(Age::new(max, self.settings.drain_timeout, fastrand::f64()))
    }

    /// A panic ends one connection, and is a bug.
    fn look_for_panic(&self, ended: Result<(), JoinError>) {
        if let Err(Ok(panic)) = ended.map_err(JoinError::try_into_panic) {
            self.supervisor.count_panic("connection", &*panic);
        }
    }

    fn ended(&self, served: Result<(), connection::Failed>, address: SocketAddr) {
        if let Err(error) = served {
            if let connection::Failed::NotBegun = error {
                self.connections.counts.prefaces_timed_out.fetch_add(1, Relaxed);
            }
            tracing::debug!(%error, %address, "a connection ended with an error");
        }
    }
}

/// What the log is told of connections that were refused.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    /// Since then.
    count: u64,
}

impl Refusals {
    fn tell(&mut self, refused: TooMany, address: SocketAddr) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= REFUSALS_TOLD) {
            tracing::warn!(reason = %refused, %address, count = self.count, "connections were refused");
            *self = Refusals { told: Some(Instant::now()), count: 0 };
        }
    }
}

#[cfg(test)]
mod tests;
