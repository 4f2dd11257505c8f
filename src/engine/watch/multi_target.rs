//! A stream of several targets: the knowledge of its client about each, and messages with the changed targets, in parts if they are large. Knows
//! nothing of waking.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::coop::consume_budget;

use crate::auth::Visibility;
use crate::model::quota::Quota;
use crate::model::{ConfigId, ConfigName, Revision};

use super::followed::{Followed, FollowedMany, FollowedOne};
use super::message::{Event, Known, TargetState, TargetStatus};
use super::subscriber::{Mark, Subscriber};
use super::table::Table;
use super::walk::{TargetWalk, WalkStep};
use super::watchers::Watches;
use crate::engine::error::Error;
use crate::engine::read::resolve::{Resolver, Target};
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::state::State;

/// Text of the documents of one message, and what it may have besides: a message stays below the 4 MiB that gRPC
/// clients receive by default.
const PART_BYTES_MAX: usize = (4 << 20) - (256 << 10);
/// States of one message.
const PART_STATES_MAX: usize = 1000;
/// Targets and configs that are looked at for one message, or before others have their turn.
const PART_LOOKS_MAX: usize = 1000;
/// Configs that a step of a walk has read without finding a visible one count as so many targets.
const SCAN_LOOKS: usize = 32;
/// The multiple of the quota of watchers that a namespace may reach by growing after its streams were opened.
const GROWTH_MAX: u64 = 2;
/// The number of watchers of a namespace below which its quota is not checked again.
const WATCHERS_UNCHECKED: u64 = 1000;
/// So many looks, or so many bytes, take a unit of what a task of tokio may do before others have their turn: it has 128 of them.
const LOOKS_OF_A_TURN: usize = 32;
const BYTES_OF_A_TURN: usize = 128 << 10;

/// The targets of a stream, in the order of its request, and the message that is being sent.
pub(super) struct MultiTarget {
    targets: Vec<Followed>,
    sending: Option<Sending>,
    /// The part of the targets that the client may see.
    visibility: Visibility,
    /// The part that the client could see before, and the targets whose shared targets have changed since: the difference has yet to be sent.
    seen_before: Option<(Visibility, Vec<u32>)>,
    /// The cost of the parts that were made, in units that the task has yet to be charged with.
    cost: usize,
}

/// A message that is being made: from one state, however many parts it takes.
struct Sending {
    state: Arc<State>,
    kind: MessageKind,
    listed: std::vec::IntoIter<Candidate>,
    /// The configs after the listed ones.
    walk: Option<TargetWalk>,
    /// For a walk of an update: the part that the client could see before. Only configs that are shown differently now are read.
    seen_before: Option<Visibility>,
    /// A state that was too large for the part before.
    carried: Option<TargetState>,
    /// A part was sent, so that the message must be ended.
    is_begun: bool,
}

/// The next part of a message that is being made.
pub(super) enum Part {
    Event(Event),
    /// There may be more, after others had their turn.
    Later,
    /// Nothing had to be sent up to this revision.
    Nothing(Revision),
}

/// Why a step gives no state to send.
enum Nothing {
    /// All targets were checked.
    Left,
    /// The work of one turn is done.
    ForNow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageKind {
    Snapshot { reset: bool },
    Update,
}

/// The targets to check.
enum Candidate {
    Marked(Mark),
    /// For a snapshot.
    One(u32),
    OneOfMany(u32, ConfigName),
}

impl MultiTarget {
    pub fn new(targets: Vec<Followed>, visibility: Visibility) -> MultiTarget {
        MultiTarget { targets, sending: None, visibility, seen_before: None, cost: 0 }
    }

    /// Replaces the part that the client may see. The next message has the changes that follow.
    pub fn see_as(
        &mut self,
        visibility: &Visibility,
        table: &mut Table,
        state: &State,
        subscriber: &Arc<Subscriber>,
    ) {
        let before = std::mem::replace(&mut self.visibility, visibility.clone());
        let (_, others) = self.seen_before.get_or_insert_with(|| (before, vec![]));
        for (place, target) in (0..).zip(&mut self.targets) {
            let one = match target {
                Followed::One(one) => one,
                Followed::Many(many) => {
                    many.known.see_as(visibility);
                    continue;
                }
            };
            let was = one.shared_target.clone();
            if one.see_as(&self.visibility, table, state) {
                one.shared_target.among().add(subscriber, place);
                was.among().remove(subscriber.id, place);
                table.release(&was);
                others.push(place);
            }
        }
    }

    /// Whether targets have to be checked although nothing was committed.
    pub fn sees_otherwise(&self) -> bool {
        self.seen_before.is_some()
    }

    /// Configs of which the stream keeps what its client holds.
    pub fn configs_held(&self) -> usize {
        let held = self.targets.iter().map(|target| match target {
            Followed::One(_) => 1,
            Followed::Many(many) => many.known.len(),
        });
        held.sum()
    }

    pub fn targets(&self) -> &[Followed] {
        &self.targets
    }

    /// Ready when the task has yielded for the parts that were made before: other tasks may be waiting for their turn. A single update
    /// costs nothing.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.cost > 0 {
            ready!(pin!(consume_budget()).poll(context));
            self.cost -= 1;
        }
        Poll::Ready(())
    }

    /// Whether a message is being sent in parts, which keeps in memory the state from which it is made.
    pub fn is_telling(&self) -> bool {
        self.sending.is_some()
    }

    /// Starts the message that says what every target is. Nothing is looked at yet, and nothing is listed: a namespace can have very
    /// many configs.
    pub fn start_snapshot(&mut self, state: Arc<State>, reset: bool) {
        self.seen_before = None;
        self.sending = Some(Sending {
            state,
            kind: MessageKind::Snapshot { reset },
            listed: vec![].into_iter(),
            walk: Some(TargetWalk::all()),
            seen_before: None,
            carried: None,
            is_begun: false,
        });
    }

    /// Starts the message that says what changed, if anything did. The marks must be those up to the state.
    pub fn start_update(&mut self, state: Arc<State>, marks: Vec<Mark>) {
        let mut listed: Vec<_> = marks.into_iter().map(Candidate::Marked).collect();
        let (mut walk, mut seen_before) = (None, None);
        if let Some((before, others)) = self.seen_before.take() {
            listed.extend(others.into_iter().map(Candidate::One));
            walk = Some(TargetWalk::namespaces());
            seen_before = Some(before);
        }
        let listed = listed.into_iter();
        let (kind, carried, is_begun) = (MessageKind::Update, None, false);
        self.sending = Some(Sending { state, kind, listed, walk, seen_before, carried, is_begun });
    }

    /// The next part of the message that is being sent. `None`: no message is. Fails once a namespace has grown so much that it has too many watchers.
    pub fn next_part(&mut self, subscriber: &Subscriber, resolver: &Resolver) -> Option<Result<Part, Error>> {
        let sending = self.sending.take()?;
        Some(self.part_of(sending, subscriber, resolver))
    }

    fn part_of(
        &mut self,
        mut sending: Sending,
        subscriber: &Subscriber,
        resolver: &Resolver,
    ) -> Result<Part, Error> {
        let (mut states, mut bytes, mut looks_left) = (vec![], 0, PART_LOOKS_MAX);
        let more = loop {
            let looked = match sending.carried.take() {
                Some(state) => Ok(state),
                None => self.look_at_next(&mut sending, subscriber, resolver, &mut looks_left)?,
            };
            let state = match looked {
                Ok(state) => state,
                Err(Nothing::Left) => break false,
                Err(Nothing::ForNow) => break true,
            };
            let more = state.bytes_max();
            if !states.is_empty() && (bytes + more > PART_BYTES_MAX || states.len() >= PART_STATES_MAX) {
                sending.carried = Some(state);
                break true;
            }
            bytes += more;
            states.push(state);
        };
        self.cost += (PART_LOOKS_MAX - looks_left) / LOOKS_OF_A_TURN + bytes / BYTES_OF_A_TURN;
        let is_empty = states.is_empty();
        let (revision, kind, is_begun) = (sending.state.revision, sending.kind, sending.is_begun);
        if more {
            sending.is_begun |= !is_empty;
            self.sending = Some(sending);
        } else {
            subscriber.ends_telling();
        }
        Ok(match kind {
            _ if more && is_empty => Part::Later,
            MessageKind::Update if is_empty && !is_begun => Part::Nothing(revision),
            MessageKind::Snapshot { reset } => Part::Event(Event::Snapshot { revision, states, more, reset }),
            MessageKind::Update => Part::Event(Event::Update { revision, states, more }),
        })
    }

    /// The next target whose state has to be sent. The client counts as knowing the state from here on.
    fn look_at_next(
        &mut self,
        sending: &mut Sending,
        subscriber: &Subscriber,
        resolver: &Resolver,
        looks_left: &mut usize,
    ) -> Result<Result<TargetState, Nothing>, Error> {
        loop {
            if *looks_left == 0 {
                return Ok(Err(Nothing::ForNow));
            }
            let look = match sending.listed.next() {
                Some(look) => look,
                None => {
                    let walk = sending.walk.as_mut();
                    match walk.and_then(|walk| walk.next(&self.targets, &sending.state)) {
                        None => return Ok(Err(Nothing::Left)),
                        Some(WalkStep::One(place)) => Candidate::One(place),
                        Some(WalkStep::OneOfMany(place, config)) => Candidate::OneOfMany(place, config),
                        Some(WalkStep::Scanned) => {
                            *looks_left = looks_left.saturating_sub(SCAN_LOOKS);
                            continue;
                        }
                    }
                }
            };
            *looks_left -= 1;
            let (place, config) = match &look {
                Candidate::Marked(mark) => {
                    (mark.place, mark.told.as_ref().map(|told| &told.target.id.config))
                }
                Candidate::One(place) => (*place, None),
                Candidate::OneOfMany(place, config) => (*place, Some(config)),
            };
            let looked = match (&mut self.targets[place as usize], config) {
                (Followed::One(one), None) => match sending.kind {
                    MessageKind::Snapshot { .. } => Some(one.greet(subscriber, &sending.state, resolver)),
                    MessageKind::Update => one.look(subscriber, &sending.state, resolver),
                },
                (Followed::Many(many), Some(config)) => {
                    let seen = many.seen_by(&self.visibility, config);
                    let is_same = |before| many.seen_by(before, config) == seen;
                    if matches!(look, Candidate::OneOfMany(..))
                        && sending.seen_before.as_ref().is_some_and(is_same)
                    {
                        continue;
                    }
                    let looked = many.look(sending, config, seen, &look, resolver);
                    if looked.is_some() {
                        many.check_growth(&sending.state)?;
                    }
                    looked
                }
                (Followed::One(_), Some(_)) | (Followed::Many(_), None) => {
                    unreachable!("a config is named where many are followed, and only there")
                }
            };
            if let Some(state) = looked {
                return Ok(Ok(state));
            }
        }
    }
}

impl Followed {
    /// The kind of the target for the count of watchers.
    pub fn watches(&self) -> Watches<'_> {
        match self {
            Followed::One(one) => Watches::One(&one.shared_target.target.id.namespace),
            Followed::Many(many) => Watches::All(&many.namespace),
        }
    }
}

impl FollowedOne {
    /// Selects the shared target for the part that the client may see. Returns whether the shared target is another one; the caller then updates the table.
    pub fn see_as(&mut self, visibility: &Visibility, table: &mut Table, state: &State) -> bool {
        let target = &self.shared_target.target;
        let secrets = Secrets::seen_by(visibility, &target.id, &target.scope);
        let is_other = secrets != target.secrets;
        if is_other {
            self.shared_target = table.shared_target(Target { secrets, ..Target::clone(target) }, state);
        }
        is_other
    }

    /// The state of the target, for a snapshot. The client counts as knowing it from here on.
    pub fn greet(&self, subscriber: &Subscriber, state: &State, resolver: &Resolver) -> TargetState {
        let document = self.shared_target.document_at(state, resolver);
        let now = Known::of(document.as_ref());
        let known = subscriber.deliver(self.place, now);
        let status = match known == now && document.is_some() {
            true => TargetStatus::Current(self.shared_target.target.clone()),
            // With the version of now: elsewhere the config may have changed since the target did.
            false => TargetStatus::of(
                &self.shared_target.target,
                self.shared_target.current_document_at(state, resolver),
            ),
        };
        TargetState { format: self.format, status }
    }

    /// The state of a target that may have changed. `None`: the client knows it.
    fn look(&self, subscriber: &Subscriber, state: &State, resolver: &Resolver) -> Option<TargetState> {
        let document = self.shared_target.document_at(state, resolver);
        let now = Known::of(document.as_ref());
        if subscriber.deliver(self.place, now) == now {
            return None;
        }
        Some(TargetState {
            format: self.format,
            status: TargetStatus::of(&self.shared_target.target, document),
        })
    }
}

impl FollowedMany {
    /// Fails if the namespace has grown so much since that it has too many watchers: the newest streams end.
    fn check_growth(&self, state: &State) -> Result<(), Error> {
        let watchers = self.rank.saturating_mul(self.known.len() as u64);
        if watchers <= WATCHERS_UNCHECKED || self.namespace.is_reserved() {
            return Ok(());
        }
        let limit = state.quotas().of(&self.namespace).get(Quota::Watchers);
        match limit {
            Some(limit) if watchers > limit.saturating_mul(GROWTH_MAX) => Err(Error::QuotaExceeded {
                namespace: self.namespace.clone(),
                quota: Quota::Watchers,
                found: watchers,
                limit,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the secrets of a config are shown to a client. `None`: the client may not read the config.
    fn seen_by(&self, visibility: &Visibility, config: &ConfigName) -> Option<Secrets> {
        let id = ConfigId { namespace: self.namespace.clone(), config: config.clone() };
        let is_seen = visibility.has(&id.namespace, &id.config, &self.scope);
        is_seen.then(|| Secrets::seen_by(visibility, &id, &self.scope))
    }

    fn target(&self, config: &ConfigName, secrets: Secrets) -> Arc<Target> {
        let id = ConfigId { namespace: self.namespace.clone(), config: config.clone() };
        Arc::new(Target { id, scope: self.scope.clone(), view: self.view, secrets })
    }

    /// The state of a config to send, with its secrets shown or masked.
    fn look(
        &mut self,
        sending: &Sending,
        config: &ConfigName,
        seen: Option<Secrets>,
        look: &Candidate,
        resolver: &Resolver,
    ) -> Option<TargetState> {
        let state = &sending.state;
        let (target, document) = match (look, seen) {
            (_, None) => (self.target(config, self.secrets), None),
            (Candidate::Marked(Mark { told: Some(told), .. }), Some(secrets))
                if told.revision <= state.revision && told.target.secrets == secrets =>
            {
                (told.target.clone(), told.document(resolver))
            }
            (Candidate::Marked(_) | Candidate::One(_) | Candidate::OneOfMany(..), Some(secrets)) => {
                let target = self.target(config, secrets);
                let document = resolver.resolve_in(state, &target);
                (target, document)
            }
        };
        let before = self.known.known(config);
        let now = Known::of(document.as_ref());
        let status = match (before == now, sending.kind, document) {
            // The absence of a config that the client never had need not be sent.
            (true, MessageKind::Update, _) | (true, MessageKind::Snapshot { .. }, None) => return None,
            (true, MessageKind::Snapshot { .. }, Some(_)) => TargetStatus::Current(target),
            (false, _, document) => TargetStatus::of(&target, document),
        };
        self.known.set(config, now);
        Some(TargetState { format: self.format, status })
    }
}
