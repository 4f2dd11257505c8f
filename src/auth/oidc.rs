//! Logins by OpenID Connect: the authorization code flow with PKCE (RFC 7636), state and nonce. Knows the metadata and the endpoints of an issuer;
//! no request of a browser, and no session. The ID token that a login ends with is verified by `jwt`.

mod attempt;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::fetch::{FetchError, IssuerUrl, NoUrl};

pub use attempt::{ATTEMPT_LIFETIME, Attempt, AttemptKey};

/// Where the metadata of an issuer are, after the URL of the issuer.
pub const METADATA_PATH: &str = "/.well-known/openid-configuration";
/// The largest metadata, and the largest answer of the token endpoint.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Metadata are fetched again after this time.
const METADATA_FRESH: Duration = Duration::from_secs(600);
/// An issuer whose metadata could not be fetched is not asked again before this time.
const FAILURE_FRESH: Duration = Duration::from_secs(2);

/// What the metadata of an issuer say, as far as logins need it.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// The client that the issuer knows this server by.
#[derive(Clone)]
pub struct ClientSettings {
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<Zeroizing<String>>,
    /// Separated by spaces, `openid` among them.
    pub scopes: String,
    /// The client of the command line, which has no secret. `None`: the command line cannot log in by the issuer.
    pub cli_client_id: Option<String>,
    /// The URL of this server for browsers. `None`: the host of each request.
    pub public_url: Option<String>,
}

/// An issuer, for logins.
pub struct Provider {
    settings: ClientSettings,
    metadata_url: IssuerUrl,
    /// The last look at the metadata. Guards nothing but the value.
    metadata: Mutex<Option<Look>>,
}

struct Look {
    at: Instant,
    found: Result<Arc<Metadata>, String>,
}

/// Why a login by the issuer does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// Try again later. The text is for the operator.
    #[error("the issuer cannot be reached now")]
    Unavailable(String),
    /// The issuer does not accept the code: it is another one, was used before, or is not for this attempt.
    #[error("the issuer does not accept the code of the login: {0}")]
    Refused(String),
}

/// What the token endpoint gives for a code.
pub struct Tokens {
    pub id_token: Zeroizing<String>,
    /// Gets the next ID token without the person. `None`: the issuer gives none.
    pub refresh_token: Option<Zeroizing<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    id_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

impl Metadata {
    pub fn parse(bytes: &[u8]) -> Result<Metadata, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("these are no metadata of an issuer: {error}"))
    }

    /// Whether the secret of a client is a field of forms, rather than in a header.
    fn takes_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    }
}

impl Provider {
    pub fn new(settings: ClientSettings, timeout: Duration) -> Result<Provider, NoUrl> {
        let metadata_url = format!("{}{METADATA_PATH}", settings.issuer.trim_end_matches('/'));
        let metadata_url = IssuerUrl::parse(&metadata_url, timeout)?;
        Ok(Provider { settings, metadata_url, metadata: Mutex::default() })
    }

    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Where the browser logs in.
    pub async fn authorization_url(
        &self,
        redirect_uri: &str,
        attempt: &Attempt,
    ) -> Result<String, OidcError> {
        let metadata = self.metadata().await?;
        let endpoint = self.endpoint(&metadata.authorization_endpoint)?;
        let challenge = attempt.challenge();
        Ok(endpoint.with_query(&[
            ("response_type", "code"),
            ("client_id", self.settings.client_id.as_str()),
            ("redirect_uri", redirect_uri),
            ("scope", self.settings.scopes.as_str()),
            ("state", attempt.state()),
            ("nonce", attempt.nonce()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ]))
    }

    /// The tokens for a code that the browser has brought.
    pub async fn redeem(
        &self,
        code: &str,
        redirect_uri: &str,
        attempt: &Attempt,
    ) -> Result<Tokens, OidcError> {
        let verifier = attempt.verifier();
        self.tokens(
            "authorization_code",
            &[("code", code), ("redirect_uri", redirect_uri), ("code_verifier", verifier)],
        )
        .await
    }

    /// The next tokens of a person who has logged in before.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, OidcError> {
        self.tokens("refresh_token", &[("refresh_token", refresh_token)]).await
    }

    async fn tokens(&self, grant: &str, more: &[(&str, &str)]) -> Result<Tokens, OidcError> {
        let metadata = self.metadata().await?;
        let endpoint = self.endpoint(&metadata.token_endpoint)?;
        let mut fields = vec![("grant_type", grant), ("client_id", &*self.settings.client_id)];
        fields.extend_from_slice(more);
        let secret = self.settings.client_secret.as_ref().map(|secret| secret.as_str());
        let in_form = metadata.takes_secret_in_form();
        if let Some(secret) = secret.filter(|_| in_form) {
            fields.push(("client_secret", secret));
        }
        // In the header, both are encoded as in a form (RFC 6749, 2.3.1).
        let id = form_encoded(&self.settings.client_id);
        let secret = secret.filter(|_| !in_form).map(form_encoded);
        let client = secret.as_ref().map(|secret| (id.as_str(), secret.as_str()));
        let answer = endpoint.post_form(&fields, client, DOCUMENT_BYTES_MAX).await.map_err(unavailable)?;
        if !answer.is_ok {
            let error = serde_json::from_slice::<ErrorAnswer>(&answer.body).map(|answer| answer.error);
            return Err(OidcError::Refused(shown(&error.unwrap_or_default())));
        }
        let tokens: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| OidcError::Unavailable("the token endpoint answers no JSON".to_owned()))?;
        let tokens = Tokens {
            id_token: Zeroizing::new(tokens.id_token),
            refresh_token: tokens.refresh_token.map(Zeroizing::new),
        };
        match tokens.id_token.is_empty() {
            false => Ok(tokens),
            true => Err(OidcError::Refused("there is no ID token in the answer".to_owned())),
        }
    }

    fn endpoint(&self, url: &str) -> Result<IssuerUrl, OidcError> {
        self.metadata_url.named(url).map_err(|error| OidcError::Unavailable(error.to_string()))
    }

    /// The metadata. They are fetched seldom, whoever asks, and those before are good while the issuer cannot be reached.
    async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let known = {
            let look = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
            look.as_ref().map(|look| (look.at.elapsed(), look.found.clone()))
        };
        let before = match known {
            Some((age, Ok(found))) if age < METADATA_FRESH => return Ok(found),
            Some((age, Err(error))) if age < FAILURE_FRESH => return Err(OidcError::Unavailable(error)),
            Some((_, Ok(found))) => Some(found),
            Some((_, Err(_))) | None => None,
        };
        let found = match (self.fetch_metadata().await, before) {
            (Ok(found), _) => Ok(Arc::new(found)),
            (Err(_), Some(before)) => Ok(before),
            (Err(error), None) => Err(error),
        };
        let look = Look { at: Instant::now(), found: found.clone() };
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
        found.map_err(OidcError::Unavailable)
    }

    async fn fetch_metadata(&self) -> Result<Metadata, String> {
        let bytes = self.metadata_url.get(DOCUMENT_BYTES_MAX).await.map_err(|error| error.to_string())?;
        let metadata = Metadata::parse(&bytes)?;
        match metadata.issuer == self.settings.issuer {
            true => Ok(metadata),
            false => Err(format!("the metadata are of another issuer: {:?}", shown(&metadata.issuer))),
        }
    }
}

fn unavailable(error: FetchError) -> OidcError {
    OidcError::Unavailable(format!("the token endpoint: {error}"))
}

fn form_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// What of a text of the issuer is shown.
fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(128).collect()
}

/// Without the secret.
impl std::fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSettings")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}
