//! The functions of expressions: which there are, what each may cost, and those that are our own. Knows no expression.
//!
//! Only what is in [`FUNCTIONS`] can be called. Names that start with `@` cannot be written in an expression: calls of them are
//! put there by `metered.rs`.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError, extensions};

use super::meter::{charge, charge_value, text_weight, weight, with_pattern};
use super::overload::{any, refusal};
use super::pattern::MeteredRegex;
use super::{collections, macros, numbers};

/// A function that an expression can call.
pub struct Function {
    pub name: &'static str,
    pub style: Style,
    /// How many arguments it takes, besides the value it is called on.
    pub arguments: (usize, usize),
    pub cost: Cost,
}

/// How a call is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `f(x)`
    Global,
    /// `x.f()`
    Member,
    /// Either.
    Both,
}

/// What a call costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// As much as its operands weigh, and the result is a number, a truth or a time.
    Scalar,
    /// As much as its operands weigh.
    Linear,
    /// As much as its list weighs, for each of its elements.
    Quadratic,
    /// It pays for itself, under this name.
    Own(&'static str),
    /// A match against a pattern.
    Pattern,
}

const fn function(name: &'static str, style: Style, arguments: (usize, usize), cost: Cost) -> Function {
    Function { name, style, arguments, cost }
}

use Cost::{Linear, Own, Quadratic, Scalar};
use Style::{Both, Global, Member};

/// Left out of what `cel` offers is what makes much out of little: `format`, and sorting by a key.
pub const FUNCTIONS: &[Function] = &[
    function("size", Both, (0, 1), Scalar),
    function("contains", Member, (1, 1), Scalar),
    function("startsWith", Member, (1, 1), Scalar),
    function("endsWith", Member, (1, 1), Scalar),
    function("matches", Both, (1, 2), Cost::Pattern),
    function("int", Global, (1, 1), Scalar),
    function("uint", Global, (1, 1), Scalar),
    function("double", Global, (1, 1), Scalar),
    function("bool", Global, (1, 1), Scalar),
    function("string", Global, (1, 1), Linear),
    function("bytes", Global, (1, 1), Linear),
    function("dyn", Global, (1, 1), Linear),
    function("type", Global, (1, 1), Scalar),
    function("duration", Global, (1, 1), Scalar),
    function("timestamp", Global, (1, 1), Scalar),
    function("getFullYear", Member, (0, 1), Scalar),
    function("getMonth", Member, (0, 1), Scalar),
    function("getDate", Member, (0, 1), Scalar),
    function("getDayOfMonth", Member, (0, 1), Scalar),
    function("getDayOfWeek", Member, (0, 1), Scalar),
    function("getDayOfYear", Member, (0, 1), Scalar),
    function("getHours", Member, (0, 1), Scalar),
    function("getMinutes", Member, (0, 1), Scalar),
    function("getSeconds", Member, (0, 1), Scalar),
    function("getMilliseconds", Member, (0, 1), Scalar),
    function("charAt", Member, (1, 1), Linear),
    function("lowerAscii", Member, (0, 0), Linear),
    function("upperAscii", Member, (0, 0), Linear),
    function("trim", Member, (0, 0), Linear),
    function("substring", Member, (1, 2), Linear),
    function("indexOf", Member, (1, 2), Scalar),
    function("lastIndexOf", Member, (1, 2), Scalar),
    function("strings.quote", Global, (1, 1), Linear),
    function("split", Member, (1, 1), Own("@split")),
    function("join", Member, (0, 1), Own("@join")),
    function("replace", Member, (2, 2), Own("@replace")),
    function("reverse", Member, (0, 0), Linear),
    function("slice", Member, (2, 2), Linear),
    function("flatten", Member, (0, 0), Linear),
    function("sort", Member, (0, 0), Quadratic),
    function("distinct", Member, (0, 0), Quadratic),
    function("lists.range", Global, (1, 1), Own("@list_range")),
    function("sets.contains", Global, (2, 2), Own("@set_contains")),
    function("sets.equivalent", Global, (2, 2), Own("@set_equivalent")),
    function("sets.intersects", Global, (2, 2), Own("@set_intersects")),
    // What macros with two variables loop over.
    function(collections::ENTRIES, Global, (1, 1), Own(collections::ENTRIES)),
    function("hasValue", Member, (0, 0), Scalar),
    function("value", Member, (0, 0), Linear),
    function("orValue", Member, (1, 1), Linear),
    function("or", Member, (1, 1), Linear),
    function("optional.of", Global, (1, 1), Linear),
    function("optional.none", Global, (0, 0), Scalar),
    function("optional.ofNonZeroValue", Global, (1, 1), Linear),
    function("math.@max", Global, (1, 2), Scalar),
    function("math.@min", Global, (1, 2), Scalar),
    function("math.abs", Global, (1, 1), Scalar),
    function("math.ceil", Global, (1, 1), Scalar),
    function("math.floor", Global, (1, 1), Scalar),
    function("math.round", Global, (1, 1), Scalar),
    function("math.trunc", Global, (1, 1), Scalar),
    function("math.sign", Global, (1, 1), Scalar),
    function("math.sqrt", Global, (1, 1), Scalar),
    function("math.bitAnd", Global, (2, 2), Scalar),
    function("math.bitOr", Global, (2, 2), Scalar),
    function("math.bitXor", Global, (2, 2), Scalar),
    function("math.bitNot", Global, (1, 1), Scalar),
    function("math.bitShiftLeft", Global, (2, 2), Scalar),
    function("math.bitShiftRight", Global, (2, 2), Scalar),
    function("math.isNaN", Global, (1, 1), Scalar),
    function("math.isInf", Global, (1, 1), Scalar),
    function("math.isFinite", Global, (1, 1), Scalar),
];

pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// What all expressions are compiled with and run in.
pub fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
        let mut environment = Env::stdlib();
        let add = |added: Result<(), _>| added.expect("names that the library does not use");
        add(environment.add_extension(extensions::strings));
        add(environment.add_extension(extensions::lists));
        add(environment.add_extension(extensions::math));
        let own: [(&str, usize, cel::common::functions::Function); 12] = [
            (WEIGH, 1, weigh),
            (WEIGH_RESULT, 1, weigh),
            (UNLESS_SPENT, 1, unless_spent),
            (WEIGH_QUADRATIC, 1, weigh_quadratic),
            (RANGE, 2, range),
            (INDEX, 1, index),
            (WITHIN, 2, within),
            (MATCHES_KNOWN, 2, matches_known),
            (MATCHES, 2, matches),
            ("@replace", 3, replace),
            ("@join", 1, join),
            ("@split", 2, split),
        ];
        for (name, arguments, run) in own {
            add(environment.add_overload(name, name, any(arguments), run));
        }
        add(environment.add_overload("@join", "@join_with", any(2), join));
        numbers::declare(&mut environment);
        collections::declare(&mut environment);
        macros::declare(&mut environment);
        Arc::new(environment)
    });
    &ENVIRONMENT
}

type Result<T, E = ExecutionError> = std::result::Result<T, E>;

/// `@weigh(x)`: `x`, once one walk over it is paid for.
pub const WEIGH: &str = "@weigh";
/// The same, for a value that was made anew.
pub const WEIGH_RESULT: &str = "@weigh_result";

fn weigh<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge_value(arguments[0].as_ref())?;
    Ok(arguments.swap_remove(0))
}

/// `@unless_spent(x)`: `x`, if there are steps left to pay for what is made of it afterwards.
pub const UNLESS_SPENT: &str = "@unless_spent";

fn unless_spent<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge(1)?;
    Ok(arguments.swap_remove(0))
}

/// `@weigh_quadratic(x)`: the same for a list of which each element is compared to each.
pub const WEIGH_QUADRATIC: &str = "@weigh_quadratic";

fn weigh_quadratic<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge(0)?;
    let count = arguments[0].downcast_ref::<CelList>().map_or(1, |list| list.inner().len());
    let weight = weight(arguments[0].as_ref());
    // Most comparisons end at the first difference.
    charge(weight.saturating_add(weight.saturating_mul(count as u64) / 8))?;
    Ok(arguments.swap_remove(0))
}

/// `@range(x, n)`: `x`, once a loop over it is paid for whose body takes `n` steps: each element is copied for its turn. The keys of a
/// map come in their order, which CEL leaves open: or a rule could be satisfied today and not tomorrow.
pub const RANGE: &str = "@range";

fn range<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge(0)?;
    let body = arguments[1].downcast_ref::<CelInt>().map_or(1, |steps| steps.inner().unsigned_abs());
    let over = arguments[0].as_ref();
    let pay = |count: usize, copied: u64| charge(copied.saturating_add(body.saturating_mul(count as u64)));
    if let Some(list) = over.downcast_ref::<CelList>() {
        pay(list.inner().len(), weight(over))?;
    } else if let Some(map) = over.downcast_ref::<CelMap>() {
        pay(map.inner().len(), map.inner().keys().map(|key| weight(key.inner())).sum())?;
        let mut keys: Vec<_> = map.inner().keys().collect();
        keys.sort_unstable();
        let keys: Vec<Box<dyn Val + 'v>> = keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect();
        return Ok(CowVal::owned(CelList::from(keys)));
    } else {
        pay(0, 0)?;
    }
    Ok(arguments.swap_remove(0))
}

/// `@index(x)`: `x` as an index or a key. A number with a fraction is refused here, because `cel` copies the whole list into its
/// own refusal.
pub const INDEX: &str = "@index";

fn index<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge_value(arguments[0].as_ref())?;
    if arguments[0].downcast_ref::<CelDouble>().is_some_and(|number| number.inner().fract() != 0.0) {
        return Err(refusal("_[_]", &arguments));
    }
    Ok(arguments.swap_remove(0))
}

/// `@within(x, y)`: `x in y`.
pub const WITHIN: &str = "@within";

fn within<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    charge(0)?;
    let count = arguments[1].downcast_ref::<CelList>().map_or(1, |list| 1 + list.inner().len() as u64 / 8);
    charge(weight(arguments[0].as_ref()).saturating_mul(count))?;
    let container = arguments[1].as_container().ok_or_else(|| refusal("in", &arguments))?;
    let result = container.contains(arguments[0].as_ref()).map_err(|_| refusal("in", &arguments))?;
    Ok(CowVal::owned(CelBool::from(result)))
}

/// `@matches_known(x, n)`: `x` matches the pattern of this number, which was compiled with the expression.
pub const MATCHES_KNOWN: &str = "@matches_known";

fn matches_known<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let number =
        arguments[1].downcast_ref::<CelInt>().and_then(|number| usize::try_from(*number.inner()).ok());
    // The number is of no interest to a reader.
    let text = string(&arguments[..1], 0, "matches")?;
    let result = with_pattern(number.unwrap_or(usize::MAX), |pattern| is_match(pattern, text));
    result.ok_or_else(|| refusal("matches", &arguments[..1]))?
}

/// `@matches(x, y)`: `x` matches a pattern that only the evaluation knows.
pub const MATCHES: &str = "@matches";
/// What it costs to compile a pattern, and how long it may be: about as long as a short one takes.
const COMPILE_STEPS: u64 = 20_000;
const DYNAMIC_PATTERN_BYTES_MAX: usize = 256;

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (text, pattern) = (string(&arguments, 0, "matches")?, string(&arguments, 1, "matches")?);
    charge(COMPILE_STEPS)?;
    let refused = || ExecutionError::function_error("matches", "not a pattern, or a long one");
    if pattern.len() > DYNAMIC_PATTERN_BYTES_MAX {
        return Err(refused());
    }
    is_match(&MeteredRegex::new(pattern).map_err(|_| refused())?, text)
}

fn is_match<'b, 'v>(pattern: &MeteredRegex, text: &str) -> Result<CowVal<'b, 'v>> {
    charge(pattern.steps(text))?;
    Ok(CowVal::owned(CelBool::from(pattern.is_match(text))))
}

fn replace<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let text = string(&arguments, 0, "replace")?;
    let (from, to) = (string(&arguments, 1, "replace")?, string(&arguments, 2, "replace")?);
    charge(text_weight(text) + text_weight(from))?;
    let count = text.matches(from).count();
    charge((count as u64).saturating_mul(text_weight(to)))?;
    Ok(CowVal::owned(CelString::from(text.replace(from, to))))
}

fn split<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let (text, separator) = (string(&arguments, 0, "split")?, string(&arguments, 1, "split")?);
    charge(text_weight(text) + text_weight(separator))?;
    let parts: Vec<&str> = match separator {
        "" => text.split("").filter(|character| !character.is_empty()).collect(),
        separator => text.split(separator).collect(),
    };
    charge(parts.len() as u64)?;
    let parts = parts.into_iter().map(|part| Box::new(CelString::from(part.to_owned())) as Box<dyn Val + 'v>);
    Ok(CowVal::owned(CelList::from(parts.collect::<Vec<_>>())))
}

fn join<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>> {
    let refused = || refusal("join", &arguments);
    let list = arguments[0].downcast_ref::<CelList>().ok_or_else(refused)?;
    let separator = if arguments.len() > 1 { string(&arguments, 1, "join")? } else { "" };
    charge_value(arguments[0].as_ref())?;
    charge((list.inner().len() as u64).saturating_mul(text_weight(separator)))?;
    let parts = list.inner().iter().map(|item| item.downcast_ref::<CelString>().map(CelString::inner));
    let parts: Vec<&str> = parts.collect::<Option<_>>().ok_or_else(refused)?;
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

fn string<'a>(arguments: &'a [CowVal<'_, '_>], at: usize, function: &str) -> Result<&'a str> {
    let text = arguments[at].downcast_ref::<CelString>().map(CelString::inner);
    text.ok_or_else(|| refusal(function, arguments))
}
