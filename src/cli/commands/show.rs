//! `confwatch show`: one commit. Knows the client only.

use clap::Args;

use super::changes::{difference_lines, show};
use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::{counted, printable};
use crate::cli::output::views::ListedCommitView;
use crate::proto::v1;

/// Show a commit: who made it, when and why, what it changed, and how many scopes it reached
#[derive(Args, Debug)]
#[command(after_help = "\
The differences are those of the documents of the scopes that have a layer it changed: what services see. Secrets are masked.

Examples:
  confwatch show 4711
  confwatch show 4711 --content
  confwatch show 4711 -o json | jq .differences")]
pub struct ShowArgs {
    /// The revision of the commit
    #[arg(value_name = "REVISION")]
    revision: u64,
    /// Show the content of the layers that changed
    #[arg(long)]
    content: bool,
}

pub async fn run(args: ShowArgs, session: &Session) -> Outcome {
    let request = v1::GetCommitRequest { revision: args.revision, include_content: args.content };
    let response = session.client.api().get_commit(request).await?.into_inner();
    let listed = response.commit.unwrap_or_default();
    let commit = listed.commit.clone().unwrap_or_default();
    session.output.answer(&ListedCommitView::from(&listed), |output| {
        show(&commit, output)?;
        for (name, value) in &commit.annotations {
            output.line(&format!("  {} = {}", printable(name), printable(value)))?;
        }
        output.text(&difference_lines(&listed))?;
        let reached = usize::try_from(listed.scopes_reached).unwrap_or(usize::MAX);
        let reached = format!("reached {} with a layer", counted(reached, "scope"));
        let compacted = commit.compacted_namespaces.iter().map(|namespace| printable(namespace));
        let compacted = compacted.collect::<Vec<_>>().join(", ");
        match (compacted.as_str(), commit.changes.is_empty()) {
            ("", _) => output.line(&reached),
            (of, true) => output
                .line(&format!("what it changed of {of} was compacted, and how far it reached is not known")),
            (of, false) => output.line(&format!(
                "{reached}; what it changed of {of} was compacted, and those scopes are not known"
            )),
        }
    })?;
    Ok(Exit::Done)
}
