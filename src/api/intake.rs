//! The way in for calls of every transport: past the guard, with room for their messages, to the table of services. Knows headers; no body, no
//! form of a response, and no connection.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue};

use super::answer::EPOCH;
use super::call_errors::Unreadable;
use super::convert::request::invalid;
use super::denials;
use super::error::ApiError;
use super::guard::issuer_login::{IssuerLogins, Returned};
use super::guard::peer::Peer;
use super::guard::sessions::{LoggedIn, LoginClient};
use super::guard::{Admission, asks_for_masks, shown, shown_token};
use super::in_progress::InProgress;
use super::operations::Operations;
use super::rpc::Rpc;
use super::services::{Call, Work};
use crate::audit::Recorder;
use crate::auth::Access;
use crate::auth::session::Listed;
use crate::engine::{self, Cancelled, Error};
use crate::model::Epoch;

/// Lets calls in and runs them. Clones share the engine.
#[derive(Clone)]
pub struct Intake {
    operations: Operations,
    request_bytes_max: usize,
    too_large: Arc<AtomicU64>,
    epoch: HeaderValue,
}

/// A call that was let in.
pub struct Entered {
    pub rpc: Rpc,
    pub head: Parts,
    access: Access,
    deadline: Option<Duration>,
}

impl Intake {
    pub fn new(operations: Operations) -> Intake {
        let request_bytes_max = operations.engine.limits().request_bytes_max;
        let epoch = operations.engine.epoch().to_string().try_into().expect("hex digits are a header value");
        Intake { operations, request_bytes_max, too_large: Arc::default(), epoch }
    }

    /// The largest message of a request, in bytes.
    pub fn request_bytes_max(&self) -> usize {
        self.request_bytes_max
    }

    /// How many messages were larger than they may be.
    pub fn too_large(&self) -> &Arc<AtomicU64> {
        &self.too_large
    }

    /// The error for a message that is larger than it may be, which is counted.
    pub fn message_too_large(&self) -> ApiError {
        self.too_large.fetch_add(1, Relaxed);
        Unreadable::TooLarge { limit: self.request_bytes_max }.into()
    }

    /// The epoch of the store, for the metadata of responses.
    pub fn epoch(&self) -> &HeaderValue {
        &self.epoch
    }

    /// Whether callers are authenticated.
    pub fn authenticates(&self) -> bool {
        self.operations.guard.is_on()
    }

    /// Authenticates the caller of a request.
    /// `session`: the secret of a session, where the transport has one.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        session: Option<&str>,
    ) -> Admission {
        self.operations.guard.admit(headers, extensions, session)
    }

    /// Counts a request that needs no credential.
    pub(super) fn count(&self, extensions: &Extensions) -> Result<(), ApiError> {
        self.operations.guard.count(extensions.get())
    }

    /// Opens a session for the bearer of an API token.
    pub(super) async fn log_in_by_token(
        &self,
        text: &str,
        client: &LoginClient<'_>,
    ) -> Result<LoggedIn, ApiError> {
        self.operations.guard.log_in_by_token(text, client).await
    }

    /// Begins a login by the issuer: its URL, and what the browser keeps until it returns.
    pub(super) async fn begin_issuer_login(
        &self,
        redirect_uri: &str,
        return_to: String,
        extensions: &Extensions,
    ) -> Result<(String, String), ApiError> {
        self.operations.guard.begin_issuer_login(redirect_uri, return_to, extensions.get()).await
    }

    /// Opens a session for a person who returns from the issuer. Gives the path of this server to which the person returns, too.
    pub(super) async fn log_in_by_issuer(
        &self,
        returned: &Returned<'_>,
        client: &LoginClient<'_>,
    ) -> Result<(LoggedIn, String), ApiError> {
        self.operations.guard.log_in_by_issuer(returned, client).await
    }

    /// The logins by an issuer. `None`: there is no issuer for logins.
    pub(super) fn issuer_logins(&self) -> Option<&IssuerLogins> {
        self.operations.guard.issuer_logins()
    }

    /// The refusal of a login. It counts against the address of the client.
    pub(super) fn refuse_login(&self, why: &str, client: &LoginClient<'_>) -> ApiError {
        self.operations.guard.refuse_login(why, client)
    }

    /// Ends the session with this secret. `None`: there is none.
    pub(super) async fn log_out(&self, text: &str) -> Result<Option<Listed>, ApiError> {
        self.operations.guard.log_out(text).await
    }

    /// Records a login with an API token that was refused in the audit log.
    pub(super) fn note_failed_login(&self, head: &Parts, token: &str, error: &ApiError) {
        let (headers, extensions) = (&head.headers, &head.extensions);
        let shown = || shown_token(token);
        denials::refused(&self.operations.recorder, head.uri.path(), headers, extensions, shown, error);
    }

    /// Takes what the audit log is to have.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.operations.recorder
    }

    /// Records a refused request in the audit log. `method`: the path of the RPC, or of the request.
    pub(super) fn note_refused(
        &self,
        method: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
        session: Option<&str>,
        error: &ApiError,
    ) {
        let shown = || shown(headers, extensions, session);
        denials::refused(&self.operations.recorder, method, headers, extensions, shown, error);
    }

    /// What a caller is allowed who was let in: all secrets are masked if the request wants it. Refuses requests of another epoch of the store.
    pub fn access(&self, headers: &HeaderMap, access: Access) -> Result<Access, ApiError> {
        let access = match asks_for_masks(headers) {
            true => access.masking_secrets(),
            false => access,
        };
        match headers.get(&EPOCH).filter(|of| **of != self.epoch) {
            Some(of) => Err(other_epoch(of, self.operations.engine.epoch())),
            None => Ok(access),
        }
    }

    /// Runs a call, for whose message there is room.
    pub fn run(&self, entered: &Entered, message: Bytes) -> Work {
        let Entered { rpc, head, access, deadline } = entered;
        self.operations.run(Call { rpc: *rpc, head, access, deadline: *deadline, message })
    }

    /// Does long work for the caller of a call, on the threads for it, of which each caller has a share.
    pub async fn work<T: Send + 'static>(
        &self,
        entered: &Entered,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let actor = entered.access.caller().actor();
        let work = move |_: &Cancelled| Ok::<_, engine::Error>(work());
        Ok(self.operations.engine.work(actor, work).await?)
    }
}

impl Entered {
    pub fn new(rpc: Rpc, head: Parts, access: Access, deadline: Option<Duration>) -> Entered {
        Entered { rpc, head, access, deadline }
    }

    /// Whether the connection of the call takes calls. It took this one when the head came; responses to others may have come in between.
    pub fn has_room(&self) -> bool {
        self.peer().is_none_or(|peer| peer.unread.takes_calls())
    }

    pub async fn wait_for_room(&self) {
        if let Some(peer) = self.peer() {
            peer.unread.room_for_call().await;
        }
    }

    /// Counts a message of this size as in progress. `None`: there is no room beside other messages.
    pub fn try_begin(&self, bytes: usize) -> Option<Option<InProgress>> {
        match self.peer() {
            Some(peer) => peer.in_progress.try_begin(bytes).map(Some),
            None => Some(None),
        }
    }

    /// The same, as soon as there is room. Refused if too many wait.
    pub async fn begin(&self, bytes: usize) -> Result<Option<InProgress>, ApiError> {
        match self.peer() {
            Some(peer) => Ok(Some(peer.in_progress.begin(bytes).await?)),
            None => Ok(None),
        }
    }

    /// The client of the connection. `None`: the call came by no connection.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        self.head.extensions.get()
    }
}

/// The refusal of a request whose revisions and versions are of another epoch of the store.
fn other_epoch(asked: &HeaderValue, store: Epoch) -> ApiError {
    match asked.to_str().ok().and_then(Epoch::parse) {
        Some(asked) => Error::OtherEpoch { asked, store }.into(),
        None => invalid(EPOCH.as_str(), "must be the 16 hex digits that a response had").into(),
    }
}
