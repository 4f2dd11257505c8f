//! Messages as programs read them from `--output json` and `yaml`: the names are those of the contract, and stay. Knows
//! the wire; never a terminal.
//!
//! Every field is always there. Documents and values that are JSON are embedded as JSON, enums are their names in the
//! contract, moments are RFC 3339, and what is unset is null.

mod access;
mod audit;
mod backup;
mod document;
mod finding;
mod fleet;
mod history;
mod schema;
mod secrets;
mod sessions;
mod status;
mod write;

pub use access::*;
pub use audit::*;
pub use backup::*;
pub use document::*;
pub use finding::*;
pub use fleet::*;
pub use history::*;
pub use schema::*;
pub use secrets::*;
pub use sessions::*;
pub use status::*;
pub use write::*;

use serde_json::Value;

use crate::model::Timestamp;

/// RFC 3339 in UTC.
pub fn time(time: Option<&prost_types::Timestamp>) -> Option<String> {
    time.map(|time| {
        let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos / 1000));
        Timestamp(micros).to_string()
    })
}

/// To the second, for people: `2026-11-21 08:46:30Z`.
pub fn short_time(time: Option<&prost_types::Timestamp>) -> String {
    let Some(time) = time else { return "-".into() };
    match jiff::Timestamp::from_second(time.seconds) {
        Ok(at) => at.to_string().replace('T', " "),
        Err(_) => time.seconds.to_string(),
    }
}

/// JSON text as the value it is; null where there is none.
fn embedded(json: &str) -> Value {
    match json {
        "" => Value::Null,
        json => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
    }
}

fn list<'a, M: 'a, V: From<&'a M>>(messages: &'a [M]) -> Vec<V> {
    messages.iter().map(V::from).collect()
}
