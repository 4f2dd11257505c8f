//! Retention of single namespaces: the history of one is cut, and that of every other stays whole.

use std::path::Path;
use std::time::Duration;

use confwatch::backup::{Restoring, restore, verify};
use confwatch::engine::MasterKeySource;
use confwatch::model::Timestamp;
use confwatch::proto::v1::audit_service_client::AuditServiceClient;
use confwatch::proto::v1::backup_service_client::BackupServiceClient;
use confwatch::proto::v1::status_service_client::StatusServiceClient;
use confwatch::proto::v1::*;
use confwatch::store::{SledOptions, SledStore};
use tonic::{Code, Streaming};

use super::auth::{Guarded, reserved};
use super::support::*;

const ROUNDS: u64 = 8;

fn setting(namespace: &str, number: u64) -> Change {
    let content = format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(300));
    Change { namespace: namespace.into(), ..replace("/", &content) }
}

async fn set_in(client: &mut Client, namespace: &str, number: u64) -> u64 {
    client.set(set(setting(namespace, number))).await.expect("set").into_inner().store_revision
}

/// Rounds of a commit of `noisy`, one of `quiet`, and one of both: the revisions of each.
async fn filled(client: &mut Client) -> (Vec<u64>, Vec<u64>) {
    let (mut noisy, mut quiet) = (vec![], vec![]);
    for round in 0..ROUNDS {
        noisy.push(set_in(client, "noisy", round * 2).await);
        quiet.push(set_in(client, "quiet", round * 2).await);
        let changes = vec![setting("noisy", round * 2 + 1), setting("quiet", round * 2 + 1)];
        let both = client.apply(ApplyRequest { changes, options: None }).await.expect("applied");
        let both = both.into_inner().store_revision;
        noisy.push(both);
        quiet.push(both);
    }
    (noisy, quiet)
}

async fn retain(client: &mut Client, document: &str) -> SetResponse {
    let change = reserved("retention", change::Action::Replace(json(document)));
    client.set(set(change)).await.expect("an administrator may").into_inner()
}

/// Keeps next to nothing of `noisy`, but two versions.
const CUT: &str = r#"{"namespaces": {"noisy": {"bytes_max": 1, "versions_min": 2}}}"#;

/// Waits until the history of a namespace begins at a revision or later.
async fn until_cut(client: &mut Client, namespace: &str, before: u64) -> u64 {
    loop {
        let request = ListChangesRequest { namespace: namespace.into(), page_size: 1, ..Default::default() };
        let oldest = client.list_changes(request).await.expect("a page").into_inner().oldest_revision;
        if oldest >= before {
            return oldest;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn at(namespace: &str, at: get_request::At) -> GetRequest {
    GetRequest { namespace: namespace.into(), at: Some(at), ..get("/") }
}

/// All that history tells of a namespace: its commits, its versions, and the content of each.
async fn told_of(client: &mut Client, namespace: &str) -> (Vec<Commit>, Vec<VersionInfo>, Vec<String>) {
    let request = ListChangesRequest {
        namespace: namespace.into(),
        include_content: true,
        page_size: 1000,
        ..Default::default()
    };
    let commits = client.list_changes(request).await.expect("a page").into_inner().commits;
    let commits = commits.into_iter().map(|listed| listed.commit.expect("a commit")).collect();
    let request = ListVersionsRequest { namespace: namespace.into(), page_size: 1000, ..versions() };
    let versions = client.list_versions(request).await.expect("a page").into_inner().versions;
    let mut contents = vec![];
    for version in &versions {
        contents.push(content(client, at(namespace, get_request::At::Version(version.version))).await);
    }
    (commits, versions, contents)
}

#[track_caller]
fn compacted<T: std::fmt::Debug>(result: Result<T, tonic::Status>, oldest: u64) {
    let status = refused(result, Code::OutOfRange, "COMPACTED");
    assert_eq!(told(&status).2["oldest_revision"], oldest.to_string(), "{status:?}");
}

/// The commits of all namespaces from a revision on.
async fn stream(client: &mut Client, request: StreamChangesRequest) -> Streaming<StreamChangesResponse> {
    client.stream_changes(request).await.expect("it opens").into_inner()
}

async fn next_commit(stream: &mut Streaming<StreamChangesResponse>) -> (Commit, String) {
    loop {
        let message = stream.message().await.expect("it goes on").expect("it goes on");
        if let Some(stream_changes_response::Event::Commit(commit)) = message.event {
            return (commit, message.resume_token);
        }
    }
}

/// What holds of a server whose `noisy` was cut before `oldest`.
async fn check_cut(client: &mut Client, (noisy, quiet): (&[u64], &[u64]), oldest: u64) {
    let last = noisy.len() as u64;
    let request = ListVersionsRequest { namespace: "noisy".into(), ..versions() };
    let listed = client.list_versions(request).await.expect("listed").into_inner();
    let kept: Vec<u64> = listed.versions.iter().map(|version| version.version).collect();
    assert_eq!(kept, [last, last - 1, 2], "the newest two, and the one that has a tag");
    assert_eq!(listed.oldest_revision, oldest);
    // Who made a version stays known, though what the commit changed is not.
    let tagged = listed.versions[2].commit.as_ref().expect("a commit");
    assert_eq!(
        (tagged.revision, tagged.compacted_namespaces.as_slice()),
        (noisy[1], &["noisy".to_owned()][..])
    );
    assert!(tagged.changes.is_empty() && !tagged.chain_hash.is_empty());
    for read in [get_request::At::Version(2), get_request::At::Tag("stable".into())] {
        assert!(content(client, at("noisy", read)).await.starts_with(r#"{"n":1,"#));
    }
    let gone = client.get(at("noisy", get_request::At::Version(3))).await;
    let message = gone.as_ref().expect_err("it is gone").message().to_owned();
    compacted(gone, oldest);
    let expected = format!(
        "version 3 of noisy/app was compacted: the history of namespace noisy begins with revision {oldest}"
    );
    assert_eq!(message, expected);
    compacted(client.get(at("noisy", get_request::At::Revision(noisy[4]))).await, oldest);
    assert!(
        content(client, at("quiet", get_request::At::Revision(quiet[4]))).await.starts_with(r#"{"n":4,"#)
    );

    let of_noisy = |from_revision| StreamChangesRequest {
        namespace: "noisy".into(),
        from_revision,
        ..Default::default()
    };
    compacted(client.stream_changes(of_noisy(noisy[0])).await, oldest);
    let list =
        ListChangesRequest { namespace: "noisy".into(), from_revision: noisy[0], ..Default::default() };
    compacted(client.list_changes(list).await, oldest);
    let all = ListChangesRequest { namespace: "noisy".into(), ..Default::default() };
    let listed_commits = client.list_changes(all).await.expect("listed").into_inner();
    assert!(listed_commits.compacted && listed_commits.oldest_revision == oldest, "{listed_commits:?}");
    let rest = ListChangesRequest { namespace: "noisy".into(), from_revision: oldest, ..Default::default() };
    assert!(!client.list_changes(rest).await.expect("listed").into_inner().compacted);
    let quiet_commits = ListChangesRequest { namespace: "quiet".into(), ..Default::default() };
    assert!(!client.list_changes(quiet_commits).await.expect("listed").into_inner().compacted);
    for revision in [noisy[0], noisy[1]] {
        let revert = RevertRequest { revisions: vec![revision], options: None };
        compacted(client.revert(revert).await, oldest);
    }
    let restoring = |namespace: &str, revision| RestoreRequest {
        namespace: namespace.into(),
        to: Some(restore_request::To::Revision(revision)),
        options: Some(WriteOptions { validate_only: true, ..Default::default() }),
        ..Default::default()
    };
    compacted(client.restore(restoring("noisy", noisy[4])).await, oldest);
    assert!(
        client.restore(restoring("quiet", quiet[4])).await.expect("all of it is there").into_inner().changed
    );
    // Of the last version all is known; of what one revision changed, who did it.
    let blamed = BlameRequest {
        namespace: "quiet".into(),
        config: "app".into(),
        scope: "/".into(),
        ..Default::default()
    };
    let blamed = client.blame(blamed).await.expect("blamed").into_inner();
    assert!(blamed.values.iter().all(|value| value.revision > 0), "{blamed:?}");
    let request = GetCommitRequest { revision: noisy[1], ..Default::default() };
    let commit = client.get_commit(request).await.expect("it is there").into_inner().commit;
    let commit = commit.and_then(|listed| listed.commit).expect("a commit");
    let changed: Vec<&str> = commit.changes.iter().map(|change| change.namespace.as_str()).collect();
    assert_eq!((changed, commit.compacted_namespaces), (vec!["quiet"], vec!["noisy".to_owned()]));
}

#[tokio::test]
async fn the_history_of_one_namespace_is_cut_and_that_of_another_is_whole() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (noisy, quiet) = filled(&mut client).await;
    let tag = SetTagRequest { namespace: "noisy".into(), ..set_tag("stable", 2) };
    let tagged = client.set_tag(tag).await.expect("a tag").into_inner().store_revision;
    let before = told_of(&mut client, "quiet").await;
    assert_eq!(before.0.len() as u64, ROUNDS * 2);
    let audited = audited(&server, "noisy").await;
    assert_eq!(audited.len() as u64, ROUNDS * 2 + 1);
    let first = noisy[0];
    let mut following =
        stream(&mut client, StreamChangesRequest { from_revision: first, ..Default::default() }).await;
    let (_, resume_token) = next_commit(&mut following).await;

    retain(&mut client, CUT).await;
    let oldest = until_cut(&mut client, "noisy", noisy[noisy.len() - 1]).await;
    assert_eq!(told_of(&mut client, "quiet").await, before);
    assert_eq!(until_cut(&mut client, "quiet", 1).await, until_cut(&mut client, "", 1).await);
    check_cut(&mut client, (&noisy, &quiet), oldest).await;

    // Whoever reads the commits of all namespaces misses none of them, and is told what is gone.
    let newest = store_revision(&mut client).await;
    for request in [
        StreamChangesRequest { from_revision: first, ..Default::default() },
        StreamChangesRequest { resume_token, ..Default::default() },
    ] {
        let resumed = request.from_revision == 0;
        let mut reader = stream(&mut client, request).await;
        for revision in first + u64::from(resumed)..=newest {
            let (commit, _) = next_commit(&mut reader).await;
            assert_eq!(commit.revision, revision);
            let is_gone = revision < oldest && (revision == tagged || noisy.contains(&revision));
            assert_eq!(commit.compacted_namespaces.len(), usize::from(is_gone), "revision {revision}");
            assert_eq!(commit.changes.is_empty(), is_gone && !quiet.contains(&revision));
        }
    }
    assert_eq!(self::audited(&server, "noisy").await, audited, "who made the commits is known still");
    let proof = AuditServiceClient::new(server.channel().await).verify(AuditServiceVerifyRequest {}).await;
    let proof = proof.expect("proved").into_inner();
    assert!(
        proof.intact && proof.commits.is_some_and(|chain| chain.newest >= newest),
        "the chain proves the rest"
    );
    let mut status = StatusServiceClient::new(server.channel().await);
    let status = status.get(StatusServiceGetRequest {}).await.expect("a status").into_inner();
    let server_status = status.server.expect("the caller may");
    let histories: Vec<_> =
        server_status.compacted_namespaces.into_iter().map(|of| (of.namespace, of.oldest_revision)).collect();
    assert_eq!((server_status.oldest_revision, histories), (1, vec![("noisy".to_owned(), oldest)]));

    // The namespace goes on as any other, also after a restart.
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    let mut client = server.client().await;
    assert_eq!(told_of(&mut client, "quiet").await, before);
    check_cut(&mut client, (&noisy, &quiet), oldest).await;
    let directory = server.stop().await;
    assert_sound(&directory.path().join("data"));
    let server = TestServer::start_in(directory, |_| {}).await;
    let mut client = server.client().await;
    let revision = set_in(&mut client, "noisy", 100).await;
    assert!(content(&mut client, at("noisy", get_request::At::Revision(revision))).await.contains("100"));
}

/// The commits that the audit trail has of a namespace: revision, actor, namespace and reason.
async fn audited(server: &TestServer, namespace: &str) -> Vec<(u64, String, String, String)> {
    let filter = AuditFilter {
        namespace: namespace.into(),
        kinds: vec![AuditKind::Change.into()],
        ..Default::default()
    };
    let request = AuditServiceListRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let listed = AuditServiceClient::new(server.channel().await).list(request).await.expect("listed");
    let entries = listed.into_inner().entries.into_iter();
    entries.map(|entry| (entry.revision, entry.actor, entry.namespace, entry.reason)).collect()
}

/// What `confwatch fsck` says.
fn assert_sound(data: &Path) {
    let mut problems = vec![];
    SledStore::check(data, SledOptions::default(), &mut |problem| problems.push(problem)).expect("it opens");
    assert_eq!(problems, []);
}

#[tokio::test]
async fn a_backup_of_a_cut_history_is_verified_and_restored() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let (noisy, quiet) = filled(&mut client).await;
    let tag = SetTagRequest { namespace: "noisy".into(), ..set_tag("stable", 2) };
    client.set_tag(tag).await.expect("a tag");
    let before = told_of(&mut client, "quiet").await;
    retain(&mut client, CUT).await;
    let oldest = until_cut(&mut client, "noisy", noisy[noisy.len() - 1]).await;
    let mut backups = BackupServiceClient::new(server.channel().await);
    let request = CreateBackupRequest { kind: BackupKind::Full.into(), ..Default::default() };
    let mut stream = backups.create_backup(request).await.expect("it begins").into_inner();
    let mut bytes = vec![];
    while let Some(message) = stream.message().await.expect("it goes on") {
        bytes.extend(message.chunk);
    }
    verify(&bytes[..]).expect("verified");
    let directory = server.stop().await;
    std::fs::remove_dir_all(directory.path().join("data")).expect("the disk is gone");
    let file = directory.path().join("a.cwb");
    std::fs::write(&file, &bytes).expect("written");
    let restoring = Restoring {
        options: SledOptions::default(),
        master_key: &MasterKeySource::Automatic(directory.path().join("data.keys/master.key")),
        actor: "oscar".to_owned(),
        now: Timestamp::from_system(std::time::SystemTime::now()),
        observe: &mut |_| (),
    };
    restore(&[file], &directory.path().join("data"), restoring).expect("restored");
    assert_sound(&directory.path().join("data"));
    let server = TestServer::start_in(directory, believing).await;
    let mut client = server.client().await;
    assert_eq!(until_cut(&mut client, "noisy", 1).await, oldest);
    assert_eq!(told_of(&mut client, "quiet").await, before);
    check_cut(&mut client, (&noisy, &quiet), oldest).await;
}

#[tokio::test]
async fn administrators_alone_say_what_namespaces_keep_and_what_is_wrong_is_refused_with_its_place() {
    let guarded = Guarded::start_with_policy().await;
    let mut admin = guarded.admin.api();
    let replacing = |document: &str| set(reserved("retention", change::Action::Replace(json(document))));
    for (document, pointer) in [
        (r#"{"namespaces": {"confwatch": {"age_max_days": 1}}}"#, "/namespaces/confwatch"),
        (r#"{"default": {"age_max": 1}}"#, "/default/age_max"),
        (r#"{"default": {"versions_min": -1}}"#, "/default/versions_min"),
    ] {
        let refused =
            refused(admin.set(replacing(document)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        assert!(findings(&refused).iter().any(|finding| finding.pointer == pointer), "{refused:?}");
    }
    let mut other = guarded.bearer("ci").await.api();
    let denied = other.set(replacing(r#"{"default": {"age_max_days": 1}}"#)).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    admin.set(replacing(r#"{"default": {"age_max_days": 1, "versions_min": 3}}"#)).await.expect("set");
}

fn of_history(report: Option<&ValidationReport>) -> Vec<(String, String, String)> {
    let findings = report.expect("a report").findings.iter();
    let told = |found: &Finding| (found.code.clone(), found.pointer.clone(), found.message.clone());
    findings.map(told).collect()
}

#[tokio::test]
async fn a_change_of_the_retention_says_what_would_go_and_can_be_taken_back_for_a_while() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let with_grace = |settings: &mut confwatch::server::Settings| {
        settings.retention_grace = Duration::from_secs(3600);
    };
    let server = TestServer::start_in(directory, with_grace).await;
    let mut client = server.client().await;
    let (noisy, _) = filled(&mut client).await;
    let document = r#"{"namespaces": {"noisy": {"bytes_max": 1, "versions_min": 2}, "nosy": {"bytes_max": 1}, "quiet": {"age_max_days": 1}}}"#;
    let change = reserved("retention", change::Action::Replace(json(document)));
    let tried = ValidateRequest { changes: vec![change.clone()], ..Default::default() };
    let tried = client.validate(tried).await.expect("validated").into_inner();
    let dry = Some(WriteOptions { validate_only: true, ..Default::default() });
    let previewed = client.set(SetRequest { change: Some(change.clone()), options: dry }).await;
    let previewed = previewed.expect("tried").into_inner();
    let applied = client.apply(ApplyRequest { changes: vec![change], options: None }).await.expect("applied");
    let applied = applied.into_inner();
    for report in [&tried.report, &previewed.report, &applied.report] {
        let found = of_history(report.as_ref());
        let [(unknown, at_unknown, _), (cut, at, message)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((cut.as_str(), at.as_str()), ("HISTORY_CUT", "/namespaces/noisy"));
        let oldest = noisy[noisy.len() - 1] + 1;
        assert!(
            message.contains(&format!("before revision {oldest} would be compacted: 16 commits, ")),
            "{message}"
        );
        assert!(message.ends_with("each config keeps its newest 2 versions"), "{message}");
        assert_eq!((unknown.as_str(), at_unknown.as_str()), ("UNKNOWN_NAMESPACE", "/namespaces/nosy"));
        let suggestion = &report.as_ref().expect("a report").findings[0].suggestion;
        assert_eq!(suggestion, "did you mean noisy?");
    }
    // The same again, and less than before, cut nothing more.
    assert_eq!(of_history(retain(&mut client, document).await.report.as_ref()), []);
    let less = retain(&mut client, r#"{"namespaces": {"noisy": {"bytes_max": 1000000}}}"#).await;
    assert_eq!(of_history(less.report.as_ref()), []);
    retain(&mut client, document).await;
    // Also after a restart everything is there.
    let server = TestServer::start_in(server.stop().await, with_grace).await;
    let mut client = server.client().await;
    assert_eq!(until_cut(&mut client, "noisy", 1).await, 1);
    // Without the time for second thoughts it is gone: the document is as it was.
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    let mut client = server.client().await;
    until_cut(&mut client, "noisy", noisy[noisy.len() - 1]).await;
}
