//! `confwatch delete`: one layer, or a whole config. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{Target, TargetArgs, WriteArgs};
use crate::cli::input::change::kind;
use crate::cli::input::confirm::{ConfirmArgs, Question};
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::similar_names::failure_of;
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::layers::layer_name;
use crate::cli::output::streams::{PLACE, REMOVED};
use crate::cli::output::views::DeleteView;
use crate::proto::v1;

/// Delete one layer, or without a scope all layers of a config; history is kept
#[derive(Args, Debug)]
#[command(after_help = "\
A config is deleted only after a question, or with --yes. `confwatch rollback` restores a deleted config.

Examples:
  confwatch delete payments/checkout -s /staging --reason 'staging is gone'
  confwatch delete payments/checkout -s /production --override
  confwatch delete payments/checkout --yes")]
pub struct DeleteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Delete the override of the scope
    #[arg(long = "override")]
    overrides: bool,
    /// Only if this is the version of the layer's last change, or of the config where all of it goes
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

pub async fn run(args: DeleteArgs, session: &Session) -> Outcome {
    let target = args.target.target()?;
    if args.overrides && target.scope.is_none() {
        return Err(Failure::usage("--override needs a --scope: which override?"));
    }
    if target.scope.is_none() && !args.write.dry_run {
        let name = format!("{}/{}", target.namespace, target.config);
        let question = Question {
            reasons: &[],
            text: &format!("delete every layer of {name}, at all scopes?"),
            refusal: &format!("nothing was deleted: without a scope, every layer of {name} would go"),
        };
        if !args.confirm.confirm(&question, &session.output)? {
            return Err(Failure::new(Exit::Failed, "nothing was deleted"));
        }
    }
    let request = v1::DeleteRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope: target.scope.clone(),
        kind: if target.scope.is_some() { kind(args.overrides) } else { v1::LayerKind::Unspecified }.into(),
        expected_version: args.expected_version,
        options: Some(args.write.options()),
        must_exist: false,
    };
    if !args.write.dry_run && args.reach.asks(args.confirm, "", "") {
        let options = Some(args.write.dry_options());
        let tried = deleted(v1::DeleteRequest { options, ..request.clone() }, &target, session).await?;
        args.reach.confirm(args.confirm, (tried.reach.as_ref(), None), &session.output)?;
    }
    let response = deleted(request, &target, session).await?;
    session.output.answer(&DeleteView::from(&response), |output| {
        output.text(&lines(&target, &response, args.write.dry_run))
    })?;
    let revision = (response.changed && !args.write.dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

async fn deleted(
    request: v1::DeleteRequest,
    target: &Target,
    session: &Session,
) -> Result<v1::DeleteResponse, Failure> {
    match session.client.api().delete(request).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) => Err(failure_of(status.into(), target, session).await),
    }
}

fn lines(target: &Target, response: &v1::DeleteResponse, is_dry_run: bool) -> String {
    let place = format!("{PLACE}{}/{}{PLACE:#}", target.namespace, target.config);
    let mut lines = String::new();
    for layer in &response.deleted {
        let name = layer_name(&layer.scope, layer.kind(), None);
        lines.push_str(&format!("  {REMOVED}- {name}{REMOVED:#}\n"));
    }
    if response.deleted_omitted > 0 {
        lines.push_str(&format!("  {REMOVED}- {} more layers{REMOVED:#}\n", response.deleted_omitted));
    }
    let version = response.version;
    let outcome = match (response.changed, is_dry_run) {
        (false, _) => "nothing to delete".to_owned(),
        (true, true) => format!("would become version {version} (dry run, nothing is deleted)"),
        (true, false) => format!("version {version}, revision {}", response.store_revision),
    };
    format!("{place}: {outcome}\n{lines}")
}
