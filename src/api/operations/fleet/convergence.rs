//! WaitConverged: waits until the watchers of what a commit changed were sent its state. Knows when to look; not how streams are compared.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::{client_message, insight};
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::ApiError;
use crate::api::guard::Standing;
use crate::api::operations::Operations;
use crate::api::operations::places::Place;
use crate::api::reply::Responses;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::watch::{ChangedLayers, Convergence, ConvergenceCounts, layers_at};
use crate::engine::{Engine, Error, RETRY_AFTER};
use crate::model::{ConfigId, Revision, Scope};
use crate::proto::v1;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const TARGETS_MAX: usize = 100;
/// Clients that are named when the time is over.
const NAMED_MAX: usize = 100;
/// Between two looks, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// So many streams are looked at where the stream of the response runs, more on a thread for long work.
const LOOKS_INLINE_MAX: usize = 1000;

impl Operations {
    pub async fn wait_converged(
        &self,
        context: &CallContext,
        request: v1::WaitConvergedRequest,
    ) -> Result<Responses<v1::WaitConvergedResponse>, ApiError> {
        let begun = Instant::now();
        // First, since something may change while the streams are looked up.
        let standing = self.guard.standing(context);
        let timeout = request.timeout.map(|timeout| request::duration("timeout", &timeout)).transpose()?;
        let timeout = timeout.unwrap_or(TIMEOUT_DEFAULT);
        if timeout > TIMEOUT_MAX {
            return Err(request::invalid("timeout", "must be at most 10 min").into());
        }
        let count = request.targets.len();
        if count > TARGETS_MAX {
            let message = format!("has {count} targets, at most {TARGETS_MAX} are allowed");
            return Err(request::invalid("targets", message).into());
        }
        let targets = request.targets.iter().enumerate().map(|(at, target)| {
            let prefix = format!("targets[{at}].");
            let id = request::config_id(&prefix, &target.namespace, &target.config)?;
            Ok((id, request::scope(&prefix, &target.scope)?))
        });
        let targets = Targets(targets.collect::<Result<_, Error>>()?);
        targets.check(context)?;
        let store = self.engine.state().revision;
        let revision = match Revision(request.revision) {
            Revision::ZERO => store,
            asked if asked > store => return Err(Error::RevisionInFuture { asked, store }.into()),
            asked => asked,
        };
        let place = self.convergence_waits.take(context.caller())?;
        let engine = self.engine.clone();
        let changed = match targets.0.is_empty() {
            true => engine.reached_by(revision).await?,
            false => targets.layers(),
        };
        let convergence = begin(&engine, &changed, revision, context.access()).await?;
        let wait = Wait {
            draining: engine.draining(),
            engine,
            targets,
            changed,
            revision,
            convergence: Some(convergence),
            deadline: begun + context.within_deadline(timeout),
            pause: PAUSE_MIN,
            told: None,
            is_over: false,
            standing,
            _place: place,
        };
        Ok(Box::pin(wait.into_stream()))
    }
}

/// The targets that a request names.
struct Targets(Vec<(ConfigId, Scope)>);

impl Targets {
    fn check(&self, access: &Access) -> Result<(), Denied> {
        let resources =
            self.0.iter().map(|(id, scope)| Resource::Config { id: id.clone(), scope: scope.clone() });
        access.permit_all(resources.map(|resource| (Verb::Read, resource))).map(drop)
    }

    fn layers(&self) -> ChangedLayers {
        let mut changed = ChangedLayers::new();
        for (id, scope) in &self.0 {
            changed.entry(id.clone()).or_default().extend(layers_at(scope));
        }
        changed
    }
}

async fn begin(
    engine: &Arc<Engine>,
    changed: &ChangedLayers,
    revision: Revision,
    access: &Access,
) -> Result<Convergence, Error> {
    let (viewer, access) = (access.visibility(), access.clone());
    let insights =
        move |id: &ConfigId, scope: &Scope| insight(&access, &id.namespace, Some(&id.config), scope);
    engine.convergence(changed.clone(), revision, viewer, insights).await
}

/// A call that waits.
struct Wait {
    engine: Arc<Engine>,
    targets: Targets,
    changed: ChangedLayers,
    revision: Revision,
    /// `None` while it is looked at elsewhere.
    convergence: Option<Convergence>,
    deadline: Instant,
    pause: Duration,
    told: Option<ConvergenceCounts>,
    is_over: bool,
    standing: Standing,
    draining: CancellationToken,
    /// Among those that may wait.
    _place: Place,
}

impl Wait {
    fn into_stream(self) -> impl Stream<Item = Result<v1::WaitConvergedResponse, ApiError>> {
        futures_util::stream::unfold(Some(self), |wait| async move {
            let mut wait = wait.filter(|wait| !wait.is_over)?;
            match wait.next().await {
                Ok(response) => Some((Ok(response), Some(wait))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<v1::WaitConvergedResponse, ApiError> {
        loop {
            if let Some(access) = self.standing.changed().now_or_never() {
                let access = access?;
                self.targets.check(&access)?;
                let begun = begin(&self.engine, &self.changed, self.revision, &access).await?;
                self.convergence = Some(begun);
            }
            if self.draining.is_cancelled() {
                return Err(Error::Draining { retry_after: RETRY_AFTER }.into());
            }
            let counts = self.look().await?;
            if counts.missing == 0 {
                return Ok(self.end(counts, v1::Convergence::Converged));
            }
            if Instant::now() >= self.deadline {
                return Ok(self.end(counts, v1::Convergence::TimedOut));
            }
            if self.told != Some(counts) {
                self.told = Some(counts);
                return Ok(self.response(counts, v1::Convergence::Waiting));
            }
            let next = (Instant::now() + self.pause).min(self.deadline);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = self.draining.cancelled() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<ConvergenceCounts, Error> {
        let convergence = self.convergence.take().expect("it is put back after each look");
        let (convergence, counts) = match convergence.counts().missing > LOOKS_INLINE_MAX {
            true => self.engine.look_at(convergence).await?,
            false => {
                let mut convergence = convergence;
                let counts = convergence.look();
                (convergence, counts)
            }
        };
        self.convergence = Some(convergence);
        Ok(counts)
    }

    fn end(&mut self, counts: ConvergenceCounts, state: v1::Convergence) -> v1::WaitConvergedResponse {
        self.is_over = true;
        let missing = self.convergence.as_mut().map(|convergence| convergence.missing(NAMED_MAX));
        let missing: Vec<_> = missing.into_iter().flatten().map(client_message).collect();
        let omitted = u32::try_from(counts.missing - missing.len()).unwrap_or(u32::MAX);
        let response = self.response(counts, state);
        v1::WaitConvergedResponse { missing, missing_omitted: omitted, ..response }
    }

    fn response(&self, counts: ConvergenceCounts, state: v1::Convergence) -> v1::WaitConvergedResponse {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        v1::WaitConvergedResponse {
            revision: self.revision.0,
            state: state.into(),
            watchers: number(counts.converged + counts.missing),
            converged: number(counts.converged),
            ended: number(counts.ended),
            ..Default::default()
        }
    }
}
