//! The flags for TLS of a command. Knows the client's options; no connection.

use std::path::PathBuf;

use clap::Args;

use crate::client::TlsOptions;

#[derive(Args, Debug)]
pub struct TlsArgs {
    /// Trust the CAs in this PEM file instead of those of the system
    #[arg(long, global = true, env = "CONFWATCH_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Present the client certificate in this PEM file [env: CONFWATCH_TLS_CLIENT_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert, in PEM [env: CONFWATCH_TLS_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Require this name in the certificate of the server, instead of the host of --server
    #[arg(long, global = true, env = "CONFWATCH_TLS_SERVER_NAME", value_name = "NAME")]
    tls_server_name: Option<String>,
}

impl TlsArgs {
    pub fn options(self) -> TlsOptions {
        // Of `serve`, the flags of the same names are something else, and have variables of their own. clap would take one for the
        // other, as it hands what is common to all commands down to each.
        let variable = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        TlsOptions {
            ca: self.tls_ca,
            certificate: self.tls_cert.or_else(|| variable("CONFWATCH_TLS_CLIENT_CERT")),
            key: self.tls_key.or_else(|| variable("CONFWATCH_TLS_CLIENT_KEY")),
            server_name: self.tls_server_name,
        }
    }
}
