//! `confwatch rollback`: back to an older version, by a new one. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{Target, TargetArgs, WriteArgs};
use crate::cli::input::confirm::ConfirmArgs;
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::similar_names::failure_of;
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::{Failure, Outcome};
use crate::cli::output::layers::{change_lines, layer_name};
use crate::cli::output::refusal::show_findings;
use crate::cli::output::streams::PLACE;
use crate::cli::output::views::RollbackView;
use crate::proto::v1;

/// Write a new version whose layers equal those of an older one
#[derive(Args, Debug)]
#[command(after_help = "\
History is only ever added to: the versions in between stay, and a rollback can be rolled back.

Examples:
  confwatch rollback payments/checkout --dry-run
  confwatch rollback payments/checkout --to-tag stable --reason 'incident 7'
  confwatch rollback payments/checkout -s /production --to-version 12")]
pub struct RollbackArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    to: ToArgs,
    /// Write only if the config has this version
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Args, Debug)]
#[group(multiple = false)]
struct ToArgs {
    /// The version to restore [default: the one before the current one]
    #[arg(long, value_name = "N")]
    to_version: Option<u64>,
    /// The tag whose version to restore
    #[arg(long, value_name = "TAG")]
    to_tag: Option<String>,
}

pub async fn run(args: RollbackArgs, session: &Session) -> Outcome {
    let target = args.target.target()?;
    let to_previous = args.to.to_version.is_none() && args.to.to_tag.is_none();
    let by_version = args.to.to_version.map(v1::rollback_request::To::Version);
    let request = v1::RollbackRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        to: by_version.or(args.to.to_tag.map(v1::rollback_request::To::Tag)),
        scope: target.scope.clone(),
        expected_version: args.expected_version,
        options: Some(args.write.options()),
    };
    if !args.write.dry_run && args.reach.asks(args.confirm, &target.namespace, &target.config) {
        let options = Some(args.write.dry_options());
        let tried = rolled_back(v1::RollbackRequest { options, ..request.clone() }, &target, session).await?;
        args.reach.confirm(args.confirm, (tried.reach.as_ref(), tried.report.as_ref()), &session.output)?;
    }
    let response = rolled_back(request, &target, session).await?;
    show_findings(&session.output, response.report.as_ref());
    let is_table = session.output.is_table();
    let details = if is_table { differences(&target, &response, session).await? } else { String::new() };
    session.output.answer(&RollbackView::from(&response), |output| {
        output.text(&details)?;
        output.line(&summary(&target, &response, to_previous, args.write.dry_run))
    })?;
    let revision = (response.changed && !args.write.dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

async fn rolled_back(
    request: v1::RollbackRequest,
    target: &Target,
    session: &Session,
) -> Result<v1::RollbackResponse, Failure> {
    match session.client.rollback(request).await {
        Ok(response) => Ok(response),
        Err(error) => Err(failure_of(error, target, session).await),
    }
}

/// What changed in each layer. Compared with the version before: that is the current one, whatever it was.
async fn differences(
    target: &Target,
    response: &v1::RollbackResponse,
    session: &Session,
) -> Result<String, Failure> {
    let mut lines = String::new();
    for layer in &response.layers {
        let side = |version: u64| v1::GetRequest {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            scope: layer.scope.clone(),
            view: match layer.kind() {
                v1::LayerKind::Override => v1::View::OverrideLayer,
                v1::LayerKind::Base | v1::LayerKind::Unspecified => v1::View::Layer,
            }
            .into(),
            at: Some(v1::get_request::At::Version(version)),
            ..Default::default()
        };
        // A dry run answers the version that it would have made, so that the one before is right for both.
        let request = v1::DiffRequest {
            older: Some(side(response.version.saturating_sub(1))),
            newer: Some(side(response.restored_version)),
            ..Default::default()
        };
        let diff = session.client.api().diff(request).await?.into_inner();
        let name = layer_name(&layer.scope, layer.kind(), None);
        let deleted = match layer.action() {
            v1::LayerAction::Delete => " is deleted",
            v1::LayerAction::Put | v1::LayerAction::Unspecified => "",
        };
        lines.push_str(&format!("{PLACE}{}/{} {name}{PLACE:#}{deleted}\n", target.namespace, target.config));
        lines.push_str(&change_lines(&diff.changes));
    }
    if response.layers_omitted > 0 {
        lines.push_str(&format!("{} more layers change\n", response.layers_omitted));
    }
    Ok(lines)
}

fn summary(target: &Target, response: &v1::RollbackResponse, to_previous: bool, is_dry_run: bool) -> String {
    let name = format!("{}/{}", target.namespace, target.config);
    let (version, restored) = (response.version, response.restored_version);
    let before = if to_previous { ", the one before," } else { "" };
    match (response.changed, is_dry_run) {
        (false, _) => format!("{name}: unchanged, version {version} equals version {restored}"),
        (true, true) => {
            format!(
                "{name}: version {version} would restore version {restored}{before} (dry run, nothing is stored)"
            )
        }
        (true, false) => {
            format!(
                "{name}: version {version} restores version {restored}{}, revision {}",
                before.trim_end_matches(','),
                response.store_revision
            )
        }
    }
}
