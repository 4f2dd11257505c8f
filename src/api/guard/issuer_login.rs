//! Logins by an issuer (OpenID Connect): from the redirect to the issuer to the ID token. Knows attempts and the issuer; no cookie, and no session.

use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::refused::Refused;
use crate::auth::oidc::{Attempt, AttemptKey, OidcError, Provider};
use crate::model::Timestamp;

/// Codes that are redeemed at the same time: each is a request to the issuer.
const REDEEMED_AT_ONCE: usize = 32;
/// The attempts that are remembered as over, so that none is used twice. The issuer accepts a code once in any case.
const OVER_MAX: usize = 10_000;

/// The logins by one issuer.
pub struct IssuerLogins {
    provider: Provider,
    key: AttemptKey,
    over: Cache<Arc<str>, ()>,
    redeeming: Semaphore,
}

/// What a browser brings back from the issuer.
pub struct Returned<'a> {
    /// The attempt that the browser kept, sealed.
    pub attempt: &'a str,
    pub state: &'a str,
    pub code: &'a str,
    /// The issuer, if it names itself (RFC 9207).
    pub issuer: Option<&'a str>,
    pub redirect_uri: &'a str,
}

/// A login that the issuer has accepted.
pub struct Redeemed {
    /// Not verified yet.
    pub id_token: Zeroizing<String>,
    pub attempt: Attempt,
}

impl IssuerLogins {
    pub fn new(provider: Provider) -> Result<IssuerLogins, getrandom::Error> {
        let (over, redeeming) = (Cache::new(OVER_MAX), Semaphore::new(REDEEMED_AT_ONCE));
        Ok(IssuerLogins { provider, key: AttemptKey::random()?, over, redeeming })
    }

    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Begins a login: the URL of the issuer, and what the browser keeps until it returns.
    pub async fn begin(
        &self,
        redirect_uri: &str,
        return_to: String,
        now: Timestamp,
    ) -> Result<(String, String), Refused> {
        let attempt = Attempt::begin(return_to, now)
            .map_err(|error| Refused::IssuerUnavailable(format!("there is no randomness: {error}")))?;
        let url = self.provider.authorization_url(redirect_uri, &attempt).await?;
        Ok((url, self.key.seal(&attempt)))
    }

    /// Redeems the code that a browser has brought.
    pub async fn redeem(&self, returned: &Returned<'_>, now: Timestamp) -> Result<Redeemed, Refused> {
        let failed = |why: &str| Refused::Login(why.to_owned());
        let again = "it took too long, or was begun in another browser: log in again";
        let attempt = self.key.open(returned.attempt, now).ok_or_else(|| failed(again))?;
        if attempt.state() != returned.state {
            return Err(failed("the state is that of another login: log in again"));
        }
        if returned.issuer.is_some_and(|issuer| issuer != self.provider.settings().issuer) {
            return Err(failed("the answer is of another issuer"));
        }
        let state: Arc<str> = attempt.state().into();
        if self.over.get(&state).is_some() {
            return Err(failed("it was finished before: log in again"));
        }
        self.over.insert(state, ());
        let Ok(_redeeming) = self.redeeming.acquire().await else {
            return Err(Refused::IssuerUnavailable("the server stops".to_owned()));
        };
        let tokens = self.provider.redeem(returned.code, returned.redirect_uri, &attempt).await?;
        Ok(Redeemed { id_token: tokens.id_token, attempt })
    }
}

impl From<OidcError> for Refused {
    fn from(error: OidcError) -> Refused {
        match error {
            OidcError::Unavailable(cause) => Refused::IssuerUnavailable(cause),
            OidcError::Refused(_) => Refused::Login(error.to_string()),
        }
    }
}
