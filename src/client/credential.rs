//! The credential of a client: a given token, or a token in a file. Knows files; never a call.
//!
//! The file is read again as soon as it is another one, so that a token that was rotated is in the next call, and in the next attempt of
//! a stream that ended. Client certificates are read for each connection: see `tls`.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::token::Token;
use crate::bounded_file;

/// The token of a client.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    None,
    Token(Token),
    File(Arc<TokenFile>),
}

/// A file with a token, and nothing else but white space.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    read: Mutex<Read>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Read {
    /// Of the file that `token` is from.
    stamp: Option<Stamp>,
    token: Option<Token>,
}

/// What tells a file from the one that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Credential {
    /// Fails if there is a file, and no token in it.
    pub(super) fn new(token: Option<Token>, file: Option<PathBuf>) -> Result<Credential, String> {
        match (token, file) {
            (Some(token), _) => Ok(Credential::Token(token)),
            (None, Some(path)) => {
                let file = TokenFile { path, read: Mutex::default() };
                file.token()?;
                Ok(Credential::File(Arc::new(file)))
            }
            (None, None) => Ok(Credential::None),
        }
    }

    /// The token to call with now.
    pub(super) fn token(&self) -> Result<Option<Token>, String> {
        match self {
            Credential::None => Ok(None),
            Credential::Token(token) => Ok(Some(token.clone())),
            Credential::File(file) => file.token().map(Some),
        }
    }
}

impl TokenFile {
    /// The token that the file has now. While the file is gone or half written, which rotating it may bring about, the one before.
    fn token(&self) -> Result<Token, String> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.path).ok();
        if let (Some(token), true) = (&read.token, stamp.is_some() && stamp == read.stamp) {
            return Ok(token.clone());
        }
        match (read_token(&self.path), &read.token) {
            (Ok(token), _) => {
                *read = Read { stamp, token: Some(token.clone()) };
                Ok(token)
            }
            (Err(_), Some(before)) => Ok(before.clone()),
            (Err(why), None) => Err(why),
        }
    }
}

impl Stamp {
    pub(super) fn of(path: &Path) -> io::Result<Stamp> {
        fs::metadata(path).map(|found| Stamp::from(&found))
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Stamp {
        Stamp {
            file: (found.dev(), found.ino()),
            bytes: found.size(),
            // Also of a file whose time of modification was set back, as some tools do that copy.
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Longer files have no token.
const TOKEN_FILE_BYTES_MAX: u64 = 64 << 10;

fn read_token(path: &Path) -> Result<Token, String> {
    let shown = path.display();
    let text = bounded_file::read_text(path, TOKEN_FILE_BYTES_MAX)
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').trim();
    text.parse().map_err(|error| format!("{shown}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_was_rotated_is_the_one_of_the_next_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "\u{feff}cw_one\n").unwrap();
        let credential = Credential::new(None, Some(path.clone())).unwrap();
        let token = || credential.token().unwrap().unwrap();
        let check = |expected: &str| assert_eq!(token(), expected.parse().unwrap());
        check("cw_one");
        fs::write(&path, "cw_two\n").unwrap();
        check("cw_two");
        // While it is gone or empty, the one before is as good as any.
        fs::remove_file(&path).unwrap();
        check("cw_two");
        fs::write(&path, "").unwrap();
        check("cw_two");
        // As a link that is moved, which is how an orchestrator does it.
        fs::write(directory.path().join("next"), "cw_new\n").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("next", &path).unwrap();
        check("cw_new");
    }

    #[test]
    fn a_file_without_a_token_is_refused_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let refused = || Credential::new(None, Some(path.clone())).unwrap_err();
        assert!(refused().starts_with(&format!("cannot read {}: ", path.display())));
        let endless = Credential::new(None, Some("/dev/zero".into())).unwrap_err();
        assert!(endless.contains("/dev/zero") && endless.contains("too long"), "{endless}");
        fs::write(&path, "two words").unwrap();
        assert!(refused().starts_with(&format!("{}: ", path.display())) && !refused().contains("two words"));
        assert!(matches!(Credential::new(None, None), Ok(Credential::None)));
    }
}
