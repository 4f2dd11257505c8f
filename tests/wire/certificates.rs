//! Callers with client certificates: who they are, what they may, and what becomes of their streams when certificates end or CAs change.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use confwatch::client::{Client, ConnectOptions, Token};
use confwatch::proto::v1::*;
use confwatch::server::settings::{AuthMode, ClientAuth};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tonic::Code;

use super::auth::{Guarded, admin_token, ending, opened};
use super::support::*;
use super::tls::{Ca, Files, until};

const POLICY: &str = r#"{
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["certificate:checkout"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["certificate:spiffe://shop/*"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// Writes a certificate, and its key, that holds for so long.
fn identity(files: &Files, ca: &Ca, file: &str, common_name: &str, uri: Option<&str>, holds: Duration) {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names =
        uri.map(|uri| SanType::URI(Ia5String::try_from(uri).expect("ASCII"))).into_iter().collect();
    params.not_after = (SystemTime::now() + holds).into();
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &ca.0).expect("a certificate");
    files.write(&format!("{file}.pem"), &certificate.pem());
    files.write(&format!("{file}-key.pem"), &key.serialize_pem());
}

const HOUR: Duration = Duration::from_secs(3600);

/// With TLS, certificates of clients, and authentication.
async fn start(files: &Files, auth: ClientAuth) -> Guarded {
    let server = files
        .serve_with(Some(auth), |settings| {
            settings.auth = Some(AuthMode::On);
            settings.tls_reload_interval = Duration::from_millis(5);
        })
        .await;
    identity(files, &files.ca, "admin", "somebody", None, HOUR);
    let admin = bearing(files, &server, "admin", Some(&admin_token(&server.directory)));
    let guarded = Guarded { server, admin };
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    guarded
}

fn bearing(files: &Files, server: &TestServer, file: &str, token: Option<&str>) -> Client {
    Client::connect(ConnectOptions {
        address: format!("https://localhost:{}", server.running.address().port()),
        tls: files.showing(file),
        token: token.map(|token| token.parse::<Token>().expect("a token")),
        ..ConnectOptions::default()
    })
    .expect("options that make sense")
}

async fn actor(client: &Client) -> String {
    client.access().who_am_i(WhoAmIRequest {}).await.expect("an answer").into_inner().actor
}

#[tokio::test]
async fn a_certificate_names_its_caller_and_the_policy_gives_the_rights() {
    let files = Files::new();
    let guarded = start(&files, ClientAuth::Required).await;
    let with = |file: &str, common_name: &str, uri: Option<&str>| {
        identity(&files, &files.ca, file, common_name, uri, HOUR);
        bearing(&files, &guarded.server, file, None)
    };
    let checkout = with("checkout", "checkout", None);
    assert_eq!(actor(&checkout).await, "certificate:checkout");
    checkout.api().set(set(replace("/", r#"{"a":2}"#))).await.expect("an editor writes");
    let workload = with("workload", "pod-7", Some("spiffe://shop/checkout"));
    assert_eq!(actor(&workload).await, "certificate:spiffe://shop/checkout");
    workload.api().get(get("/")).await.expect("a viewer reads");
    let denied = workload.api().set(set(replace("/", "{}"))).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    // The name of a certificate is not that of a user, nor of an administrator of other kinds.
    for name in ["admin", "user:admin"] {
        let other = with("other", name, None);
        assert_eq!(actor(&other).await, format!("certificate:{name}"));
        refused(other.api().get(get("/")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let nobody = with("nobody", "", None);
    refused(nobody.api().get(get("/")).await, Code::Unauthenticated, "CREDENTIAL_MALFORMED");
    // A token goes before the certificate of its connection.
    let token = guarded.token("read").await.0;
    let both = bearing(&files, &guarded.server, "checkout", Some(&token));
    assert_eq!(actor(&both).await, "token:read");
    let versions =
        guarded.admin.api().list_versions(versions()).await.expect("history").into_inner().versions;
    assert_eq!(versions[0].commit.as_ref().expect("a commit").actor, "certificate:checkout");
}

#[tokio::test]
async fn who_shows_no_certificate_where_it_is_optional_needs_another_credential() {
    let files = Files::new();
    let guarded = start(&files, ClientAuth::Optional).await;
    let address = format!("https://localhost:{}", guarded.server.running.address().port());
    let options = ConnectOptions { address, tls: files.trusting(), ..ConnectOptions::default() };
    let nobody = Client::connect(options).expect("options that make sense");
    refused(nobody.api().get(get("/")).await, Code::Unauthenticated, "NO_CREDENTIAL");
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_streams_and_no_others() {
    let files = Files::new();
    let guarded = start(&files, ClientAuth::Required).await;
    identity(&files, &files.ca, "short", "checkout", None, Duration::from_millis(2500));
    identity(&files, &files.ca, "long", "checkout", None, HOUR);
    let short = bearing(&files, &guarded.server, "short", None);
    let one = opened(&short, "app", "/").await;
    let all = opened(&short, "*", "/").await;
    let mut other = opened(&bearing(&files, &guarded.server, "long", None), "app", "/").await;
    for stream in [one, all] {
        let (code, reason, _) = told(&ending(stream).await);
        assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
    }
    // The connection is there yet, and its certificate good for nothing.
    short.api().get(get("/")).await.expect_err("it has expired");
    let set = set(replace("/", r#"{"a":2}"#));
    let written = guarded.admin.api().set(set).await.expect("set").into_inner().store_revision;
    assert_eq!(other.message().await.expect("it goes on").expect("a message").revision, written);
    // A certificate that was renewed is shown on another connection, as soon as the old one was refused.
    identity(&files, &files.ca, "short", "checkout", None, HOUR);
    short.api().get(get("/")).await.expect_err("the connection has the old one");
    short.api().get(get("/")).await.expect("the next connection has the new one");
}

#[tokio::test]
async fn another_client_ca_is_for_new_connections_and_open_streams_go_on() {
    let files = Files::new();
    let guarded = start(&files, ClientAuth::Required).await;
    let counts = guarded.server.running.connection_counts();
    let next = Ca::new();
    identity(&files, &files.ca, "of-old", "checkout", None, HOUR);
    identity(&files, &next, "of-next", "checkout", None, HOUR);
    let mut stream = opened(&bearing(&files, &guarded.server, "of-old", None), "app", "/").await;
    // What clients trust is another file here.
    let trusted = files.ca.0.pem();
    let asked = |text: String| {
        let before = counts.certificates_reloaded.load(Relaxed);
        files.write("client-ca.pem", &text);
        before + 1
    };
    let refused_by_tls = async |file: &str| {
        let error = bearing(&files, &guarded.server, file, None).get(("test", "app", "/")).await;
        assert_eq!(error.expect_err("there is no connection").reason(), "TLS_CERTIFICATE_REFUSED");
    };
    refused_by_tls("of-next").await;
    until(&counts.certificates_reloaded, asked(format!("{trusted}{}", next.0.pem()))).await;
    for file in ["of-old", "of-next"] {
        bearing(&files, &guarded.server, file, None).api().get(get("/")).await.expect("both are good");
    }
    until(&counts.certificates_reloaded, asked(next.0.pem())).await;
    refused_by_tls("of-old").await;
    let of_next = bearing(&files, &guarded.server, "of-next", None);
    let set = set(replace("/", r#"{"a":2}"#));
    let written = of_next.api().set(set).await.expect("set").into_inner().store_revision;
    assert_eq!(stream.message().await.expect("it goes on").expect("a message").revision, written);
    // Who is not to be trusted any more loses the right by the policy, at once.
    guarded.set_policy(&POLICY.replace("certificate:checkout", "certificate:payment")).await.expect("good");
    refused(Err::<(), _>(ending(stream).await), Code::PermissionDenied, "PERMISSION_DENIED");
}
