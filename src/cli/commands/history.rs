//! `confwatch history`: who changed what, when and why. Knows the client only.

use clap::Args;

use super::changes::{note_compaction, show as show_commit};
use super::get::pretty;
use super::list::{Listed, configs_of};
use crate::cli::Session;
use crate::cli::input::args::Target;
use crate::cli::input::place::Place;
use crate::cli::input::similar_names::{failure_of, refuse_unknown_namespace};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::{change_summary, commit_source, layer_name};
use crate::cli::output::streams::{HEADING, Output, PLACE, printable};
use crate::cli::output::views::{CommitsView, VersionsView, short_time};
use crate::client::ClientError;
use crate::proto::v1;

/// The largest page there is.
const PAGE_SIZE_MAX: u32 = 1000;
/// Tags of compacted versions that a note names.
const TAGS_NAMED_MAX: usize = 3;

/// List the versions of a config, or the commits of a namespace, newest first: time, author, changes and reason
#[derive(Args, Debug)]
#[command(after_help = "\
CHANGES names the scopes whose layers changed; - before a scope says that its layer was deleted.

Examples:
  confwatch history payments/checkout
  confwatch history payments/checkout -s /production --limit 5 --content
  confwatch history payments@/production
  confwatch history payments/checkout -o json | jq '.versions[0].commit.actor'")]
pub struct HistoryArgs {
    /// The config or the namespace; a scope may follow as in payments/checkout@/production
    #[arg(value_name = "NAMESPACE[/CONFIG]")]
    place: Place,
    /// The scope, such as /production/checkout; of a namespace, also layers below the scope
    #[arg(short, long)]
    scope: Option<String>,
    /// Print at most so many versions or commits; 0: all
    #[arg(short = 'n', long, default_value_t = 20)]
    limit: usize,
    /// Show the content of the layers that changed, and the annotations
    #[arg(long)]
    content: bool,
    /// Show the credential and the address of the author, too
    #[arg(long, conflicts_with = "content")]
    wide: bool,
}

pub async fn run(args: HistoryArgs, session: &Session) -> Outcome {
    let place = args.place.at_scope(args.scope)?;
    let Some(target) = place.target() else {
        return show_namespace(&place, args.limit, args.content, session).await;
    };
    if args.wide {
        show_wide(&target, args.limit, session).await
    } else {
        show(&target, args.limit, args.content, session).await
    }
}

/// Shows the commits of a namespace; a limit of 0 is none.
async fn show_namespace(place: &Place, limit: usize, content: bool, session: &Session) -> Outcome {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut request = v1::ListChangesRequest {
        namespace: place.namespace.clone(),
        scope: place.scope(),
        include_content: content,
        ..Default::default()
    };
    let mut commits: Vec<v1::Commit> = vec![];
    let mut page = v1::ListChangesResponse::default();
    let mut are_more = true;
    while are_more && commits.len() < limit {
        page = session.client.api().list_changes(request.clone()).await?.into_inner();
        commits.extend(std::mem::take(&mut page.commits).into_iter().filter_map(|listed| listed.commit));
        are_more = !page.next_page_token.is_empty();
        request.page_token.clone_from(&page.next_page_token);
    }
    if !are_more && commits.len() <= limit {
        note_compaction(&place.namespace, &page, &session.output);
    }
    if commits.len() > limit {
        session
            .output
            .note(&format!("the newest {limit} are shown, and there are more: --limit 0 shows all"));
    }
    commits.truncate(limit);
    if commits.is_empty() {
        refuse_unknown_namespace(&place.namespace, session).await?;
        note_lack_of_read(&place.namespace, &place.scope, session).await;
    }
    let view = CommitsView {
        commits: commits.iter().map(Into::into).collect(),
        oldest_revision: page.oldest_revision,
        compacted: !are_more && page.compacted,
    };
    session.output.answer(&view, |output| match content {
        true => commits.iter().try_for_each(|commit| show_commit(commit, output)),
        false => {
            let rows = commits.iter().map(commit_row).collect();
            output.table(["REVISION", "TIME", "ACTOR", "SOURCE", "CHANGES", "REASON"], rows)
        }
    })?;
    Ok(Exit::Done)
}

fn commit_row(commit: &v1::Commit) -> [String; 6] {
    let changes = commit.changes.iter().map(|change| format!("{} {}", change.config, change_summary(change)));
    [
        commit.revision.to_string(),
        short_time(commit.time.as_ref()),
        printable(&commit.actor),
        commit_source(commit),
        changes.collect::<Vec<_>>().join("; "),
        printable(&commit.reason),
    ]
}

async fn show_wide(target: &Target, limit: usize, session: &Session) -> Outcome {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let Newest { versions, are_more, compacted } = newest(target, limit, false, session).await?;
    if are_more {
        session.output.note(&how_many(target, &versions));
    }
    note_compacted_versions(compacted, (target, &versions), session).await;
    let view = VersionsView { versions: versions.iter().map(Into::into).collect() };
    session.output.answer(&view, |output| {
        let wide = |info: &v1::VersionInfo| {
            let [version, time, actor, source, changes, reason, tags] = row(info);
            let commit = info.commit.clone().unwrap_or_default();
            let named = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
            let (credential, address) = (named(&commit.credential), named(&commit.address));
            [version, time, actor, credential, address, source, changes, reason, tags]
        };
        let header =
            ["VERSION", "TIME", "ACTOR", "CREDENTIAL", "ADDRESS", "SOURCE", "CHANGES", "REASON", "TAGS"];
        output.table(header, versions.iter().map(wide).collect())
    })?;
    Ok(Exit::Done)
}

/// Shows the versions of a target; a limit of 0 is none.
pub async fn show(target: &Target, limit: usize, content: bool, session: &Session) -> Outcome {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let Newest { versions, are_more, compacted } = newest(target, limit, content, session).await?;
    if are_more {
        session.output.note(&how_many(target, &versions));
    }
    note_compacted_versions(compacted, (target, &versions), session).await;
    let view = VersionsView { versions: versions.iter().map(Into::into).collect() };
    session.output.answer(&view, |output| match content {
        true => versions.iter().try_for_each(|version| show_content(version, output)),
        false => {
            let rows = versions.iter().map(row).collect();
            output.table(["VERSION", "TIME", "ACTOR", "SOURCE", "CHANGES", "REASON", "TAGS"], rows)
        }
    })?;
    Ok(Exit::Done)
}

/// Notes that older versions were compacted, and which of them can be read all the same.
async fn note_compacted_versions(
    compacted: Option<String>,
    (target, listed): (&Target, &[v1::VersionInfo]),
    session: &Session,
) {
    if let Some(compacted) = compacted {
        let readable = still_readable(target, listed, session).await;
        session.output.note(&(compacted + &readable));
    }
}

/// That there are more versions than are shown.
fn how_many(target: &Target, versions: &[v1::VersionInfo]) -> String {
    let newest = versions.first().map_or(0, |newest| newest.version);
    match target.scope {
        // Versions are counted for all scopes together.
        Some(_) => {
            format!("the newest {} are shown, and there are more: --limit 0 shows all", versions.len())
        }
        None => format!("{} of {newest} versions are shown: --limit 0 shows all", versions.len()),
    }
}

/// The newest versions of a target.
pub struct Newest {
    pub versions: Vec<v1::VersionInfo>,
    /// There are more.
    pub are_more: bool,
    /// That older versions were compacted, for people. `None`: none was, or there are more to list before.
    pub compacted: Option<String>,
}

/// The same as `newest_versions`, with a suggestion for a config that the server does not know.
async fn newest(target: &Target, limit: usize, content: bool, session: &Session) -> Result<Newest, Failure> {
    match newest_versions(target, limit, content, session).await {
        Ok(newest) => Ok(newest),
        Err(error) => Err(failure_of(error, target, session).await),
    }
}

/// The newest `limit` versions; of a target with a scope, those that changed its layers.
pub async fn newest_versions(
    target: &Target,
    limit: usize,
    include_content: bool,
    session: &Session,
) -> Result<Newest, ClientError> {
    let mut versions: Vec<v1::VersionInfo> = Vec::new();
    let mut page_token = String::new();
    // A page token belongs to a request that is otherwise the same, so that the size stays: the last page may be too long.
    let page_size = u32::try_from(limit).unwrap_or(u32::MAX).min(PAGE_SIZE_MAX);
    loop {
        let request = v1::ListVersionsRequest {
            namespace: target.namespace.clone(),
            config: target.config.clone(),
            page_size,
            page_token,
            scope: target.scope.clone(),
            include_content,
        };
        let page = session.client.api().list_versions(request).await?.into_inner();
        versions.extend(page.versions);
        page_token = page.next_page_token;
        if page_token.is_empty() || versions.len() >= limit {
            let are_more = versions.len() > limit || !page_token.is_empty();
            versions.truncate(limit);
            let time = page.oldest_revision_time.as_ref();
            let compacted = (!are_more && page.oldest_revision > 0).then(|| {
                let (revision, time) = (page.oldest_revision, short_time(time));
                format!("older versions were compacted: history begins with revision {revision}, of {time}")
            });
            return Ok(Newest { versions, are_more, compacted });
        }
    }
}

/// Which compacted versions can be read all the same: the current one, and those that tags name.
async fn still_readable(target: &Target, listed: &[v1::VersionInfo], session: &Session) -> String {
    let all = Listed { deleted: true, governing: true };
    // The history is shown, whether or not this can be added.
    let listing = configs_of(&target.namespace, all, session).await;
    let configs = listing.map(|listing| listing.configs).unwrap_or_default();
    let Some(info) = configs.into_iter().find(|info| info.config == target.config) else {
        return String::new();
    };
    let is_listed = |version: u64| listed.iter().any(|info| info.version == version);
    let mut text = String::new();
    if target.scope.is_none() && !is_listed(info.version) {
        text = format!("; the current version is {}", info.version);
    }
    let mut tags: Vec<_> = info.tags.into_iter().filter(|(_, version)| !is_listed(*version)).collect();
    tags.sort();
    for (tag, version) in tags.iter().take(TAGS_NAMED_MAX).filter(|_| target.scope.is_none()) {
        text += &format!("; version {version} can still be read by its tag (--tag {})", printable(tag));
    }
    text
}

fn row(info: &v1::VersionInfo) -> [String; 7] {
    let commit = info.commit.clone().unwrap_or_default();
    [
        info.version.to_string(),
        short_time(commit.time.as_ref()),
        printable(&commit.actor),
        commit_source(&commit),
        commit.changes.iter().map(change_summary).collect::<Vec<_>>().join("; "),
        printable(&commit.reason),
        info.tags.join(", "),
    ]
}

/// As `git log -p` does: a head, and below it what there is to read.
fn show_content(info: &v1::VersionInfo, output: &Output) -> Result<(), Failure> {
    let commit = info.commit.clone().unwrap_or_default();
    let [version, time, actor, source, _, reason, tags] = row(info);
    let tags = if tags.is_empty() { String::new() } else { format!(" ({tags})") };
    output.line(&format!("{HEADING}version {version}{HEADING:#}{tags}  {time}  {actor}  {source}"))?;
    if !reason.is_empty() {
        output.line(&format!("  {reason}"))?;
    }
    for (key, value) in &commit.annotations {
        output.line(&format!("  {}={}", printable(key), printable(value)))?;
    }
    for layer in commit.changes.iter().flat_map(|change| &change.layers) {
        let name = layer_name(&layer.scope, layer.kind(), layer.expire_time.as_ref());
        match layer.action() {
            v1::LayerAction::Delete => output.line(&format!("{PLACE}{name}{PLACE:#} is deleted"))?,
            v1::LayerAction::Put | v1::LayerAction::Unspecified => {
                output.line(&format!("{PLACE}{name}{PLACE:#}"))?;
                output.json_document(&pretty(&layer.content)?)?;
            }
        }
    }
    output.line("")
}
