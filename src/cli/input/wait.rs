//! `--wait`: after a write, until every watcher was sent what it made. Knows the client only.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::args::{duration, wire_duration};
use crate::cli::Session;
use crate::cli::commands::watchers::{name, state};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::printable;
use crate::proto::v1;

/// The longest wait that servers accept.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Clients that are named.
const NAMED_MAX: usize = 20;

#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// Wait until every watcher of what changed was sent the new state, for 30s or the time given (at most 10m); if some were not, name them, and exit with 8
    #[arg(
        long,
        value_name = "TIMEOUT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s",
        value_parser = wait_time
    )]
    wait: Option<Duration>,
}

/// Before anything is written: how long to wait.
fn wait_time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    match time > WAIT_MAX {
        true => Err("expected at most 10m".into()),
        false => Ok(time),
    }
}

impl WaitArgs {
    /// Waits, if that is asked for, after the commit with this revision. `None`: nothing was written.
    pub async fn wait(&self, revision: Option<u64>, session: &Session) -> Outcome {
        let (Some(timeout), Some(revision)) = (self.wait, revision) else { return Ok(Exit::Done) };
        let timeout = Some(wire_duration(timeout)?);
        let request = v1::WaitConvergedRequest { revision, targets: vec![], timeout };
        let written = |failure: Failure| not_known(failure, revision);
        let mut stream = session.client.fleet().wait_converged(request).await;
        let stream = stream.as_mut().map_err(|status| written(status.clone().into()))?.get_mut();
        let mut progress = Progress::default();
        loop {
            let message = stream.message().await.map_err(|status| written(status.into()))?;
            let Some(message) = message else {
                let failure = Failure::new(Exit::Unavailable, "the server ended the wait");
                return Err(written(failure));
            };
            let is_converged = match message.state() {
                v1::Convergence::Waiting | v1::Convergence::Unspecified => {
                    progress.show(&message);
                    continue;
                }
                v1::Convergence::Converged => true,
                v1::Convergence::TimedOut => false,
            };
            progress.clear();
            tell(&format!("{} of {} watchers have it", message.converged, message.watchers), session)?;
            return if is_converged { Ok(Exit::Done) } else { Err(missing(&message)) };
        }
    }
}

/// A line on the terminal that counts the watchers that have the new state, while others are waited for. Not shown elsewhere.
#[derive(Default)]
struct Progress {
    is_shown: bool,
}

impl Progress {
    fn show(&mut self, message: &v1::WaitConvergedResponse) {
        if io::stderr().is_terminal() {
            let (converged, watchers) = (message.converged, message.watchers);
            // Nothing depends on the line: a terminal that went away needs none.
            let _ = write!(io::stderr(), "\r{converged} of {watchers} watchers have it, waiting\x1b[K");
            self.is_shown = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The wait has failed, and the change is stored.
fn not_known(failure: Failure, revision: u64) -> Failure {
    let failure = Failure { exit: Exit::NotConverged, ..failure };
    failure.with(format!(
        "the change is stored as revision {revision}; whether its watchers were sent it is not known"
    ))
}

/// Beside an answer for programs it goes to standard error.
fn tell(line: &str, session: &Session) -> Result<(), Failure> {
    match session.output.is_table() {
        true => session.output.line(line),
        false => {
            session.output.note(line);
            Ok(())
        }
    }
}

fn missing(message: &v1::WaitConvergedResponse) -> Failure {
    let count = message.watchers - message.converged;
    let failure = Failure::new(
        Exit::NotConverged,
        format!("{count} of {} watchers were not sent it in time", message.watchers),
    );
    let named = message.missing.iter().take(NAMED_MAX);
    let failure = named.fold(failure, |failure, client| {
        let target = client.targets.iter().find(|target| target.delivery() != v1::Delivery::Current);
        let target = target.or(client.targets.first());
        let target = target.map(|target| {
            format!("{}/{} {}: {}", target.namespace, target.config, target.scope, state(client, target))
        });
        let address =
            if client.address.is_empty() { String::new() } else { format!(" ({})", client.address) };
        failure.with(printable(&format!("{}{address}: {}", name(client), target.unwrap_or_default())))
    });
    match count.saturating_sub(u32::try_from(message.missing.len().min(NAMED_MAX)).unwrap_or(u32::MAX)) {
        0 => failure,
        more => failure.with(format!("and {more} more: `confwatch watchers --behind` lists them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_fails_is_no_failure_of_the_change() {
        let refused = Failure::new(
            Exit::Unavailable,
            "100 calls of WaitConverged of this actor, at most 100 are allowed",
        );
        let told = not_known(refused, 7);
        assert_eq!(told.exit, Exit::NotConverged);
        assert!(told.to_string().contains("stored as revision 7"), "{told}");
    }

    #[test]
    fn a_wait_that_no_server_accepts_is_refused_before_anything_is_written() {
        assert_eq!(wait_time("10m"), Ok(WAIT_MAX));
        assert_eq!(wait_time("0s"), Ok(Duration::ZERO));
        assert!(wait_time("601s").is_err());
    }
}
