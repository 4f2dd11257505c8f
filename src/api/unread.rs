//! Counts and limits the response bytes that clients have not read, for each connection, each address and the server. Knows no transport
//! and no call.
//!
//! HTTP/2 lets a client ask for responses and give no window to send them. Without a limit, a few bytes of requests hold gigabytes of
//! responses. What a connection holds is counted exactly at once; the totals of its address and of the server follow at the end of each
//! turn of the connection, or at once for large responses, so that small calls touch no memory that connections share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};

use super::call_errors::too_much_unread;
use super::error::ApiError;
use super::network::network;

/// One connection may hold one part in so many of the limit of the server, and one address one part in so many.
const CONNECTION_SHARE: u64 = 4;
const ADDRESS_SHARE: u64 = 2;
/// Every connection may hold so much, whatever others hold.
const CONNECTION_FLOOR_BYTES: u64 = 16 << 10;
/// A connection takes calls while so much of its limit is left, so that a small response to each of them finds room.
const CALL_ROOM_BYTES: u64 = 16 << 10;
/// A response of this size is added to the totals at once.
const LARGE_BYTES: u64 = 16 << 10;
/// A response that grows beyond this while it is made has the connection for itself until it is complete.
const GROWING_ALONE_BYTES: u64 = 256 << 10;

/// The unread responses of a server.
#[derive(Debug)]
pub struct UnreadResponses {
    bytes_max: u64,
    pub counts: UnreadCounts,
    /// Of each network that has a connection: how many connections, and the bytes that they hold.
    networks: Mutex<HashMap<IpAddr, (usize, Arc<AtomicI64>)>>,
}

/// What there is of unread responses, and what became of them.
#[derive(Debug, Default)]
pub struct UnreadCounts {
    /// Connections report differences, which can arrive in any order: for a moment the sum may be below zero.
    bytes: AtomicI64,
    /// Calls that were refused because too much is unread.
    pub refused: AtomicU64,
    /// Responses that were given up because the client took nothing of them for too long.
    pub given_up: AtomicU64,
}

/// The unread responses of one connection.
#[derive(Debug)]
pub struct Unread {
    server: Arc<UnreadResponses>,
    network: IpAddr,
    of_network: Arc<AtomicI64>,
    bytes: AtomicU64,
    /// What the totals contain of `bytes`.
    reported: AtomicU64,
    /// Told when the connection holds less than before.
    less: Notify,
    /// Wakes one call that waits for room.
    takes_call: Notify,
    /// Held by the one large response that is being made.
    growing: Arc<AsyncMutex<()>>,
}

/// Bytes that count as unread until this is dropped, which is when they are sent or given up.
#[derive(Debug)]
pub struct UnreadBytes {
    unread: Arc<Unread>,
    bytes: u64,
    growing: Option<OwnedMutexGuard<()>>,
}

impl UnreadBytes {
    /// Counts more bytes of the same response, unless there is no room for them. A response that becomes large waits for the one that the connection
    /// makes already: otherwise several that do not fit together would all be refused, each in the middle.
    pub async fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        if self.growing.is_none() && self.bytes + more as u64 > GROWING_ALONE_BYTES {
            self.growing = Some(self.unread.growing.clone().lock_owned().await);
        }
        let more = self.unread.try_hold(more)?;
        self.bytes += more.into_bytes();
        Ok(())
    }

    /// Says that the response is complete: its bytes go on to count, and the next large response can be made.
    pub fn complete(&mut self) {
        self.growing = None;
    }

    /// The bytes, which go on to count.
    fn into_bytes(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl UnreadResponses {
    pub fn new(bytes_max: u64) -> Arc<UnreadResponses> {
        Arc::new(UnreadResponses { bytes_max, counts: UnreadCounts::default(), networks: Mutex::default() })
    }

    /// Begins to count for a connection.
    pub fn connection(self: &Arc<UnreadResponses>, address: IpAddr) -> Arc<Unread> {
        let network = network(address);
        let of_network = {
            let mut networks = self.networks();
            let (connections, bytes) = networks.entry(network).or_default();
            *connections += 1;
            bytes.clone()
        };
        Arc::new(Unread {
            server: self.clone(),
            network,
            of_network,
            bytes: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            less: Notify::new(),
            takes_call: Notify::new(),
            growing: Arc::default(),
        })
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, (usize, Arc<AtomicI64>)>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnreadCounts {
    /// Unread bytes of the whole server, as of the last turn of each connection.
    pub fn bytes(&self) -> u64 {
        count(&self.bytes)
    }
}

impl Unread {
    /// Counts a response that is sent in any case.
    pub fn hold(self: &Arc<Unread>, bytes: usize) -> UnreadBytes {
        let bytes = bytes as u64;
        self.bytes.fetch_add(bytes, Relaxed);
        if bytes >= LARGE_BYTES {
            self.report();
        }
        UnreadBytes { unread: self.clone(), bytes, growing: None }
    }

    /// Counts a response, unless there is no room for it.
    pub fn try_hold(self: &Arc<Unread>, bytes: usize) -> Result<UnreadBytes, ApiError> {
        match self.fits(bytes as u64) {
            true => Ok(self.hold(bytes)),
            false => Err(self.refusal()),
        }
    }

    /// Refuses a call whose response would find no room.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.has_room() { Ok(()) } else { Err(self.refusal()) }
    }

    /// Whether something may be built for this connection.
    pub fn has_room(&self) -> bool {
        self.fits(0)
    }

    /// Whether the connection itself has room for a small response: then the connection can take calls.
    pub fn takes_calls(&self) -> bool {
        let max = self.connection_max();
        self.bytes.load(Relaxed) + CALL_ROOM_BYTES.min(max / 2) <= max
    }

    /// Waits until the connection takes calls. A call whose message comes after its head waits here, because responses to other calls can
    /// have taken the room in between.
    pub async fn room_for_call(&self) {
        if self.takes_calls() {
            return;
        }
        while !self.takes_calls() {
            self.takes_call.notified().await;
        }
        // There may be room for another call that waits.
        self.takes_call.notify_one();
    }

    /// Whether half of what there may be is held already: those who take nothing then have to go.
    pub fn is_short(&self) -> bool {
        let max = self.server.bytes_max / 2;
        self.bytes.load(Relaxed) >= self.connection_max() / 2
            || count(&self.of_network) >= max / ADDRESS_SHARE
            || self.server.counts.bytes() >= max
    }

    pub fn counts(&self) -> &UnreadCounts {
        &self.server.counts
    }

    /// Brings the totals of the address and of the server up to date.
    pub fn report(&self) {
        let bytes = self.bytes.load(Relaxed);
        if self.reported.load(Relaxed) == bytes {
            return;
        }
        let before = self.reported.swap(bytes, Relaxed);
        self.add_to_totals(bytes as i64 - before as i64);
        if bytes < before {
            self.less.notify_waiters();
        }
    }

    /// Waits until the connection holds less than now.
    pub async fn less(&self) {
        self.less.notified().await;
    }

    fn fits(&self, more: u64) -> bool {
        let here = self.bytes.load(Relaxed) + more;
        let max = self.server.bytes_max;
        here <= CONNECTION_FLOOR_BYTES
            || here <= self.connection_max()
                && count(&self.of_network) + more <= max / ADDRESS_SHARE
                && self.server.counts.bytes() + more <= max
    }

    fn connection_max(&self) -> u64 {
        (self.server.bytes_max / CONNECTION_SHARE).max(CONNECTION_FLOOR_BYTES)
    }

    fn refusal(&self) -> ApiError {
        self.server.counts.refused.fetch_add(1, Relaxed);
        too_much_unread()
    }

    fn add_to_totals(&self, difference: i64) {
        self.of_network.fetch_add(difference, Relaxed);
        self.server.counts.bytes.fetch_add(difference, Relaxed);
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let reported = self.reported.load(Relaxed);
        self.add_to_totals(-(reported as i64));
        if let Entry::Occupied(mut entry) = self.server.networks().entry(self.network) {
            entry.get_mut().0 -= 1;
            if entry.get().0 == 0 {
                entry.remove();
            }
        }
    }
}

impl Drop for UnreadBytes {
    fn drop(&mut self) {
        self.unread.bytes.fetch_sub(self.bytes, Relaxed);
        if self.unread.takes_calls() {
            self.unread.takes_call.notify_one();
        }
    }
}

fn count(bytes: &AtomicI64) -> u64 {
    u64::try_from(bytes.load(Relaxed)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_connection_an_address_and_the_server_hold_no_more_than_their_shares() {
        let server = UnreadResponses::new(1024 * KIB as u64);
        let first = server.connection(address(1));
        let held: Vec<_> = (0..4).map(|_| first.try_hold(64 * KIB).expect("a quarter")).collect();
        assert!(first.try_hold(64 * KIB).is_err() && !first.takes_calls());
        let second = server.connection(address(1));
        let more: Vec<_> = (0..4).map(|_| second.try_hold(64 * KIB).expect("half")).collect();
        let third = server.connection(address(1));
        assert!(third.try_hold(64 * KIB).is_err(), "its address holds half");
        let small = third.try_hold(16 * KIB).expect("every connection may hold that");
        assert!(third.try_hold(16 * KIB).is_err());
        let others = [2, 2, 3].map(|last| server.connection(address(last)));
        let rest: Vec<_> = others[..2]
            .iter()
            .flat_map(|other| (0..4).filter_map(|_| other.try_hold(64 * KIB).ok()).collect::<Vec<_>>())
            .collect();
        assert!(rest.len() == 7 && others[2].try_hold(64 * KIB).is_err(), "the server holds what it may");
        assert_eq!(server.counts.bytes(), (15 * 64 + 16) * KIB as u64);
        drop((held, more, small, rest));
        for connection in [&first, &second, &third, &others[0], &others[1]] {
            connection.report();
        }
        assert_eq!(server.counts.bytes(), 0);
        others[2].try_hold(256 * KIB).expect("there is room again");
        drop((first, second, third, others));
        assert!(server.networks().is_empty(), "nothing is kept of those that left");
    }

    #[tokio::test]
    async fn large_responses_of_a_connection_are_made_one_after_another() {
        let server = UnreadResponses::new(4096 * KIB as u64);
        let connection = server.connection(address(1));
        let (mut first, mut second) = (connection.hold(0), connection.hold(0));
        first.grow(512 * KIB).await.expect("there is room");
        second.grow(200 * KIB).await.expect("it is small");
        let mut growing = Box::pin(second.grow(200 * KIB));
        assert!(futures_util::poll!(&mut growing).is_pending(), "the first one is not complete");
        first.complete();
        growing.await.expect("there is room");
        assert!(second.grow(512 * KIB).await.is_err(), "both together are too large");
        drop(second);
        let mut third = connection.hold(0);
        third.grow(512 * KIB).await.expect("a refused response holds nothing");
    }

    #[test]
    fn what_is_dropped_makes_room_and_outlives_its_connection() {
        let server = UnreadResponses::new(1024 * KIB as u64);
        let connection = server.connection(address(1));
        let (first, second) = (connection.hold(50 * KIB), connection.hold(8 * KIB));
        assert_eq!(server.counts.bytes(), 50 * KIB as u64, "what is small is reported later");
        connection.report();
        assert_eq!(server.counts.bytes(), 58 * KIB as u64);
        drop(first);
        drop(connection);
        assert_eq!(server.counts.bytes(), 58 * KIB as u64, "something is held beyond the connection");
        drop(second);
        assert_eq!(server.counts.bytes(), 0);
    }

    #[test]
    fn streams_that_wait_are_woken_when_less_is_held() {
        use futures_util::FutureExt;
        let server = UnreadResponses::new(1024 * KIB as u64);
        let connection = server.connection(address(1));
        let held = connection.hold(300 * KIB);
        let mut less = Box::pin(connection.less());
        connection.report();
        assert!(less.as_mut().now_or_never().is_none());
        drop(held);
        connection.report();
        assert!(less.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_connection_that_takes_a_call_has_room_for_a_small_response() {
        for max in [1, 64 * KIB, 1024 * KIB, 128 << 20] {
            let server = UnreadResponses::new(max as u64);
            let connection = server.connection(address(1));
            let room = CALL_ROOM_BYTES.min(connection.connection_max() / 2) as usize;
            let mut held = vec![];
            while connection.takes_calls() {
                // Of any size: what is left is never less than a small response.
                held.push(connection.try_hold(room).expect("there is room"));
                held.push(connection.hold(1));
            }
            assert!(!held.is_empty(), "a connection that holds nothing takes calls");
        }
    }

    #[test]
    fn calls_that_wait_for_room_go_on_one_after_the_other() {
        use futures_util::FutureExt;
        let server = UnreadResponses::new(1024 * KIB as u64);
        let connection = server.connection(address(1));
        let held = connection.hold(256 * KIB);
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(connection.room_for_call())).collect();
        assert!(waiting.iter_mut().all(|call| call.now_or_never().is_none()));
        drop(held);
        // The first one goes on, and its response takes all room again.
        assert!(waiting.remove(0).now_or_never().is_some());
        let held = connection.hold(256 * KIB);
        assert!(waiting.iter_mut().all(|call| call.now_or_never().is_none()));
        drop(held);
        // The call that was woken is cancelled, and another one goes on.
        drop(waiting.remove(1));
        assert!(waiting.remove(0).now_or_never().is_some());
        assert!(connection.room_for_call().now_or_never().is_some());
    }
}
