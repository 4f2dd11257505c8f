//! Decides every setting from the command line, the environment, the configuration file and the defaults, in this order of precedence.
//! Knows no server.

use std::path::Path;
use std::time::Duration;

use super::auth::JwtValues;
use super::declared::{Composed, ServeArgs, Settings};
use super::oidc::OidcValues;
use super::tls::TlsValues;
use super::{SettingsError, master_key, oidc, quota};
use crate::api::guard::rates::RateLimits;
use crate::audit::Retention;
use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};
use crate::model::quota::Quotas;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HAS_DEFAULT: &str = "the setting has a default";

/// Secrets of the environment: as flags, everyone on the machine would see them.
#[derive(Default)]
struct Secrets {
    master_key: Option<String>,
    oidc_client: Option<String>,
}

impl ServeArgs {
    /// Decides every value. Reads the file, if one is named.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        self.decide(Secrets {
            master_key: variable(master_key::VARIABLE),
            oidc_client: variable(oidc::VARIABLE),
        })
    }

    fn decide(self, secrets: Secrets) -> Result<Settings, SettingsError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => ServeArgs::default(),
        };
        // These are sets of values by name: each source sets some of them.
        let mut limits = file.limits.clone().unwrap_or_default();
        limits.extend(self.limits.clone().unwrap_or_default());
        let quotas = quota::decided([file.quotas.clone(), self.quotas.clone()], Quotas::default());
        let given = self.or(file);
        let values = given.clone().or(ServeArgs::defaults());
        values.check_ranges().map_err(SettingsError::Range)?;
        let tls = TlsValues {
            certificate: given.tls_cert,
            key: given.tls_key,
            client_ca: given.tls_client_ca,
            client_auth: given.tls_client_auth,
        };
        let client_secret = oidc::client_secret(given.oidc_client_secret_file, secrets.oidc_client)?;
        let oidc = OidcValues {
            issuer: given.oidc_issuer,
            client_id: given.oidc_client_id,
            client_secret,
            cli_client_id: given.oidc_cli_client_id,
            scopes: values.oidc_scopes.clone().expect(HAS_DEFAULT),
            public_url: given.public_url,
        };
        let oidc = oidc.client().map_err(SettingsError::Oidc)?;
        let jwt = JwtValues {
            keys: given.jwt_keys,
            keys_interval: given.jwt_keys_interval.map(Duration::from),
            issuer: given.jwt_issuer,
            audience: given.jwt_audience,
            groups_claim: given.jwt_groups_claim,
            prefix: given.jwt_prefix,
            lifetime_max: given.jwt_lifetime_max.map(Duration::from),
        };
        let composed = Composed {
            tls: tls.files(values.tls_client_auth.expect(HAS_DEFAULT)).map_err(SettingsError::Tls)?,
            jwt: jwt
                .issuer(values.jwt_lifetime_max.expect(HAS_DEFAULT).into(), oidc.as_ref())
                .map_err(SettingsError::Jwt)?,
            oidc,
            rates: RateLimits {
                calls_per_address: values.calls_per_address.expect(HAS_DEFAULT).0,
                calls_per_actor: values.calls_per_actor.expect(HAS_DEFAULT).0,
                refusals_per_address: values.refusals_per_address.expect(HAS_DEFAULT).0,
                reveals_per_actor: values.reveals_per_actor.expect(HAS_DEFAULT).0,
            },
            limits: limits.limits().map_err(SettingsError::Limits)?,
            quotas: quotas.map_err(SettingsError::Quotas)?,
            master_key: master_key::source(
                given.master_key_file,
                given.master_key_passphrase_file,
                secrets.master_key,
            )?,
            audit_retention: Retention {
                age_max: DAY * values.audit_retention_days.expect(HAS_DEFAULT).get(),
                bytes_max: values.audit_bytes_max.expect(HAS_DEFAULT).get(),
            },
        };
        Ok(values.into_settings(composed))
    }
}

impl Default for Settings {
    /// The defaults alone, without the environment.
    fn default() -> Settings {
        ServeArgs::default().decide(Secrets::default()).expect("the defaults are settings")
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
