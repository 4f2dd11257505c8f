//! `confwatch watchers`: who watches, and which state each watcher was sent. Knows the client only.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::Session;
use crate::cli::input::place::Place;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::streams::counted;
use crate::cli::output::views::{FleetClientView, FleetView, short_time};
use crate::proto::v1;

/// The largest page there is: the fewer pages, the less may change between them.
const PAGE_SIZE: u32 = 1000;
/// How much of a digest tells two documents apart for a person.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

/// List the clients that watch a namespace or a config, and which state each was sent
#[derive(Args, Debug)]
#[command(after_help = "\
A client was sent a state when the server has written it to the connection of the client. BEHIND are clients that were not yet sent the \
current state, or that do not read what they are sent. The digest is that which `get` shows. ACTOR and ADDRESS are shown to callers with \
the permission audit or admin.

Examples:
  confwatch watchers payments
  confwatch watchers payments/checkout@/production --behind
  confwatch watchers payments/checkout --label zone=a -o json | jq -r '.clients[].client_id'")]
pub struct WatchersArgs {
    /// The namespace or the config; with a scope, only targets at the scope and below it
    #[arg(value_name = "NAMESPACE[/CONFIG][@SCOPE]")]
    place: Place,
    /// List only clients that were not yet sent the current state
    #[arg(long)]
    behind: bool,
    /// List only clients with this id
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    client_id: String,
    /// List only clients of this actor, such as token:checkout
    #[arg(long = "of", value_name = "ACTOR", default_value = "", hide_default_value = true)]
    of_actor: String,
    /// List only clients with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        Some(_) | None => Err("expected KEY=VALUE, as in zone=a".into()),
    }
}

pub async fn run(args: WatchersArgs, session: &Session) -> Outcome {
    let (namespace, scope) = (args.place.namespace.clone(), args.place.scope.clone());
    let request = v1::ListClientsRequest {
        namespace: args.place.namespace,
        config: args.place.config,
        scope: args.place.scope,
        client_id: args.client_id,
        actor: args.of_actor,
        labels: args.labels.into_iter().collect::<BTreeMap<_, _>>(),
        only_behind: args.behind,
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let (clients, store_revision) = clients(request, session).await?;
    if clients.is_empty() {
        note_lack_of_read(&namespace, &scope, session).await;
    }
    let view = FleetView { clients: clients.iter().map(FleetClientView::from).collect(), store_revision };
    session.output.answer(&view, |output| {
        let rows = clients.iter().flat_map(rows).collect();
        output.table(["CLIENT", "TARGET", "STATE", "DIGEST", "SENT", "SINCE", "ACTOR", "ADDRESS"], rows)?;
        let behind = clients.iter().filter(|client| client.behind).count();
        output.line(&format!(
            "{}, {behind} behind, store revision {store_revision}",
            counted(clients.len(), "watcher")
        ))
    })?;
    Ok(Exit::Done)
}

async fn clients(
    mut request: v1::ListClientsRequest,
    session: &Session,
) -> Result<(Vec<v1::FleetClient>, u64), Failure> {
    let mut clients = vec![];
    loop {
        let page = session.client.fleet().list_clients(request.clone()).await?.into_inner();
        clients.extend(page.clients);
        if page.next_page_token.is_empty() {
            return Ok((clients, page.store_revision));
        }
        request.page_token = page.next_page_token;
    }
}

fn rows(client: &v1::FleetClient) -> Vec<[String; 8]> {
    let shown = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let row = |target: &v1::FleetTarget| {
        [
            name(client),
            format!("{}/{}@{}", target.namespace, target.config, target.scope),
            state(client, target),
            shown(target.digest.get(..DIGEST_SHOWN).unwrap_or(&target.digest)),
            format!("r{}", client.revision),
            short_time(client.open_time.as_ref()),
            shown(&client.actor),
            shown(&client.address),
        ]
    };
    client.targets.iter().map(row).collect()
}

/// The name of a client, or of its stream if it has none.
pub fn name(client: &v1::FleetClient) -> String {
    match client.client_id.as_str() {
        "" => format!("stream {}", client.watch_id),
        name => name.to_owned(),
    }
}

/// What a client has of a target, for people.
pub fn state(client: &v1::FleetClient, target: &v1::FleetTarget) -> String {
    let blocked = client.blocked_duration.as_ref();
    let blocked = blocked.map(|blocked| format!(", does not read for {} s", blocked.seconds));
    let state = match target.delivery() {
        v1::Delivery::Current | v1::Delivery::Unspecified => "current",
        v1::Delivery::Behind => "behind",
        v1::Delivery::NotSent => "not sent",
    };
    format!("{state}{}", blocked.unwrap_or_default())
}
