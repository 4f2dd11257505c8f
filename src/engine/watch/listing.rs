//! Who watches a namespace, page by page: the streams in the order in which they were opened, with what each follows there and was last
//! sent of it. Reads the table; opens, ends and wakes no stream.
//!
//! A target can have very many streams, and a namespace very many targets. Locks that commits and streams wait for are held for a slice of
//! either, never for a page.

use std::cell::OnceCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{Caller, Sight};
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Revision, Scope, Timestamp};

use super::client::WatchClient;
use super::delivered::{Delivered, DeliveredTo};
use super::hub::Hub;
use super::message::Known;
use super::shared_target::Cell;
use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::read::resolve::{Target, View};
use crate::engine::secrets::secret_places::Secrets;
use crate::engine::state::State;

/// Streams and targets that are looked at under one lock.
pub(super) const SLICE: usize = 1024;

/// Which streams to list, and to whom.
#[derive(Clone, Debug)]
pub struct SubscriberQuery {
    pub namespace: Namespace,
    /// Only those that follow this config, or the namespace as a whole.
    pub config: Option<ConfigName>,
    /// Only targets at this scope or below it.
    pub scope: Scope,
    /// Only those that were opened after the stream with this id. 0: from the first.
    pub after: u64,
    pub limit: usize,
    pub filter: SubscriberFilter,
    /// Who is shown the list, and how documents look to them.
    pub viewer: Sight,
}

/// What is asked of a stream itself. What is empty is not asked.
#[derive(Clone, Debug, Default)]
pub struct SubscriberFilter {
    pub client_id: String,
    pub actor: String,
    pub labels: BTreeMap<String, String>,
    /// Only those that were not sent the current state of one of the targets.
    pub only_behind: bool,
}

/// How much of the streams of a target somebody is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Insight {
    /// That there are streams, what they were sent, and what their clients say of themselves.
    Streams,
    /// Who opened them, too, and from where.
    Callers,
}

/// Gives the insight that somebody has into the targets of a namespace: of a config, or of all configs, at a scope. `None`: none.
pub type Insights<'a> = &'a dyn Fn(Option<&ConfigName>, &Scope) -> Option<Insight>;

/// A stream.
#[derive(Clone)]
pub struct SubscriberInfo {
    /// Grows from stream to stream. The watch id, as text.
    pub id: u64,
    pub client: WatchClient,
    pub caller: Arc<Caller>,
    pub shows_caller: bool,
    /// When the stream was opened.
    pub since: Timestamp,
    /// Of the newest message that was sent. Zero: none was.
    pub revision: Revision,
    /// How long an update has been blocked by the flow control of the client. `None`: no update is.
    pub blocked_for: Option<Duration>,
    /// What the stream follows of what was asked for, in the order of its request.
    pub targets: Vec<SubscribedTarget>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribedTarget {
    /// `None`: all configs of the namespace.
    pub config: Option<ConfigName>,
    pub scope: Scope,
    pub view: View,
    pub holds: Holds,
    /// The document that there is now, as the viewer sees it. `Nothing` where no single one is looked at.
    pub current: Holds,
    /// The revision of the state from which the current document was made. Zero where all configs are followed.
    pub current_at: Revision,
    pub is_behind: bool,
}

/// What the client was last sent of a target, or said to hold when the stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It was sent nothing yet.
    Nothing,
    /// That there is no document.
    Absent,
    /// A document, as the viewer sees it.
    Document(Digest),
    /// A document with secrets that the viewer may not see, and that is not the current one.
    Withheld,
    /// Documents of so many configs, of a target that follows all of them.
    Configs(usize),
}

impl From<Known> for Holds {
    fn from(known: Known) -> Holds {
        match known {
            Known::Nothing => Holds::Nothing,
            Known::Absent => Holds::Absent,
            Known::Document(digest) => Holds::Document(digest),
        }
    }
}

/// What streams follow.
struct Place {
    /// `None`: all configs of the namespace.
    config: Option<ConfigName>,
    scope: Scope,
    view: View,
    insight: Insight,
    follows: Follows,
}

enum Follows {
    /// The state of the target now is looked up once for all of its streams.
    One(Arc<Cell>, OnceCell<Now>),
    /// A namespace; how the documents of one config look now depends on who looks.
    Namespace(OnceCell<[Now; 2]>),
}

/// The state of a target now.
#[derive(Clone, Copy)]
struct Now {
    known: Known,
    revision: Revision,
}

/// The first streams of those that were found, and where in the request of each its targets are.
struct Page {
    limit: usize,
    streams: BTreeMap<SubscriberId, ListedStream>,
}

struct ListedStream {
    subscriber: Arc<Subscriber>,
    /// Each with its place in the request.
    targets: Vec<(u32, Rc<Place>)>,
}

impl Page {
    /// Whether the stream comes after all that fit.
    fn is_full_before(&self, id: SubscriberId) -> bool {
        self.streams.len() >= self.limit && self.streams.last_key_value().is_none_or(|(last, _)| id > *last)
    }

    fn add(&mut self, place: u32, subscriber: &Arc<Subscriber>, target: &Rc<Place>) {
        match self.streams.entry(subscriber.id) {
            Entry::Occupied(mut stream) => stream.get_mut().targets.push((place, target.clone())),
            Entry::Vacant(stream) => {
                let targets = vec![(place, target.clone())];
                stream.insert(ListedStream { subscriber: subscriber.clone(), targets });
                if self.streams.len() > self.limit {
                    self.streams.pop_last();
                }
            }
        }
    }
}

/// What is looked at for a page.
struct Look<'a> {
    hub: &'a Hub,
    query: &'a SubscriberQuery,
    state: Arc<State>,
    blocked: HashMap<SubscriberId, Duration>,
    page: Page,
}

impl Hub {
    /// Who watches. Streams come and go meanwhile: one that is open before and after is listed.
    pub fn subscribers(
        &self,
        query: &SubscriberQuery,
        insights: Insights<'_>,
        cancelled: &Cancelled,
    ) -> Result<Vec<SubscriberInfo>, Error> {
        let page = Page { limit: query.limit, streams: BTreeMap::new() };
        let (state, blocked) = (self.state().clone(), self.waiting.all(Instant::now()));
        let mut look = Look { hub: self, query, state, blocked, page };
        look.at_namespaces(insights, cancelled)?;
        look.at_configs(insights, cancelled)?;
        let page = std::mem::take(&mut look.page.streams);
        Ok(page.into_values().map(|stream| look.info(stream)).collect())
    }
}

impl Look<'_> {
    /// Looks at the streams that follow the whole namespace.
    fn at_namespaces(&mut self, insights: Insights<'_>, cancelled: &Cancelled) -> Result<(), Error> {
        let SubscriberQuery { namespace, config, .. } = self.query;
        if config.as_ref().is_some_and(|config| !config.is_ordinary()) {
            return Ok(());
        }
        let mut last = None;
        loop {
            cancelled.check()?;
            let group = self.hub.table().group_after(namespace, last.as_ref());
            let Some(group) = group else { return Ok(()) };
            let (scope, view, _) = &group;
            let insight = insights(config.as_ref(), scope).filter(|_| self.query.scope.contains(scope));
            if let Some(insight) = insight {
                let (scope, view) = (scope.clone(), *view);
                let follows = Follows::Namespace(OnceCell::new());
                let place = Rc::new(Place { config: None, scope, view, insight, follows });
                self.at_followers(&place, cancelled, |after| {
                    self.hub.table().group_followers(namespace, &group, after, SLICE)
                })?;
            }
            last = Some(group);
        }
    }

    fn at_configs(&mut self, insights: Insights<'_>, cancelled: &Cancelled) -> Result<(), Error> {
        let SubscriberQuery { namespace, config, scope, .. } = self.query;
        let mut last: Option<Arc<Target>> = None;
        loop {
            cancelled.check()?;
            let cells = self.hub.table().cells_after(namespace, config.as_ref(), last.as_deref(), SLICE);
            let Some(newest) = cells.last() else { return Ok(()) };
            last = Some(newest.target.clone());
            for cell in cells {
                let target = cell.target.clone();
                let name = &target.id.config;
                let insight = insights(Some(name), &target.scope).filter(|_| scope.contains(&target.scope));
                let Some(insight) = insight else { continue };
                let (scope, view) = (target.scope.clone(), target.view);
                let follows = Follows::One(cell.clone(), OnceCell::new());
                let place = Rc::new(Place { config: Some(name.clone()), scope, view, insight, follows });
                self.at_followers(&place, cancelled, |after| cell.alone().slice_after(after, SLICE))?;
                self.at_followers(&place, cancelled, |after| cell.among().slice_after(after, SLICE))?;
            }
        }
    }

    /// Adds the streams that follow a target and are asked for. They come in the order of their ids, so that those that are too many are not
    /// looked at.
    fn at_followers(
        &mut self,
        place: &Rc<Place>,
        cancelled: &Cancelled,
        read: impl Fn(SubscriberId) -> Vec<(u32, Arc<Subscriber>)>,
    ) -> Result<(), Error> {
        let mut after = SubscriberId(self.query.after);
        loop {
            cancelled.check()?;
            let slice = read(after);
            let Some((_, last)) = slice.last() else { return Ok(()) };
            after = last.id;
            for (at, subscriber) in &slice {
                if self.page.is_full_before(subscriber.id) {
                    return Ok(());
                }
                if self.is_wanted(subscriber, *at, place) {
                    self.page.add(*at, subscriber, place);
                }
            }
            if slice.len() < SLICE {
                return Ok(());
            }
        }
    }

    fn is_wanted(&self, subscriber: &Subscriber, at: u32, place: &Place) -> bool {
        let SubscriberFilter { client_id, actor, labels, only_behind } = &self.query.filter;
        let identity = &subscriber.identity;
        (client_id.is_empty() || identity.client_id() == client_id)
            && (actor.is_empty()
                || (identity.caller.actor() == actor && self.shows_caller(subscriber, place)))
            && (labels.is_empty() || identity.has_labels(labels))
            && (!only_behind
                || self.blocked.contains_key(&subscriber.id)
                || self.seen(subscriber, at, place).2)
    }

    /// Who may see a stream sees that it is their own.
    fn shows_caller(&self, subscriber: &Subscriber, place: &Place) -> bool {
        place.insight == Insight::Callers
            || subscriber.identity.caller.actor() == self.query.viewer.caller().actor()
    }

    /// What a client was sent of a target, what the target is now, and whether the client has yet to be sent that.
    fn seen(&self, subscriber: &Subscriber, at: u32, place: &Place) -> (Holds, Now, bool) {
        let id = |config: &ConfigName| {
            let namespace = self.query.namespace.clone();
            ConfigId { namespace, config: config.clone() }
        };
        match (&place.follows, &self.query.config) {
            (Follows::One(cell, now), _) => {
                let known = subscriber.known_of(at);
                let now = now.get_or_init(|| self.now(cell));
                let viewed = self.as_viewed(&cell.target, *now);
                self.compare(&cell.target, (known, *now), viewed)
            }
            (Follows::Namespace(_), None) => {
                let holds = Holds::Configs(subscriber.configs_at(at));
                (holds, Now { known: Known::Nothing, revision: Revision::ZERO }, subscriber.has_news())
            }
            (Follows::Namespace(now), Some(config)) => {
                let looked_up = |secrets| self.look_up(id(config), place, secrets);
                let all = now.get_or_init(|| [Secrets::Hidden, Secrets::Revealed].map(looked_up));
                let viewed = all[self.viewed(&id(config), &place.scope) as usize];
                let (known, seen_as) = subscriber.known_at(at, config, &self.query.namespace, &place.scope);
                let is_new = subscriber.revision() == Revision::ZERO && subscriber.is_telling();
                let known = if is_new { Known::Nothing } else { known };
                match seen_as {
                    // To the client it is as if there were no such config.
                    None => (known.into(), viewed, known != Known::Absent),
                    Some(secrets) => {
                        let (scope, view) = (place.scope.clone(), place.view);
                        let target = Target { id: id(config), scope, view, secrets };
                        self.compare(&target, (known, all[secrets as usize]), viewed)
                    }
                }
            }
        }
    }

    /// What the client has of a target, as the viewer sees it.
    fn compare(&self, target: &Target, (known, now): (Known, Now), viewed: Now) -> (Holds, Now, bool) {
        let is_behind = known != now.known;
        let holds = match known {
            _ if !is_behind && viewed.revision == now.revision => viewed.known.into(),
            Known::Document(_) if target.secrets > self.viewed(&target.id, &target.scope) => Holds::Withheld,
            known => known.into(),
        };
        (holds, viewed, is_behind)
    }

    /// How the viewer sees secrets there.
    fn viewed(&self, id: &ConfigId, scope: &Scope) -> Secrets {
        Secrets::seen_by(&self.query.viewer, id, scope)
    }

    fn now(&self, cell: &Cell) -> Now {
        let told = cell.told();
        let known = told.digest(&self.hub.resolver).map_or(Known::Absent, Known::Document);
        Now { known, revision: told.revision }
    }

    /// The state of a target as the viewer sees it: of an earlier revision if the hub is about to move on to that of the target.
    fn as_viewed(&self, target: &Target, now: Now) -> Now {
        let secrets = self.viewed(&target.id, &target.scope);
        if secrets == target.secrets {
            return now;
        }
        let document = self.hub.resolver.resolve_in(&self.state, &Target { secrets, ..target.clone() });
        Now { known: Known::of(document.as_ref()), revision: now.revision.min(self.state.revision) }
    }

    fn look_up(&self, id: ConfigId, place: &Place, secrets: Secrets) -> Now {
        let revision = self.state.config(&id).map_or(Revision::ZERO, |config| config.at.revision);
        let target = Target { id, scope: place.scope.clone(), view: place.view, secrets };
        let document = self.hub.resolver.resolve_in(&self.state, &target);
        Now { known: Known::of(document.as_ref()), revision }
    }

    fn info(&self, stream: ListedStream) -> SubscriberInfo {
        let ListedStream { subscriber: stream, mut targets } = stream;
        targets.sort_by_key(|(at, _)| *at);
        let shows_caller = targets.iter().any(|(_, place)| self.shows_caller(&stream, place));
        let targets = targets.into_iter().map(|(at, place)| {
            let (holds, current, is_behind) = self.seen(&stream, at, &place);
            SubscribedTarget {
                config: place.config.clone(),
                scope: place.scope.clone(),
                view: place.view,
                holds,
                current: current.known.into(),
                current_at: current.revision,
                is_behind,
            }
        });
        SubscriberInfo {
            id: stream.id.0,
            client: stream.identity.client(),
            caller: stream.identity.caller.clone(),
            shows_caller,
            since: stream.identity.since,
            revision: stream.revision(),
            blocked_for: self.blocked.get(&stream.id).copied(),
            targets: targets.collect(),
        }
    }
}

impl Subscriber {
    /// What the client knows of the one config that its target at this place follows.
    fn known_of(&self, at: u32) -> Known {
        match &*self.delivered() {
            Delivered::One(known) => *known,
            Delivered::Several(all) => match all.get(at as usize) {
                Some(DeliveredTo::One(known)) => *known,
                Some(DeliveredTo::Many(_)) | None => Known::Nothing,
            },
        }
    }

    /// What the client knows of a config of the namespace that its target at this place follows, and how it sees secrets there. `None`: it is
    /// not shown the config.
    fn known_at(
        &self,
        at: u32,
        config: &ConfigName,
        namespace: &Namespace,
        scope: &Scope,
    ) -> (Known, Option<Secrets>) {
        match self.delivered().to(at) {
            Some(DeliveredTo::Many(held)) => (held.known(config), held.seen(namespace, config, scope)),
            Some(DeliveredTo::One(_)) | None => (Known::Nothing, None),
        }
    }

    /// So many configs the client holds of the namespace that its target at this place follows.
    fn configs_at(&self, at: u32) -> usize {
        match self.delivered().to(at) {
            Some(DeliveredTo::Many(held)) => held.len(),
            Some(DeliveredTo::One(_)) | None => 0,
        }
    }
}
