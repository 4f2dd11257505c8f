//! Telling people how far a start is: on a terminal one line that is rewritten, elsewhere a line of the log now and then. Knows nothing
//! of what is loaded but its number.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// A start that is over sooner is told nothing of.
const QUIET: Duration = Duration::from_secs(1);
/// How often the line on a terminal is rewritten.
const REWRITE: Duration = Duration::from_millis(100);
/// How often the log gets a line.
const LOG: Duration = Duration::from_secs(2);

/// How many layers there are in memory. Clones count together.
#[derive(Clone, Default)]
pub(in crate::server) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(in crate::server) fn set(&self, layers: u64) {
        self.0.store(layers, Ordering::Relaxed);
    }

    /// Tells it until `start` is over.
    pub(in crate::server) async fn tell_until<T>(&self, start: impl Future<Output = T>) -> T {
        let on_terminal = io::stderr().is_terminal();
        let mut ticks = interval_at(Instant::now() + QUIET, if on_terminal { REWRITE } else { LOG });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut start = std::pin::pin!(start);
        let mut terminal = Terminal { is_written: false };
        loop {
            tokio::select! {
                biased;
                result = &mut start => return result,
                _ = ticks.tick() => match (on_terminal, self.0.load(Ordering::Relaxed)) {
                    (true, layers) => terminal.rewrite(&line(layers)),
                    (false, layers) => tracing::info!(layers, "loading"),
                }
            }
        }
    }
}

/// The line on the terminal. Dropped, it is gone.
struct Terminal {
    is_written: bool,
}

impl Terminal {
    /// Nobody may be reading it any more, and that is no reason not to start.
    fn rewrite(&mut self, line: &str) {
        const ERASE_LINE: &str = "\r\x1b[2K";
        self.is_written = true;
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "{ERASE_LINE}{line}").and_then(|()| stderr.flush());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.is_written {
            self.rewrite("");
        }
    }
}

fn line(layers: u64) -> String {
    match layers {
        0 => "loading: opening the store".to_owned(),
        layers => format!("loading: {} layers", in_groups(layers)),
    }
}

/// The number in groups of three digits.
fn in_groups(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| group.iter().map(|digit| *digit as char));
    groups.map(String::from_iter).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_counted_in_groups_of_digits() {
        let lines = [0, 7, 1000, 430_000, 1_000_000].map(line);
        assert_eq!(lines[0], "loading: opening the store");
        assert_eq!(
            lines[1..],
            [
                "loading: 7 layers",
                "loading: 1 000 layers",
                "loading: 430 000 layers",
                "loading: 1 000 000 layers"
            ]
        );
    }
}
