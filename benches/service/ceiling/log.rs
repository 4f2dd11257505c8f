//! A file to append to, with one sync for all that wait. Knows nothing of what it writes.
//!
//! The file is written full of zeros before, and reused from its start when it is full: a sync of a file that grows costs a
//! commit of the file system's own journal as well.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;

use tokio::sync::oneshot;

const FILE_BYTES: usize = 64 << 20;

/// The file.
pub struct Log {
    file: File,
    at: usize,
}

impl Log {
    pub fn create(path: &Path) -> io::Result<Log> {
        let mut file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        (0..FILE_BYTES / zeros.len()).try_for_each(|_| file.write_all(&zeros))?;
        file.sync_all()?;
        Ok(Log { file, at: 0 })
    }

    /// On disk when it returns.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.at + bytes.len() > FILE_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at as u64)?;
        self.at += bytes.len();
        self.file.sync_data()
    }
}

/// What is to be appended, and who waits for it.
type Append = (String, oneshot::Sender<()>);

/// The thread that writes.
pub struct Writer(mpsc::Sender<Append>);

impl Writer {
    pub fn start(mut log: Log) -> Writer {
        let (sender, appends) = mpsc::channel::<Append>();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while let Ok(first) = appends.recv() {
                let group: Vec<Append> = std::iter::once(first).chain(appends.try_iter()).collect();
                bytes.clear();
                group.iter().for_each(|(record, _)| bytes.extend_from_slice(record.as_bytes()));
                log.append(&bytes).expect("the disk takes it");
                for (_, written) in group {
                    let _ = written.send(());
                }
            }
        });
        Writer(sender)
    }

    pub async fn append(&self, record: String) {
        let (written, durable) = oneshot::channel();
        self.0.send((record, written)).expect("the thread waits for more");
        durable.await.expect("the thread writes all");
    }
}
