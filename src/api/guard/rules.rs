//! The current policy and tokens, as the engine has them, and the keys of an issuer. Knows when they change; never a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::peer::PeerCertificate;
use super::refused::Refused;
use super::sessions::KeptSessions;
use crate::auth::certificate::{self, Holder};
use crate::auth::jwt::Keeper;
use crate::auth::{Access, Caller, Credential, Policy, Problem, TokenSet};
use crate::engine::{Clock, Engine, State};
use crate::model::{ConfigId, Revision, SystemConfig, Timestamp, Version};

/// The interval of the check for jumps of the clock: a credential is used for no more than a second after its end.
const CLOCK_LOOKED_AT_EVERY: Duration = Duration::from_millis(400);
/// The largest inaccuracy of a timer that is no jump of the clock.
const CLOCK_JUMP: Duration = Duration::from_millis(250);
/// The most certificates that are remembered with their callers.
const HOLDERS_MAX: usize = 10_000;

/// The current policy, tokens and keys.
pub struct Rules {
    ruling: ArcSwap<Ruling>,
    /// The newest revision that was read.
    seen: AtomicU64,
    /// The number of the ruling: each replacement increments the number.
    number: AtomicU64,
    /// Locked while the revision and the ruling change.
    changing: Mutex<()>,
    /// Notifies of each change.
    changes: watch::Sender<u64>,
    holders: Cache<[u8; 32], Arc<Caller>>,
    keeper: Option<Keeper>,
    pub sessions: Arc<KeptSessions>,
    /// The clock by which credentials expire.
    clock: Clock,
}

/// A policy and the tokens of the same revision.
pub struct Ruling {
    pub policy: Policy,
    pub tokens: TokenSet,
    versions: [Version; FOLLOWED.len()],
}

/// The configs of a ruling.
const FOLLOWED: [SystemConfig; 2] = [SystemConfig::Policy, SystemConfig::Tokens];

/// A stored config that governs access cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the config {config} cannot be read, so that nobody would get in: {problem}; correct it with --auth off, on a loopback address"
)]
pub struct RulesError {
    config: &'static ConfigId,
    problem: Problem,
}

impl Rules {
    pub fn new(
        state: &State,
        keeper: Option<Keeper>,
        sessions: KeptSessions,
        clock: Clock,
    ) -> Result<Rules, RulesError> {
        let ruling = Ruling::read(state)?;
        Ok(Rules {
            ruling: ArcSwap::from_pointee(ruling),
            seen: AtomicU64::new(state.revision.0),
            number: AtomicU64::new(0),
            changing: Mutex::default(),
            changes: watch::Sender::new(0),
            holders: Cache::new(HOLDERS_MAX),
            keeper,
            sessions: Arc::new(sessions),
            clock,
        })
    }

    /// The number of the current ruling. Read the number before the ruling: a change between the two then counts as a change.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    pub fn ruling(&self) -> Arc<Ruling> {
        self.ruling.load_full()
    }

    /// The time by which credentials expire.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Notifies open streams of each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows a state of the engine, unless a newer one was followed before. Most calls find no change, which costs a comparison.
    pub fn look(&self, state: &State) {
        if self.seen.load(Ordering::Acquire) >= state.revision.0 {
            return;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.seen.load(Ordering::Acquire) >= state.revision.0 {
            return;
        }
        let before = self.ruling.load();
        if before.versions != state.versions(FOLLOWED) {
            match Ruling::read(state) {
                Ok(mut ruling) => {
                    ruling.tokens = std::mem::take(&mut ruling.tokens).succeeding(&before.tokens);
                    self.ruling.store(Arc::new(ruling));
                    self.number.fetch_add(1, Ordering::Release);
                    self.changes.send_modify(|count| *count += 1);
                }
                // The engine commits no policy and no tokens that cannot be read.
                Err(error) => tracing::error!(%error, "what governed access before holds on"),
            }
        }
        self.seen.store(state.revision.0, Ordering::Release);
    }

    /// The permissions of a caller.
    pub fn access(&self, caller: Arc<Caller>) -> Access {
        Access::new(caller, &self.ruling.load().policy)
    }

    pub fn token(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        Ok(self.ruling.load().tokens.authenticate(text, now)?)
    }

    pub fn jwt(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verifier().verify(text, now)?)
    }

    /// The caller of a JSON web token that was verified before.
    pub fn jwt_seen(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verifier().verified(text, now).ok_or(Refused::NotLookedAt)??)
    }

    /// The same as `jwt`, after the keys of the issuer were read again.
    pub async fn jwt_after_look(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verify(text, now).await?)
    }

    /// The person of an ID token that answers a login. Unlike for other calls, the keys of the issuer are read again if that is needed.
    pub async fn id_token(&self, text: &str, client_id: &str, nonce: &str) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verify_id_token(text, client_id, nonce, self.now()).await?)
    }

    pub fn certificate(&self, shown: &PeerCertificate, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let holder = || Holder {
            subject: shown.common_name.as_deref().unwrap_or(&shown.subject),
            names: &shown.names,
            uris: &shown.uris,
            fingerprint: &shown.fingerprint,
            not_after: shown.not_after,
        };
        let caller = match self.holders.get(&shown.fingerprint) {
            Some(caller) => caller,
            None => {
                let caller = certificate::caller(&holder()).map_err(Refused::Certificate)?;
                self.holders.insert(shown.fingerprint, caller.clone());
                caller
            }
        };
        if caller.is_expired(now) { Err(Refused::CertificateExpired) } else { Ok(caller) }
    }

    /// The caller of a session. The session is used by that.
    pub fn session(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let ruling = self.ruling.load();
        Ok(self.sessions.sessions().authenticate(text, &ruling.tokens, self.issuer(), now)?)
    }

    /// The issuer whose logins are accepted.
    fn issuer(&self) -> Option<&str> {
        self.keeper.as_ref().map(|keeper| keeper.verifier().issuer())
    }

    /// Checks a credential again, and gives the current permissions of its caller.
    pub fn again(&self, caller: &Arc<Caller>) -> Result<Access, Refused> {
        let now = self.now();
        let ruling = self.ruling.load();
        let caller = match caller.credential() {
            Credential::Token { .. } => ruling.tokens.recheck(caller, now)?,
            Credential::Session { .. } => {
                self.sessions.sessions().recheck(caller, &ruling.tokens, self.issuer(), now)?
            }
            Credential::Jwt { .. } => {
                let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
                keeper.verifier().recheck(caller, now)?;
                caller.clone()
            }
            Credential::Certificate { .. } if caller.is_expired(now) => {
                return Err(Refused::CertificateExpired);
            }
            Credential::Certificate { .. } | Credential::Unverified => caller.clone(),
        };
        Ok(Access::new(caller, &ruling.policy))
    }
}

impl Ruling {
    /// The ruling with this policy, whatever policy is stored, and the stored tokens.
    pub fn believing(policy: Policy, state: &State) -> Ruling {
        let tokens = Ruling::read(state).map(|stored| stored.tokens).unwrap_or_default();
        Ruling { policy, tokens, versions: state.versions(FOLLOWED) }
    }

    fn read(state: &State) -> Result<Ruling, RulesError> {
        let policy = read(state, SystemConfig::Policy, Policy::parse)?;
        let tokens = read(state, SystemConfig::Tokens, TokenSet::parse)?;
        Ok(Ruling {
            policy: policy.unwrap_or_else(Policy::nothing),
            tokens: tokens.unwrap_or_default(),
            versions: state.versions(FOLLOWED),
        })
    }
}

/// Reads a config of the server. `None`: there is none.
fn read<T>(
    state: &State,
    config: SystemConfig,
    parse: fn(&Value) -> Result<T, Vec<Problem>>,
) -> Result<Option<T>, RulesError> {
    let parsed = state.system_document(config).map(|document| parse(&document)).transpose();
    parsed.map_err(|problems| RulesError {
        config: config.id(),
        problem: problems.into_iter().next().expect("a document that cannot be read has a problem"),
    })
}

/// Follows the policy and the tokens as they change, so that streams are notified of changed permissions. Ends with the engine.
pub async fn follow(engine: Weak<Engine>, rules: Arc<Rules>) {
    let Some(mut revisions) = engine.upgrade().map(|engine| engine.system_revisions()) else { return };
    let mut keys = rules.keeper.as_ref().map(|keeper| keeper.verifier().changes());
    let mut ticks = interval(CLOCK_LOOKED_AT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::new(&rules);
    loop {
        tokio::select! {
            // Timers of streams do not notice a clock that was set, nor a machine that slept.
            _ = ticks.tick() => {
                if pace.has_jumped(&rules) {
                    rules.changes.send_modify(|count| *count += 1);
                }
                continue;
            }
            changed = revisions.changed() => if changed.is_err() { return },
            () = of_keys(&mut keys) => rules.changes.send_modify(|count| *count += 1),
        }
        let _: Revision = *revisions.borrow_and_update();
        let Some(engine) = engine.upgrade() else { return };
        rules.look(&engine.state());
    }
}

/// Compares the clock with timers.
struct Pace {
    begun: Instant,
    time: Timestamp,
}

impl Pace {
    fn new(rules: &Rules) -> Pace {
        Pace { begun: Instant::now(), time: rules.now() }
    }

    /// Whether the clock has jumped since the last check.
    fn has_jumped(&mut self, rules: &Rules) -> bool {
        let expected = self.time.plus(self.begun.elapsed());
        let now = rules.now();
        let has_jumped = expected.until(now).max(now.until(expected)) > CLOCK_JUMP;
        if has_jumped {
            *self = Pace::new(rules);
        }
        has_jumped
    }
}

/// The next change of the keys. Without an issuer there is none.
async fn of_keys(keys: &mut Option<watch::Receiver<u64>>) {
    let changed = match keys {
        Some(keys) => keys.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}
