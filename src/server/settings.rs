//! What can be set of a server: flags over environment over a TOML file over defaults. Knows nothing of how it is served.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::model::limits::{Limits, TEXT_BYTES_MAX};
use crate::secret::MasterKeySource;

mod master_key;

/// Everything that a server is told, with every value decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// `host:port`. Port 0: any that is free.
    pub listen: String,
    pub fsync: Fsync,
    /// Memory for what the store reads from disk.
    pub store_cache_bytes: u64,
    /// Memory for documents that were resolved before.
    pub document_cache_bytes: u64,
    /// History that is kept, in revisions. `None`: all of it.
    pub retain_revisions: Option<u64>,
    /// How long calls under way may take to end when the server is told to stop.
    pub drain_timeout: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// In the syntax of tracing-subscriber's `EnvFilter`.
    pub log: String,
    /// `None`: text on a terminal, JSON otherwise.
    pub log_format: Option<LogFormat>,
    pub limits: Limits,
    /// Where the master key is. `None`: the server makes one beside its data, when the first secret is written.
    pub master_key: Option<MasterKeySource>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data_dir: "./confwatch-data".into(),
            listen: "127.0.0.1:7420".into(),
            fsync: Fsync::Always,
            store_cache_bytes: 64 << 20,
            document_cache_bytes: 64 << 20,
            retain_revisions: None,
            drain_timeout: Duration::from_secs(6),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            log: "info".into(),
            log_format: None,
            limits: Limits::default(),
            master_key: None,
        }
    }
}

/// Whether a commit is on disk before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// An acknowledged commit survives a power cut
    Always,
    /// It survives the end of the process, but perhaps not a power cut
    Never,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Serve configuration
///
/// Every setting is a flag, an environment variable, or a key of the file named by --config (its name with "_" for
/// "-"). Flags win over the environment, and the environment over the file.
#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(after_help = "\
Examples:
  confwatch serve
  confwatch serve --data-dir /var/lib/confwatch --listen 0.0.0.0:7420
  confwatch serve --limits watchers_max=10000,layer_bytes_max=65536
  CONFWATCH_LOG=confwatch=debug confwatch serve --config /etc/confwatch.toml

A file with the defaults:
  data_dir = \"./confwatch-data\"
  listen = \"127.0.0.1:7420\"
  fsync = \"always\"
  drain_timeout = \"6s\"
  [limits]
  watchers_max = 100000")]
pub struct ServeArgs {
    /// Read settings from this TOML file
    #[arg(long, env = "CONFWATCH_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Where the data are; made if missing [default: ./confwatch-data]
    #[arg(long, env = "CONFWATCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Where to listen; port 0 takes any that is free [default: 127.0.0.1:7420]
    #[arg(long, env = "CONFWATCH_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,

    /// Whether a commit is on disk before it is acknowledged [default: always]
    #[arg(long, env = "CONFWATCH_FSYNC")]
    pub fsync: Option<Fsync>,

    /// Memory for what the store reads from disk [default: 67108864]
    #[arg(long, env = "CONFWATCH_STORE_CACHE_BYTES", value_name = "BYTES")]
    pub store_cache_bytes: Option<u64>,

    /// Memory for documents that were resolved before [default: 67108864]
    #[arg(long, env = "CONFWATCH_DOCUMENT_CACHE_BYTES", value_name = "BYTES")]
    pub document_cache_bytes: Option<u64>,

    /// Keep the history of so many revisions [default: all]
    #[arg(long, env = "CONFWATCH_RETAIN_REVISIONS", value_name = "COUNT")]
    pub retain_revisions: Option<u64>,

    /// How long calls may take to end when the server stops, such as 6s [default: 6s]
    #[arg(long, env = "CONFWATCH_DRAIN_TIMEOUT", value_name = "DURATION")]
    pub drain_timeout: Option<Period>,

    /// How often to ping an idle connection [default: 20s]
    #[arg(long, env = "CONFWATCH_KEEPALIVE_INTERVAL", value_name = "DURATION")]
    pub keepalive_interval: Option<Period>,

    /// How long a ping may stay without an answer [default: 10s]
    #[arg(long, env = "CONFWATCH_KEEPALIVE_TIMEOUT", value_name = "DURATION")]
    pub keepalive_timeout: Option<Period>,

    /// What to log: a level, or directives such as info,confwatch::engine=debug [default: info]
    #[arg(long, env = "CONFWATCH_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// How to write log lines [default: text on a terminal, else json]
    #[arg(long, env = "CONFWATCH_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Limits by name: layer_bytes_max, document_bytes_max, layers_max, changes_max, commit_bytes_max, request_ids_max,
    /// targets_max, watchers_max, page_size_max
    #[arg(long, env = "CONFWATCH_LIMITS", value_name = "NAME=VALUE,...")]
    pub limits: Option<LimitValues>,

    /// Seal secrets under the master key in this file, in hex or base64; CONFWATCH_MASTER_KEY has the key itself [default: made
    /// when it is needed, in master.key among the data]
    #[arg(long, env = "CONFWATCH_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// Seal secrets under a master key that is made of the passphrase in this file
    #[arg(long, env = "CONFWATCH_MASTER_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    pub master_key_passphrase_file: Option<PathBuf>,
}

impl ServeArgs {
    /// Decides every value. Reads the file, if one is named.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => ServeArgs::default(),
        };
        let mut limits = file.limits.unwrap_or_default();
        limits.0.extend(self.limits.unwrap_or_default().0);
        let default = Settings::default();
        let duration = |flag: Option<Period>, file: Option<Period>, default: Duration| {
            flag.or(file).map_or(default, |period| period.0)
        };
        Ok(Settings {
            data_dir: self.data_dir.or(file.data_dir).unwrap_or(default.data_dir),
            listen: self.listen.or(file.listen).unwrap_or(default.listen),
            fsync: self.fsync.or(file.fsync).unwrap_or(default.fsync),
            store_cache_bytes: self
                .store_cache_bytes
                .or(file.store_cache_bytes)
                .unwrap_or(default.store_cache_bytes),
            document_cache_bytes: self
                .document_cache_bytes
                .or(file.document_cache_bytes)
                .unwrap_or(default.document_cache_bytes),
            retain_revisions: self.retain_revisions.or(file.retain_revisions),
            drain_timeout: duration(self.drain_timeout, file.drain_timeout, default.drain_timeout),
            keepalive_interval: duration(
                self.keepalive_interval,
                file.keepalive_interval,
                default.keepalive_interval,
            ),
            keepalive_timeout: duration(
                self.keepalive_timeout,
                file.keepalive_timeout,
                default.keepalive_timeout,
            ),
            log: self.log.or(file.log).unwrap_or(default.log),
            log_format: self.log_format.or(file.log_format),
            limits: limits.limits().map_err(SettingsError::Limits)?,
            master_key: master_key::source(
                self.master_key_file.or(file.master_key_file),
                self.master_key_passphrase_file.or(file.master_key_passphrase_file),
                std::env::var(master_key::VARIABLE).ok(),
            )?,
        })
    }
}

fn read(path: &Path) -> Result<ServeArgs, SettingsError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: shown(), source })?;
    let wrong = |error: String| SettingsError::File { path: shown(), error };
    let args: ServeArgs = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if let Some(limits) = &args.limits {
        limits.limits().map_err(|error| wrong(format!("limits: {error}")))?;
    }
    Ok(args)
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    /// The error names line and key.
    #[error("{path}: {error}")]
    File { path: String, error: String },
    #[error("limits: {0}")]
    Limits(String),
    #[error("{0} and {1} both tell a master key, one expected")]
    MasterKeys(&'static str, &'static str),
}

/// A length of time, written `8s`, `1m 30s` or `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let expected = || format!("{text:?} is not a length of time: such as 8s or 1m 30s expected");
        let period: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
        let period = Duration::try_from(period).map_err(|_| expected())?;
        if period.is_zero() { Err(expected()) } else { Ok(Period(period)) }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        text.parse()
    }
}

/// The limits that differ from their defaults, by the names they have in `Limits`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct LimitValues(BTreeMap<String, usize>);

impl LimitValues {
    fn limits(&self) -> Result<Limits, String> {
        let values = serde_json::to_value(&self.0).map_err(|error| error.to_string())?;
        let limits: Limits = serde_json::from_value(values).map_err(|error| error.to_string())?;
        if let Some((name, _)) = self.0.iter().find(|(_, value)| **value == 0) {
            return Err(format!("{name} is 0, at least 1 expected"));
        }
        let texts =
            [("layer_bytes_max", limits.layer_bytes_max), ("document_bytes_max", limits.document_bytes_max)];
        match texts.into_iter().find(|(_, bytes)| *bytes > TEXT_BYTES_MAX) {
            Some((name, bytes)) => Err(format!("{name} is {bytes}, at most {TEXT_BYTES_MAX} fit a message")),
            None => Ok(limits),
        }
    }
}

impl FromStr for LimitValues {
    type Err = String;

    fn from_str(text: &str) -> Result<LimitValues, String> {
        let values = text.split(',').filter(|value| !value.trim().is_empty()).map(|value| {
            let (name, number) = value.split_once('=').ok_or(format!("{value:?} is not NAME=VALUE"))?;
            let number = number.trim().parse().map_err(|error| format!("{}: {error}", name.trim()))?;
            Ok((name.trim().to_owned(), number))
        });
        let values = LimitValues(values.collect::<Result<_, String>>()?);
        values.limits()?;
        Ok(values)
    }
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fsync::Always => "always",
            Fsync::Never => "never",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn parse(flags: &[&str]) -> Result<Settings, String> {
        let flags = ["serve"].iter().chain(flags);
        let program = Program::try_parse_from(flags).map_err(|error| error.to_string())?;
        program.args.settings().map_err(|error| error.to_string())
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("confwatch.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (directory, path)
    }

    #[test]
    fn without_a_word_everything_is_as_by_default() {
        assert_eq!(parse(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let (_directory, path) = file(
            "listen = \"0.0.0.0:1\"\nfsync = \"never\"\ndrain_timeout = \"1m 30s\"\nretain_revisions = 7\n\
             [limits]\nwatchers_max = 5\npage_size_max = 6\n",
        );
        let flags = ["--config", &path, "--listen", "[::1]:0", "--limits", "watchers_max=9"];
        let settings = parse(&flags).unwrap();
        let limits = Limits { watchers_max: 9, page_size_max: 6, ..Limits::default() };
        let expected = Settings {
            listen: "[::1]:0".into(),
            fsync: Fsync::Never,
            drain_timeout: Duration::from_secs(90),
            retain_revisions: Some(7),
            limits,
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_said_with_file_and_key() {
        let check = |text: &str, expected: &[&str]| {
            let (_directory, path) = file(text);
            let error = parse(&["--config", &path]).unwrap_err();
            assert!(error.starts_with(&path), "{error}");
            for expected in expected {
                assert!(error.contains(expected), "{expected:?} is not in {error:?}");
            }
        };
        check("dat_dir = \"x\"", &["line 1", "unknown field `dat_dir`", "data_dir"]);
        check("\nfsync = 3", &["line 2", "fsync"]);
        check("drain_timeout = \"soon\"", &["line 1", "drain_timeout", "\"soon\" is not a length of time"]);
        check("config = \"other\"", &["unknown field `config`"]);
        check("[limits]\nwatcher_max = 1", &["limits", "unknown field `watcher_max`", "watchers_max"]);
        check("[limits]\nwatchers_max = 0", &["limits", "watchers_max is 0"]);
        check("[limits]\nwatchers_max = -1", &["watchers_max"]);
        check("[limits]\ndocument_bytes_max = 4000000", &["document_bytes_max", "3145728"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_said_by_name() {
        let error = parse(&["--config", "/nowhere/confwatch.toml"]).unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/confwatch.toml: "), "{error}");
    }

    #[test]
    fn a_flag_that_makes_no_sense_is_refused() {
        for flags in [
            ["--drain-timeout", "0s"],
            ["--drain-timeout", "-1s"],
            ["--fsync", "maybe"],
            ["--limits", "watchers_max"],
            ["--limits", "watchers=1"],
        ] {
            assert!(parse(&flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn every_flag_has_its_environment_variable() {
        for argument in Program::command().get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| *flag != "help") else { continue };
            let expected = format!("CONFWATCH_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }

    #[test]
    fn every_limit_is_named_in_the_help() {
        let help = Program::command().render_long_help().to_string();
        let limits = serde_json::to_value(Limits::default()).unwrap();
        for name in limits.as_object().unwrap().keys() {
            assert!(help.contains(name.as_str()), "{name}");
        }
    }
}
