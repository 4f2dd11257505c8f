//! The settings of a server: flags over environment over a TOML file over defaults. Knows nothing of how a server uses them.

mod auth;
mod decide;
mod declaration;
mod declared;
mod master_key;
mod oidc;
mod quota;
mod rate;
mod table;
mod tls;
mod values;

pub use auth::{AuthMode, JwtIssuer};
pub use declared::{ServeArgs, Settings};
pub use oidc::OidcClient;
pub use table::table;
pub use tls::{ClientAuth, ClientCa, TlsFiles};
pub use values::{ConsoleMode, Fsync, LimitValues, LogFormat, Networks, Origins, Period};

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
    #[error("{0}")]
    Oidc(String),
    #[error("{0} and {1} both set a master key, one expected")]
    MasterKeys(&'static str, &'static str),
}

/// A setting cannot be used as things are: the file that it names cannot be read, say, or it needs another setting. The text has the causes.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct Unusable(anyhow::Error);

impl Unusable {
    /// Marks an error as one of a setting.
    pub fn mark(error: impl Into<anyhow::Error>) -> anyhow::Error {
        Unusable(error.into()).into()
    }
}

#[cfg(test)]
mod tests;
