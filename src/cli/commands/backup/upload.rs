//! Sends a backup file to a server, which restores from it. Knows the client and backup files; not what is restored.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::failure;
use crate::backup::{is_in_bucket, read_manifest};
use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure};
use crate::model::Digest;
use crate::proto::v1;

/// Bytes of one part.
const PART_BYTES: usize = 1 << 20;

/// Sends the file, and gives the id of the upload.
pub async fn upload(path: &Path, session: &Session) -> Result<String, Failure> {
    if is_in_bucket(path) {
        let message = "a backup in a bucket is not sent: start the server with --backup-dir, and name the id of the backup";
        return Err(Failure::usage(message));
    }
    let (manifest, size_bytes) = read_manifest(path).map_err(|error| failure(&error))?;
    let (namespace, config) = match manifest.selection.as_str() {
        "*" => ("", ""),
        selection => selection.split_once('/').unwrap_or((selection, "")),
    };
    let first = v1::UploadBackupRequest {
        namespace: namespace.to_owned(),
        config: config.to_owned(),
        size_bytes,
        sha256: sum(path)?.to_string(),
        ..Default::default()
    };
    let begun = session.client.backups().upload_backup(first).await?.into_inner();
    let (upload_id, mut offset) = (begun.upload_id, 0);
    let mut file = File::open(path).map_err(|error| Failure::io(path.display(), &error))?;
    let mut is_complete = false;
    loop {
        let data = part(&mut file).map_err(|error| Failure::io(path.display(), &error))?;
        if data.is_empty() {
            break;
        }
        let length = data.len() as u64;
        let request = v1::UploadBackupRequest {
            upload_id: upload_id.clone(),
            offset,
            chunk: data,
            ..Default::default()
        };
        let response = session.client.backups().upload_backup(request).await?.into_inner();
        offset += length;
        is_complete = response.backup.is_some();
    }
    match is_complete {
        true => Ok(upload_id),
        false => Err(Failure::new(Exit::Failed, format!("{} has changed while it was sent", path.display()))),
    }
}

fn sum(path: &Path) -> Result<Digest, Failure> {
    let mut file = File::open(path).map_err(|error| Failure::io(path.display(), &error))?;
    let mut sum = Sha256::new();
    loop {
        let data = part(&mut file).map_err(|error| Failure::io(path.display(), &error))?;
        if data.is_empty() {
            return Ok(Digest(sum.finalize().into()));
        }
        sum.update(&data);
    }
}

/// The next bytes. Empty at the end.
fn part(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut data = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut data)?;
    Ok(data)
}
