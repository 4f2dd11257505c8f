//! Proving the chain of commits, of a store that is in use or not: every commit has the hash that its content and the commit before give, and
//! lacks only changes that were forgotten.
//! Knows the journal by what it answers; `History::verify` looks at the indexes, too, and wants the store for itself.

use super::codec::hashes;
use super::{Head, Journal, StoreError};
use crate::model::{Commit, Digest, ForgottenPart, Revision};

/// What is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub commits: u64,
    /// The oldest commit that is retained; 0 if there is none.
    pub first: Revision,
    /// The newest commit that was proved, and its hash.
    pub newest: Revision,
    pub hash: Digest,
    /// The first link that does not hold. Nothing after it was looked at.
    pub broken: Option<Broken>,
}

/// A link that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The commit that is not as it was written. Where several were written together, it can be one of those that follow.
    pub revision: Revision,
    /// Where the damage is on the disk; empty if that is not known.
    pub place: String,
    pub what: String,
}

impl Broken {
    fn at(revision: Revision, what: String) -> Broken {
        Broken { revision, place: String::new(), what }
    }
}

/// Proves the commits up to the head that the journal has now. Blocks.
pub fn prove(journal: &dyn Journal) -> Result<Proof, StoreError> {
    let (head, first) = (journal.head(), journal.oldest());
    let mut proof = Proof {
        commits: 0,
        first: if head == Head::EMPTY { Revision::ZERO } else { first },
        newest: Revision::ZERO,
        hash: Digest::ZERO,
        broken: None,
    };
    // What went before the oldest that is retained is not known, unless nothing did.
    let mut previous = (first <= Revision(1)).then_some(Digest::ZERO);
    let (mut next, mut bytes_max) = (first, PAGE_BYTES_MAX);
    while next <= head.revision {
        let page = match journal.commits(next, bytes_max) {
            // Somewhere in the page: from here on one at a time.
            Err(StoreError::Corrupt { .. }) if bytes_max > 1 => {
                bytes_max = 1;
                continue;
            }
            Err(StoreError::Corrupt { place, what }) => {
                proof.broken = Some(Broken { revision: next, place, what });
                return Ok(proof);
            }
            // It was compacted meanwhile.
            Err(StoreError::Compacted { oldest, .. }) if oldest > next => {
                (next, previous) = (oldest, None);
                continue;
            }
            page => page?,
        };
        if page.is_empty() {
            let what = "it is missing, and so is all that follows".to_owned();
            proof.broken = Some(Broken::at(next, what));
            return Ok(proof);
        }
        for sealed in page.into_iter().take_while(|sealed| sealed.commit.revision <= head.revision) {
            let revision = sealed.commit.revision;
            let wrong = match previous {
                _ if revision != next => Some(format!("it is missing, the next one is {revision}")),
                Some(previous) if hashes(previous, &sealed.commit).all(|hash| hash != sealed.hash) => {
                    let hash = sealed.hash;
                    Some(format!(
                        "its hash {hash} is not that of its content after the commit before, {previous}"
                    ))
                }
                Some(_) | None => None,
            };
            let lacks = || {
                let namespace = &lacking(journal, &sealed.commit)?.namespace;
                Some(format!("its changes of namespace {namespace} are gone, but were not forgotten"))
            };
            if let Some(what) = wrong.or_else(lacks) {
                proof.broken = Some(Broken::at(next, what));
                return Ok(proof);
            }
            previous = Some(sealed.hash);
            proof.commits += 1;
            (proof.newest, proof.hash) = (revision, sealed.hash);
            next = next.next();
        }
    }
    if proof.newest == head.revision && proof.hash != head.hash {
        let what = format!("its hash is {}, the store says that it is {}", proof.hash, head.hash);
        proof.broken = Some(Broken::at(head.revision, what));
    }
    Ok(proof)
}

/// What a commit lacks although its history is retained.
fn lacking<'a>(journal: &dyn Journal, commit: &'a Commit) -> Option<&'a ForgottenPart> {
    commit.forgotten.iter().find(|part| commit.revision >= journal.oldest_of(&part.namespace))
}
