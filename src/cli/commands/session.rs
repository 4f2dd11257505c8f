//! `confwatch session`: the sessions of people who have logged in, listed and revoked. Knows the client only.

use clap::{Args, Subcommand};

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::printable;
use crate::cli::output::views::{RevokedSessionView, SessionView, SessionsView, short_time};
use crate::proto::v1;

const PAGE_SIZE: u32 = 1000;

/// List and revoke the sessions of people who have logged in with a browser
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch session list
  confwatch session list --all -o json
  confwatch session revoke 8k2m4n6p8q0r --reason 'left open on a laptop'")]
pub struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Subcommand, Debug)]
enum SessionCommand {
    /// List your sessions, newest first
    #[command(after_help = "\
Examples:
  confwatch session list
  confwatch session list --all
  confwatch session list --of user:alice -o json")]
    List {
        /// List the sessions of all actors
        #[arg(long)]
        all: bool,
        /// List the sessions of this actor, such as user:alice
        #[arg(
            long,
            value_name = "ACTOR",
            default_value = "",
            hide_default_value = true,
            conflicts_with = "all"
        )]
        of: String,
    },
    /// Revoke a session: at once for calls and for open streams
    #[command(after_help = "\
Examples:
  confwatch session revoke 8k2m4n6p8q0r
  confwatch session revoke 8k2m4n6p8q0r --reason 'left open on a laptop'")]
    Revoke {
        /// The id that `session list` shows
        id: String,
        /// Give a reason for the audit log
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

pub async fn run(args: SessionArgs, session: &Session) -> Outcome {
    match args.command {
        SessionCommand::List { all, of } => list(all, of, session).await,
        SessionCommand::Revoke { id, reason } => revoke(id, reason, session).await,
    }
}

async fn list(all: bool, actor: String, session: &Session) -> Outcome {
    let (mut sessions, mut page_token) = (vec![], String::new());
    loop {
        let request = v1::ListSessionsRequest { actor: actor.clone(), all, page_size: PAGE_SIZE, page_token };
        let page = session.client.access().list_sessions(request).await?.into_inner();
        sessions.extend(page.sessions);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let view = SessionsView { sessions: sessions.iter().map(SessionView::from).collect() };
    session.output.answer(&view, |output| {
        let rows = sessions.iter().map(row).collect();
        output.table(["ID", "ACTOR", "LOGGED IN BY", "CREATED", "LAST USE", "EXPIRES", "ADDRESS"], rows)
    })?;
    Ok(Exit::Done)
}

async fn revoke(id: String, reason: String, session: &Session) -> Outcome {
    let request = v1::RevokeSessionRequest { id, reason };
    let response = session.client.access().revoke_session(request).await?.into_inner();
    let view = RevokedSessionView { session: response.session.as_ref().map(SessionView::from) };
    session.output.answer(&view, |output| {
        let ended = response.session.clone().unwrap_or_default();
        output.line(&format!("{} of {} revoked", ended.id, printable(&ended.actor)))
    })?;
    Ok(Exit::Done)
}

fn row(session: &v1::Session) -> [String; 7] {
    [
        session.id.clone(),
        printable(&session.actor),
        printable(&session.origin),
        short_time(session.create_time.as_ref()),
        short_time(session.last_use_time.as_ref()),
        short_time(session.expire_time.as_ref()),
        printable(&session.address),
    ]
}
