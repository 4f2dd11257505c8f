//! Random histories of several namespaces: sled answers every read as the model does, whatever is forgotten and rewritten meanwhile.

use std::cell::Cell;
use std::sync::Arc;

use confwatch::model::{Epoch, Revision, Timestamp, Version};
use confwatch::store::codec::CommitFormat;
use confwatch::store::{Compaction, History, Journal, MemoryStore, Store, prove};
use proptest::prelude::*;

use super::conformance::{HistorySubject, load, sound};
use super::script::{Edit, Script, content, id, key, large, namespace, remove, tag};
use super::sled::Sled;

const CONFIGS: [&str; 5] = ["a", "a.b", "b", "pay/a", "payments-x/b"];
/// Each has a config, and the name of one begins as that of another.
const NAMESPACES: [&str; 3] = ["payments", "pay", "payments-x"];
const SIZES: [usize; 3] = [300, 5_000, 70_000];
const LAYERS: [&str; 4] = ["/", "/x", "/x/y", "!/x"];

#[derive(Clone, Debug)]
enum Step {
    /// A batch of commits, in the first, the second or the newest format.
    Append(Vec<Vec<Choice>>, usize),
    /// Up to so many percent of what is there.
    Compact(u64),
    /// The same of a namespace, with the least number of versions. After so many slices it is stopped.
    Forget(usize, u64, u64, Option<usize>),
    Reclaim,
    Reopen,
    Crash,
    /// The history of a config is read.
    Look(usize),
}

#[derive(Clone, Debug)]
enum Choice {
    Set(usize, usize, usize),
    SetLarge(usize, usize, usize),
    SetExpiring(usize, usize, i64),
    Remove(usize, usize),
    /// The tag and, in percent of its versions, which one.
    Tag(usize, u64),
    Untag(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let config = || 0..CONFIGS.len();
    let layer = || 0..LAYERS.len();
    let choice = prop_oneof![
        5 => (config(), layer(), 0..50_usize).prop_map(|(config, layer, number)| Choice::Set(config, layer, number)),
        2 => (config(), layer(), 0..SIZES.len())
            .prop_map(|(config, layer, size)| Choice::SetLarge(config, layer, size)),
        1 => (config(), layer(), 0..99_i64).prop_map(|(config, layer, time)| Choice::SetExpiring(config, layer, time)),
        3 => (config(), layer()).prop_map(|(config, layer)| Choice::Remove(config, layer)),
        2 => (config(), 0..100_u64).prop_map(|(config, percent)| Choice::Tag(config, percent)),
        1 => config().prop_map(Choice::Untag),
    ];
    let commit = prop::collection::vec(choice, 1..4);
    let step = prop_oneof![
        8 => (prop::collection::vec(commit, 1..6), prop_oneof![1 => Just(0_usize), 1 => Just(1), 8 => Just(2)])
            .prop_map(|(batch, format)| Step::Append(batch, format)),
        1 => (0..101_u64).prop_map(Step::Compact),
        3 => (0..NAMESPACES.len(), 0..101_u64, 0..4_u64, prop::option::of(0..8_usize))
            .prop_map(|(namespace, percent, least, slices)| Step::Forget(namespace, percent, least, slices)),
        2 => Just(Step::Reclaim),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        4 => config().prop_map(Step::Look),
    ];
    prop::collection::vec(step, 1..16)
}

impl Choice {
    fn to_edit(&self, script: &Script) -> Option<Edit> {
        let layer = |layer: usize| key(LAYERS[layer]);
        Some(match *self {
            Choice::Set(config, at, number) => Edit::Set(id(CONFIGS[config]), layer(at), content(number)),
            Choice::SetLarge(config, at, size) => {
                Edit::Set(id(CONFIGS[config]), layer(at), large(SIZES[size], 'x'))
            }
            Choice::SetExpiring(config, at, time) => {
                Edit::Expiring(id(CONFIGS[config]), layer(at), content(1), Timestamp(time))
            }
            Choice::Remove(config, at) => remove(CONFIGS[config], LAYERS[at]),
            Choice::Tag(config, percent) => {
                let current = script.versions.get(&id(CONFIGS[config]))?.0;
                tag(CONFIGS[config], "t", Some(1 + (current - 1) * percent / 100))
            }
            Choice::Untag(config) => {
                script.versions.get(&id(CONFIGS[config]))?;
                tag(CONFIGS[config], "t", None)
            }
        })
    }
}

/// Every read of the two, errors included, as text.
fn assert_same(model: &dyn Store, store: &dyn Store) {
    assert_eq!(store.head(), model.head());
    assert_eq!(store.oldest(), model.oldest());
    assert_eq!(store.forgotten(), model.forgotten());
    assert_eq!(load(store), load(model));
    let head = model.head().revision.0;
    let same = |what: &dyn Fn(&dyn Store) -> String| assert_eq!(what(store), what(model));
    for revision in (0..=head + 1).map(Revision) {
        for bytes_max in [0, 500, usize::MAX] {
            same(&|store| format!("{:?}", store.commits(revision, bytes_max)));
            same(&|store| format!("{:?}", store.stored_commits(revision, bytes_max)));
        }
    }
    for time in (-1..=head as i64 * 10 + 5).step_by(5).map(Timestamp) {
        same(&|store| format!("{:?}", store.revision_at(time)));
    }
    for config in CONFIGS.map(id) {
        for revision in (0..=head + 1).map(Revision) {
            same(&|store| format!("{:?}", store.version_at(&config, revision)));
        }
        for version in (0..=head + 1).map(Version) {
            same(&|store| format!("{:?}", store.snapshot(&config, version)));
            for limit in [0, 1, 3, usize::MAX] {
                same(&|store| format!("{:?}", store.versions(&config, version, limit)));
            }
        }
    }
    same(&|store| format!("{:?}", prove(store)));
    assert_eq!(sound(store), sound(model));
}

/// Forgets the same in both. The model forgets what the store has forgotten by the time that it was stopped.
fn forget(model: &dyn Store, store: &dyn Store, of: &str, to: Revision, least: u64, slices: Option<usize>) {
    let asked = Cell::new(0);
    let is_stopped = || {
        asked.set(asked.get() + 1);
        slices.is_some_and(|slices| asked.get() > slices)
    };
    let (of, before) = (namespace(of), store.oldest_of(&namespace(of)));
    let outcome = store.forget_unless(&of, to, least, &is_stopped).expect("forgotten");
    if store.oldest_of(&of) > before || outcome == Compaction::Done {
        model.forget_unless(&of, to, least, &|| false).expect("forgotten");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sled_answers_as_the_model_does(steps in steps()) {
        let model = MemoryStore::new(Epoch(1));
        let mut subject = Sled::new();
        let mut script = Script::default();
        for step in steps {
            match step {
                Step::Append(batch, format) => {
                    let mut commits = Vec::new();
                    for choices in &batch {
                        let edits: Vec<Edit> = choices.iter().filter_map(|choice| choice.to_edit(&script)).collect();
                        if !edits.is_empty() {
                            commits.push(script.commit(edits));
                        }
                    }
                    let format =
                        [CommitFormat::WithoutAuthor, CommitFormat::WithAuthor, CommitFormat::InParts][format];
                    let head = subject.store().append_as(format, &commits).expect("appended");
                    assert_eq!(head, model.append_as(format, &commits).expect("appended"));
                }
                Step::Compact(percent) => {
                    let oldest = Revision(script.revision.0 * percent / 100);
                    subject.store().compact(oldest).expect("compacted");
                    model.compact(oldest).expect("compacted");
                    // What was stopped before is swept with the rest.
                    subject.store().reclaim_unless(&|| false).expect("reclaimed");
                    assert_same(&model, &*subject.store());
                }
                Step::Forget(namespace, percent, least, slices) => {
                    let oldest = Revision(script.revision.0 * percent / 100);
                    forget(&model, &*subject.store(), NAMESPACES[namespace], oldest, least, slices);
                }
                Step::Reclaim => {
                    subject.store().reclaim_unless(&|| false).expect("reclaimed");
                    assert_same(&model, &*subject.store());
                }
                Step::Reopen => subject.reopen(),
                Step::Crash => subject.crash(),
                Step::Look(config) => {
                    let read = |store: &dyn Store| store.versions(&id(CONFIGS[config]), Version(u64::MAX), usize::MAX);
                    assert_eq!(read(&*subject.store()).expect("read"), read(&model).expect("read"));
                }
            }
        }
        let store: Arc<dyn Store> = subject.store();
        store.reclaim_unless(&|| false).expect("reclaimed");
        assert_same(&model, &*store);
    }
}
