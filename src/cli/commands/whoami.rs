//! `confwatch whoami`: who the server takes this client for. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::printable;
use crate::cli::output::views::{WhoAmIView, short_time};
use crate::proto::v1;

/// Show the identity that the server sees for your credential
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch whoami
  confwatch whoami --token-file ./confwatch-data.keys/admin.token")]
pub struct WhoAmIArgs {}

pub async fn run(_: WhoAmIArgs, session: &Session) -> Outcome {
    let response = session.client.access().who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
    session.output.answer(&WhoAmIView::from(&response), |output| {
        let groups = match response.groups.as_slice() {
            [] => String::new(),
            groups => format!(", of {}", printable(&groups.join(", "))),
        };
        let until = match &response.expire_time {
            None => String::new(),
            Some(time) => format!(", until {}", short_time(Some(time))),
        };
        let by = match response.credential_kind() {
            v1::CredentialKind::None | v1::CredentialKind::Unspecified => "believed".to_owned(),
            v1::CredentialKind::Token
            | v1::CredentialKind::Jwt
            | v1::CredentialKind::Certificate
            | v1::CredentialKind::Session => format!("by {}", printable(&response.credential)),
        };
        let kept = if session.is_logged_in { ", kept by `confwatch login`" } else { "" };
        output.line(&format!("{}{groups} ({by}{until}{kept})", printable(&response.actor)))
    })?;
    Ok(Exit::Done)
}
