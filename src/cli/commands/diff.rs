//! `confwatch diff`: what differs between two documents, or between all configs of two namespaces. Knows the client only.

mod namespaces;

pub use namespaces::{difference_lines, differences, side};

use clap::Args;

use super::history::newest_versions;
use crate::cli::Session;
use crate::cli::input::args::{DocumentFormat, Point, Target, ViewName};
use crate::cli::input::place::Place;
use crate::cli::input::similar_names::{failure_of, refuse_unknown_config};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::layers::change_summary;
use crate::cli::output::streams::colored_diff;
use crate::cli::output::views::DiffView;
use crate::proto::v1;

/// Show the differences between two versions of a document, two documents, or all configs of a namespace
#[derive(Args, Debug)]
#[command(after_help = "\
--from and --to take a version, a tag, or tag:NAME, revision:N, time:15m. Without them the version before the current one \
is compared with the current one; --from alone compares with the current state. For a namespace, all its configs are compared: with a scope their \
documents at the scope, without one each layer; --from and --to take revision:N, time:TIME or tag:NAME.

Examples:
  confwatch diff payments/checkout -s /production --from 3 --to stable
  confwatch diff payments/checkout@/staging payments/checkout@/production --format yaml
  confwatch diff payments@/staging payments@/production
  confwatch diff payments --from time:1d --to tag:release-41 --exit-code")]
pub struct DiffArgs {
    /// The config or the namespace; a scope may follow as in payments/checkout@/production
    #[arg(value_name = "NAMESPACE[/CONFIG]")]
    place: Place,
    /// Another config, namespace or scope to compare it with
    #[arg(value_name = "OTHER")]
    other: Option<Place>,
    /// The scope, such as /production/checkout
    #[arg(short, long)]
    scope: Option<String>,
    /// The older side
    #[arg(long, value_name = "POINT")]
    from: Option<Point>,
    /// The newer side [default: now]
    #[arg(long, value_name = "POINT")]
    to: Option<Point>,
    /// What to compare
    #[arg(long, value_enum, default_value_t)]
    view: ViewName,
    /// How to write the documents
    #[arg(long, value_enum, default_value_t = DocumentFormat::Json)]
    format: DocumentFormat,
    /// Lines of context
    #[arg(short = 'U', long, default_value_t = 3)]
    context: u32,
    /// Of a namespace, compare schemas, rules and settings, too
    #[arg(long)]
    governing: bool,
    /// Exit with 1 if there are differences
    #[arg(long)]
    exit_code: bool,
}

pub async fn run(args: DiffArgs, session: &Session) -> Outcome {
    let from_place = args.place.clone().at_scope(args.scope.clone())?;
    let to_place = match args.other.clone() {
        Some(other) if other.scope.is_empty() => other.at_scope(args.scope.clone())?,
        Some(other) => other,
        None => from_place.clone(),
    };
    match (from_place.target(), to_place.target()) {
        (Some(from), Some(to)) => documents(args, from, to, session).await,
        (None, None) => namespaces::run(&args, &from_place, &to_place, session).await,
        (Some(_), None) | (None, Some(_)) => {
            Err(Failure::usage("a config is compared with a config, and a namespace with a namespace"))
        }
    }
}

async fn documents(args: DiffArgs, from_target: Target, to_target: Target, session: &Session) -> Outcome {
    let (mut from, mut to) = (args.from.clone(), args.to.clone());
    if args.other.is_none() && from.is_none() {
        let (before, after) = last_change(&from_target, to.as_ref(), session).await?;
        (from, to) = (Some(before), Some(after));
    }
    let side = |target: &Target, point: Option<&Point>| -> Result<v1::GetRequest, Failure> {
        Ok(v1::GetRequest {
            at: point.map(Point::for_get).transpose()?,
            view: args.view.to_wire().into(),
            ..target.get_request()
        })
    };
    let request = v1::DiffRequest {
        older: Some(side(&from_target, from.as_ref())?),
        newer: Some(side(&to_target, to.as_ref())?),
        format: args.format.to_wire().into(),
        context_lines: Some(args.context),
    };
    let response = match session.client.api().diff(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(failure_of(status.into(), &from_target, session).await),
    };
    // A side that does not exist counts as empty.
    if response.changes.is_empty() {
        refuse_unknown_config(&from_target, session).await?;
        refuse_unknown_config(&to_target, session).await?;
    }
    session.output.answer(&DiffView::from(&response), |output| match response.unified.as_str() {
        "" => {
            output.note(&format!("no differences for {}", from_target.read_scope()));
            Ok(())
        }
        unified => output.text(&colored_diff(unified)),
    })?;
    let is_different = !response.changes.is_empty();
    Ok(if args.exit_code && is_different { Exit::Failed } else { Exit::Done })
}

/// The newest version (or the one `to` asks for) and the one before it. Without a scope it also says which scopes changed,
/// since the document of / shows only some of it.
async fn last_change(
    target: &Target,
    to: Option<&Point>,
    session: &Session,
) -> Result<(Point, Point), Failure> {
    if let Some(point) = to {
        let request = v1::GetRequest { at: Some(point.for_get()?), ..target.get_request() };
        let document = session.client.api().get(request).await?.into_inner().document.unwrap_or_default();
        return Ok((before(document.version), point.clone()));
    }
    let whole = Target { scope: None, ..target.clone() };
    let newest = match newest_versions(&whole, 1, false, session).await {
        Ok(newest) => newest,
        Err(error) => return Err(failure_of(error, target, session).await),
    };
    let Some(changed) = newest.versions.first() else {
        let name = format!("{}/{}", target.namespace, target.config);
        return Err(match newest.compacted {
            Some(compacted) => {
                Failure::new(Exit::NotFound, format!("the last change of {name} is not kept: {compacted}"))
                    .with("--from and --to name other versions to compare")
            }
            None => Failure::new(Exit::NotFound, format!("{name} has no versions")),
        });
    };
    let commit = changed.commit.clone().unwrap_or_default();
    if target.scope.is_none() {
        let layers = commit.changes.iter().map(change_summary).collect::<Vec<_>>().join("; ");
        session.output.note(&format!("version {} changed {layers}", changed.version));
    }
    Ok((before(changed.version), Point::Version(changed.version)))
}

/// The version before. Before the first there is version 0, which counts as an empty document.
fn before(version: u64) -> Point {
    Point::Version(version.saturating_sub(1))
}
