//! Reading the log: the batches that a crash left in it. Knows files and records; no sled.
//!
//! An append that a crash cut short leaves a torn record at the very end, and nothing after it: that is where the log ends. Anything else that
//! does not fit is damage, because records follow each other and each was durable before the next was written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::log_record::{self, HEADER_BYTES, Header, Record};
use crate::model::Revision;
use crate::store::StoreError;
use crate::store::sled::{corrupt, io_error};

/// A batch in the log.
#[derive(Debug, PartialEq, Eq)]
pub struct Logged {
    pub first: Revision,
    pub last: Revision,
    pub bytes: Vec<u8>,
}

/// What a log holds.
pub struct Contents {
    /// In order, without a gap, the first one after what was asked for.
    pub batches: Vec<Logged>,
    /// The highest number of a segment.
    pub sequence: u64,
}

struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    header: Header,
}

/// The batches in the log after revision `after`, which is known from elsewhere to be durable with all before it: damage
/// to what the log has of those is harmless. `StoreError::Corrupt` if something after it is missing or damaged.
pub fn read(dir: &Path, after: Revision) -> Result<Contents, StoreError> {
    let files = files(dir, after)?;
    let sequence = files.last().map_or(0, |file| file.header.sequence);
    let mut found: Vec<(usize, Record)> = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let base = file.header.base;
        // An append that failed may have left a record, with any number of commits, that a later segment contradicts.
        while found.last().is_some_and(|(_, record)| record.last() >= base) {
            found.pop();
        }
        let next = found.last().map_or(after.next(), |(_, record)| record.last().next()).max(after.next());
        if base > next {
            let before = number.checked_sub(1).map_or(dir, |before| &files[before].path);
            return Err(missing(before, next, Revision(base.0 - 1)));
        }
        found.extend(records(file, after)?.into_iter().map(|record| (number, record)));
    }
    // A batch that `after` divides is of an append that failed, too: the journal ends with a whole batch. Its segment was still there when
    // the one that contradicts it was used again.
    let batches = found.into_iter().filter(|(_, record)| record.first > after).map(|(number, record)| {
        let bytes = files[number].bytes[record.payload.clone()].to_vec();
        Logged { first: record.first, last: record.last(), bytes }
    });
    let batches: Vec<Logged> = batches.collect();
    match batches.first() {
        Some(batch) if batch.first != after.next() => {
            Err(missing(dir, after.next(), Revision(batch.first.0.saturating_sub(1))))
        }
        _ => Ok(Contents { batches, sequence }),
    }
}

/// The records of a segment up to its end.
fn records(file: &File, after: Revision) -> Result<Vec<Record>, StoreError> {
    let of_this_use = |record: &Record| record.sequence == file.header.sequence;
    let mut records: Vec<Record> = Vec::new();
    let (mut offset, mut next) = (HEADER_BYTES, file.header.base);
    loop {
        let record = log_record::decode(&file.bytes, offset).filter(of_this_use);
        let record = match record {
            Some(record) if record.first == next => record,
            // The end, or damage.
            _ => match log_record::scan(&file.bytes, offset)
                .find(|record| of_this_use(record) && record.first >= next)
            {
                Some(later) if later.first <= after.next() => later,
                Some(later) => {
                    let what =
                        format!("revision {next} at byte {offset} is damaged, {} follows it", later.first);
                    return Err(corrupt(file.path.display().to_string(), what));
                }
                None => return Ok(records),
            },
        };
        (offset, next) = (record.end(), record.last().next());
        records.push(record);
    }
}

/// The segments, in the order of their use.
fn files(dir: &Path, after: Revision) -> Result<Vec<File>, StoreError> {
    let mut files = Vec::new();
    for path in paths(dir).map_err(|source| io_error(dir, source))? {
        let bytes = fs::read(&path).map_err(|source| io_error(&path, source))?;
        match Header::decode(&bytes) {
            Some(header) => files.push(File { path, bytes, header }),
            // A crash while it was created. Once it has a record, its header has long been durable.
            None => {
                if let Some(record) = log_record::scan(&bytes, 0).find(|record| record.last() > after) {
                    let what = format!("its header is damaged, and it holds revision {}", record.first);
                    return Err(corrupt(path.display().to_string(), what));
                }
            }
        }
    }
    files.sort_by_key(|file| file.header.sequence);
    Ok(files)
}

/// The files of segments, in no order.
pub fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

fn missing(place: &Path, from: Revision, to: Revision) -> StoreError {
    let what = match from == to {
        true => format!("revision {from} is missing after its last record"),
        false => format!("revisions {from} to {to} are missing after its last record"),
    };
    corrupt(place.display().to_string(), what)
}
