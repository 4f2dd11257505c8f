//! The rooms of the log: what kind of event lies in which directory, and how much of it is kept. Each room is a chain of its own with a retention
//! of its own, so that a flood of one kind pushes out nothing of another. All rooms share one sequence.

use std::path::{Path, PathBuf};

use super::Retention;
use super::event::{Event, Kind};

/// The namespace whose configs govern access.
const GOVERNING: &str = "confwatch";

/// Where an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// Changes of what governs access, and what the log tells of itself and of the server: few, and never pushed out by what callers do
    /// otherwise. A log of before has secrets that were shown there, too.
    Main,
    /// Secrets that were shown, those that somebody has put a value over, and backups.
    Reveals,
    /// Calls of known callers that were denied on the configs that govern access.
    Attempts,
    /// Logins and logouts of people. Whoever has a credential can make them.
    Sessions,
    /// Other calls of known callers that were denied.
    Denied,
    /// Calls without a good credential. Anybody can make them.
    Refused,
}

/// How much of what one source does is recorded one by one. Beyond it, what the source does is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Records at once.
    pub burst: u32,
    /// Records that come to it each minute, up to `burst`.
    pub per_minute: u32,
}

impl Room {
    pub const ALL: [Room; 6] =
        [Room::Main, Room::Reveals, Room::Attempts, Room::Sessions, Room::Denied, Room::Refused];

    pub fn of(kind: Kind, namespace: &str) -> Room {
        match kind {
            Kind::Denied if namespace == GOVERNING => Room::Attempts,
            Kind::Denied => Room::Denied,
            Kind::Refused => Room::Refused,
            Kind::Revealed | Kind::Overwritten | Kind::Backup => Room::Reveals,
            Kind::Session => Room::Sessions,
            Kind::AccessChanged
            | Kind::Started
            | Kind::Stopped
            | Kind::Lost
            | Kind::Repaired
            | Kind::Removed => Room::Main,
        }
    }

    pub fn of_event(event: &Event) -> Room {
        Room::of(event.kind, &event.namespace)
    }

    /// Whether a record that is removed early is a loss. The rooms of denied and refused calls are small, since anybody can fill them.
    pub fn is_for_keeping(self) -> bool {
        match self {
            Room::Main | Room::Reveals | Room::Attempts | Room::Sessions => true,
            Room::Denied | Room::Refused => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Room::Main => "main",
            Room::Reveals => "reveals",
            Room::Attempts => "attempts",
            Room::Sessions => "sessions",
            Room::Denied => "denied",
            Room::Refused => "refused",
        }
    }

    /// The directory of the room within that of the log.
    pub fn directory(self, log: &Path) -> PathBuf {
        match self {
            Room::Main => log.to_owned(),
            Room::Reveals | Room::Attempts | Room::Sessions | Room::Denied | Room::Refused => {
                log.join(self.name())
            }
        }
    }

    /// What is kept in the room of a log that is kept so: two thirds of the bytes are for what is never summed up.
    pub fn retention(self, log: Retention) -> Retention {
        let share = match self {
            Room::Main | Room::Reveals => 3,
            Room::Attempts | Room::Sessions | Room::Denied | Room::Refused => 12,
        };
        Retention { bytes_max: (log.bytes_max / share).max(1), ..log }
    }

    /// Of one actor; in `Refused` of one network. Secrets that are shown have another, beyond which they are not shown.
    pub fn budget(self) -> Budget {
        match self {
            Room::Main | Room::Reveals => Budget { burst: 10_000, per_minute: 600 },
            Room::Attempts => Budget { burst: 1000, per_minute: 60 },
            Room::Sessions => Budget { burst: 500, per_minute: 20 },
            Room::Denied => Budget { burst: 200, per_minute: 10 },
            Room::Refused => Budget { burst: 50, per_minute: 5 },
        }
    }

    /// Whether what happens again within a minute is only counted, also within the budget.
    pub fn counts_repeats(self) -> bool {
        match self {
            Room::Main | Room::Reveals | Room::Attempts | Room::Sessions => false,
            Room::Denied | Room::Refused => true,
        }
    }

    /// Whether records of this room are lost first when more happens than can be written.
    pub fn yields(self) -> bool {
        match self {
            Room::Main | Room::Reveals | Room::Attempts | Room::Sessions => false,
            Room::Denied | Room::Refused => true,
        }
    }
}
