//! The sources of master keys: a file, a text, or a passphrase. Knows the paths of files; not which data keys a master key wraps.
//!
//! A source may have several keys, one a line: the first wraps, all unwrap. So a master key is changed by writing the new one before the
//! old one, and having the data keys wrapped anew. `confwatch secrets rotate-master` does both.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{bounded_file, durable_file};

use super::key::{Key, KeyId, fill};
use super::sealed::SealingKey;

/// Longer files are not read: they are something else.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Shorter passphrases are refused.
const PASSPHRASE_CHARACTERS_MIN: usize = 12;
const SALT_BYTES: usize = 16;
/// The largest that stored parameters may ask for.
const MEMORY_KIB_MAX: u32 = 4 << 20;

/// Where to take the master key from.
#[derive(Clone, PartialEq)]
pub enum MasterKeySource {
    /// A file, which is made when the first key is needed.
    Automatic(PathBuf),
    /// A file that must be there.
    File(PathBuf),
    /// Keys as text, from the environment.
    Text(Zeroizing<String>),
    /// A file with a passphrase, of which the key is derived.
    Passphrase(PathBuf),
    /// A key of this process: what it wraps is lost with it.
    Process,
}

/// Master keys: the first wraps, all unwrap.
#[derive(Clone)]
pub struct MasterKeys(Vec<SealingKey>);

/// How a key is derived from a passphrase by Argon2id. Stored with what the key wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    salt: Vec<u8>,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the master key cannot be read from {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("a master key cannot be written to {path}: {source}")]
    Unwritable { path: String, source: io::Error },
    #[error("{place} has no master key: {expected} expected")]
    Malformed { place: String, expected: &'static str },
    #[error("{place} does not have master key {id}, which has wrapped the data keys")]
    Gone { place: String, id: KeyId },
    #[error("no key can be derived from the passphrase: {0}")]
    Derivation(argon2::Error),
    #[error("the master key is told by {place}: write the new key there, in a line before the old one")]
    NotOurs { place: String },
}

impl MasterKeySource {
    /// The keys that are there. `None` if none has been made yet.
    pub fn load(&self, derivation: Option<&Derivation>) -> Result<Option<MasterKeys>, SourceError> {
        match self {
            MasterKeySource::Automatic(path) => match read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                read => self.parse(&self.readable(path, read)?).map(Some),
            },
            MasterKeySource::File(path) => self.parse(&self.readable(path, read(path))?).map(Some),
            MasterKeySource::Text(text) => self.parse(text).map(Some),
            MasterKeySource::Passphrase(path) => {
                let phrases = self.readable(path, read(path))?;
                let phrases: Vec<&str> = lines(&phrases).collect();
                let is_short = |phrase: &&str| phrase.chars().count() < PASSPHRASE_CHARACTERS_MIN;
                if phrases.is_empty() || phrases.iter().any(is_short) {
                    return Err(self.malformed("a passphrase of at least 12 characters on each line"));
                }
                let Some(derivation) = derivation else { return Ok(None) };
                let keys = phrases.into_iter().map(|phrase| derivation.key(phrase).map(|key| master(&key)));
                keys.collect::<Result<_, _>>().map(|keys| Some(MasterKeys(keys)))
            }
            MasterKeySource::Process => Ok(None),
        }
    }

    /// The first key, where `load` gave none; with how it is derived, if it is.
    pub fn create(&self) -> Result<(MasterKeys, Option<Derivation>), SourceError> {
        match self {
            MasterKeySource::Automatic(path) => {
                let key = Key::random();
                write(path, &format_keys(&[&key])).map_err(|source| self.unwritable(path, source))?;
                Ok((MasterKeys(vec![master(&key)]), None))
            }
            MasterKeySource::Passphrase(_) => {
                let derivation = Derivation::new();
                let keys = self.load(Some(&derivation))?;
                Ok((keys.expect("a passphrase makes a key"), Some(derivation)))
            }
            MasterKeySource::Process => Ok((MasterKeys(vec![master(&Key::random())]), None)),
            MasterKeySource::File(_) | MasterKeySource::Text(_) => {
                let keys = self.load(None)?;
                Ok((keys.expect("a file or a text has keys, or is refused"), None))
            }
        }
    }

    /// Writes a new key before those that are there, if the server may: the file is one for keys.
    pub fn renew(&self) -> Result<MasterKeys, SourceError> {
        match self {
            MasterKeySource::Automatic(path) | MasterKeySource::File(path) => {
                let before = self.readable(path, read(path))?;
                self.parse(&before)?;
                let text = Zeroizing::new(format!("{}{}", *format_keys(&[&Key::random()]), *before));
                write(path, &text).map_err(|source| self.unwritable(path, source))?;
                self.parse(&text)
            }
            MasterKeySource::Text(_) | MasterKeySource::Passphrase(_) | MasterKeySource::Process => {
                Err(SourceError::NotOurs { place: self.to_string() })
            }
        }
    }

    /// Checks that a start would find the key which wraps the data keys; `None`: there are no data keys yet. Of a passphrase only that it
    /// can be read, since deriving its key takes a lot of memory.
    pub fn check(&self, wrapping: Option<KeyId>) -> Result<(), SourceError> {
        match self {
            MasterKeySource::Automatic(_) | MasterKeySource::File(_) => {
                let found = self.load(None)?;
                match wrapping {
                    Some(id) if found.is_none_or(|masters| masters.get(id).is_none()) => Err(self.gone(id)),
                    Some(_) | None => Ok(()),
                }
            }
            MasterKeySource::Passphrase(_) => self.load(None).map(|_| ()),
            // Of this process, and so it stays.
            MasterKeySource::Text(_) | MasterKeySource::Process => Ok(()),
        }
    }

    /// Others than its owner can read the file.
    pub fn is_exposed(&self) -> bool {
        let path = match self {
            MasterKeySource::Automatic(path)
            | MasterKeySource::File(path)
            | MasterKeySource::Passphrase(path) => path,
            MasterKeySource::Text(_) | MasterKeySource::Process => return false,
        };
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }

    /// For a key that is needed and not there.
    pub fn gone(&self, id: KeyId) -> SourceError {
        SourceError::Gone { place: self.to_string(), id }
    }

    fn parse(&self, text: &str) -> Result<MasterKeys, SourceError> {
        let expected = "a key of 32 bytes, in hex or base64, on each line";
        MasterKeys::parse(text).ok_or_else(|| self.malformed(expected))
    }

    fn malformed(&self, expected: &'static str) -> SourceError {
        SourceError::Malformed { place: self.to_string(), expected }
    }

    fn readable(
        &self,
        path: &Path,
        read: io::Result<Zeroizing<String>>,
    ) -> Result<Zeroizing<String>, SourceError> {
        read.map_err(|source| SourceError::Unreadable { path: path.display().to_string(), source })
    }

    fn unwritable(&self, path: &Path, source: io::Error) -> SourceError {
        SourceError::Unwritable { path: path.display().to_string(), source }
    }
}

impl MasterKeys {
    /// Reads keys, one a line. Empty lines and those that begin with `#` are no keys. `None` if there is no key, or something else.
    pub fn parse(text: &str) -> Option<MasterKeys> {
        let keys = lines(text).map(|line| Key::parse(line).map(|key| master(&key)));
        keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()).map(MasterKeys)
    }

    /// The name of the key that wraps.
    pub fn wrapping(&self) -> KeyId {
        self.first().id
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn first(&self) -> &SealingKey {
        self.0.first().expect("there is at least one")
    }

    pub(super) fn get(&self, id: KeyId) -> Option<&SealingKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl Derivation {
    /// With a new salt.
    fn new() -> Derivation {
        let mut salt = vec![0; SALT_BYTES];
        fill(&mut salt);
        Derivation { salt, memory_kib: 64 << 10, passes: 3, lanes: 1 }
    }

    fn key(&self, passphrase: &str) -> Result<Key, SourceError> {
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(SourceError::Derivation)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt, &mut *key)
            .map_err(SourceError::Derivation)?;
        Ok(Key::from_bytes(&*key).expect("as many bytes as a key has"))
    }

    pub(super) fn to_value(&self) -> Value {
        let salt = URL_SAFE_NO_PAD.encode(&self.salt);
        json!({"salt": salt, "memory_kib": self.memory_kib, "passes": self.passes, "lanes": self.lanes})
    }

    /// `None` if it is not what `to_value` gives.
    pub(super) fn parse(value: &Value) -> Option<Derivation> {
        let number = |name: &str| u32::try_from(value[name].as_u64()?).ok();
        Some(Derivation {
            salt: URL_SAFE_NO_PAD.decode(value["salt"].as_str()?).ok()?,
            memory_kib: number("memory_kib").filter(|kib| *kib <= MEMORY_KIB_MAX)?,
            passes: number("passes")?,
            lanes: number("lanes")?,
        })
    }
}

fn master(key: &Key) -> SealingKey {
    SealingKey::new(key.own_id(), key)
}

/// Without those that are empty or a comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn format_keys(keys: &[&Key]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(keys.len() * 65));
    for key in keys {
        text.push_str(&key.to_hex());
        text.push('\n');
    }
    text
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    bounded_file::read_text(path, FILE_BYTES_MAX).map(Zeroizing::new)
}

/// Writes a file that its owner alone can read.
fn write(path: &Path, text: &str) -> io::Result<()> {
    durable_file::replace(path, 0o600, text.as_bytes())
}

/// Where it is, never what.
impl fmt::Display for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterKeySource::Automatic(path) | MasterKeySource::File(path) => write!(f, "{}", path.display()),
            MasterKeySource::Text(_) => f.write_str("CONFWATCH_MASTER_KEY"),
            MasterKeySource::Passphrase(path) => write!(f, "the passphrase in {}", path.display()),
            MasterKeySource::Process => f.write_str("this process"),
        }
    }
}

impl fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeySource({self})")
    }
}

/// Their names.
impl fmt::Display for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|key| key.id.to_string()).collect();
        match names.as_slice() {
            [one] => write!(f, "the master key that is there is {one}"),
            several => write!(f, "the master keys that are there are {}", several.join(", ")),
        }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(byte: u8) -> String {
        hex::encode([byte; 32])
    }

    fn wrapping(keys: &MasterKeys) -> (KeyId, usize) {
        (keys.wrapping(), keys.count())
    }

    #[test]
    fn the_automatic_file_is_made_when_it_is_needed_for_its_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("master.key");
        let source = MasterKeySource::Automatic(path.clone());
        assert!(source.load(None).expect("it can be looked for").is_none());
        let (made, derivation) = source.create().expect("it is made");
        assert!(derivation.is_none());
        let loaded = source.load(None).expect("it is read").expect("it is there");
        assert_eq!(wrapping(&loaded), wrapping(&made));
        let mode = path.metadata().expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode, source.is_exposed()), (0o600, false));
        let renewed = source.renew().expect("a new one is written");
        assert_eq!((renewed.count(), renewed.get(made.wrapping()).is_some()), (2, true));
        assert_ne!(renewed.wrapping(), made.wrapping());
        let read_again = source.load(None).expect("it is read").expect("it is there");
        assert_eq!(wrapping(&read_again), wrapping(&renewed));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("it is ours");
        assert!(source.is_exposed());
    }

    #[test]
    fn a_file_may_have_several_keys_and_comments_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let source = MasterKeySource::File(path.clone());
        assert!(matches!(source.load(None), Err(SourceError::Unreadable { .. })));
        std::fs::write(&path, format!("# of November\n{}\n\n  {}\n", hex(1), hex(2))).expect("it is written");
        let keys = source.load(None).expect("it is read").expect("keys");
        assert_eq!(keys.count(), 2);
        assert_eq!(keys.wrapping(), MasterKeys::parse(&hex(1)).expect("a key").wrapping());
        for text in ["", "# nothing", "hunter2", &format!("{}\nhunter2", hex(1))] {
            std::fs::write(&path, text).expect("it is written");
            let error = source.load(None).expect_err("no keys").to_string();
            assert!(!error.contains("hunter2") && error.contains("32 bytes"), "{error}");
        }
    }

    #[test]
    fn a_passphrase_makes_the_same_key_with_the_same_salt() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("passphrase");
        let source = MasterKeySource::Passphrase(path.clone());
        std::fs::write(&path, "too short\n").expect("it is written");
        assert!(matches!(source.load(None), Err(SourceError::Malformed { .. })));
        std::fs::write(&path, "correct horse battery staple\n").expect("it is written");
        assert!(source.load(None).expect("it is read").is_none(), "there is no salt yet");
        let cheap = |salt| Derivation { salt, memory_kib: 64, passes: 1, lanes: 1 };
        let derive = |derivation: &Derivation| {
            let keys = source.load(Some(derivation)).expect("it is read").expect("a key");
            keys.wrapping()
        };
        let first = cheap(vec![1; SALT_BYTES]);
        assert_eq!(derive(&first), derive(&first));
        assert_ne!(derive(&first), derive(&cheap(vec![2; SALT_BYTES])));
        assert_eq!(Derivation::parse(&first.to_value()), Some(first));
        assert!(matches!(source.renew(), Err(SourceError::NotOurs { .. })));
    }

    #[test]
    fn no_key_is_ever_shown() {
        let source = MasterKeySource::Text(hex(0xab).into());
        let keys = source.load(None).expect("it is read").expect("a key");
        let shown = format!("{source:?} {source} {keys:?} {keys}");
        assert!(!shown.contains("abab"), "{shown}");
        let environment = MasterKeySource::Text("hunter2".to_owned().into());
        assert!(!environment.load(None).expect_err("no key").to_string().contains("hunter2"));
    }
}
