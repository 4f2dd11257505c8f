//! `confwatch version`: the versions of this program and of the server. Knows the client only.

use clap::Args;
use serde::Serialize;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::proto::v1;

/// Show the version of this program, and of the server
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch version
  confwatch version --client
  confwatch version -o json | jq -r .server")]
pub struct VersionArgs {
    /// Show the version of this program alone, and ask no server
    #[arg(long)]
    client: bool,
}

#[derive(Serialize)]
struct VersionView {
    client: &'static str,
    server: Option<String>,
}

pub async fn run(args: VersionArgs, session: &Session) -> Outcome {
    let client = env!("CARGO_PKG_VERSION");
    let asked = match args.client {
        true => None,
        false => Some(session.client.status().get(v1::StatusServiceGetRequest {}).await),
    };
    // The version of the program is printed even if the server does not answer.
    let (server, failed) = match asked {
        None => (None, None),
        Some(Ok(response)) => (Some(response.into_inner().version), None),
        Some(Err(status)) => (None, Some(status)),
    };
    session.output.answer(&VersionView { client, server: server.clone() }, |output| {
        output.line(&format!("client {client}"))?;
        server.map_or(Ok(()), |server| output.line(&format!("server {server}")))
    })?;
    failed.map_or(Ok(Exit::Done), |status| Err(status.into()))
}
