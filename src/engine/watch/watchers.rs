//! How many configs are followed in each namespace, and whether there may be more. Knows no stream.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::Namespace;
use crate::model::quota::Quota;

use super::super::error::Error;
use super::super::state::State;
use crate::engine::state::usage;

/// What a target follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Watches<'a> {
    /// One config of a namespace.
    One(&'a Namespace),
    /// All of them, now and later.
    All(&'a Namespace),
}

/// Each target as often as it is followed. One that follows a whole namespace counts as the configs that the namespace has.
#[derive(Debug, Default)]
pub(super) struct WatcherCounts {
    of: HashMap<Namespace, Count>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    of_one: u64,
    of_all: u64,
}

impl Watches<'_> {
    fn namespace(&self) -> &Namespace {
        let (Watches::One(namespace) | Watches::All(namespace)) = self;
        namespace
    }

    /// So many configs are followed.
    pub fn configs(&self, state: &State) -> u64 {
        match self {
            Watches::One(_) => 1,
            Watches::All(namespace) => all(namespace, state),
        }
    }
}

impl Count {
    fn of(&mut self, watches: Watches<'_>) -> &mut u64 {
        match watches {
            Watches::One(_) => &mut self.of_one,
            Watches::All(_) => &mut self.of_all,
        }
    }

    fn configs(self, namespace: &Namespace, state: &State) -> u64 {
        match self.of_all {
            0 => self.of_one,
            of_all => self.of_one + of_all.saturating_mul(all(namespace, state)),
        }
    }
}

/// Also an empty namespace is something to follow.
fn all(namespace: &Namespace, state: &State) -> u64 {
    state.usage(namespace).configs.max(1)
}

impl WatcherCounts {
    pub fn of(&self, namespace: &Namespace, state: &State) -> u64 {
        self.of.get(namespace).map_or(0, |count| count.configs(namespace, state))
    }

    /// The targets that follow all of a namespace.
    pub fn all_of(&self, namespace: &Namespace) -> u64 {
        self.of.get(namespace).map_or(0, |count| count.of_all)
    }

    /// Counts the targets of a stream. All of them or, if that is too much for one namespace, none.
    pub fn add<'a>(
        &mut self,
        targets: impl Iterator<Item = Watches<'a>> + Clone,
        state: &State,
    ) -> Result<(), Error> {
        for (added, target) in targets.clone().enumerate() {
            let namespace = target.namespace();
            let count = match self.of.get_mut(namespace) {
                Some(count) => count,
                None => self.of.entry(namespace.clone()).or_default(),
            };
            *count.of(target) += 1;
            if namespace.is_reserved() {
                continue;
            }
            let found = count.configs(namespace, state);
            if let Err(error) = usage::check(namespace, Quota::Watchers, found, &state.quotas().of(namespace))
            {
                self.remove(targets.take(added + 1));
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn remove<'a>(&mut self, targets: impl Iterator<Item = Watches<'a>>) {
        for target in targets {
            if let Entry::Occupied(mut count) = self.of.entry(target.namespace().clone()) {
                *count.get_mut().of(target) -= 1;
                if *count.get() == Count::default() {
                    count.remove();
                }
            }
        }
    }
}
