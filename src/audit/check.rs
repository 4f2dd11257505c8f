//! Proves the log while the server runs, after the start and then once a day, so that an altered log is noticed although nobody asks for a proof. Knows
//! the proof and whom to tell; nothing of the writer.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::event::{Event, Kind};
use super::log_state::{LogState, Message};
use super::proof::{Broken, prove_rooms_in_steps};
use crate::supervise::Heart;

/// Between two proofs.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Before the next attempt, if the log could not be read: a file may have been removed as too old meanwhile.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Before the next attempt, if the log could not be opened yet.
const OPENED_AFTER: Duration = Duration::from_secs(1);
/// After each segment the check pauses for so many times as long as the segment took: it takes a fifth of one processor.
const PAUSE_FACTOR: u32 = 4;

/// Checks the log again and again, until the other end of `stop` is gone. What does not hold is logged, counted and recorded once.
pub fn run(state: &LogState, queue: &SyncSender<Message>, stop: &Receiver<()>, heart: &Heart) {
    let goes_on = |wait: Duration| matches!(stop.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
    let mut told = None;
    loop {
        heart.beat();
        // What a start has to say of a crash before is in the files then, and how far they are durable.
        let (done, flushed) = sync_channel(1);
        if queue.send(Message::Flush(done)).is_err() || flushed.recv().is_err() {
            return;
        }
        let newest = *state.newest.borrow();
        let mut pause = |worked: Duration| goes_on(worked * PAUSE_FACTOR);
        let wait = match prove_rooms_in_steps(&state.dir, Some(newest), &mut pause) {
            // The disk did not take the first record yet.
            Ok(_) if newest == 0 => OPENED_AFTER,
            Ok(proofs) => {
                let found = state.note_proofs(&proofs).filter(|found| told != Some(found.sequence));
                if let Some(found) = found {
                    told = Some(found.sequence);
                    tell(found, state, queue);
                }
                INTERVAL
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                tracing::warn!(%error, "the audit log could not be read to check it, and is checked later");
                RETRY_AFTER
            }
        };
        if !goes_on(wait) {
            return;
        }
    }
}

fn tell(found: &Broken, state: &LogState, queue: &SyncSender<Message>) {
    let place = found.to_string();
    tracing::error!(
        place,
        "the audit log is NOT as it was written: keep a copy of it, and see `confwatch audit verify`"
    );
    let event = Event::new(Kind::Repaired, (state.clock)());
    let event = event.with_detail(&format!("the log is not as it was written: {place}"));
    // If there is no room, the log of the server and the status tell of it all the same.
    let _ = queue.try_send(Message::Write(Box::new(event)));
}
