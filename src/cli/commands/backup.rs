//! `confwatch backup`: makes backups of a server, looks at backup files, and makes a data directory of them. Knows the client and backup
//! files; of the store only how to make one.

mod create;
mod file;
mod restore;

use clap::{Args, Subcommand};

use crate::backup::BackupError;
use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::Output;
use create::CreateArgs;
use file::FileArgs;
use restore::RestoreArgs;

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
  confwatch backup create -f payments.cwb payments --kind state")]
    Create(CreateArgs),
    /// Show what a backup file has; the file is not verified
    #[command(after_help = "\
Examples:
  confwatch backup show confwatch.cwb
  confwatch backup show confwatch.cwb -o json | jq .last_revision")]
    Show(FileArgs),
    /// Verify a backup file: every byte, every sum, and the chain of commits; exit code 1 if the file is damaged
    #[command(after_help = "\
Whoever can write to the file can make another one that verifies: compare the sum with the one in the audit log of the server.

Examples:
  confwatch backup verify confwatch.cwb
  confwatch backup verify confwatch.cwb -o json | jq .sha256")]
    Verify(FileArgs),
    /// Make a new data directory of a full backup, and of the incremental backups that follow it
    #[command(after_help = "\
No server is asked. The files are verified first, and the directory appears only when it is complete. The new store has the revisions of \
the backup and a new epoch: clients are told that history was restored, and start afresh. Put the master key in its place first: without it \
a backup with secrets is refused.

Examples:
  confwatch backup restore confwatch.cwb --data-dir /var/lib/confwatch
  confwatch backup restore sunday.cwb monday.cwb tuesday.cwb --data-dir /var/lib/confwatch
  confwatch backup restore confwatch.cwb --data-dir ./restored --master-key-file ./master.key")]
    Restore(RestoreArgs),
}

impl BackupArgs {
    /// Whether the command asks no server.
    pub fn is_offline(&self) -> bool {
        match self.command {
            BackupCommand::Create(_) => false,
            BackupCommand::Show(_) | BackupCommand::Verify(_) | BackupCommand::Restore(_) => true,
        }
    }
}

/// Runs a command that looks at files alone. `actor`: who runs the command.
pub fn run_offline(args: &BackupArgs, actor: &str, output: &Output) -> Outcome {
    match &args.command {
        BackupCommand::Create(_) => Ok(Exit::Done),
        BackupCommand::Show(args) => file::show(args, output),
        BackupCommand::Verify(args) => file::verify(args, output),
        BackupCommand::Restore(args) => restore::run(args, actor, output),
    }
}

/// Runs a command that talks to a server.
pub async fn run(args: BackupArgs, session: &Session) -> Outcome {
    match args.command {
        BackupCommand::Create(args) => create::run(args, session).await,
        BackupCommand::Show(_) | BackupCommand::Verify(_) | BackupCommand::Restore(_) => Ok(Exit::Done),
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
        BackupError::Mismatch(_) | BackupError::MasterKey(_) => Failure::refused(message),
        BackupError::Foreign
        | BackupError::Format { .. }
        | BackupError::Damaged(_)
        | BackupError::Stopped
        | BackupError::Store(_)
        | BackupError::Io { .. } => Failure::new(Exit::Failed, message),
    }
}
