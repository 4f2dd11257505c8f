//! A watch that lasts: across reconnects, restarts of the server, and with a cache across those of the application.
//! Knows the wire; the one who uses it need not.
//!
//! A task of the watcher keeps the stream and folds what it brings into the state held. The application reads the state,
//! or asks for the next event; if it does not ask, events merge into one, so that memory stays bounded.

mod backoff;
mod cache;
mod held;
mod outbox;
mod session;
mod task;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Api, ClientError};
use crate::proto::v1::{Document, TargetState, WatchTarget};
use held::Held;
use outbox::Outbox;

/// What to watch, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchOptions {
    /// What to watch. Digests are filled in from what is held.
    pub targets: Vec<WatchTarget>,
    /// Who this is, such as a host or pod name, for operators to read.
    pub client_id: String,
    /// Facts about the client, for operators to read.
    pub labels: BTreeMap<String, String>,
    /// How often the server gives a sign of life; after three intervals of silence the stream is taken for dead.
    pub progress_interval: Duration,
    /// Where to keep the last known good state. One file for one watcher. Unset: nowhere.
    pub cache: Option<PathBuf>,
    /// How long to be `Stale` before the state becomes `Error`.
    pub error_after: Duration,
    /// How long to wait before asking a server again that refused the watch: a second after the first refusal, then twice as long after each, up
    /// to this pause; each pause is multiplied by a random factor between one and two.
    pub refused_pause: Duration,
}

impl WatchOptions {
    pub fn new(targets: impl Into<Vec<WatchTarget>>) -> WatchOptions {
        WatchOptions { targets: targets.into(), ..Default::default() }
    }
}

impl Default for WatchOptions {
    fn default() -> WatchOptions {
        WatchOptions {
            targets: Vec::new(),
            client_id: String::new(),
            labels: BTreeMap::new(),
            progress_interval: Duration::from_secs(10),
            cache: None,
            error_after: Duration::from_secs(60),
            refused_pause: Duration::from_secs(10),
        }
    }
}

/// How far the documents of a watcher can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// They are those of the server: a snapshot was received, and the server was heard within three progress intervals.
    Ready,
    /// They are the last known: the server was not reached yet, or was lost, or is silent. Reconnecting.
    Stale,
    /// Someone has to look: `Watcher::error` says why. The server refuses the watch (permission denied, a server without Watch), or the
    /// documents have been stale for longer than `WatchOptions::error_after`. The watcher keeps them, and goes on trying. Only a
    /// request that the server finds malformed before it ever answered it ends the watcher: that is a mistake of the program.
    Error,
}

/// What happened since the event before. `changed` holds whole documents, and only targets that differ from what the
/// events before said: a target that is `STATE_CURRENT` is not among them.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What the cache has of the targets, before the server answered.
    FromCache(Vec<TargetState>),
    /// Connected, and the state of every target is known as of `revision`. `reset`: the server has another history
    /// than before (a restored backup), so revisions and versions may be lower.
    Snapshot { revision: u64, changed: Vec<TargetState>, reset: bool },
    /// Targets have changed. All effects of one commit are in one event.
    Update { revision: u64, changed: Vec<TargetState> },
    /// Nothing has changed up to `revision`.
    Progress { revision: u64 },
    /// The state is another one. Comes after the documents that came with it.
    StateChanged(WatchState),
}

/// Follows targets until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<WatcherState>,
    states: watch::Receiver<WatchState>,
    /// The state that the application was told last.
    told: WatchState,
    stop: CancellationToken,
    task: AbortOnDrop,
}

impl Watcher {
    pub(super) fn start(api: Api, options: WatchOptions) -> Watcher {
        let (state, states) = watch::channel(WatchState::Stale);
        let shared = Arc::new(WatcherState {
            view: Mutex::new(View { held: Held::new(&options.targets), ..View::default() }),
            news: Notify::new(),
            state,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(task::run(api, options, Arc::clone(&shared), stop.clone()));
        Watcher { shared, states, told: WatchState::Stale, stop, task: AbortOnDrop(task) }
    }

    /// The next event. `None` when the watcher has ended, see `WatchState::Error`. May be dropped before it is ready,
    /// as `tokio::select!` does; nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // Looked at in the opposite order of how they change: documents, the state that they bring about, the end. So
            // what is told of a state comes after its documents, and the end comes last, whatever happens in between.
            let ended = self.shared.lock().ended;
            let state = *self.states.borrow();
            if let Some(event) = self.take() {
                return Some(event);
            }
            if state != self.told {
                self.told = state;
                return Some(Event::StateChanged(state));
            }
            if ended {
                return None;
            }
            // Whatever came since the look at it has left a permit, so that this returns at once.
            self.shared.news.notified().await;
        }
    }

    fn take(&self) -> Option<Event> {
        let mut view = self.shared.lock();
        let View { held, outbox, .. } = &mut *view;
        outbox.take(held)
    }

    pub fn state(&self) -> WatchState {
        *self.states.borrow()
    }

    /// For those who wait for a state: `state_changes().wait_for(|state| *state == WatchState::Ready)`.
    pub fn state_changes(&self) -> watch::Receiver<WatchState> {
        self.states.clone()
    }

    /// The latest of every target that is known, sorted by target, whether `next` was called or not. `None`: it has no
    /// document now.
    pub fn documents(&self) -> Vec<(WatchTarget, Option<Document>)> {
        let view = self.shared.lock();
        view.held.states().map(|(key, document)| (key.target(), document.cloned())).collect()
    }

    /// Why the last stream ended, as long as no other has begun.
    pub fn error(&self) -> Option<ClientError> {
        self.shared.lock().error.clone()
    }

    /// Stops watching, and returns when the cache has what was received. A watcher that is dropped keeps it, too, if
    /// the runtime lives long enough.
    pub async fn close(mut self) {
        self.stop.cancel();
        // A panic in there was reported when it happened.
        let _ = (&mut self.task.0).await;
    }
}

/// What the task and the watcher share.
#[derive(Debug)]
struct WatcherState {
    view: Mutex<View>,
    /// Told of every change of `view` and `state`.
    news: Notify,
    state: watch::Sender<WatchState>,
}

#[derive(Debug, Default)]
struct View {
    held: Held,
    outbox: Outbox,
    error: Option<ClientError>,
    /// Nothing more will come.
    ended: bool,
}

impl WatcherState {
    fn lock(&self) -> MutexGuard<'_, View> {
        // A panic while it is held is a bug of ours in folding; what was folded before it is whole.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state where `from` allows it.
    fn set_state(&self, state: WatchState, from: impl Fn(WatchState) -> bool) {
        let changed = self.state.send_if_modified(|current| {
            let changes = *current != state && from(*current);
            if changes {
                *current = state;
            }
            changes
        });
        if changed {
            self.news.notify_one();
        }
    }
}

#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
