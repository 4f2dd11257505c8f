//! `confwatch serve`: the server. Knows how to start one; never what it does.

use super::exit::{Exit, Failure, Outcome};
use crate::server;
pub use crate::server::settings::ServeArgs;

pub async fn run(args: ServeArgs) -> Outcome {
    let settings = args.settings().map_err(|error| Failure::usage(error.to_string()))?;
    server::run(settings).await.map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    Ok(Exit::Done)
}
