//! `confwatch explain`: prints the layer of each value. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{PointArgs, TargetArgs};
use crate::cli::input::similar_names::failure_of;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::layers::layer_name;
use crate::cli::output::streams::{counted, printable};
use crate::cli::output::views::ExplainView;
use crate::proto::v1;

/// Show the layer that sets each value of a document, and the values that it shadows
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch explain payments/checkout -s /production/eu
  confwatch explain payments/checkout -s /production --pointer /limits
  confwatch explain payments/checkout -s /production --time '1h ago' -o json")]
pub struct ExplainArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    point: PointArgs,
    /// Only values at or below this JSON pointer (RFC 6901)
    #[arg(long, value_name = "POINTER", default_value = "", hide_default_value = true)]
    pointer: String,
}

pub async fn run(args: ExplainArgs, session: &Session) -> Outcome {
    let target = args.target.target()?;
    let request = v1::ExplainRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope: target.read_scope(),
        at: args.point.point().map(|point| point.for_explain()).transpose()?,
        pointer: args.pointer,
    };
    let response = match session.client.api().explain(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(failure_of(status.into(), &target, session).await),
    };
    session.output.answer(&ExplainView::from(&response), |output| {
        let rows = response.values.iter().map(row).collect();
        output.table(["POINTER", "VALUE", "FROM", "SHADOWS"], rows)
    })?;
    if let Some(withheld) = withheld(&response.withheld) {
        session.output.warning(&withheld);
    }
    Ok(Exit::Done)
}

/// Which layers the caller may not read, so that values of them which others replace are not shown. `None`: all may be read.
fn withheld(layers: &[v1::LayerRef]) -> Option<String> {
    let names: Vec<String> = layers.iter().map(|layer| from(Some(layer))).collect();
    (!names.is_empty()).then(|| {
        format!(
            "you may not read {} at {}: what other layers replace or remove of {} is not shown",
            counted(layers.len(), "layer"),
            names.join(", "),
            if layers.len() == 1 { "it" } else { "them" }
        )
    })
}

fn row(origin: &v1::ValueOrigin) -> [String; 4] {
    let shadowed = origin.shadowed.iter().map(|shadowed| {
        format!("{} ({})", value(&shadowed.value, shadowed.removed), from(shadowed.layer.as_ref()))
    });
    [
        printable(&origin.pointer),
        value(&origin.value, origin.removed),
        from(origin.layer.as_ref()),
        shadowed.collect::<Vec<_>>().join(", "),
    ]
}

fn value(json: &str, is_removed: bool) -> String {
    if is_removed { "(removed)".into() } else { printable(json) }
}

fn from(layer: Option<&v1::LayerRef>) -> String {
    layer.map_or_else(String::new, |layer| {
        format!("{} v{}", layer_name(&layer.scope, layer.kind(), layer.expire_time.as_ref()), layer.version)
    })
}
