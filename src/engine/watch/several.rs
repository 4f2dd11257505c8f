//! A stream of several targets: what its client knows of each, and messages of what changed, in parts if they are large. Knows
//! nothing of waking.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::text::Format;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Scope};

use super::super::resolve::{Resolver, Target, View};
use super::super::sight::Secrets;
use super::super::state::State;
use super::cell::Cell;
use super::message::{Event, Known, TargetState, TargetStatus};
use super::subscriber::Mark;

/// Text of the documents of one message, and what it may have besides: a message stays below the 4 MiB that gRPC
/// clients receive by default.
const PART_BYTES_MAX: usize = (4 << 20) - (256 << 10);
/// States of one message.
const PART_STATES_MAX: usize = 1000;

/// The targets of a stream, in the order of its request, and the message that is being told.
pub(super) struct Several {
    targets: Vec<Followed>,
    sending: Option<Sending>,
}

/// A target, and what the client knows of it.
pub(super) enum Followed {
    One(FollowedOne),
    Many(Box<FollowedMany>),
}

pub(super) struct FollowedOne {
    pub cell: Arc<Cell>,
    pub format: Format,
    pub known: Known,
}

/// Every config of a namespace.
pub(super) struct FollowedMany {
    pub namespace: Namespace,
    pub scope: Scope,
    pub view: View,
    pub secrets: Secrets,
    pub format: Format,
    pub known: HashMap<ConfigName, Digest>,
}

/// A message that is being made: from one state, however many parts it takes.
struct Sending {
    state: Arc<State>,
    kind: Kind,
    looks: std::vec::IntoIter<Look>,
    /// Looked at already, and too large for the part before.
    carried: Option<TargetState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snapshot { reset: bool },
    Update,
}

/// What to look at.
enum Look {
    Marked(Mark),
    /// For a snapshot.
    One(u32),
    OneOfMany(u32, ConfigName),
}

impl Several {
    pub fn new(targets: Vec<Followed>) -> Several {
        Several { targets, sending: None }
    }

    pub fn targets(&self) -> &[Followed] {
        &self.targets
    }

    /// Starts the message that says what every target is.
    pub fn start_snapshot(&mut self, state: Arc<State>, reset: bool) {
        let mut looks = vec![];
        for (place, target) in (0..).zip(&self.targets) {
            match target {
                Followed::One(_) => looks.push(Look::One(place)),
                Followed::Many(many) => {
                    let there = state
                        .configs_of(&many.namespace)
                        .filter(|config| !config.is_deleted() && config.id.config.is_ordinary());
                    let names = there.map(|config| &config.id.config).chain(many.known.keys());
                    let names: BTreeSet<ConfigName> = names.cloned().collect();
                    looks.extend(names.into_iter().map(|name| Look::OneOfMany(place, name)));
                }
            }
        }
        let looks = looks.into_iter();
        self.sending = Some(Sending { state, kind: Kind::Snapshot { reset }, looks, carried: None });
    }

    /// Starts the message that says what changed, if anything did. The marks must be those up to the state.
    pub fn start_update(&mut self, state: Arc<State>, marks: Vec<Mark>) {
        let looks: Vec<_> = marks.into_iter().map(Look::Marked).collect();
        self.sending = Some(Sending { state, kind: Kind::Update, looks: looks.into_iter(), carried: None });
    }

    /// The next part of what is being told. `None` if nothing is, or there is nothing to tell after all.
    pub fn next_part(&mut self, resolver: &Resolver) -> Option<Event> {
        let mut sending = self.sending.take()?;
        let (mut states, mut bytes) = (vec![], 0);
        while let Some(state) = sending.carried.take().or_else(|| self.look_at_next(&mut sending, resolver)) {
            let more = state.bytes_max();
            if !states.is_empty() && (bytes + more > PART_BYTES_MAX || states.len() >= PART_STATES_MAX) {
                sending.carried = Some(state);
                break;
            }
            bytes += more;
            states.push(state);
        }
        let (revision, more) = (sending.state.revision, sending.carried.is_some());
        let event = match sending.kind {
            Kind::Snapshot { reset } => Some(Event::Snapshot { revision, states, more, reset }),
            Kind::Update if states.is_empty() => None,
            Kind::Update => Some(Event::Update { revision, states, more }),
        };
        if more {
            self.sending = Some(sending);
        }
        event
    }

    /// The next target that the client is to be told of. From here on it knows it.
    fn look_at_next(&mut self, sending: &mut Sending, resolver: &Resolver) -> Option<TargetState> {
        loop {
            let look = sending.looks.next()?;
            let (place, config) = match &look {
                Look::Marked(mark) => (mark.place, mark.told.as_ref().map(|told| &told.target.id.config)),
                Look::One(place) => (*place, None),
                Look::OneOfMany(place, config) => (*place, Some(config)),
            };
            let looked = match (&mut self.targets[place as usize], config) {
                (Followed::One(one), None) => match sending.kind {
                    Kind::Snapshot { .. } => Some(one.greet(&sending.state, resolver)),
                    Kind::Update => one.look(&sending.state, resolver),
                },
                (Followed::Many(many), Some(config)) => many.look(sending, config, &look, resolver),
                (Followed::One(_), Some(_)) | (Followed::Many(_), None) => {
                    unreachable!("a config is named where many are followed, and only there")
                }
            };
            if looked.is_some() {
                return looked;
            }
        }
    }
}

impl Followed {
    pub fn namespace(&self) -> &Namespace {
        match self {
            Followed::One(one) => &one.cell.target.id.namespace,
            Followed::Many(many) => &many.namespace,
        }
    }
}

impl FollowedOne {
    /// What the target is in a state, for a snapshot. From here on the client knows it.
    pub fn greet(&mut self, state: &State, resolver: &Resolver) -> TargetState {
        let known = std::mem::replace(&mut self.known, Known::Absent);
        let document = self.cell.document_at(state, resolver);
        self.known = Known::of(document.as_ref());
        let status = match known == self.known && document.is_some() {
            true => TargetStatus::Current(self.cell.target.clone()),
            // With the version of now: elsewhere the config may have changed since the target did.
            false => TargetStatus::of(&self.cell.target, self.cell.current_document_at(state, resolver)),
        };
        TargetState { format: self.format, status }
    }

    /// What a target that may have changed is in a state. `None` if the client knows it.
    fn look(&mut self, state: &State, resolver: &Resolver) -> Option<TargetState> {
        let document = self.cell.document_at(state, resolver);
        let now = Known::of(document.as_ref());
        if now == self.known {
            return None;
        }
        self.known = now;
        Some(TargetState { format: self.format, status: TargetStatus::of(&self.cell.target, document) })
    }
}

impl FollowedMany {
    fn look(
        &mut self,
        sending: &Sending,
        config: &ConfigName,
        look: &Look,
        resolver: &Resolver,
    ) -> Option<TargetState> {
        let state = &sending.state;
        let (target, document) = match look {
            Look::Marked(Mark { told: Some(told), .. }) if told.revision <= state.revision => {
                (told.target.clone(), told.document(resolver).cloned())
            }
            Look::Marked(_) | Look::One(_) | Look::OneOfMany(..) => {
                let id = ConfigId { namespace: self.namespace.clone(), config: config.clone() };
                let (scope, view, secrets) = (self.scope.clone(), self.view, self.secrets);
                let target = Arc::new(Target { id, scope, view, secrets });
                let document = resolver.resolve_in(state, &target);
                (target, document)
            }
        };
        let before = self.known.get(config).map_or(Known::Absent, |digest| Known::Document(*digest));
        let now = Known::of(document.as_ref());
        let status = match (before == now, sending.kind, document) {
            // What the client never had, it need not be told to be absent.
            (true, Kind::Update, _) | (true, Kind::Snapshot { .. }, None) => return None,
            (true, Kind::Snapshot { .. }, Some(_)) => TargetStatus::Current(target),
            (false, _, document) => TargetStatus::of(&target, document),
        };
        match now {
            Known::Document(digest) => self.known.insert(config.clone(), digest),
            Known::Absent | Known::Nothing => self.known.remove(config),
        };
        Some(TargetState { format: self.format, status })
    }
}
