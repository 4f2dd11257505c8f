//! Whether a plan is acceptable: which documents of which configs it reaches, and what their contracts say of them. Knows validate and
//! states; never the pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::model::{ConfigChange, ConfigId, LayerKind, Namespace, Pointer, Scope};
use crate::secret::{MASK, mask};
use crate::validate::{Broken, Contract, Finding, Found, FoundList, Hidden, Report, Subject, check_place};

use super::access::check_access;
use super::documents::{Documents, masked};
use super::governance::{Governance, Governed};
use super::lints::Lints;
use super::plan::Planning;
use super::reach::{check_sizes, reached};
use super::state::ConfigState;
use super::vault::Vault;

/// So many scopes are checked by one thread before another helps.
const SCOPES_ALONE: usize = 32;

/// How closely to look.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// Also for lints where nothing governs: they alone would be a third of the work of a write.
    pub lints_everywhere: bool,
    /// Only at this place of documents, and below it.
    pub within: Option<Arc<Pointer>>,
}

impl Look {
    /// For whoever asks for all that there is to say of a place in documents.
    pub fn at_all(place: Pointer) -> Look {
        Look { lints_everywhere: true, within: (!place.is_root()).then(|| Arc::new(place)) }
    }

    /// With these findings, as far as they are asked for.
    pub fn report(&self, findings: impl IntoIterator<Item = Finding>) -> Report {
        let mut report = Report::within(self.within.clone());
        findings.into_iter().for_each(|finding| report.add(finding));
        report
    }

    fn by(&self, contract: &Arc<Contract>) -> Arc<Contract> {
        match &self.within {
            None => contract.clone(),
            Some(place) => Arc::new(contract.within(Some(place.clone()))),
        }
    }
}

/// What governs and cannot be used, as it was told: where, and what.
type Told = BTreeSet<(ConfigId, String, String)>;

/// A config, before and after.
struct Checked<'a> {
    id: &'a ConfigId,
    before: Option<&'a ConfigState>,
    after: &'a ConfigState,
    /// Whose documents are to be checked.
    scopes: BTreeSet<&'a Scope>,
    /// The layers that are new.
    changed: BTreeSet<(LayerKind, &'a Scope)>,
}

/// Checks what becomes of configs. `after` are those that `changes` make, in the same order; `base` gives any config as it is
/// before; `governed` are those that the changed ones govern; `governing` tells what governs a namespace afterwards.
pub(super) fn check<'a>(
    changes: &'a [ConfigChange],
    after: &'a [Arc<ConfigState>],
    base: impl Fn(&ConfigId) -> Option<&'a Arc<ConfigState>>,
    governed: &'a [Arc<ConfigState>],
    governing: impl Fn(&Namespace) -> Option<Arc<Governance>>,
    planning: &Planning<'_>,
) -> Report {
    let Planning { limits, vault, look, .. } = *planning;
    let mut report = look.report([]);
    for (change, after) in changes.iter().zip(after) {
        check_sizes(change, after, limits.document_bytes_max).into_iter().for_each(|found| report.add(found));
    }
    let mut governings: BTreeMap<&Namespace, Option<Arc<Governance>>> = BTreeMap::new();
    for change in changes {
        governings.entry(&change.id.namespace).or_insert_with(|| governing(&change.id.namespace));
    }
    let mut checked: BTreeMap<&ConfigId, Checked<'_>> = BTreeMap::new();
    let mut told = Told::new();
    for (change, after) in changes.iter().zip(after).filter(|(change, _)| !change.layers.is_empty()) {
        check_access(change, base(&change.id).map(Arc::as_ref), after, planning.now, &mut report);
        let ungoverned = governings[&change.id.namespace].is_none();
        if change.id.config.is_ordinary() {
            if ungoverned && !look.lints_everywhere {
                continue;
            }
            let entry = Checked {
                id: &change.id,
                before: base(&change.id).map(Arc::as_ref),
                after,
                scopes: reached(change, after),
                changed: change.layers.iter().map(|layer| (layer.key.kind, &layer.key.scope)).collect(),
            };
            checked.insert(&change.id, entry);
        } else {
            check_governing(change, governings[&change.id.namespace].as_deref(), &mut told, &mut report);
        }
    }
    // What governs has changed for these, if anything has: all of their documents count.
    let has_changed = |change: &ConfigChange| !change.layers.is_empty() && !change.id.config.is_ordinary();
    let governed = if changes.iter().any(has_changed) { governed } else { &[] };
    for config in governed {
        let scopes: Vec<&Scope> = match checked.get(&config.id) {
            Some(entry) => entry.after.layers().iter().map(|entry| &entry.key.scope).collect(),
            None => config.layers().iter().map(|entry| &entry.key.scope).collect(),
        };
        let entry = checked.entry(&config.id).or_insert_with(|| Checked {
            id: &config.id,
            before: Some(config),
            after: config,
            scopes: BTreeSet::new(),
            changed: BTreeSet::new(),
        });
        entry.scopes.extend(scopes);
    }
    for entry in checked.values() {
        let governance = governings.get(&entry.id.namespace).and_then(Option::as_ref);
        match governance.map(|governance| governance.contract(&entry.id.config)) {
            None => check_config(entry, &look.by(&Arc::default()), vault, &mut report),
            Some(Ok(contract)) => check_config(entry, &look.by(&contract), vault, &mut report),
            Some(Err(broken)) => tell_broken(&entry.id.namespace, &broken, &mut told, &mut report),
        }
        if report.is_full_of_errors() {
            break;
        }
    }
    report
}

/// Checks all that is stored of a config.
pub(super) fn check_stored(
    config: &ConfigState,
    governance: Option<&Arc<Governance>>,
    vault: &Vault,
    look: &Look,
    report: &mut Report,
) {
    if !config.id.config.is_ordinary() {
        return;
    }
    let scopes: BTreeSet<&Scope> = config.layers().iter().map(|entry| &entry.key.scope).collect();
    let changed = config.layers().iter().map(|entry| (entry.key.kind, &entry.key.scope)).collect();
    let entry = Checked { id: &config.id, before: Some(config), after: config, scopes, changed };
    match governance.map(|governance| governance.contract(&config.id.config)) {
        None => check_config(&entry, &look.by(&Arc::default()), vault, report),
        Some(Ok(contract)) => check_config(&entry, &look.by(&contract), vault, report),
        Some(Err(broken)) => tell_broken(&config.id.namespace, &broken, &mut Told::new(), report),
    }
}

/// Checks a config that governs: its form, and that what it governs can be told what to satisfy.
fn check_governing(change: &ConfigChange, after: Option<&Governance>, told: &mut Told, report: &mut Report) {
    for layer in change.layers.iter().filter(|layer| layer.content.is_some()) {
        let is_override = layer.key.kind == LayerKind::Override;
        if let Some(found) = check_place(&layer.key.scope, is_override) {
            report.add(Finding::at(&change.id, &layer.key.scope, found));
        }
    }
    let (Some(after), Some(governs)) = (after, change.id.config.governs()) else { return };
    let names = match after.governed_by(&governs) {
        Governed::These(names) => names,
        // Any will do: what is broken is so for all of them.
        Governed::All => BTreeSet::from([change.id.config.clone()]),
    };
    for name in names {
        if let Err(broken) = after.contract(&name) {
            tell_broken(&change.id.namespace, &broken, told, report);
        }
    }
}

/// Tells of what governs and cannot be used, each once.
fn tell_broken(namespace: &Namespace, broken: &[Broken], told: &mut Told, report: &mut Report) {
    for Broken { governing, found } in broken {
        let id = ConfigId { namespace: namespace.clone(), config: governing.clone() };
        if told.insert((id.clone(), found.pointer.clone(), found.message.clone())) {
            report.add(Finding::at(&id, &Scope::global(), found.clone()));
        }
    }
}

fn check_config(entry: &Checked<'_>, contract: &Contract, vault: &Vault, report: &mut Report) {
    let scopes: Vec<&Scope> = entry.scopes.iter().copied().collect();
    let threads = match scopes.len() {
        0..SCOPES_ALONE => 1,
        _ => thread::available_parallelism().map_or(1, |count| count.get()),
    };
    if threads == 1 {
        return check_scopes(entry, contract, vault, &scopes, report);
    }
    // Scopes that stand together share what they inherit.
    let parts = scopes.chunks(scopes.len().div_ceil(threads));
    let reports: Vec<Report> = thread::scope(|scope| {
        let running: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let mut report = Report::default();
                    check_scopes(entry, contract, vault, part, &mut report);
                    report
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a check does not panic")).collect()
    });
    for part in reports {
        report.omitted += part.omitted;
        part.findings.into_iter().for_each(|finding| report.add(finding));
    }
}

fn check_scopes(
    entry: &Checked<'_>,
    contract: &Contract,
    vault: &Vault,
    scopes: &[&Scope],
    report: &mut Report,
) {
    let mut after = Documents::of(entry.after, vault);
    let mut before = entry.before.filter(|_| contract.reads_old()).map(|before| Documents::of(before, vault));
    let mut lints = Lints::new(contract, &entry.scopes);
    for scope in scopes {
        let Some(document) = after.effective(scope) else { continue };
        if !contract.is_light() {
            let old = before.as_mut().and_then(|before| before.effective(scope));
            let others = after.others(scope);
            let secret: BTreeSet<&Pointer> =
                after.secrets().iter().chain(before.iter().flat_map(|before| before.secrets())).collect();
            let check = |document: &Value| {
                let old = old.as_deref();
                let hidden = (!secret.is_empty()).then(|| hidden(&secret, document, old));
                contract.check(&Subject { scope, document, old, hidden: hidden.as_ref() })
            };
            let found = check(&document);
            let mut known: BTreeSet<(String, String)> = BTreeSet::new();
            if !others.is_empty() {
                known
                    .extend(found.kept().iter().map(|found| (found.pointer.clone(), found.code.to_string())));
            }
            report.add_found(entry.id, scope, found);
            for (which, document) in others {
                let found = without_known(check(&document), &mut known, which);
                report.add_found(entry.id, scope, found);
            }
        }
        report.add_found(entry.id, scope, lints.new_at(scope, document, &mut after));
        for kind in [LayerKind::Base, LayerKind::Override] {
            if entry.changed.contains(&(kind, scope))
                && let Some((mut layer, inherited)) = after.layer_and_inherited(kind, scope)
            {
                // Nor whether one equals another.
                mask(&mut layer, after.secrets(), &MASK.into());
                let inherited = masked(inherited, after.secrets(), &false.into());
                report.add_found(entry.id, scope, contract.lint_layer(kind, &layer, &inherited));
            }
        }
        if report.is_full_of_errors() {
            return;
        }
    }
}

/// What must not be told of a document, nor of the one before.
fn hidden(secrets: &BTreeSet<&Pointer>, document: &Value, old: Option<&Value>) -> Hidden {
    let without = |document: &Value| {
        let mut document = document.clone();
        mask(&mut document, secrets.iter().copied(), &MASK.into());
        document
    };
    let places = secrets.iter().map(|pointer| pointer.to_string()).collect();
    Hidden { places, document: without(document), old: old.map(without) }
}

/// What was not found in another document of the same scope already.
fn without_known(found: FoundList, known: &mut BTreeSet<(String, String)>, which: &str) -> FoundList {
    let mut rest = FoundList::default();
    for found in found.into_kept() {
        if known.insert((found.pointer.clone(), found.code.to_string())) {
            rest.add(found.severity, || Found { message: format!("{which}: {}", found.message), ..found });
        }
    }
    rest
}
