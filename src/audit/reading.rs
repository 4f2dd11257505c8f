//! Reads records, from the newest back or forward from any one. Knows no writer. Incomplete lines do not count, and unreadable lines are
//! left out: a proof finds those.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::files;
use super::record::{Head, Record};
use super::room::Room;
use crate::model::Timestamp;

/// As many records are enough at once.
const RECORDS_ENOUGH: usize = 256;
/// The head of a segment and its first record are shorter.
const FIRST_RECORD_BYTES_MAX: u64 = 64 << 10;

/// Records of one room from the newest back.
struct RoomBackward {
    dir: PathBuf,
    /// Segments that are yet to be read.
    left: Vec<u64>,
    bytes: Vec<u8>,
    /// Where the lines begin and end that are yet to be read, in order.
    lines: Vec<(usize, usize)>,
    before: u64,
    /// Reading ends at the first record that is earlier.
    from: Option<Timestamp>,
    /// What may still be read.
    bytes_left: u64,
}

/// What comes of a look for the next record.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Record(Box<Record>),
    /// As much as may be read was read, of records from this one on.
    Enough,
    End,
}

impl RoomBackward {
    /// Records before `before` that are not earlier than `from`, reading about `bytes_max` at most. Segments that only have records later
    /// than `until` are not read.
    pub fn new(
        dir: &Path,
        before: u64,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        bytes_max: u64,
    ) -> io::Result<RoomBackward> {
        let mut left: Vec<u64> = files::segments(dir)?.into_iter().filter(|first| *first < before).collect();
        while let (Some(until), Some(newest)) = (until, left.last()) {
            // The head of a segment has the time when the segment was begun, which is later than the time of its first record.
            match first_record(dir, *newest)? {
                Some(first) if first.event.time > until => left.pop(),
                _ => break,
            };
        }
        let dir = dir.to_owned();
        Ok(RoomBackward { dir, left, bytes: vec![], lines: vec![], before, from, bytes_left: bytes_max })
    }

    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            while let Some((start, end)) = self.lines.pop() {
                let record = Record::read(&self.bytes[start..end]);
                if let Some(record) = record.filter(|record| record.sequence < self.before) {
                    self.before = record.sequence;
                    if self.from.is_some_and(|from| record.event.time < from) {
                        // In one room times never go back. Between rooms times do: a change of access is recorded after its commit.
                        (self.left, self.lines) = (vec![], vec![]);
                        return Ok(Step::End);
                    }
                    return Ok(Step::Record(Box::new(record)));
                }
            }
            let Some(segment) = self.left.pop() else { return Ok(Step::End) };
            if self.bytes_left == 0 {
                return Ok(Step::Enough);
            }
            self.bytes = match fs::read(files::path(&self.dir, segment)) {
                // Removed as too old.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes?,
            };
            self.bytes_left = self.bytes_left.saturating_sub(self.bytes.len() as u64);
            let (lines, _) = files::whole_lines(&self.bytes);
            let mut start = 0;
            let places = lines.map(|line| {
                let place = (start, start + line.len());
                start = place.1 + 1;
                place
            });
            // The first line is the head.
            self.lines = places.skip(1).collect();
        }
    }
}

/// Records of one room from one on, as they are written.
#[derive(Clone)]
struct RoomForward {
    dir: PathBuf,
    next: u64,
    /// Which segment, and where in it.
    place: Option<(u64, u64)>,
}

impl RoomForward {
    pub fn new(dir: &Path, next: u64) -> RoomForward {
        RoomForward { dir: dir.to_owned(), next, place: None }
    }

    /// The first record of the segment that has what happened then, if it can be told. `None`: there is none.
    fn first_at(&self, time: Timestamp) -> Option<u64> {
        let segments = files::segments(&self.dir).unwrap_or_default();
        let is_early =
            |first: &u64| head(&self.dir, *first).ok().flatten().is_some_and(|head| head.time <= time);
        segments.iter().rfind(|first| is_early(first)).or(segments.first()).copied()
    }

    /// Some records up to `up_to`, in order. None: there are none yet. Those that were removed are passed over.
    pub fn read(&mut self, up_to: u64) -> io::Result<Vec<Record>> {
        use std::os::unix::fs::FileExt;
        const CHUNK_BYTES: usize = 256 << 10;
        while self.next <= up_to {
            let names = files::segments(&self.dir)?;
            let here = names.range(..=self.next).next_back().or(names.first()).copied();
            let Some(here) = here else { return Ok(vec![]) };
            let (segment, offset) = self.place.filter(|(segment, _)| *segment == here).unwrap_or((here, 0));
            let file = match fs::File::open(files::path(&self.dir, segment)) {
                // Removed as too old, since the names were read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let mut bytes = vec![0; CHUNK_BYTES];
            let read = file.read_at(&mut bytes, offset)?;
            let (mut records, mut end) = (vec![], 0);
            for line in files::whole_lines(&bytes[..read]).0 {
                let record = Record::read(line);
                if record.as_ref().is_some_and(|record| record.sequence > up_to) {
                    break;
                }
                end += line.len() + 1;
                records.extend(record.filter(|record| record.sequence >= self.next));
            }
            if let Some(last) = records.last() {
                self.next = last.sequence + 1;
            }
            self.place = Some((segment, offset + end as u64));
            if !records.is_empty() {
                return Ok(records);
            }
            if end == 0 {
                // Its end: what comes next is in a segment of its own.
                match names.range(segment + 1..).next() {
                    Some(later) => (self.next, self.place) = (self.next.max(*later), None),
                    None => return Ok(vec![]),
                }
            }
        }
        Ok(vec![])
    }
}

/// Records of all rooms from the newest back.
pub struct Backward {
    rooms: Vec<(RoomBackward, Option<Step>)>,
}

impl Backward {
    /// Records before `before` that are not earlier than `from`, reading about `bytes_max` at most of each room. Segments that only have
    /// records later than `until` are not read.
    pub fn new(
        log: &Path,
        before: u64,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        bytes_max: u64,
    ) -> io::Result<Backward> {
        let open =
            |room: Room| Ok((RoomBackward::new(&room.directory(log), before, from, until, bytes_max)?, None));
        let rooms = Room::ALL.into_iter().map(open).collect::<io::Result<Vec<_>>>()?;
        Ok(Backward { rooms })
    }

    pub fn step(&mut self) -> io::Result<Step> {
        let mut newest: Option<(usize, u64)> = None;
        for (at, (reader, step)) in self.rooms.iter_mut().enumerate() {
            let step = match step {
                Some(step) => step,
                None => step.insert(reader.step()?),
            };
            match step {
                Step::Record(record) if newest.is_none_or(|(_, newest)| newest < record.sequence) => {
                    newest = Some((at, record.sequence));
                }
                Step::Record(_) | Step::End => {}
                // What comes next may be in this room.
                Step::Enough => return Ok(Step::Enough),
            }
        }
        let taken = newest.and_then(|(at, _)| self.rooms[at].1.take());
        Ok(taken.unwrap_or(Step::End))
    }
}

/// Records of all rooms from one on, in the order of their sequences.
#[derive(Clone)]
pub struct Forward {
    rooms: Vec<Ahead>,
}

/// One of the rooms.
#[derive(Clone)]
struct Ahead {
    reader: RoomForward,
    held: VecDeque<Record>,
    /// All records up to this one were read from it.
    read: u64,
}

impl Forward {
    pub fn new(log: &Path, next: u64) -> Forward {
        let open = |room: Room| Ahead {
            reader: RoomForward::new(&room.directory(log), next),
            held: VecDeque::new(),
            read: next.saturating_sub(1),
        };
        Forward { rooms: Room::ALL.into_iter().map(open).collect() }
    }

    pub fn begin_with(&mut self, sequence: u64) {
        for ahead in &mut self.rooms {
            (ahead.reader.next, ahead.reader.place) = (sequence, None);
            (ahead.held, ahead.read) = (VecDeque::new(), sequence.saturating_sub(1));
        }
    }

    /// Begins with records that may be older than that.
    pub fn begin_at(&mut self, time: Timestamp) {
        let first = self.rooms.iter().filter_map(|ahead| ahead.reader.first_at(time)).min();
        self.begin_with(first.unwrap_or(1));
    }

    /// The sequence of the next record that it will give, or of a later one.
    pub fn next(&self) -> u64 {
        let next =
            |ahead: &Ahead| ahead.held.front().map_or(ahead.read.saturating_add(1), |record| record.sequence);
        self.rooms.iter().map(next).min().unwrap_or(1)
    }

    /// Some records up to `up_to`, in order. None: there are none yet. Those that were removed are passed over.
    pub fn read(&mut self, up_to: u64) -> io::Result<Vec<Record>> {
        let mut records = vec![];
        loop {
            for ahead in &mut self.rooms {
                if ahead.held.is_empty() && ahead.read < up_to {
                    ahead.held = ahead.reader.read(up_to)?.into();
                    // Nothing more is written up to there.
                    ahead.read = ahead.held.back().map_or(up_to, |record| record.sequence);
                }
            }
            // Up to here it is known what is in every room.
            let known = self.rooms.iter().map(|ahead| ahead.read).min().unwrap_or(up_to).min(up_to);
            let found = records.len();
            while let Some(ahead) = self.first_up_to(known) {
                records.extend(ahead.held.pop_front());
            }
            if known >= up_to || records.len() > found && records.len() >= RECORDS_ENOUGH {
                return Ok(records);
            }
        }
    }

    fn first_up_to(&mut self, known: u64) -> Option<&mut Ahead> {
        let sequence = |ahead: &Ahead| ahead.held.front().map(|record| record.sequence);
        let with_first = self.rooms.iter_mut().filter_map(|ahead| Some((sequence(ahead)?, ahead)));
        with_first
            .min_by_key(|(sequence, _)| *sequence)
            .filter(|(sequence, _)| *sequence <= known)
            .map(|(_, ahead)| ahead)
    }
}

fn head(dir: &Path, first: u64) -> io::Result<Option<Head>> {
    use std::io::Read;
    let mut start = vec![];
    fs::File::open(files::path(dir, first))?.take(512).read_to_end(&mut start)?;
    Ok(files::whole_lines(&start).0.next().and_then(Head::read))
}

/// The first record of a segment. `None`: the segment has none, or the record cannot be read.
fn first_record(dir: &Path, first: u64) -> io::Result<Option<Record>> {
    use std::io::Read;
    let mut start = vec![];
    match fs::File::open(files::path(dir, first)) {
        Ok(file) => file.take(FIRST_RECORD_BYTES_MAX).read_to_end(&mut start)?,
        // Removed as too old.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(files::whole_lines(&start).0.nth(1).and_then(Record::read))
}
