//! The last known good state in a file, so that an application starts while no server answers. Knows no stream.
//!
//! Format 1: two lines. The first is `{"confwatch_cache":1,"sha256":"<hex>"}` with the SHA-256 of the second, line end
//! excluded. The second is JSON: the targets asked for, the resume token, and each document. A file that is
//! anything else is ignored with a warning, and replaced when there is something to keep. It holds configuration, so
//! only its owner may read it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::WatcherState;
use super::held::Held;
use crate::bounded_file;
use crate::client::file;
use crate::proto::v1::{Document, LayerRef, WatchTarget};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "confwatch_cache")]
    format: u32,
    sha256: String,
}

/// What the file holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    targets: Vec<SavedTarget>,
    resume_token: String,
    revision: u64,
    states: Vec<SavedState>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SavedTarget {
    namespace: String,
    config: String,
    scope: String,
    view: i32,
    format: i32,
    #[serde(default)]
    apply_defaults: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SavedState {
    target: SavedTarget,
    document: Option<SavedDocument>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SavedDocument {
    version: u64,
    revision: u64,
    digest: String,
    content: String,
    format: i32,
    update_time: Option<SavedTime>,
    layers: Vec<SavedLayer>,
    #[serde(default)]
    hidden_pointers: Vec<String>,
    #[serde(default)]
    revealed_pointers: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SavedLayer {
    scope: String,
    kind: i32,
    version: u64,
    expire_time: Option<SavedTime>,
    digest: String,
    format: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct SavedTime {
    seconds: i64,
    nanos: i32,
}

/// Reads the file off the runtime. `None` if there is none, or none that can be trusted.
pub(super) async fn read(path: PathBuf) -> Option<Saved> {
    let read = move || match read_regular(&path) {
        Ok(bytes) => decode(&bytes)
            .inspect_err(|error| tracing::warn!(path = %path.display(), error, "ignoring the watch cache"))
            .ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the watch cache");
            None
        }
    };
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

/// Longer files were not written here.
const CACHE_BYTES_MAX: u64 = 4 << 30;

/// A pipe would be waited for, perhaps for ever.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => bounded_file::read(path, CACHE_BYTES_MAX),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// Writes the file whenever it is asked to, one write at a time; requests during a write become one. When it is
/// dropped, what it was asked to keep is still written.
#[derive(Debug)]
pub(super) struct Writer {
    ask: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Writer {
    pub(super) fn start(path: PathBuf, shared: Arc<WatcherState>) -> Writer {
        let (ask, mut asked) = watch::channel(());
        let task = tokio::spawn(async move {
            while asked.changed().await.is_ok() {
                let saved = Saved::of(&shared.lock().held);
                let path = path.clone();
                let write = move || {
                    if let Err(error) = write(&path, &saved) {
                        tracing::warn!(path = %path.display(), %error, "cannot write the watch cache");
                    }
                };
                // A panic in there was reported already, and the next change may fare better.
                let _ = tokio::task::spawn_blocking(write).await;
            }
        });
        Writer { ask, task }
    }

    pub(super) fn keep(&self) {
        self.ask.send_replace(());
    }

    /// Returns when everything is written.
    pub(super) async fn finish(self) {
        drop(self.ask);
        let _ = self.task.await;
    }
}

/// Replaces the file, as `file::write` does: it may hold secrets.
fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    file::write(path, &encode(saved)?, file::Mode::Private)
}

fn encode(saved: &Saved) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(saved)?;
    let header = Header { format: FORMAT, sha256: hex::encode(Sha256::digest(&body)) };
    Ok([serde_json::to_vec(&header)?, body].join(&b'\n'))
}

fn decode(bytes: &[u8]) -> Result<Saved, &'static str> {
    let split = bytes.iter().position(|byte| *byte == b'\n').ok_or("it is not a watch cache")?;
    let (header, body) = (&bytes[..split], &bytes[split + 1..]);
    // A file that is written in place may have line ends after it.
    let body = &body[..body.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1)];
    let header: Header = serde_json::from_slice(header).map_err(|_| "it is not a watch cache")?;
    if header.format != FORMAT {
        return Err("it has another format");
    }
    if header.sha256 != hex::encode(Sha256::digest(body)) {
        return Err("it is damaged");
    }
    serde_json::from_slice(body).map_err(|_| "it is damaged")
}

impl Saved {
    pub(super) fn of(held: &Held) -> Saved {
        let states = held.states().map(|(key, document)| SavedState {
            target: (&key.target()).into(),
            document: document.map(SavedDocument::from),
        });
        Saved {
            targets: held.targets().iter().map(SavedTarget::from).collect(),
            resume_token: held.resume_token().to_owned(),
            revision: held.revision(),
            states: states.collect(),
        }
    }

    pub(super) fn restore(self, held: &mut Held) {
        let targets: Vec<WatchTarget> = self.targets.into_iter().map(WatchTarget::from).collect();
        let documents = self.states.into_iter().map(|SavedState { target, document }| {
            let target = WatchTarget::from(target);
            let document = document.map(|document| document.restore(&target));
            (target, document)
        });
        held.restore(&targets, self.resume_token, self.revision, documents);
    }
}

impl From<&WatchTarget> for SavedTarget {
    fn from(target: &WatchTarget) -> SavedTarget {
        let WatchTarget { namespace, config, scope, view, format, apply_defaults, .. } = target.clone();
        SavedTarget { namespace, config, scope, view, format, apply_defaults }
    }
}

impl From<SavedTarget> for WatchTarget {
    fn from(target: SavedTarget) -> WatchTarget {
        let SavedTarget { namespace, config, scope, view, format, apply_defaults } = target;
        WatchTarget { namespace, config, scope, view, format, apply_defaults, ..Default::default() }
    }
}

impl From<&Document> for SavedDocument {
    fn from(document: &Document) -> SavedDocument {
        SavedDocument {
            version: document.version,
            revision: document.revision,
            digest: document.digest.clone(),
            content: document.content.clone(),
            format: document.format,
            update_time: document.update_time.map(SavedTime::from),
            layers: document.layers.iter().map(SavedLayer::from).collect(),
            hidden_pointers: document.hidden_pointers.clone(),
            revealed_pointers: document.revealed_pointers.clone(),
        }
    }
}

impl SavedDocument {
    fn restore(self, target: &WatchTarget) -> Document {
        Document {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: target.scope.clone(),
            view: target.view,
            version: self.version,
            revision: self.revision,
            digest: self.digest,
            content: self.content,
            format: self.format,
            update_time: self.update_time.map(Timestamp::from),
            layers: self.layers.into_iter().map(LayerRef::from).collect(),
            hidden_pointers: self.hidden_pointers,
            revealed_pointers: self.revealed_pointers,
        }
    }
}

impl From<&LayerRef> for SavedLayer {
    fn from(layer: &LayerRef) -> SavedLayer {
        let LayerRef { scope, kind, version, expire_time, digest, format } = layer.clone();
        SavedLayer { scope, kind, version, expire_time: expire_time.map(SavedTime::from), digest, format }
    }
}

impl From<SavedLayer> for LayerRef {
    fn from(layer: SavedLayer) -> LayerRef {
        let SavedLayer { scope, kind, version, expire_time, digest, format } = layer;
        LayerRef { scope, kind, version, expire_time: expire_time.map(Timestamp::from), digest, format }
    }
}

impl From<Timestamp> for SavedTime {
    fn from(Timestamp { seconds, nanos }: Timestamp) -> SavedTime {
        SavedTime { seconds, nanos }
    }
}

impl From<SavedTime> for Timestamp {
    fn from(SavedTime { seconds, nanos }: SavedTime) -> Timestamp {
        Timestamp { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn held() -> Held {
        let target = WatchTarget::from(("n", "a", "/production"));
        let document = Document {
            namespace: "n".into(),
            config: "a".into(),
            scope: "/production".into(),
            view: 1,
            version: 3,
            revision: 9,
            digest: "sha256:0".into(),
            content: "{\"name\":\"Zoë\"}".into(),
            format: 1,
            update_time: Some(Timestamp { seconds: 5, nanos: 6 }),
            layers: vec![LayerRef { scope: "/".into(), kind: 1, version: 3, ..Default::default() }],
            hidden_pointers: vec!["/name".into()],
            revealed_pointers: vec!["/other".into()],
        };
        let absent = WatchTarget::from(("n", "b", "/"));
        let targets = [target.clone(), absent.clone()];
        let mut held = Held::new(&targets);
        held.restore(&targets, "token".into(), 9, [(target, Some(document)), (absent, None)]);
        held
    }

    #[test]
    fn what_was_kept_is_restored_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/cache.json");
        write(&path, &Saved::of(&held())).unwrap();
        let mut restored = Held::new(held().targets());
        decode(&fs::read(&path).unwrap()).unwrap().restore(&mut restored);
        assert_eq!(restored, held());
    }

    #[test]
    fn only_the_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache.json");
        fs::write(&path, "from before, and readable by all").unwrap();
        write(&path, &Saved::of(&held())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn format_1_is_read() {
        let file = [
            r#"{"confwatch_cache":1,"sha256":"4bf2929f0066dd0150eab9264bca0db8786f569e7f39b3af3a47af615431f03f"}"#,
            r#"{"targets":[],"resume_token":"t","revision":7,"states":[]}"#,
        ];
        let saved = decode(file.join("\n").as_bytes()).unwrap();
        assert_eq!((saved.resume_token.as_str(), saved.revision), ("t", 7));
    }

    #[test]
    fn a_file_with_any_bit_wrong_is_ignored() {
        let whole = encode(&Saved::of(&held())).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_err(), "bit flipped at {at}");
            assert!(decode(&whole[..at]).is_err(), "cut at {at}");
        }
        assert_eq!(decode(b"").unwrap_err(), "it is not a watch cache");
        assert_eq!(
            decode(b"{\"confwatch_cache\":2,\"sha256\":\"\"}\n").unwrap_err(),
            "it has another format"
        );
    }
}
