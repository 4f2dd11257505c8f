//! Counts commits and refused writes, for metrics. Knows no reader of the counts.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::model::quota::Quota;
use crate::model::{Commit, Histogram, Source};

use crate::engine::error::{Error, Limit};

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
    /// Writes that would have made the journal of their namespace larger than it may be, or faster than it may grow.
    pub refused_for_journal_bytes: AtomicU64,
    pub refused_for_journal_rate: AtomicU64,
    /// Writes with a request id of a caller that had as many as are remembered.
    pub refused_for_request_ids: AtomicU64,
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
    pub revert: AtomicU64,
    pub restore: AtomicU64,
}

impl BySource {
    /// All sources of commits: a new one has to be listed here.
    pub fn each(&self) -> [(&'static str, &AtomicU64); 10] {
        let BySource { set, apply, delete, rollback, expiry, tag, schema, migration, revert, restore } = self;
        [
            ("set", set),
            ("apply", apply),
            ("delete", delete),
            ("rollback", rollback),
            ("expiry", expiry),
            ("tag", tag),
            ("schema", schema),
            ("migration", migration),
            ("revert", revert),
            ("restore", restore),
        ]
    }

    pub fn total(&self) -> u64 {
        self.each().iter().map(|(_, count)| count.load(Relaxed)).sum()
    }
}

impl Default for CommitCounts {
    fn default() -> CommitCounts {
        CommitCounts {
            by_source: BySource::default(),
            batches: Histogram::new(&BATCH_BOUNDS),
            refused_for_configs: AtomicU64::new(0),
            refused_for_bytes: AtomicU64::new(0),
            refused_for_journal_bytes: AtomicU64::new(0),
            refused_for_journal_rate: AtomicU64::new(0),
            refused_for_request_ids: AtomicU64::new(0),
        }
    }
}

impl CommitCounts {
    /// Counts a batch that is durable.
    pub(in crate::engine) fn count(&self, batch: &[Commit]) {
        batch.iter().for_each(|commit| _ = self.by_source.of(commit.source).fetch_add(1, Relaxed));
        self.batches.add(batch.len() as u64);
    }

    /// Counts a write that was refused for what a quota allows, or for the request ids of its caller.
    pub(in crate::engine) fn count_refusal(&self, error: &Error) {
        let quota = match error {
            Error::QuotaExceeded { quota, .. } => *quota,
            Error::WritesTooFast { .. } => Quota::JournalBytesPerMinute,
            Error::LimitReached { limit_name: Limit::RequestIds, .. } => {
                self.refused_for_request_ids.fetch_add(1, Relaxed);
                return;
            }
            _ => return,
        };
        match quota {
            Quota::Configs => self.refused_for_configs.fetch_add(1, Relaxed),
            Quota::Bytes => self.refused_for_bytes.fetch_add(1, Relaxed),
            // Streams are counted where they are opened.
            Quota::Watchers => 0,
            Quota::JournalBytes => self.refused_for_journal_bytes.fetch_add(1, Relaxed),
            Quota::JournalBytesPerMinute => self.refused_for_journal_rate.fetch_add(1, Relaxed),
        };
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
            Source::Revert => &self.revert,
            Source::Restore => &self.restore,
        }
    }
}
