//! Handshakes of TLS that cannot succeed: a certificate of another CA, one that has expired, none where one is demanded, and no TLS at all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::connect::connect;
use super::{Size, Target};

const PATIENCE: Duration = Duration::from_secs(3);

pub async fn bad(target: Arc<Target>, size: Size) -> String {
    let files = target.files.clone().expect("it is for a server with TLS");
    let configs = [config(&files, Some("stranger")), config(&files, Some("expired")), config(&files, None)];
    let configs = configs.map(Arc::new);
    let (begun, let_in) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let end = Instant::now() + size.time;
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..size.connections {
        let (target, configs, begun, let_in) =
            (target.clone(), configs.clone(), begun.clone(), let_in.clone());
        workers.spawn(async move {
            while Instant::now() < end {
                let number = begun.fetch_add(1, Ordering::Relaxed);
                if number >= size.count {
                    return;
                }
                let was_let_in = match configs.get(number % 4) {
                    Some(config) => handshake(&target, config.clone(), number).await,
                    None => garbage(&target, number).await,
                };
                let_in.fetch_add(usize::from(was_let_in), Ordering::Relaxed);
            }
        });
    }
    workers.join_all().await;
    let (begun, let_in) = (begun.load(Ordering::Relaxed).min(size.count), let_in.load(Ordering::Relaxed));
    format!("{begun} handshakes, {let_in} let in")
}

/// Trusts the server, and shows this certificate.
fn config(files: &Path, shown: Option<&str>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(files.join("ca.pem")).expect("a certificate");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let certificate = CertificateDer::from_pem_file(files.join(format!("{name}.pem")));
            let key = PrivateKeyDer::from_pem_file(files.join(format!("{name}-key.pem")));
            let chain = vec![certificate.expect("a certificate")];
            builder.with_client_auth_cert(chain, key.expect("a key")).expect("they belong together")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Whether the server said anything but that it refuses.
async fn handshake(target: &Target, config: Arc<ClientConfig>, number: usize) -> bool {
    let Some(socket) = connect(target.address, number).await else { return false };
    let name = "localhost".try_into().expect("a name");
    let attempt = async {
        let mut stream = TlsConnector::from(config).connect(name, socket).await.ok()?;
        // With TLS 1.3 the client is done before its certificate is looked at.
        stream.read_exact(&mut [0; 9]).await.ok()
    };
    matches!(timeout(PATIENCE, attempt).await, Ok(Some(_)))
}

async fn garbage(target: &Target, number: usize) -> bool {
    let Some(mut socket) = connect(target.address, number).await else { return false };
    let mut noise = [0; 300];
    noise.iter_mut().for_each(|byte| *byte = fastrand::u8(..));
    let attempt = async {
        socket.write_all(&noise).await.ok()?;
        let mut answer = vec![];
        socket.read_to_end(&mut answer).await.ok()?;
        // An alert is no welcome.
        (answer.len() > 16).then_some(())
    };
    matches!(timeout(PATIENCE, attempt).await, Ok(Some(())))
}
