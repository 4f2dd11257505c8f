//! Caches the newest commits for readers that follow the journal: the first reader loads them, and all others share them. Knows nothing of
//! the readers.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;

use crate::model::{Namespace, Revision};
use crate::store::{Forgotten, Journal, Sealed};

use crate::engine::blocking::blocking;
use crate::engine::error::Error;

/// Content that is read from the journal at once.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// Commits that are kept, and about how many bytes of them beside the newest: enough for readers that are a little behind.
const COMMITS_MAX: usize = 256;
const BYTES_MAX: usize = 4 << 20;

/// Who reads from here does not keep the store open.
pub(in crate::engine) struct Recent {
    journal: Weak<dyn Journal>,
    /// Held while the journal is read: those who wait need the same commits.
    kept: Mutex<Kept>,
}

/// Without gaps, oldest first.
#[derive(Default)]
struct Kept {
    commits: VecDeque<Arc<Sealed>>,
    bytes: usize,
    /// What the journal had forgotten by then: what it forgets since is not given out.
    forgotten: Forgotten,
}

impl Recent {
    pub fn new(journal: &Arc<dyn Journal>) -> Recent {
        Recent { journal: Arc::downgrade(journal), kept: Mutex::default() }
    }

    /// The oldest revision that can be read.
    pub fn oldest(&self) -> Result<Revision, Error> {
        Ok(self.journal()?.oldest())
    }

    /// The oldest revision of which all changes of a namespace can be read.
    pub fn oldest_of(&self, namespace: &Namespace) -> Result<Revision, Error> {
        Ok(self.journal()?.oldest_of(namespace))
    }

    /// Some commits from `from` on, in order; none if there is none yet. Dropping the future loses nothing.
    pub async fn read(&self, from: Revision) -> Result<Vec<Arc<Sealed>>, Error> {
        let forgotten = self.journal()?.forgotten();
        let mut kept = self.kept.lock().await;
        if kept.forgotten != forgotten {
            *kept = Kept { forgotten, ..Kept::default() };
        }
        if let Some(commits) = kept.after(from) {
            return Ok(commits);
        }
        if kept.commits.front().is_some_and(|oldest| from < oldest.commit.revision) {
            // Who is far behind must not push out what the others are about to need.
            drop(kept);
            return self.read_journal(from).await;
        }
        let commits = self.read_journal(from).await?;
        kept.extend(&commits);
        Ok(commits)
    }

    async fn read_journal(&self, from: Revision) -> Result<Vec<Arc<Sealed>>, Error> {
        let journal = self.journal()?;
        let page = blocking(move || journal.commits(from, PAGE_BYTES_MAX)).await??;
        Ok(page.into_iter().map(Arc::new).collect())
    }

    fn journal(&self) -> Result<Arc<dyn Journal>, Error> {
        self.journal.upgrade().ok_or(Error::Draining { retry_after: crate::engine::RETRY_AFTER })
    }
}

impl Kept {
    /// Those from `from` on, if that is one of them: at least one, and not more than a page.
    fn after(&self, from: Revision) -> Option<Vec<Arc<Sealed>>> {
        let oldest = self.commits.front()?.commit.revision;
        let skipped = usize::try_from(from.0.checked_sub(oldest.0)?).ok()?;
        let mut bytes = 0;
        let fits = |sealed: &&Arc<Sealed>| {
            let is_first = bytes == 0;
            bytes += sealed.memory_bytes();
            is_first || bytes <= PAGE_BYTES_MAX
        };
        (skipped < self.commits.len())
            .then(|| self.commits.iter().skip(skipped).take_while(fits).cloned().collect())
    }

    /// Adds newer ones. Forgets what is before a gap, and what is too much.
    fn extend(&mut self, commits: &[Arc<Sealed>]) {
        for sealed in commits {
            let newest = self.commits.back().map(|newest| newest.commit.revision.next());
            if newest.is_some_and(|next| next != sealed.commit.revision) {
                *self = Kept { forgotten: self.forgotten.clone(), ..Kept::default() };
            }
            self.bytes += sealed.memory_bytes();
            self.commits.push_back(sealed.clone());
            while self.commits.len() > COMMITS_MAX || (self.commits.len() > 1 && self.bytes > BYTES_MAX) {
                let oldest = self.commits.pop_front().expect("there are several");
                self.bytes -= oldest.memory_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{
        Author, Commit, ConfigChange, ConfigId, ConfigName, Content, Epoch, LayerChange, LayerKey, Namespace,
        Scope, Source, Timestamp, Version,
    };
    use crate::store::MemoryStore;

    fn commit(revision: u64, bytes: usize) -> Commit {
        let id = ConfigId {
            namespace: Namespace::parse("test").expect("a name"),
            config: ConfigName::parse("app").expect("a name"),
        };
        let content = Content::of(&serde_json::json!({ "text": "x".repeat(bytes) }));
        let key = LayerKey::base(Scope::global());
        let layer = LayerChange { key, content: Some(content), expires: None, format: None };
        let change = ConfigChange {
            id,
            version: Version(revision),
            layers: vec![layer],
            tags: vec![],
            restored: None,
        };
        Commit {
            revision: Revision(revision),
            time: Timestamp(0),
            author: Author::default(),
            source: Source::Set,
            reason: String::new(),
            request: None,
            annotations: BTreeMap::new(),
            changes: vec![change],
            forgotten: vec![],
        }
    }

    fn store(commits: std::ops::RangeInclusive<u64>) -> Arc<dyn Journal> {
        let store = Arc::new(MemoryStore::new(Epoch(1)));
        commits.for_each(|revision| {
            store.append(&[commit(revision, 10)]).expect("it is appended");
        });
        store
    }

    fn revisions(commits: &[Arc<Sealed>]) -> Vec<u64> {
        commits.iter().map(|sealed| sealed.commit.revision.0).collect()
    }

    #[tokio::test]
    async fn readers_who_are_as_far_share_what_one_of_them_read() {
        let store = store(1..=3);
        let recent = Recent::new(&store);
        let first = recent.read(Revision(2)).await.expect("it is read");
        let second = recent.read(Revision(3)).await.expect("it is read");
        assert_eq!((revisions(&first), revisions(&second)), (vec![2, 3], vec![3]));
        assert!(Arc::ptr_eq(&first[1], &second[0]), "the journal is read once");
        assert!(recent.read(Revision(4)).await.expect("it is read").is_empty());
        store.append(&[commit(4, 10)]).expect("it is appended");
        assert_eq!(revisions(&recent.read(Revision(4)).await.expect("it is read")), [4]);
    }

    #[tokio::test]
    async fn who_is_behind_reads_the_journal_and_leaves_the_newest_to_the_others() {
        let store = store(1..=9);
        let recent = Recent::new(&store);
        let newest = recent.read(Revision(9)).await.expect("it is read");
        let all = recent.read(Revision(1)).await.expect("it is read");
        assert_eq!(revisions(&all), (1..=9).collect::<Vec<_>>());
        assert!(Arc::ptr_eq(&newest[0], &recent.read(Revision(9)).await.expect("it is read")[0]));
    }

    #[tokio::test]
    async fn a_reader_does_not_keep_the_store_open() {
        let store = store(1..=1);
        let recent = Recent::new(&store);
        drop(store);
        assert!(matches!(recent.read(Revision(1)).await, Err(Error::Draining { .. })));
    }

    #[test]
    fn what_is_kept_is_bounded_and_without_gaps() {
        let sealed = |revision, bytes| {
            Arc::new(Sealed { commit: commit(revision, bytes), hash: crate::model::Digest::ZERO })
        };
        let mut kept = Kept::default();
        (1..=2000).for_each(|revision| kept.extend(&[sealed(revision, 10)]));
        assert_eq!(kept.commits.len(), COMMITS_MAX);
        assert_eq!(kept.after(Revision(2000)).map(|commits| revisions(&commits)), Some(vec![2000]));
        (2001..=2010).for_each(|revision| kept.extend(&[sealed(revision, 1 << 20)]));
        assert_eq!(kept.commits.len(), 3);
        kept.extend(&[sealed(3000, 10)]);
        assert_eq!((kept.commits.len(), kept.after(Revision(2010))), (1, None));
    }
}
