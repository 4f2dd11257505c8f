//! Limits the bytes of complete requests that are being processed, for each connection, each address and the server. Knows no transport and
//! no call.
//!
//! A request in progress takes several times the memory of its message: the message, the decoded request, its documents, and the commit that
//! they become. Without a limit, many large writes at once take gigabytes. A request that finds no room waits, in the order of arrival; what
//! waits is limited by the same shares, and more is refused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::call_errors::too_many_in_progress;
use super::error::ApiError;
use super::network::network;

/// One connection may have one part in so many of the limit of the server, and one address one part in so many.
const CONNECTION_SHARE: u64 = 4;
const ADDRESS_SHARE: u64 = 2;
/// Every connection may have so much, whatever others have: small requests never wait for large ones, and touch nothing that connections
/// share.
const CONNECTION_FLOOR_BYTES: u64 = 16 << 10;

/// The requests in progress of a server.
#[derive(Debug)]
pub struct RequestsInProgress {
    bytes_max: u64,
    /// How long a request may wait for room.
    patience: Duration,
    room: BytePermits,
    /// Requests that were refused because there was no room.
    pub refused: AtomicU64,
    /// Of each network that has a connection: how many connections, and its room.
    networks: Mutex<HashMap<IpAddr, (usize, BytePermits)>>,
}

/// The requests in progress of one connection.
#[derive(Debug)]
pub struct ConnectionProgress {
    server: Arc<RequestsInProgress>,
    network: IpAddr,
    /// Of the connection, its address and the server: room is always taken in this order, so that nobody waits in a circle.
    rooms: [BytePermits; 3],
    /// What is taken of `CONNECTION_FLOOR_BYTES`.
    floor_bytes: AtomicU64,
}

/// A permit for each byte.
#[derive(Clone, Debug)]
struct BytePermits {
    in_progress: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The bytes of a request, which count until this is dropped.
#[derive(Debug)]
pub struct InProgress(Taken);

#[derive(Debug)]
enum Taken {
    Floor { connection: Arc<ConnectionProgress>, bytes: u64 },
    Shares { _permits: Vec<OwnedSemaphorePermit> },
}

impl RequestsInProgress {
    pub fn new(bytes_max: u64, patience: Duration) -> Arc<RequestsInProgress> {
        // Requests are far smaller; a permit is counted in 32 bits.
        let bytes_max = bytes_max.clamp(CONNECTION_FLOOR_BYTES, u32::MAX.into());
        Arc::new(RequestsInProgress {
            bytes_max,
            patience,
            room: BytePermits::of(bytes_max),
            refused: AtomicU64::new(0),
            networks: Mutex::default(),
        })
    }

    /// Begins to count for a connection.
    pub fn connection(self: &Arc<RequestsInProgress>, address: IpAddr) -> Arc<ConnectionProgress> {
        let network = network(address);
        let of_network = {
            let mut networks = self.networks();
            let room = || (0, BytePermits::of(self.bytes_max / ADDRESS_SHARE));
            let (connections, room) = networks.entry(network).or_insert_with(room);
            *connections += 1;
            room.clone()
        };
        let rooms = [BytePermits::of(self.connection_max()), of_network, self.room.clone()];
        Arc::new(ConnectionProgress { server: self.clone(), network, rooms, floor_bytes: AtomicU64::new(0) })
    }

    /// Bytes of requests in progress, beside the small ones that each connection always may have.
    pub fn bytes(&self) -> u64 {
        self.bytes_max - self.room.in_progress.available_permits() as u64
    }

    /// Bytes of requests that wait for room.
    pub fn waiting_bytes(&self) -> u64 {
        self.bytes_max - self.room.waiting.available_permits() as u64
    }

    fn connection_max(&self) -> u64 {
        self.bytes_max / CONNECTION_SHARE
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, (usize, BytePermits)>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BytePermits {
    fn of(bytes_max: u64) -> BytePermits {
        let permits = || Arc::new(Semaphore::new(bytes_max as usize));
        BytePermits { in_progress: permits(), waiting: permits() }
    }
}

impl ConnectionProgress {
    /// Counts a request, if there is room for it now.
    pub fn try_begin(self: &Arc<ConnectionProgress>, bytes: usize) -> Option<InProgress> {
        let bytes = bytes as u64;
        let within_floor =
            |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= CONNECTION_FLOOR_BYTES);
        if self.floor_bytes.fetch_update(Relaxed, Relaxed, within_floor).is_ok() {
            return Some(InProgress(Taken::Floor { connection: self.clone(), bytes }));
        }
        let permits = self.try_take(bytes, |room| &room.in_progress)?;
        Some(InProgress(Taken::Shares { _permits: permits }))
    }

    /// Counts a request once there is room for it. Refused if too much waits already, or if there is no room in time.
    pub async fn begin(self: &Arc<ConnectionProgress>, bytes: usize) -> Result<InProgress, ApiError> {
        let bytes = bytes as u64;
        let waiting = self.try_take(bytes, |room| &room.waiting).ok_or_else(|| self.refusal())?;
        let count = self.permits(bytes);
        let take = async {
            let mut permits = Vec::with_capacity(self.rooms.len());
            for room in &self.rooms {
                let taken = room.in_progress.clone().acquire_many_owned(count).await;
                permits.push(taken.expect("the semaphores are never closed"));
            }
            permits
        };
        let permits = timeout(self.server.patience, take).await.map_err(|_| self.refusal())?;
        drop(waiting);
        Ok(InProgress(Taken::Shares { _permits: permits }))
    }

    /// Takes room everywhere, or nowhere.
    fn try_take(
        &self,
        bytes: u64,
        kind: impl Fn(&BytePermits) -> &Arc<Semaphore>,
    ) -> Option<Vec<OwnedSemaphorePermit>> {
        let count = self.permits(bytes);
        let taken = self.rooms.iter().map(|room| kind(room).clone().try_acquire_many_owned(count).ok());
        taken.collect()
    }

    /// A request that is larger than what a connection may have takes all of that.
    fn permits(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.min(self.server.connection_max())).expect("the limit of a server fits 32 bits")
    }

    fn refusal(&self) -> ApiError {
        self.server.refused.fetch_add(1, Relaxed);
        too_many_in_progress()
    }
}

impl Drop for ConnectionProgress {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.server.networks().entry(self.network) {
            entry.get_mut().0 -= 1;
            if entry.get().0 == 0 {
                entry.remove();
            }
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        match &self.0 {
            Taken::Floor { connection, bytes } => _ = connection.floor_bytes.fetch_sub(*bytes, Relaxed),
            // The permits go by themselves.
            Taken::Shares { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const KIB: usize = 1 << 10;
    const PATIENCE: Duration = Duration::from_secs(15);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_connection_an_address_and_the_server_have_no_more_than_their_shares() {
        let server = RequestsInProgress::new(1024 * KIB as u64, PATIENCE);
        let mut connections: Vec<_> = [1, 1, 1, 2, 2, 3].map(|last| server.connection(address(last))).into();
        let mut held = vec![];
        let mut begun = vec![];
        for connection in &connections {
            let more: Vec<_> = (0..9).map_while(|_| connection.try_begin(64 * KIB)).collect();
            begun.push(more.len());
            held.extend(more);
        }
        // A quarter for a connection, a half for an address.
        assert_eq!(begun, [4, 4, 0, 4, 4, 0]);
        assert_eq!(server.bytes(), 1024 * KIB as u64);
        // Small requests begin in any case, until there are many of them.
        let small: Vec<_> = (0..99).map_while(|_| connections[2].try_begin(KIB)).collect();
        assert_eq!(small.len(), 16);
        drop((held, small));
        assert_eq!(server.bytes(), 0);
        connections[5]
            .try_begin(9999 * KIB)
            .expect("a request that is larger than its share takes all of it");
        connections.clear();
        assert!(server.networks().is_empty(), "nothing is kept of those that left");
    }

    #[tokio::test]
    async fn requests_wait_for_room_in_their_order_and_more_than_may_wait_are_refused() {
        let server = RequestsInProgress::new(1024 * KIB as u64, PATIENCE);
        let connection = server.connection(address(1));
        let first = connection.try_begin(200 * KIB).expect("there is room");
        let mut large = Box::pin(connection.begin(150 * KIB));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(connection.begin(50 * KIB));
        assert!(small.as_mut().now_or_never().is_none(), "it does not overtake the large one");
        assert_eq!(server.waiting_bytes(), 200 * KIB as u64);
        let refused = connection.begin(100 * KIB).await.expect_err("too much waits");
        assert_eq!((refused.reason, server.refused.load(Relaxed)), ("TOO_MANY_REQUESTS_IN_PROGRESS", 1));
        drop(first);
        let large = large.await.expect("there is room");
        let small = small.await.expect("there is room");
        assert_eq!((server.bytes(), server.waiting_bytes()), (200 * KIB as u64, 0));
        // Who gives up while waiting leaves nothing behind.
        let mut abandoned = Box::pin(connection.begin(100 * KIB));
        assert!(abandoned.as_mut().now_or_never().is_none());
        drop((abandoned, large, small));
        assert_eq!((server.bytes(), server.waiting_bytes()), (0, 0));
    }

    #[tokio::test]
    async fn a_request_that_finds_no_room_in_time_is_refused() {
        let server = RequestsInProgress::new(1024 * KIB as u64, Duration::from_millis(1));
        let connection = server.connection(address(1));
        let held = connection.try_begin(200 * KIB).expect("there is room");
        let refused = connection.begin(100 * KIB).await.expect_err("there is no room");
        assert_eq!(refused.reason, "TOO_MANY_REQUESTS_IN_PROGRESS");
        assert!(refused.retry.is_some());
        assert_eq!(server.waiting_bytes(), 0);
        drop(held);
        connection.begin(100 * KIB).await.expect("there is room again");
    }
}
