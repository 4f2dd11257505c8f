//! The end of overrides: a commit like any other, made when the time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::auth::SYSTEM;
use crate::model::{Author, ConfigId, LayerKey, Source, Timestamp};

use crate::engine::Clock;
use crate::engine::commit::pipeline::{Pipeline, WriteAnswer};
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::engine::commit::write::Origin;
use crate::engine::error::Error;

/// Overrides that one commit ends.
const EXPIRED_MAX: usize = 1000;
/// The longest sleep: the time of day may be set while asleep.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// Pause after a commit that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Ends what fell due while no server was there. Blocks until that is durable.
pub(in crate::engine) fn expire_overdue(pipeline: &Pipeline, clock: &Clock) -> Result<(), Error> {
    while let Some(due) = due(pipeline, clock()) {
        match pipeline.submit_alone(expiry(due)).blocking_answered() {
            Ok(WriteAnswer::Outcome(Err(error))) => return Err(error),
            Ok(WriteAnswer::Outcome(Ok(_)) | WriteAnswer::Replay(_)) => {}
            // What is there can be read, and `run` tries again.
            Err(Error::NotWritten(why)) => {
                tracing::warn!(why, "overrides that are overdue could not be ended");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends overrides as they fall due, until `closed`.
pub(in crate::engine) async fn run(pipeline: Arc<Pipeline>, clock: Clock, closed: CancellationToken) {
    let mut expiries = pipeline.next_expiries();
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
            changed = expiries.changed() => if changed.is_err() { return },
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

async fn expire(pipeline: &Arc<Pipeline>, due: Vec<(ConfigId, LayerKey)>) -> Result<(), Error> {
    match pipeline.submit(expiry(due)).await?.answered().await? {
        WriteAnswer::Outcome(outcome) => outcome.map(|_| ()),
        WriteAnswer::Replay(_) => Ok(()),
    }
}

fn expiry(due: Vec<(ConfigId, LayerKey)>) -> ReadWrite {
    let origin = Origin {
        author: Author::named(SYSTEM),
        source: Source::Expiry,
        reason: "the time to live of the override has ended".into(),
        request: None,
        annotations: Default::default(),
    };
    ReadWrite::of_server(origin, ReadIntent::Expire(due), false)
}
