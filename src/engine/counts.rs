//! What became of commits, in numbers. Knows nobody who reads them.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::quota::Quota;
use crate::model::{Commit, Histogram, Source};

use super::error::Error;

/// Commits of one batch.
const BATCH_BOUNDS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

/// Counted since the start.
#[derive(Debug)]
pub struct CommitCounts {
    /// Commits that are durable, by the kind of write that made them.
    pub by_source: BySource,
    /// How many commits became durable together.
    pub batches: Histogram,
    /// Writes that would have made more configs, or more bytes, than their namespace may have.
    pub refused_for_configs: AtomicU64,
    pub refused_for_bytes: AtomicU64,
}

#[derive(Debug, Default)]
pub struct BySource {
    pub set: AtomicU64,
    pub apply: AtomicU64,
    pub delete: AtomicU64,
    pub rollback: AtomicU64,
    pub expiry: AtomicU64,
    pub tag: AtomicU64,
    pub schema: AtomicU64,
    pub migration: AtomicU64,
}

impl Default for CommitCounts {
    fn default() -> CommitCounts {
        CommitCounts {
            by_source: BySource::default(),
            batches: Histogram::new(&BATCH_BOUNDS),
            refused_for_configs: AtomicU64::new(0),
            refused_for_bytes: AtomicU64::new(0),
        }
    }
}

impl CommitCounts {
    /// Counts a batch that is durable.
    pub(super) fn count(&self, batch: &[Commit]) {
        batch.iter().for_each(|commit| _ = self.by_source.of(commit.source).fetch_add(1, Relaxed));
        self.batches.add(batch.len() as u64);
    }

    /// Counts a write that was refused for what a quota allows.
    pub(super) fn count_refusal(&self, error: &Error) {
        if let Error::QuotaExceeded { quota, .. } = error {
            match quota {
                Quota::Configs => self.refused_for_configs.fetch_add(1, Relaxed),
                Quota::Bytes => self.refused_for_bytes.fetch_add(1, Relaxed),
                // Streams are counted where they are opened.
                Quota::Watchers => 0,
            };
        }
    }
}

impl BySource {
    fn of(&self, source: Source) -> &AtomicU64 {
        match source {
            Source::Set => &self.set,
            Source::Apply => &self.apply,
            Source::Delete => &self.delete,
            Source::Rollback => &self.rollback,
            Source::Expiry => &self.expiry,
            Source::Tag => &self.tag,
            Source::Schema => &self.schema,
            Source::Migration => &self.migration,
        }
    }
}
