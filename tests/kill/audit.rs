//! The audit trail under `kill -9`: each change of access is recorded once, and the audit file misses no line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use confwatch::proto::v1::audit_service_client::AuditServiceClient;
use confwatch::proto::v1::*;
use fastrand::Rng;
use serde_json::Value;
use tempfile::TempDir;

use super::kill_9;
use super::server::Server;

const ROUNDS: u64 = 6;
/// How long the server serves writes before it is killed.
const WRITE_TIME_MS: std::ops::RangeInclusive<u64> = 20..=400;

/// Every second write changes what governs access.
fn write(number: u64) -> SetRequest {
    let (namespace, config, content) = match number % 2 {
        0 => (
            "confwatch",
            "quotas",
            format!(r#"{{"namespaces": {{"other": {{"configs": {}}}}}}}"#, number + 1),
        ),
        _ => ("shop", "web", format!(r#"{{"number": {number}}}"#)),
    };
    SetRequest {
        change: Some(Change {
            namespace: namespace.into(),
            config: config.into(),
            action: Some(change::Action::Replace(Text { content, format: Format::Json.into() })),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// How often each revision is among the lines of one kind.
fn lines(file: &Path, kind: &str) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    // The last line may be torn: what was killed while it wrote writes it again.
    for line in fs::read_to_string(file).expect("there is a file").lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        assert_ne!(line["kind"], "gap", "{line}");
        if line["kind"] == kind {
            *found.entry(line["revision"].as_u64().expect("a revision")).or_default() += 1;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_every_change_of_access_is_recorded_once_and_no_audit_line_is_missing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let (data, file) = (directory.path().join("data"), directory.path().join("audit.jsonl"));
    let arguments = ["--audit-file", file.to_str().expect("it is text")];
    let mut number = 0;
    for _ in 0..ROUNDS {
        let server = Server::spawn(&data, &arguments).ready().await;
        let mut client = server.client().await;
        let lifetime = Duration::from_millis(rng.u64(WRITE_TIME_MS));
        let writing = async {
            loop {
                number += 1;
                client.set(write(number)).await.expect("it is stored");
            }
        };
        let _ = tokio::time::timeout(lifetime, writing).await;
        kill_9(server.process).await;
    }
    let server = Server::spawn(&data, &arguments).ready().await;
    let mut client = server.client().await;
    let head = client.set(write(number + 1)).await.expect("it is stored").into_inner().store_revision;
    // Which commits changed what governs access, as history has it.
    let mut governing = vec![];
    let request = StreamChangesRequest { from_revision: 1, ..Default::default() };
    let mut changes = client.stream_changes(request).await.expect("it opens").into_inner();
    loop {
        let message = changes.message().await.expect("it is open").expect("a commit");
        let Some(stream_changes_response::Event::Commit(commit)) = message.event else { continue };
        if commit.changes.iter().any(|change| change.namespace == "confwatch") {
            governing.push(message.revision);
        }
        if message.revision == head {
            break;
        }
    }
    let mut audit = AuditServiceClient::new(server.connect().await);
    let is_complete =
        |found: &BTreeMap<u64, u64>, all: &[u64]| all.iter().all(|revision| found.contains_key(revision));
    let all: Vec<u64> = (1..=head).collect();
    // It is written within a second or so; then nothing is waited for.
    let mut attempts = 0;
    while !(is_complete(&lines(&file, "change"), &all)
        && is_complete(&lines(&file, "access_changed"), &governing))
    {
        attempts += 1;
        assert!(attempts < 600, "lines are missing: of {head} revisions, {governing:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let filter = AuditFilter { kinds: vec![AuditKind::AccessChanged.into()], ..Default::default() };
    let (mut recorded, mut page_token) = (vec![], String::new());
    loop {
        let request = AuditServiceListRequest { filter: Some(filter.clone()), page_size: 1000, page_token };
        let page = audit.list(request).await.expect("listed").into_inner();
        recorded.extend(page.entries.into_iter().map(|entry| entry.revision));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    recorded.sort_unstable();
    assert_eq!(recorded, governing, "each once");
    let proof = audit.verify(AuditServiceVerifyRequest {}).await.expect("proved").into_inner();
    assert!(proof.intact, "{proof:?}");
    kill_9(server.process).await;
}
