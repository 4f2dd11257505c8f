//! How many connections there are, in all and from each address, and how many there may be. Knows no socket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::network::network;

/// What became of connections, counted since the start.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Those that there are now.
    pub open: AtomicU64,
    pub admitted: AtomicU64,
    /// Closed at once, since there were as many as there may be in all.
    pub refused_in_all: AtomicU64,
    /// Closed at once, since there were as many as there may be from one address.
    pub refused_of_address: AtomicU64,
    /// TLS could not agree, or the client showed no certificate that is trusted.
    pub handshakes_failed: AtomicU64,
    /// The client did not finish the handshake of TLS in time.
    pub handshakes_timed_out: AtomicU64,
    /// The client did not begin HTTP/2 in time.
    pub prefaces_timed_out: AtomicU64,
    /// Closed since a trusted proxy did not say in time whose connection it passes on.
    pub unannounced: AtomicU64,
    /// Ended since their client said too much that leads to nothing.
    pub noisy: AtomicU64,
    /// Ended since they were without a call for as long as a connection may be.
    pub idle: AtomicU64,
    /// Ended since they were as old as a connection may be.
    pub aged: AtomicU64,
    /// Calls whose metadata were more than they may be.
    pub headers_too_large: AtomicU64,
    /// Calls that nobody needs a credential for, of a connection that had too many of them.
    pub open_calls_refused: AtomicU64,
    /// The files of TLS had changed, and were taken over.
    pub certificates_reloaded: AtomicU64,
    /// They could not be read or used: counted each time that they were looked at.
    pub certificate_reloads_failed: AtomicU64,
}

/// Admits connections.
#[derive(Debug)]
pub(in crate::server) struct Connections {
    pub(in crate::server) counts: ConnectionCounts,
    max: usize,
    of_address_max: usize,
    /// How many there are from each network that has one.
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of_network: HashMap<IpAddr, usize>,
}

/// The right to be served. Ends when it is dropped.
#[derive(Debug)]
pub(in crate::server) struct Admitted {
    connections: Arc<Connections>,
    network: IpAddr,
}

/// The place of a connection of which it is not known yet whose it is.
#[derive(Debug)]
pub(in crate::server) struct Unannounced {
    connections: Arc<Connections>,
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::server) enum TooMany {
    #[error("there are as many connections as there may be, {0}")]
    InAll(usize),
    #[error("there are as many connections from its address as there may be, {0}")]
    OfAddress(usize),
}

impl Connections {
    pub(in crate::server) fn new(max: usize, of_address_max: usize) -> Connections {
        Connections { counts: ConnectionCounts::default(), max, of_address_max, open: Mutex::default() }
    }

    /// The number of connections that may be open.
    pub(in crate::server) fn max(&self) -> usize {
        self.max
    }

    /// A connection of which a trusted proxy has yet to say whose it is: one of all, and of no address.
    pub(in crate::server) fn admit_unannounced(self: &Arc<Connections>) -> Result<Unannounced, TooMany> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.max {
            self.counts.refused_in_all.fetch_add(1, Relaxed);
            return Err(TooMany::InAll(self.max));
        }
        open.all += 1;
        Ok(Unannounced { connections: Arc::clone(self) })
    }

    pub(in crate::server) fn admit(self: &Arc<Connections>, address: IpAddr) -> Result<Admitted, TooMany> {
        let network = network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.max {
            self.counts.refused_in_all.fetch_add(1, Relaxed);
            return Err(TooMany::InAll(self.max));
        }
        let of_network = open.of_network.entry(network).or_default();
        if *of_network >= self.of_address_max {
            self.counts.refused_of_address.fetch_add(1, Relaxed);
            return Err(TooMany::OfAddress(self.of_address_max));
        }
        *of_network += 1;
        open.all += 1;
        self.counts.open.fetch_add(1, Relaxed);
        self.counts.admitted.fetch_add(1, Relaxed);
        Ok(Admitted { connections: Arc::clone(self), network })
    }
}

impl Drop for Unannounced {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).all -= 1;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Entry::Occupied(mut of_network) = open.of_network.entry(self.network) {
            *of_network.get_mut() -= 1;
            if *of_network.get() == 0 {
                of_network.remove();
            }
        }
        self.connections.counts.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn no_more_than_the_limits_are_admitted_until_one_leaves() {
        let connections = Arc::new(Connections::new(3, 2));
        let (first, second) = (address("10.0.0.1"), address("10.0.0.2"));
        let mut admitted = vec![connections.admit(first).unwrap(), connections.admit(first).unwrap()];
        assert_eq!(connections.admit(first).unwrap_err(), TooMany::OfAddress(2));
        admitted.push(connections.admit(second).unwrap());
        assert_eq!(connections.admit(second).unwrap_err(), TooMany::InAll(3));
        admitted.remove(0);
        admitted.push(connections.admit(second).unwrap());
        let counts = &connections.counts;
        let counted = [&counts.open, &counts.admitted, &counts.refused_in_all, &counts.refused_of_address];
        assert_eq!(counted.map(|count| count.load(Relaxed)), [3, 4, 1, 1]);
        admitted.clear();
        let open = connections.open.lock().unwrap();
        assert!(open.all == 0 && open.of_network.is_empty(), "nothing is kept of those that left");
        assert_eq!(counts.open.load(Relaxed), 0);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_ipv4_within_ipv6_as_ipv4() {
        let check = |one: &str, other: &str, same: bool| {
            assert_eq!(network(address(one)) == network(address(other)), same, "{one} {other}");
        };
        check("2001:db8::1", "2001:db8::2:3", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("10.0.0.1", "10.0.0.2", false);
        check("::ffff:10.0.0.1", "10.0.0.1", true);
        check("::ffff:10.0.0.1", "::ffff:10.0.0.2", false);
    }
}
