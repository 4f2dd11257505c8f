//! The answer to a write, and the wait for the commits on which the answer depends. Knows no pipeline.

use tokio::sync::oneshot;

use super::outcome::Outcome;
use super::queue::Durable;
use super::request_ids::First;
use crate::engine::error::Error;

/// The outcome of a write that was submitted.
#[expect(clippy::large_enum_variant, reason = "it is moved once, and a box would be made for each write")]
pub(in crate::engine) enum WriteAnswer {
    Outcome(Result<Outcome, Error>),
    /// The same request was made before. The outcome is to be read again.
    Replay(First),
}

/// The answer to a submitted write. The answer is final once the commits on which it depends are durable.
pub(in crate::engine) struct Submitted {
    pub(super) answer: WriteAnswer,
    /// `None`: the answer is final already.
    pub(super) durable: Option<Durable>,
}

impl Submitted {
    pub async fn answered(self) -> Result<WriteAnswer, Error> {
        match self.durable {
            None => Ok(self.answer),
            Some(durable) => durable.await.unwrap_or_else(thread_ended).map(|()| self.answer),
        }
    }

    pub fn blocking_answered(self) -> Result<WriteAnswer, Error> {
        match self.durable {
            None => Ok(self.answer),
            Some(durable) => durable.blocking_recv().unwrap_or_else(thread_ended).map(|()| self.answer),
        }
    }
}

/// The error of a waiter whose commit thread has ended.
pub(super) fn thread_ended(_: oneshot::error::RecvError) -> Result<(), Error> {
    Err(Error::Unwritable("the commit thread has ended".into()))
}
