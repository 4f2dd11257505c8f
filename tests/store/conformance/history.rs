//! The cases that every history must pass, over the journal from which it is folded. A bug found in one store adds a case for all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use confwatch::model::{Commit, ConfigId, Digest, Epoch, Revision, TagName, Timestamp, Version};
use confwatch::store::codec::CommitFormat;
use confwatch::store::{
    Compaction, ConfigRecord, Journal, MemoryStore, Snapshot, Store, StoreError, VersionRef, prove,
};

use super::{
    ALL, HistorySubject, append_batches_with_equal_times, check_revision_at, load, proven, read, sound,
};
use crate::script::{Edit, Script, content, id, key, large, namespace, remove, set, tag};

/// Makes a test of each case, for the stores that an expression makes.
macro_rules! history_conformance {
    ($make:expr) => {
        history_conformance!(
            $make,
            an_empty_journal_has_no_history,
            a_batch_is_folded_whole,
            versions_ahead_of_the_newest_are_not_there,
            versions_are_listed_newest_first,
            version_at_is_what_the_config_had_then,
            a_snapshot_has_exactly_the_layers_of_its_version,
            many_versions_of_one_config_are_found_before_and_after_compactions,
            a_deleted_config_is_empty_and_its_versions_go_on,
            base_and_override_of_one_scope_are_two_layers,
            expiry_is_kept,
            tags_move_and_go_without_a_version,
            names_that_begin_alike_are_not_mixed_up,
            load_visits_the_current_state_in_order,
            load_equals_the_snapshots_of_current_versions,
            load_visits_many_configs_and_many_layers_of_one,
            content_of_1_mib_is_kept_everywhere,
            large_content_is_replaced_by_small_and_back,
            compaction_forgets_commits_and_names_the_oldest,
            compaction_forgets_summaries_and_times,
            compaction_keeps_the_versions_at_the_oldest_revision_and_since,
            compaction_keeps_tagged_versions,
            a_tag_that_moved_keeps_its_version_until_the_next_compaction,
            compaction_is_bounded_by_the_head_and_never_goes_back,
            compaction_anchors_the_chain,
            compaction_keeps_tombstones_that_still_matter,
            what_is_current_survives_every_compaction,
            readers_during_appends_see_whole_commits_only,
            readers_during_compaction_get_an_answer_or_the_oldest,
            forgetting_cuts_the_history_of_one_namespace_and_of_no_other,
            commits_keep_their_hashes_when_changes_are_forgotten,
            changes_in_older_formats_stay_in_their_commits,
            forgetting_keeps_tagged_and_the_newest_versions,
            forgetting_is_bounded_by_the_head_and_never_goes_back,
            a_compaction_of_all_history_goes_on_where_a_namespace_keeps_more_or_less,
            commits_of_another_journal_may_lack_forgotten_changes,
            readers_during_forgetting_get_an_answer_or_the_oldest_of_the_namespace,
        );
    };
    ($make:expr, $($case:ident),* $(,)?) => {
        mod history {
            use super::*;

            $(
                #[test]
                fn $case() {
                    $crate::conformance::history::$case(&mut $make);
                }
            )*
        }
    };
}
pub(crate) use history_conformance;

pub fn an_empty_journal_has_no_history(subject: &mut dyn HistorySubject) {
    let empty = |store: &dyn Store| {
        assert_eq!(store.versions(&id("a"), Version(u64::MAX), 10).expect("read"), []);
        assert_eq!(store.version_at(&id("a"), Revision(1)).expect("read"), None);
        assert_eq!(store.snapshot(&id("a"), Version(1)).expect("read"), None);
        assert_eq!(load(store), (store.head(), vec![]));
        store.compact(Revision(5)).expect("nothing to do");
        assert_eq!(store.oldest(), Revision(1));
        sound(store);
    };
    empty(&*subject.store());
    subject.reopen();
    empty(&*subject.store());
}

pub fn a_batch_is_folded_whole(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let batch: Vec<Commit> = (0..5).map(|number| script.set("a", "/", number)).collect();
    let head = subject.store().append(&batch).expect("appended");
    assert_eq!(head.revision, Revision(5));
    assert_eq!(current(&*subject.store(), "a").at.version, Version(5));
    for version in 1..=5 {
        let snapshot = snapshot(&*subject.store(), "a", version);
        assert_eq!(snapshot.at.revision, Revision(version));
        assert_eq!(snapshot.layers[&key("/")].content, content(version as usize - 1));
    }
    sound(&*subject.store());
}

pub fn versions_ahead_of_the_newest_are_not_there(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    store.append(&[Script::default().set("a", "/", 1)]).expect("appended");
    let at = store.version_at(&id("a"), Revision(u64::MAX)).expect("read").expect("the current one");
    assert_eq!(at.version, Version(1));
    assert_eq!(store.snapshot(&id("a"), Version(2)).expect("read"), None);
    assert_eq!(store.snapshot(&id("a"), Version(0)).expect("read"), None);
    assert_eq!(store.snapshot(&id("a"), Version(u64::MAX)).expect("read"), None);
}

pub fn versions_are_listed_newest_first(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    for number in 0..6 {
        store.append(&[script.set("a", "/", number), script.set("b", "/", number)]).expect("appended");
    }
    let list = |before, limit| {
        let versions = store.versions(&id("b"), Version(before), limit).expect("read");
        versions.iter().map(|at| (at.version.0, at.revision.0, at.time.0)).collect::<Vec<_>>()
    };
    assert_eq!(list(u64::MAX, 2), [(6, 12, 120), (5, 10, 100)]);
    assert_eq!(list(3, 10), [(2, 4, 40), (1, 2, 20)]);
    assert_eq!(list(1, 10), []);
    assert_eq!(list(5, 0), []);
}

pub fn version_at_is_what_the_config_had_then(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    script_of_two(&*store, &mut script);
    let versions = |config| {
        let at = |revision| store.version_at(&id(config), Revision(revision)).expect("read");
        (0..=7).map(|revision| at(revision).map_or(0, |at| at.version.0)).collect::<Vec<_>>()
    };
    // Revisions 1, 2, 5 and 6 change a, 3 and 5 b; 4 is a tag alone.
    assert_eq!(versions("a"), [0, 1, 2, 2, 2, 3, 4, 4]);
    assert_eq!(versions("b"), [0, 0, 0, 1, 1, 2, 2, 2]);
    assert_eq!(versions("c"), [0; 8]);
}

pub fn a_snapshot_has_exactly_the_layers_of_its_version(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    script_of_two(&*subject.store(), &mut script);
    for _ in 0..2 {
        let store = subject.store();
        let layers = |config, version| {
            let snapshot = snapshot(&*store, config, version);
            let layer = |(key, layer): (&_, &confwatch::model::Layer)| {
                assert_eq!(layer.digest(), Digest::of(layer.content.as_str().as_bytes()));
                let key: &confwatch::model::LayerKey = key;
                (key.scope.to_string(), layer.content.clone(), layer.version.0)
            };
            snapshot.layers.iter().map(layer).collect::<Vec<_>>()
        };
        let row = |scope: &str, number, version| (scope.to_owned(), content(number), version);
        assert_eq!(layers("a", 1), [row("/", 1, 1)]);
        assert_eq!(layers("a", 2), [row("/", 1, 1), row("/x", 2, 2)]);
        assert_eq!(layers("a", 3), [row("/", 5, 3), row("/x", 2, 2)]);
        assert_eq!(layers("a", 4), [row("/", 5, 3), row("/y", 6, 4)]);
        assert_eq!(layers("b", 1), [row("/x", 3, 1)]);
        assert_eq!(layers("b", 2), []);
        drop(store);
        subject.reopen();
    }
}

pub fn many_versions_of_one_config_are_found_before_and_after_compactions(subject: &mut dyn HistorySubject) {
    const COUNT: u64 = 700;
    let mut script = Script::default();
    // One layer changes always, the other one seldom; sometimes somebody reads.
    for number in 1..=COUNT as usize {
        let seldom = (number % 100 == 1).then(|| set("a", "/seldom", number));
        subject
            .store()
            .append(&[script.commit([set("a", "/", number)].into_iter().chain(seldom))])
            .expect("appended");
        if number % 64 == 0 {
            assert_eq!(versions(&*subject.store(), "a").len(), number);
        }
    }
    subject.store().append(&[script.commit([tag("a", "t", Some(150))])]).expect("appended");
    let check = |store: &dyn Store, kept: &dyn Fn(u64) -> bool, oldest: u64| {
        let expected: Vec<u64> = (1..=COUNT).filter(|version| kept(*version)).rev().collect();
        assert_eq!(versions(store, "a"), expected);
        let page = store.versions(&id("a"), Version(500), 3).expect("read");
        assert_eq!(page.iter().map(|at| at.version.0).collect::<Vec<_>>(), [499, 498, 497]);
        for version in (1..=COUNT).step_by(7).chain([64, 65, 128, 150, 256, 257, COUNT]) {
            if !kept(version) {
                compacted(store.snapshot(&id("a"), Version(version)));
                continue;
            }
            let snapshot = snapshot(store, "a", version);
            assert_eq!(snapshot.at.revision, Revision(version));
            let content_of = |scope: &str| snapshot.layers[&key(scope)].content.clone();
            assert_eq!(content_of("/"), content(version as usize));
            assert_eq!(content_of("/seldom"), content((version as usize - 1) / 100 * 100 + 1));
            if version >= oldest {
                let at = store.version_at(&id("a"), Revision(version)).expect("read").expect("it is there");
                assert_eq!(at.version, Version(version));
            }
        }
        sound(store);
    };
    check(&*subject.store(), &|_| true, 1);
    subject.reopen();
    check(&*subject.store(), &|_| true, 1);
    for oldest in [130, 131, 256, 300, 450] {
        subject.store().compact(Revision(oldest)).expect("compacted");
        check(&*subject.store(), &|version| version >= oldest || version == 150, oldest);
    }
    subject.reopen();
    check(&*subject.store(), &|version| version >= 450 || version == 150, 450);
}

pub fn a_deleted_config_is_empty_and_its_versions_go_on(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let store = subject.store();
    store.append(&[script.set("a", "/", 1)]).expect("appended");
    store.append(&[script.commit([remove("a", "/")])]).expect("appended");
    let deleted = current(&*store, "a");
    assert_eq!((deleted.at.version, deleted.layers.len()), (Version(2), 0));
    assert!(snapshot(&*store, "a", 2).layers.is_empty());
    drop(store);
    subject.reopen();
    let store = subject.store();
    assert_eq!(current(&*store, "a").at.version, Version(2), "a deleted config is loaded");
    store.append(&[script.set("a", "/", 3)]).expect("appended");
    assert_eq!(snapshot(&*store, "a", 3).layers[&key("/")].version, Version(3));
    assert_eq!(snapshot(&*store, "a", 1).layers[&key("/")].content, content(1));
    sound(&*store);
}

pub fn base_and_override_of_one_scope_are_two_layers(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    store.append(&[script.commit([set("a", "/x", 1), set("a", "!/x", 2)])]).expect("appended");
    store.append(&[script.commit([remove("a", "/x")])]).expect("appended");
    assert_eq!(snapshot(&*store, "a", 1).layers.len(), 2);
    let layers = snapshot(&*store, "a", 2).layers;
    assert_eq!(layers.keys().collect::<Vec<_>>(), [&key("!/x")]);
    sound(&*store);
}

pub fn expiry_is_kept(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let expires = Timestamp(1_000_000);
    let edit = Edit::Expiring(id("a"), key("!/x"), content(1), expires);
    subject.store().append(&[script.commit([edit])]).expect("appended");
    subject.store().append(&[script.set("a", "/", 2), script.set("a", "/", 3)]).expect("appended");
    for compacted in [1, 2, 3] {
        subject.store().compact(Revision(compacted)).expect("compacted");
        subject.reopen();
        assert_eq!(snapshot(&*subject.store(), "a", 3).layers[&key("!/x")].expires, Some(expires));
        let current: BTreeMap<_, _> = current(&*subject.store(), "a").layers.into_iter().collect();
        assert_eq!(current[&key("!/x")].expires, Some(expires));
        assert_eq!(current[&key("/")].expires, None);
    }
    sound(&*subject.store());
}

pub fn tags_move_and_go_without_a_version(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let store = subject.store();
    let tags = |store: &dyn Store| {
        let tags = current(store, "a").tags;
        tags.into_iter().map(|(tag, version)| (tag.as_str().to_owned(), version.0)).collect::<Vec<_>>()
    };
    store
        .append(&[script.set("a", "/", 1), script.commit([set("a", "/", 2), tag("a", "s", Some(1))])])
        .expect("ok");
    assert_eq!(tags(&*store), [("s".to_owned(), 1)]);
    store.append(&[script.commit([tag("a", "s", Some(2)), tag("a", "t", Some(1))])]).expect("appended");
    assert_eq!(tags(&*store), [("s".to_owned(), 2), ("t".to_owned(), 1)]);
    store.append(&[script.commit([tag("a", "t", None)])]).expect("appended");
    drop(store);
    subject.reopen();
    assert_eq!(tags(&*subject.store()), [("s".to_owned(), 2)]);
    assert_eq!(current(&*subject.store(), "a").at.version, Version(2));
    sound(&*subject.store());
}

pub fn names_that_begin_alike_are_not_mixed_up(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    let names = ["a", "a-b", "a.b", "a0", "a_b", "ab"];
    let scopes = ["/", "/a", "/a-b", "/a.b", "/a/b", "/a@b", "/ab"];
    for (number, name) in names.iter().enumerate() {
        let edits = scopes.iter().enumerate().map(|(at, scope)| set(name, scope, number * 100 + at));
        store.append(&[script.commit(edits), script.commit([tag(name, "t", Some(1))])]).expect("appended");
    }
    for (number, name) in names.iter().enumerate() {
        let layers = snapshot(&*store, name, 1).layers;
        assert_eq!(layers.len(), scopes.len());
        for (at, scope) in scopes.iter().enumerate() {
            assert_eq!(layers[&key(scope)].content, content(number * 100 + at));
        }
        assert_eq!(store.versions(&id(name), Version(u64::MAX), 10).expect("read").len(), 1);
        assert_eq!(current(&*store, name).tags, [(TagName::parse("t").expect("a tag"), Version(1))].into());
    }
    store.compact(Revision(9)).expect("compacted");
    sound(&*store);
}

pub fn load_visits_the_current_state_in_order(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let names = ["b", "a", "a.b", "a-b", "ab", "c"];
    for name in names {
        subject.store().append(&[script.commit([set(name, "/x", 1), set(name, "/", 2)])]).expect("appended");
    }
    subject.reopen();
    let (head, records) = load(&*subject.store());
    assert_eq!(head, subject.store().head());
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    assert!(ids.is_sorted() && ids.len() == names.len());
    assert!(records.iter().all(|record| record.layers.is_sorted_by_key(|(key, _)| key.clone())));
}

pub fn load_equals_the_snapshots_of_current_versions(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    script_of_two(&*subject.store(), &mut script);
    for _ in 0..2 {
        let store = subject.store();
        for record in load(&*store).1 {
            let snapshot = store.snapshot(&record.id, record.at.version).expect("read").expect("it is there");
            assert_eq!(record.at, snapshot.at);
            assert_eq!(record.layers, snapshot.layers.into_iter().collect::<Vec<_>>());
        }
        drop(store);
        subject.reopen();
    }
}

pub fn load_visits_many_configs_and_many_layers_of_one(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let scopes = (0..700).map(|number| Edit::Set(id("many"), key(&format!("/s{number}")), content(number)));
    let big = Edit::Set(id("many"), key("/s33/big"), large(200_000, 'x'));
    subject.store().append(&[script.commit(scopes.chain([big]))]).expect("appended");
    let configs = (0..700).map(|number| set(&format!("c{number}"), "/", number));
    subject.store().append(&[script.commit(configs)]).expect("appended");
    subject.store().append(&[script.commit([remove("c7", "/")])]).expect("appended");
    for _ in 0..2 {
        let (_, records) = load(&*subject.store());
        assert!(records.is_sorted_by_key(|record| record.id.clone()) && records.len() == 701);
        for record in records {
            let expected = snapshot(&*subject.store(), record.id.config.as_str(), record.at.version.0);
            assert_eq!(record.layers, expected.layers.into_iter().collect::<Vec<_>>(), "{}", record.id);
        }
        subject.reopen();
    }
}

pub fn content_of_1_mib_is_kept_everywhere(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let edits = |letter| {
        let layer = move |scope: &str| Edit::Set(id("a"), key(scope), large(1 << 20, letter));
        [layer("/"), layer("/x"), layer("!/x")]
    };
    for letter in ['a', 'b', 'c'] {
        subject.store().append(&[script.commit(edits(letter))]).expect("appended");
    }
    let check = |store: &dyn Store, version: u64, letter| {
        let layers = snapshot(store, "a", version).layers;
        assert!(layers.values().all(|layer| layer.content == large(1 << 20, letter)) && layers.len() == 3);
    };
    subject.reopen();
    check(&*subject.store(), 1, 'a');
    assert_eq!(read(&*subject.store(), 1).len(), 3);
    subject.store().append(&[script.commit([tag("a", "old", Some(1))])]).expect("appended");
    subject.store().append(&[script.set("b", "/", 1)]).expect("appended");
    subject.store().compact(Revision(5)).expect("compacted");
    subject.reopen();
    check(&*subject.store(), 1, 'a');
    check(&*subject.store(), 3, 'c');
    assert!(
        current(&*subject.store(), "a").layers.iter().all(|(_, layer)| layer.content == large(1 << 20, 'c'))
    );
    sound(&*subject.store());
}

pub fn large_content_is_replaced_by_small_and_back(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for (number, bytes) in [200_000, 20, 61_440, 61_441, 100, 300_000, 122_900].into_iter().enumerate() {
        let edit = Edit::Set(id("a"), key("/"), large(bytes, 'x'));
        subject.store().append(&[script.commit([edit])]).expect("appended");
        if number % 2 == 1 {
            subject.reopen();
        }
        assert_eq!(current(&*subject.store(), "a").layers[0].1.content, large(bytes, 'x'));
    }
    subject.store().append(&[script.commit([remove("a", "/")])]).expect("appended");
    assert_eq!(current(&*subject.store(), "a").layers, []);
    sound(&*subject.store());
}

pub fn compaction_forgets_commits_and_names_the_oldest(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for number in 0..10 {
        subject
            .store()
            .append(&[script.set("a", "/", number), script.set("b", "/", number)])
            .expect("appended");
    }
    let all = read(&*subject.store(), 1);
    subject.store().compact(Revision(8)).expect("compacted");
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(store.oldest(), Revision(8));
        assert_eq!(compacted(store.commits(Revision(7), ALL)), (7, 8));
        assert_eq!(compacted(store.commits(Revision(0), ALL)), (1, 8));
        assert_eq!(read(&*store, 8), all[7..]);
        assert_eq!(store.revision_at(Timestamp(79)).expect("read"), None);
        // b made its version 4 with revision 8, a its version 4 with revision 7, which it had at 8.
        assert_eq!(compacted(store.snapshot(&id("b"), Version(3))), (7, 8));
        assert_eq!(compacted(store.version_at(&id("a"), Revision(6))), (6, 8));
        assert_eq!(
            store.version_at(&id("a"), Revision(7)).expect("read").map(|at| at.version),
            Some(Version(4))
        );
        assert_eq!(compacted(store.version_at(&id("b"), Revision(0))), (0, 8));
        assert_eq!(store.snapshot(&id("b"), Version(11)).expect("read"), None);
        assert_eq!(store.snapshot(&id("c"), Version(1)).expect("read"), None);
        sound(&*store);
        drop(store);
        subject.reopen();
    }
}

pub fn compaction_forgets_summaries_and_times(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    append_batches_with_equal_times(&*store, &mut script);
    let summaries = |from: u64| store.summaries(Revision(from), ALL);
    let before = summaries(1).expect("read").0;
    for oldest in [1, 3, 6, 12] {
        store.compact(Revision(oldest)).expect("compacted");
        check_revision_at(&*store, oldest);
        assert_eq!(summaries(oldest).expect("read").0, before[oldest as usize - 1..]);
        if oldest > 1 {
            assert_eq!(compacted(summaries(oldest - 1)), (oldest - 1, oldest));
        }
    }
}

pub fn compaction_keeps_the_versions_at_the_oldest_revision_and_since(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    script_of_two(&*subject.store(), &mut script);
    let before: Vec<Snapshot> = (2..=4).map(|version| snapshot(&*subject.store(), "a", version)).collect();
    subject.store().compact(Revision(4)).expect("compacted");
    for _ in 0..2 {
        let store = subject.store();
        let after: Vec<Snapshot> = (2..=4).map(|version| snapshot(&*store, "a", version)).collect();
        assert_eq!(after, before);
        assert_eq!(versions(&*store, "a"), [4, 3, 2]);
        assert_eq!(compacted(store.snapshot(&id("a"), Version(1))), (3, 4));
        assert_eq!(versions(&*store, "b"), [2, 1]);
        drop(store);
        subject.reopen();
    }
    sound(&*subject.store());
}

pub fn compaction_keeps_tagged_versions(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for number in 1..=8 {
        subject
            .store()
            .append(&[script.set("a", "/", number), script.set("a", "/x", number)])
            .expect("appended");
    }
    subject
        .store()
        .append(&[script.commit([tag("a", "s", Some(3)), tag("a", "t", Some(6))])])
        .expect("appended");
    let before: Vec<Snapshot> = [3, 6].map(|version| snapshot(&*subject.store(), "a", version)).into();
    for oldest in [10, 17] {
        subject.store().compact(Revision(oldest)).expect("compacted");
        subject.reopen();
        let store = subject.store();
        assert_eq!([3, 6].map(|version| snapshot(&*store, "a", version)), before[..]);
        let kept: Vec<u64> = (oldest.min(16)..=16).rev().chain([6, 3]).collect();
        assert_eq!(versions(&*store, "a"), kept);
        // When the tagged versions ended is forgotten.
        assert_eq!(compacted(store.version_at(&id("a"), Revision(3))), (3, oldest));
        assert_eq!(compacted(store.version_at(&id("a"), Revision(7))), (7, oldest));
        assert_eq!(compacted(store.snapshot(&id("a"), Version(5))), (oldest - 1, oldest));
        sound(&*store);
    }
}

pub fn a_tag_that_moved_keeps_its_version_until_the_next_compaction(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for number in 1..=4 {
        subject.store().append(&[script.set("a", "/", number)]).expect("appended");
    }
    subject.store().append(&[script.commit([tag("a", "s", Some(1))])]).expect("appended");
    subject.store().compact(Revision(4)).expect("compacted");
    subject.store().append(&[script.commit([tag("a", "s", Some(4))])]).expect("appended");
    subject.reopen();
    for done_already in [1, 4] {
        subject.store().compact(Revision(done_already)).expect("nothing to do");
        assert_eq!(versions(&*subject.store(), "a"), [4, 1]);
    }
    subject.store().compact(Revision(5)).expect("compacted");
    assert_eq!(versions(&*subject.store(), "a"), [4]);
    assert_eq!(compacted(subject.store().snapshot(&id("a"), Version(1))), (4, 5));
    sound(&*subject.store());
}

pub fn compaction_is_bounded_by_the_head_and_never_goes_back(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for number in 1..=5 {
        subject.store().append(&[script.set("a", "/", number)]).expect("appended");
    }
    subject.store().compact(Revision(3)).expect("compacted");
    subject.store().compact(Revision(2)).expect("nothing to do");
    assert_eq!(subject.store().oldest(), Revision(3));
    subject.store().compact(Revision(u64::MAX)).expect("compacted");
    assert_eq!(subject.store().oldest(), Revision(5));
    assert_eq!(read(&*subject.store(), 5).len(), 1);
    subject.reopen();
    subject.store().append(&[script.set("a", "/", 6)]).expect("appended");
    assert_eq!(versions(&*subject.store(), "a"), [6, 5]);
    sound(&*subject.store());
}

pub fn compaction_anchors_the_chain(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    // Batches of three: the oldest is in the middle of one, at its start, at its end.
    for number in 0..4 {
        let batch: Vec<Commit> = (0..3).map(|at| script.set("a", "/", number * 3 + at)).collect();
        subject.store().append(&batch).expect("appended");
    }
    let all = subject.store().commits(Revision(1), ALL).expect("read");
    for oldest in [2, 4, 6, 8, 12] {
        subject.store().compact(Revision(oldest)).expect("compacted");
        subject.reopen();
        assert_eq!(subject.store().commits(Revision(oldest), ALL).expect("read"), all[oldest as usize - 1..]);
        let verified = sound(&*subject.store());
        assert_eq!(verified.commits, 13 - oldest);
    }
}

pub fn compaction_keeps_tombstones_that_still_matter(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let store = subject.store();
    store.append(&[script.commit([set("a", "/", 1), set("a", "/x", 1)])]).expect("appended");
    store.append(&[script.commit([remove("a", "/x"), tag("a", "s", Some(1))])]).expect("appended");
    for number in 3..=5 {
        store.append(&[script.set("a", "/", number)]).expect("appended");
    }
    let before: Vec<Snapshot> = [1, 4, 5].map(|version| snapshot(&*store, "a", version)).into();
    drop(store);
    subject.store().compact(Revision(4)).expect("compacted");
    subject.reopen();
    assert_eq!([1, 4, 5].map(|version| snapshot(&*subject.store(), "a", version)), before[..]);
    assert!(!before[1].layers.contains_key(&key("/x")), "the tagged version must not show through");
    sound(&*subject.store());
    subject.store().append(&[script.commit([tag("a", "s", None)])]).expect("appended");
    subject.store().compact(Revision(5)).expect("compacted");
    assert_eq!(snapshot(&*subject.store(), "a", 5), before[2]);
    sound(&*subject.store());
}

pub fn what_is_current_survives_every_compaction(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    script_of_two(&*subject.store(), &mut script);
    let before = load(&*subject.store());
    for oldest in 1..=6 {
        subject.store().compact(Revision(oldest)).expect("compacted");
        assert_eq!(load(&*subject.store()), before);
        subject.reopen();
        assert_eq!(load(&*subject.store()), before);
        for record in &before.1 {
            let snapshot = snapshot(&*subject.store(), record.id.config.as_str(), record.at.version.0);
            assert_eq!(snapshot.layers.into_iter().collect::<Vec<_>>(), record.layers);
        }
        sound(&*subject.store());
    }
}

pub fn readers_during_appends_see_whole_commits_only(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let ended = AtomicBool::new(false);
    let mut script = Script::default();
    // Every commit sets both layers of both configs to its number.
    let edits = |number| {
        ["a", "b"].into_iter().flat_map(move |name| [set(name, "/", number), set(name, "/x", number)])
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    let head = store.head().revision;
                    for name in ["a", "b"] {
                        let at = store.version_at(&id(name), head).expect("read");
                        let Some(at) = at else { continue };
                        assert_eq!(at.version.0, head.0, "the head is in every index");
                        let layers = snapshot(&*store, name, at.version.0).layers;
                        let expected = content(at.version.0 as usize);
                        assert!(layers.values().all(|layer| layer.content == expected) && layers.len() == 2);
                    }
                    let commits = store.commits(Revision(head.0.saturating_sub(5)), ALL).expect("read");
                    assert!(commits.iter().all(|sealed| sealed.commit.changes.len() == 2));
                    let (loaded, records) = load(&*store);
                    assert!(loaded.revision >= head);
                    assert!(records.iter().all(|record| record.at.version.0 == loaded.revision.0));
                    assert!(
                        records
                            .iter()
                            .flat_map(|record| &record.layers)
                            .all(|(_, layer)| { layer.content == content(loaded.revision.0 as usize) })
                    );
                }
            });
        }
        for batch in 0..30 {
            let commits: Vec<Commit> = (0..batch % 4 + 1)
                .map(|_| {
                    let number = script.revision.0 as usize + 1;
                    script.commit(edits(number))
                })
                .collect();
            store.append(&commits).expect("appended");
        }
        ended.store(true, Ordering::SeqCst);
    });
    sound(&*store);
}

pub fn readers_during_compaction_get_an_answer_or_the_oldest(subject: &mut dyn HistorySubject) {
    let store = subject.store();
    let mut script = Script::default();
    for number in 1..=120 {
        store
            .append(&[script.commit([set("a", "/", number), set("a", &format!("/s{}", number % 5), number)])])
            .expect("ok");
    }
    let expected: Vec<Snapshot> = (1..=120).map(|version| snapshot(&*store, "a", version)).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (store, expected, ended) = (&store, &expected, &ended);
            scope.spawn(move || {
                let mut version = reader;
                while !ended.load(Ordering::SeqCst) {
                    version = version % 120 + 1;
                    match store.snapshot(&id("a"), Version(version)) {
                        Ok(found) => assert_eq!(found.as_ref(), Some(&expected[version as usize - 1])),
                        Err(StoreError::Compacted { oldest, .. }) => assert!(version < oldest.0),
                        Err(error) => panic!("version {version}: {error}"),
                    }
                    match store.commits(Revision(version), 1000) {
                        Ok(page) => assert_eq!(page[0].commit.revision, Revision(version)),
                        Err(StoreError::Compacted { oldest, .. }) => assert!(version < oldest.0),
                        Err(error) => panic!("revision {version}: {error}"),
                    }
                }
            });
        }
        for oldest in (1..=120).step_by(10) {
            store.compact(Revision(oldest)).expect("compacted");
        }
        ended.store(true, Ordering::SeqCst);
    });
    sound(&*store);
}

fn forget(store: &dyn Store, of: &str, oldest: u64, versions_min: u64) {
    let done = store.forget_unless(&namespace(of), Revision(oldest), versions_min, &|| false);
    assert_eq!(done.expect("forgotten"), Compaction::Done);
    assert_eq!(store.reclaim_unless(&|| false).expect("reclaimed"), Compaction::Done);
}

/// Commits that each set a layer of a config of two namespaces, and a third one in between.
fn three_namespaces(store: &dyn Store, script: &mut Script, rounds: usize) {
    for number in 1..=rounds {
        let both = script.commit([
            Edit::Set(id("a"), key("/"), large(300, 'p')),
            Edit::Set(id("shop/a"), key("/"), large(300 + number, 's')),
            set("a", "/x", number),
        ]);
        let other = script.commit([set("third/a", "/", number)]);
        store.append(&[both, other]).expect("appended");
    }
}

pub fn forgetting_cuts_the_history_of_one_namespace_and_of_no_other(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    three_namespaces(&*subject.store(), &mut script, 10);
    let of_others = |store: &dyn Store| {
        let all = ["shop/a", "third/a"].map(|config| {
            let versions = store.versions(&id(config), Version(u64::MAX), ALL).expect("read");
            let snapshots = versions.iter().map(|at| store.snapshot(&id(config), at.version).expect("read"));
            let snapshots: Vec<_> = snapshots.collect();
            (versions, snapshots)
        });
        let changes = store.commits(Revision(1), ALL).expect("read").into_iter().map(|sealed| {
            let is_other = |id: &ConfigId| id.namespace != namespace("payments");
            sealed.commit.changes.into_iter().filter(|change| is_other(&change.id)).collect::<Vec<_>>()
        });
        (all, changes.collect::<Vec<_>>(), load(store))
    };
    let before = of_others(&*subject.store());
    forget(&*subject.store(), "payments", 13, 0);
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(of_others(&*store), before);
        assert_eq!((store.oldest(), store.oldest_of(&namespace("payments"))), (Revision(1), Revision(13)));
        assert_eq!(store.oldest_of(&namespace("shop")), Revision(1));
        assert_eq!(versions(&*store, "a"), [10, 9, 8, 7]);
        assert_eq!(snapshot(&*store, "a", 7).layers.len(), 2);
        assert_eq!(compacted(store.snapshot(&id("a"), Version(6))), (12, 13));
        assert_eq!(compacted(store.version_at(&id("a"), Revision(11))), (11, 13));
        let commits = store.commits(Revision(11), ALL).expect("read");
        let namespaces = |at: usize| {
            let commit = &commits[at].commit;
            let forgotten = commit.forgotten.iter().map(|part| part.namespace.as_str().to_owned());
            let kept = commit.namespaces().iter().map(|kept| kept.as_str().to_owned()).collect::<Vec<_>>();
            (kept, forgotten.collect::<Vec<_>>())
        };
        assert_eq!(namespaces(0), (vec!["shop".to_owned()], vec!["payments".to_owned()]));
        assert_eq!(namespaces(2), (vec!["payments".to_owned(), "shop".to_owned()], vec![]));
        let (summaries, _) = store.summaries(Revision(11), 1).expect("read");
        let counted: Vec<&str> = summaries[0].bytes.iter().map(|(of, _)| of.as_str()).collect();
        assert_eq!(counted, ["payments", "shop"], "what is about no config counts as before");
        assert_eq!(summaries[0].bytes, commits[0].commit.journal_bytes());
        sound(&*store);
        drop(store);
        subject.reopen();
    }
    // It goes on as any other.
    let mut more = script.commit([set("a", "/", 99)]);
    more.reason = "after".to_owned();
    subject.store().append(&[more]).expect("appended");
    assert_eq!(versions(&*subject.store(), "a"), [11, 10, 9, 8, 7]);
    sound(&*subject.store());
}

pub fn commits_keep_their_hashes_when_changes_are_forgotten(subject: &mut dyn HistorySubject) {
    three_namespaces(&*subject.store(), &mut Script::default(), 6);
    let store = subject.store();
    let hashes = |store: &dyn Store| {
        let commits = store.commits(Revision(1), ALL).expect("read");
        commits.into_iter().map(|sealed| sealed.hash).collect::<Vec<_>>()
    };
    let (before, head) = (hashes(&*store), store.head());
    for (of, oldest) in [("payments", 5), ("third", 9), ("payments", 11)] {
        forget(&*store, of, oldest, 0);
        assert_eq!(hashes(&*store), before);
        assert_eq!((store.head(), proven(&*store).commits), (head, 12));
        let stored = store.stored_commits(Revision(1), ALL).expect("read");
        let mut previous = Digest::ZERO;
        for commit in stored {
            assert!(commit.follows(previous), "revision {}", commit.revision);
            previous = commit.hash;
        }
    }
    let sizes = |store: &dyn Store| {
        let stored = store.stored_commits(Revision(1), ALL).expect("read");
        stored.iter().map(|commit| commit.bytes.len()).collect::<Vec<_>>()
    };
    let bytes = sizes(&*store);
    assert!(bytes[0] < bytes[10] && bytes[10] > 600, "what is forgotten is not given out: {bytes:?}");
    drop(store);
    subject.reopen();
    assert_eq!((hashes(&*subject.store()), sizes(&*subject.store())), (before, bytes));
}

pub fn changes_in_older_formats_stay_in_their_commits(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    let commits: Vec<Commit> =
        (0..9).map(|number| script.commit([set("a", "/", number), set("shop/a", "/", number)])).collect();
    let store = subject.store();
    store.append_as(CommitFormat::WithoutAuthor, &commits[..3]).expect("appended");
    store.append_as(CommitFormat::WithAuthor, &commits[3..6]).expect("appended");
    store.append(&commits[6..]).expect("appended");
    forget(&*store, "shop", 9, 0);
    let kept: Vec<usize> = read(&*store, 1).iter().map(|commit| commit.changes.len()).collect();
    assert_eq!(kept, [2, 2, 2, 2, 2, 2, 1, 1, 2], "their hashes cover all of their bytes");
    // The history of the namespace is cut all the same.
    assert_eq!(versions(&*store, "shop/a"), [9]);
    assert_eq!(compacted(store.snapshot(&id("shop/a"), Version(2))), (8, 9));
    proven(&*store);
    sound(&*store);
}

pub fn forgetting_keeps_tagged_and_the_newest_versions(subject: &mut dyn HistorySubject) {
    let mut script = Script::default();
    for number in 1..=8 {
        subject.store().append(&[script.set("a", "/", number), script.set("b", "/", 1)]).expect("appended");
    }
    subject.store().append(&[script.commit([tag("a", "s", Some(2)), set("shop/a", "/", 1)])]).expect("ok");
    let before: Vec<Snapshot> = [2, 6, 7, 8].map(|version| snapshot(&*subject.store(), "a", version)).into();
    for oldest in [14, 17] {
        forget(&*subject.store(), "payments", oldest, 3);
        subject.reopen();
        let store = subject.store();
        assert_eq!([2, 6, 7, 8].map(|version| snapshot(&*store, "a", version)), before[..]);
        assert_eq!(versions(&*store, "a"), [8, 7, 6, 2]);
        assert_eq!(compacted(store.snapshot(&id("a"), Version(5))), (oldest - 1, oldest));
        sound(&*store);
    }
    // What was among the newest goes with the next time.
    subject.store().append(&[script.set("a", "/", 9), script.set("a", "/", 10)]).expect("appended");
    forget(&*subject.store(), "payments", 18, 3);
    assert_eq!(versions(&*subject.store(), "a"), [10, 9, 8, 2]);
    // A tag of a version that was kept as one of the newest keeps it from then on.
    subject.store().append(&[script.commit([tag("a", "s", None), tag("a", "t", Some(8))])]).expect("ok");
    forget(&*subject.store(), "payments", 20, 1);
    assert_eq!(versions(&*subject.store(), "a"), [10, 8]);
    sound(&*subject.store());
}

pub fn forgetting_is_bounded_by_the_head_and_never_goes_back(subject: &mut dyn HistorySubject) {
    three_namespaces(&*subject.store(), &mut Script::default(), 4);
    let store = subject.store();
    let oldest = |of: &str| store.oldest_of(&namespace(of)).0;
    forget(&*store, "payments", 100, 0);
    assert_eq!((oldest("payments"), oldest("shop")), (8, 1));
    forget(&*store, "payments", 2, 9);
    assert_eq!((oldest("payments"), versions(&*store, "a")), (8, vec![4]));
    forget(&*store, "unknown", 3, 0);
    assert_eq!((oldest("unknown"), oldest("shop")), (3, 1), "a namespace may come into being again");
    store.compact(Revision(5)).expect("compacted");
    assert_eq!((oldest("payments"), oldest("shop"), oldest("unknown")), (8, 5, 5));
    sound(&*store);
}

pub fn a_compaction_of_all_history_goes_on_where_a_namespace_keeps_more_or_less(
    subject: &mut dyn HistorySubject,
) {
    three_namespaces(&*subject.store(), &mut Script::default(), 10);
    forget(&*subject.store(), "payments", 11, 7);
    assert_eq!(versions(&*subject.store(), "a"), [10, 9, 8, 7, 6, 5, 4]);
    // As far as the namespace does not keep less, its newest versions stay.
    subject.store().compact(Revision(9)).expect("compacted");
    assert_eq!(versions(&*subject.store(), "a"), [10, 9, 8, 7, 6, 5, 4]);
    assert_eq!(versions(&*subject.store(), "shop/a"), [10, 9, 8, 7, 6, 5]);
    sound(&*subject.store());
    subject.reopen();
    // All history is the upper bound.
    subject.store().compact(Revision(15)).expect("compacted");
    let store = subject.store();
    assert_eq!(versions(&*store, "a"), [10, 9, 8]);
    assert_eq!(versions(&*store, "shop/a"), [10, 9, 8]);
    assert_eq!(store.oldest_of(&namespace("payments")), Revision(15));
    assert_eq!(compacted(store.snapshot(&id("a"), Version(7))), (14, 15));
    proven(&*store);
    sound(&*store);
}

pub fn commits_of_another_journal_may_lack_forgotten_changes(subject: &mut dyn HistorySubject) {
    let other = MemoryStore::new(Epoch(3));
    three_namespaces(&other, &mut Script::default(), 5);
    forget(&other, "payments", 10, 0);
    // Of the namespace all is forgotten but for what is set at last.
    let commits = read(&other, 1);
    let without: Vec<Commit> = commits[..8].to_vec();
    let head = subject.store().append(&without).expect("appended");
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(head.hash, other.commits(Revision(8), 0).expect("read")[0].hash);
        assert_eq!(read(&*store, 1), without);
        assert_eq!(store.versions(&id("a"), Version(u64::MAX), ALL).expect("read"), []);
        assert_eq!(versions(&*store, "shop/a"), [4, 3, 2, 1]);
        let broken = prove(&*store).expect("read").broken.expect("nobody here has forgotten it");
        assert_eq!(broken.revision, Revision(1));
        assert!(broken.what.contains("payments"), "{}", broken.what);
        drop(store);
        subject.reopen();
    }
}

pub fn readers_during_forgetting_get_an_answer_or_the_oldest_of_the_namespace(
    subject: &mut dyn HistorySubject,
) {
    let store = subject.store();
    three_namespaces(&*store, &mut Script::default(), 60);
    let expected: Vec<Snapshot> = (1..=60).map(|version| snapshot(&*store, "a", version)).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..2 {
            let (store, expected, ended) = (&store, &expected, &ended);
            scope.spawn(move || {
                let mut version = reader;
                while !ended.load(Ordering::SeqCst) {
                    version = version % 60 + 1;
                    match store.snapshot(&id("a"), Version(version)) {
                        Ok(found) => assert_eq!(found.as_ref(), Some(&expected[version as usize - 1])),
                        Err(StoreError::Compacted { oldest, .. }) => assert!(version * 2 - 1 < oldest.0),
                        Err(error) => panic!("version {version}: {error}"),
                    }
                    let other = snapshot(&**store, "shop/a", version);
                    assert_eq!(other.layers[&key("/")].content, large(300 + version as usize, 's'));
                    let page = store.commits(Revision(version), 1000).expect("no commit goes");
                    assert_eq!(page[0].commit.revision, Revision(version));
                }
            });
        }
        for oldest in (1..=120).step_by(10) {
            forget(&*store, "payments", oldest, 0);
        }
        ended.store(true, Ordering::SeqCst);
    });
    sound(&*store);
}

/// Six commits over two configs: 1 and 2 set layers of a, 3 of b, 4 is a tag, 5 changes both, 6 moves a layer of a.
fn script_of_two(store: &dyn Store, script: &mut Script) {
    let commits = [
        script.set("a", "/", 1),
        script.set("a", "/x", 2),
        script.set("b", "/x", 3),
        script.commit([tag("a", "stable", Some(2))]),
        script.commit([set("a", "/", 5), remove("b", "/x")]),
        script.commit([remove("a", "/x"), set("a", "/y", 6)]),
    ];
    store.append(&commits[..2]).expect("appended");
    store.append(&commits[2..5]).expect("appended");
    store.append(&commits[5..]).expect("appended");
}

fn current(store: &dyn Store, config: &str) -> ConfigRecord {
    load(store).1.into_iter().find(|record| record.id == id(config)).expect("the config is there")
}

fn snapshot(store: &dyn Store, config: &str, version: u64) -> Snapshot {
    store.snapshot(&id(config), Version(version)).expect("read").expect("the version is there")
}

fn versions(store: &dyn Store, config: &str) -> Vec<u64> {
    let versions: Vec<VersionRef> = store.versions(&id(config), Version(u64::MAX), ALL).expect("read");
    versions.into_iter().map(|at| at.version.0).collect()
}

/// The revisions of an error: asked and oldest.
fn compacted<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (u64, u64) {
    match result {
        Err(StoreError::Compacted { asked, oldest }) => (asked.0, oldest.0),
        other => panic!("it was not compacted: {other:?}"),
    }
}
