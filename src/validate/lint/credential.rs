//! What looks like a credential: names such as `db_password`, and texts such as private keys. Knows neither documents nor schemas.
//! Allocates nothing: it runs on every text of every commit.

use super::words::{Words, is_one_of};

/// Names that end so hold a credential.
const LAST_WORDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "credentials",
    "apikey",
    "authtoken",
    "secretkey",
    "accesskey",
    "privatekey",
];
/// Keys of this kind are credentials.
const KINDS_OF_KEY: [&str; 11] = [
    "api",
    "access",
    "private",
    "secret",
    "auth",
    "encryption",
    "signing",
    "master",
    "account",
    "shared",
    "storage",
];
/// Says how a value is written, not what it is.
const FORMS: [&str; 6] = ["value", "text", "base", "hex", "plain", "plaintext"];
/// Names of what has much entropy and is public.
const PUBLIC_WORDS: [&str; 22] = [
    "public",
    "pub",
    "checksum",
    "digest",
    "hash",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "md5",
    "fingerprint",
    "integrity",
    "etag",
    "commit",
    "revision",
    "id",
    "uuid",
    "guid",
    "cert",
    "certificate",
    "image",
    "kid",
];

/// How a known kind of key begins, and how long one is at least.
const PREFIXES: [(&str, usize); 23] = [
    ("ghp_", 36),
    ("gho_", 36),
    ("ghu_", 36),
    ("ghs_", 36),
    ("ghr_", 36),
    ("github_pat_", 40),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xoxa-", 20),
    ("xoxr-", 20),
    ("xoxs-", 20),
    ("sk_live_", 20),
    ("rk_live_", 20),
    ("sk-ant-", 20),
    ("sk-proj-", 20),
    ("AIza", 39),
    ("ya29.", 30),
    ("npm_", 36),
    ("pypi-", 40),
    ("dop_v1_", 40),
    ("hvs.", 24),
    ("shpat_", 30),
];

/// A member of this name holds a credential: `db_password`, `apiKey`, and not `token_ttl_seconds`.
pub fn names_credential(name: &str) -> bool {
    name_credential(&Words::of(name))
}

/// The same of a name in words.
pub(super) fn name_credential(name: &Words) -> bool {
    let [before, word] = last_words(name);
    is_one_of(&LAST_WORDS, word)
        || ends_with(word, "password")
        || ends_with(word, "passwd")
        || (word.eq_ignore_ascii_case("key") && is_one_of(&KINDS_OF_KEY, before))
}

/// A text that is the value of a member with such a name may be one: it is not empty, no reference to where the credential is kept, and
/// no placeholder.
pub(super) fn may_be_credential(name: &Words, text: &str) -> bool {
    if is_reference(text) || is_placeholder(text) || text.contains(' ') {
        return false;
    }
    let [_, word] = last_words(name);
    let is_password =
        is_one_of(&["passwd", "pwd", "secret", "passphrase"], word) || ends_with(word, "password");
    // A token may also be the name of one: "bearer", "jwt", "Authorization".
    text.len() >= 4
        && (is_password || text.len() >= 16 || (text.len() >= 8 && text.bytes().any(|b| b.is_ascii_digit())))
}

/// The last two words of a name, without numbers and what says how a value is written.
fn last_words<'a>(name: &Words<'a>) -> [&'a str; 2] {
    let mut words = name.all().iter().rev().map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    let mut next = || words.find(|word| !word.is_empty()).unwrap_or_default();
    let last = next();
    if is_one_of(&FORMS, last) {
        let last = next();
        [next(), last]
    } else {
        [next(), last]
    }
}

/// Also with the first word glued to it: dbpassword.
fn ends_with(word: &str, end: &str) -> bool {
    let tail = word.len().checked_sub(end.len()).and_then(|at| word.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// A text that is a credential by what it is.
pub fn is_credential(text: &str) -> bool {
    is_credential_named(&Words::of(""), text)
}

/// The same, but for what is public by its name.
pub(super) fn is_credential_named(name: &Words, text: &str) -> bool {
    text.len() >= 12
        && (is_known_key(text) || has_password_in_url(text) || (is_random(text) && !name.has(&PUBLIC_WORDS)))
}

fn is_known_key(text: &str) -> bool {
    let bytes = text.as_bytes();
    let first = bytes[0];
    let is_plain =
        |bytes: &[u8]| bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    match first {
        b'-' => {
            text.starts_with("-----BEGIN ") && text.get(..64).unwrap_or(text).contains("PRIVATE KEY-----")
        }
        b'A' if text.starts_with("AKIA") || text.starts_with("ASIA") => {
            text.len() == 20 && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        }
        // A JSON Web Token.
        b'e' if text.starts_with("eyJ") => {
            text.len() > 60 && text.matches('.').count() == 2 && is_plain(bytes)
        }
        _ if text.len() < 20 => false,
        _ => PREFIXES
            .iter()
            .any(|(prefix, length)| text.starts_with(prefix) && text.len() >= *length && is_plain(bytes)),
    }
}

/// `scheme://user:password@host`.
fn has_password_in_url(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    let Some((user_info, _)) = authority.rsplit_once('@') else { return false };
    user_info.split_once(':').is_some_and(|(_, password)| {
        !password.is_empty()
            && !is_reference(password)
            && !is_placeholder(password)
            && !password.contains(['$', '{'])
    })
}

/// The value is kept elsewhere, and this says where.
pub fn is_reference(text: &str) -> bool {
    const SCHEMES: [&str; 14] = [
        "vault:",
        "env:",
        "file:",
        "secret:",
        "secrets:",
        "ssm:",
        "arn:",
        "op://",
        "awssm:",
        "gcpsm:",
        "k8s:",
        "keyring:",
        "projects/",
        "ref+",
    ];
    text.contains("${")
        || text.contains("{{")
        || text.contains("$(")
        || text.contains("<%")
        || (text.starts_with(['$', '%', '/', '@']) && !text.contains(' '))
        || SCHEMES
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
        || text.starts_with("ENC[")
        || text.starts_with("!vault")
}

/// Stands for a value that is not there: `***`, `<token>`, `REDACTED`.
pub fn is_placeholder(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next().unwrap_or('*');
    (matches!(first, '*' | 'x' | 'X' | '.' | '-' | '?') && characters.all(|c| c == first))
        || (text.starts_with('<') && text.ends_with('>'))
        || (text.starts_with('[') && text.ends_with(']'))
        || ["redacted", "none", "null", "todo", "tbd", "unset", "n/a"]
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word))
}

/// Looks as if every character were drawn at random from letters of both cases and digits: what people write and digests in hex do not.
fn is_random(text: &str) -> bool {
    if !(20..=256).contains(&text.len()) {
        return false;
    }
    let (mut counts, mut upper, mut lower, mut digits, mut separators, mut changes) =
        ([0_u16; 128], 0, 0, 0, 0, 0);
    let mut last = b' ';
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' => upper += 1,
            b'a'..=b'z' => lower += 1,
            b'0'..=b'9' => digits += 1,
            b'+' | b'/' | b'=' | b'_' | b'-' => separators += 1,
            _ => return false,
        }
        changes += usize::from(byte.is_ascii_digit() != last.is_ascii_digit());
        counts[usize::from(byte)] += 1;
        last = byte;
    }
    let length = text.len();
    if upper < 3
        || lower < 3
        || digits < 2
        || separators > length / 8
        || changes < 4
        || text.starts_with("sha")
    {
        return false;
    }
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / length as f64;
            -share * share.log2()
        })
        .sum();
    entropy >= if length < 32 { 3.9 } else { 4.3 }
}
