//! How a rate is said: `100` or `100:5000`, `0` for none. Knows nothing of what is limited.

use std::str::FromStr;

use serde::Deserialize;

use crate::api::guard::rates::Rate;

/// A rate, or the word that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RateValue(Option<Rate>);

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

/// What was said, or what holds otherwise.
pub(super) fn decided(said: Option<RateValue>, otherwise: Option<Rate>) -> Option<Rate> {
    said.map_or(otherwise, |RateValue(rate)| rate)
}
