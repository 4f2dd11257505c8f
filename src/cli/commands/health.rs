//! `confwatch health`: whether the server serves, for scripts and probes. Knows the client only, and needs no credential.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::cli::Session;
use crate::cli::input::args::duration;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::client::ClientError;

/// The time between two checks of `--wait`.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Check that the server serves: exit code 0, or 6 otherwise
#[derive(Args, Debug)]
#[command(after_help = "\
Calls grpc.health.v1.Health, which needs no credential. A server that starts, drains or has failed does not serve.

Examples:
  confwatch health
  confwatch health --wait=1m && confwatch apply -f shop
  confwatch --timeout 1s health")]
pub struct HealthArgs {
    /// Check again until the server serves, for 30s or the time given
    #[arg(
        long,
        value_name = "TIMEOUT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s",
        value_parser = duration
    )]
    wait: Option<Duration>,
}

#[derive(Serialize)]
struct HealthView {
    status: &'static str,
}

pub async fn run(args: HealthArgs, session: &Session) -> Outcome {
    let until = Instant::now() + args.wait.unwrap_or_default();
    let checked = loop {
        let checked = check(session).await;
        if matches!(checked, Ok(ServingStatus::Serving)) || Instant::now() >= until {
            break checked;
        }
        sleep(AGAIN_AFTER).await;
    };
    let status = checked?;
    session.output.answer(&HealthView { status: status.as_str_name() }, |output| match status {
        ServingStatus::Serving => output.line("the server serves"),
        ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => Ok(()),
    })?;
    match status {
        ServingStatus::Serving => Ok(Exit::Done),
        ServingStatus::NotServing | ServingStatus::Unknown | ServingStatus::ServiceUnknown => {
            Err(Failure::new(Exit::Unavailable, "the server does not serve: it starts, drains or has failed"))
        }
    }
}

async fn check(session: &Session) -> Result<ServingStatus, Failure> {
    let mut health = HealthClient::new(session.client.connection());
    let checked = timeout(session.timeout, health.check(HealthCheckRequest::default())).await;
    let checked =
        checked.map_err(|_| Failure::new(Exit::Unavailable, "the server did not answer in time"))?;
    let response = checked.map_err(ClientError::from)?.into_inner();
    Ok(response.status())
}
