//! What a write expects of the layer or config that it changes, from the fields of its request. Knows values; no call.

use crate::engine::Expected;
use crate::model::Version;

/// An error says what is wrong with the second field.
pub fn expected(version: Option<u64>, must_exist: bool) -> Result<Option<Expected>, &'static str> {
    match (version, must_exist) {
        (Some(_), true) => Err("cannot be set beside expected_version"),
        (Some(version), false) => Ok(Some(Expected::Version(Version(version)))),
        (None, true) => Ok(Some(Expected::Existing)),
        (None, false) => Ok(None),
    }
}
