//! Networks of addresses: clients are counted by them. Knows no connection.

use std::net::{IpAddr, Ipv6Addr};

/// What counts as one address. Of IPv6 it is the network of 64 bits: whoever has one address there has all of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}
