//! `confwatch backup`: makes backups of a server, looks at backup files, and makes a data directory of them. Knows the client and backup
//! files; of the store only how to make one.

mod create;
mod file;
mod kept;
mod offline;
mod restore;
mod schedule;
mod upload;

use clap::{Args, Subcommand};

use crate::backup::BackupError;
use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::Output;
use create::CreateArgs;
use file::FileArgs;
use kept::{ListArgs, PinArgs, PruneArgs};
use restore::RestoreArgs;
use schedule::ScheduleArgs;

pub use file::names_a_file;
pub use upload::upload;

/// Make, verify and restore backups
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch backup create -f confwatch.cwb
  confwatch backup verify confwatch.cwb
  confwatch backup restore confwatch.cwb --data-dir /var/lib/confwatch")]
pub struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Subcommand, Debug)]
enum BackupCommand {
    /// Make a backup of the server, of a namespace or of a config, while the server serves
    #[command(after_help = "\
The file has everything that is selected, with secrets sealed: keep it where the store may be kept, and the master key elsewhere.

Examples:
  confwatch backup create -f confwatch.cwb
  confwatch backup create -f monday.cwb --since sunday.cwb
  confwatch backup create -f payments.cwb payments --kind state
  confwatch backup create --note 'before the upgrade'")]
    Create(CreateArgs),
    /// List the backups that the server keeps in its --backup-dir
    #[command(after_help = "\
Examples:
  confwatch backup list
  confwatch backup list -o json | jq -r '.backups[].id'")]
    List(ListArgs),
    /// Show what a backup has: a file, which is not verified, or one that the server keeps
    #[command(after_help = "\
Examples:
  confwatch backup show confwatch.cwb
  confwatch backup show 20261129T033000-full-5f0c2a9b
  confwatch backup show confwatch.cwb -o json | jq .last_revision")]
    Show(FileArgs),
    /// Verify a backup, a file or one that the server keeps: every byte, every sum, and the chain of commits; exit code 1 if it is damaged
    #[command(after_help = "\
Whoever can write to the file can make another one that verifies: compare the sum with the one in the audit log of the server.

Examples:
  confwatch backup verify confwatch.cwb
  confwatch backup verify 20261129T033000-full-5f0c2a9b
  confwatch backup verify confwatch.cwb -o json | jq .sha256")]
    Verify(FileArgs),
    /// Make a new data directory of a full backup, and of the incremental backups that follow it
    #[command(after_help = "\
No server is asked. The files are verified first, and the directory appears only when it is complete. The new store has the revisions of \
the backup and a new epoch: clients receive a reset, and start afresh. Put the master key in its place first: without it \
a backup with secrets is refused.

Examples:
  confwatch backup restore confwatch.cwb --data-dir /var/lib/confwatch
  confwatch backup restore sunday.cwb monday.cwb tuesday.cwb --data-dir /var/lib/confwatch
  confwatch backup restore confwatch.cwb --data-dir ./restored --master-key-file ./master.key
  confwatch backup restore s3://backups/confwatch/20261129T033000-full-5f0c2a9b.cwb --data-dir /var/lib/confwatch")]
    Restore(RestoreArgs),
    /// Remove backups that the server keeps, beyond a number, an age or a size
    #[command(after_help = "\
Stay: pinned backups, and those that an incremental backup which stays follows.

Examples:
  confwatch backup prune --keep 14 --dry-run
  confwatch backup prune --keep-for 30d
  confwatch backup prune --keep 100 --keep-bytes 10000000000")]
    Prune(PruneArgs),
    /// Pin a backup that the server keeps, so that it is never pruned, or let it go
    #[command(after_help = "\
Examples:
  confwatch backup pin 20261129T033000-full-5f0c2a9b
  confwatch backup pin 20261129T033000-full-5f0c2a9b --remove")]
    Pin(PinArgs),
    /// List the schedules of backups, or set one, or remove one
    #[command(after_help = "\
The server makes the backups in its --backup-dir. After a time in which no server ran it makes one, not one for each time that was missed. The \
schedules are the config confwatch/backups: administrators alone read and write them.

Examples:
  confwatch backup schedule
  confwatch backup schedule nightly --cron '0 3 * * *' --keep 14
  confwatch backup schedule hourly --cron '15 * * * *' --kind incremental --keep-days 7
  confwatch backup schedule hourly --remove")]
    Schedule(ScheduleArgs),
}

impl BackupArgs {
    /// Whether the command asks no server.
    pub fn is_offline(&self) -> bool {
        match &self.command {
            BackupCommand::Show(args) | BackupCommand::Verify(args) => args.is_file(),
            BackupCommand::Restore(_) => true,
            BackupCommand::Create(args) => args.is_offline(),
            BackupCommand::List(_)
            | BackupCommand::Prune(_)
            | BackupCommand::Pin(_)
            | BackupCommand::Schedule(_) => false,
        }
    }
}

/// Runs a command that looks at files alone. `actor`: who runs the command.
pub fn run_offline(args: &BackupArgs, actor: &str, output: &Output) -> Outcome {
    match &args.command {
        BackupCommand::Create(args) => create::run_offline(args, actor, output),
        BackupCommand::Show(args) => file::show(args, output),
        BackupCommand::Verify(args) => file::verify(args, output),
        BackupCommand::Restore(args) => restore::run(args, actor, output),
        BackupCommand::List(_)
        | BackupCommand::Prune(_)
        | BackupCommand::Pin(_)
        | BackupCommand::Schedule(_) => Ok(Exit::Done),
    }
}

/// Runs a command that talks to a server.
pub async fn run(args: BackupArgs, session: &Session) -> Outcome {
    match args.command {
        BackupCommand::Create(args) => create::run(args, session).await,
        BackupCommand::List(_) => kept::list(session).await,
        BackupCommand::Show(args) => kept::show(args.id(), session).await,
        BackupCommand::Verify(args) => kept::verify(args.id(), session).await,
        BackupCommand::Prune(args) => kept::prune(args, session).await,
        BackupCommand::Pin(args) => kept::pin(args, session).await,
        BackupCommand::Schedule(args) => schedule::run(args, session).await,
        BackupCommand::Restore(_) => Ok(Exit::Done),
    }
}

/// Why a backup cannot be used.
fn failure(error: &BackupError) -> Failure {
    let message = error.to_string();
    match error {
        BackupError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::new(Exit::NotFound, message)
        }
        BackupError::NotEmpty(_) => Failure::new(Exit::Conflict, message),
        BackupError::Mismatch(_)
        | BackupError::Revision { .. }
        | BackupError::TooLarge { .. }
        | BackupError::MasterKey(_)
        | BackupError::Full(_) => Failure::refused(message),
        BackupError::Foreign
        | BackupError::Format { .. }
        | BackupError::Damaged(_)
        | BackupError::Stopped
        | BackupError::Store(_)
        | BackupError::Io { .. } => Failure::new(Exit::Failed, message),
    }
}
