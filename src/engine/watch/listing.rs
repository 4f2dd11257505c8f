//! Who watches a namespace, page by page: the streams in the order in which they were opened, with what each follows there and was last
//! sent of it. Reads the table; opens, ends and wakes no stream.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{ConfigName, Digest, Namespace, Revision, Scope, Timestamp};

use super::client::WatchClient;
use super::delivered::{Delivered, DeliveredTo};
use super::hub::Hub;
use super::message::Known;
use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;
use crate::engine::read::resolve::View;
use crate::engine::secrets::secret_places::Secrets;

/// Which streams to list.
#[derive(Clone, Debug)]
pub struct SubscriberQuery {
    pub namespace: Namespace,
    /// Only those that follow this config, or the namespace as a whole.
    pub config: Option<ConfigName>,
    /// Only those that were opened after the stream with this id. 0: from the first.
    pub after: u64,
    pub limit: usize,
}

/// A stream.
#[derive(Clone, Debug)]
pub struct SubscriberInfo {
    /// Grows from stream to stream. The watch id, as text.
    pub id: u64,
    pub client: WatchClient,
    pub actor: Arc<str>,
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
    /// How secrets are shown in the documents, on which the digest depends.
    pub secrets: Secrets,
    pub holds: Holds,
}

/// What the client was last sent of a target, or said to hold when the stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It was sent nothing yet.
    Nothing,
    /// That there is no document.
    Absent,
    Document(Digest),
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

/// The first streams of those that were found, and where in the request of each its targets are.
struct Page {
    limit: usize,
    streams: BTreeMap<SubscriberId, ListedStream>,
}

struct ListedStream {
    subscriber: Arc<Subscriber>,
    /// Each with its place.
    targets: Vec<(u32, SubscribedTarget)>,
}

impl Page {
    /// Adds streams that follow a target. They come in the order of their ids, so that those that are too many are not looked at.
    fn add<'a>(
        &mut self,
        target: &SubscribedTarget,
        streams: impl Iterator<Item = (u32, &'a Arc<Subscriber>)>,
    ) {
        for (place, subscriber) in streams {
            let is_full = self.streams.len() >= self.limit;
            let last = self.streams.last_key_value().map(|(id, _)| *id);
            if is_full && last.is_none_or(|last| subscriber.id > last) {
                return;
            }
            match self.streams.entry(subscriber.id) {
                Entry::Occupied(mut stream) => stream.get_mut().targets.push((place, target.clone())),
                Entry::Vacant(stream) => {
                    let targets = vec![(place, target.clone())];
                    stream.insert(ListedStream { subscriber: subscriber.clone(), targets });
                    if is_full {
                        self.streams.pop_last();
                    }
                }
            }
        }
    }
}

impl Hub {
    /// Who watches. Streams come and go meanwhile: one that is open before and after is listed.
    pub fn subscribers(&self, query: &SubscriberQuery) -> Vec<SubscriberInfo> {
        let after = SubscriberId(query.after);
        let mut page = Page { limit: query.limit, streams: BTreeMap::new() };
        let config = query.config.as_ref();
        // The lock of the table is held for the targets alone: a target can have very many streams.
        let cells = {
            let table = self.table();
            for (scope, view, secrets, followers) in table.groups_in(&query.namespace, config) {
                let holds = Holds::Nothing;
                let target = SubscribedTarget { config: None, scope: scope.clone(), view, secrets, holds };
                page.add(&target, followers.after(after));
            }
            table.cells_in(&query.namespace, config)
        };
        for cell in cells {
            let target = SubscribedTarget {
                config: Some(cell.target.id.config.clone()),
                scope: cell.target.scope.clone(),
                view: cell.target.view,
                secrets: cell.target.secrets,
                holds: Holds::Nothing,
            };
            page.add(&target, cell.alone().after(after));
            page.add(&target, cell.among().after(after));
        }
        let now = Instant::now();
        page.streams.into_values().map(|stream| self.info(stream, config, now)).collect()
    }

    fn info(&self, stream: ListedStream, config: Option<&ConfigName>, now: Instant) -> SubscriberInfo {
        let ListedStream { subscriber: stream, mut targets } = stream;
        targets.sort_by_key(|(place, _)| *place);
        let delivered = stream.delivered();
        let holds = |place: u32| match (&*delivered, delivered.to(place), config) {
            (Delivered::One(known), _, _) => Holds::from(*known),
            (Delivered::Several(_), Some(DeliveredTo::One(known)), _) => Holds::from(*known),
            (Delivered::Several(_), Some(DeliveredTo::Many(held)), Some(config)) => {
                Holds::from(held.known(config))
            }
            (Delivered::Several(_), Some(DeliveredTo::Many(held)), None) => Holds::Configs(held.len()),
            (Delivered::Several(_), None, _) => Holds::Nothing,
        };
        let targets = targets.into_iter();
        let targets =
            targets.map(|(place, target)| SubscribedTarget { holds: holds(place), ..target }).collect();
        drop(delivered);
        SubscriberInfo {
            id: stream.id.0,
            client: stream.identity.client(),
            actor: stream.identity.actor.clone(),
            since: stream.identity.since,
            revision: stream.revision(),
            blocked_for: self.waiting.of(stream.id, now),
            targets,
        }
    }
}
