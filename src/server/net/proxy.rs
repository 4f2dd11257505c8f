//! The PROXY protocol, version 2: reads from a proxy that is trusted whose connection it passes on. Knows no connection limits and no TLS.
//!
//! Behind a balancer all clients have one address, and share its limits: one client with a bad credential would keep others out. A
//! balancer that is named by `--proxy-protocol-from` says the address of each client in a header before anything else
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, section 2.2). Nobody else is believed, and of those who are named the
//! header is required: what comes without it is closed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use ppp::v2::{Addresses, Command, Header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What every header begins with: the signature, version and command, family and protocol, and the length of what follows.
const BEGINNING_BYTES: usize = 16;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest rest of a header, in bytes: addresses, and whatever else a proxy has to say, which is not looked at.
const REST_BYTES_MAX: usize = 4096;

/// Why a connection of a proxy is closed.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Unannounced {
    #[error("the proxy did not send a header of the PROXY protocol in time")]
    TimedOut,
    #[error("the proxy did not send a header of the PROXY protocol: {0}")]
    NotRead(#[from] std::io::Error),
    #[error(
        "the proxy does not speak version 2 of the PROXY protocol, or sends a header of more than {REST_BYTES_MAX} bytes"
    )]
    NoHeader,
}

/// Whether an address is one of a proxy that is believed.
pub(in crate::server) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The address of the client whose connection a proxy passes on. A proxy that speaks for itself, as for a health check, has its own.
pub(in crate::server) async fn client_address(
    socket: &mut TcpStream,
    proxy: SocketAddr,
    patience: Duration,
) -> Result<SocketAddr, Unannounced> {
    let read = async {
        let mut header = vec![0; BEGINNING_BYTES];
        socket.read_exact(&mut header).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if !header.starts_with(SIGNATURE) || rest > REST_BYTES_MAX {
            return Err(Unannounced::NoHeader);
        }
        header.resize(BEGINNING_BYTES + rest, 0);
        socket.read_exact(&mut header[BEGINNING_BYTES..]).await?;
        Ok(header)
    };
    let header = timeout(patience, read).await.map_err(|_| Unannounced::TimedOut)??;
    let header = Header::try_from(&header[..]).map_err(|_| Unannounced::NoHeader)?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(client)) => (client.source_address, client.source_port).into(),
        (Command::Proxy, Addresses::IPv6(client)) => {
            SocketAddr::new(IpAddr::V6(client.source_address).to_canonical(), client.source_port)
        }
        // Nothing that has an address.
        (Command::Proxy, Addresses::Unspecified | Addresses::Unix(_)) | (Command::Local, _) => proxy,
    })
}
