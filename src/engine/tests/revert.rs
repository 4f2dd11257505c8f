//! Taking commits back, against a model that replays history without them.

use super::*;
use crate::model::diff::diff;

/// A write on a layer of one of two configs, or one on both.
#[derive(Clone, Debug)]
struct Step(Vec<(u8, usize, Op)>);

#[derive(Clone, Debug)]
enum Op {
    /// Values to set, or to remove, by their paths.
    Patch(BTreeMap<&'static [&'static str], Option<u8>>),
    Replace(Value),
    Delete,
}

type Place = (u8, usize);
type Layers = BTreeMap<Place, Value>;

const PATHS: [&[&str]; 6] = [&["a"], &["b"], &["c", "x"], &["c", "y"], &["c", "z", "deep"], &["d"]];
const PLACES: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let values = prop::collection::btree_map(
        prop::sample::select(&PATHS[..]),
        prop::option::weighted(0.8, 0..3u8),
        1..3,
    );
    let op = prop_oneof![
        12 => values.prop_map(Op::Patch),
        1 => similar_object().prop_map(Op::Replace),
        1 => Just(Op::Delete),
    ];
    let change = (0..2u8, 0..PLACES, op);
    prop::collection::vec(change, 1..3).prop_map(|mut changes| {
        changes.sort_by_key(|(config, at, _)| (*config, *at));
        changes.dedup_by_key(|(config, at, _)| (*config, *at));
        Step(changes)
    })
}

impl Op {
    fn merge_patch(values: &BTreeMap<&'static [&'static str], Option<u8>>) -> Value {
        let mut patch = json!({});
        for (path, value) in values {
            let mut here = &mut patch;
            for name in *path {
                here = &mut here[*name];
            }
            *here = json!(value);
        }
        patch
    }

    fn action(&self) -> Action {
        let text =
            |value: &Value| Text { content: value.to_string(), format: crate::model::text::Format::Json };
        match self {
            Op::Patch(values) => Action::MergePatch(text(&Op::merge_patch(values))),
            Op::Replace(value) => Action::Replace(text(value)),
            Op::Delete => Action::Delete,
        }
    }

    fn apply(&self, layers: &mut Layers, place: Place) {
        match self {
            Op::Patch(values) => {
                let before = layers.remove(&place).unwrap_or_else(|| json!({}));
                layers.insert(place, merge_by_the_letter(before, &Op::merge_patch(values)));
            }
            Op::Replace(value) => _ = layers.insert(place, value.clone()),
            Op::Delete => _ = layers.remove(&place),
        }
    }

    /// The paths that it is about, whether they change or not.
    fn paths(&self) -> Vec<String> {
        match self {
            Op::Patch(values) => values.keys().map(|path| format!("/{}", path.join("/"))).collect(),
            Op::Replace(_) | Op::Delete => vec![String::new()],
        }
    }
}

fn apply(step: &Step, layers: &mut Layers) {
    step.0.iter().for_each(|(config, at, op)| op.apply(layers, (*config, *at)));
}

/// The values that differ, each at the longest path; `""` for a layer that is made or deleted.
fn effect(before: &Layers, after: &Layers) -> Vec<(Place, String)> {
    let places: std::collections::BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
    let mut found = vec![];
    for place in places {
        let (Some(before), Some(after)) = (before.get(place), after.get(place)) else {
            found.push((*place, String::new()));
            continue;
        };
        for change in diff(before, after) {
            match (change.old, change.new) {
                (None, Some(new)) => {
                    leaves(&change.pointer.to_string(), &new, &mut |path| found.push((*place, path)))
                }
                (Some(_), _) | (None, None) => found.push((*place, change.pointer.to_string())),
            }
        }
    }
    found
}

fn leaves(path: &str, value: &Value, found: &mut dyn FnMut(String)) {
    match value.as_object().filter(|members| !members.is_empty()) {
        Some(members) => {
            for (name, member) in members {
                leaves(&format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), member, found);
            }
        }
        None => found(path.to_owned()),
    }
}

fn is_related(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one, other) || within(other, one)
}

/// The layers without the objects around the touched values that were not there before, as far as they have no members.
fn without_empty(mut layers: Layers, touched: &[(Place, String)], before: &Layers) -> Layers {
    for (place, path) in touched {
        let mut path = path.as_str();
        while let Some((outer, name)) = path.rsplit_once('/') {
            let at = (*place, path.to_owned());
            let is_empty = value_at(&layers, &at).is_some_and(|value| *value == json!({}));
            if is_empty && value_at(before, &at).is_none() {
                let outer = layers.get_mut(place).and_then(|layer| layer.pointer_mut(outer));
                let members = outer.and_then(Value::as_object_mut).expect("the object around a member");
                members.remove(&name.replace("~1", "/").replace("~0", "~"));
            }
            path = outer;
        }
    }
    layers
}

fn value_at<'a>(layers: &'a Layers, (place, path): &(Place, String)) -> Option<&'a Value> {
    layers.get(place)?.pointer(path)
}

/// The layers of the engine.
fn stored(engine: &Engine) -> Layers {
    let state = engine.state();
    let places = (0..2u8).flat_map(|config| (0..PLACES).map(move |at| (config, at)));
    let layer = |(config, at): Place| {
        let config = state.config(&id(config))?;
        Some((
            (config_number(config), at),
            config.layer(&LayerKey::base(scope(at)))?.layer.content.to_value(),
        ))
    };
    places.filter_map(layer).collect()
}

fn config_number(config: &ConfigState) -> u8 {
    (0..2u8).find(|number| id(*number) == config.id).expect("one of two")
}

async fn revert(engine: &Engine, revisions: Vec<Revision>) -> Result<Outcome, Error> {
    let mut reverting = Reverting::default();
    for revision in Reverting::order(revisions)? {
        reverting.append(Reverting::of(engine.commit(revision, "test").await?))?;
    }
    engine.write(write(Source::Revert, Intent::Revert(reverting))).await
}

/// Takes the steps, and gives what each made of the layers, and its revision if it made a commit.
async fn take_all(engine: &Engine, steps: &[Step]) -> Vec<(Layers, Layers, Option<Revision>)> {
    let mut layers = Layers::new();
    let mut history = vec![];
    for step in steps {
        let changes =
            step.0.iter().map(|(config, at, op)| change(*config, *at, LayerKind::Base, op.action()));
        let changes =
            changes.enumerate().map(|(at, change)| Change { field: format!("changes[{at}]"), ..change });
        let outcome = write_changes(engine, changes.collect()).await.expect("it is a valid write");
        let before = layers.clone();
        apply(step, &mut layers);
        assert_eq!(stored(engine), layers);
        history.push((before, layers.clone(), outcome.changed.then_some(outcome.revision)));
    }
    history
}

fn check_one(steps: &[Step], which: prop::sample::Index) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
        let engine = open(&store, |_| {});
        let history = take_all(&engine, steps).await;
        let made: Vec<usize> = (0..steps.len()).filter(|at| history[*at].2.is_some()).collect();
        if made.is_empty() {
            return;
        }
        let at = made[which.index(made.len())];
        let (before, after, revision) = &history[at];
        let current = stored(&engine);
        let touched = effect(before, after);
        let later = steps[at + 1..].iter().flat_map(|step| &step.0);
        let is_independent = later.clone().all(|(config, place, op)| {
            op.paths().iter().all(|path| {
                touched.iter().all(|(of, touched)| *of != (*config, *place) || !is_related(path, touched))
            })
        });
        // An empty object that the commit added stays where members were added to it.
        let is_empty =
            |place: &&(Place, String)| value_at(after, place).is_some_and(|value| *value == json!({}));
        let values = || touched.iter().filter(|place| value_at(before, place).is_some() || !is_empty(place));
        let is_conflict = values().any(|place| {
            let now = value_at(&current, place);
            now != value_at(before, place) && now != value_at(after, place)
        });
        let reverted = revert(&engine, vec![revision.expect("it made a commit")]).await;
        match reverted {
            Err(Error::RevertConflict { conflicts, .. }) => {
                assert!(!is_independent, "{conflicts:?}");
                assert_eq!(stored(&engine), current, "nothing is written");
            }
            Err(error) => panic!("{error}"),
            Ok(outcome) => {
                let result = stored(&engine);
                assert!(!is_conflict, "{result:?}");
                assert_eq!(outcome.changed, result != current);
                for place in values() {
                    assert_eq!(value_at(&result, place), value_at(before, place), "{place:?}");
                }
                for (place, path) in effect(&current, &result) {
                    let of_it = |(of, touched): &(Place, String)| *of == place && is_related(&path, touched);
                    assert!(touched.iter().any(of_it), "{path} is not of the commit");
                }
                if is_independent {
                    let mut replayed = Layers::new();
                    let others = steps.iter().enumerate().filter(|(other, _)| *other != at);
                    others.for_each(|(_, step)| apply(step, &mut replayed));
                    // An object that the commit made goes with its last member; a later write may have made and emptied it without the commit.
                    let made = |layers| without_empty(layers, &touched, before);
                    assert_eq!(made(result), made(replayed));
                }
            }
        }
        engine.close().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_commit_that_is_taken_back_leaves_what_history_without_it_would_have_left(
        steps in prop::collection::vec(step(), 1..8),
        which in any::<prop::sample::Index>(),
    ) {
        check_one(&steps, which);
    }

    #[test]
    fn all_commits_from_one_on_can_be_taken_back(
        steps in prop::collection::vec(step(), 1..8),
        which in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
            let engine = open(&store, |_| {});
            let history = take_all(&engine, &steps).await;
            let from = which.index(steps.len());
            let revisions: Vec<Revision> = history[from..].iter().filter_map(|(_, _, revision)| *revision).collect();
            if !revisions.is_empty() {
                revert(&engine, revisions).await.expect("no later commit is in the way");
                assert_eq!(stored(&engine), history[from].0);
            }
            engine.close().await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_too_large_together_are_refused_as_they_are_read() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
    let engine = open(&store, |_| {});
    let mut revisions = vec![];
    for number in 0..40 {
        let put = put(0, 0, LayerKind::Base, &json!({ "a": long(1_000_000), "b": number }));
        revisions.push(write_changes(&engine, vec![put]).await.expect("it is set").revision);
    }
    let mut reverting = Reverting::default();
    let mut read = 0;
    let refused = loop {
        let commit = engine.commit(revisions.pop().expect("it is refused before the last"), "test").await;
        match reverting.append(Reverting::of(commit.expect("it is there"))) {
            Ok(()) => read += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(read, 33, "32 MiB are allowed");
    assert!(matches!(refused, Error::LimitReached { limit_name: Limit::CommitBytes, .. }), "{refused}");
    engine.close().await;
}
