//! `confwatch logout`: forgets the credential of `confwatch login`. Knows no server.

use clap::Args;

use crate::cli::Session;
use crate::cli::login::store::Store;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::LogoutView;

/// Forget the credential that `confwatch login` has kept for a server
#[derive(Args, Debug)]
#[command(after_help = "\
An API token stays good for whoever else has it: `confwatch token revoke` ends it.

Examples:
  confwatch logout
  confwatch logout --server https://config.example:7420")]
pub struct LogoutArgs {}

pub fn run(_: LogoutArgs, session: &Session) -> Outcome {
    let url = session.options.url().map_err(|error| Failure::usage(error.message()))?;
    let was_logged_in = match Store::of_environment() {
        Some(store) => store.forget(&url)?,
        None => false,
    };
    session.output.answer(&LogoutView { server: url.clone(), was_logged_in }, |output| {
        let what = if was_logged_in { "logged out of" } else { "there was no login at" };
        output.line(&format!("{what} {url}"))
    })?;
    Ok(Exit::Done)
}
