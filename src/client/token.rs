//! What a client proves by who it is. Knows how it travels; never whether it is good.

use std::fmt;
use std::str::FromStr;

use tonic::metadata::{Ascii, MetadataValue};

/// An API token or a JSON web token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(MetadataValue<Ascii>);

/// Why a text can be no token. Repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no token: one has no spaces, and letters, digits and signs of ASCII only")]
pub struct NoToken;

impl Token {
    /// `Bearer TOKEN`, marked as not to be kept by those who compress headers.
    pub(super) fn header(&self) -> MetadataValue<Ascii> {
        self.0.clone()
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Token, NoToken> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoToken);
        }
        let mut value: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| NoToken)?;
        value.set_sensitive(true);
        Ok(Token(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_as_it_is_and_is_never_shown() {
        let token: Token = "cw_abc".parse().expect("a token");
        assert_eq!(token.header(), "Bearer cw_abc");
        assert!(token.header().is_sensitive());
        assert!(!format!("{token:?}").contains("abc"));
        for bad in ["", "two words", "line\n", "ä"] {
            assert_eq!(bad.parse::<Token>(), Err(NoToken), "{bad:?}");
        }
    }
}
