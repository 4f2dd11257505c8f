//! One watch stream: what it follows, what its client knows, and what to tell it next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;

use crate::model::text::Format;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Revision, Scope};

use super::super::error::Error;
use super::super::resolve::{Resolved, Target, View};
use super::super::state::State;
use super::hub::Hub;
use super::subscriber::Subscriber;
use super::table::{Cell, Table};
use super::token::ResumeToken;

/// Text of the documents of one message, and what it may have besides: a message stays below the 4 MiB that gRPC
/// clients receive by default.
const PART_BYTES_MAX: usize = (4 << 20) - (256 << 10);
/// Allowances for what is around the text of a document: names, digests and times, of the document and of each layer;
/// scopes, which can be long, are counted as they are.
const STATE_BYTES: usize = 640;
const LAYER_BYTES: usize = 128;
/// States of one message.
const PART_STATES_MAX: usize = 1000;

/// What to watch, and where the client left off.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    pub targets: Vec<WatchTarget>,
    /// `None`: afresh.
    pub resume_token: Option<String>,
    pub progress_interval: Duration,
}

/// One target of a stream, or every config of a namespace.
#[derive(Clone, Debug)]
pub struct WatchTarget {
    pub selector: WatchSelector,
    pub scope: Scope,
    pub view: View,
    pub format: Format,
}

/// What is followed, and the digests of the documents that the client holds of it.
#[derive(Clone, Debug)]
pub enum WatchSelector {
    Config(ConfigId, Option<Digest>),
    Namespace(Namespace, Held),
}

impl WatchSelector {
    /// It follows one config.
    pub fn is_config(&self) -> bool {
        matches!(self, WatchSelector::Config(..))
    }
}

pub type Held = BTreeMap<ConfigName, Digest>;

/// What to tell the client.
#[derive(Debug)]
pub enum Event {
    /// The state of every target. `reset`: the token could not be honoured.
    Snapshot { revision: Revision, states: Vec<TargetState>, more: bool, reset: bool },
    /// The targets that changed.
    Update { revision: Revision, states: Vec<TargetState>, more: bool },
    /// Nothing changed.
    Progress { revision: Revision },
}

#[derive(Debug)]
pub struct TargetState {
    pub target: Target,
    /// As asked for.
    pub format: Format,
    pub status: TargetStatus,
}

#[derive(Debug)]
pub enum TargetStatus {
    Present(Arc<Resolved>),
    /// What the client holds.
    Current,
    Absent,
}

/// A watch stream. Ends with an error when the server drains. Dropping it is enough to end it.
pub struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
    targets: Vec<Followed>,
    sending: Option<Sending>,
    progress_interval: Duration,
    progress: Pin<Box<Sleep>>,
    sent_at: Instant,
    ended: bool,
}

/// A target, and what the client knows of it.
enum Followed {
    One {
        cell: Arc<Cell>,
        format: Format,
        known: Known,
    },
    Many {
        namespace: Namespace,
        scope: Scope,
        view: View,
        format: Format,
        known: HashMap<ConfigName, Digest>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Absent,
    Document(Digest),
}

/// A message that is being made: from one state, however many parts it takes.
struct Sending {
    state: Arc<State>,
    snapshot: bool,
    reset: bool,
    marks: std::vec::IntoIter<(u32, Option<ConfigName>)>,
    /// Looked at already, and too large for the part before.
    carried: Option<TargetState>,
    parts: usize,
}

impl Hub {
    /// Opens a stream. Its first event is a snapshot.
    pub fn subscribe(self: &Arc<Hub>, options: WatchOptions) -> Result<Subscription, Error> {
        let mut table = self.write();
        let subscriber = self.add(&mut table)?;
        let state = table.state.clone();
        let reset = options.resume_token.is_some_and(|token| !honours(&state, &token));
        let mut marks = vec![];
        let mut targets = Vec::with_capacity(options.targets.len());
        for (place, target) in (0..).zip(options.targets) {
            let WatchTarget { selector, scope, view, format } = target;
            targets.push(match selector {
                WatchSelector::Config(id, held) => {
                    let cell = table.follow(&subscriber, place, &Target { id, scope, view });
                    marks.push((place, None));
                    let known = held.filter(|_| !reset).map_or(Known::Nothing, Known::Document);
                    Followed::One { cell, format, known }
                }
                WatchSelector::Namespace(namespace, held) => {
                    table.follow_namespace(&subscriber, place, &namespace, &scope, view);
                    let there = state.configs_of(&namespace).filter(|config| !config.is_deleted());
                    let held = if reset { Held::new() } else { held };
                    let names: BTreeSet<ConfigName> =
                        there.map(|config| config.id.config.clone()).chain(held.keys().cloned()).collect();
                    marks.extend(names.into_iter().map(|name| (place, Some(name))));
                    Followed::Many { namespace, scope, view, format, known: held.into_iter().collect() }
                }
            });
        }
        drop(table);
        let marks = marks.into_iter();
        let sending = Sending { state, snapshot: true, reset, marks, carried: None, parts: 0 };
        // Streams that were opened or told something together do not say that nothing changed together, too.
        let progress_interval = options.progress_interval.mul_f64(0.8 + 0.2 * fastrand::f64());
        Ok(Subscription {
            hub: self.clone(),
            subscriber,
            targets,
            sending: Some(sending),
            progress_interval,
            progress: Box::pin(tokio::time::sleep(progress_interval)),
            sent_at: Instant::now(),
            ended: false,
        })
    }
}

/// Whether a client with this token can be told only what changed since.
fn honours(state: &State, token: &str) -> bool {
    ResumeToken::parse(token)
        .is_some_and(|token| token.epoch == state.epoch && token.revision <= state.revision)
}

impl Subscription {
    /// The name of the stream, for `Hub::request_progress`.
    pub fn watch_id(&self) -> String {
        self.subscriber.id.0.to_string()
    }

    /// Makes the next part of what is being sent. `None` if there is nothing to tell after all.
    fn next_part(&mut self) -> Option<Event> {
        let mut sending = self.sending.take()?;
        let (mut states, mut bytes) = (vec![], 0);
        while let Some(state) = sending.carried.take().or_else(|| self.look_at_next(&mut sending)) {
            let more = state.bytes();
            if !states.is_empty() && (bytes + more > PART_BYTES_MAX || states.len() >= PART_STATES_MAX) {
                sending.carried = Some(state);
                break;
            }
            bytes += more;
            states.push(state);
        }
        sending.parts += 1;
        let (revision, more, reset) = (sending.state.revision, sending.carried.is_some(), sending.reset);
        let event = match sending.snapshot {
            true => Some(Event::Snapshot { revision, states, more, reset }),
            false if states.is_empty() => None,
            false => Some(Event::Update { revision, states, more }),
        };
        if more {
            self.sending = Some(sending);
        }
        event
    }

    /// The next marked target whose state the client does not know.
    fn look_at_next(&mut self, sending: &mut Sending) -> Option<TargetState> {
        loop {
            let (place, config) = sending.marks.next()?;
            let looked = self.targets[place as usize].look(&self.hub, sending, config);
            if looked.is_some() {
                return looked;
            }
        }
    }

    fn start_sending(&mut self) -> Option<Arc<State>> {
        let table = self.hub.read();
        if table.draining {
            return None;
        }
        let state = table.state.clone();
        let marks = self.subscriber.take_marks();
        drop(table);
        if !marks.is_empty() {
            let marks = marks.into_iter();
            let sending = Sending {
                state: state.clone(),
                snapshot: false,
                reset: false,
                marks,
                carried: None,
                parts: 0,
            };
            self.sending = Some(sending);
        }
        Some(state)
    }
}

impl Followed {
    /// The state of the target, unless the client knows it and it is not for a snapshot. From here on the client knows it.
    fn look(&mut self, hub: &Hub, sending: &Sending, config: Option<ConfigName>) -> Option<TargetState> {
        match self {
            Followed::One { cell, format, known } => {
                let resolved = cell.resolve(&sending.state, &hub.resolver);
                let status = TargetStatus::tell(known, resolved, sending.snapshot)?;
                Some(TargetState { target: cell.target.clone(), format: *format, status })
            }
            Followed::Many { namespace, scope, view, format, known } => {
                let config = config.expect("marks of a namespace name the config");
                let target = Table::target_in(namespace, &config, scope, *view);
                let state = sending.state.config(&target.id);
                let resolved = state.and_then(|state| hub.resolver.resolve(state, &target));
                let mut now = known.get(&config).map_or(Known::Absent, |digest| Known::Document(*digest));
                // What the client never had, it need not be told to be absent.
                let of_interest = now != Known::Absent || resolved.is_some();
                let status = TargetStatus::tell(&mut now, resolved, sending.snapshot && of_interest)?;
                match now {
                    Known::Document(digest) => known.insert(config, digest),
                    Known::Absent | Known::Nothing => known.remove(&config),
                };
                Some(TargetState { target, format: *format, status })
            }
        }
    }
}

impl TargetStatus {
    /// What to say of a document that the client knows as `known`: nothing if it knows, unless it must be `always`.
    fn tell(known: &mut Known, resolved: Option<Arc<Resolved>>, always: bool) -> Option<TargetStatus> {
        let now = resolved.as_ref().map_or(Known::Absent, |resolved| Known::Document(resolved.digest));
        let same = *known == now;
        *known = now;
        match resolved {
            _ if same && !always => None,
            Some(_) if same => Some(TargetStatus::Current),
            Some(resolved) => Some(TargetStatus::Present(resolved)),
            None => Some(TargetStatus::Absent),
        }
    }
}

impl TargetState {
    fn bytes(&self) -> usize {
        // In the target, and in the document.
        let head = STATE_BYTES + 2 * self.target.scope.as_str().len();
        match &self.status {
            TargetStatus::Present(resolved) => {
                let layers = resolved.layers.iter().map(|entry| LAYER_BYTES + entry.key.scope.as_str().len());
                head + layers.sum::<usize>() + resolved.deliverable_bytes(self.format)
            }
            TargetStatus::Current | TargetStatus::Absent => head,
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.subscriber.register(context.waker());
        loop {
            if let Some(event) = self.next_part() {
                self.sent_at = Instant::now();
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(state) = self.start_sending() else {
                self.ended = true;
                let retry_after = super::super::RETRY_AFTER;
                return Poll::Ready(Some(Err(Error::Draining { retry_after })));
            };
            if self.sending.is_some() {
                continue;
            }
            if self.subscriber.take_progress(state.revision) {
                self.sent_at = Instant::now();
                return Poll::Ready(Some(Ok(Event::Progress { revision: state.revision })));
            }
            if self.progress.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let due = self.sent_at + self.progress_interval;
            if Instant::now() >= due {
                self.sent_at = Instant::now();
                let next = self.sent_at + self.progress_interval;
                self.progress.as_mut().reset(next);
                return Poll::Ready(Some(Ok(Event::Progress { revision: state.revision })));
            }
            self.progress.as_mut().reset(due);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let id = self.subscriber.id;
        let mut table = self.hub.write();
        table.subscribers.remove(&id);
        self.hub.progress_waiters().remove(&id);
        for (place, target) in (0..).zip(&self.targets) {
            match target {
                Followed::One { cell, .. } => table.unfollow(id, place, cell),
                Followed::Many { namespace, .. } => table.unfollow_namespace(id, place, namespace),
            }
        }
    }
}
