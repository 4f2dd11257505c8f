//! Random histories: sled answers every read as the model does.

use std::sync::Arc;

use confwatch::model::{Epoch, Revision, Timestamp, Version};
use confwatch::store::{History, Journal, MemoryStore, Store};
use proptest::prelude::*;

use super::conformance::{HistorySubject, load, sound};
use super::script::{Edit, Script, content, id, key, large, remove, tag};
use super::sled::Sled;

const CONFIGS: [&str; 3] = ["a", "a.b", "b"];
const LAYERS: [&str; 4] = ["/", "/x", "/x/y", "!/x"];

#[derive(Clone, Debug)]
enum Step {
    /// A batch of commits.
    Append(Vec<Vec<Choice>>),
    /// Up to so many percent of what is there.
    Compact(u64),
    Reopen,
    Crash,
    /// The history of a config is read.
    Look(usize),
}

#[derive(Clone, Debug)]
enum Choice {
    Set(usize, usize, usize),
    SetLarge(usize, usize),
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
        1 => (config(), layer()).prop_map(|(config, layer)| Choice::SetLarge(config, layer)),
        1 => (config(), layer(), 0..99_i64).prop_map(|(config, layer, time)| Choice::SetExpiring(config, layer, time)),
        3 => (config(), layer()).prop_map(|(config, layer)| Choice::Remove(config, layer)),
        2 => (config(), 0..100_u64).prop_map(|(config, percent)| Choice::Tag(config, percent)),
        1 => config().prop_map(Choice::Untag),
    ];
    let commit = prop::collection::vec(choice, 1..4);
    let step = prop_oneof![
        8 => prop::collection::vec(commit, 1..6).prop_map(Step::Append),
        2 => (0..101_u64).prop_map(Step::Compact),
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
            Choice::SetLarge(config, at) => Edit::Set(id(CONFIGS[config]), layer(at), large(70_000, 'x')),
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
    assert_eq!(load(store), load(model));
    let head = model.head().revision.0;
    let same = |what: &dyn Fn(&dyn Store) -> String| assert_eq!(what(store), what(model));
    for revision in (0..=head + 1).map(Revision) {
        for bytes_max in [0, 500, usize::MAX] {
            same(&|store| format!("{:?}", store.commits(revision, bytes_max)));
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
    assert_eq!(sound(store), sound(model));
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
                Step::Append(batch) => {
                    let mut commits = Vec::new();
                    for choices in &batch {
                        let edits: Vec<Edit> = choices.iter().filter_map(|choice| choice.to_edit(&script)).collect();
                        if !edits.is_empty() {
                            commits.push(script.commit(edits));
                        }
                    }
                    let head = subject.store().append(&commits).expect("appended");
                    assert_eq!(head, model.append(&commits).expect("appended"));
                }
                Step::Compact(percent) => {
                    let oldest = Revision(script.revision.0 * percent / 100);
                    subject.store().compact(oldest).expect("compacted");
                    model.compact(oldest).expect("compacted");
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
        assert_same(&model, &*store);
    }
}
