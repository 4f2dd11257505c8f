//! Writes queued events in its own thread, retries failed writes, and syncs. Knows the time that it is given; `run` is the loop of the
//! thread.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::Retention;
use super::event::{Event, Kind};
use super::files;
use super::log::{Log, LogDamage};
use super::log_state::{LogState, Message};
use super::position::Position;
use super::reading::Forward;
use super::room::Room;
use crate::model::Timestamp;
use crate::supervise::Heart;

/// How often sums are looked for, what failed is tried again, and what was written is made durable.
const TICK: Duration = Duration::from_secs(1);
/// What waits for a disk that does not take it. More is lost, and told to be.
const WAITING_MAX: usize = 20_000;
/// Records that are written together.
const BATCH_MAX: usize = 1000;
/// While the disk does not take records, the log is told of it so often.
const FAILURE_TOLD_EVERY: Duration = Duration::from_secs(60);

pub struct Writer {
    shared: Arc<LogState>,
    retention: Retention,
    /// `None`: they could not be opened yet.
    logs: Option<Logs>,
    waiting: VecDeque<Event>,
    /// Since when the disk does not take records, and when that was told.
    failing: Option<Timestamp>,
}

/// The log of each room. They share one sequence.
struct Logs {
    logs: [Log; Room::ALL.len()],
    next: u64,
    /// How far the files are durable, as the file beside them has it.
    position: Option<Position>,
}

/// What a start finds besides the logs.
#[derive(Default)]
struct Found {
    damage: Vec<LogDamage>,
    /// Rooms whose newest durable record is gone, with its sequence.
    missing: Vec<(Room, u64)>,
    lost: Option<LostRecords>,
}

/// Records that a crash lost before they were durable, and that others outlived: the sequences of the first and the last, and how many.
struct LostRecords {
    from: u64,
    to: u64,
    count: u64,
}

/// Writes until it is told to end, or everybody who could tell it has gone.
/// Run again after a panic, it opens the log anew: what is in the files is what was written.
pub fn run(writer: &mut Writer, messages: &Receiver<Message>, heart: &Heart) {
    writer.logs = None;
    let mut ticked = Instant::now();
    let clock = writer.shared.clock.clone();
    writer.write(clock());
    loop {
        let mut flushed = vec![];
        let mut message = messages.recv_timeout(TICK.saturating_sub(ticked.elapsed()));
        let is_over = loop {
            match message {
                Ok(Message::Write(event)) => {
                    if Room::of_event(&event).yields() {
                        writer.shared.counts.yielding.fetch_sub(1, Ordering::Relaxed);
                    }
                    writer.take(*event);
                }
                Ok(Message::Flush(done)) => flushed.push(done),
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => break true,
                Err(RecvTimeoutError::Timeout) => break false,
            }
            message = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
        };
        heart.beat();
        if is_over {
            writer.close(clock());
            return;
        }
        writer.write(clock());
        if ticked.elapsed() >= TICK || !flushed.is_empty() {
            writer.tick(clock());
            ticked = Instant::now();
        }
        // Whoever has stopped waiting needs no word.
        flushed.into_iter().for_each(|done| _ = done.try_send(()));
    }
}

impl Writer {
    /// What `started` says comes first.
    pub fn new(shared: Arc<LogState>, retention: Retention, started: &str) -> Writer {
        let first = Event::new(Kind::Started, (shared.clock)()).with_detail(started);
        Writer { shared, retention, logs: None, waiting: VecDeque::from([first]), failing: None }
    }

    pub fn take(&mut self, event: Event) {
        let max = match event.kind {
            // Never lost. Whoever records a reveal waits until there is room, and others of these are few.
            Kind::Revealed | Kind::Backup | Kind::AccessChanged | Kind::Started | Kind::Stopped => usize::MAX,
            _ if Room::of_event(&event).yields() => WAITING_MAX / 2,
            _ => WAITING_MAX,
        };
        match self.waiting.len() < max {
            true => self.waiting.push_back(event),
            false => self.shared.counts.lose(event.count),
        }
    }

    /// Writes what waits, if the disk takes it.
    pub fn write(&mut self, now: Timestamp) {
        if self.waiting.is_empty() || self.failing.is_some() {
            return;
        }
        let written = self.try_write(now);
        self.tell(written, now);
    }

    /// What is due at times: sums, another attempt, what is too old, and durability.
    pub fn tick(&mut self, now: Timestamp) {
        self.shared.floods.due(now).into_iter().for_each(|sum| self.take(sum));
        let written = self.try_write(now).and_then(|()| self.keep(now));
        self.tell(written, now);
    }

    /// What is left, and the end.
    pub fn close(&mut self, now: Timestamp) {
        self.shared.floods.rest(now).into_iter().for_each(|sum| self.take(sum));
        self.take(Event::new(Kind::Stopped, now));
        let written = self.try_write(now).and_then(|()| self.keep(now));
        self.tell(written, now);
        if !self.waiting.is_empty() {
            tracing::error!(records = self.waiting.len(), "the audit log ends without these records");
        }
    }

    fn try_write(&mut self, now: Timestamp) -> io::Result<()> {
        self.open(now)?;
        let logs = self.logs.as_mut().expect("they are open");
        while let Some(first) = self.waiting.front() {
            let room = Room::of_event(first);
            let same = self.waiting.iter().take(BATCH_MAX).take_while(|event| Room::of_event(event) == room);
            let count = same.count();
            logs.append(room, &self.waiting.make_contiguous()[..count], now)?;
            let written = self.waiting.drain(..count);
            let reveals =
                written.filter(|event| matches!(event.kind, Kind::Revealed | Kind::Backup)).count() as u64;
            self.shared.counts.reveals_unwritten.fetch_sub(reveals, Ordering::Relaxed);
            self.shared.counts.records.fetch_add(count as u64, Ordering::Relaxed);
            self.shared.newest.send_replace(logs.newest());
        }
        let lost = self.shared.counts.lost_untold.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let detail = "more happened than could be kept, or written in time";
            let event = Event { count: lost, ..Event::new(Kind::Lost, now).with_detail(detail) };
            tracing::error!(lost, "records of the audit log were lost");
            self.waiting.push_back(event);
            return self.try_write(now);
        }
        Ok(())
    }

    fn keep(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(logs) = &mut self.logs else { return Ok(()) };
        for room in Room::ALL {
            if !logs.of(room).look_for_file() {
                let dir = room.directory(&self.shared.dir);
                tracing::error!(dir = %dir.display(), "the file of the audit log was taken away: another is begun");
                let detail = match room {
                    Room::Main => {
                        "the file that was written to was taken away by somebody, with the records before this one".to_owned()
                    }
                    Room::Reveals | Room::Attempts | Room::Sessions | Room::Denied | Room::Refused => {
                        format!("the file of {} was taken away by somebody, with the records in it", room.name())
                    }
                };
                logs.append(Room::Main, &[Event::new(Kind::Repaired, now).with_detail(&detail)], now)?;
            }
            if let Some(removed) = logs.of(room).retain(now)? {
                if removed.early > 0 {
                    self.shared.counts.note_early(room, removed.to + 1 - removed.from);
                    if !room.yields() {
                        tracing::error!(
                            room = room.name(),
                            from = removed.from,
                            to = removed.to,
                            "records of the audit log were removed before their time: --audit-bytes-max is too small for what happens"
                        );
                    }
                }
                logs.append(Room::Main, &[removed.event(room, now)], now)?;
            }
        }
        self.shared.newest.send_replace(logs.newest());
        logs.sync(&self.shared.dir)?;
        self.shared.counts.bytes.store(logs.bytes(), Ordering::Relaxed);
        Ok(())
    }

    fn open(&mut self, now: Timestamp) -> io::Result<()> {
        if self.logs.is_some() {
            return Ok(());
        }
        let (logs, found) = Logs::open(&self.shared.dir, self.retention)?;
        for (room, newest) in found.missing {
            self.miss(room, newest, now);
        }
        if let Some(lost) = found.lost {
            tracing::warn!(
                from = lost.from,
                to = lost.to,
                count = lost.count,
                "a crash lost records of the audit log that were not durable"
            );
            self.waiting.push_front(lost.event(now));
        }
        for damage in found.damage {
            match damage {
                LogDamage::Torn { path, bytes } => {
                    tracing::warn!(path = %path.display(), bytes, "the end of the audit log was torn, and is cut off");
                    let event = Event::new(Kind::Repaired, now);
                    let detail = format!("{bytes} bytes that were no whole lines were cut off the end");
                    self.waiting.push_front(event.with_detail(&detail));
                }
                LogDamage::Broken { path, sequence } => tracing::error!(
                    path = %path.display(),
                    sequence,
                    "the audit log is NOT as it was written: keep a copy of it, and see `confwatch audit verify`"
                ),
            }
        }
        self.shared.newest.send_replace(logs.newest());
        self.logs = Some(logs);
        Ok(())
    }

    /// Reports a room whose newest durable record is gone.
    fn miss(&mut self, room: Room, newest: u64, now: Timestamp) {
        self.shared.counts.is_incomplete.store(true, Ordering::Relaxed);
        let dir = room.directory(&self.shared.dir);
        tracing::error!(
            dir = %dir.display(),
            room = room.name(),
            newest,
            "records of the audit log are MISSING: somebody has removed files, or the disk has lost them"
        );
        let detail = format!("record {newest} of {} and records before it are missing", room.name());
        self.waiting.push_front(Event::new(Kind::Repaired, now).with_detail(&detail));
    }

    fn tell(&mut self, written: io::Result<()>, now: Timestamp) {
        let counts = &self.shared.counts;
        counts.is_failing.store(written.is_err(), Ordering::Relaxed);
        match (written, self.failing) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!("the audit log is written again");
                self.failing = None;
            }
            (Err(_), Some(told)) if told.until(now) < FAILURE_TOLD_EVERY => {}
            (Err(error), _) => {
                let (dir, waiting) = (self.shared.dir.display(), self.waiting.len());
                tracing::error!(%error, %dir, waiting, "the audit log cannot be written; it is tried again each second");
                self.failing = Some(now);
            }
        }
    }
}

impl Logs {
    fn open(dir: &Path, retention: Retention) -> io::Result<(Logs, Found)> {
        // The others lie within it.
        files::make_directory(&Room::Main.directory(dir))?;
        let mut position = Position::read(dir)?;
        if position.is_none() && is_new(dir)? {
            // Before the first record: a crash that loses it then leaves a log with a position.
            Position::default().write(dir)?;
            position = Some(Position::default());
        }
        let mut found = Found::default();
        let mut open = |room: Room| {
            let durable = position.map(|position| position.newest_of(room));
            let (log, damage) = Log::open(&room.directory(dir), room.retention(retention), durable)?;
            found.damage.extend(damage);
            if let Some(durable) = durable.filter(|durable| log.last() < *durable) {
                found.missing.push((room, durable));
            }
            Ok::<_, io::Error>(log)
        };
        let mut logs = Vec::with_capacity(Room::ALL.len());
        for room in Room::ALL {
            logs.push(open(room)?);
        }
        let logs: [Log; Room::ALL.len()] = logs.try_into().ok().expect("one of each room");
        let newest = logs.iter().map(Log::newest).max().unwrap_or(0);
        // Sequences of records that are gone are not used again, so that a proof misses the records.
        let durable = position.map_or(newest, |position| position.newest());
        if durable < newest {
            found.lost = LostRecords::between(dir, durable, newest)?;
        }
        Ok((Logs { logs, next: newest.max(durable) + 1, position }, found))
    }

    fn of(&mut self, room: Room) -> &mut Log {
        &mut self.logs[room as usize]
    }

    fn append(&mut self, room: Room, events: &[Event], now: Timestamp) -> io::Result<()> {
        let next = self.next;
        let log = self.of(room);
        log.skip_to(next);
        log.append(events, now)?;
        self.next += events.len() as u64;
        Ok(())
    }

    /// The sequence of the newest record; 0 if there is none.
    fn newest(&self) -> u64 {
        self.next - 1
    }

    /// Makes all records durable, and then notes that they are.
    fn sync(&mut self, dir: &Path) -> io::Result<()> {
        self.logs.iter_mut().try_for_each(Log::sync)?;
        let position = Position::of(|room| self.logs[room as usize].last());
        if self.position != Some(position) {
            position.write(dir)?;
            self.position = Some(position);
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.logs.iter().map(Log::bytes).sum()
    }
}

/// Whether no room of a log has a file.
fn is_new(dir: &Path) -> io::Result<bool> {
    for room in Room::ALL {
        if !files::segments(&room.directory(dir))?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl LostRecords {
    /// The sequences after a durable record, up to the newest one, that are in no room. `None`: there are none.
    fn between(dir: &Path, durable: u64, newest: u64) -> io::Result<Option<LostRecords>> {
        let (mut log, mut next, mut lost) =
            (Forward::new(dir, durable + 1), durable + 1, None::<LostRecords>);
        while next <= newest {
            let records = log.read(newest)?;
            for record in &records {
                if record.sequence > next {
                    let lost = lost.get_or_insert(LostRecords { from: next, to: 0, count: 0 });
                    (lost.to, lost.count) = (record.sequence - 1, lost.count + record.sequence - next);
                }
                next = record.sequence + 1;
            }
            if records.is_empty() {
                break;
            }
        }
        // A segment that a crash kept from beginning has the sequence of its first record in its name alone.
        if next <= newest {
            let lost = lost.get_or_insert(LostRecords { from: next, to: 0, count: 0 });
            (lost.to, lost.count) = (newest, lost.count + newest + 1 - next);
        }
        Ok(lost)
    }

    fn event(&self, now: Timestamp) -> Event {
        let LostRecords { from, to, count } = *self;
        let detail = format!("a crash lost {count} of the records {from} to {to} before they were durable");
        let event = Event::new(Kind::Lost, now).with_detail(&detail);
        Event { count, lost_from: from, lost_to: to, ..event }
    }
}
