//! Authenticates calls and authorizes their callers. Knows headers and the peer of a connection; never a message.
//!
//! `rates` limits the calls of addresses and actors, `rules` are the current policy and tokens, `sessions` those of people who have logged in, `allowed` is the proof that a handler takes, and `standing`
//! checks the permissions of open streams again.

mod allowed;
mod credential;
pub mod issuer_login;
pub mod peer;
pub mod rates;
pub(super) mod refused;
pub(super) mod remembered;
mod rules;
pub mod sessions;
mod standing;

use std::pin::Pin;
use std::sync::Arc;

use http::{Extensions, HeaderMap};
use quick_cache::sync::Cache;
use tokio::task::JoinHandle;

use super::error::{ApiError, authentication_off, login_not_offered};
use crate::auth::jwt::{JwtError, Keeper};
use crate::auth::session::{Listed, LoginOrigin};
use crate::auth::token::TokenId;
use crate::auth::{Access, Caller, Credential, Policy};
use crate::engine::{Engine, State};
use crate::model::Timestamp;
use crate::supervise::OnPanic;
use credential::{Presented, claimed_actor, single};
use issuer_login::{IssuerLogins, Redeemed, Returned};
use peer::Peer;
use rates::{RateLimits, Rates};
use rules::Rules;
use sessions::{KeptSessions, LoggedIn, LoginClient};

pub use rules::RulesError;
pub(super) use rules::Ruling;

pub(super) use credential::{asks_for_masks, shown, shown_token};

pub(super) use allowed::{
    Allowed, AllowedBatchRead, AllowedWrite, allow_batch_read, allow_read, allow_revert, allow_validate,
    allow_validate_schema, allow_write,
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
    issuer_logins: Option<IssuerLogins>,
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
    pub fn on(
        engine: Arc<Engine>,
        keeper: Option<Keeper>,
        issuer_logins: Option<IssuerLogins>,
        sessions: KeptSessions,
    ) -> Result<Guard, RulesError> {
        let rules = Arc::new(Rules::new(&engine.state(), keeper, sessions, engine.credential_clock())?);
        let follower = engine.supervisor().task("access", OnPanic::Restart, {
            let (engine, rules) = (Arc::downgrade(&engine), rules.clone());
            move || rules::follow(engine.clone(), rules.clone())
        });
        Ok(Guard::new(Mode::On(Arc::new(CallerChecks { engine, rules, issuer_logins, follower }))))
    }

    fn new(mode: Mode) -> Guard {
        Guard { mode, rates: Arc::new(Rates::new(RateLimits::UNLIMITED)) }
    }

    /// The same guard with limits on the rates of calls.
    pub fn limited(self, rates: Arc<Rates>) -> Guard {
        Guard { rates, ..self }
    }

    /// Counts a request of a client, before its credential is read: a request beyond the rate costs next to nothing.
    pub(super) fn count(&self, peer: Option<&Arc<Peer>>) -> Result<(), ApiError> {
        match peer.and_then(|peer| self.address_of(peer)) {
            Some(address) => Ok(self.rates.call_from(address)?),
            None => Ok(()),
        }
    }

    /// The counts of the address of a client. `None`: they are not counted.
    fn address_of<'p>(&self, peer: &'p Peer) -> Option<&'p Arc<rates::Address>> {
        peer.counted.get_or_init(|| self.rates.address(peer.address.ip())).as_ref()
    }

    /// Authenticates the caller of a request. `session`: the secret of a session, where the transport has one.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        extensions: &Extensions,
        session: Option<&str>,
    ) -> Admission {
        let peer = extensions.get::<Arc<Peer>>();
        if let Err(limited) = self.count(peer) {
            return Admission::Now(Err(limited));
        }
        let address = peer.and_then(|peer| self.address_of(peer));
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
        let presented = match Presented::of(headers, peer.map(Arc::as_ref), session) {
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
            Presented::Session(text) => rules.session(text, now),
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

impl Guard {
    /// Opens a session for the bearer of an API token.
    pub(super) async fn log_in_by_token(
        &self,
        text: &str,
        client: &LoginClient<'_>,
    ) -> Result<LoggedIn, ApiError> {
        let rules = self.rules()?;
        let caller = rules.token(text, rules.now()).map_err(|refused| self.refusal(refused, client.peer))?;
        let Credential::Token { id } = caller.credential() else {
            unreachable!("it is the caller of a token")
        };
        let id = TokenId::parse(id).expect("the id of a token");
        self.open_session(rules, &caller, LoginOrigin::Token(id), client).await
    }

    /// Begins a login by the issuer: its URL, and what the browser keeps until it returns.
    pub(super) async fn begin_issuer_login(
        &self,
        redirect_uri: &str,
        return_to: String,
        peer: Option<&Arc<Peer>>,
    ) -> Result<(String, String), ApiError> {
        let (rules, logins) = (self.rules()?, self.issuer_logins().ok_or_else(login_not_offered)?);
        let begun = logins.begin(redirect_uri, return_to, rules.now()).await;
        begun.map_err(|refused| self.refusal(refused, peer))
    }

    /// Opens a session for a person who returns from the issuer. Gives the path of this server to which the person returns, too.
    pub(super) async fn log_in_by_issuer(
        &self,
        returned: &Returned<'_>,
        client: &LoginClient<'_>,
    ) -> Result<(LoggedIn, String), ApiError> {
        let (rules, logins) = (self.rules()?, self.issuer_logins().ok_or_else(login_not_offered)?);
        let address = client.peer.and_then(|peer| self.address_of(peer));
        let proved = async {
            // Asking the issuer is work, which is not done for an address that has sent too many invalid credentials.
            if address.is_some_and(|address| self.rates.is_refused(address)) {
                return Err(Refused::NotLookedAt);
            }
            let Redeemed { id_token, attempt } = logins.redeem(returned, rules.now()).await?;
            let client_id = &logins.provider().settings().client_id;
            Ok((rules.id_token(&id_token, client_id, attempt.nonce()).await?, attempt))
        };
        let (caller, attempt) = proved.await.map_err(|refused| self.refusal(refused, client.peer))?;
        let Credential::Jwt { issuer, subject, .. } = caller.credential() else {
            unreachable!("it is the caller of a JSON web token")
        };
        let origin = LoginOrigin::Issuer { issuer: issuer.clone(), name: subject.clone() };
        let login = self.open_session(rules, &caller, origin, client).await?;
        Ok((login, attempt.return_to().to_owned()))
    }

    /// The refusal of a login by an issuer. It counts against the address of the client.
    pub(super) fn refuse_login(&self, why: &str, client: &LoginClient<'_>) -> ApiError {
        self.refusal(Refused::Login(why.to_owned()), client.peer)
    }

    /// The logins by an issuer. `None`: there is no issuer for logins.
    pub(super) fn issuer_logins(&self) -> Option<&IssuerLogins> {
        match &self.mode {
            Mode::Off(_) => None,
            Mode::On(checking) => checking.issuer_logins.as_ref(),
        }
    }

    async fn open_session(
        &self,
        rules: &Rules,
        caller: &Caller,
        origin: LoginOrigin,
        client: &LoginClient<'_>,
    ) -> Result<LoggedIn, ApiError> {
        self.rates.log_in(caller.shared_actor())?;
        let ruling = rules.ruling();
        rules.sessions.open(caller, origin, client, &ruling.tokens, rules.now()).await
    }

    /// Ends the session with this secret: at once, also if that cannot be stored. `None`: there is none.
    pub(super) async fn log_out(&self, text: &str) -> Result<Option<Listed>, ApiError> {
        self.rules()?.sessions.end_by_secret(text).await
    }

    /// The sessions, to be listed, ended and stored. `None`: callers are not authenticated.
    pub fn sessions(&self) -> Option<&Arc<KeptSessions>> {
        match &self.mode {
            Mode::Off(_) => None,
            Mode::On(checking) => Some(&checking.rules.sessions),
        }
    }

    /// The rules that hold now.
    fn rules(&self) -> Result<&Rules, ApiError> {
        match &self.mode {
            Mode::Off(_) => Err(authentication_off()),
            Mode::On(checking) => {
                checking.rules.look(&checking.engine.state());
                Ok(&checking.rules)
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
