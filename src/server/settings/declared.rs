//! The settings of a server, each declared once: flag, variable, key of the configuration file, default, range and help. Knows no source of a
//! value, and nothing of how a server uses it.
//!
//! A declaration reads as follows. The doc comment is the help of the flag. `#[arg(…)]` has the attributes that clap takes, with the name of the
//! variable. `name: Raw` is the flag, the key, and the type that clap and serde parse. `=> Type` adds the field `name` to `Settings`; without it
//! the value is a part of a setting in `Settings` that `decide.rs` puts together. `= value` is the default, in the syntax of the configuration
//! file; `= none "text"` describes what holds without a value. `[min..=max]` is the range. A text at the end completes the row of the setting in
//! docs/operations.md, which `CONFWATCH_UPDATE_DOCS=1 cargo test --test docs` writes.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use serde::Deserialize;

use super::auth::{AuthMode, JwtIssuer};
use super::declaration::{CENTURY, DAY, Declared, MILLISECOND, SECOND, Setting, range, settings, within};
use super::oidc::OidcClient;
use super::quota::QuotaValues;
use super::rate::RateValue;
use super::tls::{ClientAuth, TlsFiles};
use super::values::{ConsoleMode, Fsync, LimitValues, LogFormat, Networks, Origins, Period};
use crate::api::guard::rates::RateLimits;
use crate::audit::Retention;
use crate::model::limits::Limits;
use crate::model::quota::Quotas;
use crate::secret::MasterKeySource;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// More connections or requests than a machine can have.
const COUNT_MAX: u64 = 10_000_000;
/// HTTP/2 has 31 bits for a number of streams.
const STREAMS_MAX: u64 = (1 << 31) - 1;

settings! {
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
    pub struct ServeArgs;

    /// The settings of a server, with every value decided. The declarations below describe the fields that have a value of their own.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Settings {
        /// `None`: plain text.
        pub tls: Option<TlsFiles>,
        /// `None`: JSON web tokens are refused.
        pub jwt: Option<JwtIssuer>,
        /// `None`: people log in with API tokens alone.
        pub oidc: Option<OidcClient>,
        pub rates: RateLimits,
        pub limits: Limits,
        /// The quotas of a namespace, unless an administrator sets others.
        pub quotas: Quotas,
        /// `None`: the server creates a master key in the keys directory when the first secret is written.
        pub master_key: Option<MasterKeySource>,
        pub audit_retention: Retention,
    }

    /// The settings that are put together from several values.
    pub struct Composed;

    /// Store data in this directory, which is created if it does not exist
    #[arg(env = "CONFWATCH_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf => PathBuf = "./confwatch-data",
        "The mode of a created directory is 0700. A directory with other files and no data of confwatch is \
         refused. A start warns if others have access to the directory";

    /// Store the master key and the token of the first administrator in this directory, which is created if it
    /// does not exist
    #[arg(env = "CONFWATCH_KEYS_DIR", value_name = "DIR")]
    keys_dir: PathBuf => Option<PathBuf> = none "DATA_DIR.keys, or the data directory if it is a file system of its own",
        "The token of the first administrator is `admin.token`. A volume of a container is a file system of \
         its own";

    /// Listen on this address; port 0 selects a free port
    #[arg(env = "CONFWATCH_LISTEN", value_name = "HOST:PORT")]
    listen: String => String = "127.0.0.1:7420";

    /// Serve the web console to browsers, at /
    #[arg(env = "CONFWATCH_CONSOLE")]
    console: ConsoleMode => ConsoleMode = "on", "See [the console](console.md)";

    /// Serve metrics for Prometheus on this address, at /metrics, in plain text
    #[arg(env = "CONFWATCH_METRICS_LISTEN", value_name = "HOST:PORT")]
    metrics_listen: String => Option<String> = none "no metrics", "See [metrics](#metrics)";

    /// Serve TLS with the certificate in this PEM file, which also has the intermediate certificates. Read
    /// again when it changes
    #[arg(env = "CONFWATCH_TLS_CERT", value_name = "FILE")]
    tls_cert: PathBuf = none "plain text";

    /// Use the private key in this PEM file for --tls-cert
    #[arg(env = "CONFWATCH_TLS_KEY", value_name = "FILE")]
    tls_key: PathBuf;

    /// Request client certificates issued by the CAs in this PEM file
    #[arg(env = "CONFWATCH_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: PathBuf = none "no client certificates";

    /// Require client certificates of --tls-client-ca from all clients, health checks included, or also serve clients
    /// without one: those need a token. Either way a certificate of the CA is a credential, and its name is the caller
    #[arg(env = "CONFWATCH_TLS_CLIENT_AUTH")]
    tls_client_auth: ClientAuth = "required";

    /// Check the TLS files for changes at this interval
    #[arg(env = "CONFWATCH_TLS_RELOAD_INTERVAL", value_name = "DURATION")]
    tls_reload_interval: Period => Duration = "5s" [MILLISECOND..=DAY];

    /// Allow plain text on an address that is not a loopback address: anybody on the network path can read and
    /// change all traffic
    #[arg(env = "CONFWATCH_INSECURE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    insecure: bool => bool = false;

    /// Require credentials from callers
    #[arg(env = "CONFWATCH_AUTH")]
    auth: AuthMode => Option<AuthMode> = none "off on a loopback address in plain text, else on",
        "`off` is for loopback addresses only";

    /// Accept JSON web tokens signed with a key of this JWKS: a file, or a URL that begins with https://
    #[arg(env = "CONFWATCH_JWT_KEYS", value_name = "FILE|URL")]
    jwt_keys: String = none "JSON web tokens are refused";

    /// Reload the JWKS at this interval
    #[arg(env = "CONFWATCH_JWT_KEYS_INTERVAL", value_name = "DURATION")]
    jwt_keys_interval: Period = none "500ms for a file, 5m for a URL" [MILLISECOND..=DAY],
        "A token with an unknown key reloads it at once, at most every 10 s";

    /// Require this value of the claim iss of JSON web tokens
    #[arg(env = "CONFWATCH_JWT_ISSUER", value_name = "ISSUER")]
    jwt_issuer: String;

    /// Require one of these values in the claim aud of JSON web tokens
    #[arg(env = "CONFWATCH_JWT_AUDIENCE", value_name = "NAME,...")]
    jwt_audience: String;

    /// Read the groups of the caller from these claims of JSON web tokens: names, or JSON pointers such as
    /// /realm_access/roles
    #[arg(env = "CONFWATCH_JWT_GROUPS_CLAIM", value_name = "CLAIM,...")]
    jwt_groups_claim: String;

    /// Prefix the names of users and groups of JSON web tokens, with a # as separator: user:PREFIX#NAME,
    /// group:PREFIX#NAME
    #[arg(env = "CONFWATCH_JWT_PREFIX", value_name = "PREFIX")]
    jwt_prefix: String = none "the issuer";

    /// Refuse JSON web tokens with a longer lifetime
    #[arg(env = "CONFWATCH_JWT_LIFETIME_MAX", value_name = "DURATION")]
    jwt_lifetime_max: Period = "24h" [SECOND..=CENTURY],
        "The lifetime is from `iat` (without one, from now) to `exp`";

    /// Let pages of these origins call the API from browsers, such as https://app.example, with a credential of their own
    #[arg(env = "CONFWATCH_CORS_ORIGIN", value_name = "ORIGIN,...")]
    cors_origin: Origins => Vec<String>, "None by default. For `/v1/` and `/openapi.json`; cookies are never accepted from other origins";

    /// Let people log in by this issuer of OpenID Connect: the URL that its metadata name. Its JSON web tokens are accepted, too
    #[arg(env = "CONFWATCH_OIDC_ISSUER", value_name = "URL")]
    oidc_issuer: String = none "people log in with API tokens",
        "--jwt-issuer and --jwt-keys then need not be set; the other settings of JSON web tokens hold. See \
         [sessions](security.md#sessions)";

    /// Log people in as this client of --oidc-issuer
    #[arg(env = "CONFWATCH_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: String;

    /// Read the secret of --oidc-client-id from this file; CONFWATCH_OIDC_CLIENT_SECRET has the secret itself
    #[arg(env = "CONFWATCH_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    oidc_client_secret_file: PathBuf = none "a client without a secret";

    /// Let the command line log in as this client of --oidc-issuer, which has no secret and may redirect to http://127.0.0.1 on
    /// any port
    #[arg(env = "CONFWATCH_OIDC_CLI_CLIENT_ID", value_name = "ID")]
    oidc_cli_client_id: String = none "--oidc-client-id, if it has no secret",
        "JSON web tokens for this audience are accepted";

    /// Request these scopes at logins, separated by spaces
    #[arg(env = "CONFWATCH_OIDC_SCOPES", value_name = "SCOPES")]
    oidc_scopes: String = "openid profile", "Some issuers have a scope for the claim of groups";

    /// Reach this server by this URL in browsers, such as https://config.example
    #[arg(env = "CONFWATCH_PUBLIC_URL", value_name = "URL")]
    public_url: String = none "the host of each request",
        "The issuer redirects to `/login/oidc/callback` there";

    /// End the session of a person who has logged in after this time without a call
    #[arg(env = "CONFWATCH_SESSION_IDLE", value_name = "DURATION")]
    session_idle: Period => Duration = "12h" [SECOND..=CENTURY], "See [sessions](security.md#sessions)";

    /// End the session of a person after this time, however often it is used
    #[arg(env = "CONFWATCH_SESSION_LIFETIME", value_name = "DURATION")]
    session_lifetime: Period => Duration = "24h" [SECOND..=CENTURY];

    /// Sync each commit to disk before it is acknowledged
    #[arg(env = "CONFWATCH_FSYNC")]
    fsync: Fsync => Fsync = "always",
        "`never`: an acknowledged commit survives the end of the process, but perhaps not a power cut";

    /// Cache so many bytes of the files of the store
    #[arg(env = "CONFWATCH_STORE_CACHE_BYTES", value_name = "BYTES")]
    store_cache_bytes: u64 => u64 = 8388608 [64 * KIB..=TIB];

    /// Cache so many bytes of resolved documents
    #[arg(env = "CONFWATCH_DOCUMENT_CACHE_BYTES", value_name = "BYTES")]
    document_cache_bytes: u64 => u64 = 67108864 [0..=TIB];

    /// Retain the history of so many revisions
    #[arg(env = "CONFWATCH_RETAIN_REVISIONS", value_name = "COUNT")]
    retain_revisions: u64 => Option<u64> = none "all" [1..=u64::MAX];

    /// Retain history for this time, such as 90d. With --retain-revisions, a commit is retained if either
    /// setting retains it
    #[arg(env = "CONFWATCH_RETAIN_FOR", value_name = "DURATION")]
    retain_for: Period => Option<Duration> = none "no limit" [MILLISECOND..=CENTURY],
        "See [history](#history)";

    /// Compact nothing by the config confwatch/retention for this time after the config has changed, so that a mistake can be taken back
    #[arg(env = "CONFWATCH_RETENTION_GRACE", value_name = "DURATION")]
    retention_grace: Period => Duration = "1h" [MILLISECOND..=CENTURY],
        "See [history](#history)";

    /// While others wait for its place, end a backup whose client takes less than 256 KiB in this time, and an upload that receives
    /// less
    #[arg(env = "CONFWATCH_TRANSFER_TIMEOUT", value_name = "DURATION")]
    transfer_timeout: Period => Duration = "5s" [MILLISECOND..=DAY],
        "See [backup](#backup)";

    /// Wait so long for open calls to end when the server stops
    #[arg(env = "CONFWATCH_DRAIN_TIMEOUT", value_name = "DURATION")]
    drain_timeout: Period => Duration = "6s" [MILLISECOND..=DAY];

    /// Send a keepalive ping on an idle connection at this interval
    #[arg(env = "CONFWATCH_KEEPALIVE_INTERVAL", value_name = "DURATION")]
    keepalive_interval: Period => Duration = "20s" [MILLISECOND..=DAY];

    /// Close a connection if a keepalive ping is not answered within this time
    #[arg(env = "CONFWATCH_KEEPALIVE_TIMEOUT", value_name = "DURATION")]
    keepalive_timeout: Period => Duration = "10s" [MILLISECOND..=DAY];

    /// Close a connection whose TLS handshake takes longer, or whose HTTP/2 preface does after that
    #[arg(env = "CONFWATCH_HANDSHAKE_TIMEOUT", value_name = "DURATION")]
    handshake_timeout: Period => Duration = "5s" [MILLISECOND..=DAY],
        "The same timeout holds for the PROXY header of a trusted proxy";

    /// Trust these proxies, and require the PROXY protocol (version 2) from them: it has the address of the
    /// client
    #[arg(env = "CONFWATCH_PROXY_PROTOCOL_FROM", value_name = "ADDRESS|CIDR,...")]
    proxy_protocol_from: Networks => Vec<IpNet>,
        "Limits, logs, history and the audit log then have the address of the client. The header is not \
         accepted from other addresses";

    /// Limit the number of connections
    #[arg(env = "CONFWATCH_CONNECTIONS_MAX", value_name = "COUNT")]
    connections_max: NonZeroUsize => usize = 16000 [1..=COUNT_MAX], "More are closed at once";

    /// Limit the number of connections from one address (for IPv6: from one /64 network)
    #[arg(env = "CONFWATCH_CONNECTIONS_PER_ADDRESS_MAX", value_name = "COUNT")]
    connections_per_address_max: NonZeroUsize => usize = 8000 [1..=COUNT_MAX],
        "Half of all, so that no address takes all. Behind a load balancer without the PROXY protocol, \
         every client has the address of the load balancer: set it to `--connections-max` there";

    /// Close connections without a call after this idle time, at the latest after twice as long
    #[arg(env = "CONFWATCH_CONNECTION_IDLE_MAX", value_name = "DURATION")]
    connection_idle_max: Period => Option<Duration> = "10m" [MILLISECOND..=CENTURY];

    /// Fail a request that does not arrive completely within this time after its headers
    #[arg(env = "CONFWATCH_REQUEST_TIMEOUT", value_name = "DURATION")]
    request_timeout: Period => Duration = "15s" [MILLISECOND..=DAY],
        "The status is DEADLINE_EXCEEDED, reason REQUEST_TOO_SLOW";

    /// Limit the number of incomplete requests
    #[arg(env = "CONFWATCH_REQUESTS_UNFINISHED_MAX", value_name = "COUNT")]
    requests_unfinished_max: NonZeroUsize => usize = 20000 [1..=COUNT_MAX],
        "More are refused with RESOURCE_EXHAUSTED and RetryInfo";

    /// Limit the bytes of incomplete requests, with a quarter of it for one connection
    #[arg(env = "CONFWATCH_REQUESTS_UNFINISHED_BYTES_MAX", value_name = "BYTES")]
    requests_unfinished_bytes_max: u64 => u64 = 67108864 [64 * KIB..=TIB],
        "Each connection always may have 8 requests and 16 KiB";

    /// Limit the bytes of complete requests that are being processed, with a quarter of it for one connection
    /// and half of it for one address; as much may wait
    #[arg(env = "CONFWATCH_REQUESTS_IN_PROGRESS_BYTES_MAX", value_name = "BYTES")]
    requests_in_progress_bytes_max: u64 => u64 = 16777216,
        "Each connection always may have 16 KiB. Requests wait for up to `--request-timeout`; more are \
         refused with RESOURCE_EXHAUSTED and RetryInfo";

    /// End a response of which the client reads nothing for this time
    #[arg(env = "CONFWATCH_RESPONSE_TIMEOUT", value_name = "DURATION")]
    response_timeout: Period => Duration = "30s" [MILLISECOND..=DAY],
        "Less than 4 KiB counts as nothing, and of a backup less than 256 KiB: see [limits](#limits)";

    /// Limit the bytes of responses that clients have not read, with a quarter of it for one connection and
    /// half of it for one address
    #[arg(env = "CONFWATCH_RESPONSES_UNREAD_BYTES_MAX", value_name = "BYTES")]
    responses_unread_bytes_max: u64 => u64 = 134217728 [64 * KIB..=TIB],
        "Each connection always may have 16 KiB";

    /// Close connections at this age, give or take a tenth: their streams end with UNAVAILABLE and RetryInfo
    #[arg(env = "CONFWATCH_CONNECTION_AGE_MAX", value_name = "DURATION")]
    connection_age_max: Period => Option<Duration> = none "never" [MILLISECOND..=CENTURY];

    /// Limit the metadata of a call, in bytes as HTTP/2 counts them
    #[arg(env = "CONFWATCH_HEADER_BYTES_MAX", value_name = "BYTES")]
    header_bytes_max: NonZeroU32 => u32 = 16384 [KIB..=MIB];

    /// Limit the concurrent calls and streams of one connection
    #[arg(env = "CONFWATCH_STREAMS_PER_CONNECTION_MAX", value_name = "COUNT")]
    streams_per_connection_max: NonZeroUsize => Option<usize> = none "1000 more than two for each watcher" [1..=STREAMS_MAX];

    // For thousands of services behind one address that all start at once, each with some calls: more than they need later, and a fraction of
    // what a server can do.
    /// Limit the calls of one address: calls per second, and burst; 0: no limit
    #[arg(env = "CONFWATCH_CALLS_PER_ADDRESS", value_name = "RATE[:BURST]")]
    calls_per_address: RateValue = "50000:200000", "See [limits](#limits)";

    /// Limit the calls of one actor: calls per second, and burst; 0: no limit
    #[arg(env = "CONFWATCH_CALLS_PER_ACTOR", value_name = "RATE[:BURST]")]
    calls_per_actor: RateValue = "25000:100000";

    // For a fleet of hundreds that is rolled out with a wrong token.
    /// Limit the refused credentials of one address: refusals per second, and burst. Beyond it, unknown
    /// credentials are refused unchecked; 0: no limit
    #[arg(env = "CONFWATCH_REFUSALS_PER_ADDRESS", value_name = "RATE[:BURST]")]
    refusals_per_address: RateValue = "10:500";

    // For a thousand services with one token that all start at once, with some documents each.
    /// Limit how many documents with secrets are shown to one actor, per second and at once; 0: no limit
    #[arg(env = "CONFWATCH_REVEALS_PER_ACTOR", value_name = "RATE[:BURST]")]
    reveals_per_actor: RateValue = "10:20000";

    /// Log at this level (off, error, warn, info, debug, trace), or by directives such as
    /// info,confwatch::engine=debug
    #[arg(env = "CONFWATCH_LOG", value_name = "FILTER")]
    log: String => String = "info";

    /// Write log lines in this format
    #[arg(env = "CONFWATCH_LOG_FORMAT")]
    log_format: LogFormat => Option<LogFormat> = none "text on a terminal, else json",
        "Logs go to standard error";

    /// Export traces to the collector at this URL, by OTLP over gRPC, such as http://127.0.0.1:4317
    #[arg(env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: String => Option<String> = none "no traces", "See [traces](#traces)";

    /// Set the sampling ratio of calls without a traceparent, from 0 to 1
    #[arg(env = "CONFWATCH_OTLP_SAMPLED", value_name = "RATIO", value_parser = super::values::ratio)]
    otlp_sampled: f64 => f64 = 1.0 [0.0..=1.0];

    /// Set limits by name: layer_bytes_max, document_bytes_max, layers_max, tags_max, changes_max,
    /// commit_bytes_max, request_bytes_max, request_ids_max, targets_max, watchers_max, watchers_of_actor_max,
    /// watched_configs_max, watched_configs_of_actor_max, page_size_max
    #[arg(env = "CONFWATCH_LIMITS", value_name = "NAME=VALUE,...")]
    limits: LimitValues, "In the file, a table `[limits]`; the defaults are in [limits](#limits)";

    /// Set the quotas of each namespace that the config confwatch/quotas does not override: configs, bytes of
    /// their layers, watchers, journal_bytes of history, journal_bytes_per_minute; 0: no limit
    #[arg(env = "CONFWATCH_QUOTAS", value_name = "NAME=VALUE,...")]
    quotas: QuotaValues = none "configs=100000,bytes=1073741824,watchers=1000000,journal_bytes=0,journal_bytes_per_minute=67108864",
        "In the file, a table `[quotas]`";

    /// Seal secrets under the master key in this file, in hex or base64; CONFWATCH_MASTER_KEY has the key
    /// itself
    #[arg(env = "CONFWATCH_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: PathBuf = none "master.key in the keys directory, created with the first secret",
        "See [secrets](#secrets)";

    /// Seal secrets under a master key that is derived from the passphrase in this file
    #[arg(env = "CONFWATCH_MASTER_KEY_PASSPHRASE_FILE", value_name = "FILE")]
    master_key_passphrase_file: PathBuf;

    /// Set the retention of the audit log (denied and refused calls, reveals of secrets), in days
    #[arg(env = "CONFWATCH_AUDIT_RETENTION_DAYS", value_name = "DAYS")]
    audit_retention_days: NonZeroU32 = 365 [1..=36_500], "See [the audit log](security.md#audit)";

    /// Limit the size of the audit log in bytes; the oldest records are removed first
    #[arg(env = "CONFWATCH_AUDIT_BYTES_MAX", value_name = "BYTES")]
    audit_bytes_max: NonZeroU64 = 1073741824 [MIB..=u64::MAX],
        "Each part of the log has a share of it";

    /// Append every change and every record of the audit log to this file, one JSON object per line
    #[arg(env = "CONFWATCH_AUDIT_FILE", value_name = "FILE")]
    audit_file: PathBuf => Option<PathBuf> = none "no file";

    /// Keep backups in this directory, which is made if it does not exist, or in a bucket: s3://BUCKET/PREFIX
    #[arg(env = "CONFWATCH_BACKUP_DIR", value_name = "DIR|URL")]
    backup_dir: PathBuf => Option<PathBuf> = none "no directory", "See [backup](#backup)";

    /// Keep a backup of the state of a namespace in --backup-dir before a restore, a migration, and a write to more layers of the
    /// namespace than --backup-apply-layers
    #[arg(env = "CONFWATCH_BACKUP_BEFORE_CHANGES", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    backup_before_changes: bool => bool = true, "A write can do without: `--without-backup`";

    /// Keep such a backup before a write to more layers of a namespace than this
    #[arg(env = "CONFWATCH_BACKUP_APPLY_LAYERS", value_name = "N")]
    backup_apply_layers: NonZeroUsize => usize = 100 [1..=COUNT_MAX];
}
