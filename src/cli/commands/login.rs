//! `confwatch login`: logs a person in, and keeps the credential for the next commands. Knows the client only.

use std::process::{Command, Stdio};

use clap::Args;

use crate::cli::Session;
use crate::cli::login::store::{Login, Store};
use crate::cli::login::{issuer, now, offer, prompt, token_of};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::printable;
use crate::cli::output::views::{LoginView, short_time};
use crate::client::{Client, ConnectOptions};
use crate::proto::v1;

/// Log in to a server, by its issuer in a browser or with an API token, and keep the credential for the next commands
#[derive(Args, Debug)]
#[command(after_help = "\
The credential is kept for this server in confwatch/credentials.json of $XDG_CONFIG_HOME or ~/.config, for you alone. Commands use it unless
--token, --token-file, their variables or a client certificate are given.

Examples:
  confwatch login --server https://config.example:7420
  confwatch login --no-browser
  confwatch login --with-token < admin.token")]
pub struct LoginArgs {
    /// Log in with an API token, which is typed unseen or read from the standard input, also if the server has an issuer
    #[arg(long)]
    with_token: bool,
    /// Print the URL of the issuer, and open no browser
    #[arg(long)]
    no_browser: bool,
}

pub async fn run(args: LoginArgs, session: &Session) -> Outcome {
    let store = Store::of_environment();
    let store =
        store.ok_or_else(|| Failure::usage("HOME and XDG_CONFIG_HOME name no directory for credentials"))?;
    let url = session.options.url().map_err(|error| Failure::usage(error.message()))?;
    let offer = offer::ask(&session.client, &url).await?;
    if !offer.authentication {
        return Err(Failure::usage(
            "the server does not authenticate callers (--auth off): nobody needs to log in",
        ));
    }
    let by_issuer = offer.oidc.filter(|_| !args.with_token);
    let login = match by_issuer.and_then(|issuer| Some((issuer.cli_client_id.clone()?, issuer))) {
        Some((client_id, offer)) => {
            let waiting = issuer::begin(&offer, &client_id, now()).await?;
            session.output.note(&format!("log in at {}", waiting.url));
            if !args.no_browser {
                open_browser(&waiting.url);
            }
            waiting.finish().await?
        }
        None => {
            let token = prompt::token(&format!("API token for {url}"))?;
            Login { token: token.to_string(), issuer: None }
        }
    };
    let token = Some(token_of(&login)?);
    let client = Client::connect(ConnectOptions { token, ..session.options.clone() });
    let client = client.map_err(|error| Failure::usage(error.message()))?;
    let who = client.access().who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
    store.keep(&url, login)?;
    let path = store.path().display().to_string();
    session.output.answer(&LoginView::of(&url, &who, &path), |output| {
        let until = match &who.expire_time {
            None => String::new(),
            Some(time) => format!(", until {}", short_time(Some(time))),
        };
        output.line(&format!("logged in to {url} as {}{until}", printable(&who.actor)))
    })?;
    Ok(Exit::Done)
}

/// Opens a browser, if there is one: the URL is printed in any case.
fn open_browser(url: &str) {
    let browser = std::env::var_os("BROWSER").filter(|browser| !browser.is_empty());
    let fallback = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(browser.unwrap_or_else(|| fallback.into()));
    let command = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.spawn();
}
