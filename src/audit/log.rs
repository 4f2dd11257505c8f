//! Writes the files of one room: continues the chain, begins segments, removes old ones. Knows no thread and no clock.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Retention;
use super::event::{Event, Kind};
use super::record::{FORMAT, Head, Record};
use super::room::Room;
use super::{chain, files};
use crate::durable_file;
use crate::model::{Digest, Timestamp};

/// A segment with as much is full, or with less where little is kept.
const SEGMENT_BYTES: u64 = 16 << 20;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENTS_MIN: u64 = 8;
/// A segment with records has them of so long, so that what is old goes by the day.
const SEGMENT_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The head of a segment is shorter.
const HEAD_BYTES_MAX: u64 = 512;

/// Of a segment whose head cannot be read: what was damaged must not go as too old.
const UNKNOWN: Timestamp = Timestamp(i64::MAX);

/// The log, by its one writer.
pub struct Log {
    dir: PathBuf,
    retention: Retention,
    /// The oldest first. The last is the one that is written to, if `file` is there.
    segments: VecDeque<Segment>,
    file: Option<File>,
    next: u64,
    /// The newest record; 0 if there is none. The records up to `next` may be in other rooms.
    last: u64,
    /// Of the newest line.
    head: Digest,
    /// Of the newest record.
    time: Timestamp,
    /// Where the content of the segment that is written to begins that is not known to be durable.
    durable_bytes: u64,
    /// Whether what is not known to be durable must be written again before a sync counts: a disk that failed a sync, perhaps of an earlier process,
    /// has given it up, and no later sync makes it durable.
    is_given_up: bool,
}

struct Segment {
    first: u64,
    begun: Timestamp,
    bytes: u64,
}

/// Segments that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    pub from: u64,
    pub to: u64,
    pub segments: u64,
    /// How many of them were not too old: together they were too large.
    pub early: u64,
}

/// What was found when the log was opened, besides a log.
#[derive(Debug, PartialEq, Eq)]
pub enum LogDamage {
    /// The end is not whole, as after a crash: it was cut off.
    Torn { path: PathBuf, bytes: u64 },
    /// Something is not as it was written. It stays as it is.
    Broken { path: PathBuf, sequence: u64 },
}

impl Log {
    /// Opens the log in a directory, which is made with the first record if it is missing. Looks at its newest segment. `durable` is the newest
    /// record that is known to be durable: damage after it was left by a crash, and is cut off.
    pub fn open(dir: &Path, retention: Retention, durable: Option<u64>) -> io::Result<(Log, Vec<LogDamage>)> {
        let mut found = vec![];
        let mut log = Log {
            dir: dir.to_owned(),
            retention,
            segments: VecDeque::new(),
            file: None,
            next: 1,
            last: 0,
            head: Digest::ZERO,
            time: Timestamp(i64::MIN),
            durable_bytes: 0,
            is_given_up: false,
        };
        let mut names = files::segments(dir)?;
        while let Some(newest) = names.last().copied() {
            if log.take_up(newest, names.len() == 1, durable, &mut found)? {
                break;
            }
            // Of a segment that a crash kept from beginning there is nothing to keep.
            fs::remove_file(files::path(dir, newest))?;
            names.remove(&newest);
        }
        let newest = log.segments.pop_back();
        for first in
            names.into_iter().filter(|first| newest.as_ref().is_none_or(|newest| *first != newest.first))
        {
            log.segments.push_back(Segment::read(dir, first)?);
        }
        log.segments.extend(newest);
        Ok((log, found))
    }

    /// Goes on in this segment. Whether there is anything in it.
    fn take_up(
        &mut self,
        first: u64,
        is_only: bool,
        durable: Option<u64>,
        found: &mut Vec<LogDamage>,
    ) -> io::Result<bool> {
        let path = files::path(&self.dir, first);
        let mut bytes = vec![];
        let mut file = files::open(&path)?;
        file.read_to_end(&mut bytes)?;
        let end = durable.map_or(files::whole_lines(&bytes).1, |durable| sound_end(&bytes, first, durable));
        if end < bytes.len() {
            found.push(LogDamage::Torn { path: path.clone(), bytes: (bytes.len() - end) as u64 });
            file.set_len(end as u64)?;
            file.sync_all()?;
        }
        let mut lines = files::whole_lines(&bytes[..end]).0;
        let is_begun = files::whole_lines(&bytes[..end]).0.count() > 1;
        let head_line = lines.next().filter(|line| is_begun || Head::read(line).is_none());
        let Some(head_line) = head_line else {
            self.next = if is_only { first } else { self.next };
            return Ok(false);
        };
        let head = Head::read(head_line);
        let previous = head.map_or(Digest::ZERO, |head| head.previous);
        let begun = head.map_or(UNKNOWN, |head| head.time);
        let mut broken = None;
        let follow = |previous: Digest, line: &[u8], sequence: u64, broken: &mut Option<u64>| {
            let checked = chain::check(previous, line);
            if !checked.is_some_and(|(_, is_right)| is_right) {
                broken.get_or_insert(sequence);
            }
            // What follows a line that was changed was made for what the line says of itself.
            chain::stated(line).or(checked.map(|(hash, _)| hash)).unwrap_or(previous)
        };
        self.head = follow(previous, head_line, first, &mut broken);
        self.next = first;
        self.time = head.map_or(self.time, |head| head.time);
        let mut is_last_readable = head.is_some();
        (self.durable_bytes, self.is_given_up) = (0, true);
        let mut place = head_line.len() as u64 + 1;
        for line in lines {
            place += line.len() as u64 + 1;
            let record = Record::read(line);
            if record.as_ref().is_some_and(|record| durable.is_some_and(|durable| record.sequence <= durable))
            {
                self.durable_bytes = place;
            }
            is_last_readable = record.is_some();
            if record.as_ref().is_none_or(|record| record.sequence < self.next) {
                broken.get_or_insert(self.next);
            }
            self.head = follow(self.head, line, self.next, &mut broken);
            if let Some(record) = record {
                (self.next, self.time) = (self.next.max(record.sequence), self.time.max(record.event.time));
            }
            self.next += 1;
        }
        self.last = self.next - 1;
        self.segments.push_back(Segment { first, begun, bytes: end as u64 });
        // After a line that nobody can read the chain begins a new file, which says what it goes on from.
        self.file = is_last_readable.then_some(file);
        found.extend(broken.map(|sequence| LogDamage::Broken { path, sequence }));
        Ok(true)
    }

    /// The sequence before the next record: of the newest record in this room, or of one in another room.
    pub fn newest(&self) -> u64 {
        self.next - 1
    }

    /// The sequence of the newest record in this room; 0 if there is none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// What the files have together.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The next record has this sequence, if it is not less than it would be. Those in between are in other rooms.
    pub fn skip_to(&mut self, sequence: u64) {
        self.next = self.next.max(sequence);
    }

    /// Writes records of these events, all of them or none. They are not durable yet.
    pub fn append(&mut self, events: &[Event], now: Timestamp) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let is_new = self.file.is_none() || self.is_full(now);
        let mut text = String::new();
        let (mut head, mut next, mut time) = (self.head, self.next, self.time);
        if is_new {
            let (line, hash) = Head { segment: FORMAT, first: next, time: now, previous: head }.line();
            text = line + "\n";
            head = hash;
        }
        for event in events {
            time = time.max(event.time);
            let (line, hash) = match time == event.time {
                true => Record::line(next, event, head),
                false => Record::line(next, &Event { time, ..event.clone() }, head),
            };
            text.push_str(&line);
            text.push('\n');
            (head, next) = (hash, next + 1);
        }
        match is_new {
            true => self.begin(text.as_bytes(), now)?,
            false => self.write(text.as_bytes())?,
        }
        (self.head, self.next, self.last, self.time) = (head, next, next - 1, time);
        Ok(())
    }

    /// Waits until everything is durable.
    pub fn sync(&mut self) -> io::Result<()> {
        let (Some(file), Some(segment)) = (&self.file, self.segments.back()) else { return Ok(()) };
        if segment.bytes == self.durable_bytes {
            return Ok(());
        }
        if self.is_given_up {
            let mut content = vec![0; (segment.bytes - self.durable_bytes) as usize];
            file.read_exact_at(&mut content, self.durable_bytes)?;
            file.write_all_at(&content, self.durable_bytes)?;
        }
        self.is_given_up = true;
        file.sync_data()?;
        (self.durable_bytes, self.is_given_up) = (segment.bytes, false);
        Ok(())
    }

    /// Whether the file that is written to still is where it was begun. If not, somebody took it away: what comes next begins another.
    pub fn look_for_file(&mut self) -> bool {
        let (Some(file), Some(segment)) = (&self.file, self.segments.back()) else { return true };
        let is_there = durable_file::has_name(file, &files::path(&self.dir, segment.first));
        if !is_there {
            self.file = None;
            self.segments.pop_back();
        }
        is_there
    }

    /// Removes what is too old and too much. What was removed, for the log itself.
    pub fn retain(&mut self, now: Timestamp) -> io::Result<Option<Removed>> {
        let (mut removed, mut early) = (0, 0);
        let from = self.segments.front().map_or(0, |oldest| oldest.first);
        while let (Some(oldest), Some(second)) = (self.segments.front(), self.segments.get(1)) {
            let is_old = second.begun.until(now) > self.retention.age_max;
            if !is_old && self.bytes() <= self.retention.bytes_max {
                break;
            }
            match fs::remove_file(files::path(&self.dir, oldest.first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.segments.pop_front();
            removed += 1;
            early += u64::from(!is_old);
        }
        if removed == 0 {
            return Ok(None);
        }
        durable_file::sync(&self.dir)?;
        let to = self.segments.front().map_or(self.next, |oldest| oldest.first) - 1;
        Ok(Some(Removed { from, to, segments: removed, early }))
    }

    fn is_full(&self, now: Timestamp) -> bool {
        let bytes = (self.retention.bytes_max / SEGMENTS_MIN).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES);
        self.segments.back().is_some_and(|segment| {
            let is_of_use = segment.first < self.next;
            is_of_use && (segment.bytes >= bytes || segment.begun.until(now) >= SEGMENT_AGE)
        })
    }

    fn begin(&mut self, text: &[u8], now: Timestamp) -> io::Result<()> {
        self.sync()?;
        let path = files::path(&self.dir, self.next);
        let begin = || {
            files::make_directory(&self.dir)?;
            let file = files::open(&path)?;
            // Left by an attempt that failed.
            file.set_len(0)?;
            file.write_all_at(text, 0)?;
            durable_file::sync(&self.dir)?;
            Ok::<_, io::Error>(file)
        };
        let file = begin().inspect_err(|_| {
            // What is left of it is overwritten by the next attempt, or found torn.
            let _ = fs::remove_file(&path);
        })?;
        self.file = Some(file);
        (self.durable_bytes, self.is_given_up) = (0, false);
        self.segments.push_back(Segment { first: self.next, begun: now, bytes: text.len() as u64 });
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let file = self.file.as_ref().expect("a segment that is not full is open");
        let segment = self.segments.back_mut().expect("an open segment is listed");
        if let Err(error) = file.write_all_at(text, segment.bytes) {
            // A part may be there: whoever reads must not take it for records. If this fails, too, the next attempt writes over it.
            let _ = file.set_len(segment.bytes);
            return Err(error);
        }
        segment.bytes += text.len() as u64;
        Ok(())
    }
}

/// Where the lines of a segment end that a start keeps: before the first line that is damaged and not durable, or else after the last whole line.
/// `first` is the first record of the segment, `durable` the newest durable record of the room.
fn sound_end(bytes: &[u8], first: u64, durable: u64) -> usize {
    let (lines, whole) = files::whole_lines(bytes);
    // The previous line is unknown to the head, whose record of it is believed.
    let (mut previous, mut next, mut end, mut is_head) = (Digest::ZERO, first, 0, true);
    for line in lines {
        let sequence = match is_head {
            true => Head::read(line).filter(|head| head.first == first).map(|head| {
                previous = head.previous;
                first.saturating_sub(1)
            }),
            false => Record::read(line).map(|record| record.sequence).filter(|sequence| *sequence >= next),
        };
        let hash = chain::check(previous, line).and_then(|(hash, is_right)| is_right.then_some(hash));
        let (Some(sequence), Some(hash)) = (sequence, hash) else {
            // Damage of what is durable stays, for a proof to find.
            return if durable < next { end } else { whole };
        };
        (previous, next, end, is_head) = (hash, sequence + 1, end + line.len() + 1, false);
    }
    whole
}

impl Removed {
    pub fn event(&self, room: Room, now: Timestamp) -> Event {
        let Removed { from, to, segments, early } = self;
        let mut detail = format!("records {from} to {to}, in {segments} segments");
        if room != Room::Main {
            detail += &format!(" of {}", room.name());
        }
        if *early > 0 {
            detail += &format!(", {early} of them before their time: there is no room for more");
        }
        Event::new(Kind::Removed, now).with_detail(&detail)
    }
}

impl Segment {
    fn read(dir: &Path, first: u64) -> io::Result<Segment> {
        let file = File::open(files::path(dir, first))?;
        let bytes = file.metadata()?.len();
        let mut start = vec![];
        file.take(HEAD_BYTES_MAX).read_to_end(&mut start)?;
        let head = files::whole_lines(&start).0.next().and_then(Head::read);
        Ok(Segment { first, begun: head.map_or(UNKNOWN, |head| head.time), bytes })
    }
}
