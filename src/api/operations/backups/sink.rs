//! Takes the bytes of a backup on the thread that makes them, and passes them on in messages, at the pace of the client. Knows a channel; not
//! what the bytes are.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::api::error::ApiError;
use crate::engine::{BackupPlace, BackupProgress};
use crate::proto::v1;

/// Bytes of one message.
const CHUNK_BYTES: usize = 256 << 10;

/// What a client is sent of a backup.
pub enum Sent {
    Part { data: Vec<u8>, done: u64, total: u64 },
    Last(Box<v1::Backup>),
}

/// Sends what is written. Blocks while the client takes nothing, unless others wait for the place of the backup.
pub struct ChunkSink {
    sender: Sender<Result<Sent, ApiError>>,
    place: BackupPlace,
    given_up: CancellationToken,
    chunk: Vec<u8>,
    progress: ProgressCell,
}

/// How far the backup is.
#[derive(Clone, Default)]
pub struct ProgressCell(Arc<(AtomicU64, AtomicU64)>);

impl ProgressCell {
    pub fn set(&self, progress: BackupProgress) {
        self.0.0.store(progress.done, Relaxed);
        self.0.1.store(progress.total, Relaxed);
    }
}

impl ChunkSink {
    pub fn new(sender: Sender<Result<Sent, ApiError>>, place: BackupPlace) -> ChunkSink {
        let given_up = place.yields();
        ChunkSink { sender, place, given_up, chunk: Vec::new(), progress: ProgressCell::default() }
    }

    pub fn progress(&self) -> ProgressCell {
        self.progress.clone()
    }

    fn send(&mut self) -> io::Result<()> {
        let (done, total) = (self.progress.0.0.load(Relaxed), self.progress.0.1.load(Relaxed));
        let bytes = self.chunk.len() as u64;
        let part = Sent::Part { data: std::mem::take(&mut self.chunk), done, total };
        let (sender, given_up) = (&self.sender, &self.given_up);
        // On a thread where blocking is allowed.
        let is_sent = Handle::current().block_on(async {
            tokio::select! {
                biased;
                () = given_up.cancelled() => false,
                sent = sender.send(Ok(part)) => sent.is_ok(),
            }
        });
        if !is_sent {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.place.moved(bytes);
        Ok(())
    }
}

impl Write for ChunkSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK_BYTES);
        }
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() { Ok(()) } else { self.send() }
    }
}
