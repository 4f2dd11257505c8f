//! Floods: what many denied calls do to the audit log, and what a reader of the trail is told that was overtaken.

use std::path::Path;
use std::time::Duration;

use confwatch::proto::v1::*;
use confwatch::server::Settings;
use futures_util::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;

use super::auth::{Guarded, reserved};
use super::metrics::scrape;
use super::support::*;

pub async fn listed(guarded: &Guarded, kind: AuditKind) -> Vec<AuditEntry> {
    let filter = Some(AuditFilter { kinds: vec![kind.into()], ..Default::default() });
    let (mut entries, mut page_token) = (vec![], String::new());
    loop {
        let request = AuditServiceListRequest { filter: filter.clone(), page_size: 1000, page_token };
        let page = guarded.admin.audit().list(request).await.expect("listed").into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}

#[tokio::test]
async fn ten_thousand_denied_calls_hide_no_reveal_and_no_attempt_on_the_policy() {
    let guarded = Guarded::start_with_policy().await;
    let secret = r#"{"password":{"$secret":"hunter2"}}"#;
    guarded.admin.api().set(set(replace("/production", secret))).await.expect("set");
    let mallory = guarded.bearer("mallory").await;
    let denied = futures_util::stream::iter(0..10_100).map(|number| {
        let mut api = mallory.api();
        async move {
            let call = api.get(get(&format!("/s{number}"))).await;
            refused(call, Code::PermissionDenied, "PERMISSION_DENIED");
        }
    });
    denied.buffer_unordered(64).for_each(|()| async {}).await;
    // Right after it.
    for _ in 0..3 {
        guarded.admin.api().get(get("/production")).await.expect("a document");
        let attempt = set(reserved("policy", change::Action::Replace(json("{}"))));
        refused(mallory.api().set(attempt).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let mut reveals = listed(&guarded, AuditKind::Revealed).await;
    reveals.retain(|entry| entry.rpc_method.ends_with("/Get"));
    assert_eq!(reveals.len(), 3, "each time");
    for reveal in reveals {
        let AuditEntry { actor, namespace, config, scope, count, .. } = &reveal;
        let found = (actor.as_str(), namespace.as_str(), config.as_str(), scope.as_str(), *count);
        assert_eq!(found, ("user:admin", "test", "app", "/production", 1));
    }
    let denials = listed(&guarded, AuditKind::Denied).await;
    let attempts = denials.iter().filter(|entry| entry.namespace == "confwatch");
    let attempts: Vec<_> =
        attempts.map(|entry| (entry.actor.as_str(), entry.config.as_str(), entry.count)).collect();
    assert_eq!(attempts, [("token:mallory", "policy", 1); 3]);
    let floods = denials.iter().filter(|entry| entry.namespace != "confwatch");
    assert!(floods.clone().all(|entry| entry.actor == "token:mallory" && entry.address == "127.0.0.1"));
    assert!(floods.count() < 1000, "the flood is summed up");
    let proof =
        guarded.admin.audit().verify(AuditServiceVerifyRequest {}).await.expect("proved").into_inner();
    assert!(proof.intact, "{proof:?}");
    let names: Vec<_> = proof.parts.iter().map(|chain| (chain.name.as_str(), chain.count > 0)).collect();
    assert_eq!(
        names,
        [("reveals", true), ("attempts", true), ("sessions", false), ("denied", true), ("refused", false),]
    );
}

/// An auditor of a namespace sees the sums of what was denied there, and nothing of what was denied elsewhere.
#[tokio::test]
async fn an_auditor_of_a_namespace_sees_the_sum_of_a_flood_that_concerns_it() {
    let guarded = Guarded::start().await;
    let policy = r#"{
      "bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:auditor"], "role": "auditor", "namespace": "test", "config": "*", "scope": "/"}
      ]
    }"#;
    guarded.set_policy(policy).await.expect("the policy is good");
    for namespace in ["test", "other"] {
        let write = Change { namespace: namespace.into(), ..replace("/", "{}") };
        guarded.admin.api().set(set(write)).await.expect("set");
    }
    let mallory = guarded.bearer("mallory").await;
    let denied = futures_util::stream::iter(0..900).map(|number| {
        let mut api = mallory.api();
        async move {
            let namespace = ["test", "other", "missing"][number % 3].into();
            let call = api.get(GetRequest { namespace, ..get(&format!("/s{number}")) }).await;
            refused(call, Code::PermissionDenied, "PERMISSION_DENIED");
        }
    });
    denied.buffer_unordered(64).for_each(|()| async {}).await;
    let auditor = guarded.bearer("auditor").await;
    let filter = Some(AuditFilter { kinds: vec![AuditKind::Denied.into()], ..Default::default() });
    let request = AuditServiceListRequest { filter, page_size: 1000, ..Default::default() };
    let seen = auditor.audit().list(request).await.expect("listed").into_inner().entries;
    let began = seen.iter().filter(|entry| !entry.first_resource.is_empty());
    let began: Vec<_> = began.map(|entry| (entry.actor.as_str(), entry.namespace.as_str())).collect();
    assert_eq!(began, [("token:mallory", "test")], "the flood of this namespace");
    assert!(seen.iter().all(|entry| {
        let named = [&entry.first_resource, &entry.last_resource];
        entry.namespace == "test" && named.iter().all(|name| name.is_empty() || name.starts_with("test/"))
    }));
    let mut all = listed(&guarded, AuditKind::Denied).await;
    all.retain(|entry| !entry.first_resource.is_empty());
    let mut namespaces: Vec<_> = all.iter().map(|entry| entry.namespace.as_str()).collect();
    namespaces.sort_unstable();
    assert_eq!(namespaces, ["", "other", "test"], "one sum each, and one for the rest");
}

pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn revisions(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter(|line| line["kind"] == "change")
        .filter_map(|line| line["revision"].as_u64())
        .collect()
}

pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn an_audit_file_that_compaction_overtakes_tells_the_gap_and_goes_on() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    // It cannot be written yet.
    std::fs::create_dir(&path).expect("made");
    let file = path.clone();
    let server = TestServer::start_in(directory, |settings| {
        believing(settings);
        settings.audit_file = Some(file);
        settings.retain_revisions = Some(10);
        settings.metrics_listen = Some("127.0.0.1:0".into());
    })
    .await;
    let mut client = server.client().await;
    let mut written = 0;
    let mut write = async |count: u64| {
        for _ in 0..count {
            written += 1;
            put(&mut client, "/", &format!(r#"{{"a":{written}}}"#)).await;
        }
    };
    write(3000).await;
    std::fs::remove_dir(&path).expect("removed");
    until("the file is written", || lines(&path).iter().any(|line| line["revision"] == 3000)).await;
    let all = lines(&path);
    let gaps: Vec<_> = all.iter().filter(|line| line["kind"] == "gap").collect();
    assert!(!gaps.is_empty(), "what was compacted is told to be missing");
    assert!(gaps.iter().all(|gap| gap["of"] == "changes"), "{gaps:?}");
    let missing: u64 = gaps.iter().filter_map(|gap| gap["count"].as_u64()).sum();
    assert_eq!(
        revisions(&all).len() as u64 + missing,
        3000,
        "every revision is there, or told to be missing"
    );
    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_audit_file_missed_total", &[]), Some(missing as f64));
    write(1).await;
    until("the file goes on", || lines(&path).iter().any(|line| line["revision"] == 3001)).await;
    server.stop().await;
}

#[tokio::test]
async fn an_audit_file_goes_on_after_a_restart_where_it_ended() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let file = path.clone();
    let with_file = move |settings: &mut Settings| {
        believing(settings);
        settings.audit_file = Some(file.clone());
    };
    let server = TestServer::start_in(directory, &with_file).await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    until("the file is written", || revisions(&lines(&path)) == [1]).await;
    // From now on it cannot be written, and the server ends without it.
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).expect("renamed");
    std::fs::create_dir(&path).expect("made");
    put(&mut server.client().await, "/", r#"{"a":2}"#).await;
    let directory = server.stop().await;
    std::fs::remove_dir(&path).expect("removed");
    std::fs::rename(&aside, &path).expect("renamed");
    let server = TestServer::start_in(directory, &with_file).await;
    put(&mut server.client().await, "/", r#"{"a":3}"#).await;
    until("the file goes on", || revisions(&lines(&path)).contains(&3)).await;
    let all = lines(&path);
    let mut found = revisions(&all);
    found.dedup();
    assert_eq!(found, [1, 2, 3]);
    let mut sequences: Vec<u64> = all.iter().filter_map(|line| line["sequence"].as_u64()).collect();
    sequences.dedup();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>(), "no record is missing");
    assert!(all.iter().all(|line| line["kind"] != "gap"));
    server.stop().await;
}

/// What is said of a change of access.
fn access_change(entry: &AuditEntry) -> (AuditKind, &str, &str, &str, &str, u64, &str) {
    let AuditEntry { actor, address, namespace, config, revision, reason, .. } = entry;
    assert_eq!((namespace.as_str(), entry.outcome.as_str()), ("confwatch", "COMMITTED"));
    assert!(entry.credential.starts_with("token:"), "{entry:?}");
    (entry.kind(), actor, address, config, &entry.scope, *revision, reason)
}

#[tokio::test]
async fn a_change_of_access_is_listed_after_its_commit_was_compacted() {
    let with_retention = |settings: &mut Settings| settings.retain_revisions = Some(10);
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), with_retention).await;
    let options = WriteOptions { reason: "for the tests".into(), ..Default::default() };
    let change = reserved("policy", change::Action::Replace(json(super::auth::POLICY)));
    let request = SetRequest { change: Some(change), options: Some(options) };
    guarded.admin.api().set(request).await.expect("the policy is good");
    let revision = guarded.server.running.engine().state().revision.0;
    let of_policy = || async {
        let filter =
            AuditFilter { namespace: "confwatch".into(), config: "policy".into(), ..Default::default() };
        let request = AuditServiceListRequest { filter: Some(filter), ..Default::default() };
        let mut entries = guarded.admin.audit().list(request).await.expect("listed").into_inner().entries;
        entries.retain(|entry| entry.revision == revision);
        entries
    };
    // While the commit is there, the list has the change once; the record is there for who asks for it.
    let entries = of_policy().await;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind()).collect();
    assert_eq!(kinds, [AuditKind::Change]);
    let expected =
        (AuditKind::AccessChanged, "user:admin", "127.0.0.1", "policy", "/", revision, "for the tests");
    let mut recorded = vec![];
    while recorded.is_empty() {
        recorded = listed(&guarded, AuditKind::AccessChanged).await;
        recorded.retain(|entry| entry.revision == revision);
    }
    let recorded: Vec<_> = recorded.iter().map(access_change).collect();
    assert_eq!(recorded, [expected]);
    // Commits of others make it old.
    let oldest = || guarded.server.running.engine().oldest().expect("the store is open").0;
    let mut number = 0;
    while oldest() <= revision {
        number += 1;
        let content = format!(r#"{{"a":{number}}}"#);
        guarded.admin.api().set(set(replace("/", &content))).await.expect("set");
    }
    let entries = of_policy().await;
    let found: Vec<_> = entries.iter().map(access_change).collect();
    assert_eq!(found, [expected], "the record is left");
    // The next start records nothing again.
    let guarded = Guarded::start_as(guarded.server.stop().await, with_retention).await;
    guarded.token("another").await;
    let newest = guarded.server.running.engine().state().revision.0;
    let mut recorded = vec![];
    while !recorded.iter().any(|entry: &AuditEntry| entry.revision == newest) {
        recorded = listed(&guarded, AuditKind::AccessChanged).await;
    }
    let mut revisions: Vec<u64> = recorded.iter().map(|entry| entry.revision).collect();
    revisions.reverse();
    assert_eq!(revisions, [1, 1, revision, newest], "the first start has made a policy and a token");
}
