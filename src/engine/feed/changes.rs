//! The stream of commits: each reader takes them from the journal at its own pace, never from a queue, so that none is too slow. Knows
//! nothing of where the newest of them are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::auth::Visibility;
use crate::model::{ConfigChange, ConfigId, ConfigName, ForgottenPart, Namespace, Revision};
use crate::store::Sealed;

use super::recent::Recent;
use crate::engine::actor_streams::ActorStream;
use crate::engine::commit::pipeline::Pipeline;
use crate::engine::error::{Error, Withheld};
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::shown::{Showing, Viewer};

/// Which commits to follow.
#[derive(Clone, Debug)]
pub struct ChangesOptions {
    /// `None`: those made from now on.
    pub from: Option<Revision>,
    /// Only what happens in this namespace, or to this config of it.
    pub filter: Option<(Namespace, Option<ConfigName>)>,
    pub progress_interval: Duration,
    /// Who reads: only what they may see is given.
    pub viewer: Viewer,
}

/// By what commits are shown. It does not keep the store open.
pub(in crate::engine) struct Shown {
    pub key_store: Arc<KeyStore>,
    pub pipeline: Weak<Pipeline>,
}

impl Shown {
    fn commit(&self, sealed: Sealed, viewer: &Viewer) -> Result<Sealed, Error> {
        let gone = Error::Draining { retry_after: crate::engine::RETRY_AFTER };
        let state = self.pipeline.upgrade().ok_or(gone)?.published();
        Ok(Showing::new(&self.key_store, viewer, &state).commit(sealed)?)
    }
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is a commit")]
pub enum ChangeEvent {
    /// With those of its changes that the filter lets through.
    Commit(Sealed),
    /// Every commit up to here that the filter lets through was given.
    Progress(Revision),
}

/// A reader of commits: each once, in order, without gaps.
pub struct Changes {
    recent: Arc<Recent>,
    published: watch::Receiver<Revision>,
    draining: CancellationToken,
    filter: Option<(Namespace, Option<ConfigName>)>,
    viewer: Viewer,
    shown: Shown,
    page: VecDeque<Arc<Sealed>>,
    /// The next revision to read.
    next: Revision,
    progress_interval: Duration,
    progress_at: Instant,
    /// Among those that may be open.
    _place: OwnedSemaphorePermit,
    _of_actor: ActorStream,
}

impl Changes {
    pub(in crate::engine) fn open(
        recent: Arc<Recent>,
        published: watch::Receiver<Revision>,
        draining: CancellationToken,
        (place, of_actor): (OwnedSemaphorePermit, ActorStream),
        shown: Shown,
        options: ChangesOptions,
    ) -> Result<Changes, Error> {
        let newest = *published.borrow();
        let next = options.from.unwrap_or(newest.next());
        if next > newest.next() {
            return Err(Error::RevisionInFuture { asked: next, store: newest });
        }
        let oldest = oldest(&recent, &options.filter)?;
        if next < oldest {
            return Err(Error::Compacted { asked: next, oldest });
        }
        Ok(Changes {
            recent,
            published,
            draining,
            filter: options.filter,
            viewer: options.viewer,
            shown,
            page: VecDeque::new(),
            next,
            progress_interval: options.progress_interval,
            progress_at: Instant::now() + options.progress_interval,
            _place: place,
            _of_actor: of_actor,
        })
    }

    /// From now on only what this shows is given, as if there were nothing else.
    pub fn see_as(&mut self, visibility: Visibility) {
        self.viewer.see_as(visibility);
    }

    /// The next commit, or word that there is none. Waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<ChangeEvent, Error> {
        loop {
            while let Some(sealed) = self.page.front() {
                if let Some(sealed) = self.filtered(sealed) {
                    match self.shown.commit(sealed, &self.viewer) {
                        Err(Error::SecretsWithheld(withheld)) if !self.draining.is_cancelled() => {
                            // No commit is left out, so the stream waits.
                            self.until_shown(withheld).await;
                            continue;
                        }
                        shown => {
                            self.page.pop_front();
                            self.progress_at = Instant::now() + self.progress_interval;
                            return shown.map(ChangeEvent::Commit);
                        }
                    }
                }
                self.page.pop_front();
            }
            if self.draining.is_cancelled() {
                return Err(Error::Draining { retry_after: crate::engine::RETRY_AFTER });
            }
            let newest = *self.published.borrow_and_update();
            if self.next <= newest {
                self.read_page(newest).await?;
                // Commits that the filter drops are progress as well; tell at the pace that was asked for.
                if !self.page.iter().any(|sealed| self.lets_through(sealed))
                    && Instant::now() >= self.progress_at
                {
                    self.page.clear();
                    return Ok(self.progress());
                }
                continue;
            }
            tokio::select! {
                changed = self.published.changed() => changed.map_err(|_| Error::Draining { retry_after: crate::engine::RETRY_AFTER })?,
                () = self.draining.cancelled() => {}
                () = tokio::time::sleep_until(self.progress_at) => return Ok(self.progress()),
            }
        }
    }

    async fn until_shown(&self, withheld: Withheld) {
        tokio::select! {
            () = tokio::time::sleep(withheld.retry_in()) => {}
            () = self.draining.cancelled() => {}
        }
    }

    async fn read_page(&mut self, newest: Revision) -> Result<(), Error> {
        let page = self.recent.read(self.next).await?;
        // What was compacted of the namespace before it was read may be missing.
        let oldest = oldest(&self.recent, &self.filter)?;
        if self.next < oldest {
            return Err(Error::Compacted { asked: self.next, oldest });
        }
        self.page = page.into_iter().take_while(|sealed| sealed.commit.revision <= newest).collect();
        if let Some(last) = self.page.back() {
            self.next = last.commit.revision.next();
        }
        Ok(())
    }

    fn progress(&mut self) -> ChangeEvent {
        self.progress_at = Instant::now() + self.progress_interval;
        ChangeEvent::Progress(Revision(self.next.0 - 1))
    }

    fn concerns(&self, change: &ConfigChange) -> bool {
        let is_asked_for = self.filter.as_ref().is_none_or(|(namespace, config)| {
            change.id.namespace == *namespace
                && config.as_ref().is_none_or(|config| change.id.config == *config)
        });
        is_asked_for && shows(self.viewer.visibility(), change)
    }

    fn lets_through(&self, sealed: &Sealed) -> bool {
        let changes = sealed.commit.changes.iter().any(|change| self.concerns(change));
        changes || sealed.commit.forgotten.iter().any(|part| self.names(part))
    }

    /// Whether the reader may learn that changes of a namespace were compacted.
    fn names(&self, part: &ForgottenPart) -> bool {
        self.filter.is_none() && self.viewer.visibility().has_all_of(&part.namespace)
    }

    fn filtered(&self, sealed: &Sealed) -> Option<Sealed> {
        self.lets_through(sealed).then(|| {
            let mut sealed = sealed.clone();
            sealed.commit.changes.retain(|change| self.concerns(change));
            sealed.commit.forgotten.retain(|part| self.names(part));
            sealed.commit.changes.iter_mut().for_each(|change| keep_seen(self.viewer.visibility(), change));
            sealed
        })
    }
}

/// The oldest revision of which the filter lets everything through.
fn oldest(recent: &Recent, filter: &Option<(Namespace, Option<ConfigName>)>) -> Result<Revision, Error> {
    match filter {
        None => recent.oldest(),
        Some((namespace, _)) => recent.oldest_of(namespace),
    }
}

/// Whether anything of a change may be seen: a layer, or of one without layers, which moves tags, the config.
pub fn shows(visibility: &Visibility, change: &ConfigChange) -> bool {
    let ConfigId { namespace, config } = &change.id;
    match change.layers.as_slice() {
        [] => visibility.has_config(namespace, config),
        layers => layers.iter().any(|layer| visibility.has(namespace, config, &layer.key.scope)),
    }
}

/// Takes the layers out of a change that may not be seen.
pub fn keep_seen(visibility: &Visibility, change: &mut ConfigChange) {
    let ConfigId { namespace, config } = &change.id;
    change.layers.retain(|layer| visibility.has(namespace, config, &layer.key.scope));
}
