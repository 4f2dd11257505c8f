//! Arbitrary documents for property tests, with what documents get wrong: numbers at the edges, names and strings that
//! look like something else, nulls, and empty containers.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::canonical::normalize;

/// Any JSON value in normal form.
pub fn value() -> BoxedStrategy<Value> {
    nested(scalar().boxed())
}

/// Any JSON object in normal form: what a layer can be.
pub fn object() -> BoxedStrategy<Value> {
    members(value())
}

/// An object that TOML can express.
pub fn object_for_toml() -> BoxedStrategy<Value> {
    let scalar =
        scalar().prop_filter("TOML has it", |value| !value.is_null() && (value.is_i64() || !value.is_u64()));
    members(nested(scalar.boxed()))
}

/// Objects of few names and values, so that they meet each other in merges and diffs.
pub fn similar_object() -> BoxedStrategy<Value> {
    let scalar = prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), Just(Value::from("x"))];
    let name = || prop::sample::select(vec!["a", "b", "c", "~/"]).prop_map(str::to_owned);
    let map = move |value| prop::collection::btree_map(name(), value, 0..4).prop_map(object_of);
    let value = scalar.prop_recursive(3, 24, 4, move |value| {
        prop_oneof![4 => map(value.clone().boxed()), 1 => prop::collection::vec(value, 0..3).prop_map(Value::Array)]
    });
    prop::collection::btree_map(name(), value, 0..4).prop_map(object_of).boxed()
}

fn nested(scalar: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let value = scalar.prop_recursive(4, 32, 6, |value| {
        prop_oneof![prop::collection::vec(value.clone(), 0..5).prop_map(Value::Array), members(value.boxed())]
    });
    value.boxed()
}

fn members(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop::collection::btree_map(string(), value, 0..6).prop_map(object_of).boxed()
}

fn object_of(members: std::collections::BTreeMap<String, Value>) -> Value {
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        4 => number(),
        4 => string().prop_map(Value::from),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    let float = prop::num::f64::POSITIVE
        | prop::num::f64::NEGATIVE
        | prop::num::f64::ZERO
        | prop::num::f64::SUBNORMAL;
    let edge = [
        9_007_199_254_740_993.0,
        1e20,
        1e21,
        1e22,
        1e-7,
        1.5,
        -0.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        0.1,
    ];
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-20_i64..20).prop_map(Value::from),
        prop::sample::select(vec![u64::MAX, i64::MAX.unsigned_abs(), i64::MIN.unsigned_abs(), (1 << 53) + 1])
            .prop_map(Value::from),
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, -(1 << 53) - 1]).prop_map(Value::from),
        float.prop_map(Value::from),
        prop::sample::select(edge.to_vec()).prop_map(Value::from),
    ]
    .prop_map(|mut number| {
        normalize(&mut number);
        number
    })
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,6}",
        2 => prop::sample::select(LOOK_ALIKES.to_vec()).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => "[ \t\r\n#:\\-?!&*|>'\"%@`{}\\[\\],~/.=<\u{85}\u{a0}\u{2028}\u{feff}\u{0}\u{1b}\u{7f}a]{0,8}",
        1 => "[ a\n]{60,200}",
        1 => "([a-z]{1,9}[ \n]){15,25}",
    ]
}

/// Strings that a careless reader or writer takes for something else.
const LOOK_ALIKES: [&str; 64] = [
    "",
    " ",
    "~",
    "null",
    "Null",
    "NULL",
    "true",
    "True",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "Yes",
    "NO",
    "1",
    "-1",
    "+1",
    "010",
    "0o10",
    "0x1f",
    "1_000",
    "1.0",
    "1.",
    ".5",
    "1e3",
    "1E+3",
    ".nan",
    ".inf",
    "-.inf",
    "NaN",
    "nan",
    "inf",
    "Infinity",
    "<<",
    "=",
    "---",
    "...",
    "--- a",
    "- a",
    "-",
    "? a",
    ": a",
    "a: b",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "!!str a",
    "| a",
    "> a",
    "%YAML 1.2",
    "@a",
    "`a",
    "12:30:45",
    "2026-11-05",
    "2026-11-05T10:00:00Z",
    "[a",
    "{a",
    "\u{1f600}",
    "\u{fb33}",
];
