//! Fair locks of configs that many writers change at once, so that the slowest writer is not overtaken for ever. Knows configs by
//! their ids only.
//!
//! Most writers take no lock: a plan is valid if no other writer was faster. A writer that was overtaken too often takes the lock of each config
//! of the write; as long as a writer holds or awaits the lock of a config, all writers of the config take the lock, in order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Mutex as FairMutex, OwnedMutexGuard};

use crate::model::ConfigId;

/// The configs whose locks are held or awaited now.
#[derive(Default)]
pub(in crate::engine) struct FairLocks(Mutex<HashMap<ConfigId, Arc<FairMutex<()>>>>);

/// The locks of some configs, held or awaited. Dropping the value releases the locks, or gives up the wait.
pub(in crate::engine) struct HeldLocks {
    turns: Arc<FairLocks>,
    configs: Vec<(ConfigId, Option<OwnedMutexGuard<()>>)>,
}

impl FairLocks {
    /// Whether a writer holds or awaits the lock of one of these configs.
    pub fn are_taken(&self, ids: &[ConfigId]) -> bool {
        let turns = self.lock();
        !turns.is_empty() && ids.iter().any(|id| turns.contains_key(id))
    }

    /// Whether no lock is held or awaited.
    pub fn are_none(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes the locks. `ids` must be sorted, so that no two writers wait for each other.
    pub async fn take(self: &Arc<FairLocks>, ids: &[ConfigId]) -> HeldLocks {
        debug_assert!(ids.is_sorted());
        let mut turn = HeldLocks { turns: self.clone(), configs: Vec::with_capacity(ids.len()) };
        for id in ids {
            let mutex = self.lock().entry(id.clone()).or_default().clone();
            turn.configs.push((id.clone(), None));
            let guard = mutex.lock_owned().await;
            turn.configs.last_mut().expect("it was pushed above").1 = Some(guard);
        }
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConfigId, Arc<FairMutex<()>>>> {
        self.0.lock().expect("nobody panics under this lock")
    }
}

impl Drop for HeldLocks {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        for (id, guard) in self.configs.drain(..) {
            drop(guard);
            // Every writer that holds or awaits the lock has a clone, and took the clone under this mutex.
            if turns.get(&id).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
                turns.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::model::{ConfigName, Namespace};

    fn id(name: &str) -> ConfigId {
        let namespace = Namespace::parse("test").expect("a name");
        ConfigId { namespace, config: ConfigName::parse(name).expect("a name") }
    }

    #[tokio::test]
    async fn turns_come_in_order_and_leave_nothing_behind() {
        let turns = Arc::new(FairLocks::default());
        let (both, one) = ([id("a"), id("b")], [id("b")]);
        let first = turns.take(&both).await;
        assert!(turns.are_taken(&one) && !turns.are_taken(&[id("c")]));
        let mut second = Box::pin(turns.take(&one));
        let mut third = Box::pin(turns.take(&both));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending(), "the second is before it");
        // Who gives up while waiting holds nobody up.
        drop(second);
        let third = third.await;
        assert!(turns.are_taken(&both));
        drop(third);
        assert!(turns.lock().is_empty());
    }
}
