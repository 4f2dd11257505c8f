//! The file with the credentials of the person, by server. Knows files; no server.
//!
//! `confwatch/credentials.json` in `$XDG_CONFIG_HOME`, or in `~/.config`, for its owner alone:
//! `{"format": 1, "servers": {"https://config.example:7420": {"token": "cw_..."}}}`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};
use crate::cli::output::exit::Failure;

const FORMAT: u32 = 1;

/// The credentials of a person.
pub struct Store {
    path: PathBuf,
}

/// What is kept of a login at one server.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// An API token, or the ID token of the issuer.
    pub token: String,
    /// Of a login by an issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerLogin>,
}

/// What is needed for the next ID token.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerLogin {
    pub issuer: String,
    pub client_id: String,
    /// When the ID token ends, in seconds since 1970.
    pub expires: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    servers: BTreeMap<String, Login>,
}

impl Store {
    /// `None`: the environment names no directory for the file.
    pub fn of_environment() -> Option<Store> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let directory = absolute.or_else(|| Some(variable("HOME")?.join(".config")))?;
        Some(Store { path: directory.join("confwatch").join("credentials.json") })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The login at a server. `None`: there is none.
    pub fn login(&self, server: &str) -> Result<Option<Login>, Failure> {
        Ok(self.read()?.servers.remove(server))
    }

    pub fn keep(&self, server: &str, login: Login) -> Result<(), Failure> {
        let mut stored = self.read()?;
        stored.servers.insert(server.to_owned(), login);
        self.write(&stored)
    }

    /// Whether there was a login.
    pub fn forget(&self, server: &str) -> Result<bool, Failure> {
        let mut stored = self.read()?;
        let was_there = stored.servers.remove(server).is_some();
        if was_there {
            self.write(&stored)?;
        }
        Ok(was_there)
    }

    fn read(&self) -> Result<Stored, Failure> {
        let text = match bounded_file::read_text(&self.path, SMALL_FILE_BYTES_MAX) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Stored { format: FORMAT, servers: BTreeMap::new() });
            }
            Err(error) => return Err(Failure::io(format!("cannot read {}", self.path.display()), &error)),
        };
        // Nothing of the content is repeated.
        match serde_json::from_str::<Stored>(&text) {
            Ok(stored) if stored.format == FORMAT => Ok(stored),
            Ok(_) | Err(_) => Err(Failure::usage(format!(
                "{} has no credentials that can be read: remove it, and log in again",
                self.path.display()
            ))),
        }
    }

    /// Replaces the file as a whole.
    fn write(&self, stored: &Stored) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io(format!("cannot write {}", self.path.display()), &error);
        let directory = self.path.parent().expect("the file lies in a directory");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let text = Zeroizing::new(serde_json::to_vec(stored).expect("texts can be written"));
        // A name of its own for each process, so that no command writes into the file of another.
        let unfinished = self.path.with_extension(format!("json.{}.new", std::process::id()));
        let written = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unfinished, &self.path)
        };
        written().map_err(|error| {
            let _ = fs::remove_file(&unfinished);
            failed(error)
        })
    }
}

/// Without the tokens.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let issuer = self.issuer.as_ref().map(|login| &login.issuer);
        f.debug_struct("Login").field("issuer", &issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn logins_are_kept_by_server_for_their_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store { path: directory.path().join("config/confwatch/credentials.json") };
        let login = |token: &str| Login { token: token.to_owned(), issuer: None };
        let token = |server: &str| store.login(server).expect("read").map(|login| login.token);
        assert!(token("a").is_none() && !store.forget("a").expect("nothing to do"));
        store.keep("a", login("cw_1")).expect("written");
        store.keep("b", login("cw_2")).expect("written");
        store.keep("a", login("cw_3")).expect("written");
        assert_eq!((token("a").as_deref(), token("b").as_deref()), (Some("cw_3"), Some("cw_2")));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        let within = store.path.parent().expect("a directory");
        assert_eq!((mode(&store.path), mode(within)), (0o600, 0o700));
        assert_eq!(fs::read_dir(within).expect("listed").count(), 1, "nothing else is left");
        assert!(store.forget("a").expect("forgotten") && token("a").is_none() && token("b").is_some());
        fs::write(&store.path, r#"{"format":1,"servers":{"a":{"token":"#).expect("written");
        assert!(store.login("a").is_err() && store.keep("a", login("cw_1")).is_err());
        assert!(!format!("{:?}", login("cw_1")).contains("cw_1"));
    }
}
