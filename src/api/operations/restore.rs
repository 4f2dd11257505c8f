//! Restore: configs as they were at a point in the past, or as a backup has them, by one new commit.

use crate::api::context::CallContext;
use crate::api::convert::bounded::fitting_items;
use crate::api::convert::request;
use crate::api::convert::response::report_message;
use crate::api::error::ApiError;
use crate::engine::{BackupSelection, BackupSource, Error, Intent, sum_of_upload};
use crate::model::{Revision, Source};
use crate::proto::v1;

use super::Operations;
use super::write::{LAYERS_BYTES_MAX, applied, options};

impl Operations {
    pub async fn restore(
        &self,
        context: &CallContext,
        mut request: v1::RestoreRequest,
    ) -> Result<v1::RestoreResponse, ApiError> {
        // A file that is sent again has another upload: the request is the same as long as the file is.
        let upload_id = request.upload_id.clone();
        if let Some(sum) = sum_of_upload(&upload_id) {
            request.upload_id = sum.to_string();
        }
        let (options, identity) = options("Restore", &mut request, |request| &mut request.options);
        request.upload_id = upload_id;
        let source = self.source(context, &request.backup_id, &request.upload_id).await?;
        let is_of_backup = source.is_some();
        let restoring = request::restore(&request, source)?;
        let selection = match restoring.id() {
            Some(id) => BackupSelection::Config(id),
            None => BackupSelection::Namespace(restoring.namespace.clone()),
        };
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, Intent::Restore(restoring))?;
        let outcome = self.write(context, write, Source::Restore, options, identity).await;
        if is_of_backup && matches!(outcome, Err(Error::Backup(_) | Error::Refused(_))) {
            self.record_denied_backup(context, &selection, "RESTORE_REFUSED");
        }
        let outcome = outcome?;
        if !validate_only && let Some(uploads) = self.engine.backup_uploads() {
            uploads.remove(&request.upload_id);
        }
        let affected = match validate_only {
            true => Some(self.affected(context, &outcome).await?),
            false => None,
        };
        let (listed, affected_omitted) =
            affected.as_ref().map(|affected| affected.listed()).unwrap_or_default();
        let changed = applied(&outcome).into_iter().filter(|change| change.changed);
        let (results, results_omitted) = fitting_items(changed, LAYERS_BYTES_MAX);
        Ok(v1::RestoreResponse {
            results,
            results_omitted,
            changed: outcome.changed,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
            restored_revision: outcome.restored_revision.unwrap_or(Revision::ZERO).0,
            base_revision: outcome.revision.0 - u64::from(outcome.changed),
            affected: listed,
            affected_omitted,
            reach: affected.map(|affected| affected.reach()),
            state_backups: outcome.state_backups.clone(),
        })
    }

    /// The backup that a request names by one of these ids.
    async fn source(
        &self,
        context: &CallContext,
        backup_id: &str,
        upload_id: &str,
    ) -> Result<Option<BackupSource>, ApiError> {
        Ok(match (backup_id, upload_id) {
            ("", "") => None,
            (id, "") => {
                Some(BackupSource::kept(id.to_owned(), self.find_kept_backup(context, id).await?, None))
            }
            ("", id) => Some(BackupSource::uploaded(id.to_owned(), self.find_upload(context, id)?, None)),
            (_, _) => {
                return Err(request::invalid("upload_id", "must be empty where backup_id is set").into());
            }
        })
    }
}
