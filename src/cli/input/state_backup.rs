//! `--without-backup`, and the line that names the backups of the state before a write. Knows the client only.

use clap::Args;

use crate::cli::output::exit::Failure;
use crate::cli::output::streams::Output;
use crate::proto::v1;

#[derive(Args, Clone, Copy, Debug)]
pub struct StateBackupArgs {
    /// Write without a backup of the state before, which a server with --backup-dir otherwise keeps
    #[arg(long)]
    without_backup: bool,
}

impl StateBackupArgs {
    /// The options of the write.
    pub fn options(self, options: v1::WriteOptions) -> v1::WriteOptions {
        v1::WriteOptions { without_backup: self.without_backup, ..options }
    }
}

/// Names the backups that the server has kept.
pub fn show_state_backups(ids: &[String], output: &Output) -> Result<(), Failure> {
    ids.iter().try_for_each(|id| output.line(&format!("state before: backup {id}")))
}
