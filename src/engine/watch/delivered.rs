//! What the clients of streams hold: the digest of the document that each target of a stream was last sent, in the one place where both
//! the stream and the hub look. Knows no documents.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{ConfigName, Digest};

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

/// The configs of a namespace that a client holds, each with its digest.
#[derive(Default)]
pub(super) struct HeldConfigs(Mutex<HashMap<ConfigName, Digest>>);

impl Delivered {
    /// Of the targets of a stream, in the order of its request.
    pub fn of(targets: Vec<DeliveredTo>) -> Delivered {
        match targets.as_slice() {
            [DeliveredTo::One(known)] => Delivered::One(*known),
            [..] => Delivered::Several(targets.into()),
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
    pub fn new(held: HashMap<ConfigName, Digest>) -> Arc<HeldConfigs> {
        Arc::new(HeldConfigs(Mutex::new(held)))
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
