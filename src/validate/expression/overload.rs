//! The operands of functions of expressions, and the error for operands of other types. Knows no function.

use cel::ExecutionError;
use cel::common::types::{DYN_TYPE, Type};
use cel::common::value::CowVal;

pub(super) fn any(arguments: usize) -> Vec<Type> {
    (0..arguments).map(|_| DYN_TYPE).collect()
}

/// Names types only: values may be secret, and large.
pub(super) fn refusal(function: &str, arguments: &[CowVal<'_, '_>]) -> ExecutionError {
    let types = arguments.iter().map(|argument| argument.get_type().name().to_owned()).collect();
    ExecutionError::no_such_overload(function, types)
}
