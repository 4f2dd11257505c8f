//! Counts the followed configs of each namespace, and limits them by quota. Knows no stream.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::model::Namespace;
use crate::model::quota::Quota;

use super::super::error::Error;
use super::super::state::State;
use crate::engine::state::usage;

/// The configs that a target follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Watches<'a> {
    /// One config of a namespace.
    One(&'a Namespace),
    /// All configs of the namespace, now and later.
    All(&'a Namespace),
}

/// The number of streams of each target. A target that follows a whole namespace counts as the configs that the namespace has.
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

    /// The number of followed configs.
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

/// An empty namespace counts as one config.
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

    /// Counts the targets of a stream: all of them or, if a quota does not allow them, none.
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
