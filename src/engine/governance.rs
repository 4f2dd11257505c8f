//! What governs the configs of a namespace, as of a state: their schemas, rules and settings, which are configs themselves. Knows
//! which config governs which; what that means is known to validate.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::model::{ConfigName, Governs, LayerKind};
use crate::validate::{Broken, Contract, Registry, Schema};

use super::state::ConfigState;

/// What governs in one namespace. Immutable; contracts are made when they are first asked for.
#[derive(Debug, Default)]
pub struct Governance {
    /// Those that govern, without the deleted.
    configs: BTreeMap<ConfigName, Arc<ConfigState>>,
    /// By the config that is governed.
    contracts: Mutex<HashMap<ConfigName, Contracted>>,
}

/// What a config must satisfy, or why that cannot be told.
pub type Contracted = Result<Arc<Contract>, Arc<Vec<Broken>>>;

/// The configs that some others govern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Governed {
    These(BTreeSet<ConfigName>),
    /// All configs of the namespace that are not such themselves.
    All,
}

impl Governance {
    /// What governs after these configs have changed; others are not looked at. `None`: nothing.
    pub fn after<'a>(
        before: Option<&Governance>,
        changed: impl IntoIterator<Item = &'a Arc<ConfigState>>,
    ) -> Option<Arc<Governance>> {
        let mut configs = before.map(|before| before.configs.clone()).unwrap_or_default();
        for config in changed {
            let name = &config.id.config;
            match config.is_deleted() {
                true => configs.remove(name),
                false if name.is_ordinary() => None,
                false => configs.insert(name.clone(), config.clone()),
            };
        }
        (!configs.is_empty()).then(|| Arc::new(Governance { configs, contracts: Mutex::default() }))
    }

    /// What a config must satisfy. Compiles it at the first time.
    pub fn contract(&self, governed: &ConfigName) -> Contracted {
        if let Some(contract) = self.known(governed) {
            return contract;
        }
        let contract = Contract::build(governed, &|name| self.document(name));
        let contract = contract.map(Arc::new).map_err(Arc::new);
        self.contracts().insert(governed.clone(), contract.clone());
        contract
    }

    /// The same, if it was compiled before.
    pub fn known(&self, governed: &ConfigName) -> Option<Contracted> {
        self.contracts().get(governed).cloned()
    }

    /// The active schema of a config. `None` if it has none, or one that cannot be used.
    pub fn schema(&self, governed: &ConfigName) -> Option<Arc<Schema>> {
        self.contract(governed).ok()?.schema().cloned()
    }

    /// What a config holds that governs: the base layer at `/`, as it is, since a schema may hold nulls.
    pub fn document(&self, name: &ConfigName) -> Option<Value> {
        let entry = self.configs.get(name)?.layer_at(LayerKind::Base, "/")?;
        Some(entry.layer.content.to_value())
    }

    /// The configs for which it matters what a config of this name holds.
    pub fn governed_by(&self, governs: &Governs) -> Governed {
        match governs {
            Governs::Rules(None) | Governs::Settings(None) => Governed::All,
            Governs::Rules(Some(name)) | Governs::Settings(Some(name)) => {
                Governed::These(BTreeSet::from([name.clone()]))
            }
            Governs::Schema(name) => Governed::These(self.referring_to(name)),
        }
    }

    /// The schemas that refer to this one, themselves or through others, and this one.
    fn referring_to(&self, name: &ConfigName) -> BTreeSet<ConfigName> {
        let references: Vec<(ConfigName, BTreeSet<ConfigName>)> = self
            .configs
            .keys()
            .filter_map(|stored| match stored.governs() {
                Some(Governs::Schema(of)) => Some((of, self.document(stored)?)),
                Some(Governs::Rules(_) | Governs::Settings(_)) | None => None,
            })
            .map(|(of, document)| (of, Registry::references(&document)))
            .collect();
        let mut found = BTreeSet::from([name.clone()]);
        loop {
            let before = found.len();
            let referring = references.iter().filter(|(_, to)| !to.is_disjoint(&found));
            let referring: Vec<ConfigName> = referring.map(|(of, _)| of.clone()).collect();
            found.extend(referring);
            if found.len() == before {
                return found;
            }
        }
    }

    fn contracts(&self) -> std::sync::MutexGuard<'_, HashMap<ConfigName, Contracted>> {
        self.contracts.lock().expect("nobody panics under this lock")
    }
}
