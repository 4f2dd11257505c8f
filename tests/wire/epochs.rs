//! Positions belong to one history of the store: tokens, and revisions that come with the epoch they are of.

use std::collections::BTreeSet;
use std::time::Duration;

use confwatch::proto::v1::audit_service_client::AuditServiceClient;
use confwatch::proto::v1::*;
use prost::Message;
use prost_types::FileDescriptorSet;
use tempfile::TempDir;
use tonic::{Code, Request};

use super::support::*;
use super::watching::*;

const EPOCH: &str = "confwatch-epoch";

/// A server with three versions of a config, and another config.
async fn filled() -> (TestServer, Client) {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    for number in 1..4 {
        put(&mut client, "/", &format!(r#"{{"a":{number}}}"#)).await;
    }
    let other = Change { config: "other".into(), ..replace("/", "{}") };
    client.set(set(other)).await.expect("set");
    (server, client)
}

fn in_epoch<T>(message: T, epoch: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(EPOCH, epoch.parse().expect("a header value"));
    request
}

/// Commits up to a revision, and the token after them.
async fn read_until(client: &mut Client, request: StreamChangesRequest, last: u64) -> (Vec<u64>, String) {
    let mut stream = client.stream_changes(request).await.expect("it opens").into_inner();
    let mut revisions = vec![];
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        if let Some(stream_changes_response::Event::Commit(commit)) = message.event {
            revisions.push(commit.revision);
        }
        if message.revision >= last {
            return (revisions, message.resume_token);
        }
    }
}

#[tokio::test]
async fn a_stream_of_changes_resumes_in_its_own_history_and_is_refused_in_another() {
    let (_server, mut client) = filled().await;
    let from_1 = StreamChangesRequest { from_revision: 1, ..Default::default() };
    let (revisions, resume_token) = read_until(&mut client, from_1, 2).await;
    assert_eq!(revisions, [1, 2]);
    let resumed = StreamChangesRequest { resume_token, ..Default::default() };
    let (revisions, _) = read_until(&mut client, resumed.clone(), 4).await;
    assert_eq!(revisions, [3, 4], "nothing twice, and nothing left out");

    let both = StreamChangesRequest { from_revision: 3, ..resumed.clone() };
    refused_for(client.stream_changes(both).await, "INVALID_FIELD", "resume_token");
    let damaged = StreamChangesRequest { resume_token: "garbage".into(), ..Default::default() };
    refused_for(client.stream_changes(damaged).await, "INVALID_FIELD", "resume_token");

    // As after a restore: the same revisions are other commits.
    let (_other, mut other) = filled().await;
    refused(other.stream_changes(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
    // Progress carries a token, too.
    let quick = Some(Duration::from_millis(100).try_into().expect("short"));
    let now = StreamChangesRequest { progress_interval: quick, ..Default::default() };
    let mut stream = client.stream_changes(now).await.expect("it opens").into_inner();
    let progress = stream.message().await.expect("it goes on").expect("progress");
    let resumed = StreamChangesRequest { resume_token: progress.resume_token, ..Default::default() };
    refused(other.stream_changes(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
}

#[tokio::test]
async fn a_stream_of_the_audit_trail_resumes_in_its_own_history_and_is_refused_in_another() {
    let connect = async |server: &TestServer| {
        let address = format!("http://{}", server.running.address());
        AuditServiceClient::connect(address).await.expect("the server listens")
    };
    let ((server, _client), (other, _)) = (filled().await, filled().await);
    let mut audit = connect(&server).await;
    let from_1 = AuditServiceStreamRequest { from_revision: 1, ..Default::default() };
    let mut stream = audit.stream(from_1).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it goes on").expect("an entry");
    assert_eq!(first.revision, 1);
    let resumed = AuditServiceStreamRequest { resume_token: first.resume_token, ..Default::default() };
    let mut stream = audit.stream(resumed.clone()).await.expect("it opens").into_inner();
    assert_eq!(stream.message().await.expect("it goes on").expect("an entry").revision, 2);
    let both = AuditServiceStreamRequest { from_sequence: 3, ..resumed.clone() };
    refused_for(audit.stream(both).await, "INVALID_FIELD", "resume_token");
    for token in ["garbage", "1.1.1", "1..1.1"] {
        let damaged = AuditServiceStreamRequest { resume_token: token.into(), ..Default::default() };
        refused_for(audit.stream(damaged).await, "INVALID_FIELD", "resume_token");
    }
    refused(connect(&other).await.stream(resumed).await, Code::OutOfRange, "EPOCH_MISMATCH");
}

/// Reads a list of both servers: the second page of one server is refused by the other, whose history is another.
macro_rules! check {
    ($checked:ident, $rpc:literal, $one:expr, $other:expr, $method:ident, $request:expr) => {{
        let request = $request;
        let page = $one.$method(request.clone()).await.expect($rpc).into_inner();
        assert!(!page.next_page_token.is_empty(), "{}: {page:?}", $rpc);
        let mut next = request;
        next.page_token = page.next_page_token;
        $one.$method(next.clone()).await.expect($rpc);
        refused($other.$method(next).await, Code::OutOfRange, "EPOCH_MISMATCH");
        $checked.insert($rpc.to_owned());
    }};
}

/// What every list has two of.
async fn filled_with_everything() -> (TestServer, confwatch::client::Client, [Watcher; 2]) {
    let directory = TempDir::new().expect("a directory");
    let backups = directory.path().join("backups");
    let server = TestServer::start_in(directory, |settings| {
        believing(settings);
        settings.backup_dir = Some(backups);
    })
    .await;
    let library = super::auth::client(&server, None);
    let mut client = server.client().await;
    for config in ["app", "other"] {
        for scope in ["/s", "/t"] {
            client.set(set(put_override(config, scope, r#"{"a":1}"#))).await.expect("set");
            client.set(set(put_in(config, scope, r#"{"a":2}"#))).await.expect("set");
        }
        let put = SchemaServicePutRequest {
            namespace: "test".into(),
            config: config.into(),
            schema: Some(json("{}")),
            ..Default::default()
        };
        library.schemas().put(put).await.expect("a schema");
        let token = CreateTokenRequest { name: config.into(), ..Default::default() };
        library.access().create_token(token).await.expect("a token");
        let backup = CreateBackupRequest { keep: true, kind: BackupKind::State.into(), ..Default::default() };
        let mut made = library.backups().create_backup(backup).await.expect("begun").into_inner();
        while made.message().await.expect("made").is_some() {}
    }
    let watchers = [
        Watcher::open(&client, watch([target("app", "/s")])).await.0,
        Watcher::open(&client, watch([target("app", "/t")])).await.0,
    ];
    (server, library, watchers)
}

#[tokio::test]
async fn page_tokens_of_every_list_are_of_one_history() {
    let ((_server, one, _watchers), (_other_server, other, _others)) =
        (filled_with_everything().await, filled_with_everything().await);
    let namespace = || "test".to_owned();
    let mut checked = BTreeSet::new();
    check!(
        checked,
        "ConfigService/List",
        one.api(),
        other.api(),
        list,
        ListRequest { namespace: namespace(), page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "ConfigService/ListVersions",
        one.api(),
        other.api(),
        list_versions,
        ListVersionsRequest { page_size: 1, ..versions() }
    );
    check!(
        checked,
        "ConfigService/ListChanges",
        one.api(),
        other.api(),
        list_changes,
        ListChangesRequest { page_size: 1, ..Default::default() }
    );
    let at_first = NamespaceSide {
        namespace: namespace(),
        at: Some(namespace_side::At::Revision(1)),
        ..Default::default()
    };
    let now = NamespaceSide { namespace: namespace(), ..Default::default() };
    let diff =
        DiffNamespacesRequest { older: Some(at_first), newer: Some(now), page_size: 1, ..Default::default() };
    check!(checked, "ConfigService/DiffNamespaces", one.api(), other.api(), diff_namespaces, diff);
    check!(
        checked,
        "ConfigService/Search",
        one.api(),
        other.api(),
        search,
        SearchRequest { key: "a".into(), page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "ConfigService/ListOverrides",
        one.api(),
        other.api(),
        list_overrides,
        ListOverridesRequest { namespace: namespace(), page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "SchemaService/List",
        one.schemas(),
        other.schemas(),
        list,
        SchemaServiceListRequest { namespace: namespace(), page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "AuditService/List",
        one.audit(),
        other.audit(),
        list,
        AuditServiceListRequest { page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "AuthService/ListTokens",
        one.access(),
        other.access(),
        list_tokens,
        ListTokensRequest { page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "BackupService/ListBackups",
        one.backups(),
        other.backups(),
        list_backups,
        ListBackupsRequest { page_size: 1, ..Default::default() }
    );
    check!(
        checked,
        "FleetService/ListClients",
        one.fleet(),
        other.fleet(),
        list_clients,
        ListClientsRequest { namespace: namespace(), page_size: 1, ..Default::default() }
    );

    // These servers believe everybody and have no sessions: `login::sessions_are_listed…` has two that do.
    checked.insert("AuthService/ListSessions".to_owned());
    let described = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let has_token = |name: &str| {
        let messages = described.file.iter().flat_map(|file| &file.message_type);
        let mut named = messages.filter(|message| name.ends_with(&format!(".v1.{}", message.name())));
        named.any(|message| message.field.iter().any(|field| field.name() == "page_token"))
    };
    let services = described.file.iter().flat_map(|file| &file.service);
    let lists = services.flat_map(|service| {
        let methods = service.method.iter().filter(|method| has_token(method.input_type()));
        methods.map(|method| format!("{}/{}", service.name(), method.name())).collect::<Vec<_>>()
    });
    assert_eq!(lists.collect::<BTreeSet<_>>(), checked, "every list is read here");
}

/// Reads by revision, `min_revision` and `expected_version` say nothing of the history that they are of: the metadata does.
#[tokio::test]
async fn a_request_with_the_epoch_of_another_history_is_refused_and_does_nothing() {
    let ((_server, mut client), (_other, mut other)) = (filled().await, filled().await);
    let response = client.get(get("/")).await.expect("got");
    let epoch = response.metadata().get(EPOCH).expect("the epoch").to_str().expect("text").to_owned();
    assert_eq!(epoch.len(), 16);
    let response = client.set(set(replace("/", r#"{"a":4}"#))).await.expect("set");
    assert_eq!(response.metadata().get(EPOCH).expect("the epoch"), epoch.as_str());
    let refusal =
        client.get(GetRequest { config: "none".into(), ..get("/") }).await.expect_err("there is none");
    assert_eq!(refusal.metadata().get(EPOCH).expect("the epoch"), epoch.as_str());

    let min_revision = GetRequest { min_revision: 1, ..get("/") };
    let at = GetRequest { at: Some(get_request::At::Revision(1)), ..get("/") };
    for request in [min_revision, at] {
        client.get(in_epoch(request.clone(), &epoch)).await.expect("it is of this history");
        refused(other.get(in_epoch(request.clone(), &epoch)).await, Code::OutOfRange, "EPOCH_MISMATCH");
        other.get(request).await.expect("bare revisions are not checked");
    }
    let before = content(&mut other, get("/")).await;
    let change = Change { expected_version: Some(3), ..replace("/", r#"{"a":5}"#) };
    let status = refused(other.set(in_epoch(set(change), &epoch)).await, Code::OutOfRange, "EPOCH_MISMATCH");
    assert_ne!(told(&status).2["epoch"], epoch);
    assert_eq!(content(&mut other, get("/")).await, before);
    for damaged in ["", "x", &"0".repeat(17), "+000000000000001"] {
        refused_for(client.get(in_epoch(get("/"), damaged)).await, "INVALID_FIELD", EPOCH);
    }
}
