//! Lists the streams that watch a namespace, page by page: in the order in which they were opened, with the targets of each and the documents that it was
//! last sent. Reads the table; opens, ends and wakes no stream.
//!
//! A target can have very many streams, and a namespace very many targets. Locks that commits and streams wait for are held for a slice of
//! either, never for a page.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::{Caller, Visibility};
use crate::model::{ConfigName, Namespace, Revision, Scope, Timestamp};

use super::client::WatchClient;
use super::comparison::{Comparison, Follows, Insight, Place, SubscribedTarget};
use super::hub::Hub;
use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::read::resolve::Target;

/// Streams and targets that are looked at under one lock.
pub(super) const SLICE: usize = 1024;

/// The streams to list, and the viewer of the list.
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
    /// The viewer of the list.
    pub viewer: Visibility,
}

/// The filter on streams. An empty field filters nothing.
#[derive(Clone, Debug, Default)]
pub struct SubscriberFilter {
    pub client_id: String,
    pub actor: String,
    pub labels: BTreeMap<String, String>,
    /// Only those that were not sent the current state of one of the targets.
    pub only_behind: bool,
}

/// Gives the insight of a caller into the targets of a namespace: of a config, or of all configs, at a scope. `None`: no insight.
pub type Insights<'a> = &'a dyn Fn(Option<&ConfigName>, &Scope) -> Option<Insight>;

/// A stream.
#[derive(Clone)]
pub struct SubscriberInfo {
    /// The id of the stream; ids only grow. The watch id is its text.
    pub id: u64,
    pub client: WatchClient,
    pub caller: Arc<Caller>,
    pub shows_caller: bool,
    /// When the stream was opened.
    pub since: Timestamp,
    /// Of the newest message that was sent, if all targets of the stream are shown; else the newest revision of those shown that are current.
    /// Zero: there is none.
    pub revision: Revision,
    /// How long an update has been blocked by the flow control of the client. `None`: no update is.
    pub blocked_for: Option<Duration>,
    /// The requested targets that the stream follows, in the order of its request.
    pub targets: Vec<SubscribedTarget>,
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

/// The streams and targets that are read for a page.
struct Look<'a> {
    query: &'a SubscriberQuery,
    comparison: Comparison<'a>,
    blocked: HashMap<SubscriberId, Duration>,
    page: Page,
}

impl Hub {
    /// Lists the streams. Streams open and end meanwhile: a stream that is open before and after the call is listed.
    pub fn subscribers(
        &self,
        query: &SubscriberQuery,
        insights: Insights<'_>,
        cancelled: &Cancelled,
    ) -> Result<Vec<SubscriberInfo>, Error> {
        let page = Page { limit: query.limit, streams: BTreeMap::new() };
        let (comparison, blocked) = (self.comparison(&query.viewer), self.waiting.all(Instant::now()));
        let mut look = Look { query, comparison, blocked, page };
        look.at_namespaces(insights, cancelled)?;
        look.at_configs(insights, cancelled)?;
        let page = std::mem::take(&mut look.page.streams).into_values();
        let infos = page.map(|ListedStream { subscriber, targets }| {
            let targets: Vec<_> = targets.iter().map(|(at, place)| (*at, &**place)).collect();
            look.comparison.info(&subscriber, targets, look.blocked.get(&subscriber.id).copied())
        });
        Ok(infos.collect())
    }

    /// The comparison for a viewer, by the state that the hub has reached.
    pub(super) fn comparison<'a>(&'a self, viewer: &'a Visibility) -> Comparison<'a> {
        Comparison { hub: self, viewer, state: self.state().clone() }
    }
}

impl Comparison<'_> {
    /// The entry of a stream with these of its targets, each by its place in the request.
    pub fn info(
        &self,
        stream: &Subscriber,
        mut targets: Vec<(u32, &Place)>,
        blocked_for: Option<Duration>,
    ) -> SubscriberInfo {
        targets.sort_by_key(|(at, _)| *at);
        let shows_all = targets.len() == stream.delivered().targets()
            && !targets.iter().any(|(_, place)| matches!(place.follows, Follows::OneOfAll(..)));
        let shows_caller = targets.iter().any(|(_, place)| self.shows_caller(stream, place));
        let targets: Vec<SubscribedTarget> =
            targets.into_iter().map(|(at, place)| self.target(stream, at, place)).collect();
        let current = targets.iter().filter(|target| !target.is_behind).map(|target| target.current_at);
        SubscriberInfo {
            id: stream.id.0,
            client: stream.identity.client(),
            caller: stream.identity.caller.clone(),
            shows_caller,
            since: stream.identity.since,
            // A message may be of targets that the viewer may not read.
            revision: if shows_all { stream.revision() } else { current.max().unwrap_or_default() },
            blocked_for,
            targets,
        }
    }
}

impl Look<'_> {
    /// Looks at the streams that follow the whole namespace.
    fn at_namespaces(&mut self, insights: Insights<'_>, cancelled: &Cancelled) -> Result<(), Error> {
        let SubscriberQuery { namespace, config, .. } = self.query;
        if config.as_ref().is_some_and(|config| !config.is_ordinary()) {
            return Ok(());
        }
        let hub = self.comparison.hub;
        let mut last = None;
        loop {
            cancelled.check()?;
            let group = hub.table().group_after(namespace, last.as_ref());
            let Some(group) = group else { return Ok(()) };
            let (scope, view, _) = &group;
            let insight = insights(config.as_ref(), scope).filter(|_| self.query.scope.contains(scope));
            if let Some(insight) = insight {
                let place = Rc::new(Place {
                    namespace: namespace.clone(),
                    scope: scope.clone(),
                    view: *view,
                    insight,
                    follows: Follows::of_all(config.clone()),
                });
                self.at_followers(&place, cancelled, |after| {
                    hub.table().group_followers(namespace, &group, after, SLICE)
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
            let table = self.comparison.hub.table();
            let shared_targets = table.cells_after(namespace, config.as_ref(), last.as_deref(), SLICE);
            drop(table);
            let Some(newest) = shared_targets.last() else { return Ok(()) };
            last = Some(newest.target.clone());
            for shared_target in shared_targets {
                let target = shared_target.target.clone();
                let name = &target.id.config;
                let insight = insights(Some(name), &target.scope).filter(|_| scope.contains(&target.scope));
                let Some(insight) = insight else { continue };
                let place = Rc::new(Place {
                    namespace: namespace.clone(),
                    scope: target.scope.clone(),
                    view: target.view,
                    insight,
                    follows: Follows::one(shared_target.clone()),
                });
                self.at_followers(&place, cancelled, |after| {
                    shared_target.alone().slice_after(after, SLICE)
                })?;
                self.at_followers(&place, cancelled, |after| {
                    shared_target.among().slice_after(after, SLICE)
                })?;
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
        let is_of =
            |actor: &str| identity.caller.actor() == actor && self.comparison.shows_caller(subscriber, place);
        let is_behind =
            || self.blocked.contains_key(&subscriber.id) || self.comparison.is_behind(subscriber, at, place);
        (client_id.is_empty() || identity.client_id() == client_id)
            && (actor.is_empty() || is_of(actor))
            && (labels.is_empty() || identity.has_labels(labels))
            && (!only_behind || is_behind())
    }
}
