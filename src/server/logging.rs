//! Where log lines go: to stderr, as text for people or JSON for machines. Knows nothing of who logs.

use std::io::{self, IsTerminal};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use super::settings::{LogFormat, Settings};

/// Sets logging up for the process. To be called once.
pub(super) fn start(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .with_context(|| format!("log: {:?} is not a level or a list of directives", settings.log))?;
    let on_terminal = io::stderr().is_terminal();
    let format = settings.log_format.unwrap_or(match on_terminal {
        true => LogFormat::Text,
        false => LogFormat::Json,
    });
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => lines.with_ansi(on_terminal).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("logging was set up before: {error}"))
}
