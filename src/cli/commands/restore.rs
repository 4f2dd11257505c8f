//! `confwatch restore`: a namespace or a config as it was at a point in the past, or as a backup has it. Knows the client only.

use std::path::{Path, PathBuf};

use clap::Args;

use super::backup::{names_a_file, upload};
use super::validate::show_affected;
use crate::cli::Session;
use crate::cli::input::args::{Point, WriteArgs, timestamp};
use crate::cli::input::confirm::ConfirmArgs;
use crate::cli::input::moment::Moment;
use crate::cli::input::place::Place;
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::input::state_backup::{StateBackupArgs, show_state_backups};
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::{Failure, Outcome};
use crate::cli::output::layers::applied_lines;
use crate::cli::output::refusal::show_findings;
use crate::cli::output::streams::counted;
use crate::cli::output::views::RestoreView;
use crate::proto::v1;

/// Make a config, or all configs of a namespace, what they were at a point in the past, or what a backup has, by one new commit
#[derive(Args, Debug)]
#[command(after_help = "\
POINT is revision:N, time:TIME (RFC 3339, or a time ago such as 1h) or tag:NAME. Layers that were created since are removed, and deleted ones \
return. Tags and, unless named as the config, schemas, rules and settings stay. `confwatch revert` takes back single commits and keeps what others \
have changed.

--from-backup takes the state from a backup, which is verified first: its newest one, or with --to revision:N that of a revision which the backup has. \
The backup is one that the server keeps (`confwatch backup list`), or a file, which is sent to the server: a name that is a path, that ends with .cwb, or of a file that is there.

Examples:
  confwatch restore payments --to time:1h --dry-run
  confwatch restore payments@/production --to revision:311 --reason 'incident 7'
  confwatch restore payments/checkout --to tag:stable --wait
  confwatch restore payments/checkout --from-backup ./payments.cwb --dry-run")]
pub struct RestoreArgs {
    /// The namespace or the config; with a scope, only layers at the scope and below it
    #[arg(value_name = "NAMESPACE[/CONFIG][@SCOPE]")]
    place: Place,
    /// The scope, such as /production
    #[arg(short, long)]
    scope: Option<String>,
    /// The point in the past: revision:N, time:TIME or tag:NAME; with --from-backup revision:N alone
    #[arg(long, value_name = "POINT", required_unless_present = "from_backup")]
    to: Option<Point>,
    /// Take the state from the backup with this id, which the server keeps, or from this file, which is sent to the server
    #[arg(long, value_name = "ID|FILE")]
    from_backup: Option<PathBuf>,
    /// Restore only if none of the configs has changed after this revision
    #[arg(long, value_name = "N")]
    expected_revision: Option<u64>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    state_backup: StateBackupArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: RestoreArgs, session: &Session) -> Outcome {
    let place = args.place.at_scope(args.scope)?;
    if matches!(args.to, Some(Point::Time(Moment::Ago(_)))) && !args.write.has_no_request_id() {
        let message = "--to: a time ago is another time with each repetition, so --request-id would not be of the same request";
        return Err(Failure::usage(message).with("give the time as RFC 3339, or revision:N"));
    }
    let is_dry_run = args.write.dry_run;
    let backup = match &args.from_backup {
        Some(path) => Some(Backup::of(path, session).await?),
        None => None,
    };
    let (backup_id, upload_id) = backup.as_ref().map(Backup::ids).unwrap_or_default();
    let mut request = v1::RestoreRequest {
        namespace: place.namespace.clone(),
        config: place.config.clone(),
        scope: place.scope(),
        to: args.to.as_ref().map(to).transpose()?,
        expected_revision: args.expected_revision,
        options: Some(args.state_backup.options(args.write.options())),
        backup_id,
        upload_id,
    };
    if !is_dry_run && args.reach.asks(args.confirm, &place.namespace, &place.config) {
        let options = Some(args.write.dry_options());
        let preview = session.client.restore(v1::RestoreRequest { options, ..request.clone() }).await?;
        let has_asked = args.reach.confirm(
            args.confirm,
            (preview.reach.as_ref(), preview.report.as_ref()),
            &session.output,
        )?;
        if has_asked && args.write.has_no_request_id() {
            // What was asked about is what is written, or nothing.
            request.expected_revision.get_or_insert(preview.base_revision);
            if preview.restored_revision > 0 {
                request.to = Some(v1::restore_request::To::Revision(preview.restored_revision));
            }
        }
    }
    let response = session.client.restore(request).await?;
    if !response.changed && response.results.is_empty() {
        refuse_unknown_namespace(&place.namespace, session).await?;
    }
    show_findings(&session.output, response.report.as_ref());
    session.output.answer(&RestoreView::from(&response), |output| {
        output.text(&applied_lines(&response.results))?;
        if response.results_omitted > 0 {
            output.line(&format!("{} more layers change", response.results_omitted))?;
        }
        show_affected(&response.affected, response.affected_omitted, output)?;
        show_state_backups(&response.state_backups, output)?;
        output.line(&summary(&place, backup.as_ref(), &response, is_dry_run))
    })?;
    let revision = (response.changed && !is_dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

/// The backup that a restore takes its state from.
enum Backup {
    /// The server keeps it.
    Kept(String),
    /// It was sent to the server.
    File { path: PathBuf, upload_id: String },
}

impl Backup {
    async fn of(path: &Path, session: &Session) -> Result<Backup, Failure> {
        match names_a_file(path) {
            true => Ok(Backup::File { path: path.to_owned(), upload_id: upload(path, session).await? }),
            false => Ok(Backup::Kept(path.to_string_lossy().into_owned())),
        }
    }

    /// For the request: the id of a backup that the server keeps, and that of an upload. One of them is empty.
    fn ids(&self) -> (String, String) {
        match self {
            Backup::Kept(id) => (id.clone(), String::new()),
            Backup::File { upload_id, .. } => (String::new(), upload_id.clone()),
        }
    }
}

fn to(point: &Point) -> Result<v1::restore_request::To, Failure> {
    Ok(match point {
        Point::Revision(revision) => v1::restore_request::To::Revision(*revision),
        Point::Time(moment) => v1::restore_request::To::Time(timestamp(*moment)?),
        Point::Tag(tag) => v1::restore_request::To::Tag(tag.clone()),
        Point::Version(_) => {
            return Err(Failure::usage("--to: expected revision:N, time:TIME or tag:NAME")
                .with("`confwatch rollback --to-version N` restores a version of one config"));
        }
    })
}

fn summary(
    place: &Place,
    backup: Option<&Backup>,
    response: &v1::RestoreResponse,
    is_dry_run: bool,
) -> String {
    let name = match place.scope.as_str() {
        "" => place.name(),
        scope => format!("{}@{scope}", place.name()),
    };
    let point = match (backup, response.restored_revision) {
        (Some(Backup::Kept(id)), revision) => format!("revision {revision} of backup {id}"),
        (Some(Backup::File { path, .. }), revision) => {
            format!("revision {revision} of the backup's store, in the file {}", path.display())
        }
        (None, 0) => "the tagged version".to_owned(),
        (None, revision) => format!("revision {revision}"),
    };
    let layers = counted(response.results.len() + response.results_omitted as usize, "layer");
    match (response.changed, is_dry_run) {
        (false, _) => format!("nothing to restore: {name} is as it was at {point}"),
        (true, true) => format!(
            "{layers} would change back to {point} (dry run, nothing is stored); --expected-revision {} writes exactly this",
            response.base_revision
        ),
        (true, false) => {
            format!("revision {} restores {name} to {point}: {layers} changed", response.store_revision)
        }
    }
}
