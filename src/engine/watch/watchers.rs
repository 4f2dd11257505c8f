//! How many targets are followed in each namespace, and whether there may be more. Knows no stream.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::auth::is_reserved;
use crate::model::Namespace;
use crate::model::quota::Quota;

use super::super::error::Error;
use super::super::state::State;
use super::super::usage;

/// Each target as often as it is followed; a whole namespace is one.
#[derive(Debug, Default)]
pub(super) struct WatcherCounts {
    of: HashMap<Namespace, u64>,
}

impl WatcherCounts {
    pub fn of(&self, namespace: &Namespace) -> u64 {
        self.of.get(namespace).copied().unwrap_or_default()
    }

    /// Counts the targets of a stream, by their namespaces. All of them or, if that is too much for one namespace, none.
    pub fn add<'a>(
        &mut self,
        targets: impl Iterator<Item = &'a Namespace> + Clone,
        state: &State,
    ) -> Result<(), Error> {
        for (added, namespace) in targets.clone().enumerate() {
            let count = match self.of.get_mut(namespace) {
                Some(count) => count,
                None => self.of.entry(namespace.clone()).or_default(),
            };
            *count += 1;
            let found = *count;
            if is_reserved(namespace) {
                continue;
            }
            if let Err(error) = usage::check(namespace, Quota::Watchers, found, &state.quotas().of(namespace))
            {
                self.remove(targets.take(added + 1));
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn remove<'a>(&mut self, targets: impl Iterator<Item = &'a Namespace>) {
        for namespace in targets {
            if let Entry::Occupied(mut count) = self.of.entry(namespace.clone()) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }
}
