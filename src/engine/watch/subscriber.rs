//! What the hub holds of a stream: marks of what to look at, and how to wake it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::model::{ConfigName, Revision};

/// The hub's end of a stream.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub id: SubscriberId,
    marks: Mutex<Marks>,
    /// A progress message is wanted once the hub has the revision before this one; 0: none is.
    progress_at: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SubscriberId(pub u64);

/// The targets of a stream that may have changed: bounded by what the stream follows.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Places of targets in the request; may repeat.
    targets: Vec<u32>,
    /// For targets that follow a whole namespace: which of its configs.
    configs: BTreeSet<(u32, ConfigName)>,
}

impl Subscriber {
    pub fn new(id: SubscriberId) -> Subscriber {
        Subscriber { id, marks: Mutex::default(), progress_at: AtomicU64::new(0), waker: Mutex::new(None) }
    }

    pub fn mark(&self, target: u32) {
        let targets = &mut self.marks.lock().expect("nobody panics under this lock").targets;
        // Sorted and cleaned whenever it doubles: a stream that is not read stays bounded.
        if targets.len() == targets.capacity() {
            targets.sort_unstable();
            targets.dedup();
        }
        if targets.last() != Some(&target) {
            targets.push(target);
        }
    }

    pub fn mark_config(&self, target: u32, config: &ConfigName) {
        self.marks.lock().expect("nobody panics under this lock").configs.insert((target, config.clone()));
    }

    /// What was marked since the last time, in the order of the request: a place, and the config if it is one of many.
    pub fn take_marks(&self) -> Vec<(u32, Option<ConfigName>)> {
        let marks = std::mem::take(&mut *self.marks.lock().expect("nobody panics under this lock"));
        let mut targets: Vec<_> = marks.targets.into_iter().map(|target| (target, None)).collect();
        targets.extend(marks.configs.into_iter().map(|(target, config)| (target, Some(config))));
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    pub fn want_progress(&self, revision: Revision) {
        self.progress_at.fetch_max(revision.next().0, Ordering::AcqRel);
    }

    /// `reached` satisfies what was asked for, if anything.
    pub fn wants_progress_by(&self, reached: Revision) -> bool {
        self.progress_at.load(Ordering::Acquire) <= reached.next().0
    }

    /// Whether progress was asked for that `reached` satisfies. The wish is then gone.
    pub fn take_progress(&self, reached: Revision) -> bool {
        let wanted = self.progress_at.load(Ordering::Acquire);
        wanted != 0
            && wanted <= reached.next().0
            && self.progress_at.compare_exchange(wanted, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub fn register(&self, waker: &Waker) {
        let mut current = self.waker.lock().expect("nobody panics under this lock");
        match current.as_mut() {
            Some(current) => current.clone_from(waker),
            None => *current = Some(waker.clone()),
        }
    }

    pub fn wake(&self) {
        let waker = self.waker.lock().expect("nobody panics under this lock").clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_a_stream_that_is_not_read_stay_bounded() {
        let subscriber = Subscriber::new(SubscriberId(1));
        for round in 0..10_000 {
            subscriber.mark(round % 7);
        }
        assert!(subscriber.marks.lock().expect("not poisoned").targets.capacity() <= 64);
        let taken: Vec<_> = subscriber.take_marks().into_iter().map(|(target, _)| target).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
        assert!(subscriber.take_marks().is_empty());
    }

    #[test]
    fn progress_is_given_once_when_the_revision_is_reached() {
        let subscriber = Subscriber::new(SubscriberId(1));
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
}
