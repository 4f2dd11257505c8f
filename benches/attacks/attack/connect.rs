//! Connections by the thousand, from as many addresses of this machine as it takes. Knows no protocol.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// From each address.
const PER_ADDRESS: usize = 4000;
const PATIENCE: Duration = Duration::from_secs(2);

/// The connection with this number.
pub async fn connect(address: SocketAddr, number: usize) -> Option<TcpStream> {
    let host = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + number / PER_ADDRESS % 250).expect("less than 251"));
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::V4(SocketAddrV4::new(host, 0))).ok()?;
    let stream = timeout(PATIENCE, socket.connect(address)).await.ok()?.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// A connection whose answers nobody looks at.
pub struct Shouting {
    write: OwnedWriteHalf,
    reader: AbortHandle,
    /// The server has said something.
    heard: Arc<Notify>,
}

impl Shouting {
    /// One that has heard what the server allows, and agrees to it.
    pub async fn settle(address: SocketAddr, number: usize, first: &[u8]) -> Option<Shouting> {
        let mut shouting = Shouting::open(address, number, first).await?;
        let _ = timeout(PATIENCE, shouting.heard.notified()).await;
        shouting.write.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.ok()?;
        Some(shouting)
    }

    pub async fn open(address: SocketAddr, number: usize, first: &[u8]) -> Option<Shouting> {
        let (mut read, mut write) = connect(address, number).await?.into_split();
        write.write_all(first).await.ok()?;
        let heard = Arc::<Notify>::default();
        let reader = tokio::spawn({
            let heard = heard.clone();
            async move {
                let mut buffer = vec![0; 16 << 10];
                while matches!(read.read(&mut buffer).await, Ok(1..)) {
                    heard.notify_one();
                }
            }
        });
        Some(Shouting { write, reader: reader.abort_handle(), heard })
    }

    /// Whether the server still takes what is said.
    pub async fn say(&mut self, bytes: &[u8], until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        !self.reader.is_finished() && matches!(timeout(left, self.write.write_all(bytes)).await, Ok(Ok(())))
    }

    pub fn is_open(&self) -> bool {
        !self.reader.is_finished()
    }
}

impl Drop for Shouting {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
