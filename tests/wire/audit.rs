//! The audit trail: that changes, denials and refusals are in it with who, whence and what, as one list, and that it is proved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use confwatch::client::Client;
use confwatch::proto::v1::audit_service_stream_response::Event;
use confwatch::proto::v1::*;
use serde_json::Value;
use tempfile::TempDir;
use tonic::{Code, Request, Streaming};

use super::auth::{Guarded, POLICY, client, ending, opened};
use super::metrics::scrape;
use super::support::*;

/// A call that its client has named.
fn named<T>(id: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-request-id", id.parse().expect("a header"));
    request
}

fn only(kinds: &[AuditKind]) -> AuditFilter {
    AuditFilter { kinds: kinds.iter().map(|kind| (*kind).into()).collect(), ..Default::default() }
}

fn shut_out() -> AuditFilter {
    only(&[AuditKind::Denied, AuditKind::Refused])
}

/// All entries, newest first, in pages of this size.
async fn pages(client: &Client, filter: AuditFilter, page_size: u32) -> Vec<AuditEntry> {
    let (mut entries, mut page_token) = (vec![], String::new());
    loop {
        let request = AuditServiceListRequest { filter: Some(filter.clone()), page_size, page_token };
        let page = client.audit().list(request).await.expect("listed").into_inner();
        assert!(page.entries.len() <= page_size as usize);
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}

async fn listed(client: &Client, filter: AuditFilter) -> Vec<AuditEntry> {
    pages(client, filter, 1000).await
}

/// Kind, actor, verb, resource, outcome.
fn told(entry: &AuditEntry) -> String {
    let kind = entry.kind().as_str_name().trim_start_matches("AUDIT_KIND_").to_lowercase();
    let AuditEntry { actor, verb, namespace, config, scope, outcome, .. } = entry;
    format!("{kind} {actor} {verb} {namespace}/{config}{scope} {outcome}")
}

/// The next entry of a stream.
async fn next(stream: &mut Streaming<AuditServiceStreamResponse>) -> AuditEntry {
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        if let Some(Event::Entry(entry)) = message.event {
            return entry;
        }
    }
}

#[tokio::test]
async fn a_change_keeps_by_what_whence_and_by_which_call_it_was_made() {
    let guarded = Guarded::start_with_policy().await;
    let (token, id) = guarded.token("write").await;
    let writer = client(&guarded.server, Some(&token));
    writer.api().set(named("call-7", set(replace("/", r#"{"a":7}"#)))).await.expect("set");
    let check = async |client: &Client| {
        let history = client.api().list_versions(versions()).await.expect("history").into_inner();
        let commit = history.versions[0].commit.clone().expect("a commit");
        let Commit { actor, credential, address, call_id, .. } = commit;
        let expected = ("token:write", format!("token:{id}"), "127.0.0.1", "call-7");
        assert_eq!((actor.as_str(), credential, address.as_str(), call_id.as_str()), expected);
    };
    check(&guarded.admin).await;
    drop((writer, guarded.admin));
    let again = Guarded::start_in(guarded.server.stop().await).await;
    check(&again.admin).await;
}

#[tokio::test]
async fn who_is_shut_out_is_told_with_who_whence_and_what() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    let options = Some(WriteOptions { reason: "only a try".into(), ..Default::default() });
    let request = SetRequest { options, ..set(replace("/production", "{}")) };
    let denied = staging.api().set(named("call-1", request)).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    // By a generated server.
    let delete =
        SchemaServiceDeleteRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    refused(staging.schemas().delete(delete).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let denied = staging.access().list_tokens(ListTokensRequest::default()).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let anonymous = client(&guarded.server, None);
    let unknown = anonymous.api().get(named("call-2", get("/"))).await;
    refused(unknown, Code::Unauthenticated, "NO_CREDENTIAL");
    let (token, id) = guarded.token("read").await;
    let request = RevokeTokenRequest { id: id.clone(), reason: String::new() };
    guarded.admin.access().revoke_token(request).await.expect("revoked");
    let revoked = client(&guarded.server, Some(&token)).api().get(get("/")).await;
    refused(revoked, Code::Unauthenticated, "CREDENTIAL_REVOKED");

    let entries = listed(&guarded.admin, shut_out()).await;
    let found: Vec<String> = entries.iter().map(told).collect();
    assert_eq!(
        found,
        [
            "refused   / CREDENTIAL_REVOKED",
            "refused   / NO_CREDENTIAL",
            "denied token:staging admin confwatch/ PERMISSION_DENIED",
            "denied token:staging write test/schema:app/ PERMISSION_DENIED",
            "denied token:staging write test/app/production PERMISSION_DENIED",
        ]
    );
    assert_eq!(entries[0].credential, format!("token:{id}"), "whose secret was right");
    assert!(entries.iter().all(|entry| entry.address == "127.0.0.1" && entry.count == 1));
    let call = |at: usize| (entries[at].rpc_method.as_str(), entries[at].request_id.as_str());
    assert_eq!(call(4), ("/confwatch.v1.ConfigService/Set", "call-1"));
    assert_eq!(call(3), ("/confwatch.v1.SchemaService/Delete", ""));
    assert_eq!(call(1), ("/confwatch.v1.ConfigService/Get", "call-2"));
    assert!(entries[4].credential.starts_with("token:"), "{:?}", entries[4]);
    assert_eq!(entries[4].reason, "only a try");
    assert!(!format!("{entries:?}").contains(&token[16..]), "never the secret of a token");
}

#[tokio::test]
async fn a_stream_that_is_ended_for_its_access_is_told() {
    let guarded = Guarded::start_with_policy().await;
    let (token, id) = guarded.token("read").await;
    let reader = client(&guarded.server, Some(&token));
    let watch = opened(&reader, "app", "/").await;
    let changes = StreamChangesRequest { namespace: "test".into(), from_revision: 1, ..Default::default() };
    let changes = reader.api().stream_changes(changes).await.expect("it opens").into_inner();
    let other = opened(&guarded.bearer("read").await, "app", "/").await;
    let request = RevokeTokenRequest { id: id.clone(), reason: "lost".into() };
    guarded.admin.access().revoke_token(request).await.expect("revoked");
    ending(watch).await;
    ending(changes).await;
    guarded.set_policy(&POLICY.replace("token:read", "token:nobody")).await.expect("good");
    ending(other).await;

    let mut filter = shut_out();
    filter.actor = "token:read".into();
    let entries = listed(&guarded.admin, filter).await;
    assert_eq!(told(&entries[0]), "denied token:read read test/app/ PERMISSION_DENIED");
    assert_eq!(entries[0].rpc_method, "/confwatch.v1.ConfigService/Watch");
    let ended = &entries[1];
    assert_eq!(told(ended), "refused token:read  / CREDENTIAL_REVOKED");
    assert_eq!((ended.credential.as_str(), ended.address.as_str()), (&*format!("token:{id}"), "127.0.0.1"));
    // Which of the two came first is not known, and they are the same but for the method: so the second is counted.
    assert_eq!(entries.len(), 2, "{entries:?}");
    let denied = guarded.server.running.audit_counts().denied();
    assert_eq!(denied["CREDENTIAL_REVOKED"], 2, "{denied:?}");
}

#[tokio::test]
async fn what_is_the_same_within_a_minute_is_a_sum_that_a_stop_writes() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    for _ in 0..5 {
        let denied = staging.api().get(get("/production")).await;
        refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let entries = listed(&guarded.admin, shut_out()).await;
    assert_eq!(entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [1]);
    drop((staging, guarded.admin));
    let again = Guarded::start_in(guarded.server.stop().await).await;
    let entries = listed(&again.admin, shut_out()).await;
    assert_eq!(entries.iter().map(|entry| entry.count).collect::<Vec<_>>(), [4, 1]);
    assert!(entries[0].first_time.is_some() && entries[0].last_time.is_some());
    let of_server = listed(&again.admin, only(&[AuditKind::Started, AuditKind::Stopped])).await;
    let kinds: Vec<AuditKind> = of_server.iter().map(AuditEntry::kind).collect();
    assert_eq!(kinds, [AuditKind::Started, AuditKind::Stopped, AuditKind::Started]);
}

#[tokio::test]
async fn changes_and_records_are_one_list_whatever_the_page() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    for round in 0..6 {
        let content = format!(r#"{{"round":{round}}}"#);
        guarded.admin.api().set(set(replace("/", &content))).await.expect("set");
        let scope = format!("/production/{round}");
        refused(staging.api().get(get(&scope)).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let all = listed(&guarded.admin, AuditFilter::default()).await;
    let times: Vec<_> = all.iter().map(|entry| entry.time.map(|time| (time.seconds, time.nanos))).collect();
    assert!(times.is_sorted_by(|one, other| one >= other), "newest first");
    let newest: Vec<String> = all.iter().take(4).map(told).collect();
    assert_eq!(
        newest,
        [
            "denied token:staging read test/app/production/5 PERMISSION_DENIED",
            "change user:admin write test/app/ COMMITTED",
            "denied token:staging read test/app/production/4 PERMISSION_DENIED",
            "change user:admin write test/app/ COMMITTED",
        ]
    );
    assert!(all.last().is_some_and(|entry| entry.kind() == AuditKind::Change), "the first policy is older");
    for page_size in [1, 2, 3, 7] {
        assert_eq!(pages(&guarded.admin, AuditFilter::default(), page_size).await, all);
    }
    let count = async |filter: AuditFilter| {
        let found = listed(&guarded.admin, filter.clone()).await;
        assert_eq!(pages(&guarded.admin, filter, 2).await, found);
        found.len()
    };
    let any = AuditFilter::default;
    assert_eq!(count(AuditFilter { actor: "token:st*".into(), ..any() }).await, 6);
    assert_eq!(count(AuditFilter { actor: "token:st".into(), ..any() }).await, 0);
    assert_eq!(count(AuditFilter { verb: "write".into(), namespace: "test".into(), ..any() }).await, 9);
    assert_eq!(count(AuditFilter { outcome: "PERMISSION_DENIED".into(), ..any() }).await, 6);
    let config = AuditFilter { namespace: "test".into(), config: "app".into(), ..only(&[AuditKind::Denied]) };
    assert_eq!(count(config).await, 6);
    assert_eq!(count(AuditFilter { namespace: "nobody".into(), ..any() }).await, 0);
    assert_eq!(count(AuditFilter { address: "127.0.0.1".into(), ..only(&[AuditKind::Change]) }).await, 11);
    // Of times both ends belong to it.
    let (from, to) = (&all[5], &all[2]);
    let between = AuditFilter { from_time: from.time, to_time: to.time, ..any() };
    assert_eq!(listed(&guarded.admin, between.clone()).await, all[2..=5]);
    assert_eq!(pages(&guarded.admin, between, 1).await, all[2..=5]);

    let damaged = AuditServiceListRequest { page_token: "x".into(), ..Default::default() };
    refused_for(guarded.admin.audit().list(damaged).await, "INVALID_PAGE_TOKEN", "page_token");
    let filter = Some(AuditFilter { config: "app".into(), ..any() });
    let without = AuditServiceListRequest { filter, ..Default::default() };
    refused_for(guarded.admin.audit().list(without).await, "INVALID_NAME", "filter.namespace");
}

#[tokio::test]
async fn a_stream_tells_what_happens_and_goes_on_where_it_was() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    let mut audit = guarded.admin.audit();
    // The record of the start is written beside serving: a stream that is opened before would begin with it.
    while listed(&guarded.admin, only(&[AuditKind::Started])).await.is_empty() {}
    let mut stream = audit.stream(AuditServiceStreamRequest::default()).await.expect("it opens").into_inner();
    guarded.admin.api().set(set(replace("/", r#"{"a":5}"#))).await.expect("set");
    let change = next(&mut stream).await;
    assert_eq!(told(&change), "change user:admin write test/app/ COMMITTED");
    assert!(change.changes[0].layers[0].digest.is_empty(), "{change:?}");
    refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let message = stream.message().await.expect("it goes on").expect("a message");
    let Some(Event::Entry(denied)) = &message.event else { panic!("{message:?}") };
    assert_eq!(told(denied), "denied token:staging read test/app/production PERMISSION_DENIED");
    assert_eq!((message.revision, message.sequence), (change.revision, denied.sequence));
    drop(stream);

    guarded.admin.api().set(set(replace("/", r#"{"a":6}"#))).await.expect("set");
    let resumed = AuditServiceStreamRequest {
        from_revision: message.revision + 1,
        from_sequence: message.sequence + 1,
        ..Default::default()
    };
    let mut stream = audit.stream(resumed).await.expect("it opens").into_inner();
    assert_eq!(next(&mut stream).await.revision, message.revision + 1);

    // Everything, the oldest first.
    let all = listed(&guarded.admin, AuditFilter::default()).await;
    let from_time = Some(prost_types::Timestamp::default());
    let since = AuditServiceStreamRequest { from_time, ..Default::default() };
    let mut stream = audit.stream(since).await.expect("it opens").into_inner();
    let mut from_the_first = vec![];
    while from_the_first.len() < all.len() {
        from_the_first.push(next(&mut stream).await);
    }
    from_the_first.reverse();
    assert_eq!(from_the_first, all);

    let progress_interval = Some(Duration::from_millis(100).try_into().expect("a duration"));
    let filter = Some(only(&[AuditKind::Revealed]));
    let quiet = AuditServiceStreamRequest { filter, progress_interval, ..Default::default() };
    let mut stream = audit.stream(quiet).await.expect("it opens").into_inner();
    let progress = stream.message().await.expect("it goes on").expect("a message");
    assert_eq!(progress.event, Some(Event::Progress(Progress {})));
    assert_eq!(progress.revision, message.revision + 1);
    let future = AuditServiceStreamRequest { from_revision: 1000, ..Default::default() };
    refused(audit.stream(future).await, Code::OutOfRange, "REVISION_IN_FUTURE");
}

#[tokio::test]
async fn who_may_audit_some_namespaces_sees_those_alone() {
    let guarded = Guarded::start_with_policy().await;
    let of_test = r#"{"subjects": ["token:revisor"], "role": "auditor", "namespace": "test", "config": "*", "scope": "/"},
        {"subjects": ["token:audit"]"#;
    let policy = POLICY.replace(r#"{"subjects": ["token:audit"]"#, of_test);
    guarded.set_policy(&policy).await.expect("good");
    let (revisor, staging) = (guarded.bearer("revisor").await, guarded.bearer("staging").await);
    let elsewhere = Change { namespace: "other".into(), ..replace("/", r#"{"b":1}"#) };
    let changes = vec![replace("/", r#"{"b":1}"#), elsewhere];
    guarded.admin.api().apply(ApplyRequest { changes, options: None }).await.expect("applied");
    let elsewhere = GetRequest { namespace: "other".into(), ..get("/") };
    refused(staging.api().get(elsewhere).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    client(&guarded.server, None).api().get(get("/")).await.expect_err("without a credential");

    let seen = listed(&revisor, AuditFilter::default()).await;
    let namespaces: BTreeSet<&str> = seen.iter().map(|entry| entry.namespace.as_str()).collect();
    assert_eq!(namespaces, BTreeSet::from(["test"]), "{seen:?}");
    assert_eq!(seen.iter().filter(|entry| entry.kind() == AuditKind::Denied).count(), 1);
    assert_eq!(seen[1].changes.len(), 1, "of a commit that did more, its part: {:?}", seen[1]);
    // Which scopes were changed is told to who may audit them, and never the content.
    let layer = &seen[1].changes[0].layers[0];
    assert_eq!((layer.scope.as_str(), layer.content.as_str(), layer.digest.as_str()), ("/", "", ""));
    let all = listed(&guarded.admin, AuditFilter::default()).await;
    assert!(all.iter().any(|entry| entry.namespace == "confwatch"), "who may audit all sees all");
    assert_eq!(
        listed(&guarded.bearer("audit").await, shut_out()).await,
        listed(&guarded.admin, shut_out()).await
    );

    let of = |namespace: &str| {
        let filter = Some(AuditFilter { namespace: namespace.into(), ..Default::default() });
        AuditServiceListRequest { filter, ..Default::default() }
    };
    revisor.audit().list(of("test")).await.expect("listed");
    for namespace in ["other", "confwatch"] {
        refused(revisor.audit().list(of(namespace)).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let proof = revisor.audit().verify(AuditServiceVerifyRequest {}).await;
    refused(proof, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(staging.audit().list(of("")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    // An open stream ends with the right to it.
    let filter = of("test").filter;
    let of_test = AuditServiceStreamRequest { filter, ..Default::default() };
    let open = revisor.audit().stream(of_test).await.expect("it opens");
    guarded.set_policy(POLICY).await.expect("good");
    assert_eq!(ending(open.into_inner()).await.code(), Code::PermissionDenied);
    // Which is told, although a generated server has ended it.
    let ended = AuditFilter { actor: "token:revisor".into(), ..shut_out() };
    let ended = &listed(&guarded.admin, ended).await[0];
    assert_eq!(told(ended), "denied token:revisor audit test/ PERMISSION_DENIED");
    assert_eq!(ended.rpc_method, "/confwatch.v1.AuditService/Stream");
}

/// The files of a part of the audit log.
fn segments(directory: &TempDir, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.path().join("data/audit").join(part)).expect("a directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[tokio::test]
async fn both_chains_are_proved_while_the_server_runs() {
    let guarded = Guarded::start_with_policy().await;
    let staging = guarded.bearer("staging").await;
    refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let verify = async || {
        let proof =
            guarded.admin.audit().verify(AuditServiceVerifyRequest {}).await.expect("proved").into_inner();
        let records = proof.records.expect("of records");
        (proof.intact, proof.commits.expect("of commits"), records, proof.parts)
    };
    // The start; the first policy and token, the policy of these tests and the token, which are recorded soon after their commits.
    while verify().await.2.count < 5 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (intact, commits, records, denials) = verify().await;
    assert!(intact, "{commits:?} {records:?} {denials:?}");
    let newest = guarded.admin.api().list_versions(versions()).await.expect("history").into_inner();
    let newest = newest.versions[0].commit.clone().expect("a commit");
    assert!(commits.count == commits.newest && commits.newest >= newest.revision, "{commits:?}");
    let entries = listed(&guarded.admin, shut_out()).await;
    assert_eq!(records.count, 5, "the start and changes of access");
    let sequence = entries[0].sequence;
    assert_eq!(records.newest.max(sequence), 6, "all parts share one sequence");
    let denied = denials.iter().find(|chain| chain.name == "denied").expect("a part of the log");
    assert_eq!((denied.count, denied.newest, &denied.newest_hash), (1, sequence, &entries[0].chain_hash));

    let path = &segments(&guarded.server.directory, "denied")[0];
    let text = std::fs::read_to_string(path).expect("text");
    std::fs::write(path, text.replace("token:staging", "token:someone")).expect("written");
    let (intact, commits, records, denials) = verify().await;
    assert!(!intact && commits.broken.is_none() && records.broken.is_none());
    let denied = denials.iter().find(|chain| chain.name == "denied").expect("a part of the log");
    let broken = denied.broken.as_ref().expect("it is found");
    assert_eq!((broken.number, denied.newest), (sequence, 0));
    assert!(
        broken.message.contains("(line 2 of audit/denied/audit-0") && broken.message.contains(".jsonl)"),
        "{broken:?}"
    );
}

#[tokio::test]
async fn what_was_shut_out_is_counted_by_its_reason() {
    let listen = |settings: &mut confwatch::server::Settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), listen).await.with_policy().await;
    let staging = guarded.bearer("staging").await;
    for _ in 0..3 {
        refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    client(&guarded.server, None).api().get(get("/")).await.expect_err("without a credential");
    listed(&guarded.admin, shut_out()).await;
    // The start, two that were shut out, and four changes of access, which are recorded soon after their commits.
    while scrape(&guarded.server).await.value("confwatch_audit_records_total", &[]) < Some(7.0) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let told = scrape(&guarded.server).await;
    let denied = |reason| told.value("confwatch_denied_requests_total", &[("reason", reason)]);
    assert_eq!((denied("PERMISSION_DENIED"), denied("NO_CREDENTIAL")), (Some(3.0), Some(1.0)));
    assert_eq!(told.value("confwatch_secret_reveals_total", &[]), Some(0.0));
    assert_eq!(told.value("confwatch_audit_records_total", &[]), Some(7.0));
    assert_eq!(told.value("confwatch_audit_lost_total", &[]), Some(0.0));
    assert_eq!(told.value("confwatch_audit_failing", &[]), Some(0.0));
    assert!(told.value("confwatch_audit_bytes", &[]).expect("a size") > 0.0);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nobody() {
    let directory = TempDir::new().expect("a directory");
    std::fs::create_dir(directory.path().join("data")).expect("made");
    std::fs::write(directory.path().join("data/audit"), "in the way").expect("written");
    let guarded = Guarded::start_in(directory).await.with_policy().await;
    let staging = guarded.bearer("staging").await;
    refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    guarded.admin.api().set(set(replace("/", r#"{"a":5}"#))).await.expect("set");
    let list = guarded.admin.audit().list(AuditServiceListRequest::default()).await;
    refused(list, Code::Unavailable, "AUDIT_LOG_UNAVAILABLE");
    std::fs::remove_file(guarded.server.directory.path().join("data/audit")).expect("removed");
    // Nothing of it was lost.
    assert_eq!(listed(&guarded.admin, shut_out()).await.len(), 1);
}

fn json_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn the_file_for_a_siem_has_every_change_and_every_record_also_when_it_is_rotated() {
    let outside = TempDir::new().expect("a directory");
    let path = outside.path().join("audit.jsonl");
    let with_file = |settings: &mut confwatch::server::Settings| settings.audit_file = Some(path.clone());
    let guarded =
        Guarded::start_as(TempDir::new().expect("a directory"), with_file).await.with_policy().await;
    let staging = guarded.bearer("staging").await;
    refused(staging.api().get(get("/production")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    // Until it has the last of it.
    let text = || std::fs::read_to_string(&path).unwrap_or_default();
    while !text().contains("PERMISSION_DENIED") {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rotated = outside.path().join("audit.jsonl.1");
    std::fs::rename(&path, &rotated).expect("rotated");
    let mut change = set(replace("/", r#"{"password":"hunter2"}"#));
    change.options = Some(WriteOptions { reason: "rotated".into(), ..Default::default() });
    guarded.admin.api().set(named("call-9", change)).await.expect("set");
    drop((staging, guarded.admin));
    guarded.server.stop().await;

    let (before, after) = (json_lines(&rotated), json_lines(&path));
    assert_eq!(before[0]["kind"], "change", "the first administrator is made before the log begins");
    assert_eq!(before.iter().find(|line| line["kind"] != "change").expect("a record")["kind"], "started");
    let denied = before.iter().find(|line| line["kind"] == "denied").expect("a line");
    assert_eq!(denied["actor"], "token:staging");
    let changes = before.iter().chain(&after).filter(|line| line["kind"] == "change");
    let revisions: Vec<u64> = changes.filter_map(|line| line["revision"].as_u64()).collect();
    assert_eq!(revisions[0], 1, "the commit that made the first administrator");
    assert!(revisions.len() > 4 && revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{revisions:?}");
    let change = after.iter().find(|line| line["kind"] == "change").expect("a line");
    assert_eq!(change["reason"], "rotated");
    assert_eq!((&change["actor"], &change["address"]), (&"user:admin".into(), &"127.0.0.1".into()));
    assert_eq!((&change["request_id"], &change["source"]), (&"call-9".into(), &"set".into()));
    let layer = &change["changes"][0];
    assert_eq!((&layer["namespace"], &layer["config"]), (&"test".into(), &"app".into()));
    assert_eq!(layer["layers"][0]["scope"], "/");
    assert_eq!(after.last().expect("a line")["kind"], "stopped");
    assert!(!text().contains("hunter2"), "never content");
}

#[tokio::test]
async fn where_everybody_is_believed_changes_are_told_as_claimed() {
    let server = TestServer::start_believing().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    let everybody = client(&server, None);
    let entries = listed(&everybody, AuditFilter::default()).await;
    assert_eq!(
        entries.iter().map(told).collect::<Vec<_>>(),
        ["change anonymous write test/app/ COMMITTED", "started   / ",]
    );
    assert_eq!((entries[0].credential.as_str(), entries[0].address.as_str()), ("none", "127.0.0.1"));
    assert!(entries[1].detail.contains("--auth off"), "{:?}", entries[1]);
}
