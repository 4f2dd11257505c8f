//! What others changed since the last apply and another apply would overwrite. Knows the client only.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::cli::Session;
use crate::cli::commands::history::newest_versions;
use crate::cli::input::args::Target;
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::layers::commit_source;
use crate::cli::output::streams::{PLACE, counted, printable, quoted};
use crate::cli::output::views::short_time;
use crate::proto::v1;

/// How far back the history of a config is searched.
const VERSIONS_MAX: usize = 200;
/// How many changes are named.
const NAMED_MAX: usize = 20;
/// Configs whose history is read at once.
const CONCURRENCY: usize = 8;

/// The changes of these layers, given by config and scope, that came after the last apply of each layer: one line each, with the author.
pub async fn changes_since_last_apply(
    namespace: &str,
    overwritten: &BTreeMap<String, BTreeSet<String>>,
    session: &Session,
) -> Result<Vec<String>, Failure> {
    let found: Vec<Vec<String>> = stream::iter(overwritten)
        .map(|(config, scopes)| changes_of(namespace, config, scopes, session))
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let mut lines: Vec<String> = found.into_iter().flatten().collect();
    if lines.len() > NAMED_MAX {
        let more = lines.len() - NAMED_MAX;
        lines.truncate(NAMED_MAX);
        lines.push(format!("and {} more: see `confwatch history`", counted(more, "change")));
    }
    Ok(lines)
}

async fn changes_of(
    namespace: &str,
    config: &str,
    scopes: &BTreeSet<String>,
    session: &Session,
) -> Result<Vec<String>, Failure> {
    let target = Target { namespace: namespace.into(), config: config.into(), scope: None };
    let versions = match newest_versions(&target, VERSIONS_MAX, false, session)
        .await
        .map(|newest| newest.versions)
        .map_err(Failure::from)
    {
        Ok(versions) => versions,
        Err(failure) if failure.exit == Exit::NotAllowed => {
            session.output.warning(&format!(
                "you may not read the history of {namespace}/{config}: changes that are overwritten are not named"
            ));
            return Ok(vec![]);
        }
        Err(failure) => return Err(failure),
    };
    let mut open = scopes.clone();
    let mut lines = vec![];
    for version in &versions {
        let commit = version.commit.clone().unwrap_or_default();
        let layers = commit.changes.iter().flat_map(|change| &change.layers);
        let touched = layers.filter(|layer| layer.kind() == v1::LayerKind::Base);
        let touched = touched.map(|layer| layer.scope.clone());
        let touched: Vec<String> = touched.filter(|scope| open.contains(scope)).collect();
        match commit.source() {
            v1::CommitSource::Apply => touched.iter().for_each(|scope| {
                open.remove(scope);
            }),
            _ => lines.extend(touched.iter().map(|scope| line(namespace, config, scope, version, &commit))),
        }
        if open.is_empty() {
            break;
        }
    }
    Ok(lines)
}

fn line(
    namespace: &str,
    config: &str,
    scope: &str,
    version: &v1::VersionInfo,
    commit: &v1::Commit,
) -> String {
    let reason = match commit.reason.as_str() {
        "" => String::new(),
        reason => format!(", {}", quoted(reason)),
    };
    format!(
        "{PLACE}{namespace}/{config} {scope}{PLACE:#}: {} by {}, {}, version {}{reason}",
        commit_source(commit),
        printable(&commit.actor),
        short_time(commit.time.as_ref()),
        version.version
    )
}
