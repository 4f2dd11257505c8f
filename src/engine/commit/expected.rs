//! What a write expects of the layer or the config that it changes. Pure.

use crate::engine::error::Error;
use crate::model::Version;

/// The state in which a layer or a config must be for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The version of its last change. 0: a layer must not exist.
    Version(Version),
    /// It exists, in whatever version.
    Existing,
}

impl Expected {
    /// Fails if a config or layer is not as the caller expects it; `None` accepts any state. `current` is its version, which a deleted config keeps.
    pub(in crate::engine) fn check(
        expected: Option<Expected>,
        current: Version,
        exists: bool,
        place: impl FnOnce() -> String,
    ) -> Result<(), Error> {
        match expected {
            Some(Expected::Version(expected)) if expected != current => {
                Err(Error::VersionMismatch { place: place(), expected, current })
            }
            Some(Expected::Existing) if !exists => Err(Error::NotExisting { place: place() }),
            Some(Expected::Version(_) | Expected::Existing) | None => Ok(()),
        }
    }
}
