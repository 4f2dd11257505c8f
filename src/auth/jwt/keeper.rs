//! Keeps the keys of an issuer up to date. Knows when to read keys; `source` knows where.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{JwtError, KeySet, KeySetError, KeySource, KeysError, Verifier};
use crate::auth::Caller;
use crate::model::Timestamp;
use crate::supervise::{OnPanic, Supervisor};

/// The shortest time between two reads of the keys, however often reads are requested.
const EVERY_MIN: Duration = Duration::from_millis(50);

/// The intervals at which keys are read.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two reads.
    pub every: Duration,
    /// After a read that failed.
    pub after_failure: Duration,
    /// At least between two reads because of an unknown key: anybody can make up the name of a key.
    pub unknown_key_every: Duration,
}

/// The task that reads keys. The task ends when the keeper is dropped.
#[derive(Debug)]
pub struct Keeper {
    verifier: Arc<Verifier>,
    shared: Arc<KeeperState>,
    timing: Timing,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct KeeperState {
    /// Reads that were requested.
    asked: Mutex<Asked>,
    wake: Notify,
    /// The number of the last requested read that is done.
    done: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Asked {
    number: u64,
    at: Option<Instant>,
}

impl Timing {
    /// The intervals for such a source, unless a setting has them.
    pub fn of(source: &KeySource, every: Option<Duration>) -> Timing {
        let usual = match source {
            // A key that is taken out has an end within a second.
            KeySource::File(_) => Duration::from_millis(500),
            KeySource::Url(_) | KeySource::Metadata(_) => Duration::from_secs(300),
        };
        let every = every.unwrap_or(usual).max(EVERY_MIN);
        let (after_failure, unknown_key_every) = (Duration::from_secs(15), Duration::from_secs(10));
        Timing {
            every,
            after_failure: after_failure.min(every),
            unknown_key_every: unknown_key_every.min(every),
        }
    }
}

impl Keeper {
    /// Reads the keys once, and from then on at intervals. A file must have keys at the start; an issuer that cannot be reached may come back.
    pub async fn start(
        verifier: Arc<Verifier>,
        source: KeySource,
        timing: Timing,
        supervisor: &Supervisor,
    ) -> Result<Keeper, KeysError> {
        let first = source.load().await;
        let wait = match (&source, first) {
            (KeySource::File(_), Ok(keys)) if keys.is_empty() => {
                return Err(KeysError::Content { place: source.to_string(), error: KeySetError::Nothing });
            }
            (_, Ok(keys)) => {
                info!(
                    keys = keys.len(),
                    ignored = keys.ignored,
                    "the keys of the issuer are read from {source}"
                );
                replace(&verifier, keys, &source);
                timing.every
            }
            (KeySource::File(_), Err(error)) => return Err(error),
            (KeySource::Url(_) | KeySource::Metadata(_), Err(error)) => {
                warn!("no JSON web token is accepted yet: {error}");
                timing.after_failure
            }
        };
        let shared =
            KeeperState { asked: Mutex::default(), wake: Notify::new(), done: watch::Sender::new(0) };
        let shared = Arc::new(shared);
        let task = supervisor.task("jwt-keys", OnPanic::Restart, {
            let (verifier, shared) = (verifier.clone(), shared.clone());
            move || look(verifier.clone(), source.clone(), timing, shared.clone(), wait)
        });
        Ok(Keeper { verifier, shared, timing, task })
    }

    pub fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Checks a token as the verifier does. For an unknown key, the keys are read again first, unless they were read just before.
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, JwtError> {
        match self.verifier.verify(text, now) {
            Err(JwtError::UnknownKey(_) | JwtError::NoKeys) if self.look_now().await => {
                self.verifier.verify(text, now)
            }
            result => result,
        }
    }

    /// Checks an ID token as the verifier does. The same holds for an unknown key.
    pub async fn verify_id_token(
        &self,
        text: &str,
        client_id: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<Arc<Caller>, JwtError> {
        let verify = || self.verifier.verify_id_token(text, client_id, nonce, now);
        match verify() {
            Err(JwtError::UnknownKey(_) | JwtError::NoKeys) if self.look_now().await => verify(),
            result => result,
        }
    }

    /// Reads the keys again and waits for the outcome. Concurrent requests share one read. False: the last read was too recent.
    async fn look_now(&self) -> bool {
        let number = {
            // Guards the number and the time of what is asked for.
            let mut asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let is_under_way = asked.number > *self.shared.done.borrow();
            let is_soon = asked.at.is_some_and(|at| at.elapsed() < self.timing.unknown_key_every);
            match (is_under_way, is_soon) {
                (true, _) => {}
                (false, true) => return false,
                (false, false) => {
                    *asked = Asked { number: asked.number + 1, at: Some(Instant::now()) };
                    self.shared.wake.notify_one();
                }
            }
            asked.number
        };
        // The task lives as long as this does.
        self.shared.done.subscribe().wait_for(|done| *done >= number).await.is_ok()
    }
}

async fn look(
    verifier: Arc<Verifier>,
    source: KeySource,
    timing: Timing,
    shared: Arc<KeeperState>,
    mut wait: Duration,
) {
    let mut was_failing = !verifier.has_read_keys();
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.wake.notified() => {}
        }
        let number = shared.asked.lock().unwrap_or_else(PoisonError::into_inner).number;
        match source.load().await {
            Ok(keys) => {
                let (count, ignored) = (keys.len(), keys.ignored);
                if replace(&verifier, keys, &source) || was_failing {
                    info!(keys = count, ignored, "the keys of the issuer are read from {source}");
                }
                (wait, was_failing) = (timing.every, false);
            }
            Err(error) => {
                // One line for each failure that lasts, or the log would be full of such lines.
                if !was_failing {
                    warn!("the keys of the issuer stay as they are: {error}");
                }
                (wait, was_failing) = (timing.after_failure, true);
            }
        }
        shared.done.send_replace(number);
    }
}

/// Replaces the keys, also by none: an issuer that publishes no key has revoked all. Whether the keys differ from those before.
fn replace(verifier: &Verifier, keys: KeySet, source: &KeySource) -> bool {
    let (is_empty, ignored) = (keys.is_empty(), keys.ignored);
    let is_changed = verifier.replace_keys(keys);
    if is_changed && is_empty {
        warn!(ignored, "{source} has no usable key: every JSON web token is refused until it has one");
    }
    is_changed
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}
