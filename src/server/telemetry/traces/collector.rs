//! Connects to a collector of traces, with TLS or without. Knows no span.

use std::io;
use std::sync::Arc;

use anyhow::{Context, ensure};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

const PORT_OF_HTTPS: u16 = 443;

/// Connects when there is something to send, and again when it broke.
pub(super) fn channel(url: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint.connect_lazy()),
        Some("https") => {
            let connector = connector(system_roots()?)?;
            let connect = move |uri: Uri| {
                let connector = connector.clone();
                async move { connect(&connector, &uri).await.map(TokioIo::new) }
            };
            Ok(endpoint.connect_with_connector_lazy(service_fn(connect)))
        }
        Some(_) | None => anyhow::bail!("a URL that begins with http:// or https:// is expected"),
    }
}

/// Whom the system trusts.
fn system_roots() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ensure!(!roots.is_empty(), "the system trusts no CA");
    Ok(roots)
}

fn connector(roots: RootCertStore) -> anyhow::Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be spoken")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(connector: &TlsConnector, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
    // An address of IPv6 stands in brackets, and is none with them.
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let socket = TcpStream::connect((host, uri.port_u16().unwrap_or(PORT_OF_HTTPS))).await?;
    connector.connect(name, socket).await
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_collector_with_tls_is_trusted_if_its_ca_is_and_speaks_http_2() {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS is spoken")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let uri: Uri = url.parse().expect("a URL");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        for (roots, trusted) in [(roots, true), (RootCertStore::empty(), false)] {
            let connector = connector(roots).expect("a connector");
            let accept = async { acceptor.accept(listener.accept().await.expect("a connection").0).await };
            let (connected, _) = tokio::join!(connect(&connector, &uri), accept);
            let protocol =
                connected.ok().and_then(|stream| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec));
            assert_eq!(protocol, trusted.then(|| b"h2".to_vec()));
        }
    }

    #[tokio::test]
    async fn what_is_no_url_of_http_is_refused() {
        for url in ["not a url", "ftp://127.0.0.1:4317", "127.0.0.1:4317", ""] {
            assert!(channel(url).is_err(), "{url}");
        }
        assert!(channel("http://127.0.0.1:4317").is_ok() && channel("http://[::1]:4317/").is_ok());
    }
}
