//! The end of overrides: a commit like any other, made when the time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::{ConfigId, LayerKey, Source, Timestamp};

use super::Clock;
use super::error::Error;
use super::pipeline::{Answer, Pipeline, ReadWrite, Submitted};
use super::plan::ReadIntent;
use super::write::Origin;

/// Overrides that one commit ends.
const EXPIRED_MAX: usize = 1000;
/// The longest sleep: the time of day may be set while asleep.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// Pause after a commit that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Ends what fell due while no server was there. Blocks until that is durable.
pub(super) fn expire_overdue(pipeline: &Pipeline, clock: &Clock) -> Result<(), Error> {
    while let Some(due) = due(pipeline, clock()) {
        let answer = match pipeline.submit(&expiry(due)) {
            Submitted::Answered(answer) => answer,
            Submitted::Queued(answered) => answered
                .blocking_recv()
                .map_err(|_| Error::Unwritable("the commit thread has ended".into()))??,
        };
        if let Answer::Outcome(Err(error)) = answer {
            return Err(error);
        }
    }
    Ok(())
}

/// Ends overrides as they fall due, until `closed`.
pub(super) async fn run(pipeline: Arc<Pipeline>, clock: Clock, closed: CancellationToken) {
    let mut revisions = pipeline.revisions();
    loop {
        let now = clock();
        if let Some(due) = due(&pipeline, now)
            && let Err(error) = expire(&pipeline, due).await
        {
            tracing::warn!(%error, "overrides that are due could not be ended");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = closed.cancelled() => return,
            }
            continue;
        }
        let next = pipeline.published().next_expiry();
        let sleep = next.map_or(SLEEP_MAX, |next| now.until(next).min(SLEEP_MAX));
        tokio::select! {
            // The next expiry may be another one now.
            changed = revisions.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(sleep), if next.is_some() => {}
            () = closed.cancelled() => return,
        }
    }
}

fn due(pipeline: &Pipeline, now: Timestamp) -> Option<Vec<(ConfigId, LayerKey)>> {
    let state = pipeline.published();
    let due = state.due(now).take(EXPIRED_MAX);
    let due: Vec<_> = due.map(|expiry| (expiry.id.clone(), expiry.key.clone())).collect();
    (!due.is_empty()).then_some(due)
}

async fn expire(pipeline: &Pipeline, due: Vec<(ConfigId, LayerKey)>) -> Result<(), Error> {
    let answer = match pipeline.submit(&expiry(due)) {
        Submitted::Answered(answer) => answer,
        Submitted::Queued(answered) => {
            answered.await.map_err(|_| Error::Unwritable("the commit thread has ended".into()))??
        }
    };
    match answer {
        Answer::Outcome(outcome) => outcome.map(|_| ()),
        Answer::Replay(_) => Ok(()),
    }
}

fn expiry(due: Vec<(ConfigId, LayerKey)>) -> ReadWrite {
    let origin = Origin {
        actor: "system".into(),
        source: Source::Expiry,
        reason: "the time to live of the override has ended".into(),
        request: None,
        annotations: Default::default(),
    };
    ReadWrite { origin, intent: ReadIntent::Expire(due), validate_only: false }
}
