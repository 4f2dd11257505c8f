//! The context of a call besides its message: caller, address and credential. Knows headers; no handler and no log.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::guard::peer::Peer;
use super::rpc::Rpc;
use super::unread::Unread;
use crate::auth::Access;
use crate::model::Author;

/// Under which a client names its call, and is told it again.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The most bytes of the name of a library that are kept.
const LIBRARY_BYTES_MAX: usize = 256;
/// What is longer is no name: it is neither logged nor said again.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The longest wait of a call, whatever its client allows.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A call of somebody who is known. Cheap to make and to copy; to a handler it is what the caller may do.
#[derive(Clone, Debug)]
pub struct CallContext {
    access: Access,
    rpc: Rpc,
    peer: Option<Arc<Peer>>,
    request_id: Option<HeaderValue>,
    /// The header in which a library names itself.
    library: Option<HeaderValue>,
    /// The response shows secrets. Clones share it.
    shows_secrets: Arc<AtomicBool>,
    /// How long the client waits for the beginning of the response.
    deadline: Option<Duration>,
}

impl CallContext {
    pub fn of(rpc: Rpc, head: &Parts, access: &Access, deadline: Option<Duration>) -> CallContext {
        CallContext {
            access: access.clone(),
            rpc,
            peer: head.extensions.get::<Arc<Peer>>().cloned(),
            request_id: request_id(&head.headers).cloned(),
            library: head.headers.get(&USER_AGENT).cloned(),
            shows_secrets: Arc::default(),
            deadline,
        }
    }

    /// Of nobody on the network: a call within this process.
    pub fn within(rpc: Rpc, access: Access) -> CallContext {
        CallContext {
            access,
            rpc,
            peer: None,
            request_id: None,
            library: None,
            shows_secrets: Arc::default(),
            deadline: None,
        }
    }

    /// Notes that the response shows secrets.
    pub fn note_secrets(&self) {
        self.shows_secrets.store(true, Ordering::Relaxed);
    }

    pub fn shows_secrets(&self) -> bool {
        self.shows_secrets.load(Ordering::Relaxed)
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn address(&self) -> Option<IpAddr> {
        self.peer.as_ref().map(|peer| peer.address.ip())
    }

    /// The unread responses of the connection of the call.
    pub fn unread(&self) -> Option<&Arc<Unread>> {
        self.peer.as_ref().map(|peer| &peer.unread)
    }

    /// The path of the call: `/confwatch.v1.ConfigService/Get`.
    pub fn method(&self) -> &'static str {
        self.rpc.path()
    }

    pub fn rpc(&self) -> Rpc {
        self.rpc
    }

    /// How long to wait for something before saying that it did not happen: the last tenth of the time that the client gives is kept for
    /// the response, which no client receives after its deadline.
    pub fn wait_max(&self) -> Duration {
        self.deadline.map_or(WAIT_MAX, |deadline| (deadline - deadline / 10).min(WAIT_MAX))
    }

    /// How long to wait for something of that length, and still tell what became of it before the client stops waiting.
    pub fn within_deadline(&self, timeout: Duration) -> Duration {
        self.deadline.map_or(timeout, |deadline| timeout.min(deadline - deadline / 10))
    }

    /// As the client named it; empty if it did not.
    pub fn request_id(&self) -> &str {
        text(self.request_id.as_ref())
    }

    /// The library that the client calls with, as it names itself. Empty if it does not, or not in ASCII.
    pub fn library(&self) -> &str {
        let name = text(self.library.as_ref());
        &name[..name.len().min(LIBRARY_BYTES_MAX)]
    }

    /// What history keeps of it.
    pub fn author(&self) -> Author {
        let caller = self.access.caller();
        Author {
            actor: caller.actor().to_owned(),
            credential: caller.credential().to_string(),
            address: self.address().map(|address| address.to_string()).unwrap_or_default(),
            call_id: self.request_id().to_owned(),
        }
    }
}

impl Deref for CallContext {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

/// The name of a call, if it has one that can be one.
pub fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(&REQUEST_ID);
    id.filter(|id| id.len() <= REQUEST_ID_BYTES_MAX && id.to_str().is_ok())
}

/// A name that was found to be one.
pub(super) fn text(id: Option<&HeaderValue>) -> &str {
    id.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_before_the_deadline() {
        let check = |deadline: Option<Duration>, expected: Duration| {
            let access = Access::unrestricted("anonymous").expect("a name");
            let context = CallContext { deadline, ..CallContext::within(Rpc::ConfigServiceGet, access) };
            assert_eq!(context.wait_max(), expected, "{deadline:?}");
        };
        check(Some(Duration::from_secs(10)), Duration::from_secs(9));
        check(Some(Duration::from_millis(500)), Duration::from_millis(450));
        check(Some(Duration::from_secs(99_999_999 * 3600)), WAIT_MAX);
        check(Some(Duration::ZERO), Duration::ZERO);
        check(None, WAIT_MAX);
    }
}
