//! The calls of `BackupService`: makes backups for those who may, and records each in the audit log. Knows permissions; not what is in a file.

mod sink;

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc::{Receiver, channel};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use crate::api::backup_errors;
use crate::api::context::CallContext;
use crate::api::convert::backup::{backup_message, check_texts, kind_of, selection, since};
use crate::api::disclosures::BackupOutcome;
use crate::api::error::ApiError;
use crate::api::guard::Standing;
use crate::api::reply::Responses;
use crate::api::task::aside;
use crate::auth::{Access, Denied, Resource, Verb};
use crate::engine::{BackupPlan, BackupSelection, Error, RETRY_AFTER};
use crate::model::Scope;
use crate::proto::v1;

use super::Operations;
use sink::{ChunkSink, Sent};

/// Messages with parts of the file that wait for their client.
const CHUNKS_WAITING_MAX: usize = 4;

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
        let since = since(kind, &selection, request.since.as_ref())?;
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
        let sink = ChunkSink::new(sender.clone());
        let engine = self.engine.clone();
        let progress = sink.progress();
        let making = aside(async move {
            let made = engine.write_backup(plan, sink, move |found| progress.observe(found)).await;
            match made {
                Ok(made) => {
                    record.ended(&BackupOutcome::Made(&made.manifest, made.finished));
                    let last = Sent::Last(Box::new(backup_message(&made.manifest, made.finished)));
                    // Nobody is there any more to receive it.
                    let _ = sender.send(Ok(last)).await;
                }
                Err(failure) => {
                    record.ended(&BackupOutcome::Failed(&failure));
                    let _ = sender.send(Err(backup_errors::refused(failure))).await;
                }
            }
        });
        let draining = self.engine.draining();
        let stream =
            Making { making: Box::pin(making), receiver, standing, selection, draining, is_over: false };
        Ok(Box::pin(stream.into_stream()))
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
    making: Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send>>,
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
        let mut has_ended = false;
        loop {
            tokio::select! {
                biased;
                access = self.standing.changed() => check(&access?, &self.selection)?,
                () = self.draining.cancelled() => return Err(Error::Draining { retry_after: RETRY_AFTER }.into()),
                sent = self.receiver.recv() => match sent {
                    Some(Ok(Sent::Part { data, done, total })) => {
                        return Ok(v1::CreateBackupResponse { chunk: data, done, total, backup: None });
                    }
                    Some(Ok(Sent::Last(backup))) => {
                        self.is_over = true;
                        return Ok(v1::CreateBackupResponse { backup: Some(*backup), ..Default::default() });
                    }
                    Some(Err(error)) => return Err(error),
                    None => return Err(Error::Panicked.into()),
                },
                ended = &mut self.making, if !has_ended => {
                    has_ended = true;
                    ended?;
                }
            }
        }
    }
}
