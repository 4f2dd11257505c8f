//! Functions on lists and maps that `cel` does not have: sets, ranges, and what macros with two variables loop over. Each pays for itself.

use cel::common::functions::Function;
use cel::common::types::{CelBool, CelInt, CelList, CelMap};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

use super::meter::{charge, charge_value, weight};
use super::overload::{any, refusal};

type Result<T, E = ExecutionError> = std::result::Result<T, E>;

/// `@entries(x)`: a list of `[index, element]` or of `[key, value]`, in the order of keys.
pub const ENTRIES: &str = "@entries";

pub fn declare(environment: &mut Env) {
    let own: [(&str, usize, Function); 5] = [
        (ENTRIES, 1, entries),
        ("@list_range", 1, list_range),
        ("@set_contains", 2, set_contains),
        ("@set_equivalent", 2, set_equivalent),
        ("@set_intersects", 2, set_intersects),
    ];
    for (name, arguments, run) in own {
        environment
            .add_overload(name, name, any(arguments), run)
            .expect("names that the library does not use");
    }
}

fn entries<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge_value(arguments[0].as_ref())?;
    let pair = |first: Box<dyn Val + 'v>, second: Box<dyn Val + 'v>| {
        Box::new(CelList::from(vec![first, second])) as Box<dyn Val + 'v>
    };
    let mut all: Vec<Box<dyn Val + 'v>> = Vec::new();
    if let Some(list) = arguments[0].downcast_ref::<CelList>() {
        charge(2 * list.inner().len() as u64)?;
        for (at, item) in (0_i64..).zip(list.inner().iter()) {
            all.push(pair(Box::new(CelInt::from(at)), item.clone_as_boxed()));
        }
    } else if let Some(map) = arguments[0].downcast_ref::<CelMap>() {
        charge(2 * map.inner().len() as u64)?;
        let mut members: Vec<_> = map.inner().iter().collect();
        members.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in members {
            all.push(pair(key.inner().clone_as_boxed(), value.clone_as_boxed()));
        }
    } else {
        return Err(refusal("all", &arguments));
    }
    Ok(CowVal::owned(CelList::from(all)))
}

fn list_range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let count = arguments[0].downcast_ref::<CelInt>().map(|count| *count.inner());
    let count = count.ok_or_else(|| refusal("lists.range", &arguments))?.max(0);
    charge(count.unsigned_abs())?;
    let items = (0..count).map(|at| Box::new(CelInt::from(at)) as Box<dyn Val + 'v>);
    Ok(CowVal::owned(CelList::from(items.collect::<Vec<_>>())))
}

/// Whether all that the second list has is in the first.
fn set_contains<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let [all, some] = sets("sets.contains", &arguments)?;
    Ok(CowVal::owned(CelBool::from(is_within(some, all))))
}

fn set_equivalent<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let [a, b] = sets("sets.equivalent", &arguments)?;
    Ok(CowVal::owned(CelBool::from(is_within(a, b) && is_within(b, a))))
}

fn set_intersects<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let [a, b] = sets("sets.intersects", &arguments)?;
    let meets = a.inner().iter().any(|item| has(b, item.as_ref()));
    Ok(CowVal::owned(CelBool::from(meets)))
}

/// Two lists, once it is paid for to compare each element of the one to each of the other.
fn sets<'a, 'v>(function: &str, arguments: &'a [CowVal<'_, 'v>]) -> Result<[&'a CelList<'v>; 2]> {
    charge(0)?;
    let list = |at: usize| arguments[at].downcast_ref::<CelList>();
    let (Some(a), Some(b)) = (list(0), list(1)) else { return Err(refusal(function, arguments)) };
    let (a_weight, b_weight) = (weight(arguments[0].as_ref()), weight(arguments[1].as_ref()));
    let each = a_weight
        .saturating_mul(b.inner().len() as u64)
        .saturating_add(b_weight.saturating_mul(a.inner().len() as u64));
    charge(a_weight.saturating_add(b_weight).saturating_add(each))?;
    Ok([a, b])
}

fn is_within(part: &CelList<'_>, all: &CelList<'_>) -> bool {
    part.inner().iter().all(|item| has(all, item.as_ref()))
}

fn has(list: &CelList<'_>, item: &dyn Val) -> bool {
    list.inner().iter().any(|other| other.equals(item))
}
