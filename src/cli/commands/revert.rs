//! `confwatch revert`: commits taken back by a new one. Knows the client only.

use clap::Args;

use super::validate::show_affected;
use crate::cli::Session;
use crate::cli::input::args::WriteArgs;
use crate::cli::input::confirm::ConfirmArgs;
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::Outcome;
use crate::cli::output::layers::applied_lines;
use crate::cli::output::refusal::show_findings;
use crate::cli::output::streams::counted;
use crate::cli::output::views::RevertView;
use crate::proto::v1;

/// Take back what one or more commits changed, in all their configs, and keep what was changed since
#[derive(Args, Debug)]
#[command(after_help = "\
`confwatch changes` and `confwatch history` show the revisions of commits. A value that was changed since by another commit is a conflict: both \
values are shown, and nothing is written (exit code 5). Tags stay as they are.

Examples:
  confwatch revert 4711 --dry-run
  confwatch revert 4711 --reason 'incident 7'
  confwatch revert 4711 4713 4715 --reason 'incident 7'")]
pub struct RevertArgs {
    /// The revisions of the commits to take back, in any order
    #[arg(value_name = "REVISION", required = true)]
    revisions: Vec<u64>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: RevertArgs, session: &Session) -> Outcome {
    let request =
        v1::RevertRequest { revisions: args.revisions.clone(), options: Some(args.write.options()) };
    if !args.write.dry_run && args.reach.asks(args.confirm, "", "") {
        let options = Some(args.write.dry_options());
        let tried = session.client.revert(v1::RevertRequest { options, ..request.clone() }).await?;
        args.reach.confirm(args.confirm, (tried.reach.as_ref(), tried.report.as_ref()), &session.output)?;
    }
    let response = session.client.revert(request).await?;
    show_findings(&session.output, response.report.as_ref());
    session.output.answer(&RevertView::from(&response), |output| {
        output.text(&applied_lines(&response.results))?;
        if response.results_omitted > 0 {
            output.line(&format!("{} more layers change", response.results_omitted))?;
        }
        show_affected(&response.affected, response.affected_omitted, output)?;
        output.line(&summary(&args, &response))
    })?;
    let revision = (response.changed && !args.write.dry_run).then_some(response.store_revision);
    args.wait.wait(revision, session).await
}

fn summary(args: &RevertArgs, response: &v1::RevertResponse) -> String {
    let mut revisions = args.revisions.clone();
    revisions.sort_unstable_by(|a, b| b.cmp(a));
    let revisions: Vec<String> = revisions.iter().map(u64::to_string).collect();
    let taken_back = match revisions.as_slice() {
        [one] => format!("revision {one}"),
        several => format!("revisions {}", several.join(", ")),
    };
    let layers = counted(response.results.len() + response.results_omitted as usize, "layer");
    match (response.changed, args.write.dry_run) {
        (false, _) => format!("nothing to take back: everything is as before {taken_back}"),
        (true, true) => format!("{layers} would change back (dry run, nothing is stored)"),
        (true, false) => {
            format!("revision {} takes back {taken_back}: {layers} changed", response.store_revision)
        }
    }
}
