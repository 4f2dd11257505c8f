//! Answers clients that speak HTTP/1.1 on the port of gRPC with a sentence that names the protocol. Knows the first bytes of a connection;
//! no TLS, whose clients agree on a protocol by ALPN.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a request of HTTP/1.1 begins with. HTTP/2 begins with `PRI `.
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];
const METHOD_BYTES_MAX: usize = 8;
/// As much of a request is read, so that its client reads the answer: a connection that is closed before is reset.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// As long is waited for it.
const PATIENCE: Duration = Duration::from_secs(1);
const SENTENCE: &str = "This port serves gRPC, which needs HTTP/2: call it with a gRPC client, such as grpcurl or the command \
    confwatch. There is no API over HTTP/1.1.\n";

/// Whether a client begins with a request of HTTP/1.1. Waits for its first bytes, and leaves them where they are.
pub(in crate::server) async fn is_spoken_by(socket: &TcpStream) -> bool {
    let mut first = [0; METHOD_BYTES_MAX];
    let looked = socket.peek(&mut first).await;
    looked.is_ok_and(|count| METHODS.iter().any(|method| first[..count].starts_with(method)))
}

/// Says what is served here, and ends the connection.
pub(in crate::server) async fn refuse(mut socket: TcpStream) {
    let response = format!(
        "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{SENTENCE}",
        SENTENCE.len()
    );
    let answered = async {
        socket.write_all(response.as_bytes()).await?;
        socket.shutdown().await?;
        tokio::io::copy(&mut socket.take(REQUEST_BYTES_MAX), &mut sink()).await
    };
    // Who does not wait for the answer does not want it.
    let _ = timeout(PATIENCE, answered).await;
}
