//! Counts the steps of an evaluation. Knows the cost of values; not the functions.
//!
//! `cel` calls functions by plain pointers, which carry no state of ours, so what the running evaluation may still cost belongs to
//! its thread. An evaluation never starts another one.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;

use super::pattern::MeteredRegex;

/// How much text is worth a step.
const BYTES_PER_STEP: usize = 64;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static SPENT: Cell<bool> = const { Cell::new(false) };
    static PATTERNS: RefCell<Arc<[MeteredRegex]>> = RefCell::new(Arc::new([]));
}

/// Runs an evaluation that may take `steps`, and leaves in `steps` what it did not take. `None` if they did not suffice: whatever
/// came out, since `cel` goes on behind an error in `a || b` and in loops.
pub fn measured<T>(steps: &mut u64, patterns: &Arc<[MeteredRegex]>, run: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(*steps);
    SPENT.set(false);
    PATTERNS.set(patterns.clone());
    let result = run();
    *steps = LEFT.get();
    (!SPENT.get()).then_some(result)
}

/// Pays for what comes next. Once it cannot be paid for, nothing can any more.
pub fn charge(steps: u64) -> Result<(), ExecutionError> {
    match LEFT.get().checked_sub(steps) {
        Some(left) if !SPENT.get() => {
            LEFT.set(left);
            Ok(())
        }
        Some(_) | None => {
            LEFT.set(0);
            SPENT.set(true);
            Err(ExecutionError::InternalError("out of steps".to_owned()))
        }
    }
}

/// Pays for one walk over a value.
pub fn charge_value(value: &dyn Val) -> Result<(), ExecutionError> {
    // To weigh is to walk as well.
    charge(0)?;
    charge(weight(value))
}

/// The pattern with this number of the expression that runs.
pub fn with_pattern<T>(number: usize, with: impl FnOnce(&MeteredRegex) -> T) -> Option<T> {
    PATTERNS.with_borrow(|patterns| patterns.get(number).map(with))
}

/// How many steps it takes to copy a value, to compare it, or to read it once.
pub fn weight(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString>() {
        text_weight(text.inner())
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        1 + (bytes.inner().len() / BYTES_PER_STEP) as u64
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        1 + list.inner().iter().map(|item| weight(item.as_ref())).sum::<u64>()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let members = map.inner().iter().map(|(key, value)| weight(key.inner()) + weight(value.as_ref()));
        1 + members.sum::<u64>()
    } else if let Some(optional) = value.downcast_ref::<CelOptional>() {
        1 + optional.option().map_or(0, weight)
    } else {
        1
    }
}

pub fn text_weight(text: &str) -> u64 {
    1 + (text.len() / BYTES_PER_STEP) as u64
}
