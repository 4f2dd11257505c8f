//! Page tokens: the place at which a list continues, bound to the request and to the history of the store.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use crate::api::rpc::Rpc;
use crate::engine::Error;
use crate::model::{Digest, Epoch};

/// Bytes of the digest of the request that a token begins with. The epoch follows. Together they are 20 characters of a token.
const BINDING_BYTES: usize = 7;
const EPOCH_BYTES: usize = 8;

/// What the tokens of a list belong to: the RPC, and its request without a token.
pub fn binding(rpc: Rpc, request: &impl Message) -> Vec<u8> {
    let mut binding = rpc.path().as_bytes().to_vec();
    request.encode(&mut binding).expect("a vector grows");
    binding
}

/// The token for what follows `cursor` in the list of this binding.
pub fn token(request: &[u8], epoch: Epoch, cursor: &str) -> String {
    let binding = &Digest::of(request).0[..BINDING_BYTES];
    URL_SAFE_NO_PAD.encode([binding, &epoch.0.to_be_bytes(), cursor.as_bytes()].concat())
}

/// The cursor in a token. `None` for the first page; an error if the token is not one for this request, or of another history.
pub fn cursor(request: &[u8], epoch: Epoch, token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (binding, rest) = bytes.split_at_checked(BINDING_BYTES)?;
        let (of, cursor) = rest.split_at_checked(EPOCH_BYTES)?;
        let ours = binding == &Digest::of(request).0[..BINDING_BYTES];
        let of = Epoch(u64::from_be_bytes(of.try_into().ok()?));
        ours.then(|| Some((of, String::from_utf8(cursor.to_vec()).ok()?)))?
    };
    match read() {
        Some((of, cursor)) if of == epoch => Ok(Some(cursor)),
        Some((of, _)) => Err(Error::OtherEpoch { asked: of, store: epoch }),
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
    fn a_token_is_good_for_its_own_list_and_history_only() {
        let ours = token(b"list payments", Epoch(7), "checkout");
        assert_eq!(cursor(b"list payments", Epoch(7), &ours).expect("ours"), Some("checkout".into()));
        assert_eq!(cursor(b"list payments", Epoch(7), "").expect("the first page"), None);
        for (request, token) in
            [(&b"list shipping"[..], &*ours), (b"list payments", "x"), (b"list payments", "!!")]
        {
            assert!(matches!(cursor(request, Epoch(7), token), Err(Error::Invalid { .. })));
        }
        assert!(matches!(
            cursor(b"list payments", Epoch(8), &ours),
            Err(Error::OtherEpoch { asked: Epoch(7), store: Epoch(8) })
        ));
    }
}
