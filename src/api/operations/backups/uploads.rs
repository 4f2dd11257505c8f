//! Backups that clients send, to restore from them. Knows permissions and the limits of an upload; not what a restore does.

use std::sync::Arc;

use super::check;
use crate::api::backup_errors;
use crate::api::context::CallContext;
use crate::api::convert::backup::{backup_message, selection};
use crate::api::convert::request::invalid;
use crate::api::error::ApiError;
use crate::api::operations::Operations;
use crate::api::task::blocking;
use crate::engine::{AnnouncedBackup, BackupUpload, BackupUploads, Error, Missing, UPLOAD_BYTES_MAX};
use crate::model::Digest;
use crate::proto::v1;

/// How the audit log has a file that was not taken.
const UPLOAD_REFUSED: &str = "UPLOAD_REFUSED";

impl Operations {
    pub async fn upload_backup(
        &self,
        context: &CallContext,
        request: v1::UploadBackupRequest,
    ) -> Result<v1::UploadBackupResponse, ApiError> {
        let upload = match request.upload_id.as_str() {
            "" => {
                let announced = announced(context, &request)?;
                check(context, &announced.selection)?;
                let (uploads, now) = (self.uploads()?.clone(), self.engine.now());
                let selection = announced.selection.clone();
                let begun = match uploads.place(&announced, now).await {
                    Ok(place) => blocking(move || uploads.begin(announced, place, now)).await?,
                    Err(full) => Err(full),
                };
                begun.map_err(|error| {
                    self.record_denied_backup(context, &selection, UPLOAD_REFUSED);
                    backup_errors::not_taken(error)
                })?
            }
            id => {
                let found = self.find_upload(context, id)?;
                let found = found.ok_or_else(|| Error::from(Missing::Upload(id.to_owned())))?;
                // The permission may have been withdrawn since.
                check(context, &found.announced.selection)?;
                found
            }
        };
        let (receiving, offset, data) = (upload.clone(), request.offset, request.chunk);
        let now = self.engine.now();
        let taken = blocking(move || receiving.append(offset, &data, now)).await?;
        let (received_bytes, manifest) = taken.map_err(|error| {
            let is_useless = matches!(error, crate::engine::UploadError::Backup(_));
            if is_useless && let Some(uploads) = self.engine.backup_uploads() {
                uploads.remove(&upload.id);
                self.record_denied_backup(context, &upload.announced.selection, UPLOAD_REFUSED);
            }
            backup_errors::not_taken(error)
        })?;
        if let Some(manifest) = &manifest {
            let AnnouncedBackup { selection, bytes, sha256, .. } = &upload.announced;
            self.backup_record(context, manifest.kind, selection).uploaded(*bytes, sha256);
        }
        let backup = manifest.map(|manifest| backup_message(&manifest, upload.announced.bytes, None));
        Ok(v1::UploadBackupResponse { upload_id: upload.id.clone(), received_bytes, backup })
    }

    /// An upload of the caller. `None`: there is none with this id.
    pub(in crate::api::operations) fn find_upload(
        &self,
        context: &CallContext,
        id: &str,
    ) -> Result<Option<Arc<BackupUpload>>, ApiError> {
        let (uploads, actor, now) = (self.uploads()?, context.caller().actor(), self.engine.now());
        let found = uploads.find(id, actor, now);
        if found.is_none()
            && let Some(selection) = uploads.of_other(id, actor, now)
        {
            self.record_denied_backup(context, &selection, "UPLOAD_NOT_FOUND");
        }
        Ok(found)
    }

    fn uploads(&self) -> Result<&Arc<BackupUploads>, ApiError> {
        self.engine.backup_uploads().ok_or_else(backup_errors::not_received)
    }
}

fn announced(context: &CallContext, request: &v1::UploadBackupRequest) -> Result<AnnouncedBackup, Error> {
    let bytes = request.size_bytes;
    if bytes == 0 || bytes > UPLOAD_BYTES_MAX {
        let message = format!("must be 1 to {UPLOAD_BYTES_MAX}, {bytes} was found");
        return Err(invalid("size_bytes", message));
    }
    let expected = || invalid("sha256", "must be sha256: and 64 hex digits");
    Ok(AnnouncedBackup {
        actor: context.caller().actor().to_owned(),
        selection: selection(&request.namespace, &request.config)?,
        bytes,
        sha256: Digest::parse(&request.sha256).ok_or_else(expected)?,
    })
}
