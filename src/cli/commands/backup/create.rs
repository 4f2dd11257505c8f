//! `confwatch backup create`: receives a backup of a server, and writes it to a file. Knows the client and files; not what is in a backup.

use std::collections::BTreeMap;
use std::io::{self, BufReader, ErrorKind, IsTerminal, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum};
use tokio::task::spawn_blocking;

use super::{failure, offline};
use crate::backup::{
    Kind, Manifest, PendingFile, Plan, Position, Selection, is_in_bucket, read_manifest, verify,
};
use crate::cli::Session;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::Output;
use crate::cli::output::views::BackupView;
use crate::model::{Digest, Epoch, Revision, Timestamp};
use crate::priority;
use crate::proto::v1;

/// Between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// So much is read of the file at once while it is verified.
const READ_BYTES: usize = 1 << 20;

#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Make a backup of this namespace or config alone; without it, of the store
    #[arg(value_name = "NAMESPACE[/CONFIG]", default_value = "", hide_default_value = true)]
    selection: String,
    /// Write the backup to this file, which must not be there; without it, the server keeps the backup in its --backup-dir
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How much of history: full: all of it, and the state; state: the state alone, which cannot make a new store
    #[arg(long, value_enum, default_value_t = KindName::Full, conflicts_with = "since")]
    kind: KindName,
    /// Make an incremental backup: the commits after those of this backup file, or of this backup that the server keeps
    #[arg(long, value_name = "FILE|ID")]
    since: Option<PathBuf>,
    /// Make a backup of this data directory, which no server has open
    #[arg(long, value_name = "DIR", requires = "file")]
    data_dir: Option<PathBuf>,
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

impl CreateArgs {
    /// Whether the command asks no server.
    pub fn is_offline(&self) -> bool {
        self.data_dir.is_some()
    }
}

/// Makes a backup of a data directory.
pub fn run_offline(args: &CreateArgs, actor: &str, output: &Output) -> Outcome {
    let (Some(data_dir), Some(file)) = (&args.data_dir, &args.file) else { return Ok(Exit::Done) };
    let selection = if args.selection.is_empty() { "*" } else { &args.selection };
    let wrong = || Failure::usage(format!("{selection:?} is neither NAMESPACE nor NAMESPACE/CONFIG"));
    let since = args.since.as_deref().map(position).transpose()?;
    let since = since.map(|since| {
        let (epoch, hash) = (Epoch::parse(&since.epoch), Digest::parse(&since.chain_hash));
        let damaged = || Failure::refused("the backup before has no position");
        Ok::<_, Failure>(Position {
            epoch: epoch.ok_or_else(damaged)?,
            revision: Revision(since.revision),
            hash: hash.ok_or_else(damaged)?,
        })
    });
    let plan = Plan {
        kind: match (&since, args.kind) {
            (Some(_), _) => Kind::Incremental,
            (None, KindName::Full) => Kind::Full,
            (None, KindName::State) => Kind::State,
        },
        selection: Selection::parse(selection).ok_or_else(wrong)?,
        since: since.transpose()?,
        server: String::new(),
        actor: actor.to_owned(),
        created: Timestamp::from_system(SystemTime::now()),
        note: args.note.clone(),
        labels: args.labels.iter().cloned().collect(),
    };
    let view = offline::make(data_dir, file, &plan)?;
    output.answer(&view, |output| output.line(&format!("{}: {}", file.display(), view.summary())))?;
    Ok(Exit::Done)
}

pub async fn run(args: CreateArgs, session: &Session) -> Outcome {
    let request = request(&args)?;
    refuse_unknown_namespace(&request.namespace, session).await?;
    let made = match &args.file {
        Some(path) => receive(path, request, session).await?,
        None => keep(request, session).await?,
    };
    let view = BackupView::from(&made);
    let name = args.file.as_ref().map_or_else(|| made.id.clone(), |path| path.display().to_string());
    session.output.answer(&view, |output| output.line(&format!("{name}: {}", view.summary())))?;
    Ok(Exit::Done)
}

/// Writes a backup to a file.
async fn receive(
    path: &Path,
    request: v1::CreateBackupRequest,
    session: &Session,
) -> Result<v1::Backup, Failure> {
    let named = |error: &io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, format!("{} is there already: name another file", path.display()))
        }
        _ => Failure::io(path.display(), error),
    };
    if is_in_bucket(path) {
        let message = "a server makes backups in a bucket: start it with --backup-dir, and leave --file out";
        return Err(Failure::usage(message));
    }
    let mut file = PendingFile::create(path).map_err(|error| named(&error))?;
    // What was received is what was sent, before it has its name. The file is read while it is received.
    let following = file.follow().map_err(|error| named(&error))?;
    let verifying = spawn_blocking(|| {
        priority::lower();
        verify(BufReader::with_capacity(READ_BYTES, following))
    });
    let mut progress = Progress::begin(session);
    let mut stream = session.client.backups().create_backup(request).await?.into_inner();
    let mut made = None;
    while let Some(message) = stream.message().await? {
        file.write_all(&message.chunk).map_err(|error| named(&error))?;
        progress.received(&message);
        made = message.backup.or(made);
    }
    progress.end();
    let made = made.ok_or_else(ended_early)?;
    file.end();
    let received = verifying.await.unwrap_or_else(|ended| resume_unwind(ended.into_panic()));
    let received = received.map_err(|error| failure(&error))?;
    if received.sha256.to_string() != made.sha256 {
        return Err(Failure::new(Exit::Failed, "the file is not the backup that the server made"));
    }
    file.commit().map_err(|error| named(&error))?;
    Ok(made)
}

/// Has the server keep a backup.
async fn keep(request: v1::CreateBackupRequest, session: &Session) -> Result<v1::Backup, Failure> {
    let request = v1::CreateBackupRequest { keep: true, ..request };
    let mut progress = Progress::begin(session);
    let mut stream = session.client.backups().create_backup(request).await?.into_inner();
    let mut made = None;
    while let Some(message) = stream.message().await? {
        progress.received(&message);
        made = message.backup.or(made);
    }
    progress.end();
    made.ok_or_else(ended_early)
}

fn ended_early() -> Failure {
    Failure::new(Exit::Failed, "the server ended the backup before it was complete")
}

fn request(args: &CreateArgs) -> Result<v1::CreateBackupRequest, Failure> {
    let (namespace, config) = args.selection.split_once('/').unwrap_or((&args.selection, ""));
    let (kind, since, since_backup) = match &args.since {
        Some(before) if before.exists() || is_in_bucket(before) => {
            (v1::BackupKind::Incremental, Some(position(before)?), String::new())
        }
        Some(id) => (v1::BackupKind::Incremental, None, id.to_string_lossy().into_owned()),
        None if args.kind == KindName::State => (v1::BackupKind::State, None, String::new()),
        None => (v1::BackupKind::Full, None, String::new()),
    };
    Ok(v1::CreateBackupRequest {
        kind: kind.into(),
        namespace: namespace.to_owned(),
        config: config.to_owned(),
        since,
        note: args.note.clone(),
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        keep: false,
        since_backup,
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
        let received = match self.bytes {
            0 => String::new(),
            bytes => format!("  {:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        };
        let _ = write!(io::stderr(), "\r{percent:3} %{received}");
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}
