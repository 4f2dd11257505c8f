//! Who is at the other end of a connection, as far as the connection itself shows. Knows no transport, and no policy.
//!
//! Every request carries an `Arc<Peer>` among its extensions, put there by whoever took the connection: never by the client.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::rates::{Address, LastActor};
use super::remembered::Remembered;
use crate::api::in_progress::ConnectionProgress;
use crate::api::unread::Unread;
use crate::model::Timestamp;

/// The other end of a connection. All requests of the connection share it.
#[derive(Debug)]
pub struct Peer {
    /// Where the connection comes from. An IPv4 address is one, also where the server listens on IPv6.
    pub address: SocketAddr,
    /// What it proved to be by mutual TLS, to a CA that the server was told to trust. `None`: nothing was asked of it, or it has
    /// none.
    pub certificate: Option<PeerCertificate>,
    /// What it has not taken yet of its responses.
    pub unread: Arc<Unread>,
    /// Its requests that are being processed.
    pub in_progress: Arc<ConnectionProgress>,
    /// How often its address has called, once the guard has looked: its connections share that, and no call has to look for it.
    pub(super) counted: OnceLock<Option<Arc<Address>>>,
    /// The same of its last actor.
    pub(super) last_actor: LastActor,
    /// Who called last, so that it is found sooner who does next.
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
    /// Whom the certificate is of, as RFC 4514 writes it: `CN=deploy,OU=payments,O=Example`. Can be empty.
    pub subject: String,
    /// The last CN of the subject.
    pub common_name: Option<String>,
    /// The subject alternative names that are host names or e-mail addresses, in their order.
    pub names: Vec<String>,
    /// The subject alternative names that are URIs, such as `spiffe://...`, in their order.
    pub uris: Vec<String>,
    /// SHA-256 of the certificate in DER.
    pub fingerprint: [u8; 32],
    /// After this moment it no longer holds.
    pub not_after: Timestamp,
}
