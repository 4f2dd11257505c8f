//! `confwatch get`: one document. Knows the client only.

use clap::Args;

use super::Session;
use super::args::{DocumentFormat, PointArgs, TargetArgs, ViewName};
use super::exit::{Exit, Failure, Outcome};
use super::views::DocumentView;
use crate::model::text::render_pretty_json;
use crate::proto::v1;

/// Print a document: the layers from / down to the scope, merged
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch get payments/checkout -s /production
  confwatch get payments/checkout@/production/eu --pointer /limits/max
  confwatch get payments/checkout -s /production --time '2h ago' --format yaml
  confwatch get payments/checkout -o json | jq .digest")]
pub struct GetArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    point: PointArgs,
    /// Which layers to merge
    #[arg(long, value_enum, default_value_t)]
    view: ViewName,
    /// How to write the document: json is its canonical form on one line; without this, indented JSON
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    /// Print only this part of the document (RFC 6901), such as /limits/max
    #[arg(long, value_name = "POINTER", default_value = "", hide_default_value = true)]
    pointer: String,
    /// Print nothing if the document still has this digest
    #[arg(long, value_name = "DIGEST", default_value = "", hide_default_value = true)]
    if_none_match: String,
    /// Fill in the defaults of the schema where the document has no value
    #[arg(long, conflicts_with_all = ["PointArgs", "view"])]
    defaults: bool,
}

pub async fn run(args: GetArgs, session: &Session) -> Outcome {
    let request = v1::GetRequest {
        at: args.point.point().map(|point| point.for_get()).transpose()?,
        view: args.view.to_wire().into(),
        format: args.format.unwrap_or(DocumentFormat::Json).to_wire().into(),
        pointer: args.pointer,
        if_none_match: args.if_none_match,
        apply_defaults: args.defaults,
        ..args.target.target()?.get_request()
    };
    let response = session.client.api().get(request).await?.into_inner();
    let document = response.document.unwrap_or_default();
    session.output.answer(&DocumentView::from(&document), |output| {
        if response.not_modified {
            output.note("not modified");
            return Ok(());
        }
        match args.format {
            Some(_) => output.document(&document.content),
            None => output.document(&pretty(&document.content)?),
        }
    })?;
    Ok(Exit::Done)
}

/// JSON for people.
pub fn pretty(json: &str) -> Result<String, Failure> {
    let value = serde_json::from_str(json)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    Ok(render_pretty_json(&value))
}
