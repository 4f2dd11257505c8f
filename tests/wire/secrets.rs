//! Secrets: where they are never found, their keys, and what a server without its master key does.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::secret_service_client::SecretServiceClient;
use confwatch::proto::v1::*;
use confwatch::secret::MasterKeySource;
use confwatch::server::Server;
use prost::Message;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::support::*;
use super::watching::*;

/// Every secret that is written begins so.
const CANARY: &str = "cAnArY";

/// Stands beside them, and is none.
pub const PLAIN: &str = "pLaInTeXt";

type Secrets = SecretServiceClient<Wire>;

fn canary(name: &str) -> String {
    format!("{CANARY}-{name}")
}

/// To a process, which believes everybody.
async fn connect_to(address: &str) -> Wire {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    connect(endpoint, &Bearer::default()).await
}

async fn secrets(server: &TestServer) -> Secrets {
    Secrets::new(server.channel().await)
}

/// A server as a process, whose log is kept in a file.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    async fn start(directory: &Path) -> Process {
        let log = File::options().create(true).append(true).open(directory.join("log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
            command.env_remove(name);
        }
        let command = command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log",
                "trace",
                "--log-format",
                "json",
                "--data-dir",
            ])
            .arg(directory.join("data"))
            .arg("--audit-file")
            .arg(directory.join("audit.jsonl"))
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the binary was built with this test");
        let output = child.stdout.take().expect("it is piped");
        let line = BufReader::new(output).lines().next_line().await.expect("it is text").expect("it starts");
        let (_, rest) = line.split_once(" serving on ").expect("the start-up line");
        let address = rest.split(',').next().expect("the address comes first").to_owned();
        Process { child, address }
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Also in the forms in which bytes are often written.
pub fn assert_no_canary(place: &str, bytes: &[u8]) {
    let reversed: String = CANARY.chars().rev().collect();
    let wide: Vec<u8> = CANARY.bytes().flat_map(|byte| [byte, 0]).collect();
    let forms = [
        CANARY.as_bytes().to_vec(),
        reversed.into_bytes(),
        wide,
        CANARY.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        // At each of the three places that it can have in base64.
        b"Y0FuQXJZ".to_vec(),
        b"NBbkFyW".to_vec(),
        b"jQW5Bcl".to_vec(),
    ];
    for form in forms {
        let found = bytes.windows(form.len()).position(|window| window == form);
        assert!(found.is_none(), "{place} has {:?} at byte {found:?}", String::from_utf8_lossy(&form));
    }
}

pub fn assert_no_canary_on_disk(directory: &Path) {
    let mut is_plain_found = false;
    for path in files(directory) {
        let mut bytes = vec![];
        File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it is readable");
        assert_no_canary(&path.display().to_string(), &bytes);
        is_plain_found |= bytes.windows(PLAIN.len()).any(|window| window == PLAIN.as_bytes());
    }
    assert!(is_plain_found, "what is no secret is found: it would be noticed");
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, result: Result<T, Status>) {
    let status = result.expect_err(what);
    assert_no_canary(what, status.message().as_bytes());
    assert_no_canary(what, status.details());
}

/// Writes secrets in every way there is, and fails to in many.
async fn write_secrets(channel: &Wire) {
    let mut client = Client::new(channel.clone());
    let mut schemas = SchemaServiceClient::new(channel.clone());
    let schema = r#"{"properties":{"db":{"properties":{"password":{"x-secret":true,"type":"string","maxLength":40}}},
        "retries":{"type":"integer"}}}"#;
    let put_schema = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(schema)),
        ..Default::default()
    };
    schemas.put(put_schema.clone()).await.expect("put");
    let rules = r#"{"rules":{"no-x":{"expression":"config.token != 'cAnArY-x'",
        "message_expression":"'token is ' + config.token"}}}"#
        .replace("'cAnArY-x'", "'cAn' + 'ArY-x'");
    let rules = Change { config: "rules:app".into(), ..replace("/", &rules) };
    let token = |name: &str| format!(r#"{{"token":{{"$secret":"{}"}},"plain":"{PLAIN}"}}"#, canary(name));
    let request = SetRequest { options: request_id("first"), ..set(replace("/", &token("set"))) };
    client.set(request.clone()).await.expect("set");
    client.set(request).await.expect("the same again");
    client.set(set(rules)).await.expect("set");
    let by_schema = format!(r#"{{"db":{{"password":"{}","user":"u"}}}}"#, canary("schema"));
    client.set(set(replace("/production", &by_schema))).await.expect("set");
    let yaml =
        Text { content: format!("list:\n  - $secret: {}\n", canary("yaml")), format: Format::Yaml.into() };
    client.set(set(change("/staging", change::Action::Replace(yaml)))).await.expect("set");
    let patch = format!(r#"{{"db":{{"password":"{}"}}}}"#, canary("merge"));
    client.set(set(merge_patch("/production", &patch))).await.expect("set");
    let operations = format!(
        r#"[{{"op":"add","path":"/other","value":{{"$secret":"{}"}}}},{{"op":"move","from":"/token","path":"/moved"}},
        {{"op":"copy","from":"/moved","path":"/token"}}]"#,
        canary("patch")
    );
    client.set(set(json_patch("/", &operations))).await.expect("set");
    let assigned = format!(r#"{{"$secret":"{}"}}"#, canary("assign"));
    client.set(set(assign("/", &[("token", &assigned)]))).await.expect("set");
    client.set(set(assign("/", &[("token", &format!("{:?}", canary("unmarked")))]))).await.expect("set");
    let over = Change {
        kind: LayerKind::Override.into(),
        ttl: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
        ..replace("/production", &token("override"))
    };
    let other = Change { config: "other".into(), ..replace("/", &token("apply")) };
    let request = ApplyRequest { changes: vec![over, other], ..Default::default() };
    client.apply(request).await.expect("apply");
    client.rollback(rollback(rollback_request::To::Version(3))).await.expect("rollback");
    client.set_tag(set_tag("stable", 4)).await.expect("tag");
    client.delete(DeleteRequest { config: "other".into(), ..delete(None) }).await.expect("delete");

    assert_refused("no JSON", client.set(set(replace("/", &token("json")[..40]))).await);
    let yaml = Text {
        content: format!("token: {{$secret: {}\n  x: [", canary("broken")),
        format: Format::Yaml.into(),
    };
    assert_refused("no YAML", client.set(set(change("/", change::Action::Replace(yaml)))).await);
    let toml = Text { content: format!("token = '{}", canary("toml")), format: Format::Toml.into() };
    assert_refused("no TOML", client.set(set(change("/", change::Action::Replace(toml)))).await);
    assert_refused("a rule", client.set(set(merge_patch("/", &token("x")))).await);
    let long = format!(r#"{{"db":{{"password":"{}"}}}}"#, canary(&"x".repeat(50)));
    assert_refused("the schema", client.set(set(merge_patch("/", &long))).await);
    let wrong = format!(r#"{{"retries":{{"$secret":"{}"}}}}"#, canary("short"));
    assert_refused("a type", client.set(set(merge_patch("/", &wrong))).await);
    let beside = format!(r#"{{"a":{{"$secret":"{}","b":1}}}}"#, canary("beside"));
    assert_refused("a mark with something beside it", client.set(set(merge_patch("/", &beside))).await);
    let tested = format!(r#"[{{"op":"test","path":"/token","value":"{}"}}]"#, canary("tested"));
    assert_refused("a patch", client.set(set(json_patch("/", &tested))).await);
    let stale = Change { expected_version: Some(1), ..replace("/", &token("stale")) };
    assert_refused("a stale version", client.set(set(stale)).await);
    let reused = SetRequest { options: request_id("first"), ..set(replace("/", &token("reused"))) };
    assert_refused("a request id", client.set(reused).await);
    let validated =
        ValidateRequest { changes: vec![replace("/", &long), replace("/x", &wrong)], ..Default::default() };
    let validated = client.validate(validated).await.expect("validated").into_inner().report;
    assert_no_canary("a report", &validated.expect("a report").encode_to_vec());
    migrate_secrets(channel, &put_schema).await;
}

/// Migrates a config with a secret, seals it anew, and asks for everything that is told of what was done.
async fn migrate_secrets(channel: &Wire, put_schema: &SchemaServicePutRequest) {
    let mut client = Client::new(channel.clone());
    let mut schemas = SchemaServiceClient::new(channel.clone());
    let secret = format!(r#"{{"old":{{"$secret":"{}"}}}}"#, canary("migrated"));
    client.set(set(Change { config: "migrated".into(), ..replace("/", &secret) })).await.expect("set");
    for (title, up) in [("1", ""), ("2", r#"[{"move":{"from":"/old","to":"/new"}}]"#)] {
        let put = SchemaServicePutRequest {
            config: "migrated".into(),
            schema: Some(json(&format!(r#"{{"title":"{title}"}}"#))),
            up: up.into(),
            ..put_schema.clone()
        };
        schemas.put(put).await.expect("put");
    }
    let migrate =
        MigrateRequest { namespace: "test".into(), config: "migrated".into(), ..Default::default() };
    let migrated = schemas.migrate(migrate).await.expect("migrated").into_inner();
    assert!(migrated.changed);
    let document = format!(r#"{{"n":{{"$secret":"{}"}}}}"#, canary("document"));
    let against = ValidateRequest {
        schema: Some(json(r#"{"properties":{"n":{"type":"number","x-secret":true}}}"#)),
        document: Some(json(&document)),
        ..Default::default()
    };
    let report = client.validate(against).await.expect("validated").into_inner().report.expect("a report");
    assert_no_canary("a report", &report.encode_to_vec());
    let mut keys = Secrets::new(channel.clone());
    let rotate = RotateDataKeyRequest { namespace: "test".into() };
    keys.rotate_data_key(rotate).await.expect("rotated");
    let status = keys.status(SecretServiceStatusRequest {}).await.expect("a status").into_inner();
    assert_no_canary("the status of keys", &status.encode_to_vec());
    let mut audit = audit_service_client::AuditServiceClient::new(channel.clone());
    let listed = audit.list(AuditServiceListRequest { page_size: 1000, ..Default::default() }).await;
    assert_no_canary("the audit trail", &listed.expect("listed").into_inner().encode_to_vec());
}

#[tokio::test]
async fn no_secret_is_found_on_disk_in_a_log_or_in_an_error_whatever_is_done_and_after_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let process = Process::start(directory.path()).await;
    let channel = connect_to(&process.address).await;
    write_secrets(&channel).await;
    let mut client = Client::new(channel.clone());
    let read = content(&mut client, get("/production")).await;
    assert!(
        read.contains(&canary("schema")) || read.contains(&canary("merge")),
        "who may see it does: {read}"
    );
    let both = DiffRequest {
        older: Some(GetRequest { at: Some(get_request::At::Version(1)), ..get("/production") }),
        newer: Some(get("/production")),
        ..Default::default()
    };
    let diff = client.diff(both).await.expect("diff").into_inner();
    assert!(diff.unified.contains(CANARY));
    let told = client.list_versions(ListVersionsRequest { include_content: true, ..versions() }).await;
    let told = format!("{:?}", told.expect("history").into_inner().versions);
    assert!(told.contains(&canary("assign")) && !told.contains("v1:"), "what is sealed never leaves");
    let explained = ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/production".into(),
        ..Default::default()
    };
    let explained = client.explain(explained).await.expect("explained").into_inner();
    assert!(format!("{:?}", explained.values).contains(CANARY));
    // In the middle of writing.
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let writer = tokio::spawn(async move {
        for at in 0.. {
            let layer = format!(r#"{{"token":{{"$secret":"{}"}}}}"#, canary(&at.to_string()));
            if client.set(set(replace("/killed", &layer))).await.is_err() {
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    while written.load(Ordering::Relaxed) < 50 {
        tokio::task::yield_now().await;
    }
    process.kill().await;
    writer.await.expect("it ends");
    assert_no_canary_on_disk(directory.path());
    let process = Process::start(directory.path()).await;
    let mut client = Client::new(connect_to(&process.address).await);
    assert!(content(&mut client, get("/production")).await.contains(CANARY), "they are there as before");
    process.kill().await;
    assert_no_canary_on_disk(directory.path());
}

#[tokio::test]
async fn data_keys_are_rotated_without_a_word_to_watchers_and_old_versions_open() {
    let server = TestServer::start().await;
    let (mut client, mut keys) = (server.client().await, secrets(&server).await);
    let rotate = RotateDataKeyRequest { namespace: "test".into() };
    refused_for(keys.rotate_data_key(rotate.clone()).await, "INVALID_NAME", "namespace");
    put(&mut client, "/", r#"{"a":{"$secret":"one"},"b":1}"#).await;
    put(&mut client, "/x", r#"{"a":{"$secret":"two"}}"#).await;
    let (mut watcher, _) = Watcher::open(&client, watch([target("app", "/x")])).await;
    let status = async |keys: &mut Secrets| {
        let status = keys.status(SecretServiceStatusRequest {}).await.expect("status").into_inner();
        let of_test =
            status.namespaces.into_iter().find(|keys| keys.namespace == "test").expect("it has keys");
        (of_test.keys.len(), of_test.values, of_test.values_behind, of_test.values_broken)
    };
    assert_eq!(status(&mut keys).await, (1, 2, 0, 0));
    let rotated = keys.rotate_data_key(rotate.clone()).await.expect("rotated").into_inner();
    assert_eq!((rotated.is_new, rotated.configs_resealed, rotated.configs_left), (true, 1, 0));
    assert_eq!(status(&mut keys).await, (2, 2, 0, 0));
    // One commit for the key, and one for the config, of which a watcher is told the next change only.
    put(&mut client, "/x", r#"{"a":{"$secret":"three"}}"#).await;
    let told = watcher.next().await.expect("the change");
    assert_eq!(told.states[0].document.as_ref().expect("a document").content, r#"{"a":"three","b":1}"#);
    let first = GetRequest { at: Some(get_request::At::Version(2)), ..get("/x") };
    assert_eq!(content(&mut client, first).await, r#"{"a":"two","b":1}"#);
    // What a rollback brings back is sealed as it is now.
    client.rollback(rollback(rollback_request::To::Version(2))).await.expect("rolled back");
    assert_eq!(status(&mut keys).await, (2, 2, 0, 0));
    // An unchanged write is none, whatever has sealed the value.
    let same = put(&mut client, "/x", r#"{"a":{"$secret":"two"}}"#).await;
    assert!(!same.changed);
    let directory = server.stop().await;
    let server = TestServer::start_in(directory, |_| {}).await;
    let (mut client, mut keys) = (server.client().await, secrets(&server).await);
    assert_eq!(content(&mut client, get("/x")).await, r#"{"a":"two","b":1}"#);
    let rotated = keys.rotate_data_key(rotate).await.expect("rotated").into_inner();
    assert!(rotated.is_new && rotated.configs_resealed == 1);
}

#[tokio::test]
async fn the_master_key_is_rotated_and_the_old_one_is_needed_no_more() {
    let server = TestServer::start().await;
    let (mut client, mut keys) = (server.client().await, secrets(&server).await);
    put(&mut client, "/", r#"{"a":{"$secret":"one"}}"#).await;
    let rotated = keys.rotate_master_key(RotateMasterKeyRequest {}).await.expect("rotated").into_inner();
    assert!(rotated.is_made && rotated.namespaces == 1 && rotated.old_key_id != rotated.new_key_id);
    put(&mut client, "/x", r#"{"a":{"$secret":"two"}}"#).await;
    let directory = server.stop().await;
    let path = directory.path().join("data.keys/master.key");
    let lines = std::fs::read_to_string(&path).expect("it is there");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2);
    std::fs::write(&path, lines[0]).expect("it is ours");
    // From the environment it is the same key.
    let text = lines[0].to_owned();
    let server = TestServer::start_in(directory, |settings| {
        settings.master_key = Some(MasterKeySource::Text(text.into()));
    })
    .await;
    let (mut client, mut keys) = (server.client().await, secrets(&server).await);
    assert_eq!(content(&mut client, get("/x")).await, r#"{"a":"two"}"#);
    let status = keys.status(SecretServiceStatusRequest {}).await.expect("status").into_inner();
    assert_eq!((status.master_key_id, status.next_master_key_id.as_str()), (rotated.new_key_id, ""));
    let fixed = keys.rotate_master_key(RotateMasterKeyRequest {}).await;
    refused(fixed, Code::FailedPrecondition, "MASTER_KEY_NOT_WRITABLE");
}

#[tokio::test]
async fn a_server_without_its_master_key_says_so_and_does_not_start() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":{"$secret":"one"}}"#).await;
    let directory = server.stop().await;
    let path = directory.path().join("data.keys/master.key");
    let key = std::fs::read_to_string(&path).expect("it was made");
    let passphrase = directory.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse battery staple").expect("it is ours");
    let missing = MasterKeySource::File(directory.path().join("nowhere"));
    let other = MasterKeySource::Text("00".repeat(32).into());
    for source in [None, Some(missing), Some(other), Some(MasterKeySource::Passphrase(passphrase))] {
        if source.is_none() {
            std::fs::remove_file(&path).expect("it is there");
        }
        let mut settings = settings(directory.path());
        settings.master_key = source;
        let error = Server::start(settings).await.map(|_| ()).expect_err("it does not start");
        let told = format!("{error:#}");
        assert!(told.contains("master key") && !told.contains(key.trim()), "{told}");
    }
    std::fs::write(&path, key).expect("it is ours");
    let server = TestServer::start_in(directory, |_| {}).await;
    assert_eq!(content(&mut server.client().await, get("/")).await, r#"{"a":"one"}"#);
}

#[tokio::test]
async fn a_passphrase_is_a_master_key_too() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("passphrase");
    std::fs::write(&path, "correct horse battery staple\n").expect("it is ours");
    let source = MasterKeySource::Passphrase(path.clone());
    let server = TestServer::start_in(directory, |settings| settings.master_key = Some(source.clone())).await;
    put(&mut server.client().await, "/", r#"{"a":{"$secret":"one"}}"#).await;
    let directory = server.stop().await;
    // The new one is written before the old one.
    std::fs::write(&path, "another horse, another staple\ncorrect horse battery staple\n")
        .expect("it is ours");
    let server = TestServer::start_in(directory, |settings| settings.master_key = Some(source.clone())).await;
    let rotated = secrets(&server).await.rotate_master_key(RotateMasterKeyRequest {}).await;
    assert!(!rotated.expect("rotated").into_inner().is_made);
    let directory = server.stop().await;
    std::fs::write(&path, "another horse, another staple\n").expect("it is ours");
    let server = TestServer::start_in(directory, |settings| settings.master_key = Some(source)).await;
    assert_eq!(content(&mut server.client().await, get("/")).await, r#"{"a":"one"}"#);
}
