//! The documents that the clients of streams hold: the digest of the document that each target of a stream was last sent. The stream and the hub share
//! the value. Knows no documents.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::Visibility;
use crate::engine::secrets::secret_places::Secrets;
use crate::model::{ConfigId, ConfigName, Digest, Namespace, Scope};

use super::message::Known;

/// The knowledge of a client, by the place of a target in the request of its stream.
pub(super) enum Delivered {
    /// A stream with one target, as most have.
    One(Known),
    Several(Box<[DeliveredTo]>),
}

/// Of a target of a stream that has several, or follows a namespace.
pub(super) enum DeliveredTo {
    One(Known),
    Many(Arc<HeldConfigs>),
}

/// The configs of a namespace that a client holds, each with its digest, and the part of the namespace that the client may see.
pub(super) struct HeldConfigs {
    held: Mutex<HashMap<ConfigName, Digest>>,
    visibility: Mutex<Visibility>,
}

impl Delivered {
    /// The targets of a stream, in the order of its request.
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

    /// The knowledge of the client about the one config that the target at this place follows.
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
    pub fn new(held: HashMap<ConfigName, Digest>, visibility: Visibility) -> Arc<HeldConfigs> {
        Arc::new(HeldConfigs { held: Mutex::new(held), visibility: Mutex::new(visibility) })
    }

    /// Replaces the part of the namespace that the client may see.
    pub fn see_as(&self, visibility: &Visibility) {
        *self.visibility.lock().unwrap_or_else(PoisonError::into_inner) = visibility.clone();
    }

    /// Whether secrets of a config are shown to the client. `None`: the client may not read the config.
    pub fn seen(&self, namespace: &Namespace, config: &ConfigName, scope: &Scope) -> Option<Secrets> {
        let visibility = self.visibility.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
        visibility.has(&id.namespace, &id.config, scope).then(|| Secrets::seen_by(&visibility, &id, scope))
    }

    pub fn known(&self, config: &ConfigName) -> Known {
        self.held().get(config).map_or(Known::Absent, |digest| Known::Document(*digest))
    }

    /// Replaces the knowledge of the client about a config.
    pub fn set(&self, config: &ConfigName, known: Known) {
        match known {
            Known::Document(digest) => self.held().insert(config.clone(), digest),
            Known::Absent | Known::Nothing => self.held().remove(config),
        };
    }

    pub fn len(&self) -> usize {
        self.held().len()
    }

    /// The configs of the client for which a condition is true.
    pub fn filter<C: FromIterator<ConfigName>>(&self, is_wanted: impl Fn(&ConfigName) -> bool) -> C {
        self.held().keys().filter(|config| is_wanted(config)).cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ConfigName, Digest>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
