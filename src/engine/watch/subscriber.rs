//! The hub's end of a stream: how to wake it, and notes of what to look at. Knows nothing of documents but that they change.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use crate::model::{ConfigName, Revision};

use super::client::Identity;
use super::delivered::Delivered;
use super::message::Known;
use super::shared_document::SharedDocument;
use super::subscriber_id::SubscriberId;
use super::timers::Tick;

/// The part of a stream that the hub holds, however slowly the client reads.
pub(super) struct Subscriber {
    pub id: SubscriberId,
    /// The client and actor of the stream.
    pub identity: Identity,
    /// The stream accepts requests of its actor alone.
    is_owned: AtomicBool,
    /// The documents of each target that its client holds.
    delivered: Mutex<Delivered>,
    /// The revision of the newest message that the stream was sent.
    revision: AtomicU64,
    waker: AtomicWaker,
    /// The changed targets of a stream with several targets.
    marks: Mutex<Marks>,
    /// A progress message is wanted once the hub has the revision before this one; 0: none is.
    progress_at: AtomicU64,
    /// The progress interval has passed without a message.
    progress_due: AtomicBool,
    /// The stream is sending the targets of its marks, or its snapshot.
    is_telling: AtomicBool,
    /// The stream was polled since its last message, which the connection has therefore taken, and had no further message.
    is_settled: AtomicBool,
    has_ended: AtomicBool,
    /// When the stream last sent a message, by the timers.
    sent_at: AtomicU64,
    /// The progress interval, in ticks.
    pub progress_ticks: u32,
}

/// A target of a stream that changed.
#[derive(Clone)]
pub(super) struct Mark {
    /// The place of the target in the request.
    pub place: u32,
    /// For a target that follows a whole namespace: the changed config.
    pub told: Option<Arc<SharedDocument>>,
    /// The revision of the change. The stream may still be sending an earlier state.
    pub revision: Revision,
}

#[derive(Default)]
struct Marks {
    list: Vec<Mark>,
    /// The revision of the newest mark that was made, taken or not.
    newest: Revision,
}

impl Mark {
    fn key(&self) -> (u32, Option<&ConfigName>) {
        (self.place, self.told.as_ref().map(|told| &told.target.id.config))
    }
}

impl Subscriber {
    pub fn new(id: SubscriberId, progress_ticks: u32, identity: Identity) -> Subscriber {
        Subscriber {
            id,
            identity,
            is_owned: AtomicBool::new(false),
            delivered: Mutex::new(Delivered::One(Known::Nothing)),
            revision: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            marks: Mutex::default(),
            progress_at: AtomicU64::new(0),
            progress_due: AtomicBool::new(false),
            is_telling: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            sent_at: AtomicU64::new(0),
            progress_ticks,
        }
    }

    /// A subscriber for tests.
    #[cfg(test)]
    pub fn anonymous(id: SubscriberId, progress_ticks: u32) -> Subscriber {
        let (mut sets, since) = (super::client::LabelSets::default(), crate::model::Timestamp(0));
        Subscriber::new(
            id,
            progress_ticks,
            Identity::new(
                Default::default(),
                crate::auth::Caller::unverified("test").expect("a name"),
                since,
                &mut sets,
            ),
        )
    }

    /// Makes the stream accept requests of the actor alone that opened it.
    pub fn keep_to_actor(&self) {
        self.is_owned.store(true, Ordering::Relaxed);
    }

    pub fn may_be_asked_by(&self, who: &str) -> bool {
        !self.is_owned.load(Ordering::Relaxed) || self.identity.caller.actor() == who
    }

    pub fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the knowledge of the client about the config that the target at this place follows, and gives the knowledge before.
    pub fn deliver(&self, place: u32, known: Known) -> Known {
        std::mem::replace(self.delivered().known(place), known)
    }

    /// The revision of the newest message that the stream was sent. Zero: none was.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }

    /// Notes a change. Whether it is the first of its revision: the stream is then to be woken once, when the hub has reached that. It may
    /// have been woken for an earlier one and look before this one can be told.
    pub fn mark(&self, mark: Mark) -> bool {
        let mut marks = self.marks();
        let first = marks.newest < mark.revision;
        marks.newest = mark.revision;
        let list = &mut marks.list;
        // Compacted whenever the list would grow: the marks of a stream that is not read are bounded by its targets.
        if list.len() == list.capacity() {
            clean(list);
        }
        list.push(mark);
        first
    }

    /// Takes the marks since the last call, each target once, in the order of the request. Marks of changes after `revision` stay.
    pub fn take_marks(&self, revision: Revision) -> Vec<Mark> {
        let list = &mut self.marks().list;
        if list.is_empty() {
            return vec![];
        }
        self.begins_telling();
        clean(list);
        let later = list.iter().filter(|mark| mark.revision > revision).cloned().collect();
        std::mem::replace(list, later)
    }

    /// Notes that the taken marks are not completely sent yet.
    pub fn begins_telling(&self) {
        self.is_telling.store(true, Ordering::Relaxed);
    }

    /// Notes that all taken marks are sent.
    pub fn ends_telling(&self) {
        self.is_telling.store(false, Ordering::Relaxed);
    }

    /// Whether a stream of several targets has changes to send.
    pub fn has_news(&self) -> bool {
        let marks = self.marks();
        !marks.list.is_empty() || self.is_telling()
    }

    /// Notes a poll: the connection has yet to take its message.
    pub fn begins_poll(&self) {
        self.is_settled.store(false, Ordering::Relaxed);
    }

    /// Notes a poll that gave no message but progress.
    pub fn ends_poll(&self) {
        self.is_settled.store(!self.is_telling(), Ordering::Release);
    }

    /// Whether the connection has taken every message of the stream. Read `delivered` first: a message that comes in between then counts as not taken.
    pub fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Acquire)
    }

    /// Notes the end of the stream.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Whether the taken marks, or the snapshot, are not completely sent yet.
    pub fn is_telling(&self) -> bool {
        self.is_telling.load(Ordering::Relaxed)
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn want_progress(&self, revision: Revision) {
        self.progress_at.fetch_max(revision.next().0, Ordering::AcqRel);
    }

    /// Whether `reached` satisfies the requested revision.
    pub fn wants_progress_by(&self, reached: Revision) -> bool {
        self.progress_at.load(Ordering::Acquire) <= reached.next().0
    }

    /// Whether to send a progress message: the progress interval has passed, or a message was requested for a revision that `reached` satisfies.
    /// Takes the request.
    pub fn take_progress(&self, reached: Revision) -> bool {
        let wanted = self.progress_at.load(Ordering::Acquire);
        let asked = wanted != 0
            && wanted <= reached.next().0
            && self.progress_at.compare_exchange(wanted, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        self.progress_due.swap(false, Ordering::AcqRel) || asked
    }

    /// The stream sends a message of this revision.
    pub fn sends(&self, revision: Revision, tick: Tick) {
        self.revision.store(revision.0, Ordering::Release);
        self.sends_at(tick);
    }

    /// Notes a message of the stream.
    pub fn sends_at(&self, tick: Tick) {
        self.sent_at.store(tick.0, Ordering::Relaxed);
        self.progress_due.store(false, Ordering::Relaxed);
    }

    /// Checks whether the progress interval has passed, and then requests a progress message. Gives the time of the next check.
    pub fn look_at_silence(&self, now: Tick) -> (bool, Tick) {
        let ticks = u64::from(self.progress_ticks);
        let due = self.sent_at.load(Ordering::Relaxed) + ticks;
        match due <= now.0 {
            true => {
                self.progress_due.store(true, Ordering::Release);
                (true, Tick(now.0 + ticks))
            }
            false => (false, Tick(due)),
        }
    }

    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The waker of the stream. `None` if the stream is awake, and will be polled.
    pub fn take_waker(&self) -> Option<Waker> {
        self.waker.take()
    }

    pub fn wake(&self) {
        self.waker.wake();
    }
}

/// Sorts the marks, and keeps the newest mark of each target.
fn clean(marks: &mut Vec<Mark>) {
    // Equal ones stay in the order in which they came: of these the first stays, so the newest must be it.
    marks.reverse();
    marks.sort_by(|a, b| a.key().cmp(&b.key()));
    marks.dedup_by(|a, b| a.key() == b.key());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(place: u32, revision: u64) -> Mark {
        Mark { place, told: None, revision: Revision(revision) }
    }

    fn places(marks: Vec<Mark>) -> Vec<u32> {
        marks.into_iter().map(|mark| mark.place).collect()
    }

    #[test]
    fn marks_of_a_stream_that_is_not_read_stay_bounded() {
        let subscriber = Subscriber::anonymous(SubscriberId(1), 1);
        for round in 0..10_000 {
            subscriber.mark(mark(round % 7, round.into()));
        }
        assert!(subscriber.marks().list.capacity() <= 64);
        assert_eq!(places(subscriber.take_marks(Revision(10_000))), [0, 1, 2, 3, 4, 5, 6]);
        assert!(subscriber.take_marks(Revision(10_000)).is_empty());
    }

    #[test]
    fn the_first_mark_of_a_revision_wakes_and_one_of_a_later_state_is_kept() {
        let subscriber = Subscriber::anonymous(SubscriberId(1), 1);
        assert!(subscriber.mark(mark(1, 5)));
        assert!(!subscriber.mark(mark(0, 5)));
        assert!(subscriber.mark(mark(0, 6)));
        assert!(!subscriber.mark(mark(1, 6)));
        // Both are looked at in revision 5, and in 6 again.
        assert_eq!(places(subscriber.take_marks(Revision(5))), [0, 1]);
        assert_eq!(places(subscriber.take_marks(Revision(6))), [0, 1]);
        assert!(subscriber.take_marks(Revision(6)).is_empty());
        assert!(subscriber.mark(mark(1, 7)));
    }

    #[test]
    fn progress_is_given_once_when_the_revision_is_reached() {
        let subscriber = Subscriber::anonymous(SubscriberId(1), 1);
        assert!(!subscriber.take_progress(Revision(9)));
        subscriber.want_progress(Revision(5));
        assert!(!subscriber.take_progress(Revision(4)));
        assert!(subscriber.take_progress(Revision(5)));
        assert!(!subscriber.take_progress(Revision(6)));
        subscriber.want_progress(Revision(0));
        assert!(subscriber.take_progress(Revision(0)));
        // What is wanted of the first commit is not said before it.
        subscriber.want_progress(Revision(1));
        assert!(!subscriber.wants_progress_by(Revision(0)) && !subscriber.take_progress(Revision(0)));
        assert!(subscriber.wants_progress_by(Revision(1)) && subscriber.take_progress(Revision(1)));
    }

    #[test]
    fn silence_is_told_when_it_is_as_long_as_was_asked_and_not_before() {
        let subscriber = Subscriber::anonymous(SubscriberId(1), 10);
        subscriber.sends_at(Tick(100));
        assert_eq!(subscriber.look_at_silence(Tick(109)), (false, Tick(110)));
        subscriber.sends_at(Tick(105));
        assert_eq!(subscriber.look_at_silence(Tick(110)), (false, Tick(115)));
        assert_eq!(subscriber.look_at_silence(Tick(115)), (true, Tick(125)));
        assert!(subscriber.take_progress(Revision(1)) && !subscriber.take_progress(Revision(1)));
        assert_eq!(subscriber.look_at_silence(Tick(125)), (true, Tick(135)));
        // It says something else instead.
        subscriber.sends_at(Tick(126));
        assert!(!subscriber.take_progress(Revision(1)));
    }
}
