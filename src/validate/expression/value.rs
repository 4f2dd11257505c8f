//! JSON values as values of an expression, and back. Knows neither expressions nor documents.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

use super::Failure;
use crate::model::canonical::normalize;

/// Integers become `int`, which literals such as `1` are, and `uint` only beyond i64: the conversion that comes with `cel` makes
/// all positive ones `uint`, and then `config.replicas + 1` fails.
pub fn from_json<'v>(json: &'v Value) -> Box<dyn Val + 'v> {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => from_number(number),
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(from_json).collect::<Vec<_>>())),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (key(name), from_json(value)));
            Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
        }
    }
}

fn from_number(number: &Number) -> Box<dyn Val> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(integer), _, _) => Box::new(CelInt::from(integer)),
        (None, Some(integer), _) => Box::new(CelUInt::from(integer)),
        (None, None, float) => {
            Box::new(CelDouble::from(float.expect("a number without arbitrary precision")))
        }
    }
}

pub fn map_of_texts<'v>(members: impl Iterator<Item = (&'v str, &'v str)>) -> CelMap<'v> {
    let members =
        members.map(|(name, text)| (key(name), Box::new(CelString::from(text)) as Box<dyn Val + 'v>));
    CelMap::from(members.collect::<HashMap<_, _>>())
}

fn key(name: &str) -> CelMapKey<'_> {
    CelMapKey::String(CelString::from(name))
}

/// The result is in normal form. Values that JSON does not have are refused: bytes, times, types, and numbers that are not finite.
pub fn to_json(value: &dyn Val) -> Result<Value, Failure> {
    let mut json = convert(value)?;
    normalize(&mut json);
    Ok(json)
}

fn convert(value: &dyn Val) -> Result<Value, Failure> {
    if value.downcast_ref::<CelNull>().is_some() {
        Ok(Value::Null)
    } else if let Some(value) = value.downcast_ref::<CelBool>() {
        Ok(Value::from(*value.inner()))
    } else if let Some(value) = value.downcast_ref::<CelInt>() {
        Ok(Value::from(*value.inner()))
    } else if let Some(value) = value.downcast_ref::<CelUInt>() {
        Ok(Value::from(*value.inner()))
    } else if let Some(value) = value.downcast_ref::<CelDouble>() {
        let number = Number::from_f64(*value.inner()).ok_or_else(Failure::not_finite)?;
        Ok(Value::Number(number))
    } else if let Some(value) = value.downcast_ref::<CelString>() {
        Ok(Value::from(value.inner()))
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().map(|item| convert(item.as_ref())).collect()
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let members = map.inner().iter().map(|(key, value)| match key {
            CelMapKey::String(name) => Ok((name.inner().to_owned(), convert(value.as_ref())?)),
            CelMapKey::Bool(_) | CelMapKey::Int(_) | CelMapKey::UInt(_) => Err(Failure::key_of_map()),
        });
        Ok(Value::Object(members.collect::<Result<Map<_, _>, _>>()?))
    } else if let Some(present) = value.downcast_ref::<CelOptional>().and_then(CelOptional::option) {
        convert(present)
    } else {
        Err(Failure::result(value, "a JSON value"))
    }
}
