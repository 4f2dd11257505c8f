//! How much work it would be to check one document: counted before it is done, since what does it cannot be stopped. Knows no
//! verdicts: every branch counts, also those that a validator would leave out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bounds::{Bounds, repeats};
use super::outline::{NodeId, Outline};
use crate::validate::size::{parts, text_parts};

/// Steps for one document. Measured: 12 ns each, so this is less than three seconds.
pub(super) const STEPS_MAX: u64 = 200_000_000;
/// Values and 16 bytes of text of the largest document that is allowed anywhere.
const PARTS_MAX: u64 = (3 << 20) / 2;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Time: longer texts and expressions take more.
    Steps,
    /// Subschemas that are applied to values: each could be a violation.
    Visits,
}

/// The work to check a document against a subschema, at most; exact only where the bound for any document of its size is above `enough`.
/// Counting ends where it is above `STEPS_MAX`.
pub(super) fn count(
    outline: &Outline,
    bounds: &Bounds,
    node: NodeId,
    document: &Value,
    (measure, enough): (Measure, u64),
) -> u64 {
    let each = match measure {
        Measure::Steps => bounds.steps_each,
        Measure::Visits => bounds.visits_each,
    };
    if let Some(most) = each.checked_mul(PARTS_MAX).filter(|most| *most <= enough) {
        return most;
    }
    if let Some(most) = each.checked_mul(parts(document)).filter(|most| *most <= enough) {
        return most;
    }
    let mut count = Count { outline, bounds, measure, work: 0 };
    count.value(document, BTreeMap::from([(bounds.rank[node], (node, 1))]));
    count.work
}

/// The subschemas that apply to one value, by rank, each with how often.
type Applied = BTreeMap<usize, (NodeId, u64)>;

struct Count<'a> {
    outline: &'a Outline,
    bounds: &'a Bounds,
    measure: Measure,
    work: u64,
}

impl Count<'_> {
    /// Counts for a value and all below. Recurses as deep as documents may be nested.
    fn value(&mut self, value: &Value, mut rest: Applied) {
        let mut applied: Vec<(NodeId, u64)> = Vec::new();
        let mut within = None;
        // By rank, so that a subschema comes after all that lead to it.
        while let Some((_, (id, times))) = rest.pop_first() {
            let node = self.outline.node(id);
            applied.push((id, times));
            let inner_times = times.saturating_mul(repeats(node));
            for inner in &self.bounds.in_place[id] {
                self.apply(&mut rest, *inner, inner_times);
            }
            let own = match (self.measure, value) {
                (Measure::Visits, _) => 1,
                (Measure::Steps, Value::String(text)) => {
                    node.weight.value.saturating_add(node.weight.text.saturating_mul(text_parts(text)))
                }
                (Measure::Steps, Value::Object(members)) => {
                    let all = node.weight.value.saturating_add(node.weight.object);
                    all.saturating_add(node.weight.name.saturating_mul(names_parts(members)))
                }
                (Measure::Steps, Value::Array(_)) if node.weight.within > 0 => {
                    let parts = *within.get_or_insert_with(|| parts(value));
                    node.weight.value.saturating_add(node.weight.within.saturating_mul(parts))
                }
                (Measure::Steps, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
                    node.weight.value
                }
            };
            self.work = self.work.saturating_add(own.saturating_mul(times));
            if self.work > STEPS_MAX {
                return;
            }
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let mut below = Applied::new();
                    let mut names = Applied::new();
                    for (id, times) in &applied {
                        let node = self.outline.node(*id);
                        node.of_member(name).for_each(|inner| self.apply(&mut below, inner, *times));
                        node.names.into_iter().for_each(|inner| self.apply(&mut names, inner, *times));
                    }
                    self.below(member, below);
                    if !names.is_empty() {
                        self.below(&Value::from(name.as_str()), names);
                    }
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let mut below = Applied::new();
                    for (id, times) in &applied {
                        self.outline
                            .node(*id)
                            .of_element(at)
                            .for_each(|inner| self.apply(&mut below, inner, *times));
                    }
                    self.below(item, below);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn below(&mut self, value: &Value, applied: Applied) {
        if !applied.is_empty() && self.work <= STEPS_MAX {
            self.value(value, applied);
        }
    }

    fn apply(&mut self, applied: &mut Applied, node: NodeId, times: u64) {
        let (_, sum) = applied.entry(self.bounds.rank[node]).or_insert((node, 0));
        *sum = sum.saturating_add(times);
        // Counting is work as well.
        self.work = self.work.saturating_add(1);
    }
}

fn names_parts(members: &Map<String, Value>) -> u64 {
    members.keys().map(|name| text_parts(name)).sum()
}
