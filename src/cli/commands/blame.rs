//! `confwatch blame`: who made each value what it is. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::TargetArgs;
use crate::cli::input::similar_names::failure_of;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::layers::layer_name;
use crate::cli::output::streams::printable;
use crate::cli::output::views::{BlameView, short_time};
use crate::proto::v1;

/// Show for each value of a document which commit made it what it is: revision, time, author and reason
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch blame payments/checkout@/production
  confwatch blame payments/checkout -s /production --pointer /limits -o json")]
pub struct BlameArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Only values at or below this JSON pointer (RFC 6901)
    #[arg(long, value_name = "POINTER", default_value = "", hide_default_value = true)]
    pointer: String,
}

pub async fn run(args: BlameArgs, session: &Session) -> Outcome {
    let target = args.target.target()?;
    let request = v1::BlameRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope: target.read_scope(),
        pointer: args.pointer,
    };
    let response = match session.client.api().blame(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(failure_of(status.into(), &target, session).await),
    };
    session.output.answer(&BlameView::from(&response), |output| {
        let rows = response.values.iter().map(row).collect();
        output.table(["POINTER", "VALUE", "FROM", "REVISION", "TIME", "ACTOR", "REASON"], rows)
    })?;
    Ok(Exit::Done)
}

fn row(value: &v1::BlamedValue) -> [String; 7] {
    let from = |layer: &v1::LayerRef| layer_name(&layer.scope, layer.kind(), layer.expire_time.as_ref());
    let known = |text: String| if value.revision == 0 { "-".to_owned() } else { text };
    [
        printable(&value.pointer),
        if value.removed { "(removed)".into() } else { printable(&value.value) },
        value.layer.as_ref().map_or_else(String::new, from),
        known(value.revision.to_string()),
        known(short_time(value.time.as_ref())),
        printable(&value.actor),
        printable(&value.reason),
    ]
}
