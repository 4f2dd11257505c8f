//! Arithmetic on numbers of different types. Knows numbers only.
//!
//! A document has one kind of number: `1.0` is `1`, which is an `int` here, and `0.5` a `double`. CEL refuses to calculate with one of each, so
//! that `config.rate * 100.0` would fail for the one value of `rate` and not for the other. So an `int` or `uint` beside a `double` becomes a
//! `double`, and an `int` beside a `uint` a `uint`. Everything else is left to `cel`.

use cel::common::ast::operators;
use cel::common::functions::Function;
use cel::common::types::{CelBool, CelDouble, CelInt, CelUInt, INT_TYPE, UINT_TYPE};
use cel::common::value::CowVal;
use cel::{Env, ExecutionError};

use super::overload::{any, refusal};

type Result<T, E = ExecutionError> = std::result::Result<T, E>;

/// The function that an operator is replaced with.
pub fn replacing(operator: &str) -> Option<&'static str> {
    match operator {
        operators::ADD => Some("@add"),
        operators::SUBSTRACT => Some("@sub"),
        operators::MULTIPLY => Some("@mul"),
        operators::DIVIDE => Some("@div"),
        _ => None,
    }
}

/// Declares these functions, and those on doubles that take integers as well.
pub fn declare(environment: &mut Env) {
    let mut add = |name: &str, id: &str, types, run: Function| {
        environment.add_overload(name, id, types, run).expect("names that the library does not use");
    };
    for (name, run) in [("@add", plus as Function), ("@sub", minus), ("@mul", times), ("@div", over)] {
        add(name, name, any(2), run);
    }
    for (name, run) in [
        ("math.ceil", as_double as Function),
        ("math.floor", as_double),
        ("math.round", as_double),
        ("math.trunc", as_double),
        ("math.isNaN", is_not_finite),
        ("math.isInf", is_not_finite),
        ("math.isFinite", is_finite),
    ] {
        add(name, &format!("{name}_of_int"), vec![INT_TYPE], run);
        add(name, &format!("{name}_of_uint"), vec![UINT_TYPE], run);
    }
}

fn plus<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (left, right) = alike(arguments);
    match left.as_adder() {
        Some(left) => Ok(CowVal::Owned(left.add(right.as_ref())?.into_owned())),
        None => Err(refusal("add", &[left, right])),
    }
}

fn minus<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (left, right) = alike(arguments);
    match left.as_subtractor() {
        Some(left) => Ok(CowVal::Owned(left.sub(right.as_ref())?.into_owned())),
        None => Err(refusal("sub", &[left, right])),
    }
}

fn times<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (left, right) = alike(arguments);
    match left.as_multiplier() {
        Some(left) => Ok(CowVal::Owned(left.mul(right.as_ref())?.into_owned())),
        None => Err(refusal("mul", &[left, right])),
    }
}

fn over<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (left, right) = alike(arguments);
    match left.as_divider() {
        Some(left) => Ok(CowVal::Owned(left.div(right.as_ref())?.into_owned())),
        None => Err(refusal("div", &[left, right])),
    }
}

/// Two operands, of one type if they are numbers.
fn alike<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> (CowVal<'b, 'v>, CowVal<'b, 'v>) {
    let [left, right] =
        <[CowVal<'b, 'v>; 2]>::try_from(arguments).unwrap_or_else(|_| unreachable!("declared with two"));
    let is_double = |value: &CowVal<'b, 'v>| value.downcast_ref::<CelDouble>().is_some();
    if is_double(&left) != is_double(&right)
        && let (Some(left), Some(right)) = (double(&left), double(&right))
    {
        return (CowVal::owned(left), CowVal::owned(right));
    }
    let is_unsigned = |value: &CowVal<'b, 'v>| value.downcast_ref::<CelUInt>().is_some();
    if is_unsigned(&left) != is_unsigned(&right)
        && let (Some(left), Some(right)) = (unsigned(&left), unsigned(&right))
    {
        return (CowVal::owned(left), CowVal::owned(right));
    }
    (left, right)
}

fn double(value: &CowVal<'_, '_>) -> Option<CelDouble> {
    if let Some(value) = value.downcast_ref::<CelDouble>() {
        Some(CelDouble::from(*value.inner()))
    } else if let Some(value) = value.downcast_ref::<CelInt>() {
        Some(CelDouble::from(*value.inner() as f64))
    } else {
        value.downcast_ref::<CelUInt>().map(|value| CelDouble::from(*value.inner() as f64))
    }
}

fn unsigned(value: &CowVal<'_, '_>) -> Option<CelUInt> {
    if let Some(value) = value.downcast_ref::<CelUInt>() {
        Some(CelUInt::from(*value.inner()))
    } else {
        let value = value.downcast_ref::<CelInt>()?;
        u64::try_from(*value.inner()).ok().map(CelUInt::from)
    }
}

fn as_double<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    match double(&arguments[0]) {
        Some(double) => Ok(CowVal::owned(double)),
        None => Err(refusal("double", &arguments)),
    }
}

fn is_not_finite<'b, 'v>(_: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    Ok(CowVal::owned(CelBool::from(false)))
}

fn is_finite<'b, 'v>(_: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    Ok(CowVal::owned(CelBool::from(true)))
}
