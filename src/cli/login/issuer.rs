//! A login by the issuer of a server: the browser of the person logs in there, and is sent to a port of this machine with a code (RFC 8252). Knows
//! the flow of OpenID Connect; no file.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::offer::IssuerOffer;
use super::store::{IssuerLogin, Login};
use crate::auth::oidc::{Attempt, ClientSettings, OidcError, Provider, Tokens};
use crate::cli::output::exit::{Exit, Failure};
use crate::model::Timestamp;

/// How long the issuer may take to answer.
const ISSUER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the person may take to log in.
const PERSON_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a browser may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const LINE_BYTES_MAX: u64 = 16 << 10;
/// An ID token that ends so soon is replaced before it is used.
const EXPIRES_SOON: Duration = Duration::from_secs(60);
const DONE: &str =
    "<!doctype html><title>confwatch</title><p>You are logged in. This window can be closed.\n";
const FAILED: &str =
    "<!doctype html><title>confwatch</title><p>The login failed: the command line says why.\n";

/// A login that waits for the browser of the person.
pub struct Waiting {
    listener: TcpListener,
    provider: Provider,
    attempt: Attempt,
    redirect_uri: String,
    client_id: String,
    /// Where the person logs in.
    pub url: String,
}

/// Begins a login.
pub async fn begin(offer: &IssuerOffer, client_id: &str, now: Timestamp) -> Result<Waiting, Failure> {
    let provider = provider(&offer.issuer, client_id, &offer.scopes)?;
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| Failure::io("cannot listen on 127.0.0.1", &error))?;
    let address = listener.local_addr().map_err(|error| Failure::io("cannot listen on 127.0.0.1", &error))?;
    let redirect_uri = format!("http://{address}/callback");
    let attempt = Attempt::begin(String::new(), now)
        .map_err(|error| Failure::new(Exit::Unavailable, format!("there is no randomness: {error}")))?;
    let url = provider.authorization_url(&redirect_uri, &attempt).await.map_err(|error| failure(&error))?;
    Ok(Waiting { listener, provider, attempt, redirect_uri, client_id: client_id.to_owned(), url })
}

impl Waiting {
    /// Waits until the browser comes back, and redeems the code.
    pub async fn finish(self) -> Result<Login, Failure> {
        let code = timeout(PERSON_TIMEOUT, self.code()).await;
        let code =
            code.map_err(|_| Failure::new(Exit::Unavailable, "nobody has logged in within 5 minutes"))??;
        let tokens = self.provider.redeem(&code, &self.redirect_uri, &self.attempt).await;
        let tokens = tokens.map_err(|error| failure(&error))?;
        // The token came from the issuer itself, by TLS; the server verifies the signature at each call.
        let claims = claims(&tokens.id_token).ok_or_else(|| failed("its ID token cannot be read"))?;
        if claims.get("nonce").and_then(Value::as_str) != Some(self.attempt.nonce()) {
            return Err(failed("its ID token is of another login"));
        }
        login(&tokens, &self.provider.settings().issuer, &self.client_id)
    }

    /// The code that the browser brings. What else calls on the port is turned away.
    async fn code(&self) -> Result<String, Failure> {
        loop {
            let Ok((mut socket, _)) = self.listener.accept().await else { continue };
            let target = match timeout(REQUEST_TIMEOUT, target_of(&mut socket)).await {
                Ok(Some(target)) => target,
                Ok(None) | Err(_) => continue,
            };
            let Some(query) = target.strip_prefix("/callback?") else {
                answer(&mut socket, "404 Not Found", FAILED).await;
                continue;
            };
            let of = |name: &str| parameter(query, name);
            if of("state").as_deref() != Some(self.attempt.state()) {
                answer(&mut socket, "400 Bad Request", FAILED).await;
                continue;
            }
            return match (of("code"), of("error")) {
                (Some(code), None) => {
                    answer(&mut socket, "200 OK", DONE).await;
                    Ok(code)
                }
                (_, error) => {
                    answer(&mut socket, "200 OK", FAILED).await;
                    let error: String = error.unwrap_or_default();
                    let error: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
                    Err(failed(&format!("it says {error}")))
                }
            };
        }
    }
}

/// The login as it is good now: with another ID token, if the one before ends. Whether it is another one.
pub async fn refreshed(login: Login, now: Timestamp) -> Result<(Login, bool), Failure> {
    let Some(kept) = &login.issuer else { return Ok((login, false)) };
    if now.plus(EXPIRES_SOON) < Timestamp(kept.expires.saturating_mul(1_000_000)) {
        return Ok((login, false));
    }
    let again = "`confwatch login` logs in again";
    let Some(refresh_token) = &kept.refresh_token else {
        return Err(Failure::new(Exit::NotAllowed, "the login has expired").with(again));
    };
    let provider = provider(&kept.issuer, &kept.client_id, "openid")?;
    let tokens = provider.refresh(refresh_token).await.map_err(|error| failure(&error).with(again))?;
    let tokens = Tokens {
        // An issuer that gives no other keeps the one before.
        refresh_token: tokens.refresh_token.or_else(|| Some(refresh_token.clone().into())),
        ..tokens
    };
    Ok((self::login(&tokens, &kept.issuer, &kept.client_id)?, true))
}

fn provider(issuer: &str, client_id: &str, scopes: &str) -> Result<Provider, Failure> {
    let settings = ClientSettings {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        client_secret: None,
        scopes: scopes.to_owned(),
        cli_client_id: None,
        public_url: None,
    };
    Provider::new(settings, ISSUER_TIMEOUT).map_err(|error| Failure::usage(error.to_string()))
}

fn login(tokens: &Tokens, issuer: &str, client_id: &str) -> Result<Login, Failure> {
    let expires = claims(&tokens.id_token).and_then(|claims| claims.get("exp")?.as_i64());
    let expires = expires.ok_or_else(|| failed("its ID token has no time of expiry"))?;
    let issuer = IssuerLogin {
        issuer: issuer.to_owned(),
        client_id: client_id.to_owned(),
        expires,
        refresh_token: tokens.refresh_token.as_ref().map(|token| token.to_string()),
    };
    Ok(Login { token: tokens.id_token.to_string(), issuer: Some(issuer) })
}

/// The claims of a token, unverified.
fn claims(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn failure(error: &OidcError) -> Failure {
    match error {
        OidcError::Unavailable(cause) => Failure::new(Exit::Unavailable, format!("{error}: {cause}")),
        OidcError::Refused(_) => Failure::new(Exit::NotAllowed, error.to_string()),
    }
}

fn failed(why: &str) -> Failure {
    Failure::new(Exit::NotAllowed, format!("the issuer has not logged you in: {why}"))
}

/// The target of the request line.
async fn target_of(socket: &mut TcpStream) -> Option<String> {
    use tokio::io::AsyncReadExt as _;
    let mut line = String::new();
    BufReader::new(socket.take(LINE_BYTES_MAX)).read_line(&mut line).await.ok()?;
    let mut words = line.split(' ');
    (words.next() == Some("GET")).then(|| words.next().map(str::to_owned))?
}

async fn answer(socket: &mut TcpStream, status: &str, body: &str) {
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // A browser that has left needs no answer.
    let _ = socket.write_all(response.as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(of, _)| *of == name).map(|(_, value)| value.replace('+', " ")).next()?;
    percent_encoding::percent_decode_str(&value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
