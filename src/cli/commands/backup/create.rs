//! `confwatch backup create`: receives a backup of a server, and writes it to a file. Knows the client and files; not what is in a backup.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::failure;
use crate::backup::{Kind, Manifest, PendingFile, read_manifest, verify};
use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::BackupView;
use crate::proto::v1;

/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Make a backup of this namespace or config alone; without it, of the store
    #[arg(value_name = "NAMESPACE[/CONFIG]", default_value = "", hide_default_value = true)]
    selection: String,
    /// Write the backup to this file, which must not be there
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// How much of history: full: all of it, and the state; state: the state alone, which cannot make a new store
    #[arg(long, value_enum, default_value_t = KindName::Full, conflicts_with = "since")]
    kind: KindName,
    /// Make an incremental backup: the commits after those of this backup file
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// What the backup is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    /// A label of the backup; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KindName {
    Full,
    State,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        Some(_) | None => Err("expected KEY=VALUE, as in reason=upgrade".into()),
    }
}

pub async fn run(args: CreateArgs, session: &Session) -> Outcome {
    let request = request(&args)?;
    let named = |error: &io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(
            Exit::Conflict,
            format!("{} is there already: name another file", args.file.display()),
        ),
        _ => Failure::io(args.file.display(), error),
    };
    let mut file = PendingFile::create(&args.file).map_err(|error| named(&error))?;
    let mut progress = Progress::begin(session);
    let mut stream = session.client.backups().create_backup(request).await?.into_inner();
    let mut made = None;
    while let Some(message) = stream.message().await? {
        file.write_all(&message.chunk).map_err(|error| named(&error))?;
        progress.received(&message);
        made = message.backup.or(made);
    }
    progress.end();
    let Some(made) = made else {
        return Err(Failure::new(Exit::Failed, "the server ended the backup before it was complete"));
    };
    // What was received is what was sent, before it has its name.
    let received = file.read(|input| verify(input)).map_err(|error| named(&error))?;
    let received = received.map_err(|error| failure(&error))?;
    if received.sha256.to_string() != made.sha256 {
        return Err(Failure::new(Exit::Failed, "the file is not the backup that the server made"));
    }
    file.commit().map_err(|error| named(&error))?;
    let view = BackupView::from(&made);
    session
        .output
        .answer(&view, |output| output.line(&format!("{}: {}", args.file.display(), view.summary())))?;
    Ok(Exit::Done)
}

fn request(args: &CreateArgs) -> Result<v1::CreateBackupRequest, Failure> {
    let (namespace, config) = args.selection.split_once('/').unwrap_or((&args.selection, ""));
    let (kind, since) = match &args.since {
        Some(before) => (v1::BackupKind::Incremental, Some(position(before)?)),
        None if args.kind == KindName::State => (v1::BackupKind::State, None),
        None => (v1::BackupKind::Full, None),
    };
    Ok(v1::CreateBackupRequest {
        kind: kind.into(),
        namespace: namespace.to_owned(),
        config: config.to_owned(),
        since,
        note: args.note.clone(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
    })
}

/// Where the history of a backup file ends.
fn position(path: &Path) -> Result<v1::BackupPosition, Failure> {
    let (manifest, _) = read_manifest(path).map_err(|error| failure(&error))?;
    let Manifest { kind, selection, epoch, last_revision, last_hash, .. } = manifest;
    if kind == Kind::State || selection != "*" {
        let path = path.display();
        let message =
            format!("{path} has no history of the store: name a full or incremental backup of the store");
        return Err(Failure::refused(message));
    }
    Ok(v1::BackupPosition { epoch, revision: last_revision, chain_hash: last_hash })
}

/// A line on the terminal that says how far the backup is.
struct Progress {
    is_shown: bool,
    bytes: u64,
    shown: Option<Instant>,
}

impl Progress {
    fn begin(session: &Session) -> Progress {
        Progress { is_shown: session.output.is_table() && io::stderr().is_terminal(), bytes: 0, shown: None }
    }

    fn received(&mut self, message: &v1::CreateBackupResponse) {
        self.bytes += message.chunk.len() as u64;
        if !self.is_shown || self.shown.is_some_and(|shown| shown.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = message.done.min(message.total) * 100 / message.total.max(1);
        // A terminal that takes nothing does not stop the backup.
        let _ = write!(io::stderr(), "\r{percent:3} %  {:.1} MiB", self.bytes as f64 / f64::from(1 << 20));
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}
