//! Counts the bytes of the journal for each namespace, and refuses writes beyond its quotas of size and rate. Knows sizes and quotas; never
//! the journal itself.
//!
//! The sums are exact: each commit counts when it is queued, no longer when its batch fails, and no longer when it is compacted. After a
//! start the history of before is counted beside serving (`retention.rs`); until that is done, `journal_bytes` refuses only what
//! alone is too much.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::quota::{JOURNAL_BURST_MINUTES, Quota};
use crate::model::{Commit, ConfigChange, Namespace, Timestamp};
use crate::validate::NamespaceQuotas;

use crate::engine::error::Error;

/// Namespaces that are remembered for their rate before those that have written nothing for long are forgotten.
const RATES_KEPT: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);

/// Bytes of the journal, by namespace.
pub(in crate::engine) type Sizes = [(Namespace, u64)];

/// The bytes of the journal of all namespaces. Guarded by the lock of the queue.
#[derive(Default)]
pub(in crate::engine) struct JournalBudgets {
    kept: HashMap<Namespace, u64>,
    rates: HashMap<Namespace, Spent>,
}

/// A leaky bucket: the bytes that were written and have not leaked yet.
#[derive(Clone, Copy, Default)]
struct Spent {
    bytes: u64,
    at: Timestamp,
}

impl Spent {
    /// The bytes in the bucket at `now`, for a namespace with this rate per minute.
    fn after(self, now: Timestamp, per_minute: u64) -> u64 {
        let elapsed = self.at.until(now).as_micros();
        let worn_off = elapsed.saturating_mul(u128::from(per_minute)) / MINUTE.as_micros();
        self.bytes.saturating_sub(u64::try_from(worn_off).unwrap_or(u64::MAX))
    }
}

impl JournalBudgets {
    /// The bytes of the journal that belong to a namespace.
    pub fn kept(&self, namespace: &Namespace) -> u64 {
        self.kept.get(namespace).copied().unwrap_or_default()
    }

    /// Refuses a write that would add too much for one of its namespaces. One that only removes layers adds little, and lets the
    /// namespace become smaller: the total does not refuse it.
    pub fn check(
        &self,
        sizes: &Sizes,
        changes: &[ConfigChange],
        quotas: &NamespaceQuotas,
        now: Timestamp,
    ) -> Result<(), Error> {
        for (namespace, bytes) in sizes.iter().filter(|(namespace, _)| !namespace.is_reserved()) {
            let quotas = quotas.of(namespace);
            let found = self.kept(namespace).saturating_add(*bytes);
            let is_removal =
                || changes.iter().filter(|change| change.id.namespace == *namespace).all(only_removes);
            if let Some(limit) = quotas.journal_bytes.filter(|limit| found > *limit)
                && !is_removal()
            {
                let (namespace, quota) = (namespace.clone(), Quota::JournalBytes);
                return Err(Error::QuotaExceeded { namespace, quota, found, limit });
            }
            if let Some(limit) = quotas.journal_bytes_per_minute {
                self.check_rate(namespace, *bytes, limit, now)?;
            }
        }
        Ok(())
    }

    fn check_rate(
        &self,
        namespace: &Namespace,
        bytes: u64,
        per_minute: u64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let spent = self.rates.get(namespace).map_or(0, |spent| spent.after(now, per_minute));
        let burst = per_minute.saturating_mul(JOURNAL_BURST_MINUTES);
        let excess = spent.saturating_add(bytes).saturating_sub(burst);
        // A write that is larger than the burst is accepted when the bucket is empty: otherwise no such write could ever be made.
        if excess == 0 || spent == 0 {
            return Ok(());
        }
        let seconds = excess.min(spent) as f64 * MINUTE.as_secs_f64() / per_minute as f64;
        let namespace = namespace.clone();
        Err(Error::WritesTooFast { namespace, per_minute, burst, wait: Duration::from_secs_f64(seconds) })
    }

    /// Counts a commit that is queued.
    pub fn add(&mut self, commit: &Commit, quotas: &NamespaceQuotas) {
        for (namespace, bytes) in commit.journal_bytes() {
            if let Some(per_minute) = quotas.of(&namespace).journal_bytes_per_minute
                && !namespace.is_reserved()
            {
                self.forget_old_rates(quotas, commit.time);
                let spent = self.rates.entry(namespace.clone()).or_default();
                let bytes = spent.after(commit.time, per_minute).saturating_add(bytes);
                *spent = Spent { bytes, at: commit.time };
            }
            *self.kept.entry(namespace).or_default() += bytes;
        }
    }

    /// Takes back commits that did not come about. What they took of the rate stays taken: a disk that is full gets no more writes for it.
    pub fn take_back(&mut self, commits: &[Commit]) {
        commits.iter().for_each(|commit| self.forget(&commit.journal_bytes()));
    }

    /// Counts history of before the start.
    pub fn add_history(&mut self, sizes: &HashMap<Namespace, u64>) {
        for (namespace, bytes) in sizes {
            *self.kept.entry(namespace.clone()).or_default() += bytes;
        }
    }

    /// No longer counts what was compacted.
    pub fn forget<'a>(&mut self, sizes: impl IntoIterator<Item = &'a (Namespace, u64)>) {
        for (namespace, bytes) in sizes {
            if let Some(kept) = self.kept.get_mut(namespace) {
                *kept = kept.saturating_sub(*bytes);
                if *kept == 0 {
                    self.kept.remove(namespace);
                }
            }
        }
    }

    fn forget_old_rates(&mut self, quotas: &NamespaceQuotas, now: Timestamp) {
        if self.rates.len() >= RATES_KEPT.max(self.rates.capacity() / 2) {
            self.rates.retain(|namespace, spent| {
                let per_minute = quotas.of(namespace).journal_bytes_per_minute;
                per_minute.is_some_and(|per_minute| spent.after(now, per_minute) > 0)
            });
        }
    }
}

fn only_removes(change: &ConfigChange) -> bool {
    change.layers.iter().all(|layer| layer.content.is_none())
        && change.tags.iter().all(|tag| tag.version.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quota::Quotas;

    const SECOND: i64 = 1_000_000;

    fn namespace() -> Namespace {
        Namespace::parse("test").expect("a name")
    }

    /// Writes so many bytes at a second, if it may.
    fn write(budgets: &mut JournalBudgets, bytes: u64, second: i64, per_minute: u64) -> Result<(), Duration> {
        let now = Timestamp(second * SECOND);
        match budgets.check_rate(&namespace(), bytes, per_minute, now) {
            Ok(()) => {
                let spent = budgets.rates.entry(namespace()).or_default();
                *spent = Spent { bytes: spent.after(now, per_minute) + bytes, at: now };
                Ok(())
            }
            Err(Error::WritesTooFast { wait, .. }) => Err(wait),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_namespace_may_write_a_burst_and_then_its_rate_and_is_told_when() {
        let mut budgets = JournalBudgets::default();
        assert_eq!(write(&mut budgets, 200, 0, 60), Ok(()));
        assert_eq!(write(&mut budgets, 40, 0, 60), Ok(()));
        assert_eq!(write(&mut budgets, 10, 0, 60), Err(Duration::from_secs(10)));
        assert_eq!(write(&mut budgets, 10, 10, 60), Ok(()));
        assert_eq!(write(&mut budgets, 1, 10, 60), Err(Duration::from_secs(1)));
        // After four minutes, all of it is there again.
        assert_eq!(write(&mut budgets, 240, 250, 60), Ok(()));
    }

    #[test]
    fn a_commit_larger_than_the_burst_waits_until_nothing_else_is_left_of_the_rate() {
        let mut budgets = JournalBudgets::default();
        assert_eq!(write(&mut budgets, 10, 0, 60), Ok(()));
        assert_eq!(write(&mut budgets, 500, 0, 60), Err(Duration::from_secs(10)));
        assert_eq!(write(&mut budgets, 500, 10, 60), Ok(()));
        assert!(write(&mut budgets, 1, 10, 60).is_err());
    }

    #[test]
    fn what_is_compacted_or_failed_counts_no_longer() {
        let mut budgets = JournalBudgets::default();
        budgets.add_history(&HashMap::from([(namespace(), 100)]));
        budgets.forget(&[(namespace(), 40)]);
        assert_eq!(budgets.kept(&namespace()), 60);
        let quotas = NamespaceQuotas::of_all(Quotas { journal_bytes: Some(70), ..Quotas::UNLIMITED });
        let check = |bytes| budgets.check(&[(namespace(), bytes)], &[change()], &quotas, Timestamp(0));
        assert!(check(10).is_ok());
        assert!(matches!(check(11), Err(Error::QuotaExceeded { found: 71, limit: 70, .. })));
    }

    fn change() -> ConfigChange {
        use crate::model::{ConfigId, ConfigName, TagChange, TagName, Version};
        let id = ConfigId { namespace: namespace(), config: ConfigName::parse("a").expect("a name") };
        let tag = TagName::parse("t").expect("a tag");
        let tags = vec![TagChange { tag, version: Some(Version(1)), previous: None }];
        ConfigChange { id, version: Version(1), layers: vec![], tags, restored: None }
    }
}
