//! Recovers a store after a start or a reopened database: brings the journal and the indexes to the end of the write-ahead log. Knows the
//! order of the steps; other files have the steps.
//!
//! 1. What sled says is durable of the journal is taken for that, and the files are looked at from there on.
//! 2. The log has what follows. What it has is written to the journal again, over what may be there: see `journal/recovery.rs`. If the log has
//!    less than the files, which happens when sled has lost its end, the files are taken as they are.
//! 3. Nothing is changed before it is clear that nothing is missing: the indexes and `HEAD` tell how far history once went.
//! 4. The indexes are brought to where the journal is, and all of it is made durable.

use std::path::Path;

use super::batch::Pending;
use super::database::Database;
use super::database::{head_marker, open, rebuild};
use super::index::compact;
use super::index::trees::Trees;
use super::journal::{ADVICE, End, Whole};
use super::wal::Contents;
use super::{SledOptions, corrupt, guarded};
use crate::model::{Digest, Revision};
use crate::store::{Forgotten, Head, StoreError};

/// So many bytes of the log are archived at once.
const GROUP_BYTES: usize = 16 << 20;

/// What a start finds.
pub struct Recovered {
    pub head: Head,
    /// The highest number of a segment of the log.
    pub sequence: u64,
}

/// Opens the database and recovers. A database that is damaged is made again from the journal, if that has all it takes.
pub fn open_recovered(
    dir: &Path,
    options: &SledOptions,
    to: Revision,
) -> Result<(Database, Recovered), StoreError> {
    let open = || {
        guarded(|| {
            let database = Database::open(dir, options)?;
            let recovered = recover(dir, &database, to)?;
            Ok((database, recovered))
        })
    };
    match open() {
        Err(error) if rebuild::is_possible_after(dir, &error) => {
            rebuild::set_aside(dir, &error)?;
            open::create_if_missing(dir, options)?;
            open()
        }
        opened => opened,
    }
}

/// Archives what the log has up to `to`, which is as far as it counts.
pub fn recover(dir: &Path, database: &Database, to: Revision) -> Result<Recovered, StoreError> {
    let trees = &database.trees;
    compact::resume(trees)?;
    let durable = trees.synced()?;
    trees.journal.check_files(trees.oldest()?.revision, durable)?;
    let (whole, log) = find_end(dir, database, durable)?;
    let end = whole.end.head;
    refuse_newer(trees, end.revision)?;
    let batches: Vec<_> = log.batches.into_iter().take_while(|batch| batch.last <= to).collect();
    let last = batches.last().map_or(end.revision, |batch| batch.last);
    let noted = head_marker::read(dir)?;
    check_reaches(database, last, noted)?;
    trees.journal.resume(durable, &whole)?;
    database.replay(end.revision)?;
    let mut head = end;
    let mut group = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        bytes += batch.bytes.len();
        let damaged = |error: String| corrupt(dir.join("wal").display().to_string(), error);
        group.push(Pending::read(batch.bytes).map_err(|error| damaged(error.to_string()))?);
        if bytes >= GROUP_BYTES {
            head = database.archive(&group)?.unwrap_or(head);
            group.clear();
            bytes = 0;
        }
    }
    head = database.archive(&group)?.unwrap_or(head);
    check_is_the_same(database, noted)?;
    database.settle()?;
    database.sync()?;
    Ok(Recovered { head, sequence: log.sequence })
}

/// How far the journal is taken as it is, and the log after that.
fn find_end(dir: &Path, database: &Database, durable: End) -> Result<(Whole, Contents), StoreError> {
    let whole = database.trees.journal.find_end(durable)?;
    open::prepare_log(dir, whole.end.head)?;
    if whole.end.head.revision >= durable.head.revision
        && let Ok(log) = open::read_log(dir, durable.head)
        && log.batches.last().map_or(durable.head.revision, |last| last.last) >= whole.end.head.revision
    {
        return Ok((Whole::nothing_after(durable), log));
    }
    let head = whole.end.head;
    let lacks = head.revision < durable.head.revision;
    match open::read_log(dir, head) {
        Err(StoreError::Corrupt { .. }) if lacks => {
            Err(incomplete(database, head.revision, durable.head.revision))
        }
        Ok(log) if lacks && log.batches.is_empty() => {
            Err(incomplete(database, head.revision, durable.head.revision))
        }
        log => Ok((whole, log?)),
    }
}

/// Refuses a journal that ends with a commit of a later version of this program. Current documents could be read from the indexes, so without
/// this a start would go on, and write commits that no reader of history reaches.
fn refuse_newer(trees: &Trees, last: Revision) -> Result<(), StoreError> {
    match trees.journal.read(last) {
        Err(error @ StoreError::Format { .. }) => Err(error),
        // A start does not fail on this damage, since the log may have what is missing: a later read of the damaged place fails.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Checks that history goes at least as far as it once did.
fn check_reaches(
    database: &Database,
    last: Revision,
    noted: Option<(Revision, Digest)>,
) -> Result<(), StoreError> {
    let indexed = database.trees.checkpoint()?;
    let known = noted.map_or(indexed, |(revision, _)| revision.max(indexed));
    match known > last {
        true => Err(incomplete(database, last, known)),
        false => Ok(()),
    }
}

/// Checks that history has the commit that was noted, unless it was compacted since.
fn check_is_the_same(database: &Database, noted: Option<(Revision, Digest)>) -> Result<(), StoreError> {
    let trees = &database.trees;
    if let Some((revision, hash)) = noted
        && revision >= trees.oldest()?.revision
        && let Some(sealed) = trees.journal.commits(revision, revision, 0, &Forgotten::default())?.first()
        && sealed.hash != hash
    {
        let what = format!("the hash of revision {revision} is {}, it was {hash} before", sealed.hash);
        return Err(corrupt(trees.journal.dir().display().to_string(), what));
    }
    Ok(())
}

fn incomplete(database: &Database, last: Revision, known: Revision) -> StoreError {
    let what = format!(
        "it ends with revision {last}, but {known} was there before, and the log has not got what is missing: {ADVICE}"
    );
    corrupt(database.trees.journal.dir().display().to_string(), what)
}
