//! Checks the permissions of an open stream again when the policy, tokens or keys change, and when its credential expires. Knows no stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream as Word;

use super::rules::Rules;
use crate::api::error::ApiError;
use crate::auth::{Access, Credential};
use crate::model::Timestamp;

/// The longest sleep. Of a clock that has jumped the rules tell, as of any change.
const SLEEP_MAX: Duration = Duration::from_secs(300);

/// Empty where callers are not authenticated, since there may be very many streams.
pub struct Standing(Option<Box<StreamRecheck>>);

struct StreamRecheck {
    rules: Arc<Rules>,
    access: Access,
    word: Word<u64>,
    /// Sessions that were ended, for a stream of a session.
    sessions: Option<Word<u64>>,
    /// The timer of a credential that expires.
    end: Option<Pin<Box<Sleep>>>,
}

impl Standing {
    pub(super) fn unchecked() -> Standing {
        Standing(None)
    }

    pub(super) fn new(rules: Arc<Rules>, access: Access) -> Standing {
        // From the first notification on, since permissions may have changed while the stream was opened.
        let word = Word::new(rules.changes());
        let is_of_session = matches!(access.caller().credential(), Credential::Session { .. });
        let sessions = is_of_session.then(|| Word::new(rules.sessions.ended()));
        let end = sleep_until_end(&access, rules.now());
        Standing(Some(Box::new(StreamRecheck { rules, access, word, sessions, end })))
    }

    pub fn is_checked(&self) -> bool {
        self.0.is_some()
    }

    /// Ready when permissions have changed: the current permissions of the caller, or why the stream must end.
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<Result<Access, ApiError>> {
        let Some(checked) = &mut self.0 else { return Poll::Pending };
        let mut is_due = false;
        for word in std::iter::once(&mut checked.word).chain(&mut checked.sessions) {
            while let Poll::Ready(Some(_)) = Pin::new(&mut *word).poll_next(context) {
                is_due = true;
            }
        }
        while let Some(Poll::Ready(())) = checked.end.as_mut().map(|end| end.poll_unpin(context)) {
            is_due = true;
            checked.end = match checked.rules.again(checked.access.caller()) {
                Ok(access) => sleep_until_end(&access, checked.rules.now()),
                Err(_) => None,
            };
        }
        if !is_due {
            return Poll::Pending;
        }
        let access = match checked.rules.again(checked.access.caller()) {
            Ok(access) if checked.access.masks_secrets() => access.masking_secrets(),
            Ok(access) => access,
            Err(refused) => return Poll::Ready(Err(refused.into())),
        };
        checked.access = access.clone();
        // The clock may have jumped.
        checked.end = sleep_until_end(&access, checked.rules.now());
        if let Some(end) = &mut checked.end
            && end.poll_unpin(context).is_ready()
        {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(access))
    }

    /// The same as a future.
    pub async fn changed(&mut self) -> Result<Access, ApiError> {
        std::future::poll_fn(|context| self.poll_changed(context)).await
    }
}

fn sleep_until_end(access: &Access, now: Timestamp) -> Option<Pin<Box<Sleep>>> {
    let left = access.caller().expires().map(|expires| now.until(expires))?;
    // Timers go by milliseconds, and the end must be past.
    Some(Box::pin(sleep((left + Duration::from_millis(1)).min(SLEEP_MAX))))
}
