//! What can be set of a server: flags over environment over a TOML file over defaults. Knows nothing of how it is served.

mod auth;
mod decide;
mod master_key;
mod quota;
mod ranges;
mod rate;
mod tls;
mod values;

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;

use crate::api::guard::rates::RateLimits;
use crate::audit::Retention;
use crate::model::limits::Limits;
use crate::model::quota::Quotas;
use crate::secret::MasterKeySource;

pub use auth::{AuthMode, JwtIssuer};
use quota::QuotaValues;
use rate::RateValue;
pub use tls::{ClientAuth, ClientCa, TlsFiles};
pub use values::{LimitValues, Networks, Period};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that a server is told, with every value decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub data_dir: PathBuf,
    /// Where the server keeps the master key that it makes, and the token of the first administrator. `None`: beside the data.
    pub keys_dir: Option<PathBuf>,
    /// `host:port`. Port 0: any that is free.
    pub listen: String,
    /// `host:port` for metrics. `None`: nobody can ask for them.
    pub metrics_listen: Option<String>,
    /// `None`: plain text.
    pub tls: Option<TlsFiles>,
    /// How often to look whether the files of TLS have changed.
    pub tls_reload_interval: Duration,
    /// Plain text is allowed on addresses that others can reach.
    pub insecure: bool,
    /// Whether callers are checked. `None`: unless the server listens on a loopback address in plain text.
    pub auth: Option<AuthMode>,
    /// `None`: no JSON web token is good.
    pub jwt: Option<JwtIssuer>,
    pub fsync: Fsync,
    /// Memory for what the store reads from disk.
    pub store_cache_bytes: u64,
    /// Memory for documents that were resolved before.
    pub document_cache_bytes: u64,
    /// History that is kept, in revisions. `None`: all of it.
    pub retain_revisions: Option<u64>,
    pub retain_for: Option<Duration>,
    /// How long calls under way may take to end when the server is told to stop.
    pub drain_timeout: Duration,
    pub keepalive_interval: Duration,
    pub keepalive_timeout: Duration,
    /// How long a client may take for the handshake of TLS, and then as long again to begin HTTP/2.
    pub handshake_timeout: Duration,
    /// Proxies that say by the PROXY protocol whose connections they pass on, and are believed.
    pub proxy_protocol_from: Vec<IpNet>,
    pub connections_max: usize,
    /// From one address; of IPv6 from one network of 64 bits.
    pub connections_per_address_max: usize,
    /// Connections are ended when they are without a call for so long. `None`: they may stay.
    pub connection_idle_max: Option<Duration>,
    /// How long a client may take to send a request whose head it has sent.
    pub request_timeout: Duration,
    /// How many requests there may be that have not come whole.
    pub requests_unfinished_max: usize,
    /// How much there may be of them, in bytes; a quarter of it on one connection.
    pub requests_unfinished_bytes_max: u64,
    /// Bytes of complete requests that are being processed: a quarter of it on one connection, half from one address. As much may wait.
    pub requests_in_progress_bytes_max: u64,
    /// How long a client may take nothing of a response that is there for it.
    pub response_timeout: Duration,
    /// Response bytes that clients have not taken: a quarter of it on one connection, half from one address.
    pub responses_unread_bytes_max: u64,
    /// Connections are ended when they are so old, give or take a tenth. `None`: they may last for ever.
    pub connection_age_max: Option<Duration>,
    /// The metadata of one call, as HTTP/2 counts it.
    pub header_bytes_max: u32,
    /// Calls and streams under way on one connection. `None`: as many as watchers there may be twice, and some more.
    pub streams_per_connection_max: Option<usize>,
    pub rates: RateLimits,
    /// In the syntax of tracing-subscriber's `EnvFilter`.
    pub log: String,
    /// `None`: text on a terminal, JSON otherwise.
    pub log_format: Option<LogFormat>,
    /// The URL of a collector of traces. `None`: there are none.
    pub otlp_endpoint: Option<String>,
    /// Of calls whose caller says nothing of it, this part is traced: from 0 to 1.
    pub otlp_sampled: f64,
    pub limits: Limits,
    /// What each namespace may have, unless an administrator says otherwise.
    pub quotas: Quotas,
    /// Where the master key is. `None`: the server makes one beside its data, when the first secret is written.
    pub master_key: Option<MasterKeySource>,
    /// How much of the audit log is kept.
    pub audit_retention: Retention,
    /// Where what happens is written as JSON lines, besides. `None`: nowhere.
    pub audit_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data_dir: "./confwatch-data".into(),
            keys_dir: None,
            listen: "127.0.0.1:7420".into(),
            metrics_listen: None,
            tls: None,
            tls_reload_interval: Duration::from_secs(5),
            insecure: false,
            auth: None,
            jwt: None,
            fsync: Fsync::Always,
            store_cache_bytes: 8 << 20,
            document_cache_bytes: 64 << 20,
            retain_revisions: None,
            retain_for: None,
            drain_timeout: Duration::from_secs(6),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            proxy_protocol_from: vec![],
            connections_max: 16_000,
            connections_per_address_max: 8_000,
            connection_idle_max: Some(Duration::from_secs(600)),
            request_timeout: Duration::from_secs(15),
            requests_unfinished_max: 20_000,
            requests_unfinished_bytes_max: 64 << 20,
            requests_in_progress_bytes_max: 16 << 20,
            response_timeout: Duration::from_secs(30),
            responses_unread_bytes_max: 128 << 20,
            connection_age_max: None,
            header_bytes_max: 16 << 10,
            streams_per_connection_max: None,
            rates: RateLimits::default(),
            log: "info".into(),
            log_format: None,
            otlp_endpoint: None,
            otlp_sampled: 1.0,
            limits: Limits::default(),
            quotas: Quotas::default(),
            master_key: None,
            audit_retention: Retention::default(),
            audit_file: None,
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
  confwatch serve --data-dir /var/lib/confwatch --listen 0.0.0.0:7420 --tls-cert cert.pem --tls-key key.pem
  confwatch serve --limits watchers_max=10000,layer_bytes_max=65536 --quotas configs=500
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

    /// Store data in this directory, which is created if it does not exist [default: ./confwatch-data]
    #[arg(long, env = "CONFWATCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Store the master key and the token of the first administrator in this directory, which is created if it does not exist [default:
    /// DATA_DIR.keys, or the data directory if it is a file system of its own]
    #[arg(long, env = "CONFWATCH_KEYS_DIR", value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,

    /// Listen on this address; port 0 selects a free port [default: 127.0.0.1:7420]
    #[arg(long, env = "CONFWATCH_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,

    /// Serve metrics for Prometheus on this address, at /metrics, in plain text [default: no metrics]
    #[arg(long, env = "CONFWATCH_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<String>,

    /// Serve TLS with the certificate in this PEM file, which also has the intermediate certificates. Read again when it changes
    #[arg(long, env = "CONFWATCH_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Use the private key in this PEM file for --tls-cert
    #[arg(long, env = "CONFWATCH_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Request client certificates issued by the CAs in this PEM file
    #[arg(long, env = "CONFWATCH_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Require client certificates of --tls-client-ca, or accept clients without one [default: required]
    #[arg(long, env = "CONFWATCH_TLS_CLIENT_AUTH")]
    pub tls_client_auth: Option<ClientAuth>,

    /// Check the TLS files for changes at this interval [default: 5s]
    #[arg(long, env = "CONFWATCH_TLS_RELOAD_INTERVAL", value_name = "DURATION")]
    pub tls_reload_interval: Option<Period>,

    /// Allow plain text on an address that is not a loopback address: anybody on the network path can read and change all traffic
    #[arg(long, env = "CONFWATCH_INSECURE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub insecure: Option<bool>,

    /// Require credentials from callers [default: off on a loopback address in plain text, else on]
    #[arg(long, env = "CONFWATCH_AUTH")]
    pub auth: Option<AuthMode>,

    /// Accept JSON web tokens signed with a key of this JWKS: a file, or a URL that begins with https://
    #[arg(long, env = "CONFWATCH_JWT_KEYS", value_name = "FILE|URL")]
    pub jwt_keys: Option<String>,

    /// Reload the JWKS at this interval [default: 500ms for a file, 5m for a URL]
    #[arg(long, env = "CONFWATCH_JWT_KEYS_INTERVAL", value_name = "DURATION")]
    pub jwt_keys_interval: Option<Period>,

    /// Require this value of the claim iss of JSON web tokens
    #[arg(long, env = "CONFWATCH_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Require one of these values in the claim aud of JSON web tokens
    #[arg(long, env = "CONFWATCH_JWT_AUDIENCE", value_name = "NAME,...")]
    pub jwt_audience: Option<String>,

    /// Read the groups of the caller from these claims of JSON web tokens: names, or JSON pointers such as /realm_access/roles
    #[arg(long, env = "CONFWATCH_JWT_GROUPS_CLAIM", value_name = "CLAIM,...")]
    pub jwt_groups_claim: Option<String>,

    /// Prefix the names of users and groups of JSON web tokens, with a # as separator: user:PREFIX#NAME, group:PREFIX#NAME
    /// [default: the issuer]
    #[arg(long, env = "CONFWATCH_JWT_PREFIX", value_name = "PREFIX")]
    pub jwt_prefix: Option<String>,

    /// Refuse JSON web tokens with a longer lifetime [default: 24h]
    #[arg(long, env = "CONFWATCH_JWT_LIFETIME_MAX", value_name = "DURATION")]
    pub jwt_lifetime_max: Option<Period>,

    /// Sync each commit to disk before it is acknowledged [default: always]
    #[arg(long, env = "CONFWATCH_FSYNC")]
    pub fsync: Option<Fsync>,

    /// Cache so many bytes of the files of the store [default: 8388608]
    #[arg(long, env = "CONFWATCH_STORE_CACHE_BYTES", value_name = "BYTES")]
    pub store_cache_bytes: Option<u64>,

    /// Cache so many bytes of resolved documents [default: 67108864]
    #[arg(long, env = "CONFWATCH_DOCUMENT_CACHE_BYTES", value_name = "BYTES")]
    pub document_cache_bytes: Option<u64>,

    /// Retain the history of so many revisions [default: all]
    #[arg(long, env = "CONFWATCH_RETAIN_REVISIONS", value_name = "COUNT")]
    pub retain_revisions: Option<u64>,

    /// Retain history for this time, such as 90d. With --retain-revisions, a commit is retained if either setting retains it [default: no limit]
    #[arg(long, env = "CONFWATCH_RETAIN_FOR", value_name = "DURATION")]
    pub retain_for: Option<Period>,

    /// Wait so long for open calls to end when the server stops [default: 6s]
    #[arg(long, env = "CONFWATCH_DRAIN_TIMEOUT", value_name = "DURATION")]
    pub drain_timeout: Option<Period>,

    /// Send a keepalive ping on an idle connection at this interval [default: 20s]
    #[arg(long, env = "CONFWATCH_KEEPALIVE_INTERVAL", value_name = "DURATION")]
    pub keepalive_interval: Option<Period>,

    /// Close a connection if a keepalive ping is not answered within this time [default: 10s]
    #[arg(long, env = "CONFWATCH_KEEPALIVE_TIMEOUT", value_name = "DURATION")]
    pub keepalive_timeout: Option<Period>,

    /// Close a connection whose TLS handshake takes longer, or whose HTTP/2 preface does after that [default: 5s]
    #[arg(long, env = "CONFWATCH_HANDSHAKE_TIMEOUT", value_name = "DURATION")]
    pub handshake_timeout: Option<Period>,

    /// Trust these proxies, and require the PROXY protocol (version 2) from them: it has the address of the client
    #[arg(long, env = "CONFWATCH_PROXY_PROTOCOL_FROM", value_name = "ADDRESS|CIDR,...")]
    pub proxy_protocol_from: Option<Networks>,

    /// Limit the number of connections [default: 16000]
    #[arg(long, env = "CONFWATCH_CONNECTIONS_MAX", value_name = "COUNT")]
    pub connections_max: Option<NonZeroUsize>,

    /// Limit the number of connections from one address (for IPv6: from one /64 network) [default: 8000]
    #[arg(long, env = "CONFWATCH_CONNECTIONS_PER_ADDRESS_MAX", value_name = "COUNT")]
    pub connections_per_address_max: Option<NonZeroUsize>,

    /// Close connections without a call after this idle time, at the latest after twice as long [default: 10m]
    #[arg(long, env = "CONFWATCH_CONNECTION_IDLE_MAX", value_name = "DURATION")]
    pub connection_idle_max: Option<Period>,

    /// Fail a request that does not arrive completely within this time after its headers [default: 15s]
    #[arg(long, env = "CONFWATCH_REQUEST_TIMEOUT", value_name = "DURATION")]
    pub request_timeout: Option<Period>,

    /// Limit the number of incomplete requests [default: 20000]
    #[arg(long, env = "CONFWATCH_REQUESTS_UNFINISHED_MAX", value_name = "COUNT")]
    pub requests_unfinished_max: Option<NonZeroUsize>,

    /// Limit the bytes of incomplete requests, with a quarter of it for one connection [default: 67108864]
    #[arg(long, env = "CONFWATCH_REQUESTS_UNFINISHED_BYTES_MAX", value_name = "BYTES")]
    pub requests_unfinished_bytes_max: Option<u64>,

    /// Limit the bytes of complete requests that are being processed, with a quarter of it for one connection and half of it for one
    /// address; as much may wait [default: 16777216]
    #[arg(long, env = "CONFWATCH_REQUESTS_IN_PROGRESS_BYTES_MAX", value_name = "BYTES")]
    pub requests_in_progress_bytes_max: Option<u64>,

    /// End a response of which the client reads nothing for this time [default: 30s]
    #[arg(long, env = "CONFWATCH_RESPONSE_TIMEOUT", value_name = "DURATION")]
    pub response_timeout: Option<Period>,

    /// Limit the bytes of responses that clients have not read, with a quarter of it for one connection and half of it for one
    /// address [default: 134217728]
    #[arg(long, env = "CONFWATCH_RESPONSES_UNREAD_BYTES_MAX", value_name = "BYTES")]
    pub responses_unread_bytes_max: Option<u64>,

    /// Close connections at this age, give or take a tenth: their streams end with UNAVAILABLE and RetryInfo [default: never]
    #[arg(long, env = "CONFWATCH_CONNECTION_AGE_MAX", value_name = "DURATION")]
    pub connection_age_max: Option<Period>,

    /// Limit the metadata of a call, in bytes as HTTP/2 counts them [default: 16384]
    #[arg(long, env = "CONFWATCH_HEADER_BYTES_MAX", value_name = "BYTES")]
    pub header_bytes_max: Option<NonZeroU32>,

    /// Limit the concurrent calls and streams of one connection [default: 1000 more than two for each watcher]
    #[arg(long, env = "CONFWATCH_STREAMS_PER_CONNECTION_MAX", value_name = "COUNT")]
    pub streams_per_connection_max: Option<NonZeroUsize>,

    /// Limit the calls of one address: calls per second, and burst; 0: no limit [default: 50000:200000]
    #[arg(long, env = "CONFWATCH_CALLS_PER_ADDRESS", value_name = "RATE[:BURST]")]
    pub calls_per_address: Option<RateValue>,

    /// Limit the calls of one actor: calls per second, and burst; 0: no limit [default: 25000:100000]
    #[arg(long, env = "CONFWATCH_CALLS_PER_ACTOR", value_name = "RATE[:BURST]")]
    pub calls_per_actor: Option<RateValue>,

    /// Limit the refused credentials of one address: refusals per second, and burst. Beyond it, unknown credentials are refused unchecked;
    /// 0: no limit [default: 10:500]
    #[arg(long, env = "CONFWATCH_REFUSALS_PER_ADDRESS", value_name = "RATE[:BURST]")]
    pub refusals_per_address: Option<RateValue>,

    /// Limit how many documents with secrets are shown to one actor, per second and at once; 0: no limit [default: 10:20000]
    #[arg(long, env = "CONFWATCH_REVEALS_PER_ACTOR", value_name = "RATE[:BURST]")]
    pub reveals_per_actor: Option<RateValue>,

    /// Log at this level (off, error, warn, info, debug, trace), or by directives such as info,confwatch::engine=debug [default: info]
    #[arg(long, env = "CONFWATCH_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// Write log lines in this format [default: text on a terminal, else json]
    #[arg(long, env = "CONFWATCH_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Export traces to the collector at this URL, by OTLP over gRPC, such as http://127.0.0.1:4317 [default: no traces]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// Set the sampling ratio of calls without a traceparent, from 0 to 1 [default: 1]
    #[arg(long, env = "CONFWATCH_OTLP_SAMPLED", value_name = "RATIO", value_parser = ratio)]
    pub otlp_sampled: Option<f64>,

    /// Set limits by name: layer_bytes_max, document_bytes_max, layers_max, tags_max, changes_max, commit_bytes_max,
    /// request_bytes_max, request_ids_max, targets_max, watchers_max, watchers_of_actor_max,
    /// watched_configs_max, page_size_max
    #[arg(long, env = "CONFWATCH_LIMITS", value_name = "NAME=VALUE,...")]
    pub limits: Option<LimitValues>,

    /// Set the quotas of each namespace that the config confwatch/quotas does not override: configs, bytes of their layers, watchers,
    /// journal_bytes of history, journal_bytes_per_minute; 0: no limit [default:
    /// configs=100000,bytes=1073741824,watchers=1000000,journal_bytes=0,journal_bytes_per_minute=67108864]
    #[arg(long, env = "CONFWATCH_QUOTAS", value_name = "NAME=VALUE,...")]
    pub quotas: Option<QuotaValues>,

    /// Seal secrets under the master key in this file, in hex or base64; CONFWATCH_MASTER_KEY has the key itself [default: master.key
    /// in the keys directory, created with the first secret]
    #[arg(long, env = "CONFWATCH_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// Seal secrets under a master key that is derived from the passphrase in this file
    #[arg(long, env = "CONFWATCH_MASTER_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    pub master_key_passphrase_file: Option<PathBuf>,

    /// Set the retention of the audit log (denied and refused calls, reveals of secrets), in days [default: 365]
    #[arg(long, env = "CONFWATCH_AUDIT_RETENTION_DAYS", value_name = "DAYS")]
    pub audit_retention_days: Option<NonZeroU32>,

    /// Limit the size of the audit log in bytes; the oldest records are removed first [default: 1073741824]
    #[arg(long, env = "CONFWATCH_AUDIT_BYTES_MAX", value_name = "BYTES")]
    pub audit_bytes_max: Option<NonZeroU64>,

    /// Append every change and every record of the audit log to this file, one JSON object per line [default: no file]
    #[arg(long, env = "CONFWATCH_AUDIT_FILE", value_name = "FILE")]
    pub audit_file: Option<PathBuf>,
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    /// The error names line and key.
    #[error("{path}: {error}")]
    File { path: String, error: String },
    /// Names the setting and its range.
    #[error("{0}")]
    Range(String),
    #[error("limits: {0}")]
    Limits(String),
    #[error("quotas: {0}")]
    Quotas(String),
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Jwt(String),
    #[error("{0} and {1} both set a master key, one expected")]
    MasterKeys(&'static str, &'static str),
}

/// A setting cannot be used as things are: the file that it names cannot be read, say, or it needs another setting. Told with its causes.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Unusable(anyhow::Error);

impl Unusable {
    /// Marks an error as one of a setting.
    pub fn mark(error: impl Into<anyhow::Error>) -> anyhow::Error {
        Unusable(error.into()).into()
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
mod tests;
