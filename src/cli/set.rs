//! `confwatch set`: changes one layer. Knows the client only.

use clap::Args;

use super::Session;
use super::args::{TargetArgs, WriteArgs};
use super::change::ChangeArgs;
use super::exit::{Exit, Outcome};
use super::layers::layer_name;
use super::output::PLACE;
use super::refusal::show_findings_in;
use super::views::SetView;
use crate::proto::v1;

/// Change one layer: single values, the whole of it, or by a patch
#[derive(Args, Debug)]
#[command(after_help = "\
VALUE is taken as JSON if it is JSON, else as a string: port=80 is a number, port='\"80\"' and name=eu are strings, \
name= is the empty string, and name=null removes what the scope inherits. PATH:=JSON refuses what is not JSON. \
PATH is dotted (\\. is a dot within a name), or a JSON pointer when it starts with /.

Examples:
  confwatch set payments/checkout -s /production limits.max=30 mode=strict
  confwatch set payments/checkout -s /production --file production.yaml --reason 'new limits'
  echo '{\"max\": 30}' | confwatch set payments/checkout - --dry-run
  confwatch set payments/checkout -s /production --override --ttl 30m limits.max=5")]
pub struct SetArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    write: WriteArgs,
}

pub async fn run(args: SetArgs, session: &Session) -> Outcome {
    let change = args.change.change(&args.target.target()?)?;
    let (kind, sources) = (change.kind(), args.change.sources(&change, "change"));
    let response = match session.client.set(change, args.write.options()).await {
        Ok(response) => response,
        Err(error) => return Err(args.change.refused(error, &sources, session).await),
    };
    show_findings_in(&sources, response.report.as_ref(), session).await;
    session.output.answer(&SetView::from(&response), |output| {
        output.line(&set_line(&response, kind, args.write.dry_run))
    })?;
    Ok(Exit::Done)
}

/// `payments/checkout /production: version 4, revision 12`.
pub fn set_line(response: &v1::SetResponse, kind: v1::LayerKind, is_dry_run: bool) -> String {
    let document = response.document.clone().unwrap_or_default();
    let layer = document.layers.first();
    let name = layer_name(&document.scope, kind, layer.and_then(|layer| layer.expire_time.as_ref()));
    let place = format!("{PLACE}{}/{} {name}{PLACE:#}", document.namespace, document.config);
    let version = document.version;
    match (response.changed, is_dry_run) {
        (false, _) => format!("{place}: unchanged, version {version}"),
        (true, false) => format!("{place}: version {version}, revision {}", response.store_revision),
        (true, true) => format!("{place}: would become version {version} (dry run, nothing is stored)"),
    }
}
