//! Who comes in: turns the credential of a call into what its caller may do, and says so to every service. Knows headers and the peer of
//! a connection; never a message.
//!
//! `rules` are the policy and the tokens that hold now, `allowed` the proof that a handler takes, `standing` what keeps an open stream
//! to what holds by now.

mod allowed;
mod credential;
mod refused;
mod rules;
mod standing;

use std::pin::Pin;
use std::sync::Arc;

use http::{Extensions, HeaderMap};
use quick_cache::sync::Cache;
use tokio::task::JoinHandle;
use tonic::{Request, Status};

use super::context::CallContext;
use super::peer::Peer;
use crate::auth::jwt::{JwtError, Keeper};
use crate::auth::{Access, Caller, Policy};
use crate::engine::{Engine, State};
use credential::{Presented, claimed_actor};
use rules::Rules;

pub use rules::RulesError;
pub(super) use rules::{Ruling, reserved};

pub(super) use credential::shown;

pub(super) use allowed::{Allowed, AllowedWrite, allow_read, allow_validate, allow_write};
pub(super) use refused::Refused;
pub(super) use standing::Standing;

/// As many names that callers claim are remembered: most are those of services, which call again.
const CLAIMED_MAX: usize = 1000;

/// Lets calls in. Clones share all of it.
#[derive(Clone)]
pub struct Guard {
    mode: Mode,
}

#[derive(Clone)]
enum Mode {
    /// Everybody is believed, and may do everything.
    Off(Arc<Believing>),
    On(Arc<Checking>),
}

struct Believing {
    policy: Policy,
    anonymous: Access,
    claimed: Cache<Box<[u8]>, Access>,
}

struct Checking {
    engine: Arc<Engine>,
    rules: Arc<Rules>,
    follower: JoinHandle<()>,
}

/// Whether a call comes in.
pub(super) enum Admission {
    Now(Result<Access, Status>),
    /// The keys of an issuer must be asked for.
    Later(Pin<Box<dyn Future<Output = Result<Access, Status>> + Send>>),
}

impl Guard {
    /// Believes everybody (`--auth off`).
    pub fn off() -> Guard {
        let policy = Policy::unrestricted();
        let anonymous = Caller::unverified("anonymous").expect("a name");
        let anonymous = Access::new(anonymous, &policy);
        Guard { mode: Mode::Off(Arc::new(Believing { policy, anonymous, claimed: Cache::new(CLAIMED_MAX) })) }
    }

    /// Checks every call by the policy and the tokens that the engine has, and JSON web tokens by the keys of their issuer. Fails if what
    /// is stored cannot be read. Must be called within a tokio runtime.
    pub fn on(engine: Arc<Engine>, keeper: Option<Keeper>) -> Result<Guard, RulesError> {
        let rules = Arc::new(Rules::new(&engine.state(), keeper)?);
        let follower = tokio::spawn(rules::follow(Arc::downgrade(&engine), rules.clone()));
        Ok(Guard { mode: Mode::On(Arc::new(Checking { engine, rules, follower })) })
    }

    /// Who calls, and what they may.
    pub(super) fn admit(&self, headers: &HeaderMap, extensions: &Extensions) -> Admission {
        let checking = match &self.mode {
            Mode::Off(believing) => return Admission::Now(Ok(believing.access(headers))),
            Mode::On(checking) => checking,
        };
        let now = checking.engine.now();
        checking.rules.look(&checking.engine.state());
        let rules = &checking.rules;
        let presented = match Presented::of(headers, extensions.get::<Arc<Peer>>().map(Arc::as_ref)) {
            Ok(presented) => presented,
            Err(refused) => return Admission::Now(Err(refused.into())),
        };
        let caller = match presented {
            Presented::Token(text) => rules.token(text, now),
            Presented::Certificate(certificate) => rules.certificate(certificate, now),
            Presented::Jwt(text) => match rules.jwt(text, now) {
                Err(Refused::Jwt(JwtError::UnknownKey(_) | JwtError::NoKeys)) => {
                    let (checking, text) = (checking.clone(), text.to_owned());
                    let ask = async move {
                        let caller = checking.rules.jwt_after_look(&text, now).await?;
                        Ok::<_, Status>(checking.rules.access(caller))
                    };
                    return Admission::Later(Box::pin(ask));
                }
                caller => caller,
            },
        };
        Admission::Now(caller.map(|caller| rules.access(caller)).map_err(Status::from))
    }

    /// Whether callers are checked. If not, nobody is shut out.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.mode, Mode::On(_))
    }

    /// What keeps a stream that is opened now to what holds later.
    pub(super) fn standing(&self, access: &Access) -> Standing {
        match &self.mode {
            Mode::Off(_) => Standing::unchecked(),
            Mode::On(checking) => Standing::new(checking.rules.clone(), access.clone()),
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

impl Drop for Checking {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// A call, and who makes it: it came in by `Calls`, which puts that there.
pub(super) fn entered<T>(request: Request<T>) -> (CallContext, T) {
    let (_, mut extensions, message) = request.into_parts();
    (extensions.remove::<CallContext>().expect("no call comes in but by the guard"), message)
}
