//! The state of the targets, as folded from the messages of one stream after the other. Pure: knows no stream and no
//! clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::v1::watch_response::Event as Message;
use crate::proto::v1::{
    Document, Format, State, TargetState, View, WatchRequest, WatchResponse, WatchTarget,
};

/// Every config of a namespace.
const ALL_CONFIGS: &str = "*";

/// What identifies a target in every message: it in normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    namespace: String,
    config: String,
    scope: String,
    view: i32,
    format: i32,
    apply_defaults: bool,
}

/// The latest state of every target, and where to resume.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Held {
    /// What was asked for, without digests.
    targets: Vec<WatchTarget>,
    /// `None`: known to be absent, for targets that were asked for by name.
    documents: BTreeMap<Key, Option<Document>>,
    revision: u64,
    resume_token: String,
    progress: Progress,
    /// The server spoke of what is not held, so what is held is not offered to it any more.
    distrusted: bool,
    /// The parts so far of an event whose last part has not come.
    parts: Option<Parts>,
}

/// How far the current stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    BeforeSnapshot,
    Following,
}

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    kind: EventKind,
    states: Vec<TargetState>,
}

/// What a whole event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Snapshot { reset: bool },
    Update,
    Progress,
}

/// A whole event, after it was folded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) kind: EventKind,
    /// The targets whose document differs from what was held.
    pub(super) changed: Vec<Key>,
}

/// A message that the contract does not allow here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the contract: {0}")]
pub(super) struct ProtocolError(pub(super) &'static str);

impl Held {
    pub(super) fn new(targets: &[WatchTarget]) -> Held {
        Held { targets: targets.iter().map(without_digests).collect(), ..Held::default() }
    }

    /// Takes up what an earlier watcher held. What is not asked for any more is left out; the token goes with the
    /// targets, so it only counts for the same ones.
    pub(super) fn restore(
        &mut self,
        targets: &[WatchTarget],
        resume_token: String,
        revision: u64,
        documents: impl IntoIterator<Item = (WatchTarget, Option<Document>)>,
    ) {
        if targets == self.targets {
            (self.resume_token, self.revision) = (resume_token, revision);
        }
        for (target, document) in documents {
            let key = Key::of(&target);
            if self.targets.iter().any(|target| key.belongs_to(target)) {
                self.documents.insert(key, document);
            }
        }
    }

    /// A new stream begins: what parts the last one left are void.
    pub(super) fn begin(&mut self) -> WatchRequest {
        self.parts = None;
        self.progress = Progress::BeforeSnapshot;
        if self.distrusted {
            return WatchRequest { targets: self.targets.clone(), ..Default::default() };
        }
        let targets = self.targets.iter().map(|target| self.with_digests(target)).collect();
        WatchRequest { targets, resume_token: self.resume_token.clone(), ..Default::default() }
    }

    /// The next stream starts afresh, without token and digests. What is held is served until its snapshot is there.
    pub(super) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// Takes a message in. `None` as long as further parts are to come, and for an event of a later contract.
    pub(super) fn fold(&mut self, message: WatchResponse) -> Result<Option<Folded>, ProtocolError> {
        let (kind, states, more) = match message.event {
            Some(Message::Snapshot(snapshot)) => {
                (EventKind::Snapshot { reset: snapshot.is_reset }, snapshot.states, snapshot.more)
            }
            Some(Message::Update(update)) => (EventKind::Update, update.states, update.more),
            Some(Message::Progress(_)) => (EventKind::Progress, Vec::new(), false),
            None => return Ok(None),
        };
        let parts = match self.parts.take() {
            None => Parts { kind: self.check_order(kind)?, states },
            Some(before) => before.followed_by(kind, states)?,
        };
        if more {
            self.parts = Some(parts);
            return Ok(None);
        }
        let changed = self.apply(&parts.kind, parts.states)?;
        self.progress = Progress::Following;
        self.distrusted = false;
        self.revision = message.revision;
        if !message.resume_token.is_empty() {
            self.resume_token = message.resume_token;
        }
        Ok(Some(Folded { kind: parts.kind, changed }))
    }

    pub(super) fn targets(&self) -> &[WatchTarget] {
        &self.targets
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn resume_token(&self) -> &str {
        &self.resume_token
    }

    /// Every target that is known, sorted.
    pub(super) fn states(&self) -> impl Iterator<Item = (&Key, Option<&Document>)> {
        self.documents.iter().map(|(key, document)| (key, document.as_ref()))
    }

    /// `None`: nothing is known of it. `Some(None)`: it is absent.
    pub(super) fn state(&self, key: &Key) -> Option<Option<&Document>> {
        self.documents.get(key).map(Option::as_ref)
    }

    /// A snapshot begins every stream, and only begins it.
    fn check_order(&self, kind: EventKind) -> Result<EventKind, ProtocolError> {
        match (self.progress, kind) {
            (Progress::BeforeSnapshot, EventKind::Snapshot { .. })
            | (Progress::Following, EventKind::Update | EventKind::Progress) => Ok(kind),
            (Progress::BeforeSnapshot, EventKind::Update | EventKind::Progress) => {
                Err(ProtocolError("a stream that does not begin with a snapshot"))
            }
            (Progress::Following, EventKind::Snapshot { .. }) => Err(ProtocolError("a second snapshot")),
        }
    }

    /// All states or, if one of them makes no sense, none.
    fn apply(&mut self, kind: &EventKind, states: Vec<TargetState>) -> Result<Vec<Key>, ProtocolError> {
        let states: Vec<_> =
            states.into_iter().map(|state| self.resolve(state)).collect::<Result<_, ProtocolError>>()?;
        let gone = match kind {
            EventKind::Snapshot { .. } => {
                let named: BTreeSet<_> = states.iter().map(|(key, _)| key).collect();
                self.documents.keys().filter(|key| !named.contains(key)).cloned().collect()
            }
            EventKind::Update | EventKind::Progress => Vec::new(),
        };
        let mut changed = Vec::new();
        for (key, document) in states.into_iter().chain(gone.into_iter().map(|key| (key, None))) {
            if self.put(&key, document) {
                changed.push(key);
            }
        }
        Ok(changed)
    }

    /// The document that a state says a target has.
    fn resolve(&self, state: TargetState) -> Result<(Key, Option<Document>), ProtocolError> {
        let kind = state.state();
        let target = state.target.as_ref().ok_or(ProtocolError("a state without a target"))?;
        let key = Key::of(target);
        let document = match kind {
            State::Present => {
                Some(state.document.ok_or(ProtocolError("a present target without a document"))?)
            }
            State::Current => match self.documents.get(&key) {
                Some(Some(held)) => Some(held.clone()),
                Some(None) | None => return Err(ProtocolError("a current target that is not held")),
            },
            State::Absent => None,
            State::Unspecified => return Err(ProtocolError("a target with an unknown state")),
        };
        Ok((key, document))
    }

    /// Whether the content is another one than before. A document of the same content may be of another version.
    fn put(&mut self, key: &Key, document: Option<Document>) -> bool {
        let asked_for_by_name = || self.targets.iter().any(|target| Key::of(target) == *key);
        let before = match (&document, self.documents.contains_key(key)) {
            // What "*" found and is gone: remembering it would make a namespace of short-lived configs grow for ever.
            (None, true) if !asked_for_by_name() => self.documents.remove(key),
            (None, false) if !asked_for_by_name() => return false,
            (Some(_) | None, _) => self.documents.insert(key.clone(), document.clone()),
        };
        let digest = |document: Option<&Document>| document.map(|document| document.digest.clone());
        match before {
            Some(before) => digest(before.as_ref()) != digest(document.as_ref()),
            None => true,
        }
    }

    fn with_digests(&self, target: &WatchTarget) -> WatchTarget {
        let digests = |key: &Key| self.documents.get(key)?.as_ref().map(|document| document.digest.clone());
        let mut target = target.clone();
        if target.config == ALL_CONFIGS {
            let of_target = self.documents.keys().filter(|key| key.belongs_to(&target));
            target.held = of_target.filter_map(|key| Some((key.config.clone(), digests(key)?))).collect();
        } else {
            target.if_none_match = digests(&Key::of(&target)).unwrap_or_default();
        }
        target
    }
}

impl Parts {
    fn followed_by(mut self, kind: EventKind, states: Vec<TargetState>) -> Result<Parts, ProtocolError> {
        self.kind = match (self.kind, kind) {
            (EventKind::Snapshot { reset: before }, EventKind::Snapshot { reset }) => {
                EventKind::Snapshot { reset: before || reset }
            }
            (EventKind::Update, EventKind::Update) => EventKind::Update,
            (EventKind::Snapshot { .. } | EventKind::Update | EventKind::Progress, _) => {
                return Err(ProtocolError("another event amid the parts of one"));
            }
        };
        self.states.extend(states);
        Ok(self)
    }
}

impl Key {
    pub(super) fn of(target: &WatchTarget) -> Key {
        let scope = match target.scope.strip_suffix('/').unwrap_or(&target.scope) {
            "" => "/",
            scope => scope,
        };
        Key {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: scope.to_owned(),
            view: if target.view() == View::Unspecified { View::Effective.into() } else { target.view },
            format: if target.format() == Format::Unspecified { Format::Json.into() } else { target.format },
            apply_defaults: target.apply_defaults,
        }
    }

    pub(super) fn target(&self) -> WatchTarget {
        WatchTarget {
            namespace: self.namespace.clone(),
            config: self.config.clone(),
            scope: self.scope.clone(),
            view: self.view,
            format: self.format,
            apply_defaults: self.apply_defaults,
            ..Default::default()
        }
    }

    /// Whether `target` asks for this one, by name or with all others.
    fn belongs_to(&self, target: &WatchTarget) -> bool {
        let target = Key::of(target);
        (target.config == ALL_CONFIGS || target.config == self.config)
            && (&target.namespace, &target.scope, target.view, target.format, target.apply_defaults)
                == (&self.namespace, &self.scope, self.view, self.format, self.apply_defaults)
    }
}

fn without_digests(target: &WatchTarget) -> WatchTarget {
    WatchTarget { if_none_match: String::new(), held: BTreeMap::new(), ..target.clone() }
}

#[cfg(test)]
mod tests;
