//! `confwatch token`: API tokens, made, listed and revoked. Knows the client only.

mod grant;

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::cli::Session;
use crate::cli::input::args;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::printable;
use crate::cli::output::views::{MadeTokenView, RevokedTokenView, TokenView, TokensView, short_time};
use crate::proto::v1;
use grant::{GrantArgs, grant};

const PAGE_SIZE: u32 = 1000;

/// Create, list and revoke API tokens
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch token create ci --role editor --namespace shop --scope /staging --ttl 90d
  confwatch token list --all
  confwatch token revoke 8k2m4n6p8q0r --reason 'left on a laptop'")]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Create a token, and print it once
    #[command(after_help = "\
The config `policy` of the namespace `confwatch` has its permissions: --role adds a binding for its bearer.

Examples:
  confwatch token create 'deploys of the shop' --subject token:shop-deploys --ttl 90d
  confwatch token create ci --role editor --namespace shop --scope /staging
  confwatch token create checkout --group services -o json | jq -r .token > checkout.token")]
    Create(CreateArgs),
    /// List tokens, without their secrets
    #[command(after_help = "\
Examples:
  confwatch token list
  confwatch token list --all -o json | jq '.tokens[] | .id'")]
    List {
        /// List revoked and expired tokens, too
        #[arg(long)]
        all: bool,
    },
    /// Revoke a token: at once for calls, within a second for open streams
    #[command(after_help = "\
Examples:
  confwatch token revoke 8k2m4n6p8q0r
  confwatch token revoke 8k2m4n6p8q0r --reason 'left on a laptop'")]
    Revoke {
        /// The 12 characters after cw_
        id: String,
        /// Give a reason for the history
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// What it is for
    name: String,
    /// The identity of its bearer: user:NAME or token:NAME [default: token:NAME with the name of the token]
    #[arg(long, value_name = "SUBJECT", default_value = "", hide_default_value = true)]
    subject: String,
    /// A group of its bearer; may be given more than once
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// Expire the token after this time, such as 90d [default: never]
    #[arg(long, value_name = "DURATION", value_parser = args::time_to_live)]
    ttl: Option<Duration>,
    /// Give a reason for the history
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    grant: GrantArgs,
}

pub async fn run(args: TokenArgs, session: &Session) -> Outcome {
    match args.command {
        TokenCommand::Create(args) => create(args, session).await,
        TokenCommand::List { all } => list(all, session).await,
        TokenCommand::Revoke { id, reason } => revoke(id, reason, session).await,
    }
}

async fn create(args: CreateArgs, session: &Session) -> Outcome {
    let CreateArgs { name, subject, groups, ttl, reason, grant: wanted } = args;
    let expire_time = ttl.map(after).transpose()?;
    let request = v1::CreateTokenRequest { name, subject, groups, expire_time, reason: reason.clone() };
    let mut response = session.client.access().create_token(request).await?.into_inner();
    let made = response.info.clone().unwrap_or_default();
    let binding = wanted.binding(&made.subject);
    if let Some(binding) = &binding {
        match grant(binding, &reason, session).await {
            Ok(granted) => session.output.note(&format!("{} is {granted}", printable(&made.subject))),
            Err(failure) => {
                // A token that cannot do what it is for is better not there.
                let request =
                    v1::RevokeTokenRequest { id: made.id.clone(), reason: "the grant failed".into() };
                let revoked = session.client.access().revoke_token(request).await;
                let what =
                    if revoked.is_ok() { "was revoked again" } else { "is there, and should be revoked" };
                return Err(failure.with(format!("nothing was granted, and token {} {what}", made.id)));
            }
        }
        response.has_no_permission = false;
    }
    if response.has_no_permission {
        session.output.warning(&format!(
            "the policy grants nothing to {}: every call with this token will be denied; --role and --namespace grant something",
            printable(&made.subject)
        ));
    }
    session.output.answer(&MadeTokenView::from(&response), |output| {
        let info = response.info.clone().unwrap_or_default();
        let until = match &info.expire_time {
            Some(time) => format!("good until {}", short_time(Some(time))),
            None => "good until it is revoked".to_owned(),
        };
        output.note(&format!(
            "token {} for {}, {until}; it is not shown again:",
            info.id,
            printable(&info.subject)
        ));
        output.line(&response.token)
    })?;
    Ok(Exit::Done)
}

async fn list(all: bool, session: &Session) -> Outcome {
    let (mut tokens, mut page_token) = (vec![], String::new());
    loop {
        let request = v1::ListTokensRequest { page_size: PAGE_SIZE, page_token, include_ended: all };
        let page = session.client.access().list_tokens(request).await?.into_inner();
        tokens.extend(page.tokens);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let view = TokensView { tokens: tokens.iter().map(TokenView::from).collect() };
    session.output.answer(&view, |output| {
        let rows = tokens.iter().map(row).collect();
        output.table(["ID", "NAME", "SUBJECT", "CREATED", "EXPIRES", "LAST USE", "STATE"], rows)
    })?;
    Ok(Exit::Done)
}

async fn revoke(id: String, reason: String, session: &Session) -> Outcome {
    let request = v1::RevokeTokenRequest { id, reason };
    let response = session.client.access().revoke_token(request).await?.into_inner();
    session.output.answer(&RevokedTokenView::from(&response), |output| {
        let info = response.info.clone().unwrap_or_default();
        let what = if response.changed { "revoked" } else { "was revoked before" };
        output.line(&format!("{} ({}) {what}", info.id, printable(&info.name)))
    })?;
    Ok(Exit::Done)
}

fn row(token: &v1::ApiToken) -> [String; 7] {
    let time = |time: &Option<prost_types::Timestamp>| match time {
        None => "-".to_owned(),
        Some(time) => short_time(Some(time)),
    };
    let now = Timestamp::now().as_second();
    let has_expired = token.expire_time.as_ref().is_some_and(|end| end.seconds <= now);
    let state = match (&token.revoke_time, has_expired) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "good",
    };
    [
        token.id.clone(),
        printable(&token.name),
        printable(&token.subject),
        time(&token.create_time),
        time(&token.expire_time),
        time(&token.last_use_time),
        state.to_owned(),
    ]
}

fn after(ttl: Duration) -> Result<prost_types::Timestamp, Failure> {
    let end = Timestamp::now().checked_add(ttl).map_err(|_| Failure::usage("--ttl is too long"))?;
    Ok(prost_types::Timestamp { seconds: end.as_second(), nanos: end.subsec_nanosecond() })
}
