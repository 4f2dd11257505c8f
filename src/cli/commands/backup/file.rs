//! `confwatch backup show` and `verify`: what a backup file has, and whether it is as it was written. Knows backup files; never a server.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure;
use crate::backup::{open_backup, read_manifest, verify as verify_backup};
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::Output;
use crate::cli::output::views::BackupView;

#[derive(Args, Debug)]
pub struct FileArgs {
    /// The backup file, s3://BUCKET/NAME, or the id of a backup that the server keeps
    #[arg(value_name = "FILE|ID")]
    file: PathBuf,
}

impl FileArgs {
    /// Whether a file is named: one that is there, a path, or a name that ends as those of backups do.
    pub fn is_file(&self) -> bool {
        names_a_file(&self.file)
    }

    pub fn id(&self) -> String {
        self.file.to_string_lossy().into_owned()
    }
}

/// Whether a name is that of a file rather than the id of a backup.
pub fn names_a_file(path: &Path) -> bool {
    let name = path.to_string_lossy();
    path.exists() || name.contains('/') || name.ends_with(".cwb")
}

pub fn show(args: &FileArgs, output: &Output) -> Outcome {
    let (manifest, bytes) = read_manifest(&args.file).map_err(|error| failure(&error))?;
    let view = BackupView::of(&manifest, bytes, String::new());
    output.answer(&view, |output| view.lines().iter().try_for_each(|line| output.line(line)))?;
    Ok(Exit::Done)
}

pub fn verify(args: &FileArgs, output: &Output) -> Outcome {
    let file = open_backup(&args.file).map_err(|error| failure(&error))?;
    let verified = verify_backup(BufReader::new(file)).map_err(|error| failure(&error))?;
    let view = BackupView::of(&verified.manifest, verified.bytes, verified.sha256.to_string());
    output.answer(&view, |output| output.line(&format!("intact: {}", view.summary())))?;
    Ok(Exit::Done)
}
