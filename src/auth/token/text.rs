//! API tokens as text: `cw_<id>_<secret>`. Knows the form of a token; never whether the token is valid. Secrets of sessions have the same form
//! with the prefix `cs_`.
//!
//! The id has 12 characters (60 bits), and may be shown. The secret has 59: 52 of 256 random bits, and 7 of a CRC-32 over all that goes
//! before. The alphabet is 0-9 and a-z without i, l, o and u, which are mistaken for others; there is one text for each token only. So a
//! token that was mistyped or cut off is told from a wrong one without a look at any list, and those who search for leaked secrets find
//! ours by `\bcw_[0-9a-hjkmnp-tv-z]{12}_[0-9a-hjkmnp-tv-z]{59}\b` and the checksum, with hardly a false alarm.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::TokenError;

/// The prefix of all tokens.
pub const PREFIX: &str = "cw_";
/// Bytes of randomness that a token is made of.
pub const RANDOM_BYTES: usize = 40;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: usize = 12;
const SECRET_BYTES: usize = 32;
const SECRET_CHARS: usize = 52;
const CHECKSUM_CHARS: usize = 7;
const TEXT_CHARS: usize = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;

/// The id of a token. May be shown and logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

/// The secret of a token. Never shown.
pub(in crate::auth) struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

/// A token as a caller sent it.
pub(in crate::auth) struct Presented {
    pub id: TokenId,
    pub secret: Secret,
}

/// Makes a token of randomness, with a prefix as long as that of API tokens.
pub(in crate::auth) fn make(
    prefix: &str,
    random: &Zeroizing<[u8; RANDOM_BYTES]>,
) -> (Presented, Zeroizing<String>) {
    let (secret, id) = random.split_at(SECRET_BYTES);
    let id = id.iter().fold(0, |id, byte| id << 8 | u64::from(*byte)) >> (64 - 5 * ID_CHARS);
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    bytes.copy_from_slice(secret);
    let presented = Presented { id: TokenId(id), secret: Secret(bytes) };

    // With the capacity for the whole text, so that no copy of the secret is left behind by a reallocation.
    let mut text = Zeroizing::new(String::with_capacity(TEXT_CHARS));
    text.push_str(prefix);
    write_number(id, ID_CHARS, &mut text);
    text.push('_');
    write_bytes(secret, &mut text);
    write_number(u64::from(crc32fast::hash(text.as_bytes())), CHECKSUM_CHARS, &mut text);
    (presented, text)
}

/// Reads a token with this prefix.
pub(in crate::auth) fn parse(prefix: &str, text: &str) -> Result<Presented, TokenError> {
    let body = text.strip_prefix(prefix).ok_or(TokenError::Malformed("does not begin with cw_"))?;
    if text.len() != TEXT_CHARS || !text.is_ascii() {
        return Err(TokenError::Malformed("has not the length of one"));
    }
    let (id, secret) = body.split_at(ID_CHARS);
    let secret = secret.strip_prefix('_').ok_or(TokenError::Malformed("has no _ after the id"))?;
    let (secret, checksum) = secret.split_at(SECRET_CHARS);
    let wrong = TokenError::Malformed("has a character that none has");
    let (Some(id), Some(checksum)) = (read_number(id), read_number(checksum)) else { return Err(wrong) };
    let secret = read_bytes(secret).ok_or(wrong)?;
    if checksum != u64::from(crc32fast::hash(&text.as_bytes()[..TEXT_CHARS - CHECKSUM_CHARS])) {
        return Err(TokenError::Malformed("has a wrong checksum: it was mistyped"));
    }
    Ok(Presented { id: TokenId(id), secret: Secret(secret) })
}

impl TokenId {
    pub fn parse(text: &str) -> Option<TokenId> {
        (text.len() == ID_CHARS).then(|| read_number(text)).flatten().map(TokenId)
    }
}

impl Secret {
    /// The stored hash of the secret. A plain hash suffices: 256 random bits are not guessed, however fast the guesses are.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_slice()).into()
    }
}

/// Five bits a character, the highest first.
fn write_number(number: u64, chars: usize, text: &mut String) {
    for at in (0..chars).rev() {
        text.push(char::from(ALPHABET[(number >> (5 * at)) as usize & 31]));
    }
}

fn read_number(text: &str) -> Option<u64> {
    text.bytes().try_fold(0, |number, byte| Some(number << 5 | u64::from(value(byte)?)))
}

/// Bits of the last character that no byte has are zero.
fn write_bytes(bytes: &[u8], text: &mut String) {
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes {
        (bits, count) = (bits << 8 | u32::from(*byte), count + 8);
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count) as usize & 31]));
        }
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count)) as usize & 31]));
    }
}

fn read_bytes(text: &str) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    let (mut bits, mut count, mut at) = (0_u32, 0, 0);
    for byte in text.bytes() {
        (bits, count) = (bits << 5 | u32::from(value(byte)?), count + 5);
        if count >= 8 {
            count -= 8;
            *bytes.get_mut(at)? = (bits >> count) as u8;
            at += 1;
        }
    }
    let rest = bits & ((1 << count) - 1);
    (at == SECRET_BYTES && rest == 0).then_some(bytes)
}

/// The five bits of a character of the alphabet.
fn value(byte: u8) -> Option<u8> {
    const NONE: u8 = u8::MAX;
    const VALUES: [u8; 256] = {
        let (mut values, mut at) = ([NONE; 256], 0);
        while at < ALPHABET.len() {
            values[ALPHABET[at] as usize] = at as u8;
            at += 1;
        }
        values
    };
    Some(VALUES[usize::from(byte)]).filter(|value| *value != NONE)
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(ID_CHARS);
        write_number(self.0, ID_CHARS, &mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random() -> impl Strategy<Value = Zeroizing<[u8; RANDOM_BYTES]>> {
        prop::collection::vec(any::<u8>(), RANDOM_BYTES)
            .prop_map(|bytes| Zeroizing::new(bytes.try_into().expect("so many bytes")))
    }

    proptest! {
        #[test]
        fn a_token_survives_its_text(random in random()) {
            let (made, text) = make(PREFIX, &random);
            prop_assert_eq!(text.len(), TEXT_CHARS);
            let read = parse(PREFIX, &text).expect("a token");
            prop_assert_eq!(TokenId::parse(&made.id.to_string()), Some(read.id));
            prop_assert_eq!(made.secret.hash(), read.secret.hash());
        }

        #[test]
        fn a_changed_character_is_noticed_without_any_list(
            random in random(),
            at in 0..TEXT_CHARS,
            with in any::<char>(),
        ) {
            let (_, text) = make(PREFIX, &random);
            let mut characters: Vec<char> = text.chars().collect();
            prop_assume!(characters[at] != with);
            characters[at] = with;
            let changed: String = characters.into_iter().collect();
            prop_assert!(matches!(parse(PREFIX, &changed), Err(TokenError::Malformed(_))), "{changed}");
        }

        #[test]
        fn swapped_and_lost_characters_are_noticed(random in random(), at in 0..TEXT_CHARS - 1) {
            let (_, text) = make(PREFIX, &random);
            let mut characters: Vec<char> = text.chars().collect();
            characters.swap(at, at + 1);
            let swapped: String = characters.into_iter().collect();
            prop_assert!(swapped == *text || parse(PREFIX, &swapped).is_err());
            let (before, after) = text.split_at(at);
            prop_assert!(parse(PREFIX, before).is_err());
            prop_assert!(at == 0 || parse(PREFIX, after).is_err());
        }

        #[test]
        fn whatever_is_shown_is_no_reason_to_panic(text in "(cw_)?\\PC{0,80}") {
            let _ = parse(PREFIX, &text);
        }
    }

    /// The form is a promise to those who search for leaked secrets.
    #[test]
    fn the_form_is_as_documented() {
        let random = Zeroizing::new(std::array::from_fn(|at| at as u8));
        let (presented, text) = make(PREFIX, &random);
        assert_eq!(
            text.as_str(),
            "cw_40gj48s44mk2_000g40r40m30e209185gr38e1w8124gk2gahc5rr34d1p70x3rfg1qk456c"
        );
        assert_eq!(presented.id.to_string(), text[3..15]);
    }
}
