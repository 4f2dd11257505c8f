//! What governs the configs of a namespace, as of a state: their schemas, rules and settings, which are configs themselves. Knows
//! which config governs which; what that means is known to validate.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use imbl::OrdMap;
use serde_json::Value;

use crate::model::{ConfigName, Governs, LayerKind};
use crate::validate::{Broken, Contract, NamespaceRules, Registry, Schema, Settings};

use super::ConfigState;
use crate::engine::check::effort::Effort;

/// What governs in one namespace. Immutable; contracts are made when they are first asked for.
#[derive(Debug, Default)]
pub struct Governance {
    /// Those that govern, without the deleted.
    configs: OrdMap<ConfigName, Arc<Governing>>,
    /// By the config that is governed.
    contracts: Mutex<Contracts>,
    /// Shared by all states that have the same.
    rules: Arc<NamespaceRules>,
    /// Whether every write must say why, once that was asked.
    demands_reason: OnceLock<bool>,
    /// Whether every change of a layer must say which version it expects, once that was asked.
    demands_match: OnceLock<bool>,
}

/// Contracts that were compiled.
#[derive(Debug, Default)]
struct Contracts {
    by_config: HashMap<ConfigName, Contracted>,
    /// What they take in memory, roughly and at most.
    size: usize,
}

/// When the contracts of a namespace take more in memory, those that were made before the last one are forgotten: a schema of some
/// kilobytes can have regular expressions of many megabytes.
const CONTRACTS_SIZE_MAX: usize = 96 << 20;

/// Steps of a contract that cannot be compiled. How far compiling came is not known.
const BROKEN_STEPS: u64 = 5_000_000;

/// A config that governs.
#[derive(Debug)]
struct Governing {
    config: Arc<ConfigState>,
    /// The schemas to which the schema in it refers: read once, and shared by all states that have it.
    references: OnceLock<BTreeSet<ConfigName>>,
}

impl Governing {
    fn new(config: &Arc<ConfigState>) -> Arc<Governing> {
        Arc::new(Governing { config: config.clone(), references: OnceLock::new() })
    }

    /// The base layer at `/`, as it is, since a schema may hold nulls.
    fn document(&self) -> Option<Value> {
        Some(self.config.layer_at(LayerKind::Base, "/")?.layer.content.to_value())
    }

    fn references(&self) -> &BTreeSet<ConfigName> {
        let read = || self.document().map(|document| Registry::references(&document)).unwrap_or_default();
        self.references.get_or_init(read)
    }
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
        let mut rules = before.map(|before| before.rules.clone()).unwrap_or_default();
        for config in changed {
            let name = &config.id.config;
            if name.governs() == Some(Governs::Rules(None)) {
                rules = Arc::default();
            }
            match config.is_deleted() {
                true => configs.remove(name),
                false if name.is_ordinary() => None,
                false => configs.insert(name.clone(), Governing::new(config)),
            };
        }
        (!configs.is_empty()).then(|| Arc::new(Governance { configs, rules, ..Governance::default() }))
    }

    /// What a config must satisfy. Compiles it at the first time.
    pub fn contract(&self, governed: &ConfigName) -> Contracted {
        if let Some(contract) = self.known(governed) {
            return contract;
        }
        let contract = Contract::build(governed, &|name| self.document(name), &self.rules);
        let contract = contract.map(Arc::new).map_err(Arc::new);
        self.contracts().add(governed, contract.clone());
        contract
    }

    /// The same. Spends the steps that it takes, of which there are none if it was compiled before.
    pub(in crate::engine) fn contract_counting(
        &self,
        governed: &ConfigName,
        effort: &Effort<'_>,
    ) -> Contracted {
        if let Some(contract) = self.known(governed) {
            return contract;
        }
        let contract = self.contract(governed);
        effort.spend(contract.as_ref().map_or(BROKEN_STEPS, |contract| contract.compile_steps()));
        contract
    }

    /// The same, if it was compiled before.
    pub fn known(&self, governed: &ConfigName) -> Option<Contracted> {
        self.contracts().by_config.get(governed).cloned()
    }

    /// The active schema of a config. `None` if it has none, or one that cannot be used.
    pub fn schema(&self, governed: &ConfigName) -> Option<Arc<Schema>> {
        self.contract(governed).ok()?.schema().cloned()
    }

    /// What a config holds that governs.
    pub fn document(&self, name: &ConfigName) -> Option<Value> {
        self.configs.get(name)?.document()
    }

    /// Whether a write in the namespace must say why it is made.
    pub fn demands_reason(&self) -> bool {
        let read = || {
            let settings = self.document(&Governs::Settings(None).name());
            settings.is_some_and(|settings| Settings::require_reason(&settings))
        };
        *self.demands_reason.get_or_init(read)
    }

    /// Whether a change of a layer in the namespace must say which version of the layer it expects.
    pub fn demands_match(&self) -> bool {
        let read = || {
            let settings = self.document(&Governs::Settings(None).name());
            settings.is_some_and(|settings| Settings::require_match(&settings))
        };
        *self.demands_match.get_or_init(read)
    }

    /// The schemas that refer to this one, themselves or through others, and this one.
    pub fn referring_to(&self, name: &ConfigName) -> BTreeSet<ConfigName> {
        let schemas = self.configs.iter().filter_map(|(stored, governing)| match stored.governs() {
            Some(Governs::Schema(of)) => Some((of, governing.references())),
            Some(Governs::Rules(_) | Governs::Settings(_)) | None => None,
        });
        let schemas: Vec<(ConfigName, &BTreeSet<ConfigName>)> = schemas.collect();
        let mut found = BTreeSet::from([name.clone()]);
        loop {
            let before = found.len();
            let referring = schemas.iter().filter(|(_, to)| !to.is_disjoint(&found));
            let referring: Vec<ConfigName> = referring.map(|(of, _)| of.clone()).collect();
            found.extend(referring);
            if found.len() == before {
                return found;
            }
        }
    }

    fn contracts(&self) -> MutexGuard<'_, Contracts> {
        self.contracts.lock().expect("nobody panics under this lock")
    }
}

impl Contracts {
    fn add(&mut self, governed: &ConfigName, contract: Contracted) {
        let size = contract.as_ref().map_or(0, |contract| contract.size());
        if self.size + size > CONTRACTS_SIZE_MAX {
            *self = Contracts::default();
        }
        self.size += size;
        self.by_config.insert(governed.clone(), contract);
    }
}
