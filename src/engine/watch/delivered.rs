//! What the clients of streams hold: the digest of the document that each target of a stream was last sent, in the one place where both
//! the stream and the hub look. Knows no documents.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::Sight;
use crate::engine::secrets::secret_places::Secrets;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Scope};

use super::message::Known;

/// By the place of a target in the request of its stream.
pub(super) enum Delivered {
    /// Of a stream that has one target, as most do.
    One(Known),
    Several(Box<[DeliveredTo]>),
}

/// Of a target of a stream that has several, or follows a namespace.
pub(super) enum DeliveredTo {
    One(Known),
    Many(Arc<HeldConfigs>),
}

/// The configs of a namespace that a client holds, each with its digest, and what it is shown of the namespace.
pub(super) struct HeldConfigs {
    held: Mutex<HashMap<ConfigName, Digest>>,
    sight: Mutex<Sight>,
}

impl Delivered {
    /// Of the targets of a stream, in the order of its request.
    pub fn of(targets: Vec<DeliveredTo>) -> Delivered {
        match targets.as_slice() {
            [DeliveredTo::One(known)] => Delivered::One(*known),
            [..] => Delivered::Several(targets.into()),
        }
    }

    /// How many targets the stream has.
    pub fn targets(&self) -> usize {
        match self {
            Delivered::One(_) => 1,
            Delivered::Several(all) => all.len(),
        }
    }

    pub fn to(&self, place: u32) -> Option<&DeliveredTo> {
        match self {
            Delivered::One(_) => None,
            Delivered::Several(all) => all.get(place as usize),
        }
    }

    /// What a client knows of the one config that the target at this place follows.
    pub fn known(&mut self, place: u32) -> &mut Known {
        match self {
            Delivered::One(known) => known,
            Delivered::Several(all) => match &mut all[place as usize] {
                DeliveredTo::One(known) => known,
                DeliveredTo::Many(_) => unreachable!("the target at the place follows one config"),
            },
        }
    }
}

impl HeldConfigs {
    pub fn new(held: HashMap<ConfigName, Digest>, sight: Sight) -> Arc<HeldConfigs> {
        Arc::new(HeldConfigs { held: Mutex::new(held), sight: Mutex::new(sight) })
    }

    /// From now on the client is shown what this one may see.
    pub fn see_as(&self, sight: &Sight) {
        *self.sight.lock().unwrap_or_else(PoisonError::into_inner) = sight.clone();
    }

    /// How secrets of a config stand for the client. `None`: it is not shown the config, as if it were not there.
    pub fn seen(&self, namespace: &Namespace, config: &ConfigName, scope: &Scope) -> Option<Secrets> {
        let sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
        sight.has(&id.namespace, &id.config, scope).then(|| Secrets::seen_by(&sight, &id, scope))
    }

    pub fn known(&self, config: &ConfigName) -> Known {
        self.held().get(config).map_or(Known::Absent, |digest| Known::Document(*digest))
    }

    /// From now on the client knows this of a config.
    pub fn set(&self, config: &ConfigName, known: Known) {
        match known {
            Known::Document(digest) => self.held().insert(config.clone(), digest),
            Known::Absent | Known::Nothing => self.held().remove(config),
        };
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// The configs for which this holds.
    pub fn filter<C: FromIterator<ConfigName>>(&self, is_wanted: impl Fn(&ConfigName) -> bool) -> C {
        self.held().keys().filter(|config| is_wanted(config)).cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ConfigName, Digest>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
