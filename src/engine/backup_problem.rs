//! Why backups that are scheduled are not made. Knows schedules and counts; not how a backup is made.

use std::sync::atomic::Ordering::Relaxed;

use super::Engine;
use super::jobs::backup_schedule::has_schedules;

/// What keeps backups from being made that a schedule requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupProblem {
    /// Backups are scheduled, and the server keeps none.
    NotKept,
    /// The last backup of a schedule has failed.
    Failing,
}

impl Engine {
    /// Why backups that are scheduled are not made now.
    pub fn backup_problem(&self) -> Option<BackupProblem> {
        let is_scheduled = || has_schedules(&self.state());
        match &self.backups.catalog {
            None => is_scheduled().then_some(BackupProblem::NotKept),
            Some(_) => {
                let is_failing = self.backups.counts.schedule_failing.load(Relaxed);
                (is_failing && is_scheduled()).then_some(BackupProblem::Failing)
            }
        }
    }
}
