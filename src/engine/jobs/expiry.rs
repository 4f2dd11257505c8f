//! Ends overrides when their time to live is over, each by a commit like any other.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::SYSTEM;
use crate::model::{Author, ConfigId, LayerKey, Source, Timestamp};

use crate::engine::Clock;
use crate::engine::commit::pipeline::Pipeline;
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::engine::commit::submitted::WriteAnswer;
use crate::engine::commit::write::Origin;
use crate::engine::error::Error;
use crate::engine::jobs::scheduler::{Done, Job};

/// Overrides that one commit ends.
const EXPIRED_MAX: usize = 1000;
/// Pause after a commit that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Ends what fell due while no server was there, before anybody reads. Blocks until that is durable.
pub(in crate::engine) fn expire_overdue(pipeline: &Pipeline, clock: &Clock) -> Result<(), Error> {
    while let Some(due) = due(pipeline, clock()) {
        match pipeline.submit_alone(expiry(due)).blocking_answered() {
            Ok(WriteAnswer::Outcome(Err(error))) => return Err(error),
            Ok(WriteAnswer::Outcome(Ok(_)) | WriteAnswer::Replay(_)) => {}
            // What is there can be read, and the job tries again.
            Err(Error::NotWritten(why)) => {
                tracing::warn!(why, "overrides that are overdue could not be ended");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends overrides as they fall due.
pub(in crate::engine) struct OverrideExpiry {
    pub pipeline: Arc<Pipeline>,
}

impl Job for OverrideExpiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn due(&self, _: Timestamp) -> Option<Timestamp> {
        self.pipeline.published().next_expiry()
    }

    fn changed(&self) -> Done<'_, ()> {
        let mut expiries = self.pipeline.next_expiries();
        Box::pin(async move { expiries.changed().await.expect("the pipeline owns the sender") })
    }

    fn run(&self, now: Timestamp) -> Done<'_, Result<(), Error>> {
        Box::pin(async move {
            match due(&self.pipeline, now) {
                Some(due) => expire(&self.pipeline, due).await,
                None => Ok(()),
            }
        })
    }

    fn retry_after(&self) -> Duration {
        RETRY
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
