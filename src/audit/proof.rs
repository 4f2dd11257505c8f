//! Proving the log: every line follows the one before, and is as it was written. Knows files and the chain; changes nothing.
//!
//! It cannot be seen in the files alone that newest records were cut off, or that all of it was written anew by somebody who can: for that
//! the hash of the newest record is compared with one that was kept elsewhere.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use super::position::Position;
use super::record::{FORMAT, Head, Record};
use super::room::Room;
use super::{chain, files};
use crate::model::Digest;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub segments: u64,
    pub records: u64,
    /// The oldest record there is; 0 if there is none.
    pub first: u64,
    /// The newest record that was proved, and its hash; 0 and zero if there is none.
    pub newest: u64,
    pub hash: Digest,
    /// The first link that does not hold. Nothing after it was looked at.
    pub broken: Option<Broken>,
}

/// A link that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The record that is not as it was written, or is not there; of the head of a segment, the first of its records.
    pub sequence: u64,
    pub path: PathBuf,
    /// From 1; 0 where no line is there.
    pub line: u64,
    pub what: String,
    /// A crash left the damage in records that were not durable: the next start repairs it.
    pub is_torn_end: bool,
}

/// `record 7 cannot be read (line 8 of data/audit/audit-00000000000000000001.jsonl)`.
impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{} (in {})", self.what, self.path.display()),
            line => write!(f, "{} (line {line} of {})", self.what, self.path.display()),
        }
    }
}

/// Proves every room of a log, up to a record, if there is somebody who writes more meanwhile; that no record is missing from all of them; and that no
/// record is missing that the position of the log has as durable.
pub fn prove_rooms(log: &Path, up_to: Option<u64>) -> io::Result<Vec<(Room, Proof)>> {
    prove_rooms_in_steps(log, up_to, &mut |_| true)
}

/// The same, with a pause after each segment. `pause` is given how long the segment took, and whether the proof goes on: if not, it fails with
/// `Interrupted`.
pub fn prove_rooms_in_steps(
    log: &Path,
    up_to: Option<u64>,
    pause: &mut dyn FnMut(Duration) -> bool,
) -> io::Result<Vec<(Room, Proof)>> {
    // First: a position that is read later may be ahead of the records that are read.
    let position = Position::read(log)?;
    let (mut proofs, mut walks) = (vec![], vec![]);
    for room in Room::ALL {
        let durable = position.map(|position| position.newest_of(room));
        let (mut proof, walk) = walk(&room.directory(log), up_to, durable, pause)?;
        let is_proved = |durable: &u64| up_to.is_none_or(|up_to| *durable <= up_to);
        if let Some(durable) = durable.filter(is_proved)
            && proof.newest < durable
            && proof.broken.is_none()
        {
            let what = format!(
                "record {durable} was written to the part {} of the log and is missing: somebody removed it, or the disk lost it",
                room.name()
            );
            let path = room.directory(log);
            proof.broken = Some(Broken { sequence: durable, path, line: 0, what, is_torn_end: false });
        }
        proofs.push((room, proof));
        walks.push(walk);
    }
    let is_sound =
        |proof: &Proof| proof.broken.as_ref().is_none_or(|broken| position.is_some() && broken.is_torn_end);
    if proofs.iter().all(|(_, proof)| is_sound(proof))
        && let Some(sequence) = missing(&walks)
    {
        let is_torn_end = position.is_some_and(|position| sequence > position.newest());
        let rooms = proofs.iter().filter(|(_, proof)| proof.records == 0).map(|(room, _)| room.name());
        let rooms: Vec<&str> = rooms.collect();
        let mut what = format!(
            "record {sequence} is in no part of the log: somebody removed it, or it was lost in a power cut"
        );
        if !rooms.is_empty() {
            what += &format!("; parts without any record: {}", rooms.join(", "));
        }
        let (_, main) = proofs.first_mut().expect("there is a main room");
        main.broken = Some(Broken { sequence, path: log.to_owned(), line: 0, what, is_torn_end });
    }
    // As the files are named within the data directory: proofs are for clients, too.
    if let Some(data_dir) = log.parent() {
        for broken in proofs.iter_mut().filter_map(|(_, proof)| proof.broken.as_mut()) {
            broken.path = broken.path.strip_prefix(data_dir).unwrap_or(&broken.path).to_owned();
        }
    }
    Ok(proofs)
}

/// The first sequence that no room has. All rooms share one sequence, so that each number is in one of them; what was removed as too old is
/// before the first record of its room; and what a crash lost before it was durable is in a record of the log.
fn missing(walks: &[ChainWalk]) -> Option<u64> {
    let mut next = walks.iter().map(|walk| walk.complete_from).max().unwrap_or(1);
    let runs = |walk: &ChainWalk| walk.runs.iter().chain(&walk.lost).copied().collect::<Vec<_>>();
    let mut runs: Vec<(u64, u64)> = walks.iter().flat_map(runs).collect();
    runs.sort_unstable();
    for (first, last) in runs {
        if first > next {
            return Some(next);
        }
        next = next.max(last + 1);
    }
    None
}

/// Proves all segments in a directory, up to a record, if there is somebody who writes more meanwhile.
pub fn prove(dir: &Path, up_to: Option<u64>) -> io::Result<Proof> {
    Ok(walk(dir, up_to, None, &mut |_| true)?.0)
}

/// Walks along the chain of one room. `durable` is the newest durable record of the room, as far as that is known.
fn walk(
    dir: &Path,
    up_to: Option<u64>,
    durable: Option<u64>,
    pause: &mut dyn FnMut(Duration) -> bool,
) -> io::Result<(Proof, ChainWalk)> {
    let mut proof = Proof { segments: 0, records: 0, first: 0, newest: 0, hash: Digest::ZERO, broken: None };
    let mut walk =
        ChainWalk { next: None, hash: Digest::ZERO, up_to, complete_from: 1, runs: vec![], lost: vec![] };
    let segments = files::segments(dir)?;
    for &first in &segments {
        if up_to.is_some_and(|up_to| first > up_to) {
            break;
        }
        let (path, begun) = (files::path(dir, first), Instant::now());
        let bytes = match fs::read(&path) {
            // Removed as too old, since the names were read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && proof.segments == 0 => continue,
            bytes => bytes?,
        };
        proof.segments += 1;
        if let Err((sequence, line, what)) = walk.segment(first, &bytes, &mut proof) {
            let is_newest = segments.last() == Some(&first);
            let is_cut_line = line == files::whole_lines(&bytes).0.count() as u64 + 1;
            let is_torn_end = is_newest && durable.map_or(is_cut_line, |durable| durable < sequence);
            proof.broken = Some(Broken { sequence, path, line, what, is_torn_end });
            break;
        }
        if !pause(begun.elapsed()) {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    Ok((proof, walk))
}

struct ChainWalk {
    /// `None`: the first segment says with what it begins.
    next: Option<u64>,
    hash: Digest,
    up_to: Option<u64>,
    /// From here on every record of the room is there: those before may have been removed as too old.
    complete_from: u64,
    /// The sequences of its records, as runs without a gap: from and to.
    runs: Vec<(u64, u64)>,
    /// The sequences of records that crashes lost before they were durable, as the room has them: from and to.
    lost: Vec<(u64, u64)>,
}

type Wrong = (u64, u64, String);

impl ChainWalk {
    fn segment(&mut self, first: u64, bytes: &[u8], proof: &mut Proof) -> Result<(), Wrong> {
        let expected = self.next.unwrap_or(first);
        let (mut lines, end) = files::whole_lines(bytes);
        let head = lines.next().ok_or_else(|| (first, 1, "the segment has no head".to_owned()))?;
        self.head(first, head).map_err(|what| match first == expected {
            true => (first, 1, what),
            false => (expected, 1, format!("record {expected} is missing: {what}")),
        })?;
        let (mut next, mut last_line) = (first, 1);
        for (line, number) in lines.zip(2..) {
            if self.up_to.is_some_and(|up_to| next > up_to) {
                return Ok(());
            }
            let (record, hash) = record(self.hash, next, line).map_err(|what| (next, number, what))?;
            let sequence = record.sequence;
            if self.up_to.is_some_and(|up_to| sequence > up_to) {
                return Ok(());
            }
            // A record of lost records is about those before it.
            if record.event.lost_to > 0 && record.event.lost_to < sequence {
                self.lost.push((record.event.lost_from, record.event.lost_to));
            }
            self.hash = hash;
            proof.first = if proof.first == 0 { sequence } else { proof.first };
            proof.records += 1;
            match self.runs.last_mut() {
                Some((_, last)) if *last + 1 == sequence => *last = sequence,
                Some(_) | None => self.runs.push((sequence, sequence)),
            }
            (proof.newest, proof.hash) = (sequence, hash);
            (next, last_line) = (sequence + 1, number);
        }
        self.next = Some(next);
        if end < bytes.len() && self.up_to.is_none_or(|up_to| next <= up_to) {
            let what = format!("{} bytes at the end are no whole line", bytes.len() - end);
            return Err((next, last_line + 1, what));
        }
        Ok(())
    }

    fn head(&mut self, first: u64, line: &[u8]) -> Result<(), String> {
        let head = Head::read(line).ok_or("the head of the segment cannot be read")?;
        if head.segment != FORMAT {
            return Err(format!(
                "the segment has format {}, this program reads format {FORMAT}",
                head.segment
            ));
        }
        // Of the oldest segment nobody knows what went before, unless nothing did.
        let previous = match self.next {
            None if first > 1 => head.previous,
            _ => self.hash,
        };
        if head.first != first {
            return Err(format!(
                "the head says that it begins with record {}, its name says {first}",
                head.first
            ));
        }
        if head.previous != previous {
            let found = head.previous;
            return Err(format!("the segment follows {found}, the line before it has the hash {previous}"));
        }
        if self.next.is_some_and(|next| first < next) {
            return Err(format!("the segment begins with record {first}, which was there before"));
        }
        if self.next.is_none() && previous != Digest::ZERO {
            self.complete_from = first;
        }
        self.hash = sealed(previous, line)?;
        Ok(())
    }
}

/// A record and its hash, which should follow `previous`, with this sequence or, if the records between are in other rooms of the log,
/// a later one.
fn record(previous: Digest, sequence: u64, line: &[u8]) -> Result<(Record, Digest), String> {
    let Some(record) = Record::read(line) else {
        return Err(format!("record {sequence} cannot be read"));
    };
    let found = record.sequence;
    if found < sequence {
        return Err(format!("record {sequence} is missing or was changed: {found} is here"));
    }
    if record.previous != previous {
        let follows = record.previous;
        return Err(format!(
            "record {sequence} is missing or was changed: {found} is here and says that it follows {follows}, the line before it has the \
             hash {previous}"
        ));
    }
    let hash = sealed(previous, line).map_err(|what| format!("record {found}: {what}"))?;
    Ok((record, hash))
}

fn sealed(previous: Digest, line: &[u8]) -> Result<Digest, String> {
    match chain::check(previous, line) {
        Some((hash, true)) => Ok(hash),
        Some((hash, false)) => Err(match chain::stated(line) {
            Some(stated) => format!("the line says that its hash is {stated}, it has {hash}"),
            None => format!("the line does not end with its hash, {hash}"),
        }),
        None => Err("the line has no hash".to_owned()),
    }
}
