//! Which HTTP a client speaks on a connection, by the first bytes that it sends. Knows no request. Clients of TLS mostly agree on a protocol by
//! ALPN before.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    Http1,
    Http2,
}

/// What HTTP/2 begins with. No method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";
/// A client that has sent a part of the beginning is looked at again after this time.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The protocol of these first bytes. `None`: there are too few.
fn of(first: &[u8]) -> Option<Protocol> {
    match first.len() < PREFACE.len() && PREFACE.starts_with(first) {
        true => None,
        // What is no method, such as the beginning of TLS, is refused by HTTP/2, which says nothing in clear text.
        false if first.starts_with(PREFACE) || !first[0].is_ascii_uppercase() => Some(Protocol::Http2),
        false => Some(Protocol::Http1),
    }
}

/// Waits for the first bytes of a client, and leaves them where they are. A client that goes away has sent none, which HTTP/2 finds.
pub(in crate::server) async fn of_socket(socket: &TcpStream) -> Protocol {
    let mut first = [0; PREFACE.len()];
    loop {
        match socket.peek(&mut first).await {
            Ok(0) | Err(_) => return Protocol::Http2,
            Ok(count) => match of(&first[..count]) {
                Some(protocol) => return protocol,
                None => sleep(LOOK_INTERVAL).await,
            },
        }
    }
}

/// The same of a client whose bytes have to be read. The reader has them.
pub(in crate::server) async fn of_reader<S: AsyncRead + Unpin>(reader: &mut BufReader<S>) -> Protocol {
    match reader.fill_buf().await {
        // A part of the preface: no method of HTTP/1.1 that the server has begins alike.
        Ok(first) if !first.is_empty() => of(first).unwrap_or(Protocol::Http2),
        Ok(_) | Err(_) => Protocol::Http2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_have_the_protocol() {
        for (first, expected) in [
            ("", None),
            ("P", None),
            ("PRI", None),
            ("PRI * HTTP/2.0", Some(Protocol::Http2)),
            ("PO", Some(Protocol::Http1)),
            ("GET /", Some(Protocol::Http1)),
            ("OPTIONS * HTTP/1.1", Some(Protocol::Http1)),
            ("\u{16}\u{3}", Some(Protocol::Http2)),
            ("get /", Some(Protocol::Http2)),
        ] {
            assert_eq!(of(first.as_bytes()), expected, "{first:?}");
        }
    }
}
