//! The backups that the server keeps: listed, described, verified, pinned and pruned by those who may make them. Knows the directory of backups;
//! not how a backup is made.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;

use super::resource;
use crate::api::backup_errors;
use crate::api::context::CallContext;
use crate::api::convert::backup::kept_message;
use crate::api::convert::request;
use crate::api::error::ApiError;
use crate::api::operations::size::PAGE_BYTES_MAX;
use crate::api::operations::{Operations, page};
use crate::api::reply::Responses;
use crate::api::task::blocking;
use crate::auth::{Access, Resource, Verb};
use crate::engine::{BackupCatalog, BackupError, BackupFailure, BackupKind, KeepBackups, KeptBackup, beyond};
use crate::proto::v1;

/// Backups that one call removes.
const REMOVED_MAX: usize = 1000;
/// Between two messages of a verification.
const VERIFY_INTERVAL: Duration = Duration::from_secs(1);

impl Operations {
    pub async fn list_backups(
        &self,
        context: &CallContext,
        mut request: v1::ListBackupsRequest,
    ) -> Result<v1::ListBackupsResponse, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(context.rpc(), &request);
        let after = page::cursor(&binding, self.engine.epoch(), &page_token)?;
        let limit = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let kept = self.kept().await?;
        let newest_first =
            kept.iter().rev().skip_while(|kept| after.as_ref().is_some_and(|after| kept.id != *after));
        let mut visible =
            newest_first.skip(usize::from(after.is_some())).filter(|kept| may_see(context, kept)).peekable();
        let (mut backups, mut bytes, mut last) = (vec![], 0, None);
        while backups.len() < limit
            && bytes <= PAGE_BYTES_MAX
            && let Some(kept) = visible.next()
        {
            let message = kept_message(kept);
            bytes += message.encoded_len();
            backups.push(message);
            last = Some(&kept.id);
        }
        let next = last.filter(|_| visible.peek().is_some());
        let next = next.map(|last| page::token(&binding, self.engine.epoch(), last));
        Ok(v1::ListBackupsResponse { backups, next_page_token: next.unwrap_or_default() })
    }

    pub async fn get_backup(
        &self,
        context: &CallContext,
        request: v1::GetBackupRequest,
    ) -> Result<v1::GetBackupResponse, ApiError> {
        let kept = self.kept_backup(context, &request.id).await?;
        Ok(v1::GetBackupResponse { backup: Some(kept_message(&kept)) })
    }

    pub async fn verify_backup(
        &self,
        context: &CallContext,
        request: v1::VerifyBackupRequest,
    ) -> Result<Responses<v1::VerifyBackupResponse>, ApiError> {
        let kept = self.kept_backup(context, &request.id).await?;
        let (engine, catalog) = (self.engine.clone(), self.catalog()?.clone());
        let actor = context.caller().actor().to_owned();
        let cancelled = CancellationToken::new();
        let (until_dropped, stop) = (cancelled.clone().drop_guard(), cancelled);
        let verifying = async move {
            let _until_dropped = until_dropped;
            verdict(engine.verify_backup(&catalog, (&kept, &actor), stop).await, &kept)
        };
        Ok(Box::pin(verification(verifying)))
    }

    pub async fn pin_backup(
        &self,
        context: &CallContext,
        request: v1::PinBackupRequest,
    ) -> Result<v1::PinBackupResponse, ApiError> {
        let kept = self.kept_backup(context, &request.id).await?;
        let catalog = self.catalog()?.clone();
        let pinned = blocking(move || catalog.pin(&kept.id, request.pinned)).await?;
        let pinned = pinned.map_err(backup_errors::unreadable)?;
        self.record_change(context, if request.pinned { "PINNED" } else { "UNPINNED" }, &pinned);
        Ok(v1::PinBackupResponse { backup: Some(kept_message(&pinned)) })
    }

    pub async fn prune_backups(
        &self,
        context: &CallContext,
        request: v1::PruneBackupsRequest,
    ) -> Result<v1::PruneBackupsResponse, ApiError> {
        context.permit(Verb::Backup, Resource::Store)?;
        let keep_for =
            request.keep_for.as_ref().map(|keep_for| request::duration("keep_for", keep_for)).transpose()?;
        let limit = |limit: u64| (limit > 0).then_some(limit);
        let keep = KeepBackups {
            count: limit(request.keep_count),
            since: keep_for.map(|keep_for| self.engine.now().minus(keep_for)),
            bytes: limit(request.keep_bytes),
        };
        if keep == KeepBackups::default() {
            let message = "must be set, or keep_for, or keep_bytes";
            return Err(request::invalid("keep_count", message).into());
        }
        let catalog = self.catalog()?.clone();
        let validate_only = request.validate_only;
        // What was removed before a failure is recorded, too.
        let removed = blocking(move || {
            let mut removed = vec![];
            let outcome = catalog.list().and_then(|kept| {
                beyond(&kept, keep, |_| true).into_iter().take(REMOVED_MAX).try_for_each(|gone| {
                    if !validate_only {
                        catalog.remove(&gone.id)?;
                    }
                    removed.push(gone.clone());
                    Ok(())
                })
            });
            (removed, outcome)
        });
        let (removed, outcome): (Vec<KeptBackup>, _) = removed.await?;
        if !validate_only {
            removed.iter().for_each(|kept| self.record_change(context, "PRUNED", kept));
        }
        outcome.map_err(backup_errors::unreadable)?;
        Ok(v1::PruneBackupsResponse { removed: removed.iter().map(kept_message).collect() })
    }

    fn record_change(&self, context: &CallContext, outcome: &str, kept: &KeptBackup) {
        if let Ok(selection) = kept.manifest.selection() {
            self.backup_record(context, kept.manifest.kind, &selection).changed(outcome, kept);
        }
    }

    /// The directory of backups, or the refusal where there is none.
    pub(super) fn catalog(&self) -> Result<&Arc<BackupCatalog>, ApiError> {
        self.engine.backup_catalog().ok_or_else(backup_errors::not_kept)
    }

    /// Where the history of a backup ends that the server keeps.
    pub(super) async fn kept_position(
        &self,
        context: &CallContext,
        id: &str,
    ) -> Result<v1::BackupPosition, ApiError> {
        let manifest = self.kept_backup(context, id).await?.manifest;
        if manifest.kind == BackupKind::State || manifest.selection != "*" {
            let message =
                format!("{id} has no history of the store: name a full or incremental backup of the store");
            return Err(request::invalid("since_backup", message).into());
        }
        let (epoch, revision, chain_hash) = (manifest.epoch, manifest.last_revision, manifest.last_hash);
        Ok(v1::BackupPosition { epoch, revision, chain_hash })
    }

    /// A backup that the caller may see.
    async fn kept_backup(&self, context: &CallContext, id: &str) -> Result<KeptBackup, ApiError> {
        self.find_kept_backup(context, id).await?.ok_or_else(|| backup_errors::not_found(id))
    }

    /// The same. `None`: there is none that the caller may see.
    pub(in crate::api::operations) async fn find_kept_backup(
        &self,
        context: &CallContext,
        id: &str,
    ) -> Result<Option<KeptBackup>, ApiError> {
        let (catalog, asked) = (self.catalog()?.clone(), id.to_owned());
        let found = match blocking(move || catalog.get(&asked)).await? {
            // Whether a file is there is for those who may see all backups.
            Err(BackupError::Damaged(_) | BackupError::Foreign | BackupError::Format { .. })
                if !context.access().allows(Verb::Backup, &Resource::Store) =>
            {
                None
            }
            found => found.map_err(backup_errors::unreadable)?,
        };
        let hidden = found.as_ref().filter(|kept| !may_see(context, kept));
        if let Some(selection) = hidden.and_then(|kept| kept.manifest.selection().ok()) {
            self.record_denied_backup(context, &selection, "BACKUP_NOT_FOUND");
        }
        Ok(found.filter(|kept| may_see(context, kept)))
    }

    async fn kept(&self) -> Result<Vec<KeptBackup>, ApiError> {
        let catalog = self.catalog()?.clone();
        blocking(move || catalog.list()).await?.map_err(backup_errors::unreadable)
    }
}

/// Whether a caller may make such a backup.
fn may_see(access: &Access, kept: &KeptBackup) -> bool {
    kept.manifest.selection().is_ok_and(|selection| access.allows(Verb::Backup, &resource(&selection)))
}

/// The messages of a verification.
fn verification(
    verifying: impl Future<Output = Result<v1::VerifyBackupResponse, ApiError>> + Send + 'static,
) -> impl Stream<Item = Result<v1::VerifyBackupResponse, ApiError>> + Send {
    futures_util::stream::unfold(Some(Box::pin(verifying)), |verifying| async move {
        let mut verifying = verifying?;
        tokio::select! {
            biased;
            ended = &mut verifying => Some((ended, None)),
            () = tokio::time::sleep(VERIFY_INTERVAL) => Some((Ok(v1::VerifyBackupResponse::default()), Some(verifying))),
        }
    })
}

fn verdict(
    found: Result<KeptBackup, BackupFailure>,
    kept: &KeptBackup,
) -> Result<v1::VerifyBackupResponse, ApiError> {
    match found {
        Ok(kept) => {
            let backup = Some(kept_message(&kept));
            Ok(v1::VerifyBackupResponse { backup, intact: true, ..Default::default() })
        }
        Err(BackupFailure::Backup(
            error @ (BackupError::Damaged(_) | BackupError::Foreign | BackupError::Format { .. }),
        )) => {
            let (backup, damage) = (Some(kept_message(kept)), error.to_string());
            Ok(v1::VerifyBackupResponse { backup, intact: false, damage })
        }
        Err(other) => Err(backup_errors::refused(other)),
    }
}
