//! The task of a watcher: stream after stream, what they bring, and the state. Knows nothing of the application.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::backoff::Backoff;
use super::held::{EventKind, ProtocolError};
use super::session::{self, End};
use super::{View, WatchOptions, WatchState, WatcherState, cache};
use crate::client::{Api, ClientError};
use crate::proto::v1::{WatchRequest, WatchResponse};

/// How long to wait after the first refusal of a watch.
const REFUSED_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Runs until it is told to stop, or the server finds the request malformed before it ever answered it.
pub(super) async fn run(api: Api, options: WatchOptions, shared: Arc<WatcherState>, stop: CancellationToken) {
    let cache = match &options.cache {
        Some(path) => {
            if let Some(saved) = cache::read(path.clone()).await {
                let mut view = shared.lock();
                let View { held, outbox, .. } = &mut *view;
                saved.restore(held);
                outbox.add_cache(held);
                drop(view);
                shared.news.notify_one();
            }
            Some(cache::Writer::start(path.clone(), Arc::clone(&shared)))
        }
        None => None,
    };
    tokio::select! {
        () = follow(api, &options, &shared, cache.as_ref()) => {}
        () = watch_grace(&options, &shared) => {}
        () = stop.cancelled() => {}
    }
    if let Some(cache) = cache {
        cache.finish().await;
    }
}

/// One stream after the other.
async fn follow(api: Api, options: &WatchOptions, shared: &WatcherState, cache: Option<&cache::Writer>) {
    let silence = options.progress_interval.saturating_mul(3);
    let mut backoff = Backoff::default();
    let mut is_answered = false;
    let mut refusals = 0;
    loop {
        let request = request(options, shared);
        let end = session::run(api.clone(), request, silence, |message| {
            backoff.reset();
            refusals = 0;
            is_answered = true;
            receive(shared, cache, message)
        });
        let error = match end.await {
            End::Failed(error) if is_malformed(&error) && !is_answered => {
                tracing::error!(%error, "the watch has ended");
                shared.lock().error = Some(error);
                shared.set_state(WatchState::Error, |_| true);
                shared.lock().ended = true;
                shared.news.notify_one();
                return;
            }
            End::Failed(error) => error,
            End::Protocol(error) => {
                shared.lock().held.distrust();
                ClientError::local(Code::Internal, "BROKEN_CONTRACT", error.to_string())
            }
        };
        let pause = match is_refused(&error) {
            true => {
                let pause = refused_pause(refusals, options.refused_pause).mul_f64(1.0 + fastrand::f64());
                refusals += 1;
                tracing::error!(%error, ?pause, "the server refuses the watch");
                shared.lock().error = Some(error);
                shared.set_state(WatchState::Error, |_| true);
                pause
            }
            false => {
                let pause = backoff.next(error.retry_after(), fastrand::f64());
                tracing::info!(%error, ?pause, "the watch was interrupted");
                shared.lock().error = Some(error);
                shared.set_state(WatchState::Stale, |state| state == WatchState::Ready);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// The pause after so many refusals in a row. A policy that is wrong is often corrected within seconds.
fn refused_pause(refusals: u32, longest: Duration) -> Duration {
    REFUSED_PAUSE_FIRST.saturating_mul(1 << refusals.min(16)).min(longest)
}

/// Turns `Stale` into `Error` when it lasts.
async fn watch_grace(options: &WatchOptions, shared: &WatcherState) {
    let mut states = shared.state.subscribe();
    let is_stale = |state: &WatchState| *state == WatchState::Stale;
    // The sender lives as long as `shared`, so waiting never fails.
    while states.wait_for(is_stale).await.is_ok() {
        let over = states.wait_for(|state| !is_stale(state));
        if tokio::time::timeout(options.error_after, over).await.is_err() {
            shared.set_state(WatchState::Error, |state| state == WatchState::Stale);
        }
    }
}

fn request(options: &WatchOptions, shared: &WatcherState) -> WatchRequest {
    WatchRequest {
        client_id: options.client_id.clone(),
        labels: options.labels.clone(),
        // Longer than a duration of protobuf can be is as good as the longest; the server refuses both.
        progress_interval: options.progress_interval.try_into().ok(),
        ..shared.lock().held.begin()
    }
}

fn receive(
    shared: &WatcherState,
    cache: Option<&cache::Writer>,
    message: WatchResponse,
) -> Result<(), ProtocolError> {
    let mut view = shared.lock();
    let View { held, outbox, error, .. } = &mut *view;
    let Some(folded) = held.fold(message)? else { return Ok(()) };
    let is_snapshot = matches!(folded.kind, EventKind::Snapshot { .. });
    let is_worth_keeping = is_snapshot || !folded.changed.is_empty();
    outbox.add(folded, held);
    *error = None;
    drop(view);
    shared.news.notify_one();
    if is_snapshot {
        shared.set_state(WatchState::Ready, |_| true);
    }
    if let (Some(cache), true) = (cache, is_worth_keeping) {
        cache.keep();
    }
    Ok(())
}

fn is_malformed(error: &ClientError) -> bool {
    error.is_from_server() && error.code() == Code::InvalidArgument
}

/// Somebody has to act before the server serves this watch. New credentials come by themselves, and are tried at the usual pace.
fn is_refused(error: &ClientError) -> bool {
    error.is_from_server()
        && matches!(error.code(), Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_refusals_double_up_to_the_longest() {
        let longest = Duration::from_secs(10);
        let pauses: Vec<_> = (0..6).map(|refusals| refused_pause(refusals, longest).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(refused_pause(u32::MAX, longest), longest);
        assert_eq!(refused_pause(0, Duration::from_millis(20)), Duration::from_millis(20));
    }
}
