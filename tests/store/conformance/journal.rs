//! The cases that every journal must pass, by its contract alone. A bug found in one journal adds a case for all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use confwatch::model::{Commit, Digest, Revision, Timestamp};
use confwatch::store::codec::{CommitFormat, commit_hash, encode_commit_as};
use confwatch::store::{Head, Journal, Sealed, StoredCommit, Summary};

use super::{ALL, JournalSubject, append_batches_with_equal_times, check_revision_at, proven, read};
use crate::script::{Edit, Script, id, key, large, set, tag};

/// Makes a test of each case, for the stores that an expression makes.
macro_rules! journal_conformance {
    ($make:expr) => {
        journal_conformance!(
            $make,
            an_empty_journal_has_no_commits,
            commits_are_read_as_they_were_appended,
            commits_are_chained_by_hashes,
            commits_in_an_older_format_keep_their_hashes,
            a_batch_of_300_commits_is_read_in_pages,
            a_page_is_bounded_by_bytes_but_never_empty,
            summaries_are_those_of_the_commits,
            stored_commits_are_those_of_the_same_pages_with_the_bytes_of_their_formats,
            reading_ahead_of_the_head_finds_nothing,
            commits_that_do_not_follow_are_refused,
            revision_at_finds_the_last_commit_up_to_a_time,
            readers_during_appends_read_whole_batches_only,
        );
    };
    ($make:expr, $($case:ident),* $(,)?) => {
        mod journal {
            use super::*;

            $(
                #[test]
                fn $case() {
                    $crate::conformance::journal::$case(&mut $make);
                }
            )*
        }
    };
}
pub(crate) use journal_conformance;

pub fn an_empty_journal_has_no_commits(subject: &mut dyn JournalSubject) {
    let empty = |journal: &dyn Journal| {
        assert_eq!(journal.head(), Head { revision: Revision(0), time: Timestamp(0), hash: Digest::ZERO });
        assert_eq!(journal.oldest(), Revision(1));
        assert_eq!(journal.append(&[]).expect("nothing to do"), journal.head());
        assert_eq!(journal.commits(Revision(1), ALL).expect("read"), []);
        assert_eq!(journal.summaries(Revision(1), ALL).expect("read"), (vec![], Revision(1)));
        assert_eq!(journal.revision_at(Timestamp(i64::MAX)).expect("read"), None);
        proven(journal);
    };
    empty(&*subject.journal());
    let epoch = subject.journal().epoch();
    subject.reopen();
    empty(&*subject.journal());
    assert_eq!(subject.journal().epoch(), epoch);
}

pub fn commits_are_read_as_they_were_appended(subject: &mut dyn JournalSubject) {
    let mut script = Script::default();
    let mut all = Vec::new();
    for number in 0..10 {
        let commit = script.commit([set("a", "/", number), set("b", "!/x", number), tag("a", "t", Some(1))]);
        let head = subject.journal().append(std::slice::from_ref(&commit)).expect("appended");
        assert_eq!((head.revision, head.time), (commit.revision, commit.time));
        assert_eq!(subject.journal().head(), head);
        all.push(commit);
    }
    assert_eq!(read(&*subject.journal(), 1), all);
    assert_eq!(read(&*subject.journal(), 0), all, "0 means 1");
    assert_eq!(read(&*subject.journal(), 7), all[6..]);
    let head = subject.journal().head();
    subject.reopen();
    assert_eq!(subject.journal().head(), head);
    assert_eq!(read(&*subject.journal(), 1), all);
    proven(&*subject.journal());
}

pub fn commits_are_chained_by_hashes(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    let mut script = Script::default();
    let first = journal.append(&[script.set("a", "/", 1), script.set("a", "/", 2)]).expect("appended");
    let second = journal.append(&[script.set("a", "/", 3)]).expect("appended");
    let hashes: Vec<Digest> =
        journal.commits(Revision(1), ALL).expect("read").iter().map(|sealed| sealed.hash).collect();
    assert_eq!(hashes[1..], [first.hash, second.hash]);
    let mut hash = Digest::ZERO;
    for (commit, found) in read(&*journal, 1).iter().zip(hashes) {
        hash = commit_hash(CommitFormat::default(), hash, commit);
        assert_eq!(found, hash);
    }
}

pub fn commits_in_an_older_format_keep_their_hashes(subject: &mut dyn JournalSubject) {
    let mut script = Script::default();
    let mut commits: Vec<Commit> = (0..6).map(|number| script.set("a", "/", number)).collect();
    // What the older format does not keep of an author.
    commits[3].author.address = "192.0.2.1".to_owned();
    let (old, new) = commits.split_at(3);
    subject.journal().append_as(CommitFormat::WithoutAuthor, old).expect("appended");
    let head = subject.journal().append_as(CommitFormat::WithAuthor, new).expect("appended");
    let mut hash = Digest::ZERO;
    let formats = [CommitFormat::WithoutAuthor; 3].into_iter().chain([CommitFormat::WithAuthor; 3]);
    let hashes: Vec<Digest> = formats
        .zip(&commits)
        .map(|(format, commit)| {
            hash = commit_hash(format, hash, commit);
            hash
        })
        .collect();
    for _ in 0..2 {
        let found = subject.journal().commits(Revision(1), ALL).expect("read");
        assert_eq!(found.iter().map(|sealed| sealed.hash).collect::<Vec<_>>(), hashes);
        assert_eq!(read(&*subject.journal(), 1), commits);
        assert_eq!((subject.journal().head(), head.hash), (head, hash));
        proven(&*subject.journal());
        subject.reopen();
    }
}

pub fn a_batch_of_300_commits_is_read_in_pages(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    let mut script = Script::default();
    let batch: Vec<Commit> =
        (0..300).map(|number| script.set(&format!("c{}", number % 7), "/", number)).collect();
    journal.append(&batch).expect("appended");
    let mut found = Vec::new();
    while found.len() < 300 {
        let page = journal.commits(Revision(found.len() as u64 + 1), 1000).expect("read");
        assert!((1..20).contains(&page.len()), "{} commits in 1000 bytes", page.len());
        found.extend(page.into_iter().map(|sealed| sealed.commit));
    }
    assert_eq!(found, batch);
    proven(&*journal);
}

pub fn a_page_is_bounded_by_bytes_but_never_empty(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    let mut script = Script::default();
    for letter in ['a', 'b', 'c'] {
        let edit = Edit::Set(id("a"), key("/"), large(10_000, letter));
        journal.append(&[script.commit([edit])]).expect("appended");
    }
    let pages = |bytes| journal.commits(Revision(1), bytes).expect("read").len();
    assert_eq!((pages(0), pages(15_000), pages(25_000), pages(ALL)), (1, 1, 2, 3));
}

pub fn summaries_are_those_of_the_commits(subject: &mut dyn JournalSubject) {
    let mut script = Script::default();
    let mut commits: Vec<Commit> = (0..90).map(|number| script.set("a", "/", number)).collect();
    commits.iter_mut().filter(|commit| commit.revision.0 % 3 == 0).for_each(|commit| commit.request = None);
    for batch in commits.chunks(20) {
        subject.journal().append(batch).expect("appended");
    }
    let expected = |from: u64| -> Vec<Summary> {
        commits.iter().filter(|commit| commit.revision.0 >= from).cloned().map(Summary::of).collect()
    };
    for _ in 0..2 {
        let journal = subject.journal();
        for from in [0, 1, 7, 20, 21, 90] {
            let (mut found, mut next) = (vec![], Revision(from));
            while next <= Revision(90) {
                let (page, after) = journal.summaries(next, 1000).expect("read");
                assert!(after > next, "a page has at least one commit");
                found.extend(page);
                next = after;
            }
            assert_eq!((found, next), (expected(from), Revision(91)));
        }
        assert_eq!(journal.summaries(Revision(91), ALL).expect("read"), (vec![], Revision(91)));
        drop(journal);
        subject.reopen();
    }
}

pub fn stored_commits_are_those_of_the_same_pages_with_the_bytes_of_their_formats(
    subject: &mut dyn JournalSubject,
) {
    let mut script = Script::default();
    let commits: Vec<Commit> = (0..90).map(|number| script.set("a", "/", number)).collect();
    let format = |revision: u64| match (revision - 1) / 20 % 2 {
        0 => CommitFormat::WithoutAuthor,
        _ => CommitFormat::WithAuthor,
    };
    for batch in commits.chunks(20) {
        subject.journal().append_as(format(batch[0].revision.0), batch).expect("appended");
    }
    for _ in 0..2 {
        let journal = subject.journal();
        for from in [0, 1, 7, 20, 21, 90, 91] {
            let sealed = journal.commits(Revision(from), 3000).expect("read");
            let stored = journal.stored_commits(Revision(from), 3000).expect("read");
            let expected: Vec<StoredCommit> = sealed
                .iter()
                .map(|Sealed { commit, hash }| {
                    let (revision, time, format) = (commit.revision, commit.time, format(commit.revision.0));
                    let bytes = encode_commit_as(format, commit);
                    StoredCommit { revision, time, format, bytes, hash: *hash }
                })
                .collect();
            assert_eq!(stored, expected);
            assert!(stored.windows(2).all(|two| two[1].follows(two[0].hash) && !two[0].follows(two[1].hash)));
        }
        drop(journal);
        subject.reopen();
    }
}

pub fn reading_ahead_of_the_head_finds_nothing(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    journal.append(&[Script::default().set("a", "/", 1)]).expect("appended");
    assert_eq!(journal.commits(Revision(2), ALL).expect("read"), []);
    assert_eq!(journal.commits(Revision(u64::MAX), ALL).expect("read"), []);
}

pub fn commits_that_do_not_follow_are_refused(subject: &mut dyn JournalSubject) {
    let mut script = Script::default();
    script.set("a", "/", 1);
    let ahead = script.set("a", "/", 2);
    let journal = subject.journal();
    let refused = thread::spawn(move || journal.append(&[ahead]).map(drop)).join();
    assert!(!matches!(refused, Ok(Ok(()))), "a gap was accepted");
}

pub fn revision_at_finds_the_last_commit_up_to_a_time(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    let mut script = Script::default();
    append_batches_with_equal_times(&*journal, &mut script);
    check_revision_at(&*journal, 1);
}

pub fn readers_during_appends_read_whole_batches_only(subject: &mut dyn JournalSubject) {
    let journal = subject.journal();
    let ended = AtomicBool::new(false);
    let mut script = Script::default();
    // Every batch has four commits.
    let batches: Vec<Vec<Commit>> =
        (0..30).map(|_| (0..4).map(|number| script.set("a", "/", number)).collect()).collect();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let head = journal.head();
                    assert_eq!(head.revision.0 % 4, 0, "a batch is there completely or not at all");
                    let from = Revision(head.revision.0.saturating_sub(5).max(1));
                    let commits = journal.commits(from, ALL).expect("read");
                    let last = commits.last().map_or(0, |sealed| sealed.commit.revision.0);
                    assert!(last >= head.revision.0, "the head can be read");
                    assert_eq!(last % 4, 0, "a batch is read completely or not at all");
                }
            });
        }
        batches.iter().for_each(|batch| _ = journal.append(batch).expect("appended"));
        ended.store(true, Ordering::SeqCst);
    });
    proven(&*journal);
}
