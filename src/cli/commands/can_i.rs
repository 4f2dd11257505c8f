//! `confwatch can-i`: whether somebody may do something, and why. Knows the client only.

use clap::Args;
use tonic::Code;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::printable;
use crate::cli::output::views::CanIView;
use crate::client::ClientError;
use crate::proto::v1;

/// Check whether a subject has a permission, and why
#[derive(Args, Debug)]
#[command(after_help = "\
The exit code is 0 if they may, and 7 if they may not.

Examples:
  confwatch can-i write payments/checkout@/production
  confwatch can-i user:alice rollback payments/checkout --group sre
  confwatch can-i group:sre read payments
  confwatch can-i backup")]
pub struct CanIArgs {
    /// [SUBJECT] VERB [TARGET]: user:alice, token:ci, certificate:NAME or group:sre, without it you; read, write, rollback, override,
    /// validate, tag, schema, reveal-secret, backup, audit or admin; NAMESPACE/CONFIG@SCOPE, a namespace, or nothing for all of the store
    #[arg(required = true, num_args = 1..=3, value_name = "WORD")]
    words: Vec<String>,
    /// A further group of the subject; may be given more than once
    #[arg(long = "group", value_name = "NAME")]
    groups: Vec<String>,
}

pub async fn run(args: CanIArgs, session: &Session) -> Outcome {
    let CanIArgs { mut words, groups } = args;
    // No verb has a colon, and every subject has one.
    let subject = if words[0].contains(':') { words.remove(0) } else { String::new() };
    let mut words = words.into_iter();
    let form = "the form is `confwatch can-i [SUBJECT] VERB [TARGET]`, such as `confwatch can-i write payments/checkout@/production`";
    let Some(verb) = words.next() else {
        return Err(Failure::usage("which permission? A verb is missing after the subject").with(form));
    };
    let target = words.next().unwrap_or_default();
    if let Some(surplus) = words.next() {
        let message = format!("{surplus:?} comes after the target {target:?}: one target is expected");
        return Err(Failure::usage(message).with(form));
    }
    let (config_path, scope) = target.split_once('@').unwrap_or((&target, ""));
    let (namespace, config) = config_path.split_once('/').unwrap_or((config_path, ""));
    let request = v1::CanIRequest {
        subject,
        groups,
        verb,
        namespace: namespace.to_owned(),
        config: config.to_owned(),
        scope: scope.to_owned(),
    };
    let response = session.client.access().can_i(request).await.map_err(|status| {
        let error = ClientError::from(status);
        let is_wrong = error.code() == Code::InvalidArgument;
        let failure = Failure::from(error);
        if is_wrong { Failure { exit: Exit::Usage, ..failure }.with(form) } else { failure }
    })?;
    let response = response.into_inner();
    session.output.answer(&CanIView::from(&response), |output| {
        let answer = if response.allowed { "yes" } else { "no" };
        output.line(&format!("{answer}: {}", printable(&response.explanation)))
    })?;
    Ok(if response.allowed { Exit::Done } else { Exit::NotAllowed })
}
