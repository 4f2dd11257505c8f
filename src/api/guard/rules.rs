//! The policy and the tokens that hold now, as the engine has them, and the keys of an issuer. Knows when they change; never a call.

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
use crate::auth::certificate::{self, Holder};
use crate::auth::jwt::Keeper;
use crate::auth::{Access, Caller, Credential, Policy, Problem, TokenSet};
use crate::engine::{Clock, Engine, State};
use crate::model::{ConfigId, Revision, SystemConfig, Timestamp, Version};

/// How often it is looked at whether the clock has jumped: a credential is used for no more than a second after its end.
const CLOCK_LOOKED_AT_EVERY: Duration = Duration::from_millis(400);
/// What a timer is off without having been told.
const CLOCK_JUMP: Duration = Duration::from_millis(250);
/// As many certificates are remembered with who holds them.
const HOLDERS_MAX: usize = 10_000;

/// What holds now.
pub struct Rules {
    ruling: ArcSwap<Ruling>,
    /// The newest revision that was looked at.
    seen: AtomicU64,
    /// Grows once a ruling has been replaced.
    number: AtomicU64,
    /// Guards the change of the two above: one at a time.
    changing: Mutex<()>,
    /// Of each change.
    changes: watch::Sender<u64>,
    holders: Cache<[u8; 32], Arc<Caller>>,
    keeper: Option<Keeper>,
    /// By which credentials expire.
    clock: Clock,
}

/// A policy and tokens that hold together.
pub struct Ruling {
    pub policy: Policy,
    pub tokens: TokenSet,
    versions: [Version; FOLLOWED.len()],
}

/// The configs that rule together.
const FOLLOWED: [SystemConfig; 2] = [SystemConfig::Policy, SystemConfig::Tokens];

/// What is stored governs access, and cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the config {config} cannot be read, so that nobody would get in: {problem}; correct it with --auth off, on a loopback address"
)]
pub struct RulesError {
    config: &'static ConfigId,
    problem: Problem,
}

impl Rules {
    pub fn new(state: &State, keeper: Option<Keeper>, clock: Clock) -> Result<Rules, RulesError> {
        let ruling = Ruling::read(state)?;
        Ok(Rules {
            ruling: ArcSwap::from_pointee(ruling),
            seen: AtomicU64::new(state.revision.0),
            number: AtomicU64::new(0),
            changing: Mutex::default(),
            changes: watch::Sender::new(0),
            holders: Cache::new(HOLDERS_MAX),
            keeper,
            clock,
        })
    }

    /// Of what holds now: another one for each change. It is to be asked for before what it is of.
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

    /// Word of each change, for streams that are open.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Goes by this state from now on, unless it went by a newer one before. Most calls find nothing new: that costs a comparison.
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
                // The engine commits none that cannot be read.
                Err(error) => tracing::error!(%error, "what governed access before holds on"),
            }
        }
        self.seen.store(state.revision.0, Ordering::Release);
    }

    /// What a caller may do.
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

    /// The same, if it was good before.
    pub fn jwt_seen(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verifier().verified(text, now).ok_or(Refused::NotLookedAt)??)
    }

    /// The same as `jwt`, after a look for new keys.
    pub async fn jwt_after_look(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, Refused> {
        let keeper = self.keeper.as_ref().ok_or(Refused::NoIssuer)?;
        Ok(keeper.verify(text, now).await?)
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

    /// Whether a credential that was good still is, and what its bearer may do by now.
    pub fn again(&self, caller: &Arc<Caller>) -> Result<Access, Refused> {
        let now = self.now();
        let ruling = self.ruling.load();
        let caller = match caller.credential() {
            Credential::Token { .. } => ruling.tokens.recheck(caller, now)?,
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
    /// This policy, whatever is stored, and the tokens that are.
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

/// Goes by each new state, so that streams are told of what changes for them. Ends with the engine.
pub async fn follow(engine: Weak<Engine>, rules: Arc<Rules>) {
    let Some(mut revisions) = engine.upgrade().map(|engine| engine.revisions()) else { return };
    let mut keys = rules.keeper.as_ref().map(|keeper| keeper.verifier().changes());
    let mut ticks = interval(CLOCK_LOOKED_AT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::new(&rules);
    loop {
        tokio::select! {
            // Timers of streams do not hear of a clock that was set, nor of a machine that slept.
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

/// How the clock went, compared to timers.
struct Pace {
    begun: Instant,
    time: Timestamp,
}

impl Pace {
    fn new(rules: &Rules) -> Pace {
        Pace { begun: Instant::now(), time: rules.now() }
    }

    /// Whether the clock has jumped since this was last so.
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
