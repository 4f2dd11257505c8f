//! Iterates over the configs of namespaces that a stream follows. Reads them from a state step by step, so that nothing is listed in
//! advance. Knows names; never documents.

use std::collections::{BTreeSet, VecDeque};

use crate::model::{ConfigId, ConfigName};

use super::super::state::State;
use super::followed::{Followed, FollowedMany};

/// Configs that are looked at for the next names, deleted ones included.
const SCANNED_MAX: usize = 256;

/// Goes through the targets of a stream in the order of its request, and through the configs of a namespace in the order of their names.
#[derive(Default)]
pub(super) struct TargetWalk {
    place: u32,
    /// Within the namespace of the target at `place`.
    namespace: Option<Within>,
    /// Targets of one config are part of the walk, too.
    includes_single: bool,
}

/// How far the walk is in a namespace.
struct Within {
    after: ConfigId,
    /// Names that come next.
    names: VecDeque<ConfigName>,
    /// Configs that the client holds and the state does not have.
    gone: BTreeSet<ConfigName>,
    is_read: bool,
}

/// A step of a walk.
pub(super) enum WalkStep {
    /// The target at this place.
    One(u32),
    /// A config of the namespace that the target at this place follows.
    OneOfMany(u32, ConfigName),
    /// More configs have to be looked at to find one.
    Scanned,
}

impl TargetWalk {
    /// Through all targets.
    pub fn all() -> TargetWalk {
        TargetWalk { includes_single: true, ..TargetWalk::default() }
    }

    /// Through the targets that follow namespaces.
    pub fn namespaces() -> TargetWalk {
        TargetWalk::default()
    }

    /// The next step. `None`: there is none any more.
    pub fn next(&mut self, targets: &[Followed], state: &State) -> Option<WalkStep> {
        loop {
            let place = self.place;
            match (targets.get(place as usize)?, &mut self.namespace) {
                (Followed::One(_), _) => {
                    self.place += 1;
                    if self.includes_single {
                        return Some(WalkStep::One(place));
                    }
                }
                (Followed::Many(many), None) => self.namespace = Some(Within::beginning(many, state)),
                (Followed::Many(many), Some(within)) => {
                    if let Some(name) = within.names.pop_front() {
                        return Some(WalkStep::OneOfMany(place, name));
                    }
                    if !within.is_read {
                        within.read_on(many, state);
                        return Some(WalkStep::Scanned);
                    }
                    self.namespace = None;
                    self.place += 1;
                }
            }
        }
    }
}

impl Within {
    fn beginning(many: &FollowedMany, state: &State) -> Within {
        let id = |config: &ConfigName| ConfigId { namespace: many.namespace.clone(), config: config.clone() };
        let is_there =
            |config: &ConfigName| state.config(&id(config)).is_some_and(|there| !there.is_deleted());
        let gone = many.known.filter(|config| !is_there(config));
        let after = ConfigId::first_of(&many.namespace);
        Within { after, names: VecDeque::new(), gone, is_read: false }
    }

    fn read_on(&mut self, many: &FollowedMany, state: &State) {
        let (mut last, mut scanned) = (None, 0);
        for config in state.configs_after(Some(&self.after)).take(SCANNED_MAX) {
            if config.id.namespace != many.namespace {
                break;
            }
            scanned += 1;
            last = Some(&config.id);
            if !config.is_deleted() && config.id.config.is_ordinary() {
                self.names.push_back(config.id.config.clone());
            }
        }
        self.is_read = scanned < SCANNED_MAX;
        if let Some(last) = last {
            self.after = last.clone();
        }
        if self.gone.is_empty() {
            return;
        }
        let later = match self.is_read {
            true => BTreeSet::new(),
            false => self.gone.split_off(&self.after.config),
        };
        let gone = std::mem::replace(&mut self.gone, later);
        let names: BTreeSet<ConfigName> = self.names.drain(..).chain(gone).collect();
        self.names.extend(names);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::delivered::HeldConfigs;
    use super::*;
    use crate::engine::read::resolve::View;
    use crate::engine::secrets::secret_places::Secrets;
    use crate::engine::state::Loading;
    use crate::model::text::Format;
    use crate::model::{
        Content, Digest, Epoch, Layer, LayerKey, Namespace, Revision, Scope, Timestamp, Version,
    };
    use crate::store::{ConfigRecord, Head, VersionRef};

    /// With a layer, or deleted.
    fn record(namespace: &str, config: &str, is_there: bool) -> ConfigRecord {
        let namespace = Namespace::parse(namespace).expect("a name");
        let id = ConfigId { namespace, config: ConfigName::parse(config).expect("a name") };
        let at = VersionRef { version: Version(1), revision: Revision(1), time: Timestamp(1) };
        let layer = Layer {
            content: Content::of(&serde_json::json!({})),
            version: at.version,
            expires: None,
            format: None,
        };
        let layers = is_there.then(|| (LayerKey::base(Scope::global()), layer)).into_iter().collect();
        ConfigRecord { id, at, layers, tags: Default::default() }
    }

    fn many(held: &[String]) -> Followed {
        let namespace = Namespace::parse("test").expect("a name");
        let known = held.iter().map(|name| (ConfigName::parse(name).expect("a name"), Digest::of(b"")));
        let (scope, view, secrets) = (Scope::global(), View::Effective, Secrets::Revealed);
        let known = HeldConfigs::new(
            known.collect(),
            crate::auth::Access::unrestricted("test").expect("a name").visibility(),
        );
        let many = FollowedMany { namespace, scope, view, secrets, format: Format::Json, known, rank: 1 };
        Followed::Many(Box::new(many))
    }

    proptest! {
        #[test]
        fn every_config_that_is_there_or_held_comes_once_for_each_target_in_order(
            stored in prop::collection::btree_map("[a-c]{1,6}", prop::bool::weighted(0.7), 0..600),
            held in prop::collection::vec("[a-c]{1,6}", 0..40),
        ) {
            let mut loading = Loading::default();
            for (namespace, count) in [("a", 3), ("test", stored.len()), ("z", 3)] {
                for (name, is_there) in stored.iter().take(count) {
                    loading.add(record(namespace, name, *is_there));
                }
            }
            let there: BTreeSet<String> =
                stored.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect();
            let state = loading.state(Epoch(1), Head::EMPTY);
            let targets = [many(&held), many(&[])];
            let mut walk = TargetWalk::all();
            let mut found = vec![];
            while let Some(step) = walk.next(&targets, &state) {
                match step {
                    WalkStep::OneOfMany(place, name) => found.push((place, name.as_str().to_owned())),
                    WalkStep::Scanned => {}
                    WalkStep::One(_) => unreachable!("none is followed alone"),
                }
            }
            let first: BTreeSet<_> = there.iter().chain(&held).cloned().collect();
            let expected: Vec<_> =
                first.into_iter().map(|name| (0, name)).chain(there.into_iter().map(|name| (1, name))).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
