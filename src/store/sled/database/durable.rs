//! What sled needs around it to keep its word through a power cut. Knows files and sled; no journal, no commits.
//!
//! sled has the indexes, which are all in the journal, too: losing the end of them costs a start some time. But a database that does not
//! open, or has lost something in its middle, costs a whole rebuild, and answers wrongly until somebody notices.
//!
//! sled 0.34.7 alone loses acknowledged writes when the power goes, and damages older ones. It kept everything in thousands of simulated
//! power cuts, on ext4, XFS, btrfs and a file system as forgetful as POSIX allows, when it was used as follows. Each
//! step is there for a failure that was seen without it:
//!
//! 1. **`sync_file_range` is replaced** by `fdatasync` for the whole process. sled takes a log write for durable after
//!    `sync_file_range`, which commits neither the size of the file nor the cache of the disk, and then reuses segments whose
//!    only newer copy is not there yet. Syncing after `flush()` instead comes too late. `SledStore::open` refuses to serve if the
//!    replacement is not called: `is_interposed`.
//! 2. **Creation happens aside** in `db.new`, which is renamed when it is complete: `open.rs`. sled does not sync its `conf`, and a torn
//!    one can never be opened. sled frees its lock some time after it is dropped, so that opening must retry.
//! 3. **Before every open**, `prepare`: half-written snapshots go (sled takes `snap.*.generating` for the newest snapshot, and fails for
//!    good), and what sled is going to read is synced, so that it does not build upon what may still vanish.
//! 4. **The settings** of `configure`: sled's own flusher stays on, as it alone collects garbage; the segment size never
//!    changes.
//! 5. **After every open**, `settle`: sled syncs no names, and lost whole files after their creation.
//! 6. **Items stay small**, `chunk.rs`: an item above a quarter of a segment (and that is a page of some 17 entries) goes to a file of its own in
//!    `blobs/`, which is synced after the log that names it, or never.
//! 7. **Writing in one order**: sled recovers a prefix of what was written. What vouches for other items, `settled`, is written after them,
//!    and what says how far they go, `checkpoint`, before them: `unsettled.rs`. The files of the journal are synced before sled is told so
//!    (`synced`), and before the log writes over what they have: `trees.rs`, `archiver.rs`.
//! 8. **After an error** sled is closed and opened again, and gets from the journal and the log what it has not got: `archiver.rs`. A flush
//!    that hangs is such an error: `syncer.rs`. Before it is opened, all of its files are written again, `rewrite`: what a failed sync was
//!    for is read as it was written, but no later sync makes it durable, and sled would build upon it.
//!
//! What is acknowledged does not hang on any of this: it is durable in the write-ahead log first (`wal/`), and then in the journal.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::durable_file::{sync, sync_parent};

/// The size of sled's segments. A directory keeps the size it was created with, so this can never change.
pub const SEGMENT_BYTES: usize = 8 << 20;

/// How much is read and written again at once.
const REWRITE_BYTES: usize = 1 << 20;

/// How often the replacement was called.
static SYNCS: AtomicU64 = AtomicU64::new(0);

/// Takes the place of libc's function in every program that this crate is linked into: step 1. Only sled calls it here. It does
/// more than was asked for, so no other caller would be harmed.
///
/// # Safety
/// None is needed: any arguments are allowed, as for the system call.
#[cfg(target_os = "linux")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(
    file: libc::c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: libc::c_uint,
) -> libc::c_int {
    SYNCS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: fdatasync takes any number, and answers EBADF to one that is not an open file.
    unsafe { libc::fdatasync(file) }
}

/// Whether sled, which has written and flushed something by now, came by `sync_file_range` above. Elsewhere than on Linux sled
/// syncs files as it should.
pub fn is_interposed() -> bool {
    !cfg!(target_os = "linux") || SYNCS.load(Ordering::Relaxed) > 0
}

/// Step 4.
pub fn configure(db_dir: &Path, cache_bytes: u64) -> sled::Config {
    sled::Config::new()
        .path(db_dir)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(Some(500))
        .cache_capacity(cache_bytes)
}

/// Step 3: before sled opens the directory.
pub fn prepare(db_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(db_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    sync(&db_dir.join("db"))?;
    sync_blobs(db_dir)?;
    sync(db_dir)
}

/// Step 8: before sled opens the directory after an error. Nobody else has it open.
pub fn rewrite(db_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(db_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            rewrite_file(&File::options().read(true).write(true).open(entry.path())?)?;
        }
    }
    sync(db_dir)
}

/// Writes what a file holds to it again. Nothing is changed by it, even if it is cut short.
pub fn rewrite_file(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut buffer = vec![0; REWRITE_BYTES];
    let mut at = 0;
    while at < length {
        let part = &mut buffer[..REWRITE_BYTES.min((length - at) as usize)];
        file.read_exact_at(part, at)?;
        file.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    file.set_len(length)?;
    file.sync_all()
}

/// Step 5: after sled has opened the directory, before anything is served.
pub fn settle(db: &sled::Db, db_dir: &Path) -> Result<(), sled::Error> {
    db.flush()?;
    for entry in fs::read_dir(db_dir)? {
        let entry = entry?;
        // A snapshot that sled has replaced meanwhile need not be synced.
        if entry.file_type()?.is_file() {
            ignore_missing(sync(&entry.path()))?;
        }
    }
    sync_blobs(db_dir)?;
    sync(db_dir)?;
    Ok(sync_parent(db_dir)?)
}

/// The files in `blobs/`, of which there should be none: step 6.
pub fn blobs(db_dir: &Path) -> io::Result<usize> {
    match fs::read_dir(db_dir.join("blobs")) {
        Ok(entries) => Ok(entries.count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The error of the system that a text tells of. sled copies such errors as their debug text, or panics with it: neither is for
/// people, nor does it tell a full disk from a damaged database.
pub fn system_error(text: &str) -> Option<io::Error> {
    let (_, rest) = text.split_once("Os { code: ")?;
    let (number, _) = rest.split_once(',')?;
    number.parse().ok().map(io::Error::from_raw_os_error)
}

fn sync_blobs(db_dir: &Path) -> io::Result<()> {
    let blobs = db_dir.join("blobs");
    if !blobs.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(&blobs)? {
        ignore_missing(sync(&entry?.path()))?;
    }
    sync(&blobs)
}

pub(super) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What sled itself copies more than once.
    #[test]
    fn errors_of_the_system_are_found_in_what_sled_makes_of_them() {
        let system = io::Error::from_raw_os_error(libc::ENOSPC);
        let copied = io::Error::new(system.kind(), format!("{system:?}"));
        let copied_again = io::Error::new(copied.kind(), format!("{copied:?}"));
        for text in [copied.to_string(), copied_again.to_string(), format!("unwrap(): Io({copied_again:?})")]
        {
            let found = system_error(&text).expect("it is there");
            assert_eq!(found.raw_os_error(), system.raw_os_error(), "{text}");
        }
        assert!(system_error("could not acquire lock").is_none());
    }
}
