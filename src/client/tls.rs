//! TLS of a client: whom it trusts, what it shows, and what it means when that fails. Knows nothing of HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};

const HTTP2: &[u8] = b"h2";

/// How TLS is done. The files are PEM, and are read again for each connection: a certificate that was renewed is the one that is
/// shown next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificates of the CAs that are trusted. `None`: those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show to a server that asks for one, followed by those between it and its CA. With `key`.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The name that the certificate of the server must have. `None`: the host of the address.
    pub server_name: Option<String>,
}

/// Why there is no connection with TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    #[error("the certificate of the server is from a CA that is not trusted here")]
    UnknownCa,
    #[error("the certificate of the server is for another name: {0}")]
    WrongName(String),
    #[error("the certificate of the server does not hold: {0}")]
    InvalidCertificate(String),
    #[error("the server demands a certificate of its clients")]
    CertificateRequired,
    #[error("the server does not accept the certificate of this client: {0}")]
    CertificateRefused(String),
    #[error("the server does not speak TLS, but perhaps plain text")]
    NotSpoken,
    #[error("the server speaks TLS, and not plain text")]
    Expected,
    #[error("no connection with TLS: {0}")]
    Other(String),
    /// The options cannot be used.
    #[error("{0}")]
    Options(String),
}

impl TlsFailure {
    /// For programs, like the reasons of the contract.
    pub fn reason(&self) -> &'static str {
        match self {
            TlsFailure::UnknownCa => "TLS_UNKNOWN_CA",
            TlsFailure::WrongName(_) => "TLS_WRONG_NAME",
            TlsFailure::InvalidCertificate(_) => "TLS_INVALID_CERTIFICATE",
            TlsFailure::CertificateRequired => "TLS_CERTIFICATE_REQUIRED",
            TlsFailure::CertificateRefused(_) => "TLS_CERTIFICATE_REFUSED",
            TlsFailure::NotSpoken => "TLS_NOT_SPOKEN",
            TlsFailure::Expected => "TLS_EXPECTED",
            TlsFailure::Other(_) => "TLS_FAILED",
            TlsFailure::Options(_) => "TLS_OPTIONS",
        }
    }

    /// What an error of a stream means, if it is one of TLS.
    pub(super) fn of_stream(error: &std::io::Error) -> Option<TlsFailure> {
        error.get_ref()?.downcast_ref().map(TlsFailure::of)
    }

    fn of(error: &rustls::Error) -> TlsFailure {
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                // The other one is of a CA that has the name of one that is trusted, and another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownCa,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    TlsFailure::WrongName(error.to_string())
                }
                error => TlsFailure::InvalidCertificate(error.to_string()),
            },
            rustls::Error::InvalidMessage(_) => TlsFailure::NotSpoken,
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => TlsFailure::CertificateRequired,
                AlertDescription::UnknownCA => TlsFailure::CertificateRefused("its CA is not trusted".into()),
                AlertDescription::CertificateExpired => {
                    TlsFailure::CertificateRefused("it has expired".into())
                }
                AlertDescription::CertificateRevoked => {
                    TlsFailure::CertificateRefused("it was revoked".into())
                }
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError => TlsFailure::CertificateRefused(error.to_string()),
                _ => TlsFailure::Other(error.to_string()),
            },
            error => TlsFailure::Other(error.to_string()),
        }
    }
}

impl TlsOptions {
    /// Nothing was said of TLS.
    pub(super) fn is_default(&self) -> bool {
        *self == TlsOptions::default()
    }

    /// Reads the files, which takes a while: some machines trust hundreds of CAs.
    pub(super) fn load(&self) -> Result<TlsConnector, TlsFailure> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsFailure::Options(error.to_string()))?
            .with_root_certificates(self.roots()?);
        let mut config = match (&self.certificate, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
                    TlsFailure::Options(format!("{} holds no private key in PEM: {error}", key.display()))
                })?;
                builder.with_client_auth_cert(chain, private).map_err(|error| {
                    let (certificate, key) = (certificate.display(), key.display());
                    TlsFailure::Options(format!(
                        "the certificate of {certificate} cannot be used with the key of {key}: {error}"
                    ))
                })?
            }
            (Some(_), None) | (None, Some(_)) => {
                let message = "a certificate to show and its private key are needed both, and one is missing";
                return Err(TlsFailure::Options(message.into()));
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// The name that the certificate must have.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, TlsFailure> {
        // An address of IPv6 has brackets within a URI.
        let name = self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
        let invalid = |_: InvalidDnsNameError| {
            TlsFailure::Options(format!("{name:?} is not a name that a certificate can have"))
        };
        ServerName::try_from(name.to_owned()).map_err(invalid)
    }

    fn roots(&self) -> Result<RootCertStore, TlsFailure> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| {
                        TlsFailure::Options(format!("{} is not that of a CA: {error}", path.display()))
                    })?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                let (usable, _) = roots.add_parsable_certificates(found.certs);
                if usable == 0 {
                    let message = "this machine trusts no CA: say which one is to be trusted";
                    return Err(TlsFailure::Options(message.into()));
                }
            }
        }
        Ok(roots)
    }
}

/// Does the handshake.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    connector: &TlsConnector,
    name: ServerName<'static>,
    socket: S,
) -> Result<TlsStream<S>, TlsFailure> {
    connector.connect(name, socket).await.map_err(|error| {
        TlsFailure::of_stream(&error).unwrap_or_else(|| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => TlsFailure::NotSpoken,
            _ => TlsFailure::Other(error.to_string()),
        })
    })
}

/// At least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    let none =
        |why: &str| TlsFailure::Options(format!("{} holds no certificate in PEM{why}", path.display()));
    let pem = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| none(&format!(": {error}")))?;
    if found.is_empty() { Err(none("")) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFailure> {
    bounded_file::read(path, SMALL_FILE_BYTES_MAX)
        .map_err(|error| TlsFailure::Options(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_an_address() {
        let name = |options: &TlsOptions, host: &str| options.name(host).unwrap().to_str().into_owned();
        let options = TlsOptions::default();
        assert_eq!(name(&options, "config.internal"), "config.internal");
        assert_eq!(name(&options, "127.0.0.1"), "127.0.0.1");
        assert_eq!(name(&options, "[::1]"), "::1");
        let named = TlsOptions { server_name: Some("config.internal".into()), ..TlsOptions::default() };
        assert_eq!(name(&named, "10.0.0.1"), "config.internal");
        assert!(options.name("a b").is_err());
    }

    #[test]
    fn options_that_cannot_be_used_are_refused_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let check = |options: TlsOptions, expected: &str| {
            let failure = options.load().err().expect("refused");
            assert!(failure.to_string().contains(expected), "{failure}");
            assert_eq!(failure.reason(), "TLS_OPTIONS");
        };
        let with_ca = |path: &str| TlsOptions { ca: Some(path.into()), ..TlsOptions::default() };
        check(with_ca("/nowhere/ca.pem"), "cannot read /nowhere/ca.pem: ");
        check(with_ca(empty.to_str().unwrap()), "empty.pem holds no certificate in PEM");
    }
}
