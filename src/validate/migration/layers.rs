//! All layers of a config, migrated together: each document that the layers make becomes the migration of that document. Knows
//! layers and their merge; not where they are stored.
//!
//! The steps are done to each layer, which says what its author would have written, and to each merged document, which says what has to
//! come out. Where the merge of the migrated layers is something else (a `null` or a value in the way, a default with no layer below
//! it), the layer is fitted: it keeps what it says as far as that is right, and gets the difference as values and `null`s. Base layers
//! can always be fitted, because all documents that build upon one inherit the same. An override is merged into the documents
//! of all scopes below its own: if it cannot be right for all of them, the migration is refused.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::{EXPRESSION_STEPS_MAX, MIGRATION_FAILED, Migration, Role};
use crate::model::merge::{members_of, merge_opaque};
use crate::model::{LayerKey, LayerKind, Pointer, Scope};
use crate::validate::contract::STEPS_PER_RULE_STEP;
use crate::validate::size::parts;
use crate::validate::{Found, Severity};

/// Whether a value is moved and replaced as a whole, though it is an object: a secret.
pub type IsOpaque = fn(&Value) -> bool;

/// Why layers are not migrated.
#[derive(Clone, Debug, PartialEq)]
pub enum NotMigrated {
    /// What is wrong with the layer or the document of a scope.
    Refused(Scope, Found),
    /// The steps were not paid for.
    Stopped,
}

impl From<(Scope, Found)> for NotMigrated {
    fn from((scope, found): (Scope, Found)) -> NotMigrated {
        NotMigrated::Refused(scope, found)
    }
}

/// Pays for steps of work, of some 12 ns each. Whether to go on.
pub type Pay<'a> = dyn Fn(u64) -> bool + 'a;

/// To merge, clone or compare one part of a document.
const STEPS_PER_PART: u64 = 8;

/// Migrates the layers of a config by some migrations, one after the other. Gives them back in their order. What it takes to migrate one
/// document is bounded, and paid before the next one is begun.
pub fn migrate_layers(
    migrations: &[Migration],
    layers: &[(LayerKey, Value)],
    is_opaque: IsOpaque,
    pay: &Pay<'_>,
) -> Result<Vec<Value>, NotMigrated> {
    let mut places: Vec<usize> = (0..layers.len()).collect();
    // What a scope inherits from comes before it, and after it what inherits from it.
    places.sort_by_key(|at| {
        let key = &layers[*at].0;
        (key.scope.segments().map(str::to_owned).collect::<Vec<_>>(), key.kind)
    });
    let by_key =
        layers.iter().enumerate().map(|(at, (key, _))| ((key.kind, key.scope.as_str()), at)).collect();
    let mut all = All {
        migrations,
        layers,
        by_key,
        is_opaque,
        pay,
        migrated: layers.iter().map(|(_, value)| value.clone()).collect(),
    };
    all.migrate_bases(&places)?;
    if layers.iter().any(|(key, _)| key.kind == LayerKind::Override) {
        all.migrate_overrides(&places)?;
        all.check_documents(&places)?;
    }
    all.check_opaque()?;
    Ok(all.migrated)
}

struct All<'a> {
    migrations: &'a [Migration],
    layers: &'a [(LayerKey, Value)],
    by_key: HashMap<(LayerKind, &'a str), usize>,
    is_opaque: IsOpaque,
    pay: &'a Pay<'a>,
    migrated: Vec<Value>,
}

/// A base document, and what becomes of it.
#[derive(Clone)]
struct Base {
    before: Value,
    after: Value,
}

impl All<'_> {
    fn migrate_bases(&mut self, places: &[usize]) -> Result<(), NotMigrated> {
        let layers = self.layers;
        // The documents of the scopes around the one at hand.
        let mut around: Vec<(&Scope, Base)> = Vec::new();
        for at in places.iter().copied().filter(|at| layers[*at].0.kind == LayerKind::Base) {
            let (key, layer) = &layers[at];
            while around.last().is_some_and(|(scope, _)| !scope.contains(&key.scope)) {
                around.pop();
            }
            let inherited = around.last().map(|(_, base)| base.clone());
            let role = if inherited.is_some() { Role::Above } else { Role::Foundation };
            let Base { mut before, after } = inherited.unwrap_or_else(Base::empty);
            merge_opaque(&mut before, layer, self.is_opaque);
            let target = self.document(&key.scope, &before)?;
            self.migrated[at] = self.fitted(role, &after, &target, layer)?;
            around.push((&key.scope, Base { before, after: target }));
        }
        Ok(())
    }

    fn migrate_overrides(&mut self, places: &[usize]) -> Result<(), NotMigrated> {
        let layers = self.layers;
        for at in places.iter().copied().filter(|at| layers[*at].0.kind == LayerKind::Override) {
            let (key, layer) = &layers[at];
            let (before, _) = self.effective(&key.scope, None);
            let (_, inherited) = self.effective(&key.scope, Some(at));
            let target = self.document(&key.scope, &before)?;
            self.migrated[at] = self.fitted(Role::Above, &inherited, &target, layer)?;
        }
        Ok(())
    }

    /// Compares the documents of all scopes at which overrides take part.
    fn check_documents(&self, places: &[usize]) -> Result<(), NotMigrated> {
        let mut checked = None;
        for scope in places.iter().map(|at| &self.layers[*at].0.scope) {
            if checked.replace(scope) == Some(scope) {
                continue;
            }
            let (before, after) = self.effective(scope, None);
            let target = self.document(scope, &before)?;
            if let Some(place) = first_difference(&after, &target) {
                let message = format!(
                    "an override around {scope} cannot be migrated so that the documents of all scopes below it stay right: that of {scope} would differ"
                );
                let suggestion = "delete the overrides that say something there, migrate, and set them again";
                return Err((scope.clone(), refused(place, message, suggestion)).into());
            }
        }
        Ok(())
    }

    /// The effective document of a scope, before and after. `without`: the override of the scope itself, to leave out.
    fn effective(&self, scope: &Scope, without: Option<usize>) -> (Value, Value) {
        let Base { mut before, mut after } = Base::empty();
        for kind in [LayerKind::Base, LayerKind::Override] {
            // Only what is around the scope, however many layers there are.
            let around = scope.lineage_paths().filter_map(|path| self.by_key.get(&(kind, path)).copied());
            for at in around.filter(|at| Some(*at) != without) {
                merge_opaque(&mut before, &self.layers[at].1, self.is_opaque);
                merge_opaque(&mut after, &self.migrated[at], self.is_opaque);
            }
        }
        (before, after)
    }

    /// Pays for the work that a document is, and for what its expressions have taken of `EXPRESSION_STEPS_MAX`.
    fn pay(&self, document: &Value, expressions_left: u64) -> Result<(), NotMigrated> {
        let passes: u64 = self.migrations.iter().map(Migration::passes).sum();
        let passes = parts(document).saturating_mul(STEPS_PER_PART).saturating_mul(passes.saturating_add(2));
        let expressions = (EXPRESSION_STEPS_MAX - expressions_left).saturating_mul(STEPS_PER_RULE_STEP);
        match (self.pay)(passes.saturating_add(expressions)) {
            true => Ok(()),
            false => Err(NotMigrated::Stopped),
        }
    }

    /// What becomes of a document.
    fn document(&self, scope: &Scope, before: &Value) -> Result<Value, NotMigrated> {
        let (mut document, mut left) = (before.clone(), EXPRESSION_STEPS_MAX);
        for migration in self.migrations {
            migration
                .apply(Role::Foundation, &mut document, self.is_opaque, &mut left)
                .map_err(|found| (scope.clone(), found))?;
        }
        self.pay(before, left)?;
        // A place that was only removed leaves nothing, as a merge does.
        let mut merged = Value::Object(Map::new());
        merge_opaque(&mut merged, &document, self.is_opaque);
        Ok(merged)
    }

    /// The layer that makes `target` of `inherited`, as near to what the steps make of the layer as can be.
    fn fitted(
        &self,
        role: Role,
        inherited: &Value,
        target: &Value,
        layer: &Value,
    ) -> Result<Value, NotMigrated> {
        let (mut proposed, mut left) = (layer.clone(), EXPRESSION_STEPS_MAX);
        for migration in self.migrations {
            // What the steps cannot do to the layer alone, they may well do to the document.
            let _ = migration.apply(role, &mut proposed, self.is_opaque, &mut left);
        }
        self.pay(layer, left)?;
        let mut merged = inherited.clone();
        merge_opaque(&mut merged, &proposed, self.is_opaque);
        if merged == *target {
            return Ok(proposed);
        }
        let none = Map::new();
        let members = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
        Ok(Value::Object(fit(
            inherited.as_object().unwrap_or(&none),
            &members(target),
            &members(&proposed),
            self.is_opaque,
        )))
    }

    /// No layer gets a secret from another one.
    fn check_opaque(&self) -> Result<(), NotMigrated> {
        for ((key, before), after) in self.layers.iter().zip(&self.migrated) {
            let mut known = BTreeSet::new();
            each_opaque(before, &Pointer::root(), self.is_opaque, &mut |_, value| {
                known.insert(value.to_string());
            });
            let mut copied = None;
            each_opaque(after, &Pointer::root(), self.is_opaque, &mut |place, value| {
                if !known.contains(&value.to_string()) {
                    copied.get_or_insert(place);
                }
            });
            if let Some(place) = copied {
                let message =
                    format!("the layer at {} would get a copy of a secret that it inherits", key.scope);
                let suggestion = "write the secret to this layer itself, or remove what is in its way";
                return Err((key.scope.clone(), refused(place, message, suggestion)).into());
            }
        }
        Ok(())
    }
}

impl Base {
    fn empty() -> Base {
        Base { before: Value::Object(Map::new()), after: Value::Object(Map::new()) }
    }
}

fn refused(place: Pointer, message: String, suggestion: &str) -> Found {
    Found {
        severity: Severity::Error,
        code: MIGRATION_FAILED.into(),
        pointer: place.to_string(),
        message,
        suggestion: suggestion.into(),
    }
}

/// The patch that makes `target` of `inherited`, with what is `proposed` where that is right.
fn fit(
    inherited: &Map<String, Value>,
    target: &Map<String, Value>,
    proposed: &Map<String, Value>,
    is_opaque: IsOpaque,
) -> Map<String, Value> {
    let none = Map::new();
    let mut patch = Map::new();
    for name in inherited.keys().chain(proposed.keys()).filter(|name| !target.contains_key(*name)) {
        // Where nothing is inherited, a null is kept: it says that nothing is wanted there.
        if inherited.contains_key(name) || proposed.get(name).is_some_and(Value::is_null) {
            patch.insert(name.clone(), Value::Null);
        }
    }
    for (name, value) in target {
        let (below, proposal) = (inherited.get(name), proposed.get(name));
        if let Some(proposal) = proposal.filter(|proposal| !proposal.is_null()) {
            let mut merged = below.cloned().unwrap_or(Value::Null);
            merge_opaque(&mut merged, proposal, is_opaque);
            if merged == *value {
                patch.insert(name.clone(), proposal.clone());
                continue;
            }
        } else if below == Some(value) {
            continue;
        }
        let fitted = match members_of(value, is_opaque) {
            None => value.clone(),
            Some(members) => {
                let members_of = |value: Option<&'_ Value>| -> Map<String, Value> {
                    value.and_then(|value| members_of(value, is_opaque)).unwrap_or(&none).clone()
                };
                Value::Object(fit(&members_of(below), members, &members_of(proposal), is_opaque))
            }
        };
        patch.insert(name.clone(), fitted);
    }
    patch
}

fn first_difference(a: &Value, b: &Value) -> Option<Pointer> {
    if a == b {
        return None;
    }
    if let (Value::Object(a), Value::Object(b)) = (a, b) {
        for name in a.keys().chain(b.keys()) {
            match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) if a == b => {}
                (Some(a), Some(b)) => {
                    let below = first_difference(a, b).unwrap_or_else(Pointer::root);
                    return Some(
                        std::iter::once(name.as_str()).chain(below.tokens()).map(str::to_owned).collect(),
                    );
                }
                _ => return Some(Pointer::root().child(name)),
            }
        }
    }
    Some(Pointer::root())
}

fn each_opaque(value: &Value, place: &Pointer, is_opaque: IsOpaque, tell: &mut impl FnMut(Pointer, &Value)) {
    match value {
        value if is_opaque(value) => tell(place.clone(), value),
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, member)| each_opaque(member, &place.child(name), is_opaque, tell));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(at, item)| each_opaque(item, &place.child(&at.to_string()), is_opaque, tell));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
