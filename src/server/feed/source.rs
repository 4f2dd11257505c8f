//! Reads the batches of a feed from the audit trail. Knows what a feed is interested in; no consumer.

use std::sync::Arc;

use super::Interest;
use super::cursor::Position;
use crate::api::{Trail, TrailItem};
use crate::audit::Recorder;
use crate::engine::{Engine, Error};
use crate::model::Revision;

/// Items that a feed reads for one batch.
const BATCH_ITEMS_MAX: usize = 1000;
/// About how many bytes of commits a batch has. One commit may have more.
const BATCH_BYTES_MAX: usize = 4 << 20;

pub(super) struct Source {
    trail: Trail,
    recorder: Recorder,
    interest: Interest,
}

/// What a feed has read.
pub(super) struct Read {
    /// The items that the feed is interested in.
    pub items: Vec<TrailItem>,
    /// How many items were read.
    pub count: usize,
    /// The position after them.
    pub position: Position,
    /// Why there are no more items.
    pub error: Option<Error>,
}

impl Source {
    /// Begins after a position, as far as the trail still is the same.
    pub fn new(engine: &Arc<Engine>, recorder: Recorder, interest: Interest, after: Position) -> Source {
        let mut trail = Trail::from_now(engine, &recorder);
        let (newest, newest_record) = trail.told();
        trail.begin_with_revision(Revision(after.revision.min(newest.0) + 1));
        match interest {
            // An audit log that is shorter than before is another log.
            Interest::Everything if after.sequence > newest_record => trail.begin_with_sequence(1),
            Interest::Everything => trail.begin_with_sequence(after.sequence + 1),
            Interest::CommitsOf(ref namespace) => {
                trail.leave_out_records();
                if namespace.is_reserved() {
                    trail.wait_for_system_commits();
                }
            }
        }
        Source { trail, recorder, interest }
    }

    /// The next batch, without waiting for one.
    pub async fn read(&mut self) -> Read {
        let newest_record = *self.recorder.newest().borrow();
        if let Interest::CommitsOf(namespace) = &self.interest {
            self.trail.skip_unless_changed(namespace);
        }
        let (mut items, mut count, mut bytes, mut error) = (vec![], 0, 0, None);
        while count < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX {
            match self.trail.take().await {
                Ok(Some(item)) => {
                    count += 1;
                    if self.is_of_interest(&item) {
                        bytes += bytes_of(&item);
                        items.push(item);
                    }
                }
                Ok(None) => break,
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
        let position = match self.interest {
            Interest::Everything => self.position(),
            // Without records: everything up to this sequence happened before the batch was delivered.
            Interest::CommitsOf(_) => Position { sequence: newest_record, ..self.position() },
        };
        Read { items, count, position, error }
    }

    /// The position after everything that was read or skipped.
    pub fn position(&self) -> Position {
        let (revision, sequence) = self.trail.told();
        Position { revision: revision.0, sequence }
    }

    /// Waits until there may be more.
    pub async fn changed(&mut self) {
        self.trail.changed().await;
    }

    fn is_of_interest(&self, item: &TrailItem) -> bool {
        match (&self.interest, item) {
            (Interest::CommitsOf(namespace), TrailItem::Change(sealed)) => {
                sealed.commit.changes.iter().any(|change| change.id.namespace == *namespace)
            }
            (Interest::Everything | Interest::CommitsOf(_), _) => true,
        }
    }
}

/// About how much memory an item takes.
fn bytes_of(item: &TrailItem) -> usize {
    match item {
        TrailItem::Change(sealed) => sealed.memory_bytes(),
        TrailItem::Record(_) | TrailItem::Gap(_) => 512,
    }
}
