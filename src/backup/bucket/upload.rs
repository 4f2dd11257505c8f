//! Writes an object in parts. The object appears when all parts are there and the upload is complete. Knows bytes; not what they are.

use std::io::{self, Write};
use std::sync::Arc;

use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use super::tasks::Tasks;

/// Bytes of one part, which is kept in memory until the server has it.
const PART_BYTES: usize = 16 << 20;
/// S3 takes no more parts.
const PARTS_MAX: usize = 10_000;

/// An object that is being written. Dropped before `commit`, the server is asked to forget its parts.
pub struct Upload {
    tasks: Arc<Tasks>,
    upload: Option<Box<dyn MultipartUpload>>,
    part: Vec<u8>,
    parts: usize,
}

impl Upload {
    pub(super) fn begin(store: Arc<AmazonS3>, path: Path, tasks: Arc<Tasks>) -> io::Result<Upload> {
        let upload = tasks.run(async move { store.put_multipart(&path).await })?;
        Ok(Upload { tasks, upload: Some(upload), part: Vec::new(), parts: 0 })
    }

    /// Completes the object.
    pub fn commit(mut self) -> io::Result<()> {
        if !self.part.is_empty() || self.parts == 0 {
            self.send()?;
        }
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        self.tasks
            .run(async move {
                let completed = upload.complete().await;
                if completed.is_err() {
                    // The error that counts is the first one.
                    let _ = upload.abort().await;
                }
                completed
            })
            .map(drop)
    }

    fn send(&mut self) -> io::Result<()> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            let bytes = PART_BYTES * PARTS_MAX;
            let what = format!("an object has {bytes} bytes at most: make backups of namespaces");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
        }
        let payload = PutPayload::from(std::mem::take(&mut self.part));
        let upload = self.upload.as_mut().expect("it is there until it is complete");
        self.tasks.run(upload.put_part(payload))
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    /// Sends nothing: a part has to be large.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            self.tasks.run_in_background(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "the parts of an upload that was given up are still in the bucket");
                }
            });
        }
    }
}
