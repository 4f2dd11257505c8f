//! The settings of access: whether callers are checked, and whose JSON web tokens are good. Knows nothing of how they are checked.

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use super::oidc::OidcClient;
use crate::auth::ISSUER_SEPARATOR;
use crate::auth::oidc::METADATA_PATH;

/// Whether callers must say who they are, and are allowed no more than the policy allows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Callers need a credential, and may do what the policy says
    On,
    /// Everybody is believed and may do everything: on loopback addresses only
    Off,
}

/// The issuer of JSON web tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIssuer {
    /// A file, or a URL.
    pub keys: String,
    /// How often to look for other keys. `None`: as often as is usual for such a place.
    pub keys_interval: Option<Duration>,
    pub issuer: String,
    pub audiences: Vec<String>,
    /// Names of claims, or JSON pointers.
    pub groups_claims: Vec<String>,
    /// What goes before the names of users and groups that the issuer gives, with the `#` at its end.
    pub prefix: String,
    /// The longest time for which a token may hold.
    pub lifetime_max: Duration,
}

/// The values of an issuer that a source gives, without defaults.
pub(super) struct JwtValues {
    pub keys: Option<String>,
    pub keys_interval: Option<Duration>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub groups_claim: Option<String>,
    pub prefix: Option<String>,
    pub lifetime_max: Option<Duration>,
}

impl JwtValues {
    /// `None`: JSON web tokens are refused. An error names the flag that is missing.
    /// With logins by an issuer, its tokens are accepted, too.
    pub(super) fn issuer(
        mut self,
        lifetime_max: Duration,
        oidc: Option<&OidcClient>,
    ) -> Result<Option<JwtIssuer>, String> {
        let list =
            |text: String| -> Vec<String> { text.split(',').map(|part| part.trim().to_owned()).collect() };
        if let Some(client) = oidc {
            match &self.issuer {
                Some(issuer) if *issuer != client.issuer => {
                    return Err(format!("--jwt-issuer {issuer:?} is not --oidc-issuer {:?}", client.issuer));
                }
                Some(_) | None => {}
            }
            let metadata = || format!("{}{METADATA_PATH}", client.issuer.trim_end_matches('/'));
            self.keys.get_or_insert_with(metadata);
            self.issuer.get_or_insert_with(|| client.issuer.clone());
            let audiences: Vec<String> = self.audience.take().map(list).unwrap_or_default();
            let audiences = audiences.into_iter().chain(client.cli_client_id.clone());
            self.audience = Some(audiences.collect::<Vec<_>>().join(","));
        }
        match (self.keys, self.issuer, self.audience) {
            (None, None, None)
                if self.groups_claim.is_none()
                    && self.keys_interval.is_none()
                    && self.prefix.is_none()
                    && self.lifetime_max.is_none() =>
            {
                Ok(None)
            }
            (Some(keys), Some(issuer), Some(audience)) => Ok(Some(JwtIssuer {
                keys,
                keys_interval: self.keys_interval,
                prefix: prefix(self.prefix, &issuer)?,
                lifetime_max: self.lifetime_max.unwrap_or(lifetime_max),
                issuer,
                audiences: list(audience).into_iter().filter(|audience| !audience.is_empty()).collect(),
                groups_claims: self.groups_claim.map(list).unwrap_or_default(),
            })),
            _ => Err("--jwt-keys, --jwt-issuer and --jwt-audience go together".to_owned()),
        }
    }
}

/// The prefix of the names of an issuer: `corp` and `corp#` are the same, and without one it is the issuer itself, as in Kubernetes.
fn prefix(given: Option<String>, issuer: &str) -> Result<String, String> {
    let prefix = given.as_deref().unwrap_or(issuer);
    let name = prefix.strip_suffix(ISSUER_SEPARATOR).unwrap_or(prefix);
    let is_good = !name.is_empty() && name.trim() == name && !name.contains([ISSUER_SEPARATOR, '*']);
    match (is_good, given.is_some()) {
        (true, _) => Ok(format!("{name}{ISSUER_SEPARATOR}")),
        (false, true) => Err(format!(
            "--jwt-prefix {prefix:?} must be a name without * and #, such as corp: users are then user:corp#NAME"
        )),
        (false, false) => {
            Err(format!("--jwt-issuer {issuer:?} needs a --jwt-prefix, such as corp, since it has * or #"))
        }
    }
}
