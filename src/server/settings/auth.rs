//! The settings of access: whether callers are checked, and whose JSON web tokens are good. Knows nothing of how they are checked.

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

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
}

/// What was said of an issuer, on the command line or elsewhere.
pub(super) struct Said {
    pub keys: Option<String>,
    pub keys_interval: Option<Duration>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub groups_claim: Option<String>,
}

impl Said {
    /// `None`: no JSON web token is good. An error names the flag that is missing.
    pub(super) fn issuer(self) -> Result<Option<JwtIssuer>, String> {
        let list = |text: String| text.split(',').map(|part| part.trim().to_owned()).collect();
        match (self.keys, self.issuer, self.audience) {
            (None, None, None) if self.groups_claim.is_none() && self.keys_interval.is_none() => Ok(None),
            (Some(keys), Some(issuer), Some(audience)) => Ok(Some(JwtIssuer {
                keys,
                keys_interval: self.keys_interval,
                issuer,
                audiences: list(audience),
                groups_claims: self.groups_claim.map(list).unwrap_or_default(),
            })),
            _ => Err("--jwt-keys, --jwt-issuer and --jwt-audience go together".to_owned()),
        }
    }
}
