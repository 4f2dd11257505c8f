//! A rate as settings have it: `100` or `100:5000`, `0` for no limit. Knows nothing of what is limited.

use std::str::FromStr;

use serde::Deserialize;

use crate::api::guard::rates::Rate;

/// A rate. `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RateValue(pub Option<Rate>);

impl FromStr for RateValue {
    type Err = String;

    fn from_str(text: &str) -> Result<RateValue, String> {
        Rate::parse(text).map(RateValue)
    }
}

impl TryFrom<String> for RateValue {
    type Error = String;

    fn try_from(text: String) -> Result<RateValue, String> {
        text.parse()
    }
}
