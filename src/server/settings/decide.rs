//! Decides every setting from the command line, the environment, the configuration file and the defaults, in this order of precedence.
//! Knows no server.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};

impl ServeArgs {
    /// Decides every value. Reads the file, if one is named.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => ServeArgs::default(),
        };
        let mut limits = file.limits.unwrap_or_default();
        limits.extend(self.limits.unwrap_or_default());
        let default = Settings::default();
        let duration = |flag: Option<Period>, file: Option<Period>, default: Duration| {
            flag.or(file).map_or(default, |period| period.0)
        };
        let count = |flag: Option<NonZeroUsize>, file: Option<NonZeroUsize>, default: usize| {
            flag.or(file).map_or(default, NonZeroUsize::get)
        };
        let tls = tls::TlsValues {
            certificate: self.tls_cert.or(file.tls_cert),
            key: self.tls_key.or(file.tls_key),
            client_ca: self.tls_client_ca.or(file.tls_client_ca),
            client_auth: self.tls_client_auth.or(file.tls_client_auth),
        };
        let jwt = auth::JwtValues {
            keys: self.jwt_keys.or(file.jwt_keys),
            keys_interval: self.jwt_keys_interval.or(file.jwt_keys_interval).map(|period| period.0),
            issuer: self.jwt_issuer.or(file.jwt_issuer),
            audience: self.jwt_audience.or(file.jwt_audience),
            groups_claim: self.jwt_groups_claim.or(file.jwt_groups_claim),
            prefix: self.jwt_prefix.or(file.jwt_prefix),
            lifetime_max: self.jwt_lifetime_max.or(file.jwt_lifetime_max).map(|period| period.0),
        };
        let settings = Settings {
            data_dir: self.data_dir.or(file.data_dir).unwrap_or(default.data_dir),
            keys_dir: self.keys_dir.or(file.keys_dir),
            listen: self.listen.or(file.listen).unwrap_or(default.listen),
            metrics_listen: self.metrics_listen.or(file.metrics_listen),
            tls: tls.files().map_err(SettingsError::Tls)?,
            tls_reload_interval: duration(
                self.tls_reload_interval,
                file.tls_reload_interval,
                default.tls_reload_interval,
            ),
            insecure: self.insecure.or(file.insecure).unwrap_or(default.insecure),
            auth: self.auth.or(file.auth).or(default.auth),
            jwt: jwt.issuer().map_err(SettingsError::Jwt)?,
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
            retain_for: self.retain_for.or(file.retain_for).map(|period| period.0),
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
            proxy_protocol_from: self
                .proxy_protocol_from
                .or(file.proxy_protocol_from)
                .map_or(default.proxy_protocol_from, |networks| networks.0),
            handshake_timeout: duration(
                self.handshake_timeout,
                file.handshake_timeout,
                default.handshake_timeout,
            ),
            connections_max: count(self.connections_max, file.connections_max, default.connections_max),
            connections_per_address_max: count(
                self.connections_per_address_max,
                file.connections_per_address_max,
                default.connections_per_address_max,
            ),
            connection_idle_max: self
                .connection_idle_max
                .or(file.connection_idle_max)
                .map(|period| period.0)
                .or(default.connection_idle_max),
            request_timeout: duration(self.request_timeout, file.request_timeout, default.request_timeout),
            requests_unfinished_max: count(
                self.requests_unfinished_max,
                file.requests_unfinished_max,
                default.requests_unfinished_max,
            ),
            requests_unfinished_bytes_max: self
                .requests_unfinished_bytes_max
                .or(file.requests_unfinished_bytes_max)
                .unwrap_or(default.requests_unfinished_bytes_max),
            requests_in_progress_bytes_max: self
                .requests_in_progress_bytes_max
                .or(file.requests_in_progress_bytes_max)
                .unwrap_or(default.requests_in_progress_bytes_max),
            response_timeout: duration(
                self.response_timeout,
                file.response_timeout,
                default.response_timeout,
            ),
            responses_unread_bytes_max: self
                .responses_unread_bytes_max
                .or(file.responses_unread_bytes_max)
                .unwrap_or(default.responses_unread_bytes_max),
            connection_age_max: self
                .connection_age_max
                .or(file.connection_age_max)
                .map(|period| period.0)
                .or(default.connection_age_max),
            header_bytes_max: self
                .header_bytes_max
                .or(file.header_bytes_max)
                .map_or(default.header_bytes_max, NonZeroU32::get),
            streams_per_connection_max: self
                .streams_per_connection_max
                .or(file.streams_per_connection_max)
                .map(NonZeroUsize::get),
            rates: RateLimits {
                calls_per_address: rate::decided(
                    self.calls_per_address.or(file.calls_per_address),
                    default.rates.calls_per_address,
                ),
                calls_per_actor: rate::decided(
                    self.calls_per_actor.or(file.calls_per_actor),
                    default.rates.calls_per_actor,
                ),
                refusals_per_address: rate::decided(
                    self.refusals_per_address.or(file.refusals_per_address),
                    default.rates.refusals_per_address,
                ),
                reveals_per_actor: rate::decided(
                    self.reveals_per_actor.or(file.reveals_per_actor),
                    default.rates.reveals_per_actor,
                ),
            },
            log: self.log.or(file.log).unwrap_or(default.log),
            log_format: self.log_format.or(file.log_format),
            otlp_endpoint: self.otlp_endpoint.or(file.otlp_endpoint),
            otlp_sampled: self.otlp_sampled.or(file.otlp_sampled).unwrap_or(default.otlp_sampled),
            limits: limits.limits().map_err(SettingsError::Limits)?,
            quotas: quota::decided([file.quotas, self.quotas], default.quotas)
                .map_err(SettingsError::Quotas)?,
            master_key: master_key::source(
                self.master_key_file.or(file.master_key_file),
                self.master_key_passphrase_file.or(file.master_key_passphrase_file),
                std::env::var(master_key::VARIABLE).ok().filter(|text| !text.is_empty()),
            )?,
            audit_retention: Retention {
                age_max: self
                    .audit_retention_days
                    .or(file.audit_retention_days)
                    .map_or(default.audit_retention.age_max, |days| DAY * days.get()),
                bytes_max: self
                    .audit_bytes_max
                    .or(file.audit_bytes_max)
                    .map_or(default.audit_retention.bytes_max, NonZeroU64::get),
            },
            audit_file: self.audit_file.or(file.audit_file),
        };
        ranges::check(&settings).map_err(SettingsError::Range)?;
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<ServeArgs, SettingsError> {
    let shown = || path.display().to_string();
    let text = bounded_file::read_text(path, SMALL_FILE_BYTES_MAX)
        .map_err(|source| SettingsError::Unreadable { path: shown(), source })?;
    let wrong = |error: String| SettingsError::File { path: shown(), error };
    let args: ServeArgs =
        toml::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| wrong(error.to_string()))?;
    if let Some(limits) = &args.limits {
        limits.limits().map_err(|error| wrong(format!("limits: {error}")))?;
    }
    Ok(args)
}
