//! Page tokens: where a list goes on, bound to the request that it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::engine::Error;
use crate::model::Digest;

/// Bytes of the digest of the request that a token begins with.
const BINDING_BYTES: usize = 8;

/// The token for what follows `cursor` in the list that `request` (without its token) asks for.
pub fn token(request: &[u8], cursor: &str) -> String {
    let binding = &Digest::of(request).0[..BINDING_BYTES];
    URL_SAFE_NO_PAD.encode([binding, cursor.as_bytes()].concat())
}

/// The cursor in a token. `None` for the first page; an error if the token is not one for this request.
pub fn cursor(request: &[u8], token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (binding, cursor) = bytes.split_at_checked(BINDING_BYTES)?;
        let ours = binding == &Digest::of(request).0[..BINDING_BYTES];
        ours.then(|| String::from_utf8(cursor.to_vec()).ok())?
    };
    match read() {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(Error::Invalid {
            field: "page_token".into(),
            message: "is not one that this list gave for this request".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let ours = token(b"list payments", "checkout");
        assert_eq!(cursor(b"list payments", &ours).expect("ours"), Some("checkout".into()));
        assert_eq!(cursor(b"list payments", "").expect("the first page"), None);
        for (request, token) in
            [(&b"list shipping"[..], &*ours), (b"list payments", "x"), (b"list payments", "!!")]
        {
            assert!(cursor(request, token).is_err());
        }
    }
}
