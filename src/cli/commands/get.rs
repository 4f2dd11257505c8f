//! `confwatch get`: one document. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{DocumentFormat, PointArgs, TargetArgs, ViewName};
use crate::cli::input::similar_names::failure_of;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::DocumentView;
use crate::model::text::render_pretty_json;
use crate::proto::v1;

/// Print a document: the layers from / down to the scope, merged
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch get payments/checkout -s /production
  confwatch get payments/checkout@/production/eu --pointer /banner --raw
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
    /// Print a string as it is, without quotes and escapes; usually with --pointer
    #[arg(long, conflicts_with = "format")]
    raw: bool,
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
    let target = args.target.target()?;
    let request = v1::GetRequest {
        at: args.point.point().map(|point| point.for_get()).transpose()?,
        view: args.view.to_wire().into(),
        format: args.format.unwrap_or(DocumentFormat::Json).to_wire().into(),
        pointer: args.pointer,
        if_none_match: args.if_none_match,
        apply_defaults: args.defaults,
        ..target.get_request()
    };
    let response = match session.client.api().get(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Err(failure_of(status.into(), &target, session).await),
    };
    let document = response.document.unwrap_or_default();
    session.output.answer(&DocumentView::from(&document), |output| {
        if response.not_modified {
            output.note("not modified");
            return Ok(());
        }
        match (args.format, args.raw) {
            (None, true) => output.document(&raw(&document.content)?),
            (None, false) => output.json_document(&pretty(&document.content)?),
            (Some(DocumentFormat::Json), _) => output.json_document(&document.content),
            (Some(DocumentFormat::Yaml | DocumentFormat::Toml), _) => output.document(&document.content),
        }
    })?;
    Ok(Exit::Done)
}

/// A string as it is, and any other value as JSON.
fn raw(json: &str) -> Result<String, Failure> {
    match serde_json::from_str(json) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) | Err(_) => pretty(json),
    }
}

/// JSON for people.
pub fn pretty(json: &str) -> Result<String, Failure> {
    let value = serde_json::from_str(json)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    Ok(render_pretty_json(&value))
}
