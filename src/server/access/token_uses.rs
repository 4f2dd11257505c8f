//! Keeps the time of the last use of each API token across starts. Knows one file and the guard; never a token.
//!
//! `token-uses.json` in the data directory: `{"format": 1, "last_uses": {"8k2m4n6p8q0r": "2026-11-21T08:46:30Z"}}`. It is written once a
//! minute if there is something new, and when the server stops; never synced. So a server that ends well has every use within a second,
//! and one that was killed has lost those of its last minute. Nothing depends on it: a file that cannot be read is as good as none.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::api::guard::Guard;
use crate::auth::token::TokenId;
use crate::model::Timestamp;
use crate::supervise::{OnPanic, Supervisor, joined};

const FILE: &str = "token-uses.json";
const FORMAT: u32 = 1;
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    last_uses: BTreeMap<String, String>,
}

/// Writes them now and then. The task ends with it.
pub(in crate::server) struct Uses {
    path: PathBuf,
    guard: Guard,
    task: JoinHandle<()>,
}

impl Uses {
    /// Tells the guard what was known before, and goes on from there.
    pub(in crate::server) async fn follow(guard: Guard, data_dir: &Path, supervisor: &Supervisor) -> Uses {
        let path = data_dir.join(FILE);
        let known = spawn_blocking({
            let path = path.clone();
            move || read(&path)
        });
        let known = known.await.unwrap_or_default();
        guard.note_last_uses(&known);
        let task = supervisor.task("token-uses", OnPanic::Restart, {
            let (path, guard) = (path.clone(), guard.clone());
            move || write_now_and_then(path.clone(), guard.clone(), known.clone())
        });
        Uses { path, guard, task }
    }

    /// Writes them for the last time.
    pub(in crate::server) async fn finish(self) {
        self.task.abort();
        // Nobody asked for tokens: what was known stays in the file.
        if !self.guard.is_on() {
            return;
        }
        let (path, uses) = (self.path.clone(), self.guard.last_uses());
        let _ = spawn_blocking(move || write(&path, &uses)).await;
    }
}

impl Drop for Uses {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write_now_and_then(path: PathBuf, guard: Guard, mut written: Vec<(TokenId, Timestamp)>) {
    loop {
        tokio::time::sleep(WRITTEN_EVERY).await;
        let uses = guard.last_uses();
        if guard.is_on() && uses != written {
            let (path, now) = (path.clone(), uses.clone());
            joined(spawn_blocking(move || write(&path, &now)).await);
            written = uses;
        }
    }
}

fn read(path: &Path) -> Vec<(TokenId, Timestamp)> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "when tokens were last used cannot be read");
            }
            return vec![];
        }
    };
    match serde_json::from_slice::<Stored>(&text) {
        Ok(stored) if stored.format == FORMAT => {
            let read = |(id, time): (&String, &String)| {
                let time: jiff::Timestamp = time.parse().ok()?;
                Some((TokenId::parse(id)?, Timestamp(time.as_microsecond())))
            };
            stored.last_uses.iter().filter_map(read).collect()
        }
        Ok(_) | Err(_) => {
            tracing::warn!(path = %path.display(), "this does not say when tokens were last used, and is written anew");
            vec![]
        }
    }
}

/// Whole or not at all. That it fails changes nothing but what the next start knows.
fn write(path: &Path, uses: &[(TokenId, Timestamp)]) {
    let last_uses = uses.iter().map(|(id, time)| (id.to_string(), time.to_string())).collect();
    let text = serde_json::to_vec(&Stored { format: FORMAT, last_uses }).expect("texts can be written");
    let unfinished = path.with_extension("json.new");
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let written = opened.and_then(|mut file| std::io::Write::write_all(&mut file, &text));
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        tracing::warn!(path = %path.display(), %error, "when tokens were last used cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_survive_their_file_and_a_damaged_file_is_none() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join(FILE);
        assert_eq!(read(&path), []);
        let id = TokenId::parse("8k2m4n6p8q0r").expect("an id");
        let uses = vec![(id, Timestamp(1_790_000_000_123_456))];
        write(&path, &uses);
        assert_eq!(read(&path), uses);
        for damaged in [&b"{"[..], br#"{"format": 2, "last_uses": {}}"#] {
            fs::write(&path, damaged).expect("written");
            assert_eq!(read(&path), []);
        }
    }
}
