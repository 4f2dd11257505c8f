//! A stream of several targets: what its client knows of each, and messages of what changed, in parts if they are large. Knows
//! nothing of waking.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::auth::Sight;
use crate::model::text::Format;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Scope};

use super::super::resolve::{Resolver, Target, View};
use super::super::sight::Secrets;
use super::super::state::State;
use super::cell::Cell;
use super::message::{Event, Known, TargetState, TargetStatus};
use super::subscriber::{Mark, Subscriber};
use super::table::Table;

/// Text of the documents of one message, and what it may have besides: a message stays below the 4 MiB that gRPC
/// clients receive by default.
const PART_BYTES_MAX: usize = (4 << 20) - (256 << 10);
/// States of one message.
const PART_STATES_MAX: usize = 1000;

/// The targets of a stream, in the order of its request, and the message that is being told.
pub(super) struct Several {
    targets: Vec<Followed>,
    sending: Option<Sending>,
    /// What is shown of them.
    sight: Sight,
    /// What was shown before, and the targets whose cells are others since: the client has yet to hear of the difference.
    seen_before: Option<(Sight, Vec<u32>)>,
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
    /// How they stand for most of them: what is told of these is made once for many streams.
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
    pub fn new(targets: Vec<Followed>, sight: Sight) -> Several {
        Several { targets, sending: None, sight, seen_before: None }
    }

    /// From now on it shows what this one may see. The next message tells what that changes.
    pub fn see_as(&mut self, sight: &Sight, table: &mut Table, state: &State, subscriber: &Arc<Subscriber>) {
        let before = std::mem::replace(&mut self.sight, sight.clone());
        let (_, others) = self.seen_before.get_or_insert_with(|| (before, vec![]));
        for (place, target) in (0..).zip(&mut self.targets) {
            let Followed::One(one) = target else { continue };
            let was = one.cell.clone();
            if one.see_as(&self.sight, table, state) {
                one.cell.among().add(subscriber, place);
                was.among().remove(subscriber.id, place);
                table.release(&was);
                others.push(place);
            }
        }
    }

    /// Whether there is something to look at although nothing was committed.
    pub fn sees_otherwise(&self) -> bool {
        self.seen_before.is_some()
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
                    looks.extend(many.names(&state).into_iter().map(|name| Look::OneOfMany(place, name)));
                }
            }
        }
        self.seen_before = None;
        let looks = looks.into_iter();
        self.sending = Some(Sending { state, kind: Kind::Snapshot { reset }, looks, carried: None });
    }

    /// Starts the message that says what changed, if anything did. The marks must be those up to the state.
    pub fn start_update(&mut self, state: Arc<State>, marks: Vec<Mark>) {
        let mut looks: Vec<_> = marks.into_iter().map(Look::Marked).collect();
        if let Some((before, others)) = self.seen_before.take() {
            looks.extend(others.into_iter().map(Look::One));
            for (place, target) in (0..).zip(&self.targets) {
                let Followed::Many(many) = target else { continue };
                let names = many.names(&state).into_iter();
                let others =
                    names.filter(|name| many.seen_by(&before, name) != many.seen_by(&self.sight, name));
                looks.extend(others.map(|name| Look::OneOfMany(place, name)));
            }
        }
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
                (Followed::Many(many), Some(config)) => {
                    many.look(sending, config, many.seen_by(&self.sight, config), &look, resolver)
                }
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
    /// Looks by the cell of what this one may see. Whether that is another; the table is then to be told who follows which.
    pub fn see_as(&mut self, sight: &Sight, table: &mut Table, state: &State) -> bool {
        let target = &self.cell.target;
        let secrets = Secrets::seen_by(sight, &target.id, &target.scope);
        let is_other = secrets != target.secrets;
        if is_other {
            self.cell = table.cell(Target { secrets, ..Target::clone(target) }, state);
        }
        is_other
    }

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
    /// The configs that there are, and those of which the client holds something.
    fn names(&self, state: &State) -> BTreeSet<ConfigName> {
        let there = state
            .configs_of(&self.namespace)
            .filter(|config| !config.is_deleted() && config.id.config.is_ordinary());
        there.map(|config| &config.id.config).chain(self.known.keys()).cloned().collect()
    }

    /// How a config stands for somebody. `None`: it is not shown, as if it were not there.
    fn seen_by(&self, sight: &Sight, config: &ConfigName) -> Option<Secrets> {
        let id = ConfigId { namespace: self.namespace.clone(), config: config.clone() };
        let is_seen = sight.has(&id.namespace, &id.config, &self.scope);
        is_seen.then(|| Secrets::seen_by(sight, &id, &self.scope))
    }

    fn target(&self, config: &ConfigName, secrets: Secrets) -> Arc<Target> {
        let id = ConfigId { namespace: self.namespace.clone(), config: config.clone() };
        Arc::new(Target { id, scope: self.scope.clone(), view: self.view, secrets })
    }

    /// What to tell of a config, which stands like this.
    fn look(
        &mut self,
        sending: &Sending,
        config: &ConfigName,
        seen: Option<Secrets>,
        look: &Look,
        resolver: &Resolver,
    ) -> Option<TargetState> {
        let state = &sending.state;
        let (target, document) = match (look, seen) {
            (_, None) => (self.target(config, self.secrets), None),
            (Look::Marked(Mark { told: Some(told), .. }), Some(secrets))
                if told.revision <= state.revision && told.target.secrets == secrets =>
            {
                (told.target.clone(), told.document(resolver).cloned())
            }
            (Look::Marked(_) | Look::One(_) | Look::OneOfMany(..), Some(secrets)) => {
                let target = self.target(config, secrets);
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
