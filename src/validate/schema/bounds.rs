//! What checking against a schema can cost at most: that it ends, how deep it recurses, how much work it is. Knows the outline only.

use std::collections::{HashMap, HashSet};

use crate::model::limits::DEPTH_MAX;
use crate::validate::Found;

use super::outline::{Node, NodeId, Outline, ROOT, Weight};
use super::source::error;

/// Nested subschemas at one time, below which the stack of any thread is enough: measured, at most 1 KiB each.
const NESTED_ON_STACK: usize = 300;
/// More nested subschemas at one time are refused.
const NESTED_MAX: usize = 16_000;
/// Subschemas that are compiled, each as often as it can be reached with other documents on the way.
const COMPILED_MAX: usize = 300_000;

/// Ways from a subschema with `unevaluatedProperties` or `unevaluatedItems` to those in place of it, in all. The validator compiles each
/// way by itself: measured, 20 µs each.
const EVALUATED_MAX: u64 = 20_000;

/// The bounds of a schema.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The subschemas that can apply to the value that a subschema applies to, without cycles.
    pub(super) in_place: Vec<Vec<NodeId>>,
    /// Where a subschema is in an order in which each comes before those in place of it.
    pub(super) rank: Vec<usize>,
    /// Steps of work for one value or 16 bytes of text, anywhere in any document.
    pub(super) steps_each: u64,
    /// Subschemas that are applied to one value, anywhere in any document, each as often as it is.
    pub(super) visits_each: u64,
    /// Stack that a check may need, if more than any thread has.
    pub(super) stack_bytes: Option<usize>,
}

impl Bounds {
    pub(super) fn of(outline: &Outline) -> Result<Bounds, Vec<Found>> {
        let fixed = |node: &Node| {
            node.refers.iter().copied().chain(node.branches.iter().map(|branch| branch.node)).collect()
        };
        if let Err(cycle) = order(outline, fixed) {
            return Err(vec![loops(outline, &cycle)]);
        }
        check_compilation(outline)?;
        // What a dynamic reference can lead to may be around it: such a way back is cut, as the validator does.
        let mut in_place: Vec<Vec<NodeId>> = outline.nodes.iter().map(fixed).collect();
        let all = |node: &Node| node.in_place().collect();
        let rank = match order(outline, all) {
            Ok(rank) => {
                in_place = outline.nodes.iter().map(all).collect();
                rank
            }
            Err(_) => order(outline, fixed).map_err(|cycle| vec![loops(outline, &cycle)])?,
        };
        let mut bounds = Bounds { in_place, rank, steps_each: 0, visits_each: 0, stack_bytes: None };
        bounds.check_evaluated(outline)?;
        let steps = |node: &Node| {
            let Weight { value, text, name, object, within } = node.weight;
            [text, name, object, within].into_iter().fold(value, u64::saturating_add)
        };
        let (steps_each, nested) = bounds.estimate(outline, steps, |node| node.weight.within);
        if nested > NESTED_MAX {
            let message = format!(
                "checks a value by {nested} subschemas within each other, at most {NESTED_MAX} are allowed"
            );
            return Err(vec![error("SCHEMA_TOO_COMPLEX", "", message, "shorten the chains of $ref")]);
        }
        bounds.steps_each = steps_each;
        bounds.visits_each = bounds.estimate(outline, |_| 1, |_| 0).0;
        bounds.stack_bytes = (nested > NESTED_ON_STACK).then_some((2 << 20) + nested * 2048);
        Ok(bounds)
    }

    fn check_evaluated(&self, outline: &Outline) -> Result<(), Vec<Found>> {
        let mut by_rank: Vec<NodeId> = (0..outline.nodes.len()).collect();
        by_rank.sort_by_key(|node| std::cmp::Reverse(self.rank[*node]));
        let mut ways = vec![0_u64; outline.nodes.len()];
        let mut all = 0_u64;
        for id in by_rank {
            ways[id] = self.in_place[id].iter().fold(1, |sum: u64, inner| sum.saturating_add(ways[*inner]));
            if repeats(outline.node(id)) > 1 {
                all = all.saturating_add(ways[id]);
            }
        }
        if all <= EVALUATED_MAX {
            return Ok(());
        }
        let message =
            "unevaluatedProperties and unevaluatedItems stand above too many nested subschemas".to_owned();
        Err(vec![error(
            "SCHEMA_TOO_COMPLEX",
            "",
            message,
            "use additionalProperties, or fewer nested allOf, anyOf and $ref",
        )])
    }

    /// The most work at one value of any document, and the most subschemas within each other. Both are found for documents of each
    /// depth in turn, from those of the next smaller one.
    fn estimate(
        &self,
        outline: &Outline,
        weight: impl Fn(&Node) -> u64,
        weight_within: impl Fn(&Node) -> u64,
    ) -> (u64, usize) {
        let mut reachable: Vec<NodeId> = reachable(outline);
        reachable.sort_by_key(|node| std::cmp::Reverse(self.rank[*node]));
        let count = outline.nodes.len();
        let (mut steps_below, mut nested_below) = (vec![0_u64; count], vec![0_usize; count]);
        let mut most = 0;
        for depth in 0..=DEPTH_MAX + 1 {
            let (mut steps, mut nested) = (vec![0_u64; count], vec![0_usize; count]);
            for id in &reachable {
                let node = outline.node(*id);
                let (own, most_nested) = match depth {
                    0 => (weight(node), 0),
                    _ => (
                        // What looks into an array costs at each value in it.
                        most_below(node, &steps_below).saturating_add(weight_within(node)),
                        node.below().map(|below| nested_below[below]).max().unwrap_or(0),
                    ),
                };
                let factor = repeats(node);
                let inner =
                    self.in_place[*id].iter().fold(0_u64, |sum, inner| sum.saturating_add(steps[*inner]));
                steps[*id] = own.saturating_add(inner.saturating_mul(factor));
                let deepest = self.in_place[*id].iter().map(|inner| nested[*inner]).max().unwrap_or(0);
                nested[*id] = 1 + deepest.max(most_nested);
            }
            most = most.max(steps[ROOT]);
            if steps == steps_below && nested == nested_below {
                break;
            }
            (steps_below, nested_below) = (steps, nested);
        }
        (most, nested_below[ROOT])
    }
}

/// How often what is in place is checked: what was evaluated is found out by checking again.
pub(super) fn repeats(node: &Node) -> u64 {
    if node.unevaluated_properties.is_some() || node.unevaluated_items.is_some() { 2 } else { 1 }
}

/// The most steps at one value directly below, whatever its name or place.
fn most_below(node: &Node, steps: &[u64]) -> u64 {
    let most = |nodes: &mut dyn Iterator<Item = NodeId>| nodes.map(|node| steps[node]).max().unwrap_or(0);
    let all = |nodes: &mut dyn Iterator<Item = NodeId>| {
        nodes.fold(0_u64, |sum, node| sum.saturating_add(steps[node]))
    };
    let member =
        most(&mut node.properties.values().copied().chain(node.additional)).saturating_add(all(&mut node
            .patterns
            .iter()
            .map(|(_, node)| *node)
            .chain(node.unevaluated_properties)));
    let element = most(&mut node.first_items.iter().copied().chain(node.items))
        .saturating_add(all(&mut node.contains.into_iter().chain(node.unevaluated_items)));
    // The names of members are values of their own.
    member.max(element).max(most(&mut node.names.into_iter()))
}

/// A rank for every subschema, such that those in place of it have higher ones; or a cycle.
fn order(outline: &Outline, in_place: impl Fn(&Node) -> Vec<NodeId>) -> Result<Vec<usize>, Vec<NodeId>> {
    let count = outline.nodes.len();
    let mut rank = vec![usize::MAX; count];
    let mut is_open = vec![false; count];
    let mut next = count;
    // The way to where the walk is, each with what is still to be looked at.
    let mut way: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
    for start in 0..count {
        if rank[start] == usize::MAX {
            is_open[start] = true;
            way.push((start, in_place(&outline.nodes[start])));
        }
        while let Some((id, rest)) = way.last_mut() {
            let id = *id;
            match rest.pop() {
                Some(inner) if is_open[inner] => {
                    let cycle = way.iter().map(|(id, _)| *id).skip_while(|id| *id != inner);
                    return Err(cycle.collect());
                }
                Some(inner) if rank[inner] != usize::MAX => {}
                Some(inner) => {
                    is_open[inner] = true;
                    way.push((inner, in_place(&outline.nodes[inner])));
                }
                None => {
                    next -= 1;
                    rank[id] = next;
                    is_open[id] = false;
                    way.pop();
                }
            }
        }
    }
    Ok(rank)
}

fn loops(outline: &Outline, cycle: &[NodeId]) -> Found {
    let own = &outline.node(ROOT).place.document;
    let places: Vec<String> = cycle
        .iter()
        .take(8)
        .map(|id| {
            let place = &outline.node(*id).place;
            format!("{}#{}", if place.document == *own { "" } else { &place.document }, place.pointer)
        })
        .collect();
    let mine = cycle.iter().map(|id| &outline.node(*id).place).find(|place| place.document == *own);
    let message = format!(
        "refers to itself without going down into the value, so that no check would end: {}",
        places.join(" -> ")
    );
    let pointer = mine.map(|place| place.pointer.as_str()).unwrap_or_default();
    error("SCHEMA_LOOP", pointer, message, "refer to it below properties or items only")
}

fn reachable(outline: &Outline) -> Vec<NodeId> {
    let mut seen = vec![false; outline.nodes.len()];
    let mut reached = vec![ROOT];
    seen[ROOT] = true;
    let mut at = 0;
    while let Some(id) = reached.get(at).copied() {
        at += 1;
        let node = outline.node(id);
        for next in node.in_place().chain(node.below()).chain(node.names) {
            if !std::mem::replace(&mut seen[next], true) {
                reached.push(next);
            }
        }
    }
    reached
}

/// The validator compiles the target of a reference once for each list of documents that lead to it, since dynamic references depend on
/// that list: schemas that all refer to each other would take it forever. Goes the same ways, and counts.
fn check_compilation(outline: &Outline) -> Result<(), Vec<Found>> {
    let mut lists: HashMap<(usize, &str), usize> = HashMap::new();
    let mut seen: HashSet<(NodeId, usize)> = HashSet::new();
    let mut is_open: HashSet<NodeId> = HashSet::new();
    let mut rest = vec![Visit::Enter(ROOT, 0)];
    let mut compiled = 0;
    while let Some(visit) = rest.pop() {
        let (id, list) = match visit {
            Visit::Enter(id, list) => (id, list),
            Visit::Leave(id) => {
                is_open.remove(&id);
                continue;
            }
        };
        if is_open.contains(&id) || !seen.insert((id, list)) {
            continue;
        }
        compiled += 1;
        if compiled > COMPILED_MAX {
            let message = "schemas refer to each other in too many ways".to_owned();
            let advice = "put subschemas that refer to each other into $defs of one schema, without $id";
            return Err(vec![error("SCHEMA_TOO_COMPLEX", "", message, advice)]);
        }
        is_open.insert(id);
        rest.push(Visit::Leave(id));
        let node = outline.node(id);
        for next in node.in_place().chain(node.below()).chain(node.names) {
            let (from, to) = (node.place.base(), outline.node(next).place.base());
            let list = if from == to {
                list
            } else {
                let new = lists.len() + 1;
                *lists.entry((list, from)).or_insert(new)
            };
            rest.push(Visit::Enter(next, list));
        }
    }
    Ok(())
}

enum Visit {
    Enter(NodeId, usize),
    Leave(NodeId),
}
