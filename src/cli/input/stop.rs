//! Stops long-running commands on a signal. Knows signals; no command.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::output::exit::{Exit, Failure, Outcome};

/// Does the work, or ends well when the process is told to stop by SIGINT (Ctrl-C) or SIGTERM. A process that is number 1 of its
/// container ignores both unless it waits for them.
pub async fn unless_stopped(work: impl Future<Output = Outcome>) -> Outcome {
    // Waited for all the time: a signal that came between two waits would be lost.
    let (mut interrupt, mut terminate) =
        (wait_for(SignalKind::interrupt())?, wait_for(SignalKind::terminate())?);
    tokio::select! {
        // First, so that nothing is in its way.
        biased;
        _ = interrupt.recv() => Ok(Exit::Done),
        _ = terminate.recv() => Ok(Exit::Done),
        outcome = work => outcome,
    }
}

fn wait_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::io("cannot wait for signals", &error))
}
