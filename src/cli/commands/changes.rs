//! `confwatch changes`: the commits of the past, and as they happen. Knows the client only.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tonic::Code;

use super::tag::namespace_tags;
use crate::cli::Session;
use crate::cli::input::args::timestamp;
use crate::cli::input::moment::Moment;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::input::stop::unless_stopped;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::{change_lines, change_summary, commit_source, layer_name};
use crate::cli::output::streams::{Output, PLACE, printable, quoted};
use crate::cli::output::views::{CommitView, ListedCommitView, short_time};
use crate::client::changes::ChangeEvent;
use crate::client::{ChangeStream, ClientError};
use crate::model::Scope;
use crate::proto::v1;

/// How long to wait before a stream that ended is begun again, and before one is that was denied.
pub(in crate::cli) const RETRY_AFTER: Duration = Duration::from_secs(1);
pub(in crate::cli) const DENIED_RETRY_AFTER: Duration = Duration::from_secs(10);

/// List the commits of a time, newest first, or follow them
#[derive(Args, Debug)]
#[command(after_help = "\
TIME is RFC 3339, such as 2026-11-21T08:30:00Z, or a time ago, such as 15m, 1h or 2d. --since tag:NAME is a tag of the namespace. With --follow, each commit is printed once and in order, also \
after a lost connection, until Ctrl-C.

Examples:
  confwatch changes --since 1h --diff
  confwatch changes payments --since 2d --by user:ada --scope /production
  confwatch changes payments/checkout --from 4700
  confwatch changes payments --follow -o json | jq -r .actor")]
pub struct ChangesArgs {
    /// Show only commits to this namespace or config; with a scope, as with --scope
    #[arg(value_name = "NAMESPACE[/CONFIG][@SCOPE]", default_value = "", hide_default_value = true)]
    filter: String,
    /// Show only commits made at this time or later, or after the revision that tag:NAME names
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Show only commits made at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    until: Option<Moment>,
    /// Show only commits of this author, such as user:ada
    #[arg(long = "by", value_name = "ACTOR", default_value = "", hide_default_value = true)]
    by: String,
    /// Show only changes of layers at or below this scope
    #[arg(short, long)]
    scope: Option<String>,
    /// Show what each commit changed in the document of each scope that has a layer it changed
    #[arg(long)]
    diff: bool,
    /// Begin with this revision, and list the oldest first
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// Go on with the commits to come, without --from with those alone; ends on Ctrl-C
    #[arg(short, long, conflicts_with_all = ["since", "until", "diff"])]
    follow: bool,
    /// Show the content of the layers that changed
    #[arg(long)]
    content: bool,
    /// Exit after so many commits
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Where a list of commits begins.
#[derive(Clone, Debug)]
enum Since {
    Time(Moment),
    /// After the revision that the tag of the namespace names.
    Tag(String),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        match text.strip_prefix("tag:") {
            Some(tag) => Ok(Since::Tag(tag.into())),
            None => Moment::parse(text).map(Since::Time),
        }
    }
}

pub async fn run(mut args: ChangesArgs, session: &Session) -> Outcome {
    if let Some((filter, scope)) = args.filter.split_once('@') {
        if args.scope.is_some() {
            return Err(Failure::usage("a scope after @ is not expected with --scope"));
        }
        args = ChangesArgs { filter: filter.into(), scope: Some(scope.into()), ..args };
    }
    match args.follow {
        true => unless_stopped(follow(args, session)).await,
        false => list(args, session).await,
    }
}

async fn list(args: ChangesArgs, session: &Session) -> Outcome {
    let (namespace, config) = args.filter.split_once('/').unwrap_or((&args.filter, ""));
    let oldest_first = args.from > 0;
    let (from_time, from_revision) = match &args.since {
        None => (None, args.from),
        Some(Since::Time(moment)) => (Some(timestamp(*moment)?), args.from),
        Some(Since::Tag(tag)) => (None, args.from.max(tagged(namespace, tag, session).await? + 1)),
    };
    let mut request = v1::ListChangesRequest {
        namespace: namespace.into(),
        config: config.into(),
        scope: args.scope.clone(),
        actor: args.by.clone(),
        from_time,
        to_time: args.until.map(timestamp).transpose()?,
        from_revision,
        oldest_first,
        include_content: args.content,
        include_differences: args.diff,
        ..Default::default()
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let (mut is_first, mut is_empty) = (true, true);
    loop {
        let page = session.client.api().list_changes(request.clone()).await?.into_inner();
        if std::mem::take(&mut is_first) {
            note_lack_of_read(namespace, args.scope.as_deref().unwrap_or_default(), session).await;
        }
        is_empty &= page.commits.is_empty();
        for listed in &page.commits {
            if left == 0 {
                return Ok(Exit::Done);
            }
            let commit = listed.commit.clone().unwrap_or_default();
            match args.diff {
                true => session.output.item(&ListedCommitView::from(listed), |output| {
                    show(&commit, output)?;
                    output.text(&difference_lines(listed))
                })?,
                false => session.output.item(&CommitView::from(&commit), |output| show(&commit, output))?,
            }
            left -= 1;
        }
        if page.next_page_token.is_empty() || left == 0 {
            if is_empty {
                refuse_unknown_namespace(namespace, session).await?;
                if session.output.is_table() {
                    session.output.note("no commits");
                }
            }
            if page.next_page_token.is_empty() {
                note_compaction(namespace, &page, &session.output);
            }
            return Ok(Exit::Done);
        }
        request.page_token = page.next_page_token;
    }
}

/// Notes that commits are not listed since they were compacted. To be called with the last page of a list.
pub fn note_compaction(namespace: &str, page: &v1::ListChangesResponse, output: &Output) {
    if page.compacted {
        let of =
            if namespace.is_empty() { "history".to_owned() } else { format!("the history of {namespace}") };
        output.note(&format!(
            "older commits were compacted: {of} begins with revision {}",
            page.oldest_revision
        ));
    }
}

/// The revision that a tag of a namespace names.
async fn tagged(namespace: &str, tag: &str, session: &Session) -> Result<u64, Failure> {
    if namespace.is_empty() {
        return Err(Failure::usage("--since tag:NAME is for a namespace: name it"));
    }
    let tags = namespace_tags(namespace, session).await?;
    let missing = || Failure::new(Exit::NotFound, format!("namespace {namespace} has no tag {tag}"));
    tags.get(tag).copied().ok_or_else(missing)
}

/// What a commit changed in documents.
pub fn difference_lines(listed: &v1::ListedCommit) -> String {
    let mut lines = String::new();
    for difference in &listed.differences {
        let (namespace, config) = (&difference.namespace, &difference.config);
        let what = match (difference.unknown, difference.changes.is_empty()) {
            (true, _) => ": the document before is no longer kept",
            (false, true) => ": no difference in the document",
            (false, false) => "",
        };
        lines.push_str(&format!("  {PLACE}{namespace}/{config}@{}{PLACE:#}{what}\n", difference.scope));
        for line in change_lines(&difference.changes).lines() {
            lines.push_str(&format!("  {line}\n"));
        }
        if difference.more {
            lines.push_str("    ... and more: `confwatch diff` has them all\n");
        }
    }
    if listed.scopes_omitted > 0 {
        lines.push_str(&format!("  ... and {} more scopes\n", listed.scopes_omitted));
    }
    lines
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
    let scope = args.scope.as_deref().map(Scope::parse).transpose();
    let within = scope.map_err(|error| Failure::usage(format!("--scope: {error}")))?;
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
    note_lack_of_read(namespace, "", session).await;
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
            let Some(commit) = matching(commit, &args.by, within.as_ref()) else { continue };
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

/// A commit of this author, with its changes at or below this scope. `None`: there are none.
fn matching(mut commit: v1::Commit, by: &str, within: Option<&Scope>) -> Option<v1::Commit> {
    if !by.is_empty() && commit.actor != by {
        return None;
    }
    if let Some(within) = within {
        let is_within =
            |layer: &v1::LayerChange| Scope::parse(&layer.scope).is_ok_and(|scope| within.contains(&scope));
        commit.changes.iter_mut().for_each(|change| change.layers.retain(is_within));
        commit.changes.retain(|change| !change.layers.is_empty());
    }
    (!commit.changes.is_empty()).then_some(commit)
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

/// One line, and one for each layer with its content.
pub fn show(commit: &v1::Commit, output: &Output) -> Result<(), Failure> {
    let what = commit.changes.iter().map(|change| {
        format!(
            "{PLACE}{}/{}{PLACE:#} v{} {}",
            change.namespace,
            change.config,
            change.version,
            change_summary(change)
        )
    });
    let compacted = commit.compacted_namespaces.iter();
    let what = what.chain(compacted.map(|namespace| format!("{PLACE}{namespace}{PLACE:#} (compacted)")));
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
