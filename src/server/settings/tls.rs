//! The settings of TLS: files, and whether clients need a certificate. Knows no content of files.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;

/// The files, each in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate of the server, and those between it and its CA.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `None`: clients are asked for no certificate.
    pub client_ca: Option<ClientCa>,
}

/// Whose certificates clients are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    pub file: PathBuf,
    pub auth: ClientAuth,
}

/// What happens to clients without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// A client without a certificate is refused
    Required,
    /// A client without a certificate is served; a certificate that is shown must be from the CA all the same
    Optional,
}

/// The values of TLS that a source gives, without defaults.
pub(super) struct TlsValues {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
    pub client_auth: Option<ClientAuth>,
}

impl TlsValues {
    /// `None`: plain text. An error names the flag that is missing.
    pub(super) fn files(self, client_auth: ClientAuth) -> Result<Option<TlsFiles>, String> {
        let needs = |what: &str, needed: &str| Err(format!("{what} needs {needed}"));
        let client_ca = match (self.client_ca, self.client_auth) {
            (Some(file), auth) => Some(ClientCa { file, auth: auth.unwrap_or(client_auth) }),
            (None, Some(_)) => return needs("--tls-client-auth", "--tls-client-ca"),
            (None, None) => None,
        };
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, client_ca })),
            (Some(_), None) => needs("--tls-cert", "--tls-key"),
            (None, Some(_)) => needs("--tls-key", "--tls-cert"),
            (None, None) if client_ca.is_some() => needs("--tls-client-ca", "--tls-cert and --tls-key"),
            (None, None) => Ok(None),
        }
    }
}
