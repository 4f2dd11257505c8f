//! Opens and ends sessions, and keeps them across starts. Knows sessions, the rules and how bytes are stored; no cookie, and no form of a request.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::peer::Peer;
use crate::api::error::{ApiError, no_randomness, session_not_stored, too_many_sessions};
use crate::auth::Caller;
use crate::auth::session::{Listed, LoginOrigin, NewSession, SessionTimes, Sessions};
use crate::auth::token::{self, TokenId, TokenSet};
use crate::model::{Epoch, Timestamp};
use crate::supervise::joined;

/// Stores the bytes of all sessions: they are durable on return.
pub type StoreSessions = Arc<dyn Fn(&[u8]) -> io::Result<()> + Send + Sync>;

/// The sessions of a server, and where they are stored.
pub struct KeptSessions {
    sessions: Sessions,
    epoch: Epoch,
    store: StoreSessions,
    /// Up to which of the changes of the sessions they are stored. Locked while they are written, so that older bytes never replace newer ones.
    stored: Mutex<u64>,
    /// Notifies the streams of sessions that one was ended.
    ended: watch::Sender<u64>,
}

/// The client of a login.
pub struct LoginClient<'a> {
    pub peer: Option<&'a Arc<Peer>>,
    /// The browser, as it names itself.
    pub name: &'a str,
}

/// A person who has logged in.
pub struct LoggedIn {
    pub id: TokenId,
    /// The secret of the session.
    pub text: Zeroizing<String>,
    pub actor: Arc<str>,
    pub origin: LoginOrigin,
    /// When the session ends, if nobody uses it until then.
    pub ends: Timestamp,
    /// How long the session may last, however often it is used.
    pub lifetime: Duration,
    /// Sessions of the same actor that were ended to make room.
    pub replaced: Vec<TokenId>,
}

impl KeptSessions {
    /// The sessions that were stored, as far as they are good for the store with this epoch. `None` are stored: there are none, or they cannot be read.
    pub fn new(
        stored: Option<&[u8]>,
        epoch: Epoch,
        times: SessionTimes,
        now: Timestamp,
        store: StoreSessions,
    ) -> KeptSessions {
        let sessions = stored.and_then(|bytes| {
            let read = Sessions::read(bytes, epoch, times, now);
            if read.is_none() {
                tracing::warn!("the stored sessions cannot be read: whoever was logged in must log in again");
            }
            read
        });
        let sessions = sessions.unwrap_or_else(|| Sessions::new(times));
        KeptSessions { sessions, epoch, store, stored: Mutex::new(0), ended: watch::Sender::new(0) }
    }

    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Notifies of sessions that were ended.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Stores what has changed before the call. Concurrent calls share a write. Blocks.
    fn store_now(&self) -> io::Result<()> {
        let wanted = self.sessions.changes();
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if *stored >= wanted {
            return Ok(());
        }
        let (changes, bytes) = self.sessions.to_bytes(self.epoch);
        (self.store)(&bytes)?;
        *stored = changes;
        Ok(())
    }

    /// The same. A call that is dropped meanwhile stores them all the same.
    pub async fn store(self: &Arc<KeptSessions>) -> Result<(), ApiError> {
        let kept = self.clone();
        let written = joined(spawn_blocking(move || kept.store_now()).await);
        written
            .unwrap_or_else(|| Err(io::Error::other("the server stops")))
            .map_err(|error| session_not_stored(&error))
    }

    fn notify(&self) {
        self.ended.send_modify(|count| *count += 1);
    }
}

impl KeptSessions {
    /// Opens a session for a person whose identity is proved.
    pub(super) async fn open(
        self: &Arc<KeptSessions>,
        caller: &Caller,
        origin: LoginOrigin,
        client: &LoginClient<'_>,
        tokens: &TokenSet,
        now: Timestamp,
    ) -> Result<LoggedIn, ApiError> {
        let random = token::random().map_err(|error| no_randomness(&error))?;
        let address: Option<IpAddr> = client.peer.map(|peer| peer.address.ip());
        let from = (address.map(|address| address.to_string()).unwrap_or_default(), client.name);
        let opened =
            self.sessions.open(&random, caller.principal().clone(), origin.clone(), from, tokens, now);
        let NewSession { id, text, ends, ended } = opened.map_err(|_| too_many_sessions())?;
        if let Err(error) = self.store().await {
            self.sessions.end(id);
            return Err(error);
        }
        if !ended.is_empty() {
            self.notify();
        }
        // A session outlasts the ID token that it was opened with, and no API token.
        let ends = match (&origin, caller.expires()) {
            (LoginOrigin::Token(_), Some(expires)) => ends.min(expires),
            (LoginOrigin::Token(_), None) | (LoginOrigin::Issuer { .. }, _) => ends,
        };
        let (actor, lifetime) = (caller.shared_actor().clone(), self.sessions.times().lifetime);
        Ok(LoggedIn { id, text, actor, origin, ends, lifetime, replaced: ended })
    }

    /// Ends the session with this secret: at once, also if that cannot be stored. `None`: there is none.
    pub(super) async fn end_by_secret(
        self: &Arc<KeptSessions>,
        text: &str,
    ) -> Result<Option<Listed>, ApiError> {
        self.ended_now(self.sessions.end_by_secret(text)).await
    }

    /// Ends the session with this id: at once, also if that cannot be stored. `None`: there is none.
    pub async fn end(self: &Arc<KeptSessions>, id: TokenId) -> Result<Option<Listed>, ApiError> {
        self.ended_now(self.sessions.end(id)).await
    }

    async fn ended_now(self: &Arc<KeptSessions>, ended: Option<Listed>) -> Result<Option<Listed>, ApiError> {
        if ended.is_some() {
            self.notify();
            self.store().await?;
        }
        Ok(ended)
    }
}
