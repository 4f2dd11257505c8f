//! Where log lines go: to stderr, as text for people or JSON for machines. Knows nothing of who logs.

use std::io::{self, IsTerminal};

use anyhow::{anyhow, ensure};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::server::settings::{LogFormat, Settings};

/// Sets logging up for the process. To be called once.
pub(in crate::server) fn start(settings: &Settings) -> anyhow::Result<()> {
    let filter = filter(&settings.log)?;
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

/// Reads what to log. `EnvFilter` takes any word for a target of which everything is logged: a misspelled level would switch all else off.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let is_level = |level: &str| !level.is_empty() && level.parse::<LevelFilter>().is_ok();
    let is_directive = |directive: &str| match directive.rsplit_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(directive),
    };
    let wrong = text.split(',').find(|directive| !is_directive(directive));
    let unusable = |what: &str| {
        anyhow!(
            "log: {what:?} is neither a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL, \
             such as confwatch::engine=debug; separate several by commas"
        )
    };
    ensure!(wrong.is_none(), unusable(wrong.unwrap_or_default()));
    EnvFilter::try_new(text).map_err(|_| unusable(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_directives_are_taken_and_everything_else_is_refused() {
        for good in
            ["info", "WARN", "off", "info,confwatch::engine=debug", "warn,confwatch=trace", "a[b]=info"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in [
            "nonsense",
            "",
            "inf",
            "info,confwatch::engine",
            "confwatch=loud",
            "=info",
            "info,",
            "info, warn",
            "info=debug=x",
        ] {
            let error = filter(bad).expect_err(bad).to_string();
            assert!(error.contains("off, error, warn, info, debug, trace"), "{error}");
        }
    }
}
