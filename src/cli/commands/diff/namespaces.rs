//! The differences between all configs of two namespaces, two environments or two points in time. Knows the client only.

use super::DiffArgs;
use crate::cli::Session;
use crate::cli::input::args::{Point, ViewName, timestamp};
use crate::cli::input::place::Place;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::{change_lines, layer_name};
use crate::cli::output::streams::{PLACE, counted};
use crate::cli::output::views::NamespaceDiffView;
use crate::proto::v1;

/// All differences between two sides.
pub struct Differences {
    pub differences: Vec<v1::DocumentDifference>,
    pub older_revision: u64,
    pub newer_revision: u64,
}

pub async fn run(args: &DiffArgs, from: &Place, to: &Place, session: &Session) -> Outcome {
    if args.view != ViewName::Effective {
        return Err(Failure::usage("--view is for one config"));
    }
    if from == to && args.from.is_none() && args.to.is_none() {
        return Err(Failure::usage("--from says with which point in time the namespace is compared")
            .with("such as --from time:1h, --from revision:311 or --from tag:release-41"));
    }
    let (older, newer) = (side(from, args.from.as_ref())?, side(to, args.to.as_ref())?);
    let found = differences(older, newer, args.governing, session).await?;
    if found.differences.is_empty() {
        for side in [from, to] {
            refuse_unknown_namespace(&side.namespace, session).await?;
        }
        note_lack_of_read(&from.namespace, &from.scope, session).await;
    }
    let view = NamespaceDiffView::new(&found.differences, found.older_revision, found.newer_revision);
    session.output.answer(&view, |output| {
        output.text(&difference_lines(&from.namespace, &found.differences))?;
        output.line(&summary(&found))
    })?;
    let is_different = !found.differences.is_empty();
    Ok(if args.exit_code && is_different { Exit::Failed } else { Exit::Done })
}

/// One side of a comparison of namespaces.
pub fn side(place: &Place, point: Option<&Point>) -> Result<v1::NamespaceSide, Failure> {
    use v1::namespace_side::At;
    let at = match point {
        None => None,
        Some(Point::Revision(revision)) => Some(At::Revision(*revision)),
        Some(Point::Time(moment)) => Some(At::Time(timestamp(*moment)?)),
        Some(Point::Tag(tag)) => Some(At::Tag(tag.clone())),
        Some(Point::Version(_)) => {
            return Err(Failure::usage("a namespace has no versions: use revision:N, time:TIME or tag:NAME"));
        }
    };
    Ok(v1::NamespaceSide { namespace: place.namespace.clone(), scope: place.scope(), at })
}

/// All pages.
pub async fn differences(
    older: v1::NamespaceSide,
    newer: v1::NamespaceSide,
    include_governing: bool,
    session: &Session,
) -> Result<Differences, Failure> {
    let (older, newer) = (Some(older), Some(newer));
    let mut request = v1::DiffNamespacesRequest { older, newer, include_governing, ..Default::default() };
    let mut found = Differences { differences: vec![], older_revision: 0, newer_revision: 0 };
    loop {
        let page = session.client.api().diff_namespaces(request.clone()).await?.into_inner();
        found.differences.extend(page.differences);
        (found.older_revision, found.newer_revision) = (page.older_revision, page.newer_revision);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = page.next_page_token;
    }
}

/// Each document or layer that differs, with its differences.
pub fn difference_lines(namespace: &str, differences: &[v1::DocumentDifference]) -> String {
    let mut lines = String::new();
    for difference in differences {
        let layer = match difference.scope.as_str() {
            "" => String::new(),
            scope => format!(" {}", layer_name(scope, difference.kind(), None)),
        };
        let what = match (difference.only_older, difference.only_newer) {
            (true, _) => " is only in the older",
            (_, true) => " is only in the newer",
            (false, false) => "",
        };
        lines.push_str(&format!("{PLACE}{namespace}/{}{layer}{PLACE:#}{what}\n", difference.config));
        lines.push_str(&change_lines(&difference.changes));
        if difference.more {
            lines.push_str("  ... and more: `confwatch diff` of the config has them all\n");
        }
    }
    lines
}

fn summary(found: &Differences) -> String {
    let (older, newer) = (found.older_revision, found.newer_revision);
    let between = match older == newer {
        true => format!("at revision {newer}"),
        false => format!("between revisions {older} and {newer}"),
    };
    match found.differences.len() {
        0 => format!("no differences {between}"),
        count => format!("{} {between}", counted(count, "difference")),
    }
}
