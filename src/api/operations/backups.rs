//! The calls of `BackupService`: makes backups for those who may, and records each in the audit log. Knows permissions; not the content of a file.

mod kept;
mod sink;
mod uploads;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::api::backup_errors;
use crate::api::context::CallContext;
use crate::api::convert::backup::{backup_message, check_texts, kept_message, kind_of, selection, since};
use crate::api::disclosures::{BackupOutcome, BackupRecord};
use crate::api::error::ApiError;
use crate::api::guard::Standing;
use crate::api::reply::Responses;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::{
    BackupCatalog, BackupFailure, BackupPlan, BackupProgress, BackupSelection, Engine, Error, RETRY_AFTER,
};
use crate::model::Scope;
use crate::proto::v1;

use super::Operations;
use sink::{ChunkSink, Sent};

/// Messages with parts of the file that wait for their client.
const CHUNKS_WAITING_MAX: usize = 4;
/// Between two messages that say how far a backup is that the server keeps.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

impl Operations {
    pub async fn create_backup(
        &self,
        context: &CallContext,
        request: v1::CreateBackupRequest,
    ) -> Result<Responses<v1::CreateBackupResponse>, ApiError> {
        // First, since something may change while the backup is begun.
        let standing = self.guard.standing(context);
        let selection = selection(&request.namespace, &request.config)?;
        check(context, &selection)?;
        let kind = kind_of(request.kind)?;
        let since = match request.since_backup.as_str() {
            "" => since(kind, &selection, request.since.as_ref())?,
            id => {
                let before = self.kept_position(context, id).await?;
                since(kind, &selection, Some(request.since.as_ref().unwrap_or(&before)))?
            }
        };
        let catalog = if request.keep { Some(self.catalog()?.clone()) } else { None };
        check_texts(&request.note, &request.labels)?;
        let plan = BackupPlan {
            kind,
            selection: selection.clone(),
            since,
            server: String::new(),
            actor: context.caller().actor().to_owned(),
            created: self.engine.now(),
            note: request.note,
            labels: request.labels,
        };
        let record = self.backup_record(context, kind, &selection);
        record.begun().map_err(Error::from)?;
        let (sender, receiver) = channel(CHUNKS_WAITING_MAX);
        let work = Work { engine: self.engine.clone(), plan, record, sender };
        // Ends by itself once nobody receives what it sends.
        let making = tokio::spawn(work.run(catalog));
        let draining = self.engine.draining();
        let stream = Making { making, receiver, standing, selection, draining, is_over: false };
        Ok(Box::pin(stream.into_stream()))
    }
}

/// A backup that is made for a call.
struct Work {
    engine: Arc<Engine>,
    plan: BackupPlan,
    record: BackupRecord,
    sender: Sender<Result<Sent, ApiError>>,
}

impl Work {
    /// Makes the backup, and sends it, or how far it is; what became of it is recorded also if nobody receives it any more.
    async fn run(self, catalog: Option<Arc<BackupCatalog>>) {
        let made = match catalog {
            Some(catalog) => self.keep(&catalog).await,
            None => self.send().await,
        };
        let last = match made {
            Ok(backup) => Ok(Sent::Last(Box::new(backup))),
            Err(failure) => {
                self.record.ended(&BackupOutcome::Failed(&failure));
                Err(backup_errors::refused(failure))
            }
        };
        // The client may be gone: the cause of a failure is then logged here, and not with the end of the call.
        if let Err(unsent) = self.sender.send(last).await
            && let Err(error) = unsent.0
            && let Some(cause) = &error.cause
        {
            tracing::error!(cause, "a backup has failed, and its client is gone");
        }
    }

    async fn send(&self) -> Result<v1::Backup, BackupFailure> {
        let place = self.engine.backup_place(&self.plan.actor, &self.plan.selection);
        let place = tokio::select! {
            place = place => place?,
            () = self.sender.closed() => return Err(Error::Cancelled.into()),
        };
        let sink = ChunkSink::new(self.sender.clone(), place.clone());
        let (progress, sender, going_on) = (sink.progress(), self.sender.clone(), place.clone());
        let observe = move |found| {
            progress.set(found);
            going_on.goes_on();
            !sender.is_closed()
        };
        let made = self.engine.write_backup(self.plan.clone(), place, sink, observe).await?;
        self.record.ended(&BackupOutcome::Made(&made.manifest, made.finished));
        Ok(backup_message(&made.manifest, made.finished.bytes, Some(made.finished.sha256)))
    }

    async fn keep(&self, catalog: &Arc<BackupCatalog>) -> Result<v1::Backup, BackupFailure> {
        let (sender, mut told) = (self.sender.clone(), None::<Instant>);
        let observe = move |BackupProgress { done, total, .. }| {
            if told.is_none_or(|told| told.elapsed() >= PROGRESS_INTERVAL) {
                told = Some(Instant::now());
                // A full channel drops this message: a slow client gets a later one.
                let _ = sender.try_send(Ok(Sent::Part { data: vec![], done, total }));
            }
            !sender.is_closed()
        };
        let kept = self.engine.keep_backup(catalog, self.plan.clone(), observe).await?;
        self.record.kept(&kept);
        Ok(kept_message(&kept))
    }
}

/// Refuses who may not make a backup of this.
fn check(access: &Access, selection: &BackupSelection) -> Result<(), Denied> {
    access.permit(Verb::Backup, resource(selection)).map(drop)
}

fn resource(selection: &BackupSelection) -> Resource {
    match selection {
        BackupSelection::All => Resource::Store,
        BackupSelection::Namespace(namespace) => Resource::Namespace(namespace.clone()),
        BackupSelection::Config(id) => Resource::Config { id: id.clone(), scope: Scope::global() },
    }
}

/// A backup that is sent while it is made. Dropping it stops the work.
struct Making {
    making: JoinHandle<()>,
    receiver: Receiver<Result<Sent, ApiError>>,
    standing: Standing,
    selection: BackupSelection,
    draining: CancellationToken,
    is_over: bool,
}

impl Making {
    fn into_stream(self) -> impl Stream<Item = Result<v1::CreateBackupResponse, ApiError>> {
        futures_util::stream::unfold(Some(self), |making| async move {
            let mut making = making.filter(|making| !making.is_over)?;
            match making.next().await {
                Ok(response) => Some((Ok(response), Some(making))),
                Err(status) => Some((Err(status), None)),
            }
        })
    }

    async fn next(&mut self) -> Result<v1::CreateBackupResponse, ApiError> {
        loop {
            tokio::select! {
                biased;
                access = self.standing.changed() => check(&access?, &self.selection)?,
                () = self.draining.cancelled() => {
                    return Err(Error::Draining { retry_after: RETRY_AFTER }.into());
                }
                sent = self.receiver.recv() => return match sent {
                    Some(Ok(Sent::Part { data, done, total })) => {
                        Ok(v1::CreateBackupResponse { chunk: data, done, total, backup: None })
                    }
                    Some(Ok(Sent::Last(backup))) => {
                        self.is_over = true;
                        Ok(v1::CreateBackupResponse { backup: Some(*backup), ..Default::default() })
                    }
                    Some(Err(error)) => Err(error),
                    None => match (&mut self.making).await {
                        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                        Ok(()) | Err(_) => Err(Error::Panicked.into()),
                    },
                },
            }
        }
    }
}
