//! Quotas as settings have them: by name, those that differ from their defaults. Knows no namespaces.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

use crate::model::quota::{Quota, Quotas};

/// Quotas by name; 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct QuotaValues(BTreeMap<String, u64>);

impl FromStr for QuotaValues {
    type Err = String;

    fn from_str(text: &str) -> Result<QuotaValues, String> {
        let values = text.split(',').filter(|value| !value.trim().is_empty()).map(|value| {
            let (name, limit) = value.split_once('=').ok_or(format!("{value:?} is not NAME=VALUE"))?;
            let name = name.trim();
            let limit = limit.trim().parse().map_err(|error| format!("{name}: {error}"))?;
            Quota::from_str(name).map(|quota| (quota.as_str().to_owned(), limit))
        });
        values.collect::<Result<_, String>>().map(QuotaValues)
    }
}

/// The defaults, where nobody said otherwise; who comes later wins.
pub(super) fn decided(
    said: impl IntoIterator<Item = Option<QuotaValues>>,
    default: Quotas,
) -> Result<Quotas, String> {
    let mut quotas = default;
    for (name, limit) in said.into_iter().flatten().flat_map(|QuotaValues(values)| values) {
        quotas.set(name.parse()?, limit);
    }
    Ok(quotas)
}
