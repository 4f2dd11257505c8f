//! How much each namespace has, counted with each commit, and whether a write would be too much. Knows states and plans; no stream.

use std::sync::Arc;

use crate::model::quota::{Quota, Quotas};
use crate::model::{ConfigChange, ConfigId, Namespace};

use super::{ConfigState, State};
use crate::engine::error::Error;

/// What a namespace has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// That have a layer.
    pub configs: u64,
    /// Content of their layers.
    pub bytes: u64,
}

/// How much more a namespace has after a write, or less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Growth {
    configs: i64,
    bytes: i64,
}

impl Usage {
    /// Counted anew.
    pub(in crate::engine) fn of(configs: &[Arc<ConfigState>]) -> Usage {
        let contents = configs.iter().flat_map(|config| config.layers());
        Usage {
            configs: configs.iter().filter(|config| !config.is_deleted()).count() as u64,
            bytes: contents.map(|entry| entry.layer.content.as_str().len() as u64).sum(),
        }
    }

    pub(in crate::engine) fn after(self, growth: Growth) -> Usage {
        Usage {
            configs: self.configs.saturating_add_signed(growth.configs),
            bytes: self.bytes.saturating_add_signed(growth.bytes),
        }
    }
}

impl Growth {
    /// By what happens to one config. The cost grows with the change, not with the config.
    pub fn of(before: Option<&ConfigState>, change: &ConfigChange, after: &ConfigState) -> Growth {
        let exists = |is_deleted: bool| i64::from(!is_deleted);
        let was = before.map_or(0, |before| exists(before.is_deleted()));
        let bytes = change.layers.iter().map(|layer| {
            let was = before.and_then(|before| before.layer(&layer.key));
            let was = was.map_or(0, |entry| entry.layer.content.as_str().len());
            let is = layer.content.as_ref().map_or(0, |content| content.as_str().len());
            is as i64 - was as i64
        });
        Growth { configs: exists(after.is_deleted()) - was, bytes: bytes.sum() }
    }

    /// By what happens to several, of each namespace. They come in the order of their ids.
    pub fn of_all<'a>(
        changes: &[ConfigChange],
        after: &[Arc<ConfigState>],
        base: impl Fn(&ConfigId) -> Option<&'a Arc<ConfigState>>,
    ) -> Vec<(Namespace, Growth)> {
        let mut growths: Vec<(Namespace, Growth)> = vec![];
        for (change, after) in changes.iter().zip(after) {
            let growth = Growth::of(base(&change.id).map(Arc::as_ref), change, after);
            match growths.last_mut() {
                Some((namespace, sum)) if *namespace == change.id.namespace => {
                    sum.configs += growth.configs;
                    sum.bytes += growth.bytes;
                }
                Some(_) | None => growths.push((change.id.namespace.clone(), growth)),
            }
        }
        growths.retain(|(_, growth)| growth.configs > 0 || growth.bytes > 0);
        growths
    }

    pub fn is_none(self) -> bool {
        self == Growth::default()
    }
}

impl State {
    /// Refuses what makes a namespace larger than it may be. Who is above a quota already can still make it smaller.
    pub(in crate::engine) fn check_growth(&self, growths: &[(Namespace, Growth)]) -> Result<(), Error> {
        for (namespace, growth) in growths.iter().filter(|(namespace, _)| !namespace.is_reserved()) {
            let (after, quotas) = (self.usage(namespace).after(*growth), self.quotas().of(namespace));
            let grows =
                [(Quota::Configs, growth.configs, after.configs), (Quota::Bytes, growth.bytes, after.bytes)];
            for (quota, growth, found) in grows {
                if growth > 0 {
                    check(namespace, quota, found, &quotas)?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses what there would be too much of.
pub(in crate::engine) fn check(
    namespace: &Namespace,
    quota: Quota,
    found: u64,
    quotas: &Quotas,
) -> Result<(), Error> {
    match quotas.get(quota) {
        Some(limit) if found > limit => {
            Err(Error::QuotaExceeded { namespace: namespace.clone(), quota, found, limit })
        }
        Some(_) | None => Ok(()),
    }
}
