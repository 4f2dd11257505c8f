//! JSON web tokens as text (RFC 7519, in the compact form of RFC 7515). Knows their parts; nothing of it is true before it is verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::JwtError;
use crate::model::Format;
use crate::model::text::parse_object;

/// The longest token, in bytes. Metadata of a request has hardly more.
pub const TOKEN_BYTES_MAX: usize = 12 << 10;

/// A token that is taken apart.
#[derive(Debug)]
pub(super) struct Parts<'t> {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    /// What is signed.
    pub message: &'t str,
    pub signature: &'t str,
    claims: &'t str,
}

impl<'t> Parts<'t> {
    pub fn of(text: &'t str) -> Result<Parts<'t>, JwtError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed("it is too long"));
        }
        let form = JwtError::Malformed("it has not three parts");
        let (message, signature) = text.rsplit_once('.').ok_or(form.clone())?;
        let (header, claims) = message.split_once('.').ok_or(form.clone())?;
        if claims.contains('.') {
            return Err(form);
        }
        let header = object(header).ok_or(JwtError::Malformed("its header is no object"))?;
        // These would change what is signed, or how; none of them is understood here, so the token must be refused.
        if header.get("crit").is_some() || header.get("enc").is_some() || header.get("zip").is_some() {
            return Err(JwtError::Malformed("its header asks for what is not supported"));
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(algorithm);
        let key_id = match header.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().ok_or(JwtError::Malformed("its key id is no text"))?.to_owned()),
        };
        Ok(Parts { algorithm: algorithm.ok_or(JwtError::Algorithm)?, key_id, message, signature, claims })
    }

    pub fn claims(&self) -> Result<Value, JwtError> {
        object(self.claims).ok_or(JwtError::Malformed("its claims are no object"))
    }
}

/// Those with a public key only.
fn algorithm(name: &str) -> Option<Algorithm> {
    let known = match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        _ => return None,
    };
    Some(known)
}

/// Reads a part. As a document is read: a claim that occurs twice is none.
fn object(part: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    parse_object(text, Format::Json, TOKEN_BYTES_MAX).ok()
}
