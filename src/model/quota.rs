//! How much a namespace may have. Knows no names, and not how much there is.

use std::str::FromStr;

/// What is limited of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Configs that have a layer, those that govern others included.
    Configs,
    /// Content of all layers, as it is stored.
    Bytes,
    /// Targets that watch streams follow in it, each as often as it is followed.
    Watchers,
    /// What the journal keeps of its history.
    JournalBytes,
    /// What may be added to the journal in a minute, on average; four times as much at once.
    JournalBytesPerMinute,
}

/// How many minutes' worth of journal a namespace may write at once, after it has written nothing for as long.
pub const JOURNAL_BURST_MINUTES: u64 = 4;

/// How much there may be. `None`: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    pub configs: Option<u64>,
    pub bytes: Option<u64>,
    pub watchers: Option<u64>,
    pub journal_bytes: Option<u64>,
    pub journal_bytes_per_minute: Option<u64>,
}

impl Default for Quotas {
    /// More than a team needs, and less than would be in the way of all others.
    fn default() -> Quotas {
        Quotas {
            configs: Some(100_000),
            bytes: Some(1 << 30),
            watchers: Some(1_000_000),
            journal_bytes: None,
            journal_bytes_per_minute: Some(64 << 20),
        }
    }
}

impl Quota {
    pub const ALL: [Quota; 5] =
        [Quota::Configs, Quota::Bytes, Quota::Watchers, Quota::JournalBytes, Quota::JournalBytesPerMinute];

    /// In settings, documents, errors and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Quota::Configs => "configs",
            Quota::Bytes => "bytes",
            Quota::Watchers => "watchers",
            Quota::JournalBytes => "journal_bytes",
            Quota::JournalBytesPerMinute => "journal_bytes_per_minute",
        }
    }
}

impl Quotas {
    /// Any number of everything.
    pub const UNLIMITED: Quotas = Quotas {
        configs: None,
        bytes: None,
        watchers: None,
        journal_bytes: None,
        journal_bytes_per_minute: None,
    };

    pub fn get(&self, quota: Quota) -> Option<u64> {
        match quota {
            Quota::Configs => self.configs,
            Quota::Bytes => self.bytes,
            Quota::Watchers => self.watchers,
            Quota::JournalBytes => self.journal_bytes,
            Quota::JournalBytesPerMinute => self.journal_bytes_per_minute,
        }
    }

    /// 0 says that any number is allowed.
    pub fn set(&mut self, quota: Quota, limit: u64) {
        let place = match quota {
            Quota::Configs => &mut self.configs,
            Quota::Bytes => &mut self.bytes,
            Quota::Watchers => &mut self.watchers,
            Quota::JournalBytes => &mut self.journal_bytes,
            Quota::JournalBytesPerMinute => &mut self.journal_bytes_per_minute,
        };
        *place = (limit > 0).then_some(limit);
    }
}

impl FromStr for Quota {
    type Err = String;

    fn from_str(name: &str) -> Result<Quota, String> {
        let found = Quota::ALL.into_iter().find(|quota| quota.as_str() == name);
        let names = || Quota::ALL.map(Quota::as_str).join(", ");
        found.ok_or_else(|| format!("there is no quota {name:?}; there are {}", names()))
    }
}
