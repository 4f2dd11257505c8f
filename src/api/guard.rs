//! Authenticates calls and authorizes their callers. Knows headers and the peer of a connection; never a message.
//!
//! `rates` limits the calls of addresses and actors, `rules` are the current policy and tokens, `allowed` is the proof that a handler takes, and `standing`
//! checks the permissions of open streams again.

mod allowed;
mod credential;
pub mod peer;
pub mod rates;
pub(super) mod refused;
pub(super) mod remembered;
mod rules;
mod standing;

use std::pin::Pin;
use std::sync::Arc;

use http::{Extensions, HeaderMap};
use quick_cache::sync::Cache;
use tokio::task::JoinHandle;

use super::error::ApiError;
use crate::auth::jwt::{JwtError, Keeper};
use crate::auth::token::TokenId;
use crate::auth::{Access, Caller, Policy};
use crate::engine::{Engine, State};
use crate::model::Timestamp;
use crate::supervise::OnPanic;
use credential::{Presented, claimed_actor, single};
use peer::Peer;
use rates::{RateLimits, Rates};
use rules::Rules;

pub use rules::RulesError;
pub(super) use rules::Ruling;

pub(super) use credential::{asks_for_masks, shown};

pub(super) use allowed::{
    Allowed, AllowedWrite, allow_read, allow_revert, allow_validate, allow_validate_schema, allow_write,
};
use refused::Refused;
pub(super) use standing::Standing;

/// The most claimed names that are remembered: most are names of services, which call again.
const CLAIMED_MAX: usize = 1000;

/// Authenticates calls. Clones share all state.
#[derive(Clone)]
pub struct Guard {
    mode: Mode,
    rates: Arc<Rates>,
}

#[derive(Clone)]
enum Mode {
    /// Callers are not authenticated, and have every permission.
    Off(Arc<Believing>),
    On(Arc<CallerChecks>),
}

struct Believing {
    policy: Policy,
    anonymous: Access,
    claimed: Cache<Box<[u8]>, Access>,
}

struct CallerChecks {
    engine: Arc<Engine>,
    rules: Arc<Rules>,
    follower: JoinHandle<()>,
}

/// The decision about a call.
pub(super) enum Admission {
    Now(Result<Access, ApiError>),
    /// The keys of an issuer have to be read first.
    Later(Pin<Box<dyn Future<Output = Result<Access, ApiError>> + Send>>),
}

impl Guard {
    /// Does not authenticate callers (`--auth off`).
    pub fn off() -> Guard {
        let policy = Policy::unrestricted();
        let anonymous = Caller::unverified("anonymous").expect("a name");
        let anonymous = Access::new(anonymous, &policy);
        let claimed = Cache::new(CLAIMED_MAX);
        Guard::new(Mode::Off(Arc::new(Believing { policy, anonymous, claimed })))
    }

    /// Checks every call by the policy and the tokens that the engine has, and JSON web tokens by the keys of their issuer. Fails if the stored
    /// policy or tokens cannot be read. Must be called within a tokio runtime.
    pub fn on(engine: Arc<Engine>, keeper: Option<Keeper>) -> Result<Guard, RulesError> {
        let rules = Arc::new(Rules::new(&engine.state(), keeper, engine.credential_clock())?);
        let follower = engine.supervisor().task("access", OnPanic::Restart, {
            let (engine, rules) = (Arc::downgrade(&engine), rules.clone());
            move || rules::follow(engine.clone(), rules.clone())
        });
        Ok(Guard::new(Mode::On(Arc::new(CallerChecks { engine, rules, follower }))))
    }

    fn new(mode: Mode) -> Guard {
        Guard { mode, rates: Arc::new(Rates::new(RateLimits::UNLIMITED)) }
    }

    /// The same guard with limits on the rates of calls.
    pub fn limited(self, rates: Arc<Rates>) -> Guard {
        Guard { rates, ..self }
    }

    /// Authenticates the caller of a request.
    pub(super) fn admit(&self, headers: &HeaderMap, extensions: &Extensions) -> Admission {
        let peer = extensions.get::<Arc<Peer>>();
        // Before the credential is read: a call beyond the rate costs next to nothing.
        let address =
            peer.and_then(|peer| peer.counted.get_or_init(|| self.rates.address(peer.address.ip())).as_ref());
        if let Some(Err(limited)) = address.map(|address| self.rates.call_from(address)) {
            return Admission::Now(Err(limited.into()));
        }
        let checking = match &self.mode {
            Mode::Off(believing) => return Admission::Now(Ok(believing.access(headers))),
            Mode::On(checking) => checking,
        };
        let now = checking.engine.credential_time();
        checking.rules.look(&checking.engine.state());
        let rules = &checking.rules;
        let ruling = rules.number();
        if let Some(peer) = peer
            && let Some(authorization) = single(headers)
            && let Some(caller) = peer.last_caller.caller(authorization, ruling, now)
        {
            return Admission::Now(self.known(rules, Ok(caller), Some(peer)));
        }
        let presented = match Presented::of(headers, peer.map(Arc::as_ref)) {
            Ok(presented) => presented,
            Err(refused) => return Admission::Now(Err(self.refusal(refused, peer))),
        };
        let caller = match presented {
            Presented::Token(text) => {
                let caller = rules.token(text, now);
                if let (Ok(caller), Some(peer), Some(authorization)) = (&caller, peer, single(headers)) {
                    peer.last_caller.remember(authorization, caller, ruling, now);
                }
                caller
            }
            Presented::Certificate(certificate) => rules.certificate(certificate, now),
            // Verifying a signature takes work, which is not done for an address that sends invalid ones. A token that was verified before needs none.
            Presented::Jwt(text) if address.is_some_and(|address| self.rates.is_refused(address)) => {
                rules.jwt_seen(text, now)
            }
            Presented::Jwt(text) => match rules.jwt(text, now) {
                Err(Refused::Jwt(JwtError::UnknownKey(_) | JwtError::NoKeys)) => {
                    let (guard, checking, text) = (self.clone(), checking.clone(), text.to_owned());
                    let peer = peer.cloned();
                    let ask = async move {
                        let caller = checking.rules.jwt_after_look(&text, now).await;
                        guard.known(&checking.rules, caller, peer.as_ref())
                    };
                    return Admission::Later(Box::pin(ask));
                }
                caller => caller,
            },
        };
        Admission::Now(self.known(rules, caller, peer))
    }

    /// The permissions of a caller whose credential was checked.
    fn known(
        &self,
        rules: &Rules,
        caller: Result<Arc<Caller>, Refused>,
        peer: Option<&Arc<Peer>>,
    ) -> Result<Access, ApiError> {
        let caller = caller.map_err(|refused| self.refusal(refused, peer))?;
        if let Some(peer) = peer {
            self.rates.call_of(caller.shared_actor(), &peer.last_actor)?;
        }
        Ok(rules.access(caller))
    }

    /// The error for a client whose credential was refused. Each refusal counts against the address, unless the server is at fault.
    fn refusal(&self, refused: Refused, peer: Option<&Arc<Peer>>) -> ApiError {
        match peer.and_then(|peer| peer.counted.get()?.as_ref()) {
            Some(address) if !refused.is_ours() => {
                self.rates.refusal_from(address).map_or_else(ApiError::from, |()| refused.into())
            }
            Some(_) | None => refused.into(),
        }
    }

    /// The limits on secrets that are shown.
    pub(super) fn rates(&self) -> &Arc<Rates> {
        &self.rates
    }

    /// Whether callers are authenticated. If not, no call is denied.
    pub fn is_on(&self) -> bool {
        matches!(self.mode, Mode::On(_))
    }

    /// Checks the permissions of a stream that is opened now whenever they change.
    pub(super) fn standing(&self, access: &Access) -> Standing {
        match &self.mode {
            Mode::Off(_) => Standing::unchecked(),
            Mode::On(checking) => Standing::new(checking.rules.clone(), access.clone()),
        }
    }

    /// When each API token was last used, as far as it is known.
    pub fn last_uses(&self) -> Vec<(TokenId, Timestamp)> {
        match &self.mode {
            Mode::Off(_) => vec![],
            Mode::On(checking) => checking.rules.ruling().tokens.last_uses(),
        }
    }

    /// Takes over the uses of API tokens from an earlier process.
    pub fn note_last_uses(&self, uses: &[(TokenId, Timestamp)]) {
        if let Mode::On(checking) = &self.mode {
            checking.rules.ruling().tokens.note_last_uses(uses);
        }
    }

    /// The policy that holds in this state of the engine, and the tokens that are stored.
    pub(super) fn ruling(&self, state: &State) -> Arc<Ruling> {
        match &self.mode {
            Mode::Off(believing) => Arc::new(Ruling::believing(believing.policy.clone(), state)),
            Mode::On(checking) => {
                checking.rules.look(state);
                checking.rules.ruling()
            }
        }
    }
}

impl Believing {
    fn access(&self, headers: &HeaderMap) -> Access {
        let Some(claim) = credential::claim(headers) else { return self.anonymous.clone() };
        if let Some(access) = self.claimed.get(claim.as_bytes()) {
            return access;
        }
        let access = match claimed_actor(claim) {
            Some(caller) => Access::new(caller, &self.policy),
            None => self.anonymous.clone(),
        };
        self.claimed.insert(claim.as_bytes().into(), access.clone());
        access
    }
}

impl Drop for CallerChecks {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
