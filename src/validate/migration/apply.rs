//! The steps, done to a layer. Knows no text form of them.

use std::borrow::Cow;

use serde_json::Value;

use super::layer_value::{LayerValue, layer_value, put, take};
use super::{Applied, MIGRATION_FAILED, Migration, MigrationStep, Role};
use crate::model::Pointer;
use crate::model::canonical::normalize;
use crate::model::depth::depth;
use crate::model::limits::DEPTH_MAX;
use crate::validate::expression::{Expression, Variables};
use crate::validate::{Found, Severity};

/// What expressions see of an opaque value.
const OPAQUE: &str = "***";

/// Why a step cannot be done, and where.
struct StepRefusal {
    at: Pointer,
    message: String,
    suggestion: String,
}

impl Migration {
    /// Does all steps to a layer in normal form, or none: the result is in normal form. The severity of a refusal is error; its
    /// pointer is a place in the layer as the step found it. Values that are `is_opaque`, such as secrets, are moved and removed as a
    /// whole; no step looks into one. Takes what expressions cost from `steps`, also where they fail: they fail if too little is left.
    pub fn apply(
        &self,
        role: Role,
        layer: &mut Value,
        is_opaque: fn(&Value) -> bool,
        steps: &mut u64,
    ) -> Result<Applied, Found> {
        let mut migrated = layer.clone();
        let mut applied = Applied::default();
        for (number, step) in self.steps.iter().enumerate() {
            let refused = |refusal: StepRefusal| Found {
                severity: Severity::Error,
                code: Cow::Borrowed(MIGRATION_FAILED),
                pointer: refusal.at.to_string(),
                message: format!("step {number}, {step}: {}", refusal.message),
                suggestion: refusal.suggestion,
            };
            step.check_opaque(&migrated, is_opaque).map_err(refused)?;
            if step.apply(role, &mut migrated, is_opaque, steps).map_err(refused)? {
                applied.steps.push(number);
            }
        }
        normalize(&mut migrated);
        *layer = migrated;
        Ok(applied)
    }
}

impl MigrationStep {
    /// Refuses a step that leads into an opaque value, or would convert one.
    fn check_opaque(&self, layer: &Value, is_opaque: fn(&Value) -> bool) -> Result<(), StepRefusal> {
        let places: &[&Pointer] = match self {
            MigrationStep::Move { from, to } => &[from, to],
            MigrationStep::SetDefault { at, .. }
            | MigrationStep::Remove { at }
            | MigrationStep::Convert { at, .. } => &[at],
        };
        for place in places {
            let (mut value, mut here) = (Some(layer), Pointer::root());
            for token in place.tokens() {
                if value.is_some_and(is_opaque) {
                    return Err(StepRefusal {
                        at: here.clone(),
                        message: format!(
                            "the value at {here} is secret, so no step leads into it, to {place}"
                        ),
                        suggestion: format!("move or remove all of {here}"),
                    });
                }
                value = value.and_then(|value| value.get(token));
                here = here.child(token);
            }
        }
        match self {
            MigrationStep::Convert { at, .. }
                if at.find(layer).is_some_and(|value| holds_opaque(value, is_opaque)) =>
            {
                Err(StepRefusal {
                    at: at.clone(),
                    message: "the value is secret or holds a secret, which no expression sees".into(),
                    suggestion: "write the converted secret itself, in place of this step".into(),
                })
            }
            MigrationStep::Convert { .. }
            | MigrationStep::Move { .. }
            | MigrationStep::SetDefault { .. }
            | MigrationStep::Remove { .. } => Ok(()),
        }
    }

    /// Whether it changed something.
    fn apply(
        &self,
        role: Role,
        layer: &mut Value,
        is_opaque: fn(&Value) -> bool,
        steps: &mut u64,
    ) -> Result<bool, StepRefusal> {
        match self {
            MigrationStep::Move { from, to } => move_value(role, layer, from, to),
            MigrationStep::SetDefault { at, value } => set_default(role, layer, at, value),
            MigrationStep::Remove { at } => match layer_value(layer, at) {
                LayerValue::There(_) => Ok(take(layer, at).is_some()),
                LayerValue::Nothing | LayerValue::Cut { .. } => Ok(false),
                LayerValue::InArray(array) => Err(in_array(at, &array)),
            },
            MigrationStep::Convert { at, expression } => convert(layer, at, expression, is_opaque, steps),
        }
    }
}

fn move_value(role: Role, layer: &mut Value, from: &Pointer, to: &Pointer) -> Result<bool, StepRefusal> {
    let source = layer_value(layer, from);
    let target = layer_value(layer, to);
    if let LayerValue::InArray(array) = &source {
        return Err(in_array(from, array));
    }
    match &target {
        LayerValue::InArray(array) => return Err(in_array(to, array)),
        LayerValue::There(value) if !value.is_null() => {
            return Err(StepRefusal {
                at: to.clone(),
                message: format!("there is a value at {to} already, so that of {from} cannot be moved there"),
                suggestion: "remove one of the two first, in the layers or by a step".into(),
            });
        }
        // Something around both places: they go together, then as now.
        LayerValue::Cut { around, .. } if around.contains(from) => return Ok(false),
        LayerValue::Cut { around, with } if !with.is_null() || !is_removed(&source) => {
            return Err(StepRefusal {
                at: around.clone(),
                message: format!(
                    "the layer removes or replaces all of {around}, so {from} cannot be moved into it, to {to}"
                ),
                suggestion: format!("write {around} as an object in this layer, or move to another place"),
            });
        }
        LayerValue::There(_) | LayerValue::Nothing | LayerValue::Cut { .. } => {}
    }
    // The null removes what is inherited at the old place. At the bottom, nothing is.
    let removes = is_removed(&source) && role == Role::Above && !matches!(target, LayerValue::Cut { .. });
    let moves = matches!(&source, LayerValue::There(_));
    let drops = matches!(&target, LayerValue::There(_));
    if drops {
        // It removed what earlier documents had there. What comes there now is something else.
        take(layer, to);
    }
    let value = if moves { take(layer, from) } else { None };
    match value.filter(|value| !value.is_null()) {
        Some(value) => {
            check_depth(to, &value)?;
            put(layer, to, value);
        }
        None if removes => put(layer, to, Value::Null),
        None => {}
    }
    Ok(moves || drops || removes)
}

/// Whether a layer removes what is inherited at a place.
fn is_removed(value: &LayerValue<'_>) -> bool {
    match value {
        LayerValue::There(value) => value.is_null(),
        LayerValue::Cut { .. } => true,
        LayerValue::Nothing | LayerValue::InArray(_) => false,
    }
}

fn set_default(role: Role, layer: &mut Value, at: &Pointer, value: &Value) -> Result<bool, StepRefusal> {
    let is_missing = match (role, layer_value(layer, at)) {
        (_, LayerValue::InArray(array)) => return Err(in_array(at, &array)),
        // What is inherited has it.
        (Role::Above, _) => false,
        (Role::Foundation, LayerValue::Nothing) => true,
        // Nothing is inherited that a null could remove.
        (Role::Foundation, LayerValue::There(there)) => there.is_null(),
        (Role::Foundation, LayerValue::Cut { with: Value::Null, .. }) => true,
        (Role::Foundation, LayerValue::Cut { around, .. }) => {
            return Err(StepRefusal {
                at: around.clone(),
                message: format!("the value at {around} is not an object, so nothing can be set within it"),
                suggestion: format!("convert or remove {around} in a step before"),
            });
        }
    };
    if is_missing {
        check_depth(at, value)?;
        put(layer, at, value.clone());
    }
    Ok(is_missing)
}

fn holds_opaque(value: &Value, is_opaque: fn(&Value) -> bool) -> bool {
    is_opaque(value)
        || match value {
            Value::Object(members) => members.values().any(|member| holds_opaque(member, is_opaque)),
            Value::Array(items) => items.iter().any(|item| holds_opaque(item, is_opaque)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
}

/// A value with a text in the place of each opaque one.
fn masked(value: &Value, is_opaque: fn(&Value) -> bool) -> Value {
    match value {
        value if is_opaque(value) => OPAQUE.into(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, member)| (name.clone(), masked(member, is_opaque)));
            Value::Object(members.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| masked(item, is_opaque)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn convert(
    layer: &mut Value,
    at: &Pointer,
    expression: &Expression,
    is_opaque: fn(&Value) -> bool,
    steps: &mut u64,
) -> Result<bool, StepRefusal> {
    let value = match layer_value(layer, at) {
        LayerValue::There(Value::Null) | LayerValue::Nothing | LayerValue::Cut { .. } => return Ok(false),
        LayerValue::InArray(array) => return Err(in_array(at, &array)),
        LayerValue::There(value) => value,
    };
    let refuse = |message: String, suggestion: &str| {
        Err(StepRefusal { at: at.clone(), message, suggestion: suggestion.to_owned() })
    };
    if value.is_object() {
        let message = "an object is there, of which a layer may have a part only";
        return refuse(message.into(), "convert its members, each in a step of its own");
    }
    let config = expression.names("config").then(|| masked(layer, is_opaque));
    let mut variables = Variables::new();
    variables.set("value", value);
    if let Some(config) = &config {
        variables.set("config", config);
    }
    let converted = match expression.json(&variables, steps) {
        Ok(converted) => converted,
        Err(failure) => {
            return refuse(format!("the expression failed: {}", failure.message), &failure.suggestion);
        }
    };
    drop(variables);
    if converted.is_null() || converted.is_object() {
        let kind = if converted.is_null() { "null, which removes" } else { "an object, which merges" };
        let message =
            format!("the expression gave {kind}, expected is a value that replaces what is inherited");
        return refuse(message, "give a string, a number, true, false or a list");
    }
    check_depth(at, &converted)?;
    let is_change = converted != *value;
    put(layer, at, converted);
    Ok(is_change)
}

fn check_depth(at: &Pointer, value: &Value) -> Result<(), StepRefusal> {
    let levels = at.tokens().len() + depth(value);
    if levels <= DEPTH_MAX {
        return Ok(());
    }
    Err(StepRefusal {
        at: at.clone(),
        message: format!("the layer would nest {levels} deep, at most {DEPTH_MAX} are allowed"),
        suggestion: String::new(),
    })
}

fn in_array(at: &Pointer, array: &Pointer) -> StepRefusal {
    StepRefusal {
        at: array.clone(),
        message: format!("{at} is in the array at {array}, into which steps do not reach"),
        suggestion: format!("convert {array} as a whole"),
    }
}
