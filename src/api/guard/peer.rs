//! The client of a connection, as far as the connection itself shows. Knows no transport, and no policy.
//!
//! Every request carries an `Arc<Peer>` among its extensions, which the listener adds, never the client.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::rates::{Address, LastActor};
use super::remembered::Remembered;
use crate::api::in_progress::ConnectionProgress;
use crate::api::unread::Unread;
use crate::model::Timestamp;

/// The client of a connection. All requests of the connection share the value.
#[derive(Debug)]
pub struct Peer {
    /// The address of the client. An IPv4 address is an IPv4 address also where the server listens on IPv6.
    pub address: SocketAddr,
    /// The client certificate of mutual TLS, which a trusted CA issued. `None`: the server requests none, or the client has
    /// none.
    pub certificate: Option<PeerCertificate>,
    /// The responses that the client has not read yet.
    pub unread: Arc<Unread>,
    /// The requests of the client that are being processed.
    pub in_progress: Arc<ConnectionProgress>,
    /// The rates of the address, once the guard has looked them up: all connections of the address share them.
    pub(super) counted: OnceLock<Option<Arc<Address>>>,
    /// The rates of the last actor of the connection.
    pub(super) last_actor: LastActor,
    /// The last caller of the connection, who is probably the next one.
    pub(super) last_caller: Remembered,
}

impl Peer {
    pub fn new(
        address: SocketAddr,
        certificate: Option<PeerCertificate>,
        unread: Arc<Unread>,
        in_progress: Arc<ConnectionProgress>,
    ) -> Peer {
        let (counted, last_actor, last_caller) =
            (OnceLock::new(), LastActor::default(), Remembered::default());
        Peer { address, certificate, unread, in_progress, counted, last_actor, last_caller }
    }
}

/// A client certificate that was verified when the connection was made. It may have expired since: see `not_after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The subject of the certificate, as RFC 4514 writes it: `CN=deploy,OU=payments,O=Example`. Can be empty.
    pub subject: String,
    /// The last CN of the subject.
    pub common_name: Option<String>,
    /// The subject alternative names that are host names or e-mail addresses, in their order.
    pub names: Vec<String>,
    /// The subject alternative names that are URIs, such as `spiffe://...`, in their order.
    pub uris: Vec<String>,
    /// SHA-256 of the certificate in DER.
    pub fingerprint: [u8; 32],
    /// The end of the validity of the certificate.
    pub not_after: Timestamp,
}
