//! TLS: who gets in, what the others are told, and certificates that change under way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use confwatch::client::{ClientError, ConnectOptions, TlsOptions};
use confwatch::proto::v1::*;
use confwatch::server::settings::{AuthMode, ClientAuth, ClientCa, TlsFiles};
use confwatch::server::{Server, Settings};
use http::Method;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use super::http::{Http1, request};
use super::supervision::{panic_in, restarted};
use super::support::*;

/// A CA of its own.
pub struct Ca(pub CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Ca(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Certificate and key, in PEM.
    pub fn sign(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

/// The files of a server and its clients.
pub struct Files {
    directory: TempDir,
    pub ca: Ca,
}

impl Files {
    /// The certificate of the server is for localhost.
    pub fn new() -> Files {
        let files = Files { directory: TempDir::new().expect("a directory"), ca: Ca::new() };
        files.write("ca.pem", &files.ca.0.pem());
        files.write("client-ca.pem", &files.ca.0.pem());
        files.renew();
        files.identity("client", &files.ca);
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Another certificate for the server.
    pub fn renew(&self) {
        let (certificate, key) = self.ca.sign(&["localhost"]);
        self.write("server.pem", &certificate);
        self.write("server-key.pem", &key);
    }

    /// A certificate for a client.
    pub fn identity(&self, name: &str, ca: &Ca) {
        let (certificate, key) = ca.sign(&["client.internal"]);
        self.write(&format!("{name}.pem"), &certificate);
        self.write(&format!("{name}-key.pem"), &key);
    }

    pub fn of_server(&self, auth: Option<ClientAuth>) -> TlsFiles {
        TlsFiles {
            certificate: self.path("server.pem"),
            key: self.path("server-key.pem"),
            client_ca: auth.map(|auth| ClientCa { file: self.path("client-ca.pem"), auth }),
        }
    }

    pub async fn serve(&self, auth: Option<ClientAuth>) -> TestServer {
        self.serve_with(auth, |_| {}).await
    }

    pub async fn serve_with(
        &self,
        auth: Option<ClientAuth>,
        change: impl FnOnce(&mut Settings),
    ) -> TestServer {
        let data = TempDir::new().expect("a directory");
        TestServer::start_in(data, |settings| {
            settings.tls = Some(self.of_server(auth));
            settings.auth = Some(AuthMode::Off);
            change(settings);
        })
        .await
    }

    /// Trusts the CA, and shows nothing.
    pub fn trusting(&self) -> TlsOptions {
        TlsOptions { ca: Some(self.path("ca.pem")), ..TlsOptions::default() }
    }

    /// Trusts the CA, and shows this certificate.
    pub fn showing(&self, name: &str) -> TlsOptions {
        let file = |suffix: &str| Some(self.path(&format!("{name}{suffix}")));
        TlsOptions { certificate: file(".pem"), key: file("-key.pem"), ..self.trusting() }
    }

    /// A connection of no client of ours, which trusts the CA.
    pub async fn connect(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream<TcpStream> {
        self.connect_by(address, versions, &["h2"]).await
    }

    /// The same, of a client that speaks these protocols.
    async fn connect_by(
        &self,
        address: SocketAddr,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.0.der().clone()).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let socket = TcpStream::connect(address).await.expect("the server listens");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect("localhost".try_into().expect("a name"), socket).await.expect("a handshake")
    }

    /// The certificate that new connections get.
    pub async fn shown(&self, address: SocketAddr) -> CertificateDer<'static> {
        let stream = self.connect(address, &[&TLS13]).await;
        stream.get_ref().1.peer_certificates().expect("one")[0].clone().into_owned()
    }
}

/// A client of ours.
fn client(scheme: &str, server: &TestServer, tls: TlsOptions) -> confwatch::client::Client {
    let address = format!("{scheme}localhost:{}", server.running.address().port());
    let options = ConnectOptions { address, tls, ..ConnectOptions::default() };
    confwatch::client::Client::connect(options).expect("options that make sense")
}

/// How a call fails that cannot be made.
async fn failure(scheme: &str, server: &TestServer, tls: TlsOptions) -> ClientError {
    client(scheme, server, tls).get(("test", "app", "/")).await.expect_err("there is no connection")
}

async fn succeeds(server: &TestServer, tls: TlsOptions) {
    let client = client("https://", server, tls);
    client.set(replace("/", r#"{"a":1}"#), WriteOptions::default()).await.expect("set");
    let document = client.get(("test", "app", "/")).await.expect("get").expect("a document");
    assert_eq!(document.content, r#"{"a":1}"#);
}

/// A channel over a connection that was made already.
pub async fn over(stream: TlsStream<TcpStream>) -> Wire {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or(std::io::Error::other("it was there once"));
        async move { stream }
    });
    let endpoint = Endpoint::from_static("https://localhost");
    let channel = endpoint.connect_with_connector(connector).await.expect("HTTP/2");
    Wire::new(channel, Bearer::default())
}

/// Waits for what nobody tells of when it happens. The test fails by the patience of whoever runs it.
pub async fn until(count: &AtomicU64, at_least: u64) {
    while count.load(Relaxed) < at_least {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_nothing_but_http_2_above() {
    let files = Files::new();
    let server = files.serve(None).await;
    for version in [&TLS12, &TLS13] {
        let stream = files.connect(server.running.address(), &[version]).await;
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = Client::new(over(stream).await);
        put(&mut client, "/", r#"{"a":1}"#).await;
        assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn the_client_makes_calls_with_tls_and_trusts_whom_it_is_told_to() {
    let files = Files::new();
    let server = files.serve(None).await;
    succeeds(&server, files.trusting()).await;

    let other = Ca::new();
    files.write("other-ca.pem", &other.0.pem());
    let wrong = TlsOptions { ca: Some(files.path("other-ca.pem")), ..TlsOptions::default() };
    let error = failure("https://", &server, wrong).await;
    assert_eq!(error.reason(), "TLS_UNKNOWN_CA", "{error:?}");
    assert!(error.is_retryable(), "the server may be set right");
    // Nor does the machine, whose CAs count where none is named; it may trust none at all.
    let address = format!("https://localhost:{}", server.running.address().port());
    let options = ConnectOptions { address, ..ConnectOptions::default() };
    let reason = match confwatch::client::Client::connect(options) {
        Ok(client) => {
            client.get(("test", "app", "/")).await.expect_err("nobody trusts it").reason().to_owned()
        }
        Err(error) => error.reason().to_owned(),
    };
    assert!(["TLS_UNKNOWN_CA", "TLS_OPTIONS"].contains(&reason.as_str()), "{reason}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_that_name_is_asked_for() {
    let files = Files::new();
    let (certificate, key) = files.ca.sign(&["config.internal"]);
    files.write("server.pem", &certificate);
    files.write("server-key.pem", &key);
    let server = files.serve(None).await;
    let error = failure("https://", &server, files.trusting()).await;
    assert_eq!(error.reason(), "TLS_WRONG_NAME");
    assert!(error.message().contains("config.internal"), "{error}");
    let named = TlsOptions { server_name: Some("config.internal".into()), ..files.trusting() };
    succeeds(&server, named).await;
}

#[tokio::test]
async fn plain_text_where_tls_is_spoken_and_the_reverse_are_told_as_such() {
    let files = Files::new();
    let server = files.serve(None).await;
    let error = failure("http://", &server, TlsOptions::default()).await;
    assert_eq!(error.reason(), "TLS_EXPECTED", "{error:?}");

    let plain = TestServer::start().await;
    let error = failure("https://", &plain, files.trusting()).await;
    assert_eq!(error.reason(), "TLS_NOT_SPOKEN", "{error:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let files = Files::new();
    let server = files.serve(Some(ClientAuth::Required)).await;
    succeeds(&server, files.showing("client")).await;

    let error = failure("https://", &server, files.trusting()).await;
    assert_eq!(error.reason(), "TLS_CERTIFICATE_REQUIRED", "{error:?}");
    files.identity("stranger", &Ca::new());
    let error = failure("https://", &server, files.showing("stranger")).await;
    assert_eq!(error.reason(), "TLS_CERTIFICATE_REFUSED", "{error:?}");
    until(&server.running.connection_counts().handshakes_failed, 2).await;
}

#[tokio::test]
async fn where_a_certificate_is_optional_only_a_wrong_one_is_refused() {
    let files = Files::new();
    let server = files.serve(Some(ClientAuth::Optional)).await;
    succeeds(&server, files.trusting()).await;
    succeeds(&server, files.showing("client")).await;
    files.identity("stranger", &Ca::new());
    let error = failure("https://", &server, files.showing("stranger")).await;
    assert_eq!(error.reason(), "TLS_CERTIFICATE_REFUSED", "{error:?}");
}

fn watch() -> WatchRequest {
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    WatchRequest { targets: vec![target], ..Default::default() }
}

/// The content that the next message of a stream brings.
async fn next(stream: &mut tonic::Streaming<WatchResponse>) -> String {
    loop {
        let message = stream.message().await.expect("no error").expect("a message");
        let states = match message.event.expect("an event") {
            watch_response::Event::Snapshot(snapshot) => snapshot.states,
            watch_response::Event::Update(update) => update.states,
            watch_response::Event::Progress(_) => continue,
        };
        return states[0].document.clone().expect("a document").content;
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_open_watches_go_on() {
    let files = Files::new();
    let every = |settings: &mut Settings| settings.tls_reload_interval = Duration::from_millis(5);
    let server = files.serve_with(None, every).await;
    let (address, counts) = (server.running.address(), server.running.connection_counts());
    let first = files.shown(address).await;
    let mut client = Client::new(over(files.connect(address, &[&TLS13]).await).await);
    put(&mut client, "/", r#"{"a":1}"#).await;
    let mut stream = client.watch(watch()).await.expect("a stream").into_inner();
    assert_eq!(next(&mut stream).await, r#"{"a":1}"#);

    // What is broken changes nothing, however often it is looked at.
    files.write("server.pem", "-----BEGIN CERTIFICATE-----\nbroken");
    until(&counts.certificate_reloads_failed, counts.certificate_reloads_failed.load(Relaxed) + 2).await;
    assert_eq!(files.shown(address).await, first);
    // Nor does a key that belongs to another certificate.
    files.write("server.pem", &files.ca.sign(&["localhost"]).0);
    until(&counts.certificate_reloads_failed, counts.certificate_reloads_failed.load(Relaxed) + 2).await;
    assert_eq!(files.shown(address).await, first);

    files.renew();
    until(&counts.certificates_reloaded, 1).await;
    let second = files.shown(address).await;
    assert_ne!(second, first);
    put(&mut client, "/", r#"{"a":2}"#).await;
    assert_eq!(next(&mut stream).await, r#"{"a":2}"#);

    // After a panic of the task that looks at the files, they are looked at again.
    panic_in(&server, "certificates").await;
    restarted(&server, "certificates").await;
    files.renew();
    until(&counts.certificates_reloaded, 2).await;
    assert_ne!(files.shown(address).await, second);
}

#[tokio::test]
async fn large_documents_arrive_whole_however_slowly_they_are_read() {
    let files = Files::new();
    let server = files.serve(None).await;
    let mut writer = Client::new(over(files.connect(server.running.address(), &[&TLS13]).await).await)
        .max_decoding_message_size(4 << 20);
    let document = |round: usize| {
        let values: Vec<String> = (0..8000).map(|at| format!("\"k{at:05}\":\"{round:080}\"")).collect();
        format!("{{{}}}", values.join(","))
    };
    put(&mut writer, "/", &document(0)).await;
    let mut readers = vec![];
    for version in [&TLS12, &TLS13] {
        let stream = files.connect(server.running.address(), &[version]).await;
        let mut reader = Client::new(over(stream).await);
        readers.push(reader.watch(watch()).await.expect("a stream").into_inner());
    }
    for round in 1..6 {
        put(&mut writer, "/", &document(round)).await;
        assert_eq!(content(&mut writer, get("/")).await, document(round));
    }
    for mut reader in readers {
        // A slow reader may skip states, and sees the last.
        while next(&mut reader).await != document(5) {}
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_dropped() {
    let files = Files::new();
    let at_once = |settings: &mut Settings| settings.handshake_timeout = Duration::from_millis(20);
    let server = files.serve_with(None, at_once).await;
    let counts = server.running.connection_counts();
    // Nothing, and the beginning of a ClientHello.
    for said in [&[][..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        let mut socket = TcpStream::connect(server.running.address()).await.expect("the server listens");
        socket.write_all(said).await.expect("sent");
        // It ends, with or without an alert.
        let _ = socket.read_to_end(&mut vec![]).await;
    }
    until(&counts.handshakes_timed_out, 2).await;

    // After TLS, HTTP/2 has to be begun.
    let mut stream = files.connect(server.running.address(), &[&TLS13]).await;
    let _ = stream.read_to_end(&mut vec![]).await;
    until(&counts.prefaces_timed_out, 1).await;
    while counts.open.load(Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Why a server does not start.
async fn refused_start(change: impl FnOnce(&mut Settings)) -> String {
    let directory = TempDir::new().expect("a directory");
    let mut settings = settings(directory.path());
    change(&mut settings);
    match Server::start(settings).await {
        Ok(server) => {
            server.shutdown().await;
            panic!("it should not start")
        }
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn plain_text_is_for_loopback_unless_it_is_insisted_on() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let error = refused_start(|settings| settings.listen = address.into()).await;
        assert!(error.contains("--tls-cert") && error.contains("--insecure"), "{error}");
    }
    let files = Files::new();
    let with_tls = |settings: &mut Settings| settings.tls = Some(files.of_server(None));
    for change in [&with_tls as &dyn Fn(&mut Settings), &|settings| settings.insecure = true] {
        let directory = TempDir::new().expect("a directory");
        let server = TestServer::start_in(directory, |settings| {
            settings.listen = "0.0.0.0:0".into();
            change(settings);
        });
        server.await.stop().await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_at_the_start_by_name() {
    let files = Files::new();
    files.write("empty.pem", "");
    files.write("other-key.pem", &files.ca.sign(&["localhost"]).1);
    let check = async |change: &dyn Fn(&mut TlsFiles), expected: &[&str]| {
        let mut tls = files.of_server(Some(ClientAuth::Required));
        change(&mut tls);
        let error = refused_start(|settings| settings.tls = Some(tls)).await;
        for expected in expected {
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        }
    };
    let path = |name: &str| files.path(name);
    check(&|tls| tls.certificate = Path::new("/nowhere.pem").into(), &["cannot read /nowhere.pem"]).await;
    check(&|tls| tls.certificate = path("empty.pem"), &["empty.pem holds no certificate"]).await;
    check(&|tls| tls.certificate = path("server-key.pem"), &["server-key.pem holds no certificate"]).await;
    check(&|tls| tls.key = path("server.pem"), &["server.pem holds no private key"]).await;
    check(&|tls| tls.key = path("other-key.pem"), &["server.pem", "other-key.pem"]).await;
    let ca = |name: &str| Some(ClientCa { file: path(name), auth: ClientAuth::Required });
    check(&|tls| tls.client_ca = ca("empty.pem"), &["empty.pem holds no certificate"]).await;
}

/// Clients of HTTP/1.1 agree on it, or name no protocol at all, as old ones do.
#[tokio::test]
async fn a_client_of_http_1_1_is_served_above_tls() {
    let files = Files::new();
    let server = files.serve(None).await;
    let address = server.running.address();
    for protocols in [&["http/1.1"][..], &[]] {
        let stream = files.connect_by(address, &[&TLS13], protocols).await;
        let chosen = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(chosen.as_deref(), protocols.first().map(|name| name.as_bytes()));
        let mut connection = Http1::over(stream).await;
        for _ in 0..2 {
            let who = request(&server, Method::GET, "/v1/whoami");
            connection.send(who, "").await.ok();
        }
    }
    let stream = files.connect_by(address, &[&TLS13], &["http/1.1", "h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "HTTP/2 is better");
    // A client of HTTP/2 that names no protocol.
    let stream = files.connect_by(address, &[&TLS13], &[]).await;
    Client::new(over(stream).await).list(ListRequest::default()).await.expect("an answer");
}
