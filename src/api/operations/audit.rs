//! The calls of `AuditService`: the audit trail as far as the caller may see it, and its proof. Knows both of its sources, commits and records;
//! not how they come about.

mod entry;
mod filter;
mod list;
mod trail;
mod visibility;

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::auth::{Resource, Verb};
use crate::engine::watch::ResumeToken;
use crate::engine::{Error, RETRY_AFTER};
use crate::model::{Epoch, Revision, Timestamp};
use crate::proto::v1::audit_service_stream_response::Event;
use crate::proto::v1::*;

use super::Operations;
use super::places::Place;
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::{ApiError, audit_log_unreadable};
use crate::api::guard::Standing;
use crate::api::reply::Responses;
use crate::api::task::blocking;
use filter::Filter;
use visibility::AuditVisibility;

pub use entry::{COMMITTED, commits_proof, records_proofs, verb};
pub use trail::{Gap, Trail, TrailItem};

impl Operations {
    pub async fn stream_audit_trail(
        &self,
        access: &CallContext,
        request: AuditServiceStreamRequest,
    ) -> Result<Responses<AuditServiceStreamResponse>, ApiError> {
        let filter = Filter::read(request.filter.unwrap_or_default())?;
        let progress_interval = request::progress_interval(request.progress_interval)?;
        let from_time = request.from_time.map(|time| request::timestamp("from_time", &time)).transpose()?;
        // First, since something may change while the stream is opened.
        let standing = self.guard.standing(access);
        let visibility = AuditVisibility::open(access, &filter)?;
        let place = self.audit_streams.take(access.caller())?;
        let is_free = request.from_revision == 0 && request.from_sequence == 0 && from_time.is_none();
        let (revision, sequence) = match request.resume_token.as_str() {
            "" => (request.from_revision, request.from_sequence),
            _ if !is_free => {
                return Err(request::invalid(
                    "resume_token",
                    "cannot be set together with another beginning",
                )
                .into());
            }
            token => resumed(token, self.engine.epoch())?,
        };
        let trail = self.trail_from(revision, sequence, from_time).await?;
        let following = Following {
            epoch: self.engine.epoch(),
            trail,
            filter,
            from_time,
            visibility,
            standing,
            draining: self.engine.draining(),
            progress_interval,
            progress_at: Instant::now() + progress_interval,
            _place: place,
        };
        Ok(Box::pin(following.into_stream()))
    }

    pub async fn verify_audit_trail(
        &self,
        access: &CallContext,
        AuditServiceVerifyRequest {}: AuditServiceVerifyRequest,
    ) -> Result<AuditServiceVerifyResponse, ApiError> {
        access.permit(Verb::Audit, Resource::Store)?;
        let mut commits = self.engine.prove().await?;
        if let Some(broken) = &mut commits.broken {
            let (revision, place, what) = (broken.revision, std::mem::take(&mut broken.place), &broken.what);
            tracing::error!(%revision, place, what, "a commit is not as it was written");
        }
        let commits = entry::commits_proof(commits);
        let recorder = self.recorder.clone();
        let records = blocking(move || recorder.prove()).await?;
        let records = records.map_err(|error| audit_log_unreadable(&error))?;
        let mut rooms = records.map(entry::records_proofs).unwrap_or_default().into_iter();
        let records = rooms.next().unwrap_or_default();
        let parts: Vec<ChainProof> = rooms.collect();
        let are_intact =
            |mut chains: std::slice::Iter<'_, ChainProof>| chains.all(|chain| chain.broken.is_none());
        Ok(AuditServiceVerifyResponse {
            intact: commits.broken.is_none() && records.broken.is_none() && are_intact(parts.iter()),
            commits: Some(commits),
            records: Some(records),
            parts,
        })
    }
}

/// The revision and the sequence that come after a resume token: that of a stream of commits, and the sequence.
fn resumed(token: &str, epoch: Epoch) -> Result<(u64, u64), Error> {
    let damaged = || request::invalid("resume_token", "is not one that this stream gave");
    let (token, sequence) = token.rsplit_once('.').ok_or_else(damaged)?;
    let sequence = u64::from_str_radix(sequence, 16).map_err(|_| damaged())?;
    let revision = request::resume_token("resume_token", token)?.revision_in(epoch)?;
    Ok((revision.next().0, sequence.saturating_add(1)))
}

impl Operations {
    async fn trail_from(
        &self,
        revision: u64,
        sequence: u64,
        from_time: Option<Timestamp>,
    ) -> Result<Trail, ApiError> {
        let mut trail = Trail::from_now(&self.engine, &self.recorder);
        match from_time.filter(|_| revision == 0 && sequence == 0) {
            Some(from) => {
                let before = self.engine.revision_at(Timestamp(from.0.saturating_sub(1))).await?;
                trail.begin_with_revision(before.map_or(self.engine.oldest()?, Revision::next));
                trail.begin_with_time(from);
            }
            None => {
                if revision > 0 {
                    let (asked, oldest, store) =
                        (Revision(revision), self.engine.oldest()?, self.engine.state().revision);
                    if asked < oldest {
                        return Err(Error::Compacted { asked, oldest }.into());
                    }
                    if asked > store.next() {
                        return Err(Error::RevisionInFuture { asked, store }.into());
                    }
                    trail.begin_with_revision(asked);
                }
                if sequence > 0 {
                    trail.begin_with_sequence(sequence);
                }
            }
        }
        Ok(trail)
    }
}

/// A stream of the audit trail.
struct Following {
    epoch: Epoch,
    trail: Trail,
    filter: Filter,
    from_time: Option<Timestamp>,
    visibility: AuditVisibility,
    standing: Standing,
    draining: CancellationToken,
    progress_interval: Duration,
    progress_at: Instant,
    /// Among those that may be open.
    _place: Place,
}

impl Following {
    fn into_stream(self) -> impl Stream<Item = Result<AuditServiceStreamResponse, ApiError>> {
        futures_util::stream::unfold(Some(self), |following| async move {
            let mut following = following?;
            match following.next().await {
                Ok(response) => Some((Ok(response), Some(following))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<AuditServiceStreamResponse, ApiError> {
        loop {
            if let Some(access) = self.standing.changed().now_or_never() {
                self.visibility.renew(access?, &self.filter)?;
            }
            if self.draining.is_cancelled() {
                return Err(Error::Draining { retry_after: RETRY_AFTER }.into());
            }
            if let Some(item) = self.trail.take().await? {
                if let TrailItem::Gap(gap) = item {
                    return Ok(self.response(Event::Gap(gap.into())));
                }
                if let Some(entry) = self.told(item) {
                    return Ok(self.response(Event::Entry(entry)));
                }
                // What is not told is progress as well.
                if Instant::now() < self.progress_at {
                    continue;
                }
                return Ok(self.response(Event::Progress(Progress {})));
            }
            tokio::select! {
                biased;
                access = self.standing.changed() => self.visibility.renew(access?, &self.filter)?,
                () = self.draining.cancelled() => {}
                () = self.trail.changed() => {}
                () = tokio::time::sleep_until(self.progress_at) => {
                    return Ok(self.response(Event::Progress(Progress {})));
                }
            }
        }
    }

    fn told(&self, item: TrailItem) -> Option<AuditEntry> {
        let (entry, time) = match item {
            TrailItem::Change(sealed) => {
                (entry::of_commit(&sealed, &self.filter, &self.visibility), sealed.commit.time)
            }
            TrailItem::Gap(_) => return None,
            // The commit tells the same.
            TrailItem::Record(record) if self.filter.wants_changes() && self.trail.has_commit_of(&record) => {
                return None;
            }
            TrailItem::Record(record) => {
                let time = record.event.time;
                (entry::of_record(*record, &self.filter, &self.visibility), time)
            }
        };
        entry.filter(|_| self.from_time.is_none_or(|from| from <= time))
    }

    fn response(&mut self, event: Event) -> AuditServiceStreamResponse {
        self.progress_at = Instant::now() + self.progress_interval;
        let (revision, sequence) = self.trail.told();
        let resume_token = format!("{}.{sequence:x}", ResumeToken { epoch: self.epoch, revision });
        AuditServiceStreamResponse { revision: revision.0, sequence, event: Some(event), resume_token }
    }
}
