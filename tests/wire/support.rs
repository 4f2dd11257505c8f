//! A server of one's own, and short ways to say what is sent and expected.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use confwatch::proto::v1::config_service_client::ConfigServiceClient;
use confwatch::proto::v1::*;
use confwatch::server::settings::AuthMode;
use confwatch::server::{RunningServer, Server, Settings};
use prost::Message;
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

pub type Client = ConfigServiceClient<Wire>;

/// A connection that presents a credential with each call, if the server asks for one.
pub type Wire = InterceptedService<Channel, Bearer>;

/// The credential of the administrator of a test server; none where everybody is believed.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    pub fn of(token: &str) -> Bearer {
        Bearer(Some(format!("Bearer {token}").parse().expect("a token is ASCII")))
    }

    pub fn administrator(directory: &Path) -> Bearer {
        let token = std::fs::read_to_string(directory.join("data.keys/admin.token"));
        let token = token.expect("the first start makes a token");
        Bearer::of(token.trim())
    }
}

impl Bearer {
    /// For the client of the library.
    pub fn token(&self) -> Option<confwatch::client::Token> {
        let token = self.header()?.strip_prefix("Bearer ")?;
        Some(token.parse().expect("a token"))
    }

    /// The value of the header, for calls that are made by hand.
    pub fn header(&self) -> Option<&str> {
        self.0.as_ref().map(|value| value.to_str().expect("a token is ASCII"))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0
            && !request.metadata().contains_key("authorization")
        {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// Whether servers of tests that do not choose ask for credentials: `CONFWATCH_TEST_AUTH=on`. All tests are run with it and without.
fn asks_for_credentials() -> bool {
    match std::env::var("CONFWATCH_TEST_AUTH").as_deref() {
        Ok("on") => true,
        Ok("off") | Err(_) => false,
        Ok(other) => panic!("CONFWATCH_TEST_AUTH is on or off, not {other:?}"),
    }
}

/// A server on a free port, with a directory of its own.
pub struct TestServer {
    pub running: RunningServer,
    pub directory: TempDir,
    /// What its clients present unless they choose.
    pub bearer: Bearer,
}

impl TestServer {
    pub async fn start() -> TestServer {
        TestServer::start_in(TempDir::new().expect("a directory"), |_| {}).await
    }

    /// A server that believes everybody, in each run: for a test of that, or one that counts every revision or config of the store, of
    /// which the first policy is one.
    pub async fn start_believing() -> TestServer {
        TestServer::start_in(TempDir::new().expect("a directory"), believing).await
    }

    /// On the data of an earlier server, with other settings.
    pub async fn start_in(directory: TempDir, change: impl FnOnce(&mut Settings)) -> TestServer {
        let mut settings = settings(directory.path());
        change(&mut settings);
        let asks = settings.auth.is_none() && settings.tls.is_none() && asks_for_credentials();
        if asks {
            settings.auth = Some(AuthMode::On);
        }
        let running = Server::start(settings).await.expect("the server starts");
        let bearer = if asks { Bearer::administrator(directory.path()) } else { Bearer::default() };
        TestServer { running, directory, bearer }
    }

    /// Stops it, and gives its data.
    pub async fn stop(self) -> TempDir {
        assert!(self.running.shutdown().await, "the data directory is free");
        self.directory
    }

    /// On a connection of its own.
    pub async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Wire {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.running.address()));
        connect(endpoint.expect("an address"), &self.bearer).await
    }
}

/// A connection whose calls present this.
pub async fn connect(endpoint: Endpoint, bearer: &Bearer) -> Wire {
    Wire::new(endpoint.connect().await.expect("the server listens"), bearer.clone())
}

/// The setting with which a server believes everybody.
pub fn believing(settings: &mut Settings) {
    settings.auth = Some(AuthMode::Off);
}

pub fn settings(directory: &Path) -> Settings {
    Settings {
        data_dir: directory.join("data"),
        listen: "127.0.0.1:0".into(),
        // A test of history that is compacted cannot wait for an hour.
        retention_grace: Duration::ZERO,
        ..Settings::default()
    }
}

pub fn json(content: &str) -> Text {
    Text { content: content.into(), format: Format::Json.into() }
}

/// Replaces a base layer of `test/app`.
pub fn replace(scope: &str, content: &str) -> Change {
    change(scope, change::Action::Replace(json(content)))
}

pub fn change(scope: &str, action: change::Action) -> Change {
    Change {
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.into(),
        action: Some(action),
        ..Default::default()
    }
}

pub fn set(change: Change) -> SetRequest {
    SetRequest { change: Some(change), options: None }
}

/// Reads `test/app`.
pub fn get(scope: &str) -> GetRequest {
    GetRequest { namespace: "test".into(), config: "app".into(), scope: scope.into(), ..Default::default() }
}

/// The content of a document that is there.
pub async fn content(client: &mut Client, request: GetRequest) -> String {
    client.get(request).await.expect("it is there").into_inner().document.expect("a document").content
}

/// The code, and the reason and metadata of the ErrorInfo.
pub fn told(status: &Status) -> (Code, String, HashMap<String, String>) {
    use tonic_types::StatusExt;
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "confwatch");
    (status.code(), info.reason, info.metadata)
}

/// The call was refused with this code and reason.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = result.expect_err("it should be refused");
    let (found_code, found_reason, _) = told(&status);
    assert_eq!((found_code, found_reason.as_str()), (code, reason), "{status:?}");
    check_message(&status);
    status
}

/// An error says in its message what it is about, since many clients show nothing else, and has neither paths nor errors of the system of the
/// server.
fn check_message(status: &Status) {
    let message = status.message();
    if status.code() == Code::InvalidArgument {
        let is_named = fields(status).iter().all(|field| message.starts_with(&format!("{field}: ")));
        assert!(is_named, "the message does not name the field: {status:?}");
    }
    let directory = std::env::temp_dir().display().to_string();
    let shows_server = message.contains(&directory) || message.contains("os error");
    assert!(!shows_server, "the message has what is for the log of the server: {status:?}");
}

/// The findings in the details of an error.
pub fn findings(status: &Status) -> Vec<Finding> {
    let details = tonic_types::pb::Status::decode(status.details()).expect("google.rpc.Status").details;
    let report = details.iter().find(|any| any.type_url.ends_with("confwatch.v1.ValidationReport"));
    let report = ValidationReport::decode(&*report.expect("a report").value).expect("a report");
    report.findings
}

/// The fields that the call was refused for.
pub fn fields(status: &Status) -> Vec<String> {
    use tonic_types::StatusExt;
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// Replaces a base layer of `test/app`, which succeeds.
pub async fn put(client: &mut Client, scope: &str, content: &str) -> SetResponse {
    client.set(set(replace(scope, content))).await.expect("set").into_inner()
}

/// The newest revision of the store.
pub async fn store_revision(client: &mut Client) -> u64 {
    client.list(ListRequest::default()).await.expect("list").into_inner().store_revision
}

/// The history of `test/app`, newest first.
pub async fn history(client: &mut Client) -> Vec<VersionInfo> {
    client.list_versions(versions()).await.expect("history").into_inner().versions
}

/// Asks for the history of `test/app`.
pub fn versions() -> ListVersionsRequest {
    ListVersionsRequest { namespace: "test".into(), config: "app".into(), ..Default::default() }
}

/// Deletes from `test/app`.
pub fn delete(scope: Option<&str>) -> DeleteRequest {
    DeleteRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.map(str::to_owned),
        ..Default::default()
    }
}

/// Rolls `test/app` back.
pub fn rollback(to: rollback_request::To) -> RollbackRequest {
    RollbackRequest { namespace: "test".into(), config: "app".into(), to: Some(to), ..Default::default() }
}

/// Tags a version of `test/app`.
pub fn set_tag(tag: &str, version: u64) -> SetTagRequest {
    SetTagRequest {
        revision: 0,
        expected_revision: None,
        namespace: "test".into(),
        config: "app".into(),
        tag: tag.into(),
        version,
        ..Default::default()
    }
}

/// Removes a tag of `test/app`.
pub fn delete_tag(tag: &str) -> DeleteTagRequest {
    DeleteTagRequest { namespace: "test".into(), config: "app".into(), tag: tag.into(), options: None }
}

/// The options of a write that may be repeated.
pub fn request_id(id: &str) -> Option<WriteOptions> {
    Some(WriteOptions { request_id: id.into(), ..Default::default() })
}

/// Merges a patch into a base layer of `test/app`.
pub fn merge_patch(scope: &str, patch: &str) -> Change {
    change(scope, change::Action::MergePatch(json(patch)))
}

/// Applies a JSON patch to a base layer of `test/app`.
pub fn json_patch(scope: &str, patch: &str) -> Change {
    change(scope, change::Action::JsonPatch(json(patch)))
}

/// Assigns values in a base layer of `test/app`.
pub fn assign(scope: &str, values: &[(&str, &str)]) -> Change {
    let values = values.iter().map(|(path, value)| ((*path).into(), (*value).into())).collect();
    change(scope, change::Action::Assign(Assignments { values }))
}

/// The call was refused as input that can never succeed, for this reason, in this field.
#[track_caller]
pub fn refused_for<T: std::fmt::Debug>(result: Result<T, Status>, reason: &str, field: &str) -> Status {
    let status = refused(result, Code::InvalidArgument, reason);
    assert_eq!(fields(&status), [field], "{status:?}");
    status
}
