//! Who gets in, and what they may: for every call, with every kind of credential; and what becomes of streams when that changes.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::{Buf, BufMut};
use confwatch::auth::token as tokens;
use confwatch::auth::{Principal, Subject};
use confwatch::client::{Client, ConnectOptions, Token};
use confwatch::model::Timestamp;
use confwatch::proto::v1::*;
use confwatch::server::settings::AuthMode;
use confwatch::server::{Server, Settings};
use prost::Message;
use tempfile::TempDir;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use super::support::*;

/// What each verb alone may do in the namespace `test`, for a token of its name.
pub const POLICY: &str = r#"{
  "roles": {"read": ["read"], "write": ["write"], "rollback": ["rollback"], "override": ["override"],
            "validate": ["validate"], "tag": ["tag"], "schema": ["schema"], "audit": ["audit"], "backup": ["backup"],
            "revert": ["read", "rollback"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:read"], "role": "read", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:rollback"], "role": "rollback", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:revert"], "role": "revert", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:override"], "role": "override", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:validate"], "role": "validate", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:tag"], "role": "tag", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:schema"], "role": "schema", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "editor", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:backup"], "role": "backup", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:audit"], "role": "audit", "namespace": "*", "config": "*", "scope": "/"}
  ]
}"#;

/// A server that asks for credentials, and its administrator.
pub struct Guarded {
    pub server: TestServer,
    pub admin: Client,
}

impl Guarded {
    pub async fn start() -> Guarded {
        Guarded::start_in(TempDir::new().expect("a directory")).await
    }

    pub async fn start_in(directory: TempDir) -> Guarded {
        Guarded::start_as(directory, |_| {}).await
    }

    /// With other settings.
    pub async fn start_as(directory: TempDir, change: impl FnOnce(&mut Settings)) -> Guarded {
        let with_authentication = |settings: &mut Settings| {
            settings.auth = Some(AuthMode::On);
            change(settings);
        };
        let server = TestServer::start_in(directory, with_authentication).await;
        let admin = client(&server, Some(&admin_token(&server.directory)));
        Guarded { server, admin }
    }

    /// With the policy of these tests, and a config with a few layers.
    pub async fn start_with_policy() -> Guarded {
        Guarded::start().await.with_policy().await
    }

    pub async fn with_policy(self) -> Guarded {
        let guarded = self;
        guarded.set_policy(POLICY).await.expect("the policy is good");
        for scope in ["/", "/staging", "/production"] {
            guarded.admin.api().set(set(replace(scope, r#"{"a":1}"#))).await.expect("set");
        }
        guarded
    }

    pub async fn set_policy(&self, policy: &str) -> Result<SetResponse, Status> {
        let change = reserved("policy", change::Action::Replace(json(policy)));
        Ok(self.admin.api().set(set(change)).await?.into_inner())
    }

    /// A token for `token:NAME`, and its id.
    pub async fn token(&self, name: &str) -> (String, String) {
        let request = CreateTokenRequest { name: name.into(), ..Default::default() };
        let made = self.admin.access().create_token(request).await.expect("made").into_inner();
        (made.token, made.info.expect("what is kept of it").id)
    }

    /// A client that bears one.
    pub async fn bearer(&self, name: &str) -> Client {
        client(&self.server, Some(&self.token(name).await.0))
    }

    /// A token whose time has passed.
    pub async fn expired(&self) -> String {
        let random = tokens::random().expect("randomness");
        let principal = Principal::new(Subject::parse("user:admin").expect("a name"), vec![]).expect("one");
        let new = tokens::make(&random, "old", principal, Timestamp(0), Some(Timestamp(1))).expect("a token");
        let patch = tokens::patch_to_add(&new).to_string();
        let change = reserved("tokens", change::Action::MergePatch(json(&patch)));
        self.admin.api().set(set(change)).await.expect("set");
        new.text.to_string()
    }
}

pub fn reserved(config: &str, action: change::Action) -> Change {
    Change { namespace: "confwatch".into(), config: config.into(), ..change("/", action) }
}

pub fn admin_token(directory: &TempDir) -> String {
    let path = directory.path().join("data.keys/admin.token");
    std::fs::read_to_string(path).expect("the first start makes a token").trim().to_owned()
}

pub fn client(server: &TestServer, token: Option<&str>) -> Client {
    Client::connect(ConnectOptions {
        address: format!("http://{}", server.running.address()),
        token: token.map(|token| token.parse::<Token>().expect("a token")),
        actor: Some("mallory".into()),
        ..ConnectOptions::default()
    })
    .expect("an address")
}

/// A call, what it takes, and how it ends.
pub struct Row {
    pub call: &'static str,
    pub message: Vec<u8>,
    /// The token that has the right: the name of a verb, or `admin`.
    pub right: &'static str,
    pub with_right: Code,
    pub with_too_little: Code,
}

fn row(call: &'static str, message: impl Message, right: &'static str) -> Row {
    let message = message.encode_to_vec();
    Row { call, message, right, with_right: Code::Ok, with_too_little: Code::PermissionDenied }
}

impl Row {
    /// Any good credential will do.
    fn open(self) -> Row {
        Row { with_too_little: self.with_right, ..self }
    }

    fn ends(self, with_right: Code) -> Row {
        Row { with_right, ..self }
    }
}

/// In an order in which each can succeed.
pub fn rows() -> Vec<Row> {
    let schema = || Some(json(r#"{"type":"object"}"#));
    let put = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: schema(),
        ..Default::default()
    };
    let name = || ("test".to_owned(), "app".to_owned());
    let (namespace, config) = name();
    let schema_get = SchemaServiceGetRequest { namespace, config, ..Default::default() };
    let (namespace, config) = name();
    let migrate = MigrateRequest { namespace, config, ..Default::default() };
    let (namespace, config) = name();
    let schema_delete = SchemaServiceDeleteRequest { namespace, config, ..Default::default() };
    let (namespace, config) = name();
    let explain = ExplainRequest { namespace, config, ..Default::default() };
    let (namespace, config) = name();
    let blame = BlameRequest { namespace, config, ..Default::default() };
    let older = NamespaceSide { namespace: "test".into(), ..Default::default() };
    let diff_namespaces = DiffNamespacesRequest { older: Some(older), ..Default::default() };
    let search = SearchRequest { namespace: "test".into(), key: "a".into(), ..Default::default() };
    let overrides = ListOverridesRequest { namespace: "test".into(), ..Default::default() };
    let restore = RestoreRequest {
        namespace: "test".into(),
        to: Some(restore_request::To::Revision(5)),
        ..Default::default()
    };
    let target = || WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let diff = DiffRequest { older: Some(get("/")), newer: Some(get("/staging")), ..Default::default() };
    let validate = ValidateRequest { changes: vec![replace("/", r#"{"a":2}"#)], ..Default::default() };
    let apply = ApplyRequest { changes: vec![replace("/", r#"{"a":3}"#)], ..Default::default() };
    let can_i = CanIRequest { verb: "read".into(), ..Default::default() };
    let create = CreateTokenRequest { name: "new".into(), ..Default::default() };
    let revoke = RevokeTokenRequest { id: "000000000000".into(), ..Default::default() };
    let revoke_session = RevokeSessionRequest { id: "000000000000".into(), ..Default::default() };
    let listed = ListChangesRequest { namespace: "test".into(), ..Default::default() };
    let changes = StreamChangesRequest { from_revision: 1, ..Default::default() };
    let changes = StreamChangesRequest { namespace: "test".into(), ..changes };
    let (namespace, config) = name();
    let converging = vec![ConvergenceTarget { namespace, config, scope: String::new() }];
    vec![
        row("ConfigService/Get", get("/"), "read"),
        row(
            "ConfigService/BatchGet",
            BatchGetRequest { requests: vec![get("/")], ..Default::default() },
            "read",
        ),
        row("ConfigService/List", ListRequest { namespace: "test".into(), ..Default::default() }, "read")
            .open(),
        row("ConfigService/Explain", explain, "read"),
        row("ConfigService/Blame", blame, "read"),
        // The last of the changes that the tests begin with.
        row("ConfigService/Revert", RevertRequest { revisions: vec![5], options: None }, "revert"),
        row("ConfigService/Restore", restore, "revert"),
        row("ConfigService/Set", set(replace("/", r#"{"a":2}"#)), "write"),
        row("ConfigService/Apply", apply, "write"),
        row("ConfigService/Validate", validate, "validate"),
        row("ConfigService/ListVersions", versions(), "read"),
        row("ConfigService/ListChanges", listed, "read"),
        row("ConfigService/GetCommit", GetCommitRequest { revision: 5, ..Default::default() }, "read"),
        row("ConfigService/Diff", diff, "read"),
        row("ConfigService/DiffNamespaces", diff_namespaces, "read"),
        row("ConfigService/Search", search, "read"),
        row("ConfigService/ListOverrides", overrides, "read"),
        row("ConfigService/SetTag", set_tag("stable", 1), "tag"),
        row("ConfigService/DeleteTag", delete_tag("stable"), "tag"),
        row("ConfigService/Rollback", rollback(rollback_request::To::Version(1)), "rollback"),
        row("ConfigService/Watch", WatchRequest { targets: vec![target()], ..Default::default() }, "read"),
        row("ConfigService/RequestProgress", RequestProgressRequest::default(), "read")
            .ends(Code::NotFound)
            .open(),
        row("ConfigService/StreamChanges", changes, "read"),
        row("ConfigService/Delete", delete(Some("/staging")), "write"),
        row("SchemaService/Put", put, "schema"),
        row("SchemaService/Get", schema_get, "read"),
        row(
            "SchemaService/List",
            SchemaServiceListRequest { namespace: "test".into(), ..Default::default() },
            "read",
        )
        .open(),
        row("SchemaService/Migrate", migrate, "schema"),
        row("SchemaService/Delete", schema_delete, "schema"),
        row("SecretService/Status", SecretServiceStatusRequest {}, "admin"),
        row("SecretService/RotateDataKey", RotateDataKeyRequest { namespace: "test".into() }, "admin")
            .ends(Code::InvalidArgument),
        row("SecretService/RotateMasterKey", RotateMasterKeyRequest {}, "admin").ends(Code::NotFound),
        row("AuthService/WhoAmI", WhoAmIRequest {}, "read").open(),
        row("AuthService/CreateToken", create, "admin"),
        row("AuthService/ListTokens", ListTokensRequest::default(), "admin"),
        row("AuthService/RevokeToken", revoke, "admin").ends(Code::NotFound),
        row("AuthService/ListSessions", ListSessionsRequest::default(), "read").open(),
        row("AuthService/RevokeSession", revoke_session, "admin").ends(Code::NotFound),
        row("AuthService/CanI", can_i, "read").open(),
        row("AuditService/List", AuditServiceListRequest::default(), "audit"),
        row(
            "AuditService/Stream",
            AuditServiceStreamRequest { from_revision: 1, ..Default::default() },
            "audit",
        ),
        row("AuditService/Verify", AuditServiceVerifyRequest {}, "audit"),
        row(
            "FleetService/ListClients",
            ListClientsRequest { namespace: "test".into(), ..Default::default() },
            "read",
        ),
        row(
            "FleetService/WaitConverged",
            WaitConvergedRequest { targets: converging, ..Default::default() },
            "read",
        ),
        row("StatusService/Get", StatusServiceGetRequest {}, "read").open(),
        row(
            "BackupService/CreateBackup",
            CreateBackupRequest { namespace: "test".into(), ..Default::default() },
            "backup",
        ),
        // The server of these tests has no directory of backups.
        row("BackupService/ListBackups", ListBackupsRequest::default(), "backup")
            .ends(Code::FailedPrecondition)
            .open(),
        row("BackupService/GetBackup", GetBackupRequest::default(), "backup")
            .ends(Code::FailedPrecondition)
            .open(),
        row("BackupService/VerifyBackup", VerifyBackupRequest::default(), "backup")
            .ends(Code::FailedPrecondition)
            .open(),
        row("BackupService/PinBackup", PinBackupRequest::default(), "backup")
            .ends(Code::FailedPrecondition)
            .open(),
        row(
            "BackupService/PruneBackups",
            PruneBackupsRequest { keep_count: 1, ..Default::default() },
            "admin",
        )
        .ends(Code::FailedPrecondition),
        row(
            "BackupService/UploadBackup",
            UploadBackupRequest {
                namespace: "test".into(),
                size_bytes: 9,
                sha256: format!("sha256:{}", "0".repeat(64)),
                ..Default::default()
            },
            "backup",
        ),
    ]
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// How the call ends, or that it does not end before its first message.
async fn end(server: &TestServer, row: &Row, authorization: Option<&str>) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.running.address())).expect("an address");
    let mut grpc = Grpc::new(endpoint.connect().await.expect("the server listens"));
    grpc.ready().await.expect("ready");
    let path = format!("/confwatch.v1.{}", row.call).parse().expect("a path");
    let mut request = Request::new(row.message.clone());
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().expect("a header"));
    }
    let mut messages = grpc.server_streaming(request, path, Raw).await?.into_inner();
    messages.message().await.map(drop)
}

#[tokio::test]
async fn every_call_answers_every_kind_of_credential_with_its_code() {
    let guarded = Guarded::start_with_policy().await;
    let (server, rows) = (&guarded.server, rows());
    let described = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let calls: BTreeSet<String> = described
        .file
        .iter()
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    assert_eq!(calls, rows.iter().map(|row| row.call.to_owned()).collect(), "every call has a row");

    let expired = format!("Bearer {}", guarded.expired().await);
    let (revoked, id) = guarded.token("read").await;
    let revoke = RevokeTokenRequest { id, reason: String::new() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    let revoked = format!("Bearer {revoked}");
    let unknown = tokens::random().expect("randomness");
    let principal = Principal::new(Subject::parse("user:x").expect("a name"), vec![]).expect("one");
    let unknown = tokens::make(&unknown, "x", principal, Timestamp(0), None).expect("a token").text;
    let unknown = format!("Bearer {}", unknown.as_str());
    let too_little = ["audit", "read"].map(async |verb| format!("Bearer {}", guarded.token(verb).await.0));
    let [auditor, reader] = too_little;
    let (auditor, reader) = (auditor.await, reader.await);
    for row in &rows {
        let right = match row.right {
            "admin" => admin_token(&server.directory),
            verb => guarded.token(verb).await.0,
        };
        for (authorization, reason) in [
            (None, "NO_CREDENTIAL"),
            (Some("Basic YTpi"), "CREDENTIAL_MALFORMED"),
            (Some("Bearer cw_nonsense"), "CREDENTIAL_MALFORMED"),
            (Some("Bearer a.b.c"), "CREDENTIAL_UNKNOWN"),
            (Some(unknown.as_str()), "CREDENTIAL_UNKNOWN"),
            (Some(expired.as_str()), "CREDENTIAL_EXPIRED"),
            (Some(revoked.as_str()), "CREDENTIAL_REVOKED"),
        ] {
            let ended = end(server, row, authorization).await.expect_err(row.call);
            let (code, found, _) = told(&ended);
            assert_eq!((code, found.as_str()), (Code::Unauthenticated, reason), "{}: {ended:?}", row.call);
        }
        let code = |ended: Result<(), Status>| ended.map_or_else(|status| status.code(), |()| Code::Ok);
        let (too_little, actor) = match row.right {
            "audit" => (&reader, "token:read"),
            _ => (&auditor, "token:audit"),
        };
        let ended = end(server, row, Some(too_little)).await;
        if row.with_too_little == Code::PermissionDenied {
            let status = ended.as_ref().expect_err(row.call);
            let (_, reason, metadata) = told(status);
            assert_eq!((reason.as_str(), metadata["actor"].as_str()), ("PERMISSION_DENIED", actor));
        }
        assert_eq!(code(ended), row.with_too_little, "{} with too little", row.call);
        let ended = end(server, row, Some(&format!("Bearer {right}"))).await;
        assert_eq!(code(ended.clone()), row.with_right, "{} with what it takes: {ended:?}", row.call);
    }
}

#[tokio::test]
async fn the_first_start_makes_one_token_for_its_owner_alone() {
    let guarded = Guarded::start().await;
    let who = guarded.admin.access().who_am_i(WhoAmIRequest {}).await.expect("an answer").into_inner();
    assert_eq!((who.actor.as_str(), who.credential_kind()), ("user:admin", CredentialKind::Token));
    let path = guarded.server.directory.path().join("data.keys/admin.token");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode = std::fs::metadata(path.parent().expect("its directory")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let made = std::fs::read_to_string(&path).expect("readable");
    drop(guarded.admin);
    let directory = guarded.server.stop().await;
    let again = Guarded::start_in(directory).await;
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), made, "a second start makes none");
    let listed = again.admin.access().list_tokens(ListTokensRequest::default()).await.expect("listed");
    assert_eq!(listed.into_inner().tokens.len(), 1);
}

#[tokio::test]
async fn authentication_cannot_be_off_where_others_can_connect() {
    let directory = TempDir::new().expect("a directory");
    let settings =
        |auth| Settings { listen: "0.0.0.0:0".into(), insecure: true, auth, ..settings(directory.path()) };
    let refused = Server::start(settings(Some(AuthMode::Off))).await.err().expect("it is refused");
    assert!(refused.to_string().contains("--auth off"), "{refused}");
    let running = Server::start(settings(None)).await.expect("it starts, with authentication");
    let address = format!("http://127.0.0.1:{}", running.address().port());
    let anonymous = Client::connect(ConnectOptions { address, ..Default::default() }).expect("an address");
    refused_by(anonymous.api().get(get("/")).await, Code::Unauthenticated, "NO_CREDENTIAL");
    running.shutdown().await;
}

#[track_caller]
fn refused_by<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) {
    refused(result, code, reason);
}

#[tokio::test]
async fn history_shows_who_proved_to_be_somebody_and_not_who_they_claim_to_be() {
    let guarded = Guarded::start_with_policy().await;
    let writer = guarded.bearer("write").await;
    writer.api().set(set(replace("/", r#"{"a":7}"#))).await.expect("set");
    let versions =
        guarded.admin.api().list_versions(versions()).await.expect("history").into_inner().versions;
    let actors: Vec<String> =
        versions.into_iter().map(|version| version.commit.expect("a commit").actor).collect();
    assert_eq!(actors, ["token:write", "user:admin", "user:admin", "user:admin"]);
}

#[tokio::test]
async fn a_right_at_a_scope_is_none_beside_or_above_it() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    staging.api().get(get("/staging/checkout")).await.expect("below");
    staging.api().set(set(replace("/staging", r#"{"a":9}"#))).await.expect("at it");
    for scope in ["/", "/production"] {
        let denied = staging.api().get(get(scope)).await;
        refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
        let denied = staging.api().set(set(replace(scope, "{}"))).await;
        refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    // One of several is enough to refuse all.
    let changes = vec![replace("/staging", r#"{"a":10}"#), replace("/production", r#"{"a":10}"#)];
    let denied = staging.api().apply(ApplyRequest { changes, options: None }).await;
    let denied = refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let (_, _, metadata) = told(&denied);
    assert_eq!(
        (metadata["verb"].as_str(), metadata["resource"].as_str()),
        ("write", "test/app at /production")
    );
    refused(staging.api().delete(delete(None)).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(staging.api().list_versions(versions()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    // The history of the scope tells of nothing beside it, though a commit did more.
    let changes = vec![replace("/staging", r#"{"a":11}"#), replace("/production", r#"{"a":11}"#)];
    guarded.admin.api().apply(ApplyRequest { changes, options: None }).await.expect("applied");
    let of_scope =
        ListVersionsRequest { scope: Some("/staging".into()), include_content: true, ..versions() };
    let history = staging.api().list_versions(of_scope).await.expect("history").into_inner().versions;
    let scopes = history.iter().flat_map(|version| &version.commit.as_ref().expect("a commit").changes);
    let scopes: BTreeSet<&str> =
        scopes.flat_map(|change| &change.layers).map(|layer| layer.scope.as_str()).collect();
    assert_eq!(scopes, BTreeSet::from(["/staging"]));
}

#[tokio::test]
async fn lists_show_only_what_may_be_read() {
    let guarded = Guarded::start_with_policy().await;
    let elsewhere = Change { namespace: "other".into(), ..replace("/", "{}") };
    guarded.admin.api().set(set(elsewhere)).await.expect("set");
    let names = async |client: &Client| {
        let listed = client.api().list(ListRequest::default()).await.expect("listed").into_inner();
        listed.configs.into_iter().map(|config| format!("{}/{}", config.namespace, config.config)).collect()
    };
    let all: Vec<String> = names(&guarded.admin).await;
    assert_eq!(all, ["confwatch/policy", "confwatch/tokens", "other/app", "test/app"]);
    let of_reader: Vec<String> = names(&guarded.bearer("read").await).await;
    assert_eq!(of_reader, ["test/app"]);
    let of_writer: Vec<String> = names(&guarded.bearer("write").await).await;
    assert!(of_writer.is_empty(), "{of_writer:?}");
}

/// A watch that has told its first state.
pub async fn opened(client: &Client, config: &str, scope: &str) -> tonic::Streaming<WatchResponse> {
    let target = WatchTarget {
        namespace: "test".into(),
        config: config.into(),
        scope: scope.into(),
        ..Default::default()
    };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.api().watch(request).await.expect("it opens").into_inner();
    stream.message().await.expect("a snapshot");
    stream
}

/// How a stream ends, whatever it tells before.
pub async fn ending<T>(mut stream: tonic::Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended well"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn revocation_reaches_open_streams() {
    let guarded = Guarded::start_with_policy().await;
    let (token, id) = guarded.token("read").await;
    let bearer = client(&guarded.server, Some(&token));
    let watch = opened(&bearer, "app", "/").await;
    let changes = StreamChangesRequest { namespace: "test".into(), ..Default::default() };
    let changes = bearer.api().stream_changes(changes).await.expect("it opens").into_inner();
    let other = opened(&guarded.bearer("read").await, "app", "/").await;
    let request = RevokeTokenRequest { id: id.clone(), reason: "lost".into() };
    let revoked = guarded.admin.access().revoke_token(request.clone()).await.expect("revoked").into_inner();
    assert!(revoked.changed);
    for status in [ending(watch).await, ending(changes).await] {
        let (code, reason, _) = told(&status);
        assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_REVOKED"));
    }
    refused(bearer.api().get(get("/")).await, Code::Unauthenticated, "CREDENTIAL_REVOKED");
    let again = guarded.admin.access().revoke_token(request).await.expect("an answer").into_inner();
    assert!(!again.changed && again.info == revoked.info, "the time of the first stays");
    // The stream of another bearer goes on.
    guarded.admin.api().set(set(replace("/", r#"{"a":5}"#))).await.expect("set");
    let mut other = other;
    assert!(matches!(
        other.message().await.expect("it goes on").expect("a message").event,
        Some(watch_response::Event::Update(_))
    ));
}

#[tokio::test]
async fn a_credential_that_expires_ends_its_streams() {
    let guarded = Guarded::start_with_policy().await;
    let end = std::time::SystemTime::now() + Duration::from_millis(1500);
    let request =
        CreateTokenRequest { name: "read".into(), expire_time: Some(end.into()), ..Default::default() };
    let made = guarded.admin.access().create_token(request).await.expect("made").into_inner();
    let watch = opened(&client(&guarded.server, Some(&made.token)), "app", "/").await;
    let (code, reason, _) = told(&ending(watch).await);
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn a_new_policy_reaches_open_streams_and_a_rollback_takes_it_back() {
    let guarded = Guarded::start_with_policy().await;
    let reader = guarded.bearer("read").await;
    let watch = opened(&reader, "app", "/").await;
    let staging = opened(&guarded.bearer("staging").await, "app", "/staging").await;
    let without = POLICY.replace("token:read", "token:nobody");
    guarded.set_policy(&without).await.expect("good");
    let (code, reason, _) = told(&ending(watch).await);
    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    refused(reader.api().get(get("/")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let to = RollbackRequest {
        namespace: "confwatch".into(),
        config: "policy".into(),
        to: Some(rollback_request::To::Version(2)),
        ..Default::default()
    };
    guarded.admin.api().rollback(to).await.expect("rolled back");
    reader.api().get(get("/")).await.expect("the policy of before holds again");
    // Who was allowed all the time has not noticed.
    guarded.admin.api().set(set(replace("/staging", r#"{"a":5}"#))).await.expect("set");
    let mut staging = staging;
    let told = staging.message().await.expect("it goes on").expect("a message");
    assert!(matches!(told.event, Some(watch_response::Event::Update(_))), "{told:?}");
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_refused_whatever_makes_it() {
    let guarded = Guarded::start().await;
    let refused_policy = guarded.set_policy(r#"{"roles": {}, "bindings": [{"role": "owner"}]}"#).await;
    let status = refused(refused_policy, Code::FailedPrecondition, "VALIDATION_FAILED");
    let found = findings(&status);
    assert!(found.iter().any(|finding| finding.pointer.starts_with("/bindings/0")), "{found:?}");
    let patch = reserved("tokens", change::Action::MergePatch(json(r#"{"tokens": {"x": {}}}"#)));
    refused(guarded.admin.api().set(set(patch)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let scoped =
        Change { scope: "/staging".into(), ..reserved("policy", change::Action::Replace(json("{}"))) };
    refused(guarded.admin.api().set(set(scoped)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    guarded.admin.access().who_am_i(WhoAmIRequest {}).await.expect("nothing has changed");
}

#[tokio::test]
async fn streams_show_only_what_may_be_read() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    let mut all = opened(&staging, "*", "/staging").await;
    let from = StreamChangesRequest { from_revision: 1, include_content: true, ..Default::default() };
    let mut commits = staging.api().stream_changes(from).await.expect("it opens").into_inner();
    let other = Change { config: "secret".into(), ..replace("/staging", r#"{"b":1}"#) };
    guarded.admin.api().set(set(other)).await.expect("set");
    guarded.admin.api().set(set(replace("/staging", r#"{"a":8}"#))).await.expect("set");
    let watched = loop {
        let message = all.message().await.expect("it goes on").expect("a message");
        if let Some(watch_response::Event::Update(update)) = message.event {
            break update;
        }
    };
    let configs: Vec<String> =
        watched.states.into_iter().map(|state| state.target.expect("a target").config).collect();
    assert_eq!(configs, ["app"]);
    let mut seen = vec![];
    while seen.len() < 2 {
        let message = commits.message().await.expect("it goes on").expect("a message");
        let Some(stream_changes_response::Event::Commit(commit)) = message.event else { continue };
        for change in commit.changes {
            seen.extend(change.layers.into_iter().map(|layer| format!("{}@{}", change.config, layer.scope)));
        }
    }
    assert_eq!(seen, ["app@/staging", "app@/staging"]);
}

#[tokio::test]
async fn a_stream_says_how_far_it_is_to_its_own_actor_only() {
    let guarded = Guarded::start_with_policy().await;
    let reader = guarded.bearer("read").await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = reader.api().watch(request).await.expect("it opens").into_inner();
    let watch_id = stream.message().await.expect("a snapshot").expect("a message").watch_id;
    let progress = || RequestProgressRequest { watch_id: watch_id.clone() };
    for other in [&guarded.admin, &guarded.bearer("staging").await] {
        let refused_to = other.api().request_progress(progress()).await;
        refused(refused_to, Code::NotFound, "WATCH_NOT_FOUND");
    }
    // With another token, and on another connection: it is the same actor.
    let same = guarded.bearer("read").await;
    let asked = same.api().request_progress(progress()).await.expect("it is there").into_inner();
    let told = stream.message().await.expect("it goes on").expect("a message");
    assert!(
        matches!(told.event, Some(watch_response::Event::Progress(_))) && told.revision >= asked.revision
    );
}

#[tokio::test]
async fn can_i_explains_and_tells_of_others_to_administrators_only() {
    let guarded = Guarded::start_with_policy().await;
    let ask = |subject: &str, verb: &str, scope: &str| CanIRequest {
        subject: subject.into(),
        verb: verb.into(),
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.into(),
        ..Default::default()
    };
    let staging = guarded.bearer("staging").await;
    let yes = staging.access().can_i(ask("", "write", "/staging")).await.expect("an answer").into_inner();
    assert!(yes.allowed && yes.bindings[0].role == "editor", "{yes:?}");
    let no = staging.access().can_i(ask("", "write", "/")).await.expect("an answer").into_inner();
    assert!(!no.allowed && no.needs == "write on test/app at /", "{no:?}");
    assert_eq!(no.bindings[0].lacks().collect::<Vec<_>>(), [BindingLack::Scope]);
    let of_others = staging.access().can_i(ask("token:read", "read", "/")).await;
    refused(of_others, Code::PermissionDenied, "PERMISSION_DENIED");
    let of_others = guarded.admin.access().can_i(ask("token:read", "read", "/")).await;
    assert!(of_others.expect("an answer").into_inner().allowed);
    let nobody = guarded.admin.access().can_i(ask("alice", "read", "/")).await;
    refused_for(nobody, "INVALID_FIELD", "subject");
}

#[tokio::test]
async fn a_token_is_told_once_and_listed_without_its_secret() {
    let guarded = Guarded::start().await;
    let (token, id) = guarded.token("ci").await;
    let request = ListTokensRequest { page_size: 1, ..Default::default() };
    let first = guarded.admin.access().list_tokens(request.clone()).await.expect("listed").into_inner();
    assert_eq!(first.tokens[0].id, id, "the newest comes first");
    assert!(!format!("{first:?}").contains(&token[16..]));
    let next = ListTokensRequest { page_token: first.next_page_token, ..request };
    let next = guarded.admin.access().list_tokens(next).await.expect("listed").into_inner();
    assert_eq!((next.tokens[0].name.as_str(), next.next_page_token.as_str()), ("admin", ""));
    assert!(next.tokens[0].last_use_time.is_some());
    let whole = RevokeTokenRequest { id: token.clone(), reason: String::new() };
    let status = refused_for(guarded.admin.access().revoke_token(whole).await, "INVALID_FIELD", "id");
    assert!(!status.message().contains(&token[16..]), "{status:?}");
    let nothing = client(&guarded.server, Some(&token));
    refused(nothing.access().list_tokens(request_all()).await, Code::PermissionDenied, "PERMISSION_DENIED");
}

fn request_all() -> ListTokensRequest {
    ListTokensRequest { include_ended: true, ..Default::default() }
}
