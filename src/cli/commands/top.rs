//! `confwatch top`: the status of the server again and again, with rates. Knows the client only.

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::status;
use crate::cli::Session;
use crate::cli::input::args::duration;
use crate::cli::input::stop::unless_stopped;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::{RatesView as Rates, StatusView, TopView};
use crate::proto::v1;

/// From the top left corner, and nothing below it: what a terminal obeys.
const CLEAR: &str = "\x1b[H\x1b[J";
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Follow the state of the server live, with rates; ends on Ctrl-C
#[derive(Args, Debug)]
#[command(after_help = "\
Rates are those since the line before. Takes the permission audit or admin on the whole store.

Examples:
  confwatch top
  confwatch top --interval 10s
  confwatch top --count 6 -o json | jq .commits_per_second")]
pub struct TopArgs {
    /// The time between two readings, 200ms at least
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    interval: Duration,
    /// End after this number of readings; 0: never
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 0)]
    count: u64,
}

pub async fn run(args: TopArgs, session: &Session) -> Outcome {
    if args.interval < INTERVAL_MIN {
        return Err(Failure::usage("--interval: 200ms at least are expected"));
    }
    unless_stopped(follow(args, session)).await
}

async fn follow(args: TopArgs, session: &Session) -> Outcome {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    let mut before: Option<(Instant, v1::ServerStatus)> = None;
    let mut shown = 0;
    loop {
        let response = session.client.status().get(v1::StatusServiceGetRequest {}).await?.into_inner();
        let read = Instant::now();
        let Some(server) = response.server.clone() else {
            return Err(Failure::new(
                Exit::NotAllowed,
                "the figures of the server take the permission audit or admin on the whole store",
            ));
        };
        let rates = before.take().map(|(then, before)| rates(&before, &server, read - then));
        let view = TopView { status: StatusView::from(&response), rates };
        session.output.item(&view, |output| {
            let rates = match &view.rates {
                Some(rates) => format!(
                    "per second   {:.1} calls, {:.1} commits, {:.1} deliveries\n\n",
                    rates.calls_per_second, rates.commits_per_second, rates.deliveries_per_second
                ),
                None => "\n".to_owned(),
            };
            output.screen(clear, &format!("{}{rates}", status::text(&response)))
        })?;
        shown += 1;
        if shown == args.count {
            return Ok(Exit::Done);
        }
        before = Some((read, server));
        sleep(args.interval).await;
    }
}

/// The events between two readings, by the time between them. A server that was started anew meanwhile counts from 0.
fn rates(before: &v1::ServerStatus, now: &v1::ServerStatus, between: Duration) -> Rates {
    let is_same = before.start_time == now.start_time;
    let rate = |before: u64, now: u64| {
        let events = if is_same { now.saturating_sub(before) } else { now };
        events as f64 / between.as_secs_f64().max(f64::EPSILON)
    };
    Rates {
        calls_per_second: rate(before.calls, now.calls),
        commits_per_second: rate(before.commits, now.commits),
        deliveries_per_second: rate(before.watch_deliveries, now.watch_deliveries),
    }
}
