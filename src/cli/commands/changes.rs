//! `confwatch changes`: the commits as they happen. Knows the client only.

use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tonic::Code;

use crate::cli::Session;
use crate::cli::input::stop::unless_stopped;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::{change_summary, commit_source, layer_name};
use crate::cli::output::streams::{Output, PLACE, printable, quoted};
use crate::cli::output::views::{CommitView, short_time};
use crate::client::changes::ChangeEvent;
use crate::client::{ChangeStream, ClientError};
use crate::proto::v1;

/// How long to wait before a stream that ended is begun again, and before one is that was denied.
pub(in crate::cli) const RETRY_AFTER: Duration = Duration::from_secs(1);
pub(in crate::cli) const DENIED_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Follow the commits, one line each; ends on Ctrl-C
#[derive(Args, Debug)]
#[command(after_help = "\
Each commit is printed once and in order, also after a lost connection.

Examples:
  confwatch changes
  confwatch changes payments --from 1 --content
  confwatch changes payments/checkout -o json | jq -r .actor")]
pub struct ChangesArgs {
    /// Show only commits to this namespace or config
    #[arg(value_name = "NAMESPACE[/CONFIG]", default_value = "", hide_default_value = true)]
    filter: String,
    /// Begin with this revision [default: new commits only]
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// Show the content of the layers that changed
    #[arg(long)]
    content: bool,
    /// Exit after so many commits
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

pub async fn run(args: ChangesArgs, session: &Session) -> Outcome {
    unless_stopped(follow(args, session)).await
}

async fn follow(args: ChangesArgs, session: &Session) -> Outcome {
    let (namespace, config) = args.filter.split_once('/').unwrap_or((&args.filter, ""));
    let mut request = v1::StreamChangesRequest {
        from_revision: args.from,
        namespace: namespace.into(),
        config: config.into(),
        include_content: args.content,
        ..Default::default()
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    if request.from_revision == 0 {
        // Named, so that what is committed while the connection is lost is not skipped before the first commit came.
        request.from_revision = newest_revision(session).await? + 1;
    }
    // The first call says whether there is a point in trying at all.
    let mut stream = match timeout(session.timeout, session.client.stream_changes(request.clone())).await {
        Ok(stream) => stream?,
        Err(_) => return Err(Failure::new(Exit::Unavailable, "no answer within the timeout")),
    };
    note_lack_of_read(namespace, session).await;
    loop {
        while left > 0 {
            let commit = match stream.next().await {
                Ok(Some(ChangeEvent::Commit(commit))) => commit,
                Ok(Some(ChangeEvent::Progress(_))) => continue,
                Ok(None) => break,
                Err(error) if may_go_on(&error) => {
                    session.output.warning(&format!("the stream was interrupted: {}", error.message()));
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            session.output.item(&CommitView::from(&commit), |output| show(&commit, output))?;
            left -= 1;
        }
        if left == 0 {
            return Ok(Exit::Done);
        }
        // Until something came, the stream begins where it was to begin.
        if !stream.resume_token().is_empty() {
            stream.resume_token().clone_into(&mut request.resume_token);
            request.from_revision = 0;
        }
        stream = resume(&request, session).await?;
    }
}

async fn newest_revision(session: &Session) -> Result<u64, Failure> {
    let request = v1::ListRequest { page_size: 1, ..Default::default() };
    Ok(session.client.api().list(request).await?.into_inner().store_revision)
}

/// A stream from where the last one ended, as soon as there is a server.
async fn resume(request: &v1::StreamChangesRequest, session: &Session) -> Result<ChangeStream, ClientError> {
    let mut pause = RETRY_AFTER;
    loop {
        tokio::time::sleep(pause).await;
        match session.client.stream_changes(request.clone()).await {
            Err(error) if error.is_denied() => pause = DENIED_RETRY_AFTER,
            Err(error) if may_go_on(&error) => pause = RETRY_AFTER,
            outcome => return outcome,
        }
    }
}

/// Whether a stream that ended so may be begun again: also with a credential that is yet to be renewed, and under a policy that is
/// wrong for a moment.
pub fn may_go_on(error: &ClientError) -> bool {
    error.is_retryable() || error.is_denied() || error.code() == Code::Unauthenticated
}

fn show(commit: &v1::Commit, output: &Output) -> Result<(), Failure> {
    let what = commit.changes.iter().map(|change| {
        format!(
            "{PLACE}{}/{}{PLACE:#} v{} {}",
            change.namespace,
            change.config,
            change.version,
            change_summary(change)
        )
    });
    let reason = match commit.reason.as_str() {
        "" => String::new(),
        reason => format!("  {}", quoted(reason)),
    };
    output.line(&format!(
        "{}  {}  {}  {}  {}{reason}",
        commit.revision,
        short_time(commit.time.as_ref()),
        printable(&commit.actor),
        commit_source(commit),
        what.collect::<Vec<_>>().join("; ")
    ))?;
    let layers = commit.changes.iter().flat_map(|change| &change.layers);
    for layer in layers.filter(|layer| !layer.content.is_empty()) {
        let name = layer_name(&layer.scope, layer.kind(), None);
        output.line(&format!("  {name}: {}", printable(&layer.content)))?;
    }
    Ok(())
}
