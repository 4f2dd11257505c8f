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
    let server = match args.client {
        true => None,
        false => {
            let response = session.client.status().get(v1::StatusServiceGetRequest {}).await?.into_inner();
            Some(response.version)
        }
    };
    session.output.answer(&VersionView { client, server: server.clone() }, |output| {
        output.line(&format!("client {client}"))?;
        server.map_or(Ok(()), |server| output.line(&format!("server {server}")))
    })?;
    Ok(Exit::Done)
}
