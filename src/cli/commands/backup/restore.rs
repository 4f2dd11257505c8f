//! `confwatch backup restore`: makes a data directory of backups. Knows backup files, the store and the master key; never a server.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::failure;
use crate::backup::{Restoring, Step, restore};
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::Output;
use crate::model::Timestamp;
use crate::secret::MasterKeySource;
use crate::store::SledOptions;

/// The variable that has the master key itself, as for a server.
const MASTER_KEY: &str = "CONFWATCH_MASTER_KEY";

#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A full backup, and the incremental backups that follow it, in their order; files, or s3://BUCKET/NAME
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Make this data directory, which must not be there, or be empty
    #[arg(long, value_name = "DIR", required = true)]
    data_dir: PathBuf,
    /// The master key is in this file; without it, in DIR.keys/master.key
    #[arg(long, env = "CONFWATCH_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// The passphrase that the master key is derived of is in this file
    #[arg(
        long,
        env = "CONFWATCH_MASTER_KEY_PASSPHRASE_FILE",
        value_name = "FILE",
        conflicts_with = "master_key_file"
    )]
    master_key_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct RestoredView {
    data_dir: String,
    revision: u64,
    origin_revision: u64,
    epoch: String,
    backups: Vec<String>,
}

pub fn run(args: &RestoreArgs, actor: &str, output: &Output) -> Outcome {
    let master_key = master_key(args);
    let mut observe = |step: Step| match step {
        Step::Verified(count) if output.is_table() => {
            output.note(&format!("verified {}", args.files[count - 1].display()));
        }
        Step::Verified(_) | Step::Begun | Step::Written(_) | Step::Complete | Step::Named => {}
    };
    let restoring = Restoring {
        options: SledOptions::default(),
        master_key: &master_key,
        actor: actor.to_owned(),
        now: Timestamp::from_system(std::time::SystemTime::now()),
        observe: &mut observe,
    };
    let restored = restore(&args.files, &args.data_dir, restoring).map_err(|error| match error {
        crate::backup::BackupError::MasterKey(_) => failure(&error).with(
            "put the master key of the server that made the backup in its place, or name its file by --master-key-file",
        ),
        other => failure(&other),
    })?;
    let view = RestoredView {
        data_dir: args.data_dir.display().to_string(),
        revision: restored.revision.0,
        origin_revision: restored.origin_revision.0,
        epoch: restored.epoch.to_string(),
        backups: restored.files.iter().map(|file| file.sha256.to_string()).collect(),
    };
    output.answer(&view, |output| {
        output.line(&format!(
            "{}: restored up to revision {}, new epoch {}; revision {} says where the store came from",
            view.data_dir, view.revision, view.epoch, view.origin_revision
        ))?;
        output.line(&format!("start the server: confwatch serve --data-dir {}", view.data_dir))
    })?;
    Ok(Exit::Done)
}

fn master_key(args: &RestoreArgs) -> MasterKeySource {
    let text = std::env::var(MASTER_KEY).ok().filter(|text| !text.is_empty());
    match (&args.master_key_file, &args.master_key_passphrase_file, text) {
        (Some(file), _, _) => MasterKeySource::File(file.clone()),
        (None, Some(file), _) => MasterKeySource::Passphrase(file.clone()),
        (None, None, Some(text)) => MasterKeySource::Text(Zeroizing::new(text)),
        (None, None, None) => MasterKeySource::Automatic(beside(&args.data_dir)),
    }
}

/// Where a server keeps the master key that it has made.
fn beside(data_dir: &Path) -> PathBuf {
    let mut name = data_dir.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".keys");
    data_dir.with_file_name(name).join("master.key")
}
