//! `confwatch search`: values by key, value, author and reason. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{Point, timestamp};
use crate::cli::input::place::Place;
use crate::cli::input::similar_names::refuse_unknown_namespace;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::layer_name;
use crate::cli::output::streams::printable;
use crate::cli::output::views::{SearchMatchView, short_time};
use crate::proto::v1;

/// Find values by key, value, author or reason, in all layers that you may read, now or in the past
#[derive(Args, Debug)]
#[command(after_help = "\
KEY is the name of a member, in which * is any number of characters, or its place: /db/*/port, /**/port. A value must match all that is given. ACTOR and \
REASON are those of the last change of the layer. Secrets are found by their keys only, and never shown.

Examples:
  confwatch search --key '*timeout*'
  confwatch search payments --key /**/port --value 5432
  confwatch search payments@/production --text old-db.example.com --at time:1d
  confwatch search --by user:ada --reason 'incident 7' -o json | jq .pointer")]
pub struct SearchArgs {
    /// Search only this namespace or config; with a scope, only layers at the scope and below it
    #[arg(value_name = "NAMESPACE[/CONFIG][@SCOPE]")]
    place: Option<Place>,
    /// Find values with this key
    #[arg(short, long, default_value = "", hide_default_value = true)]
    key: String,
    /// Find this value: JSON, or else a string
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,
    /// Find strings that have this part, in upper or lower case
    #[arg(short, long, default_value = "", hide_default_value = true)]
    text: String,
    /// Find values in layers that this author was the last to change, such as user:ada
    #[arg(long = "by", value_name = "ACTOR", default_value = "", hide_default_value = true)]
    by: String,
    /// Find values in layers whose last change has this part of a reason
    #[arg(short = 'm', long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Search as of this point: revision:N, time:TIME or tag:NAME [default: now]
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// Print at most so many values; 0: all
    #[arg(short = 'n', long, default_value_t = 0, hide_default_value = true)]
    limit: usize,
}

pub async fn run(args: SearchArgs, session: &Session) -> Outcome {
    let place = args.place.clone();
    let (namespace, config, scope) = match &place {
        Some(place) => (place.namespace.clone(), place.config.clone(), place.scope()),
        None => Default::default(),
    };
    let mut request = v1::SearchRequest {
        namespace: namespace.clone(),
        config,
        scope,
        key: args.key,
        value: args.value.map(|value| as_json(&value)),
        text: args.text,
        actor: args.by,
        reason: args.reason,
        at: args.at.as_ref().map(at).transpose()?,
        ..Default::default()
    };
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut count = 0;
    loop {
        let page = session.client.api().search(request.clone()).await?.into_inner();
        let taken = limit - count;
        for found in page.matches.iter().take(taken) {
            session.output.item(&SearchMatchView::from(found), |output| output.line(&line(found)))?;
            count += 1;
        }
        let are_more = !page.next_page_token.is_empty();
        if count == limit && (are_more || page.matches.len() > taken) {
            session
                .output
                .note(&format!("the first {limit} are shown, and there are more: --limit 0 shows all"));
        }
        if !are_more || count == limit {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if count == 0 {
        refuse_unknown_namespace(&namespace, session).await?;
        session.output.note("nothing was found");
        note_lack_of_read(&namespace, request.scope.as_deref().unwrap_or_default(), session).await;
    }
    Ok(Exit::Done)
}

/// What is no JSON is a string.
fn as_json(text: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => text.to_owned(),
        Err(_) => serde_json::Value::from(text).to_string(),
    }
}

fn at(point: &Point) -> Result<v1::search_request::At, Failure> {
    Ok(match point {
        Point::Revision(revision) => v1::search_request::At::Revision(*revision),
        Point::Time(moment) => v1::search_request::At::Time(timestamp(*moment)?),
        Point::Tag(tag) => v1::search_request::At::Tag(tag.clone()),
        Point::Version(_) => {
            return Err(Failure::usage("--at: expected revision:N, time:TIME or tag:NAME"));
        }
    })
}

/// `payments/checkout /production /limits/max: 30  (revision 12, 2026-11-21 08:46:30Z, user:ada, "new limits")`.
fn line(found: &v1::SearchMatch) -> String {
    let name = layer_name(&found.scope, found.kind(), None);
    let value = match (found.pointer.as_str(), found.secret) {
        (_, true) => " = ***".to_owned(),
        ("", false) if found.value.is_empty() => String::new(),
        (_, false) => {
            format!(" = {}{}", printable(&found.value), if found.value_cut { "..." } else { "" })
        }
    };
    let mut by = vec![format!("version {}", found.version)];
    if found.revision > 0 {
        by = vec![format!("revision {}", found.revision), short_time(found.time.as_ref())];
    }
    by.extend(
        [&found.actor, &found.reason].into_iter().filter(|text| !text.is_empty()).map(|text| printable(text)),
    );
    let (namespace, config, pointer) = (&found.namespace, &found.config, printable(&found.pointer));
    format!("{namespace}/{config} {name} {pointer}{value}  ({})", by.join(", "))
}
