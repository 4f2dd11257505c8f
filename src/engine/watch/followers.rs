//! The streams that follow one target, in the order in which they were added. Knows nothing of the target.

use std::sync::Arc;

use super::subscriber::Subscriber;
use super::subscriber_id::SubscriberId;

/// A list, sorted by stream and place in its request. Streams are added with growing ids, but for few, so that sorting costs nothing; a removed stream
/// leaves a gap until half of the list is gaps. So many thousands of streams cost little more than their pointers, and adding or removing a stream
/// does not move all the others.
#[derive(Default)]
pub(super) struct Followers {
    entries: Vec<Entry>,
    gaps: usize,
}

struct Entry {
    id: SubscriberId,
    place: u32,
    /// `None`: the stream was removed.
    subscriber: Option<Arc<Subscriber>>,
}

impl Followers {
    /// Adds a stream, nearly always the newest one: an older stream follows another target once the permissions of its client change.
    pub fn add(&mut self, subscriber: &Arc<Subscriber>, place: u32) {
        let id = subscriber.id;
        if self.entries.is_empty() {
            // Most targets have one follower, or very many.
            self.entries.reserve_exact(1);
        }
        let entry = Entry { id, place, subscriber: Some(subscriber.clone()) };
        if self.entries.last().is_none_or(|last| (last.id, last.place) < (id, place)) {
            return self.entries.push(entry);
        }
        match self.entries.binary_search_by_key(&(id, place), |entry| (entry.id, entry.place)) {
            // The stream was in the list before.
            Ok(at) => {
                let before = std::mem::replace(&mut self.entries[at], entry);
                self.gaps -= usize::from(before.subscriber.is_none());
            }
            Err(at) => self.entries.insert(at, entry),
        }
    }

    pub fn remove(&mut self, id: SubscriberId, place: u32) {
        let at = self.entries.binary_search_by_key(&(id, place), |entry| (entry.id, entry.place));
        let Some(entry) = at.ok().map(|at| &mut self.entries[at]) else {
            return;
        };
        self.gaps += usize::from(entry.subscriber.take().is_some());
        if 2 * self.gaps > self.entries.len() {
            self.entries.retain(|entry| entry.subscriber.is_some());
            self.entries.shrink_to(2 * self.entries.len());
            self.gaps = 0;
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len() - self.gaps
    }

    /// Place and stream of each, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Subscriber>)> {
        self.entries.iter().filter_map(|entry| Some((entry.place, entry.subscriber.as_ref()?)))
    }

    /// Place and stream of each after this one.
    pub fn after(&self, id: SubscriberId) -> impl Iterator<Item = (u32, &Arc<Subscriber>)> {
        let from = self.entries.partition_point(|entry| entry.id <= id);
        self.entries[from..].iter().filter_map(|entry| Some((entry.place, entry.subscriber.as_ref()?)))
    }

    /// The first of these, up to a number and with all places of the last stream, to be processed later.
    pub fn slice_after(&self, id: SubscriberId, max: usize) -> Vec<(u32, Arc<Subscriber>)> {
        let mut slice: Vec<(u32, Arc<Subscriber>)> = vec![];
        for (place, subscriber) in self.after(id) {
            if slice.len() >= max && slice.last().is_some_and(|(_, last)| last.id != subscriber.id) {
                break;
            }
            slice.push((place, subscriber.clone()));
        }
        slice
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn who_came_and_did_not_go_is_there(steps in prop::collection::vec((0_u8..5, 0_u64..40, 0_u32..3), 0..200)) {
            let mut followers = Followers::default();
            let mut expected = BTreeSet::new();
            let mut next = 1;
            for (step, id, place) in steps {
                if step < 2 {
                    let subscriber = Arc::new(Subscriber::anonymous(SubscriberId(next), 1));
                    for place in 0..=place {
                        followers.add(&subscriber, place);
                        expected.insert((next, place));
                    }
                    next += 1;
                } else if step == 2 {
                    // Streams that were removed or are open, before others.
                    followers.add(&Arc::new(Subscriber::anonymous(SubscriberId(id), 1)), place);
                    expected.insert((id, place));
                    next = next.max(id + 1);
                } else {
                    followers.remove(SubscriberId(id), place);
                    expected.remove(&(id, place));
                }
                prop_assert_eq!(followers.len(), expected.len());
                prop_assert!(followers.entries.len() <= 2 * expected.len());
                let found: Vec<_> = followers.iter().map(|(place, subscriber)| (subscriber.id.0, place)).collect();
                prop_assert_eq!(found, expected.iter().copied().collect::<Vec<_>>());
                let after: Vec<_> = followers.after(SubscriberId(id)).map(|(_, subscriber)| subscriber.id.0).collect();
                let later = expected.iter().map(|(subscriber, _)| *subscriber);
                prop_assert_eq!(after, later.filter(|subscriber| *subscriber > id).collect::<Vec<_>>());
            }
        }
    }
}
