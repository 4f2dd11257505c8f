//! Checks a plan: finds the documents that it affects and validates them against their contracts. Knows validate and states; never the
//! pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use serde_json::Value;

use crate::auth::Visibility;
use crate::model::{
    ConfigChange, ConfigId, ConfigName, Governs, LayerKey, LayerKind, Namespace, Pointer, Scope,
};
use crate::secret::{MASK, holds_sealed, mask};
use crate::validate::{
    Broken, CheckedDocument, Contract, Finding, Found, FoundList, Hidden, Report, Steps, lint,
};

use super::affected_documents::{check_sizes, reached};
use super::effort::Effort;
use super::lints::Lints;
use super::look::Look;
use crate::engine::commit::planning::Planning;
use crate::engine::error::Error;
use crate::engine::read::documents;
use crate::engine::read::documents::Documents;
use crate::engine::read::resolve::{View, layers_of};
use crate::engine::secrets::key_store::KeyStore;
use crate::engine::secrets::redaction::{Permissions, hidden_inheritance, uncovers};
use crate::engine::state::governance::{Governance, Governed};
use crate::engine::state::system;
use crate::engine::state::{ConfigState, LayerEntry};

static GLOBAL: Scope = Scope::global();

/// So many scopes are checked by one thread before another helps.
const SCOPES_ALONE: usize = 32;

/// A layer with secrets costs so many times as much as another one: they are opened, and masked in each document that is made of it.
const SEALED_TIMES: usize = 8;
/// When so many contracts cannot be compiled, no further ones are: the change is refused anyway, and what is wrong is most likely the same.
const BROKEN_CONTRACTS_MAX: usize = 16;

/// What governs and cannot be used, as it was told: where, and what.
type BrokenGoverning = BTreeSet<(ConfigId, String, String)>;

/// What the checks of one call have in common.
#[derive(Clone, Copy)]
struct Checking<'a> {
    key_store: &'a KeyStore,
    permissions: Permissions<'a>,
    /// What the caller writes in clear text.
    written: &'a WrittenAnywhere<'a>,
    /// Findings are asked for at one place only.
    is_within: bool,
    effort: &'a Effort<'a>,
}

/// The values that a caller writes to a layer of a config in clear text.
pub(in crate::engine) type WrittenAnywhere<'a> = dyn Fn(&ConfigId, &LayerKey) -> Value + Sync + 'a;

/// A config, before and after.
struct Checked<'a> {
    id: &'a ConfigId,
    before: Option<&'a ConfigState>,
    after: &'a ConfigState,
    /// Whose documents are to be checked.
    scopes: BTreeSet<&'a Scope>,
    /// The layers that are new.
    changed: BTreeSet<(LayerKind, &'a Scope)>,
    /// The scopes that the settings of the namespace have to allow, and whether a layer there is new.
    to_allow: BTreeMap<&'a Scope, bool>,
}

/// Checks what becomes of configs. `after` are those that `changes` make, in the same order; `base` gives any config as it is
/// before; `governed` are those that the changed ones govern; `governing` tells what governs a namespace afterwards.
///
/// A caller who may not reveal the secrets of a document has it checked with a mask in the place of each, but those that `written` has: else
/// the rules and schemas that apply could be asked what the secrets are.
pub(in crate::engine) fn check<'a>(
    changes: &'a [ConfigChange],
    after: &'a [Arc<ConfigState>],
    base: impl Fn(&ConfigId) -> Option<&'a Arc<ConfigState>>,
    governed: &'a [Arc<ConfigState>],
    governing: impl Fn(&Namespace) -> Option<Arc<Governance>>,
    written: &WrittenAnywhere<'_>,
    planning: &Planning<'_>,
) -> Result<Report, Error> {
    let Planning { limits, key_store, look, visibility, .. } = *planning;
    let mut report = look.report([]);
    for (change, after) in changes.iter().zip(after) {
        planning.cancelled.check()?;
        check_sizes(change, after, limits.document_bytes_max).into_iter().for_each(|found| report.add(found));
    }
    let mut governings: BTreeMap<&Namespace, Option<Arc<Governance>>> = BTreeMap::new();
    for change in changes {
        governings.entry(&change.id.namespace).or_insert_with(|| governing(&change.id.namespace));
    }
    let mut checked: BTreeMap<&ConfigId, Checked<'_>> = BTreeMap::new();
    let mut told = BrokenGoverning::new();
    let permissions = Permissions::of(visibility);
    let mut governing_changes = vec![];
    for (change, after) in changes.iter().zip(after).filter(|(change, _)| !change.layers.is_empty()) {
        planning.cancelled.check()?;
        system::check(change, base(&change.id).map(Arc::as_ref), after, planning.now, &mut report);
        let ungoverned = governings[&change.id.namespace].is_none();
        if change.id.config.is_ordinary() {
            // The documents below are not those of the caller, and may be very many.
            let scopes = match ungoverned && !look.lints_everywhere {
                true if !look.lints_written => continue,
                true => change.layers.iter().map(|layer| &layer.key.scope).collect(),
                false => reached(change, after),
            };
            let before = base(&change.id).map(Arc::as_ref);
            let entry = Checked {
                id: &change.id,
                before,
                after,
                scopes,
                changed: change.layers.iter().map(|layer| (layer.key.kind, &layer.key.scope)).collect(),
                to_allow: written_scopes(change, before, permissions),
            };
            checked.insert(&change.id, entry);
        } else {
            governing_changes.push(change);
        }
    }
    // What governs has changed for these, if anything has: all of their documents count.
    let has_changed = |change: &ConfigChange| !change.layers.is_empty() && !change.id.config.is_ordinary();
    let governed = if changes.iter().any(has_changed) { governed } else { &[] };
    let restricted: BTreeSet<&Namespace> = changes
        .iter()
        .filter(|change| system::rechecks_scopes(&change.id.config))
        .map(|change| &change.id.namespace)
        .collect();
    for config in governed {
        planning.cancelled.check()?;
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
            to_allow: BTreeMap::new(),
        });
        if restricted.contains(&config.id.namespace) {
            scopes.iter().for_each(|scope| _ = entry.to_allow.entry(scope).or_insert(false));
        }
        entry.scopes.extend(scopes);
    }
    let effort = planning.effort(checked.values().map(|entry| entry.scopes.len()).sum());
    for change in governing_changes {
        planning.cancelled.check()?;
        let governance = governings[&change.id.namespace].as_deref();
        check_governing(change, governance, &effort, &mut told, &mut report);
    }
    let checking =
        Checking { key_store, permissions, written, is_within: look.within.is_some(), effort: &effort };
    let mut broken_contracts = 0;
    for entry in checked.values() {
        if broken_contracts >= BROKEN_CONTRACTS_MAX || report.is_full_of_errors() || effort.is_over() {
            break;
        }
        let governance = governings.get(&entry.id.namespace).and_then(Option::as_ref);
        match governance.map(|governance| governance.contract_counting(&entry.id.config, &effort)) {
            None => {
                let mut of_entry = look.report([]);
                check_config(entry, &look.by(&Arc::default()), &checking, &mut of_entry);
                report.omitted += of_entry.omitted;
                let told = of_entry.findings.into_iter().filter(|finding| look.tells_ungoverned(finding));
                told.for_each(|finding| report.add(finding));
            }
            Some(Ok(contract)) => check_config(entry, &look.by(&contract), &checking, &mut report),
            Some(Err(broken)) => {
                broken_contracts += 1;
                tell_broken(&entry.id.namespace, &broken, &mut told, &mut report);
            }
        }
    }
    effort.check()?;
    Ok(report)
}

/// Checks all that is stored of a config, unless the effort is over.
pub(in crate::engine) fn check_stored(
    config: &ConfigState,
    governance: Option<&Arc<Governance>>,
    (key_store, visibility): (&KeyStore, &Visibility),
    look: &Look,
    effort: &Effort<'_>,
    report: &mut Report,
) {
    if !config.id.config.is_ordinary() || effort.is_over() {
        return;
    }
    let scopes: BTreeSet<&Scope> = config.layers().iter().map(|entry| &entry.key.scope).collect();
    let changed = config.layers().iter().map(|entry| (entry.key.kind, &entry.key.scope)).collect();
    let to_allow = scopes.iter().map(|scope| (*scope, false)).collect();
    let entry = Checked { id: &config.id, before: Some(config), after: config, scopes, changed, to_allow };
    let (permissions, is_within) = (Permissions::of(Some(visibility)), look.within.is_some());
    let checking = Checking { key_store, permissions, written: &|_, _| Value::Null, is_within, effort };
    match governance.map(|governance| governance.contract_counting(&config.id.config, effort)) {
        None => check_config(&entry, &look.by(&Arc::default()), &checking, report),
        Some(Ok(contract)) => check_config(&entry, &look.by(&contract), &checking, report),
        Some(Err(broken)) => tell_broken(&config.id.namespace, &broken, &mut BrokenGoverning::new(), report),
    }
}

/// Checks a config that governs: its form, and that what it governs can be told what to satisfy.
fn check_governing(
    change: &ConfigChange,
    after: Option<&Governance>,
    effort: &Effort<'_>,
    told: &mut BrokenGoverning,
    report: &mut Report,
) {
    system::check_form(change, report);
    let (Some(after), Some(governs)) = (after, change.id.config.governs()) else { return };
    let names = match system::governed_by(after, &governs) {
        Governed::These(names) => names,
        // Any will do: what is broken is so for all of them.
        Governed::All => BTreeSet::from([change.id.config.clone()]),
    };
    let mut broken_contracts = 0;
    for name in names {
        if broken_contracts >= BROKEN_CONTRACTS_MAX || effort.is_over() {
            return;
        }
        if let Err(broken) = after.contract_counting(&name, effort) {
            broken_contracts += 1;
            tell_broken(&change.id.namespace, &broken, told, report);
        }
    }
}

/// Tells of what governs and cannot be used, each once.
fn tell_broken(namespace: &Namespace, broken: &[Broken], told: &mut BrokenGoverning, report: &mut Report) {
    for Broken { governing, found } in broken {
        let id = ConfigId { namespace: namespace.clone(), config: governing.clone() };
        if told.insert((id.clone(), found.pointer.clone(), found.message.clone())) {
            report.add(Finding::at(&id, &Scope::global(), found.clone()));
        }
    }
}

/// The scopes at which a change writes layers, and whether it makes a new one there. For a caller who may not read a scope every layer counts
/// as new, so that a refusal does not reveal whether the layer exists.
fn written_scopes<'a>(
    change: &'a ConfigChange,
    before: Option<&ConfigState>,
    permissions: Permissions<'_>,
) -> BTreeMap<&'a Scope, bool> {
    let mut scopes = BTreeMap::new();
    for layer in change.layers.iter().filter(|layer| layer.content.is_some()) {
        let exists = before.is_some_and(|before| before.layer(&layer.key).is_some());
        let is_new = !exists || !permissions.read(&change.id, &layer.key.scope);
        *scopes.entry(&layer.key.scope).or_insert(false) |= is_new;
    }
    scopes
}

fn check_config(entry: &Checked<'_>, contract: &Contract, checking: &Checking<'_>, report: &mut Report) {
    let settings = ConfigId { namespace: entry.id.namespace.clone(), config: Governs::Settings(None).name() };
    let may_quote = checking.permissions.read(&settings, &GLOBAL);
    for (scope, is_new) in &entry.to_allow {
        let found = contract.check_scope(scope, *is_new, may_quote);
        report.add_found(entry.id, scope, &BTreeSet::new(), found);
    }
    // Whether something is wrong at a place of a document is told to its readers only.
    let is_asked = |scope: &&Scope| !checking.is_within || checking.permissions.read(entry.id, scope);
    let scopes: Vec<&Scope> = entry.scopes.iter().copied().filter(is_asked).collect();
    let threads = match scopes.len() {
        0..SCOPES_ALONE => 1,
        _ => thread::available_parallelism().map_or(1, |count| count.get()),
    };
    if threads == 1 {
        return check_scopes(entry, contract, checking, &scopes, report);
    }
    // Scopes that stand together share what they inherit.
    let parts = scopes.chunks(scopes.len().div_ceil(threads));
    let reports: Vec<Report> = thread::scope(|scope| {
        let running: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let mut report = Report::default();
                    check_scopes(entry, contract, checking, part, &mut report);
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
    checking: &Checking<'_>,
    scopes: &[&Scope],
    report: &mut Report,
) {
    let Checking { key_store, permissions, effort, .. } = *checking;
    let before = entry.before.filter(|_| contract.reads_old());
    let written = |key: &LayerKey| (checking.written)(entry.id, key);
    let nothing = |_: &LayerKey| Value::Null;
    let mut open =
        (Documents::of(entry.after, key_store), before.map(|before| Documents::of(before, key_store)));
    let mut masked = (
        Documents::masked(entry.after, key_store, &written),
        before.map(|before| Documents::masked(before, key_store, &nothing)),
    );
    let mut replaced = (!permissions.read_all(entry.id))
        .then(|| entry.before.map(|before| Documents::masked(before, key_store, &nothing)));
    let mut lints = Lints::new(contract, &entry.scopes);
    for scope in scopes {
        if effort.is_over() {
            return;
        }
        let layers = layers_of(entry.after, scope, View::Effective);
        let sizes =
            layers.iter().map(|layer| layer.layer.content.as_str()).map(|text| match holds_sealed(text) {
                true => text.len() * SEALED_TIMES,
                false => text.len(),
            });
        effort.spend_bytes(sizes.sum());
        let (after, before) = match sees_secrets(entry, checking, scope) {
            true => (&mut open.0, &mut open.1),
            false => (&mut masked.0, &mut masked.1),
        };
        let Some(document) = after.effective(scope) else { continue };
        let inherits_unseen = replaced.as_mut().is_some_and(|before| {
            let before = before.as_mut().and_then(|before| before.effective(scope));
            let layers = layers_of(entry.after, scope, View::Effective).into_iter();
            let layers = layers.filter(|layer| permissions.read(entry.id, &layer.key.scope));
            let layers: Vec<Value> = layers.map(|layer| layer.layer.content.to_value()).collect();
            uncovers(&document, before.as_deref(), &layers.iter().collect::<Vec<_>>())
        });
        let mut check = |report: &mut Report| {
            let documents = (&mut *after, before.as_mut());
            check_scope(
                (entry, contract, checking),
                (scope, document.clone()),
                documents,
                &mut lints,
                report,
            );
        };
        match inherits_unseen {
            false => check(report),
            true => {
                let mut unseen = Report::default();
                check(&mut unseen);
                if !unseen.is_valid() {
                    report.add(Finding::at(entry.id, scope, hidden_inheritance()));
                }
            }
        }
        if report.is_full_of_errors() {
            return;
        }
    }
}

/// Whether the caller sees all secrets of a document, of which some may come from layers whose secrets they may not see: these count as seen
/// if the document had them before.
fn sees_secrets(entry: &Checked<'_>, checking: &Checking<'_>, scope: &Scope) -> bool {
    let Checking { key_store, permissions, .. } = *checking;
    if !permissions.reveal(entry.id, scope) || permissions.reveal_all(entry.id) {
        return permissions.reveal(entry.id, scope);
    }
    let mut after = Documents::of(entry.after, key_store);
    let Some(document) = after.effective(scope) else { return true };
    let before = entry.before.and_then(|before| Documents::of(before, key_store).effective(scope));
    let layers = layers_of(entry.after, scope, View::Effective).into_iter();
    let layers = layers.filter(|layer| permissions.reveal(entry.id, &layer.key.scope));
    let layers: Vec<Value> =
        layers.map(|layer| key_store.opened(entry.id, &layer.layer.content).value).collect();
    after.secrets().iter().all(|place| {
        let value = place.find(&document);
        value.is_none()
            || before.as_deref().and_then(|before| place.find(before)) == value
            || layers.iter().any(|layer| place.find(layer) == value)
    })
}

/// Checks the documents of one scope, and the layers there that are new.
fn check_scope<'a>(
    (entry, contract, checking): (&Checked<'a>, &Contract, &Checking<'_>),
    (scope, document): (&'a Scope, Arc<Value>),
    (after, before): (&mut Documents<'_>, Option<&mut Documents<'_>>),
    lints: &mut Lints<'a>,
    report: &mut Report,
) {
    let permissions = checking.permissions;
    if !contract.is_light() {
        let others = after.others(scope);
        let before = before.and_then(|before| Some((before.effective(scope)?, &*before)));
        let old = before.as_ref().map(|(old, before)| (&**old, *before));
        let check =
            |document: &Value| check_document(entry, contract, checking, scope, (document, &*after), old);
        let found = check(&document);
        let mut known: BTreeSet<(String, String)> = BTreeSet::new();
        if !others.is_empty() {
            known.extend(found.kept().iter().map(|found| (found.pointer.clone(), found.code.to_string())));
        }
        report.add_found(entry.id, scope, after.secrets(), found);
        for (which, document) in others {
            let found = without_known(check(&document), &mut known, which);
            report.add_found(entry.id, scope, after.secrets(), found);
        }
    }
    let mut linted = lints.new_at(scope, document, after);
    linted.filter_map(|found| Some(found).filter(|found| !is_meant_for_a_while(found, entry.after, scope)));
    report.add_found(entry.id, scope, after.secrets(), linted);
    for kind in [LayerKind::Base, LayerKind::Override] {
        if entry.changed.contains(&(kind, scope))
            && permissions.read_inherited(entry.id, scope)
            && let Some((mut layer, inherited)) = after.layer_and_inherited(kind, scope)
        {
            // Nor whether one equals another.
            mask(&mut layer, after.secrets(), &MASK.into());
            let inherited = documents::masked(inherited, after.secrets(), &false.into());
            let linted = contract.lint_layer(kind, &layer, &inherited);
            report.add_found(entry.id, scope, after.secrets(), linted);
        }
    }
}

/// Whether a lint asks for an override that ends by itself, and the value is from such an override.
fn is_meant_for_a_while(found: &Found, config: &ConfigState, scope: &Scope) -> bool {
    found.code == lint::DEBUG_IN_PRODUCTION
        && Pointer::parse(&found.pointer).is_ok_and(|place| {
            let ends = |entry: &&Arc<LayerEntry>| entry.layer.expires.is_some();
            let mut layers = layers_of(config, scope, View::Effective).into_iter().filter(ends);
            layers.any(|entry| place.find(&entry.layer.content.to_value()).is_some())
        })
}

/// Checks one document of a scope, given the one before.
fn check_document(
    entry: &Checked<'_>,
    contract: &Contract,
    checking: &Checking<'_>,
    scope: &Scope,
    (document, after): (&Value, &Documents<'_>),
    old: Option<(&Value, &Documents<'_>)>,
) -> FoundList {
    let secret: BTreeSet<&Pointer> =
        after.secrets().iter().chain(old.iter().flat_map(|(_, before)| before.secrets())).collect();
    let mut masked = after.masked_in(document);
    if let Some((old, before)) = old {
        masked.extend(before.masked_in(old));
    }
    let old = old.map(|(old, _)| old);
    let hidden = (!secret.is_empty()).then(|| hidden(&secret, document, old));
    let may_quote = |governed: &ConfigName| checking.permissions.quote_schema(&entry.id.namespace, governed);
    let (hidden, masked, may_quote) = (hidden.as_ref(), &masked, &may_quote);
    let mut steps = Steps::beyond(checking.effort.of_check());
    let subject = CheckedDocument { scope, document, old, hidden, masked, may_quote };
    let found = contract.check_counting(&subject, &mut steps);
    checking.effort.spend(steps.taken());
    found
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
