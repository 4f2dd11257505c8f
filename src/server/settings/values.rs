//! Values of settings as they are written: lengths of time, limits by name, words. Knows texts, and no setting.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;

use crate::model::limits::{Limits, REQUEST_BYTES_MAX, TEXT_BYTES_MAX};

/// A length of time, written `8s`, `1m 30s`, `250ms` or `90d`; a day has 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let expected = || format!("{text:?} is not a length of time: such as 8s, 1m 30s or 90d expected");
        let text = text.trim();
        // The first knows no days, and the second no very long times, which the range of the setting refuses.
        let days = || text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
        let period: Option<jiff::SignedDuration> = text.parse().ok().or_else(days);
        let period = period.ok_or_else(expected)?;
        let period = Duration::try_from(period).map_err(|_| expected())?;
        if period.is_zero() { Err(expected()) } else { Ok(Period(period)) }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        text.parse()
    }
}

/// Networks, written `10.0.0.0/8,192.0.2.7,2001:db8::/32`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Networks(pub Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Networks, String> {
        let network = |text: &str| {
            let text = text.trim();
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let network = address.or_else(|_| text.parse::<IpNet>());
            network.map_err(|_| {
                format!("{text:?} is no address and no network: such as 192.0.2.7 or 10.0.0.0/8 expected")
            })
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Networks)
    }
}

impl TryFrom<String> for Networks {
    type Error = String;

    fn try_from(text: String) -> Result<Networks, String> {
        text.parse()
    }
}

/// Origins of pages, written `https://app.example,http://localhost:5173`: exactly as browsers write them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origins(pub Vec<String>);

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Origins, String> {
        let origin = |text: &str| {
            let text = text.trim();
            let (scheme, host) = text.split_once("://").unwrap_or_default();
            let is_plain = host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@*,\\".contains(&byte));
            let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
            match matches!(scheme, "https" | "http") && !host.is_empty() && is_plain && is_lower {
                true => Ok(text.to_owned()),
                false => Err(format!(
                    "{text:?} is not the origin of a page: such as https://app.example expected, without a path and in lower case"
                )),
            }
        };
        text.split(',').map(origin).collect::<Result<_, _>>().map(Origins)
    }
}

impl TryFrom<String> for Origins {
    type Error = String;

    fn try_from(text: String) -> Result<Origins, String> {
        text.parse()
    }
}

/// The limits that differ from their defaults, by the names they have in `Limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct LimitValues(BTreeMap<String, usize>);

impl LimitValues {
    /// The others win.
    pub(super) fn extend(&mut self, others: LimitValues) {
        self.0.extend(others.0);
    }

    /// All limits: these, and the defaults of the others.
    pub(super) fn limits(&self) -> Result<Limits, String> {
        let values = serde_json::to_value(&self.0).map_err(|error| error.to_string())?;
        let limits: Limits = serde_json::from_value(values).map_err(|error| error.to_string())?;
        if let Some((name, _)) = self.0.iter().find(|(_, value)| **value == 0) {
            return Err(format!("{name} is 0, at least 1 expected"));
        }
        let bounded = [
            ("layer_bytes_max", limits.layer_bytes_max, TEXT_BYTES_MAX),
            ("document_bytes_max", limits.document_bytes_max, TEXT_BYTES_MAX),
            ("request_bytes_max", limits.request_bytes_max, REQUEST_BYTES_MAX),
        ];
        match bounded.into_iter().find(|(_, bytes, max)| bytes > max) {
            Some((name, bytes, max)) => Err(format!("{name} is {bytes}, at most {max} fit a message")),
            None => Ok(limits),
        }
    }
}

impl FromStr for LimitValues {
    type Err = String;

    fn from_str(text: &str) -> Result<LimitValues, String> {
        let values = text.split(',').filter(|value| !value.trim().is_empty()).map(|value| {
            let (name, number) = value.split_once('=').ok_or(format!("{value:?} is not NAME=VALUE"))?;
            let number = number.trim().parse().map_err(|error| format!("{}: {error}", name.trim()))?;
            Ok((name.trim().to_owned(), number))
        });
        let values = LimitValues(values.collect::<Result<_, String>>()?);
        values.limits()?;
        Ok(values)
    }
}

/// Whether a commit is on disk before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// An acknowledged commit survives a power cut
    Always,
    /// It survives the end of the process, but perhaps not a power cut
    Never,
}

/// Whether browsers are served the web console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ConsoleMode {
    /// Its pages are at /
    On,
    /// Nothing is at /
    Off,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fsync::Always => "always",
            Fsync::Never => "never",
        })
    }
}

/// A sampling ratio.
pub(super) fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}
