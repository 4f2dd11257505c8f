//! Waits until the streams of some targets were sent a revision, and lists the streams that were not sent it yet. Checks the
//! missing streams again and again: a delivery costs nothing for the sake of waiting calls.
//!
//! A stream has converged by its document, not by the revision: a stream whose document the commit leaves unchanged is sent nothing, and has converged at
//! once. A stream that was sent a later state has converged, too, whatever has changed since. A stream that is opened after the wait has begun begins
//! with that state, and is not waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::auth::Visibility;
use crate::model::{Commit, ConfigId, LayerKey, LayerKind, Revision, Scope};

use super::comparison::{Follows, Insight, Place};
use super::hub::Hub;
use super::listing::{SLICE, SubscriberInfo};
use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;
use crate::engine::check::workers::Cancelled;
use crate::engine::error::Error;
use crate::engine::{Engine, RETRY_AFTER};

/// Layers that may have changed, by config.
pub type ChangedLayers = BTreeMap<ConfigId, Vec<LayerKey>>;

/// Gives the insight of a caller into the streams of a config at a scope. `None`: no insight.
pub type ConfigInsights<'a> = &'a dyn Fn(&ConfigId, &Scope) -> Option<Insight>;

/// The streams that are waited for.
pub struct Convergence {
    hub: Arc<Hub>,
    viewer: Visibility,
    revision: Revision,
    places: Vec<Place>,
    missing: Vec<MissingStream>,
    counts: ConvergenceCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConvergenceCounts {
    /// Streams that were sent the state.
    pub converged: usize,
    /// Streams that are open and were not.
    pub missing: usize,
    /// Streams that ended before they were sent the state.
    pub ended: usize,
}

struct MissingStream {
    subscriber: Arc<Subscriber>,
    /// Of each target, its place in the request and the index of its `Place`.
    targets: Vec<(u32, usize)>,
}

/// Every layer at a scope: what a change there can reach is what depends on one of them.
pub fn layers_at(scope: &Scope) -> Vec<LayerKey> {
    [LayerKind::Base, LayerKind::Override].map(|kind| LayerKey { kind, scope: scope.clone() }).into()
}

impl Hub {
    /// Begins to wait for the streams of targets that depend on these layers, as far as `insights` has them. The hub must have reached the
    /// revision.
    pub fn convergence(
        self: &Arc<Hub>,
        changed: &ChangedLayers,
        revision: Revision,
        viewer: Visibility,
        insights: ConfigInsights<'_>,
        cancelled: &Cancelled,
    ) -> Result<Convergence, Error> {
        let end = SubscriberId(self.subscriber_next.load(Relaxed));
        let mut places = vec![];
        let mut streams: BTreeMap<SubscriberId, MissingStream> = BTreeMap::new();
        let mut add = |slice: Vec<(u32, Arc<Subscriber>)>, place: usize| {
            for (at, subscriber) in slice.into_iter().filter(|(_, subscriber)| subscriber.id < end) {
                let none = || MissingStream { subscriber: subscriber.clone(), targets: vec![] };
                streams.entry(subscriber.id).or_insert_with(none).targets.push((at, place));
            }
        };
        for (id, layers) in changed {
            let shared_targets: Vec<_> = self.table().cells_of(id, layers).into_iter().cloned().collect();
            for shared_target in shared_targets {
                cancelled.check()?;
                let target = shared_target.target.clone();
                let Some(insight) = insights(id, &target.scope) else { continue };
                each_slice(
                    |after| shared_target.alone().slice_after(after, SLICE),
                    |slice| add(slice, places.len()),
                );
                each_slice(
                    |after| shared_target.among().slice_after(after, SLICE),
                    |slice| add(slice, places.len()),
                );
                places.push(Place {
                    namespace: id.namespace.clone(),
                    scope: target.scope.clone(),
                    view: target.view,
                    insight,
                    follows: Follows::one(shared_target),
                });
            }
            let mut last = None;
            loop {
                // The lock of the table is free again before the streams are read.
                let group = self.table().group_after(&id.namespace, last.as_ref());
                let Some(group) = group.filter(|_| id.config.is_ordinary()) else { break };
                cancelled.check()?;
                let (scope, view, _) = &group;
                let depends = layers.iter().any(|layer| view.depends_on(scope, layer));
                if let Some(insight) = insights(id, scope).filter(|_| depends) {
                    let read = |after| self.table().group_followers(&id.namespace, &group, after, SLICE);
                    each_slice(read, |slice| add(slice, places.len()));
                    places.push(Place {
                        namespace: id.namespace.clone(),
                        scope: scope.clone(),
                        view: *view,
                        insight,
                        follows: Follows::of_all(Some(id.config.clone())),
                    });
                }
                last = Some(group);
            }
        }
        let missing: Vec<_> = streams.into_values().collect();
        let counts = ConvergenceCounts { missing: missing.len(), ..Default::default() };
        let hub = self.clone();
        let mut convergence = Convergence { hub, viewer, revision, places, missing, counts };
        convergence.look();
        Ok(convergence)
    }

    /// The layers that a commit may have changed for watchers, with the layers of configs whose documents follow a governing config.
    pub fn reached_by(&self, commit: &Commit) -> ChangedLayers {
        let mut changed = ChangedLayers::new();
        for change in &commit.changes {
            let layers = change.layers.iter().map(|layer| layer.key.clone());
            changed.entry(change.id.clone()).or_default().extend(layers);
            for filled in super::hub::reshaped_by(&change.id, &self.state()) {
                changed.entry(filled).or_default().push(LayerKey::base(Scope::global()));
            }
        }
        changed
    }
}

impl Engine {
    /// The layers that the commit of a revision may have changed for watchers.
    pub async fn reached_by(&self, revision: Revision) -> Result<ChangedLayers, Error> {
        if revision == Revision::ZERO {
            return Ok(ChangedLayers::new());
        }
        self.hub_at(revision).await?;
        let commits = self.commits(revision).await?;
        let commit = commits.first().filter(|sealed| sealed.commit.revision == revision);
        Ok(commit.map(|sealed| self.hub.reached_by(&sealed.commit)).unwrap_or_default())
    }

    /// Begins to wait for the streams of targets that depend on these layers, as far as `insights` has them.
    pub async fn convergence(
        &self,
        changed: ChangedLayers,
        revision: Revision,
        viewer: Visibility,
        insights: impl Fn(&ConfigId, &Scope) -> Option<Insight> + Send + 'static,
    ) -> Result<Convergence, Error> {
        self.hub_at(revision).await?;
        let (hub, actor) = (self.hub.clone(), viewer.caller().shared_actor().clone());
        let begin =
            move |cancelled: &Cancelled| hub.convergence(&changed, revision, viewer, &insights, cancelled);
        self.work(&actor, begin).await
    }

    /// Checks the missing streams again, on a thread for long work.
    pub async fn look_at(
        &self,
        mut convergence: Convergence,
    ) -> Result<(Convergence, ConvergenceCounts), Error> {
        let actor = convergence.viewer.caller().shared_actor().clone();
        let look = move |_: &Cancelled| {
            let counts = convergence.look();
            Ok((convergence, counts))
        };
        self.work(&actor, look).await
    }

    async fn hub_at(&self, revision: Revision) -> Result<(), Error> {
        tokio::select! {
            () = self.hub.reached(revision) => Ok(()),
            () = self.draining.cancelled() => Err(Error::Draining { retry_after: RETRY_AFTER }),
        }
    }
}

/// Reads streams in slices, from the first to the last.
fn each_slice(
    read: impl Fn(SubscriberId) -> Vec<(u32, Arc<Subscriber>)>,
    mut add: impl FnMut(Vec<(u32, Arc<Subscriber>)>),
) {
    let mut after = SubscriberId(0);
    loop {
        let slice = read(after);
        let Some((_, last)) = slice.last() else { return };
        after = last.id;
        add(slice);
    }
}

impl Convergence {
    /// Checks the missing streams again.
    pub fn look(&mut self) -> ConvergenceCounts {
        let Convergence { hub, viewer, revision, places, missing, counts } = self;
        places.iter_mut().for_each(Place::look_again);
        let comparison = hub.comparison(viewer);
        missing.retain(|stream| {
            let subscriber = &stream.subscriber;
            let is_current = || {
                stream
                    .targets
                    .iter()
                    .all(|(at, place)| !comparison.is_behind(subscriber, *at, &places[*place]))
            };
            let was_sent = subscriber.revision() >= *revision || is_current();
            // Read last: a message that was compared before has then been taken by the connection.
            let has_it = was_sent && subscriber.is_settled();
            counts.converged += usize::from(has_it);
            counts.ended += usize::from(!has_it && subscriber.has_ended());
            !has_it && !subscriber.has_ended()
        });
        counts.missing = missing.len();
        *counts
    }

    pub fn counts(&self) -> ConvergenceCounts {
        self.counts
    }

    /// The first streams that are missing.
    pub fn missing(&mut self, max: usize) -> Vec<SubscriberInfo> {
        self.places.iter_mut().for_each(Place::look_again);
        let comparison = self.hub.comparison(&self.viewer);
        let blocked: HashMap<_, _> = self.hub.waiting.all(Instant::now());
        let missing = self.missing.iter().take(max).map(|stream| {
            let targets = stream.targets.iter().map(|(at, place)| (*at, &self.places[*place])).collect();
            comparison.info(&stream.subscriber, targets, blocked.get(&stream.subscriber.id).copied())
        });
        missing.collect()
    }
}
