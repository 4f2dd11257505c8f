//! Reads the credential of a call from metadata or from the client certificate. Knows the form of credentials; not whether one is valid.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;

use super::peer::{Peer, PeerCertificate};
use super::refused::Refused;
use crate::auth::token::{PREFIX, TokenId};
use crate::auth::{Caller, Credential, Sessions};

/// The metadata with the claimed name of a client, for `--auth off`.
static ACTOR: HeaderName = HeaderName::from_static("confwatch-actor");
/// The metadata by which a client asks for every secret to be masked. The value does not matter.
static MASK_SECRETS: HeaderName = HeaderName::from_static("confwatch-mask-secrets");
const ACTOR_BYTES_MAX: usize = 256;
const SCHEME: &str = "Bearer";

/// A credential that is yet to be checked.
pub enum Presented<'a> {
    Token(&'a str),
    Jwt(&'a str),
    Certificate(&'a PeerCertificate),
    /// The secret of a session.
    Session(&'a str),
}

impl<'a> Presented<'a> {
    /// Metadata goes before a session, and that before the certificate.
    pub fn of(
        headers: &'a HeaderMap,
        peer: Option<&'a Peer>,
        session: Option<&'a str>,
    ) -> Result<Presented<'a>, Refused> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            if let Some(session) = session {
                return Ok(Presented::Session(session));
            }
            let certificate = peer.and_then(|peer| peer.certificate.as_ref());
            return certificate.map(Presented::Certificate).ok_or(Refused::NoCredential);
        };
        if values.next().is_some() {
            return Err(Refused::Malformed("there is more than one `authorization`"));
        }
        let expected = || Refused::Malformed("`authorization` is not `Bearer` and a token");
        let (scheme, token) =
            value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(expected)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case(SCHEME) || token.is_empty() {
            return Err(expected());
        }
        Ok(if token.starts_with(PREFIX) { Presented::Token(token) } else { Presented::Jwt(token) })
    }
}

/// The one credential in the metadata, if there is exactly one.
pub fn single(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The credential of a call, unverified: the id of a token or a session, or the fingerprint of a certificate.
pub fn shown(headers: &HeaderMap, extensions: &Extensions, session: Option<&str>) -> Option<Credential> {
    match Presented::of(headers, extensions.get::<Arc<Peer>>().map(Arc::as_ref), session).ok()? {
        Presented::Token(text) => shown_token(text),
        Presented::Certificate(certificate) => Some(Credential::of_certificate(&certificate.fingerprint)),
        Presented::Session(text) => Sessions::shown(text),
        Presented::Jwt(_) => None,
    }
}

/// An API token, unverified: its id.
pub fn shown_token(text: &str) -> Option<Credential> {
    let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
    TokenId::parse(id).map(|id| Credential::Token { id: id.to_string() })
}

/// Whether a call requests that every secret is masked, whatever the permissions of its caller.
pub fn asks_for_masks(headers: &HeaderMap) -> bool {
    headers.contains_key(&MASK_SECRETS)
}

/// The claimed name of the caller.
pub fn claim(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(&ACTOR)
}

/// The caller of this claim: percent-encoded UTF-8, without control characters. `None` if it names nobody.
pub fn claimed_actor(claim: &HeaderValue) -> Option<Arc<Caller>> {
    let claimed = percent_decode(claim.as_bytes()).decode_utf8_lossy();
    let mut actor = String::new();
    for c in claimed.trim().chars().filter(|c| !c.is_control()) {
        if actor.len() + c.len_utf8() > ACTOR_BYTES_MAX {
            break;
        }
        actor.push(c);
    }
    Caller::unverified(actor.trim()).ok()
}
