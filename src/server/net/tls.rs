//! TLS: certificates from files, read again when they change, and the handshake. Knows no protocol above it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate;
use super::connections::ConnectionCounts;
use super::protocol::Protocol;
use crate::api::guard::peer::PeerCertificate;
use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};
use crate::model::Timestamp;
use crate::server::settings::{ClientAuth, TlsFiles};

/// What the server speaks above TLS, in the order that it prefers.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// A client that was refused may still be sending so much.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// TLS as it is now.
pub(in crate::server) struct Tls {
    files: TlsFiles,
    loaded: ArcSwap<Loaded>,
}

/// What was in the files.
struct Loaded {
    config: Arc<ServerConfig>,
    digest: [u8; 32],
    certificate: PeerCertificate,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::server) enum Failed {
    #[error("the client did not finish the handshake of TLS in time")]
    TimedOut,
    #[error("the handshake of TLS failed: {0}")]
    Refused(#[source] std::io::Error),
    /// It was verified nevertheless, but nobody could say whom it is of.
    #[error("of the client: {0}")]
    Certificate(#[from] certificate::Unreadable),
}

/// A connection with TLS, and the certificate that the client has shown.
pub(in crate::server) struct Secured {
    /// In a box, as it is large and is handed on.
    pub stream: Box<TlsStream<TcpStream>>,
    /// `None`: the client did not name a protocol.
    pub protocol: Option<Protocol>,
    pub certificate: Option<PeerCertificate>,
}

impl Tls {
    /// Reads the files. An error names the one that is wrong.
    pub(in crate::server) fn load(files: TlsFiles) -> anyhow::Result<Tls> {
        let loaded = Contents::read(&files)?.load(&files)?;
        loaded.tell("serving TLS");
        Ok(Tls { loaded: ArcSwap::from_pointee(loaded), files })
    }

    /// Does the handshake.
    pub(in crate::server) async fn accept(
        &self,
        socket: TcpStream,
        patience: Duration,
    ) -> Result<Secured, Failed> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded.load().config));
        let deadline = Instant::now() + patience;
        let stream = match timeout_at(deadline, acceptor.accept(socket).into_fallible()).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err((error, socket))) => {
                // It says the same to the client if it takes too long.
                let _ = timeout_at(deadline, hear_out(socket)).await;
                return Err(Failed::Refused(error));
            }
            Err(_) => return Err(Failed::TimedOut),
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(certificate::read).transpose()?;
        let protocol = stream.get_ref().1.alpn_protocol().map(|name| match name {
            HTTP1 => Protocol::Http1,
            _ => Protocol::Http2,
        });
        Ok(Secured { stream, protocol, certificate })
    }

    /// Looks again and again whether the files have changed. What they hold then is for new connections. As long as something is
    /// wrong with them, all stays as it was.
    pub(in crate::server) async fn follow(self: Arc<Tls>, interval: Duration, counts: &ConnectionCounts) {
        let mut said: Option<String> = None;
        loop {
            sleep(interval).await;
            let tls = Arc::clone(&self);
            let reloaded = spawn_blocking(move || tls.reload()).await;
            let error = match reloaded.context("reading the files of TLS failed").flatten() {
                Ok(changed) => {
                    counts.certificates_reloaded.fetch_add(changed.into(), Relaxed);
                    None
                }
                Err(error) => {
                    counts.certificate_reloads_failed.fetch_add(1, Relaxed);
                    Some(format!("{error:#}"))
                }
            };
            // Once, however often it is looked at.
            if let Some(error) = error.as_ref().filter(|error| said.as_ref() != Some(error)) {
                tracing::error!(
                    error,
                    "the files of TLS have changed and cannot be used, going on with the old ones"
                );
            }
            said = error;
        }
    }

    /// Whether there was anything new.
    fn reload(&self) -> anyhow::Result<bool> {
        let contents = Contents::read(&self.files)?;
        if contents.digest() == self.loaded.load().digest {
            return Ok(false);
        }
        let loaded = contents.load(&self.files)?;
        loaded.tell("the files of TLS have changed: new connections get the new ones");
        self.loaded.store(Arc::new(loaded));
        Ok(true)
    }
}

impl Loaded {
    fn tell(&self, what: &str) {
        let PeerCertificate { subject, names, not_after, .. } = &self.certificate;
        tracing::info!(subject, ?names, %not_after, "{what}");
        if *not_after < Timestamp::from_system(std::time::SystemTime::now()) {
            tracing::warn!(%not_after, "the certificate of the server has expired, and clients will refuse it");
        }
    }
}

/// Reads what a client has yet to say, so that it reads why it was refused: a connection that is closed before is reset.
async fn hear_out(mut socket: TcpStream) -> std::io::Result<()> {
    socket.shutdown().await?;
    let (mut buffer, mut heard) = ([0; 1024], 0);
    while heard < HEARD_BYTES_MAX {
        match socket.read(&mut buffer).await? {
            0 => break,
            count => heard += count,
        }
    }
    Ok(())
}

/// The bytes of the files.
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &TlsFiles) -> anyhow::Result<Contents> {
        let read = |path: &Path| {
            bounded_file::read(path, SMALL_FILE_BYTES_MAX)
                .with_context(|| format!("cannot read {}, a file of TLS", path.display()))
        };
        Ok(Contents {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: files.client_ca.as_ref().map(|ca| read(&ca.file)).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for bytes in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten()
        {
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
        }
        digest.finalize().into()
    }

    fn load(&self, files: &TlsFiles) -> anyhow::Result<Loaded> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let certificate =
            certificate::read(&chain[0]).with_context(|| format!("in {}", files.certificate.display()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            anyhow::anyhow!("{} holds no private key in PEM: {error}", files.key.display())
        })?;

        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .context("TLS cannot be set up")?;
        let builder = match self.verifier(files, &provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            format!("the certificate of {certificate} cannot be used with the key of {key}")
        })?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        if files.client_ca.is_some() {
            // A session that is resumed does not show its certificate again, which may have expired.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded { config: Arc::new(config), digest: self.digest(), certificate })
    }

    /// What looks at the certificates of clients. `None`: they are asked for none.
    fn verifier(
        &self,
        files: &TlsFiles,
        provider: &Arc<CryptoProvider>,
    ) -> anyhow::Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>> {
        let (Some(ca), Some(pem)) = (&files.client_ca, &self.client_ca) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, &ca.file)? {
            roots.add(certificate).with_context(|| format!("{} is not that of a CA", ca.file.display()))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = match ca.auth {
            ClientAuth::Required => builder.build(),
            ClientAuth::Optional => builder.allow_unauthenticated().build(),
        };
        Ok(Some(verifier.with_context(|| format!("{} cannot be used", ca.file.display()))?))
    }
}

/// At least one certificate.
fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) => {
            ensure!(!found.is_empty(), "{} holds no certificate in PEM", path.display());
            Ok(found)
        }
        Err(error) => bail!("{} holds no certificate in PEM: {error}", path.display()),
    }
}
