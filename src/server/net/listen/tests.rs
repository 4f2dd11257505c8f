//! That every request says who is at the other end of its connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;

use crate::server::net::busy_turns::BusyTurns;
use crate::server::net::connections::Connections;
use crate::server::net::listen::*;
use crate::server::net::request_bodies::Requests;
use crate::server::router::Front;
use crate::server::settings::Settings;
use crate::server::settings::{ClientAuth, ClientCa, TlsFiles};
use crate::server::telemetry::calls::Calls;
use crate::supervise::Supervisor;

/// Answers with what the server knows of whoever asks.
#[derive(Clone)]
struct Who;

impl NamedService for Who {
    const NAME: &'static str = "grpc.test.Who";
}

impl tower::Service<Request<Body>> for Who {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().ends_with("/Panic") {
            return Box::pin(async { panic!("a test asked for this panic") });
        }
        let peer = request.extensions().get::<Arc<Peer>>().expect("every request has one");
        let certificate = peer.certificate.as_ref();
        let told = certificate.map(|shown| format!("{} {:?}", shown.subject, shown.uris));
        let response = Response::builder()
            .header("address", peer.address.to_string())
            .header("certificate", told.unwrap_or_default())
            .body(Body::empty());
        Box::pin(std::future::ready(Ok(response.expect("a response"))))
    }
}

struct Serving {
    address: SocketAddr,
    supervisor: Supervisor,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    async fn start(tls: Option<TlsFiles>) -> Serving {
        Serving::start_behind(tls, &[]).await
    }

    async fn start_behind(tls: Option<TlsFiles>, proxies: &[&str]) -> Serving {
        let proxies = proxies.iter().map(|network| network.parse().expect("a network")).collect();
        let settings = Settings { proxy_protocol_from: proxies, ..Settings::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let supervisor = Supervisor::default();
        let calls = Calls::new(&[]).expect("there is nothing to read").supervised(supervisor.clone());
        let service = ConnectionContext {
            front: Front::new(Routes::new(Who)),
            settings: Arc::new(settings),
            connections: Arc::new(Connections::new(10, 10)),
            requests: Arc::new(Requests::new(std::time::Duration::from_secs(60), 10, 1 << 20)),
            supervisor: supervisor.clone(),
            unread: crate::api::unread::UnreadResponses::new(1 << 20),
            in_progress: crate::api::in_progress::RequestsInProgress::new(
                1 << 20,
                std::time::Duration::from_secs(60),
            ),
            calls: Arc::new(calls),
            busy_turns: BusyTurns::default(),
            tls: tls.map(|files| Arc::new(Tls::load(files).expect("the files are good"))),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Arc::new(service), stop.clone()));
        Serving { address, supervisor, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it serves until it is told to stop");
    }
}

/// The address and certificate that the server has seen.
async fn ask(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> (String, String) {
    let (mut requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driven = tokio::spawn(connection);
    let request = Request::post("http://test/grpc.test.Who/Am")
        .header("content-type", "application/grpc")
        .body(())
        .expect("a request");
    let (response, mut body) = requests.send_request(request, false).expect("it is sent");
    body.send_data(Bytes::new(), true).expect("it is sent");
    let response = response.await.expect("an answer");
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    let told = (header("address"), header("certificate"));
    driven.abort();
    told
}

#[tokio::test]
async fn a_request_in_plain_text_says_where_it_comes_from() {
    let serving = Serving::start(None).await;
    let socket = TcpStream::connect(serving.address).await.expect("a connection");
    let own = socket.local_addr().expect("an address").to_string();
    assert_eq!(ask(socket).await, (own, String::new()));
    serving.stop().await;
}

#[tokio::test]
async fn a_call_that_panics_while_it_is_answered_is_counted_and_the_connection_goes_on() {
    let serving = Serving::start(None).await;
    let socket = TcpStream::connect(serving.address).await.expect("a connection");
    let (mut requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let driven = tokio::spawn(connection);
    for (path, status) in [("Panic", Some("13")), ("Am", None), ("Panic", Some("13"))] {
        let request = Request::post(format!("http://test/grpc.test.Who/{path}"));
        let request = request.header("content-type", "application/grpc").body(()).expect("a request");
        let (response, _) = requests.send_request(request, true).expect("it is sent");
        let response = response.await.expect("an answer");
        let found = response.headers().get("grpc-status").map(|status| status.to_str().expect("text"));
        assert_eq!(found, status, "{path}");
    }
    let tasks = serving.supervisor.tasks();
    let (_, calls) = tasks.iter().find(|(name, _)| *name == "call").expect("it is counted");
    assert_eq!(calls.panics, 2);
    driven.abort();
    serving.stop().await;
}

/// A CA, and the directory of its files.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Ca {
    fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        Ca { issuer, directory }
    }

    fn sign(&self, params: &CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate"), key)
    }

    /// For localhost, and clients of the same CA.
    fn files(&self, auth: ClientAuth) -> TlsFiles {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let (certificate, key) = self.sign(&params);
        let write = |name: &str, text: String| {
            let path = self.directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        TlsFiles {
            certificate: write("server.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
            client_ca: Some(ClientCa { file: write("ca.pem", self.issuer.pem()), auth }),
        }
    }

    async fn connect(
        &self,
        address: SocketAddr,
        identity: Option<(CertificateDer<'static>, KeyPair)>,
    ) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
                builder.with_client_auth_cert(vec![certificate], key).expect("they belong together")
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(address).await.expect("a connection");
        let name = "localhost".try_into().expect("a name");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(name, socket).await.expect("a handshake")
    }
}

#[tokio::test]
async fn a_request_with_mutual_tls_says_whose_certificate_was_shown() {
    let ca = Ca::new();
    let serving = Serving::start(Some(ca.files(ClientAuth::Required))).await;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "deploy");
    params.subject_alt_names = vec![SanType::URI("spiffe://example/deploy".try_into().expect("a URI"))];
    let (certificate, key) = ca.sign(&params);
    let socket = ca.connect(serving.address, Some((certificate.der().clone(), key))).await;
    let (_, told) = ask(socket).await;
    assert_eq!(told, r#"CN=deploy,O=Example ["spiffe://example/deploy"]"#);
    serving.stop().await;
}

#[tokio::test]
async fn a_client_that_need_not_show_a_certificate_is_known_by_its_address() {
    let ca = Ca::new();
    let serving = Serving::start(Some(ca.files(ClientAuth::Optional))).await;
    let (address, told) = ask(ca.connect(serving.address, None).await).await;
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert_eq!(told, "");
    serving.stop().await;
}

/// What a proxy sends before anything else: for a client, or for itself.
fn announcement(client: Option<(&str, u16)>) -> Vec<u8> {
    use ppp::v2::{Builder, Command, Protocol, Version};
    let addresses = match client {
        Some((address, port)) => {
            let client: SocketAddr = SocketAddr::new(address.parse().expect("an address"), port);
            let server = match client {
                SocketAddr::V4(_) => "192.0.2.1:7420",
                SocketAddr::V6(_) => "[2001:db8::1]:7420",
            };
            (client, server.parse::<SocketAddr>().expect("an address")).into()
        }
        None => ppp::v2::Addresses::Unspecified,
    };
    let command = if client.is_some() { Command::Proxy } else { Command::Local };
    let header = Builder::with_addresses(Version::Two | command, Protocol::Stream, addresses);
    header.write_tlv(ppp::v2::Type::UniqueId, b"ignored").expect("it fits").build().expect("a header")
}

async fn ask_behind_a_proxy(serving: &Serving, header: &[u8]) -> String {
    use tokio::io::AsyncWriteExt;
    let mut socket = TcpStream::connect(serving.address).await.expect("a connection");
    // In two pieces, as a network may deliver it.
    let (first, rest) = header.split_at(header.len() / 2);
    socket.write_all(first).await.expect("written");
    socket.flush().await.expect("sent");
    tokio::task::yield_now().await;
    socket.write_all(rest).await.expect("written");
    ask(socket).await.0
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_passes_on() {
    let serving = Serving::start_behind(None, &["127.0.0.0/8"]).await;
    for (client, seen) in [
        ("198.51.100.7", "198.51.100.7:4711"),
        ("2001:db8::7", "[2001:db8::7]:4711"),
        ("::ffff:198.51.100.7", "198.51.100.7:4711"),
    ] {
        assert_eq!(ask_behind_a_proxy(&serving, &announcement(Some((client, 4711)))).await, seen);
    }
    // For itself, as for a health check.
    let own = ask_behind_a_proxy(&serving, &announcement(None)).await;
    assert!(own.starts_with("127.0.0.1:"), "{own}");
    serving.stop().await;
}

#[tokio::test]
async fn what_comes_from_a_trusted_proxy_without_a_header_is_closed_and_counted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let serving = Serving::start_behind(None, &["127.0.0.1/32"]).await;
    let mut long = announcement(None);
    long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let nonsense: [&[u8]; 4] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 7420\r\n",
        &long,
        &[0; 64],
    ];
    for sent in nonsense {
        let mut socket = TcpStream::connect(serving.address).await.expect("a connection");
        socket.write_all(sent).await.expect("written");
        let mut answer = vec![];
        // It is closed; with a reset, if something of it was not read.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn nobody_else_can_say_whose_connection_it_is() {
    let serving = Serving::start_behind(None, &["192.0.2.0/24"]).await;
    let socket = TcpStream::connect(serving.address).await.expect("a connection");
    assert!(ask(socket).await.0.starts_with("127.0.0.1:"));
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = TcpStream::connect(serving.address).await.expect("a connection");
    socket.write_all(&announcement(Some(("198.51.100.7", 4711)))).await.expect("written");
    let mut answer = vec![];
    let _ = socket.read_to_end(&mut answer).await;
    // To HTTP/2 it is no preface.
    assert!(!String::from_utf8_lossy(&answer).contains("198.51.100.7"));
    serving.stop().await;
}
