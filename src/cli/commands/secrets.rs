//! `confwatch secrets`: the keys that seal secrets. Knows the client only, and of keys their names.

use clap::{Args, Subcommand};

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::{DataRotationView, KeysView, MasterRotationView};
use crate::proto::v1;

/// Show and rotate the keys that seal secrets
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch secrets status
  confwatch secrets rotate-data payments
  confwatch secrets rotate-master")]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Subcommand, Debug)]
enum SecretsCommand {
    /// List the keys, and check that every secret can be opened
    #[command(after_help = "\
Examples:
  confwatch secrets status
  confwatch secrets status -o json | jq '.namespaces[].values_behind'")]
    Status,
    /// Seal the secrets of a namespace by a new data key, or continue an interrupted rotation
    #[command(after_help = "\
Examples:
  confwatch secrets rotate-data payments
  confwatch secrets rotate-data payments -o json | jq .configs_resealed")]
    RotateData {
        /// The namespace
        namespace: String,
    },
    /// Wrap all data keys by another master key
    ///
    /// The new key is the one before the old one in the file of master keys. If the old one is first, the server makes a
    /// new one and writes it there. A key in CONFWATCH_MASTER_KEY or a passphrase is changed by writing the new one in a line before
    /// the old one, starting the server with both, and then this.
    #[command(after_help = "\
Examples:
  confwatch secrets rotate-master
  confwatch secrets rotate-master -o json | jq -r .new_key_id")]
    RotateMaster,
}

pub async fn run(args: SecretsArgs, session: &Session) -> Outcome {
    match args.command {
        SecretsCommand::Status => status(session).await,
        SecretsCommand::RotateData { namespace } => rotate_data(namespace, session).await,
        SecretsCommand::RotateMaster => rotate_master(session).await,
    }
}

async fn status(session: &Session) -> Outcome {
    let response = session.client.secrets().status(v1::SecretServiceStatusRequest {}).await?.into_inner();
    let broken: u64 = response.namespaces.iter().map(|keys| keys.values_broken).sum();
    session.output.answer(&KeysView::from(&response), |output| {
        let source = &response.master_key_source;
        match response.master_key_id.as_str() {
            "" => {
                output.line(&format!("there are no data keys yet; the master key is taken from {source}"))?
            }
            id => output.line(&format!("master key {id}, from {source}"))?,
        }
        if !response.next_master_key_id.is_empty() {
            let next = &response.next_master_key_id;
            output.line(&format!("master key {next} stands before it: confwatch secrets rotate-master"))?;
        }
        let rows = response.namespaces.iter().map(|keys| {
            let newest = keys.keys.last().cloned().unwrap_or_default();
            let [values, behind, broken] =
                [keys.values, keys.values_behind, keys.values_broken].map(|count| count.to_string());
            let count = keys.keys.len().to_string();
            [keys.namespace.clone(), newest.id, newest.create_time, count, values, behind, broken]
        });
        let titles = ["NAMESPACE", "DATA KEY", "SINCE", "KEYS", "SECRETS", "BY OLDER KEYS", "BROKEN"];
        if response.namespaces.is_empty() { Ok(()) } else { output.table(titles, rows.collect()) }
    })?;
    match broken {
        0 => Ok(Exit::Done),
        count => {
            Err(Failure::new(Exit::Failed, format!("{count} secrets do not open: the data are damaged")))
        }
    }
}

async fn rotate_data(namespace: String, session: &Session) -> Outcome {
    let mut all = v1::RotateDataKeyResponse::default();
    loop {
        let request = v1::RotateDataKeyRequest { namespace: namespace.clone() };
        let response = session.client.secrets().rotate_data_key(request).await?.into_inner();
        all = v1::RotateDataKeyResponse {
            is_new: all.is_new || response.is_new,
            configs_resealed: all.configs_resealed + response.configs_resealed,
            ..response
        };
        if all.configs_left == 0 {
            break;
        }
    }
    session.output.answer(&DataRotationView::from(&all), |output| {
        let (count, id) = (all.configs_resealed, &all.key_id);
        let what = if all.is_new { "new data key" } else { "an earlier rotation is done: data key" };
        output.line(&format!("{what} {id}, configs sealed by it: {count}"))
    })?;
    Ok(Exit::Done)
}

async fn rotate_master(session: &Session) -> Outcome {
    let request = v1::RotateMasterKeyRequest {};
    let response = session.client.secrets().rotate_master_key(request).await?.into_inner();
    session.output.answer(&MasterRotationView::from(&response), |output| {
        let v1::RotateMasterKeyResponse { old_key_id, new_key_id, master_key_source, namespaces, .. } =
            &response;
        let what = if response.is_made { "new master key" } else { "master key" };
        output.line(&format!("{what} {new_key_id} wraps the data keys of {namespaces} namespaces"))?;
        output.line(&format!(
            "master key {old_key_id} can go from {master_key_source} when no backup needs it any more"
        ))
    })?;
    Ok(Exit::Done)
}
