//! What is known of a call besides its message: who makes it, from where, and as what. Knows headers; no handler and no log.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::peer::Peer;
use crate::auth::Access;
use crate::model::Author;

/// Under which a client names its call, and is told it again.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What is longer is no name: it is neither logged nor said again.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A call of somebody who is known. Cheap to make and to copy; to a handler it is what the caller may do.
#[derive(Clone, Debug)]
pub(super) struct CallContext {
    access: Access,
    peer: Option<Arc<Peer>>,
    path: Option<PathAndQuery>,
    request_id: Option<HeaderValue>,
    /// Its answer has secrets as they are. Clones share it.
    shows_secrets: Arc<AtomicBool>,
}

impl CallContext {
    pub fn of(head: &Parts, access: &Access) -> CallContext {
        CallContext {
            access: access.clone(),
            peer: head.extensions.get::<Arc<Peer>>().cloned(),
            path: head.uri.path_and_query().cloned(),
            request_id: request_id(&head.headers).cloned(),
            shows_secrets: Arc::default(),
        }
    }

    /// Of nobody on the network: a call within this process.
    pub fn within(access: Access) -> CallContext {
        CallContext { access, peer: None, path: None, request_id: None, shows_secrets: Arc::default() }
    }

    /// Notes that the answer has secrets as they are.
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

    /// The path of the call: `/confwatch.v1.ConfigService/Get`.
    pub fn method(&self) -> &str {
        self.path.as_ref().map_or("", |path| path.path())
    }

    /// As the client named it; empty if it did not.
    pub fn request_id(&self) -> &str {
        text(self.request_id.as_ref())
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
