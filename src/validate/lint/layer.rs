//! Finds members of a layer that change nothing of the document that it inherits. Knows how layers merge, and no effective documents but
//! the two.

use serde_json::{Map, Value};

use super::advice::Advice;
use super::document::add;
use super::path::Path;
use super::{Check, FoundList, LayerInput};
use crate::model::LayerKind;
use crate::model::nearest::nearest;

/// Looks for all lints about layers that are on.
pub fn check_layer(input: &LayerInput, found: &mut FoundList) {
    if let Some(inherited) = input.inherited {
        Pass { input, found }.members(input.layer, inherited, &Path::ROOT);
    }
}

struct Pass<'a> {
    input: &'a LayerInput<'a>,
    found: &'a mut FoundList,
}

impl Pass<'_> {
    /// Recurses as deep as documents may be nested.
    fn members(&mut self, layer: &Value, inherited: &Value, path: &Path) {
        let (Value::Object(changes), Value::Object(members)) = (layer, inherited) else { return };
        for (name, change) in changes {
            let path = path.member(name);
            match members.get(name) {
                None if change.is_null() => self.add(Check::ShadowsNothing, &path, || Advice {
                    message: format!("removes {name:?}, which is not inherited"),
                    suggestion: suggest(name, members.keys().map(String::as_str)),
                }),
                None if self.input.kind == LayerKind::Override => {
                    self.add(Check::ShadowsNothing, &path, || Advice {
                        message: format!("overrides {name:?}, which is not there without it"),
                        suggestion: suggest(name, members.keys().map(String::as_str)),
                    })
                }
                None => {}
                Some(value) if changes_nothing(change, value) => {
                    self.add(Check::RedundantValue, &path, || Advice {
                        message: format!("{name:?} has the same value without this layer"),
                        suggestion:
                            "remove it from this layer, unless it is to stay when the inherited value changes"
                                .to_owned(),
                    })
                }
                Some(Value::Object(removed)) if change.is_null() && !removed.is_empty() => {
                    self.add(Check::RemovesObject, &path, || Advice {
                        message: format!(
                            "removes {name:?} and all that is inherited below it: {}",
                            listed(removed)
                        ),
                        suggestion: "write {} for an object of which nothing changes here".to_owned(),
                    })
                }
                Some(value) => self.members(change, value, &path),
            }
        }
    }

    fn add(&mut self, check: Check, path: &Path, advise: impl FnOnce() -> Advice) {
        add(self.input.settings, self.found, check, path, advise);
    }
}

/// The first names, and how many more there are.
fn listed(members: &Map<String, Value>) -> String {
    let names: Vec<String> = members.keys().take(3).map(|name| format!("{name:?}")).collect();
    match members.len().saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn suggest<'v>(name: &str, inherited: impl Iterator<Item = &'v str>) -> String {
    match nearest(name, inherited) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "remove it".to_owned(),
    }
}

/// A merge patch that leaves a value as it is.
fn changes_nothing(patch: &Value, value: &Value) -> bool {
    match (patch, value) {
        (Value::Object(changes), Value::Object(members)) => {
            changes.iter().all(|(name, change)| match members.get(name) {
                Some(member) => changes_nothing(change, member),
                None => change.is_null(),
            })
        }
        _ => !patch.is_null() && patch == value,
    }
}
