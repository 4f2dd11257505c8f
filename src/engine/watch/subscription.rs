//! One watch stream: opens it, and computes its next message when it is polled.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio_stream::Stream;

use crate::auth::Visibility;
use crate::model::text::Format;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Revision, Scope, Timestamp};

use super::super::actor_streams::ActorStream;
use super::super::error::{Error, Limit};
use super::super::state::State;
use super::client::{Identity, WatchClient};
use super::delivered::{Delivered, DeliveredTo, HeldConfigs};
use super::followed::{Followed, FollowedMany, FollowedOne};
use super::hub::Hub;
use super::message::{Event, Known, TargetState, TargetStatus};
use super::multi_target::{MultiTarget, Part};
use super::subscriber::Subscriber;
use super::timers::Timers;
use super::token::ResumeToken;
use super::watchers::Watches;
use crate::engine::read::resolve::{Target, View};
use crate::engine::secrets::secret_places::Secrets;

/// The targets to watch, and the position of the client.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    pub targets: Vec<WatchTarget>,
    /// `None`: afresh.
    pub resume_token: Option<String>,
    pub progress_interval: Duration,
    /// The statements of the client about itself.
    pub client: WatchClient,
    /// Who watches. Of a namespace they are shown the configs that they may see; that they may see the others is for the caller to ask.
    pub visibility: Visibility,
}

/// One target of a stream, or every config of a namespace.
#[derive(Clone, Debug)]
pub struct WatchTarget {
    pub selector: WatchSelector,
    pub scope: Scope,
    pub view: View,
    pub format: Format,
}

/// The followed configs, and the digests of the documents that the client holds of them.
#[derive(Clone, Debug)]
pub enum WatchSelector {
    Config(ConfigId, Option<Digest>),
    Namespace(Namespace, Held),
}

impl WatchSelector {
    /// The target follows one config.
    pub fn is_config(&self) -> bool {
        matches!(self, WatchSelector::Config(..))
    }

    /// The kind of the target for the count of watchers.
    fn watches(&self) -> Watches<'_> {
        match self {
            WatchSelector::Config(id, _) => Watches::One(&id.namespace),
            WatchSelector::Namespace(namespace, _) => Watches::All(namespace),
        }
    }
}

pub type Held = BTreeMap<ConfigName, Digest>;

/// A watch stream. Ends with an error when the server drains. Dropping it is enough to end it.
///
/// A server may have very many streams, most of them idle: a stream is small, and has no timer and no task of its own.
pub struct Subscription {
    hub: Arc<Hub>,
    subscriber: Arc<Subscriber>,
    following: Following,
    stage: Stage,
    /// The flow control of the client blocks the last message.
    is_waiting: bool,
    of_actor: ActorStream,
}

enum Following {
    Alone(FollowedOne),
    Several(Box<MultiTarget>),
}

#[derive(Clone, Copy)]
enum Stage {
    Opening { reset: bool },
    Open,
    Ended,
}

impl Hub {
    /// Opens a stream, at the time `now`. Its first event is a snapshot. Nothing is resolved here.
    pub fn subscribe(self: &Arc<Hub>, options: WatchOptions, now: Timestamp) -> Result<Subscription, Error> {
        // Streams that were opened or told something together do not say that nothing changed together, too.
        let interval = options.progress_interval.mul_f64(0.8 + 0.2 * fastrand::f64());
        let alone = matches!(options.targets.as_slice(), [target] if target.selector.is_config());
        let configs = self.check_configs(&options.targets, &self.state())?;
        let label_bytes = options.client.label_bytes();
        let of_actor = self.of_actors.open_following(options.visibility.caller(), configs, label_bytes)?;
        let mut table = self.table();
        let state = self.state();
        let namespaces = options.targets.iter().map(|target| target.selector.watches());
        let counted = table.watchers.add(namespaces.clone(), &state);
        counted.inspect_err(|_| _ = self.quota_refusals.fetch_add(1, Relaxed))?;
        let caller = options.visibility.caller().clone();
        let identity = Identity::new(options.client, caller, now, &mut table.labels);
        let subscriber = self.add(&mut table, Timers::ticks_of(interval), identity);
        let subscriber = subscriber.inspect_err(|_| table.watchers.remove(namespaces))?;
        let reset = options.resume_token.is_some_and(|token| !honours(&state, &token));
        let mut followed = Vec::with_capacity(options.targets.len());
        let mut delivered = Vec::with_capacity(options.targets.len());
        for (place, target) in (0..).zip(options.targets) {
            let WatchTarget { selector, scope, view, format } = target;
            followed.push(match selector {
                WatchSelector::Config(id, held) => {
                    let secrets = Secrets::seen_by(&options.visibility, &id, &scope);
                    let shared_target = table.shared_target(Target { id, scope, view, secrets }, &state);
                    let mut followers = if alone { shared_target.alone() } else { shared_target.among() };
                    followers.add(&subscriber, place);
                    drop(followers);
                    let known = held.filter(|_| !reset).map_or(Known::Nothing, Known::Document);
                    delivered.push(DeliveredTo::One(known));
                    Followed::One(FollowedOne { shared_target, format, place })
                }
                WatchSelector::Namespace(namespace, held) => {
                    let secrets = match options.visibility.reveals_all_of(&namespace, &scope) {
                        true => Secrets::Revealed,
                        false => Secrets::Hidden,
                    };
                    table.follow_namespace(&subscriber, place, &namespace, &scope, (view, secrets));
                    let known = if reset { HashMap::new() } else { held.into_iter().collect() };
                    let known = HeldConfigs::new(known, options.visibility.clone());
                    delivered.push(DeliveredTo::Many(known.clone()));
                    let rank = table.watchers.all_of(&namespace);
                    let many = FollowedMany { namespace, scope, view, secrets, format, known, rank };
                    Followed::Many(Box::new(many))
                }
            });
        }
        *subscriber.delivered() = Delivered::of(delivered);
        if !alone {
            subscriber.begins_telling();
        }
        drop(table);
        let following = match <[Followed; 1]>::try_from(followed) {
            Ok([Followed::One(one)]) => Following::Alone(one),
            Ok(many) => Following::Several(Box::new(MultiTarget::new(many.into(), options.visibility))),
            Err(several) => Following::Several(Box::new(MultiTarget::new(several, options.visibility))),
        };
        let stage = Stage::Opening { reset };
        let hub = self.clone();
        Ok(Subscription { hub, subscriber, following, stage, is_waiting: false, of_actor })
    }
}

impl Hub {
    /// Counts the configs that a stream would follow. Refuses a stream beyond the limit: the knowledge of the client about each config takes memory.
    fn check_configs(&self, targets: &[WatchTarget], state: &State) -> Result<usize, Error> {
        let covered = targets.iter().map(|target| target.selector.watches().configs(state));
        let found = covered.sum::<u64>();
        match found > self.watched_configs_max as u64 {
            true => Err(Error::LimitReached {
                limit_name: Limit::WatchedConfigs,
                what: "configs followed by one watch stream".into(),
                found: usize::try_from(found).unwrap_or(usize::MAX),
                limit: self.watched_configs_max,
            }),
            false => Ok(usize::try_from(found).unwrap_or(usize::MAX)),
        }
    }
}

/// Whether a client with this resume token needs only the changes since.
fn honours(state: &State, token: &str) -> bool {
    ResumeToken::parse(token)
        .is_some_and(|token| token.epoch == state.epoch && token.revision <= state.revision)
}

impl Subscription {
    /// The name of the stream, for `Hub::request_progress`.
    pub fn watch_id(&self) -> String {
        self.subscriber.id.0.to_string()
    }

    /// Makes the stream accept requests of the actor alone that opened it.
    pub fn keep_to_actor(&self) {
        self.subscriber.keep_to_actor();
    }

    /// From now on it shows what this one may see: secrets or their fingerprints, and of the namespaces that it follows whole, these
    /// configs, as if there were no others. What that changes is told when it is polled next. Not before the hub has reached what was told
    /// already, which wakes the stream.
    pub fn poll_see_as(&mut self, visibility: &Visibility, context: &Context<'_>) -> Poll<()> {
        self.subscriber.register(context.waker());
        let Subscription { hub, subscriber, following, .. } = self;
        let revision = subscriber.revision();
        let mut table = hub.table();
        let state = hub.state();
        if state.revision < revision {
            hub.wake_at(subscriber, revision);
            return Poll::Pending;
        }
        match following {
            Following::Alone(one) => {
                let was = one.shared_target.clone();
                if one.see_as(visibility, &mut table, &state) {
                    one.shared_target.alone().add(subscriber, 0);
                    was.alone().remove(subscriber.id, 0);
                    table.release(&was);
                }
            }
            Following::Several(several) => several.see_as(visibility, &mut table, &state, subscriber),
        }
        Poll::Ready(())
    }

    /// Whether the stream ends since the server drains. Wakes the task when the server begins to drain.
    pub fn poll_draining(&self, context: &Context<'_>) -> bool {
        self.subscriber.register(context.waker());
        self.hub.is_draining()
    }

    /// Notes that the flow control of the client blocks the last message. The next poll ends the block.
    pub fn waits(&mut self) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.hub.waiting.begin(self.subscriber.id, Instant::now());
        }
    }

    fn waits_no_more(&mut self) {
        if std::mem::take(&mut self.is_waiting) {
            self.hub.waiting.end(self.subscriber.id);
        }
    }

    /// Whether a message is being sent in parts, and is not complete.
    pub fn is_within_parts(&self) -> bool {
        matches!(&self.following, Following::Several(several) if several.is_telling())
    }

    /// The next event, if there is one now. A stream of several targets may have to leave others their turn first.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            let Subscription { hub, subscriber, following, stage, of_actor, .. } = self;
            if let Following::Several(several) = following {
                ready!(several.poll_turn(context));
                match several.next_part(subscriber, &hub.resolver) {
                    Some(Ok(Part::Event(part))) => {
                        if let Err(error) = of_actor.grow(several.configs_held()) {
                            *stage = Stage::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                        return Poll::Ready(Some(Ok(self.tells(part))));
                    }
                    Some(Ok(Part::Later)) => continue,
                    Some(Ok(Part::Nothing(looked))) => return Poll::Ready(self.progress(looked).map(Ok)),
                    Some(Err(error)) => {
                        *stage = Stage::Ended;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => {}
                }
            }
            if hub.is_draining() {
                *stage = Stage::Ended;
                let draining = Error::Draining { retry_after: super::super::RETRY_AFTER };
                return Poll::Ready(Some(Err(draining)));
            }
            let looked = match following {
                Following::Alone(one) => match one.next(stage, hub, subscriber) {
                    (Some(event), _) => return Poll::Ready(Some(Ok(self.tells(event)))),
                    (None, looked) => looked,
                },
                Following::Several(several) => {
                    // The state is read first: the marks of its changes are then made.
                    let state = hub.state();
                    let marks = subscriber.take_marks(state.revision);
                    match std::mem::replace(stage, Stage::Open) {
                        Stage::Opening { reset } => several.start_snapshot(Arc::clone(&state), reset),
                        Stage::Open | Stage::Ended if marks.is_empty() && !several.sees_otherwise() => {}
                        Stage::Open | Stage::Ended => several.start_update(Arc::clone(&state), marks),
                    }
                    if several.is_telling() {
                        continue;
                    }
                    state.revision
                }
            };
            return Poll::Ready(self.progress(looked).map(Ok));
        }
    }

    /// Sends a progress message up to the revision that was checked, if one is due.
    fn progress(&mut self, looked: Revision) -> Option<Event> {
        // The document of the target may be of a state that the hub has not reached yet.
        let revision = looked.max(self.subscriber.revision());
        let is_wanted = self.subscriber.take_progress(revision);
        is_wanted.then(|| self.tells(Event::Progress { revision }))
    }

    fn tells(&mut self, event: Event) -> Event {
        self.subscriber.sends(event.revision(), self.hub.tick());
        event
    }
}

impl FollowedOne {
    /// The next event of a stream with this single target, and the revision at which the target was checked.
    fn next(&self, stage: &mut Stage, hub: &Hub, subscriber: &Subscriber) -> (Option<Event>, Revision) {
        if let Stage::Opening { reset } = *stage {
            *stage = Stage::Open;
            let state = hub.state();
            let states = vec![self.greet(subscriber, &state, &hub.resolver)];
            let revision = state.revision;
            return (Some(Event::Snapshot { revision, states, more: false, reset }), revision);
        }
        // The revision is read first: the document that is read then is of that revision, or of a newer one that the hub is about to reach.
        let reached = hub.revision();
        let told = self.shared_target.told();
        let looked = reached.max(told.revision);
        let document = told.document(&hub.resolver);
        let now = Known::of(document.as_ref());
        if subscriber.deliver(self.place, now) == now {
            return (None, looked);
        }
        let status = TargetStatus::of(&self.shared_target.target, document);
        let state = TargetState { format: self.format, status };
        // The document did not change, but its secrets are shown differently to the caller: the shared message would have an old revision.
        if told.revision <= subscriber.revision() {
            return (Some(Event::Update { revision: looked, states: vec![state], more: false }), looked);
        }
        let shared = told.shared();
        (Some(Event::Changed { revision: told.revision, state, shared }), looked)
    }
}

impl Stream for Subscription {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Stage::Ended = self.stage {
            return Poll::Ready(None);
        }
        self.waits_no_more();
        self.subscriber.begins_poll();
        // Registered before the check: a change after the check then wakes the task.
        self.subscriber.register(context.waker());
        let polled = self.poll_event(context);
        if matches!(polled, Poll::Pending | Poll::Ready(None | Some(Ok(Event::Progress { .. })))) {
            self.subscriber.ends_poll();
        }
        let Some(event) = ready!(polled) else { return Poll::Pending };
        if matches!(event, Ok(Event::Snapshot { .. } | Event::Update { .. } | Event::Changed { .. })) {
            self.hub.deliveries.fetch_add(1, Relaxed);
        }
        Poll::Ready(Some(event))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.waits_no_more();
        self.subscriber.end();
        let id = self.subscriber.id;
        let mut table = self.hub.table();
        table.remove(id);
        self.hub.progress_waiters().remove(&id);
        match &self.following {
            Following::Alone(one) => {
                table.watchers.remove([Watches::One(&one.shared_target.target.id.namespace)].into_iter());
                one.shared_target.alone().remove(id, 0);
                table.release(&one.shared_target);
            }
            Following::Several(several) => {
                table.watchers.remove(several.targets().iter().map(Followed::watches));
                for (place, target) in (0..).zip(several.targets()) {
                    match target {
                        Followed::One(one) => {
                            one.shared_target.among().remove(id, place);
                            table.release(&one.shared_target);
                        }
                        Followed::Many(many) => {
                            let FollowedMany { namespace, scope, view, secrets, .. } = &**many;
                            table.unfollow_namespace(id, place, namespace, scope, (*view, *secrets));
                        }
                    }
                }
            }
        }
    }
}
