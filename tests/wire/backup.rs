//! Backups over the wire: consistent while others write, for those who may make them, recorded; and what a restored store answers to those who
//! knew the store before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use confwatch::backup::{BackupError, Restoring, restore, verify};
use confwatch::engine::MasterKeySource;
use confwatch::model::{Digest, Timestamp};
use confwatch::proto::v1::audit_service_client::AuditServiceClient;
use confwatch::proto::v1::backup_service_client::BackupServiceClient;
use confwatch::proto::v1::*;
use confwatch::store::SledOptions;
use tempfile::TempDir;
use tonic::{Code, Request, Status, Streaming};

use super::auth::{Guarded, POLICY, admin_token};
use super::support::*;
use super::watching::*;

const EPOCH: &str = "confwatch-epoch";
const WRITERS: u64 = 64;

pub type Backups = BackupServiceClient<Wire>;

pub async fn backups(server: &TestServer) -> Backups {
    BackupServiceClient::new(server.channel().await)
}

/// All bytes of a backup, and what the server says of it.
pub async fn create(
    backups: &mut Backups,
    request: CreateBackupRequest,
) -> Result<(Vec<u8>, Backup), Status> {
    let mut stream = backups.create_backup(request).await?.into_inner();
    let (mut bytes, mut last) = (vec![], None);
    while let Some(message) = stream.message().await? {
        assert!(last.is_none(), "nothing follows the description");
        bytes.extend(message.chunk);
        last = message.backup;
    }
    Ok((bytes, last.expect("the last message describes the backup")))
}

pub fn of_kind(kind: BackupKind) -> CreateBackupRequest {
    CreateBackupRequest { kind: kind.into(), ..Default::default() }
}

fn written(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// Restores to the data directory of a test server.
fn restored(files: &[PathBuf], directory: &Path) -> Result<confwatch::backup::Restored, BackupError> {
    let master_key = MasterKeySource::Automatic(directory.join("data.keys/master.key"));
    let restoring = Restoring {
        options: SledOptions::default(),
        master_key: &master_key,
        actor: "oscar".to_owned(),
        now: Timestamp::from_system(std::time::SystemTime::now()),
        observe: &mut |_| (),
    };
    restore(files, &directory.join("data"), restoring)
}

/// A server on what was restored of these files, after the disk of the server before was lost.
async fn after_the_disk_is_gone(directory: TempDir, files: &[(&str, &[u8])]) -> TestServer {
    std::fs::remove_dir_all(directory.path().join("data")).expect("the disk is gone");
    let files: Vec<PathBuf> =
        files.iter().map(|(name, bytes)| written(directory.path(), name, bytes)).collect();
    restored(&files, directory.path()).expect("restored");
    TestServer::start_in(directory, |_| {}).await
}

/// Sets `test/CONFIG`, and gives the revision and the digest.
async fn set_in(client: &mut Client, config: &str, number: u64) -> (u64, String) {
    let change = put_in(config, "/", &format!(r#"{{"n":{number}}}"#));
    let document = client.set(set(change)).await.expect("set").into_inner().document.expect("a document");
    (document.revision, document.digest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_64_writers_write_has_exactly_what_was_acknowledged_at_its_revision() {
    let server = quick_server().await;
    let began = Arc::new(tokio::sync::Barrier::new(WRITERS as usize + 1));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut writers = vec![];
    for writer in 0..WRITERS {
        let (mut client, began, stopped) = (server.client().await, began.clone(), stopped.clone());
        writers.push(tokio::spawn(async move {
            let config = format!("c{}", writer % 40);
            let mut acknowledged = vec![];
            let mut number = 0;
            while !*stopped.borrow() || number < 5 {
                let (revision, digest) = set_in(&mut client, &config, writer * 1_000_000 + number).await;
                acknowledged.push((config.clone(), revision, digest));
                number += 1;
                if number == 3 {
                    began.wait().await;
                }
            }
            acknowledged
        }));
    }
    began.wait().await;
    let watching = server.client().await;
    let targets = || [target("c0", "/"), target("*", "/")];
    let (watcher, _) = Watcher::open(&watching, watch(targets())).await;
    let (bytes, made) = create(&mut backups(&server).await, of_kind(BackupKind::Full)).await.expect("made");
    // Commits that the backup lacks, which the watcher saw.
    let mut client = server.client().await;
    let (later, _) = set_in(&mut client, "c0", 7).await;
    stop.send(true).expect("they listen");
    let mut acknowledged = vec![];
    for writer in writers {
        acknowledged.extend(writer.await.expect("it does not fail"));
    }
    assert!(made.last_revision < later);
    let mut expected: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for (config, revision, digest) in acknowledged {
        if revision <= made.last_revision && expected.get(&config).is_none_or(|(last, _)| *last < revision) {
            expected.insert(config, (revision, digest));
        }
    }
    let verified = verify(&bytes[..]).expect("verified");
    assert_eq!((verified.sha256.to_string(), verified.bytes), (made.sha256.clone(), made.size_bytes));
    assert_eq!(made.commits, made.last_revision, "all commits, and no other");

    let directory = server.stop().await;
    let server = after_the_disk_is_gone(directory, &[("a.cwb", &bytes)]).await;
    let mut client = server.client().await;
    for (config, (revision, digest)) in &expected {
        let request = GetRequest { config: config.clone(), ..get("/") };
        let document = client.get(request).await.expect("there").into_inner().document.expect("a document");
        assert_eq!((&document.revision, &document.digest), (revision, digest), "{config}");
    }
    // One commit says where the store came from.
    assert_eq!(store_revision(&mut client).await, made.last_revision + 1);
    let (mut watcher, told) = watcher.resume(&client).await;
    assert!(told.reset, "a position of the other history");
    assert_eq!(watcher.document("c0", "/", View::Effective).expect("held").digest, expected["c0"].1);
    let (_, digest) = set_in(&mut client, "c0", 8).await;
    let told = watcher.next().await.expect("told");
    assert!(!told.reset);
    assert_eq!(watcher.document("c0", "/", View::Effective).expect("held").digest, digest);
}

#[tokio::test]
async fn every_position_of_the_store_before_is_refused_or_reset_by_the_restored_one() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for number in 1..6 {
        put(&mut client, "/", &format!(r#"{{"a":{number}}}"#)).await;
    }
    set_in(&mut client, "other", 1).await;
    let once = SetRequest { change: Some(put_in("once", "/", "{}")), options: request_id("first") };
    let first = client.set(once.clone()).await.expect("set").into_inner();
    let (bytes, _) = create(&mut backups(&server).await, of_kind(BackupKind::Full)).await.expect("made");
    let lost = SetRequest { change: Some(put_in("lost", "/", "{}")), options: request_id("second") };
    client.set(lost.clone()).await.expect("set");

    let response = client.get(get("/")).await.expect("got");
    let epoch = response.metadata().get(EPOCH).expect("the epoch").clone();
    let (watcher, _) = Watcher::open(&client, watch([target("app", "/")])).await;
    let from_1 = StreamChangesRequest { from_revision: 1, ..Default::default() };
    let changes = client.stream_changes(from_1).await.expect("it opens").into_inner().message().await;
    let changes = changes.expect("it goes on").expect("a commit").resume_token;
    let list = ListRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let page = client.list(list.clone()).await.expect("listed").into_inner().next_page_token;
    let mut audit = AuditServiceClient::new(server.channel().await);
    let stream = AuditServiceStreamRequest { from_revision: 1, ..Default::default() };
    let cursor = audit.stream(stream).await.expect("it opens").into_inner().message().await;
    let cursor = cursor.expect("it goes on").expect("an entry").resume_token;
    let audit_list = AuditServiceListRequest { page_size: 1, ..Default::default() };
    let audit_page = audit.list(audit_list.clone()).await.expect("listed").into_inner().next_page_token;

    let server = after_the_disk_is_gone(server.stop().await, &[("a.cwb", &bytes)]).await;
    let mut client = server.client().await;
    let (_, told) = watcher.resume(&client).await;
    assert!(told.reset);
    let mismatch = |status: Result<(), Status>| refused(status, Code::OutOfRange, "EPOCH_MISMATCH");
    let resumed = StreamChangesRequest { resume_token: changes, ..Default::default() };
    mismatch(client.stream_changes(resumed).await.map(drop));
    mismatch(client.list(ListRequest { page_token: page, ..list }).await.map(drop));
    let mut audit = AuditServiceClient::new(server.channel().await);
    let resumed = AuditServiceStreamRequest { resume_token: cursor, ..Default::default() };
    mismatch(audit.stream(resumed).await.map(drop));
    mismatch(audit.list(AuditServiceListRequest { page_token: audit_page, ..audit_list }).await.map(drop));
    let change = Change { expected_version: Some(5), ..replace("/", r#"{"a":9}"#) };
    let mut conditional = Request::new(set(change));
    conditional.metadata_mut().insert(EPOCH, epoch.clone());
    mismatch(client.set(conditional).await.map(drop));
    let mut minimum = Request::new(GetRequest { min_revision: 3, ..get("/") });
    minimum.metadata_mut().insert(EPOCH, epoch);
    mismatch(client.get(minimum).await.map(drop));

    // A request that the backup has is not repeated; one that was lost with the disk is made.
    let again = client.set(once).await.expect("known").into_inner();
    assert_eq!(again.document.expect("a document").revision, first.document.expect("a document").revision);
    assert!(client.set(lost).await.expect("made").into_inner().changed);

    // The trail says where the store came from.
    let changes = ListChangesRequest { namespace: "confwatch".into(), ..Default::default() };
    let commits = client.list_changes(changes).await.expect("listed").into_inner().commits;
    let origin = commits.iter().filter_map(|found| found.commit.as_ref());
    let origin =
        origin.into_iter().find(|commit| commit.actor == "oscar").expect("the commit of the restore");
    assert!(origin.reason.contains("restored from the backup of revision"), "{origin:?}");
    let by = AuditFilter { actor: "oscar".into(), ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(by), ..Default::default() };
    let entries = audit.list(request).await.expect("listed").into_inner().entries;
    assert_eq!(entries[0].config, "origin");
    // Nobody writes this config.
    let own = Change { namespace: "confwatch".into(), ..put_in("origin", "/", "{}") };
    refused(client.set(set(own)).await, Code::InvalidArgument, "INVALID_NAME");
}

#[tokio::test]
async fn incremental_backups_follow_one_another_and_say_so_if_they_do_not() {
    let server = TestServer::start_believing().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    set_in(&mut client, "a", 1).await;
    let (full, of_full) = create(&mut backups, of_kind(BackupKind::Full)).await.expect("made");
    set_in(&mut client, "a", 2).await;
    set_in(&mut client, "b", 1).await;
    let since = |backup: &Backup| {
        let (epoch, chain_hash) = (backup.epoch.clone(), backup.last_hash.clone());
        CreateBackupRequest {
            since: Some(BackupPosition { epoch, revision: backup.last_revision, chain_hash }),
            ..of_kind(BackupKind::Incremental)
        }
    };
    let (more, of_more) = create(&mut backups, since(&of_full)).await.expect("made");
    assert_eq!((of_more.first_revision, of_more.last_revision, of_more.commits), (2, 3, 2));
    assert_eq!((of_more.base_hash.as_str(), of_more.configs), (of_full.last_hash.as_str(), 0));
    let (nothing, of_nothing) = create(&mut backups, since(&of_more)).await.expect("made");
    assert_eq!((of_nothing.commits, &of_nothing.last_hash), (0, &of_more.last_hash));

    let elsewhere = Backup { epoch: "0000000000000001".into(), ..of_more.clone() };
    let ahead = Backup { last_revision: 9, ..of_more.clone() };
    let parted = Backup { last_hash: of_full.last_hash.clone(), ..of_more.clone() };
    for other in [elsewhere, ahead, parted] {
        refused(create(&mut backups, since(&other)).await, Code::FailedPrecondition, "BACKUP_MISMATCH");
    }
    refused_for(create(&mut backups, of_kind(BackupKind::Incremental)).await, "INVALID_FIELD", "since");
    let both = CreateBackupRequest { kind: BackupKind::Full.into(), ..since(&of_full) };
    refused_for(create(&mut backups, both).await, "INVALID_FIELD", "since");
    let part = CreateBackupRequest { namespace: "test".into(), ..since(&of_full) };
    refused_for(create(&mut backups, part).await, "INVALID_NAME", "namespace");
    let alone = CreateBackupRequest { config: "a".into(), ..Default::default() };
    refused_for(create(&mut backups, alone).await, "INVALID_NAME", "namespace");

    let files: [(&str, &[u8]); 3] = [("a.cwb", &full), ("b.cwb", &more), ("c.cwb", &nothing)];
    let server = after_the_disk_is_gone(server.stop().await, &files).await;
    let mut client = server.client().await;
    let read = GetRequest { config: "a".into(), ..get("/") };
    assert_eq!(content(&mut client, read.clone()).await, r#"{"n":2}"#);
    let before = GetRequest { at: Some(get_request::At::Revision(1)), ..read };
    assert_eq!(content(&mut client, before).await, r#"{"n":1}"#, "history came along");
}

#[tokio::test]
async fn a_backup_takes_the_permission_on_all_that_it_has_and_is_recorded() {
    let guarded = Guarded::start_with_policy().await;
    let secret = r#"{"password":{"$secret":"correct horse battery"}}"#;
    guarded.admin.api().set(set(put_in("secret", "/", secret))).await.expect("set");
    let (token, _) = guarded.token("backup").await;
    let channel = async |token: &str| {
        let endpoint = format!("http://{}", guarded.server.running.address());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("an address");
        BackupServiceClient::new(connect(endpoint, &Bearer::of(token)).await)
    };
    let mut mine = channel(&token).await;
    let of = |namespace: &str, config: &str| CreateBackupRequest {
        namespace: namespace.into(),
        config: config.into(),
        ..of_kind(BackupKind::State)
    };
    refused(create(&mut mine, of("", "")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(create(&mut mine, of("other", "")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(create(&mut mine, of("confwatch", "")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(create(&mut mine, of("confwatch", "keys")).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let (bytes, made) = create(&mut mine, of("test", "")).await.expect("made");
    assert_eq!((made.secrets, made.configs, made.actor.as_str()), (1, 2, "token:backup"));
    assert!(!bytes.windows(7).any(|window| window == b"correct"), "secrets stay sealed");
    let (whole, _) = create(&mut channel(&admin_token(&guarded.server.directory)).await, of("", ""))
        .await
        .expect("an administrator may");
    let manifest = verify(&whole[..]).expect("verified").manifest;
    assert_eq!(manifest.actor, "user:admin");

    let kinds = AuditFilter { kinds: vec![AuditKind::Backup.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(kinds), ..Default::default() };
    let entries = guarded.admin.audit().list(request).await.expect("listed").into_inner().entries;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.namespace.as_str(), entry.outcome.as_str()))
        .collect();
    let expected = [
        ("user:admin", "", "MADE"),
        ("user:admin", "", "BEGUN"),
        ("token:backup", "test", "MADE"),
        ("token:backup", "test", "BEGUN"),
    ];
    assert_eq!(told, expected);
    assert!(entries[2].detail.contains(&made.sha256), "{:?}", entries[2]);
    assert!(POLICY.contains("token:backup"));
}

#[tokio::test]
async fn secrets_open_again_with_the_master_key_and_nothing_is_written_without_it() {
    let guarded = Guarded::start().await;
    let secret = r#"{"password":{"$secret":"correct horse battery"}}"#;
    guarded.admin.api().set(set(put_in("secret", "/", secret))).await.expect("set");
    let endpoint = format!("http://{}", guarded.server.running.address());
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("an address");
    let bearer = Bearer::of(&admin_token(&guarded.server.directory));
    let mut backups = BackupServiceClient::new(connect(endpoint, &bearer).await);
    let (bytes, _) = create(&mut backups, of_kind(BackupKind::Full)).await.expect("made");
    drop(backups);
    let Guarded { server, admin } = guarded;
    drop(admin);
    let directory = server.stop().await;

    let keys = directory.path().join("data.keys");
    let key = std::fs::read(keys.join("master.key")).expect("a key");
    std::fs::remove_dir_all(directory.path().join("data")).expect("the disk is gone");
    let file = written(directory.path(), "a.cwb", &bytes);
    let other = hex_of(&key);
    for wrong in [None, Some(other)] {
        std::fs::remove_file(keys.join("master.key")).expect("removed");
        if let Some(wrong) = &wrong {
            std::fs::write(keys.join("master.key"), wrong).expect("written");
        }
        let refused = restored(std::slice::from_ref(&file), directory.path());
        assert!(matches!(refused, Err(BackupError::MasterKey(_))), "{refused:?}");
        assert!(!directory.path().join("data").exists());
        std::fs::write(keys.join("master.key"), &key).expect("written");
    }
    restored(&[file], directory.path()).expect("restored");
    let again = Guarded::start_in(directory).await;
    let read = GetRequest { config: "secret".into(), ..get("/") };
    let shown = again.admin.api().get(read).await.expect("got").into_inner().document.expect("a document");
    assert!(shown.content.contains("correct horse battery"), "{}", shown.content);
}

/// A master key that is another one.
fn hex_of(key: &[u8]) -> Vec<u8> {
    let flip =
        |byte: &u8| if byte.is_ascii_hexdigit() { if *byte == b'0' { b'1' } else { b'0' } } else { *byte };
    key.iter().map(flip).collect()
}

/// A server with namespaces whose backups are more than the messages and the windows of a client hold, and tokens that may make backups of one of them.
async fn with_large_backups(transfer_timeout: Duration) -> Guarded {
    const POLICY: &str = r#"{"roles": {"backup": ["backup"]}, "bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:a", "token:a2", "token:a3", "token:a4"], "role": "backup", "namespace": "test", "config": "*", "scope": "/"},
        {"subjects": ["token:b"], "role": "backup", "namespace": "other", "config": "*", "scope": "/"},
        {"subjects": ["token:c"], "role": "backup", "namespace": "third", "config": "*", "scope": "/"}
    ]}"#;
    let directory = TempDir::new().expect("a directory");
    let guarded = Guarded::start_as(directory, |settings| {
        settings.transfer_timeout = transfer_timeout;
        // Only who waits ends the backup of another.
        settings.response_timeout = Duration::from_secs(3600);
    });
    let guarded = guarded.await;
    guarded.set_policy(POLICY).await.expect("a policy");
    for namespace in ["test", "other"] {
        for number in 0..6 {
            let text: String = (0..700_000).map(|_| char::from(fastrand::u8(b'a'..=b'z'))).collect();
            let change = replace(&format!("/s{number}"), &format!(r#"{{"text":"{text}"}}"#));
            let change = Change { namespace: namespace.into(), ..change };
            guarded.admin.api().set(set(change)).await.expect("set");
        }
    }
    let small = Change { namespace: "third".into(), ..replace("/", r#"{"a":1}"#) };
    guarded.admin.api().set(set(small)).await.expect("set");
    guarded
}

/// A client with small windows.
async fn narrow(guarded: &Guarded, name: &str) -> Backups {
    let bearer = match name {
        "admin" => Bearer::of(&admin_token(&guarded.server.directory)),
        name => Bearer::of(&guarded.token(name).await.0),
    };
    let endpoint = format!("http://{}", guarded.server.running.address());
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    BackupServiceClient::new(connect(endpoint, &bearer).await)
}

fn of_namespace(namespace: &str) -> CreateBackupRequest {
    CreateBackupRequest { namespace: namespace.into(), ..of_kind(BackupKind::Full) }
}

/// Begins a backup, and reads no more of it than its first message.
async fn begin(client: &mut Backups, namespace: &str) -> Streaming<CreateBackupResponse> {
    let mut begun = client.create_backup(of_namespace(namespace)).await.expect("it begins").into_inner();
    let part = begun.message().await.expect("it goes on").expect("a part");
    assert!(!part.chunk.is_empty());
    begun
}

async fn rest(mut begun: Streaming<CreateBackupResponse>) -> Result<(), Status> {
    while begun.message().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn callers_who_read_nothing_of_their_backups_give_their_places_to_who_waits() {
    let guarded = with_large_backups(Duration::from_secs(1)).await;
    let (mut first, mut second) = (narrow(&guarded, "a").await, narrow(&guarded, "b").await);
    let held = begin(&mut first, "test").await;
    let also = begin(&mut second, "other").await;
    // An actor who has a place waits for no second one.
    let again = create(&mut first, of_namespace("test")).await.map(drop);
    let refusal = refused(again, Code::ResourceExhausted, "TOO_MANY_BACKUPS");
    assert!(refusal.message().contains("this actor"), "{refusal:?}");
    use tonic_types::StatusExt;
    let retry = refusal.get_details_retry_info().and_then(|retry| retry.retry_delay);
    assert!(retry.is_some_and(|delay| delay >= Duration::from_secs(5)), "{refusal:?}");
    // Tenants keep no administrator from a backup of the store.
    let mut of_store = narrow(&guarded, "admin").await;
    create(&mut of_store, of_kind(BackupKind::State)).await.expect("there is room for the store");
    // The actor in whose turn nothing was read for the longest loses the place, and the other goes on.
    let mut third = narrow(&guarded, "c").await;
    let (bytes, _) = create(&mut third, of_namespace("third")).await.expect("somebody gives way");
    verify(&bytes[..]).expect("verified");
    refused(rest(held).await, Code::ResourceExhausted, "TOO_MANY_BACKUPS");
    rest(also).await.expect("it was the only one to give way");
    // Once nobody waits, a caller may be as slow as it likes.
    rest(begin(&mut first, "test").await).await.expect("made");
}

#[tokio::test]
async fn a_tenant_with_many_tokens_has_half_of_the_places() {
    // Nobody gives way.
    let guarded = with_large_backups(Duration::from_secs(3600)).await;
    let mut hostile = vec![];
    let mut first = narrow(&guarded, "a").await;
    let _held = begin(&mut first, "test").await;
    for name in ["a2", "a3", "a4"] {
        let mut client = narrow(&guarded, name).await;
        let waiting = client.create_backup(of_namespace("test")).await.expect("it waits");
        hostile.push(waiting.into_inner());
    }
    let mut other = narrow(&guarded, "b").await;
    create(&mut other, of_namespace("other")).await.expect("there is a place for others");
    let mut third = narrow(&guarded, "c").await;
    create(&mut third, of_namespace("third")).await.expect("there is a place for others");
}

/// A server that keeps backups.
pub async fn keeping() -> TestServer {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    TestServer::start_in(directory, |settings| settings.backup_dir = Some(dir)).await
}

pub fn keep(kind: BackupKind) -> CreateBackupRequest {
    CreateBackupRequest { keep: true, ..of_kind(kind) }
}

pub async fn ids(backups: &mut Backups) -> Vec<String> {
    let mut request = ListBackupsRequest { page_size: 2, ..Default::default() };
    let mut ids = vec![];
    loop {
        let page = backups.list_backups(request.clone()).await.expect("listed").into_inner();
        ids.extend(page.backups.into_iter().map(|backup| backup.id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

async fn verdict(backups: &mut Backups, id: &str) -> VerifyBackupResponse {
    let mut stream =
        backups.verify_backup(VerifyBackupRequest { id: id.into() }).await.expect("it begins").into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.expect("it goes on") {
        last = Some(message);
    }
    last.expect("a verdict")
}

#[tokio::test]
async fn a_server_keeps_verifies_pins_and_prunes_backups() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    set_in(&mut client, "a", 1).await;
    let (sent, full) = create(&mut backups, keep(BackupKind::Full)).await.expect("made");
    assert!(sent.is_empty() && !full.id.is_empty());
    set_in(&mut client, "a", 2).await;
    let since = CreateBackupRequest { since_backup: full.id.clone(), ..keep(BackupKind::Incremental) };
    let (_, more) = create(&mut backups, since.clone()).await.expect("made");
    assert_eq!((more.first_revision, &more.base_hash), (full.last_revision + 1, &full.last_hash));
    let (_, state) = create(&mut backups, keep(BackupKind::State)).await.expect("made");
    assert_eq!(ids(&mut backups).await, [state.id.clone(), more.id.clone(), full.id.clone()]);
    let unknown = CreateBackupRequest { since_backup: "none".into(), ..since.clone() };
    refused(create(&mut backups, unknown).await, Code::NotFound, "BACKUP_NOT_FOUND");
    let of_state = CreateBackupRequest { since_backup: state.id.clone(), ..since };
    refused_for(create(&mut backups, of_state).await, "INVALID_FIELD", "since_backup");
    for id in ["", "none", "..", "../data/HEAD", "a/b", &"x".repeat(500)] {
        let get = backups.get_backup(GetBackupRequest { id: id.into() }).await;
        refused(get, Code::NotFound, "BACKUP_NOT_FOUND");
    }

    let found = verdict(&mut backups, &full.id).await;
    assert!(found.intact && found.backup.expect("described").verify_time.is_some());
    let file = server.directory.path().join("backups").join(format!("{}.cwb", state.id));
    let mut bytes = std::fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let found = verdict(&mut backups, &state.id).await;
    assert!(!found.intact && found.damage.contains("is damaged"), "{found:?}");

    // The full backup stays as long as the incremental one does.
    let pin = PinBackupRequest { id: more.id.clone(), pinned: true };
    assert!(backups.pin_backup(pin.clone()).await.expect("pinned").into_inner().backup.expect("it").pinned);
    let nothing = backups.prune_backups(PruneBackupsRequest::default()).await;
    refused_for(nothing, "INVALID_FIELD", "keep_count");
    let one = PruneBackupsRequest { keep_bytes: 1, ..Default::default() };
    let dry = PruneBackupsRequest { validate_only: true, ..one };
    let pruned = async |backups: &mut Backups, request: &PruneBackupsRequest| {
        let removed = backups.prune_backups(*request).await.expect("pruned").into_inner().removed;
        removed.into_iter().map(|backup| backup.id).collect::<Vec<_>>()
    };
    assert_eq!(pruned(&mut backups, &dry).await, [state.id.as_str()]);
    assert_eq!(ids(&mut backups).await.len(), 3);
    assert_eq!(pruned(&mut backups, &one).await, [state.id.as_str()]);
    backups.pin_backup(PinBackupRequest { pinned: false, ..pin }).await.expect("let go");

    // All of it is there after a restart.
    let directory = server.stop().await;
    let dir = directory.path().join("backups");
    std::fs::write(dir.join("half.cwb.part"), b"what a crash has left").expect("written");
    let server = TestServer::start_in(directory, |settings| settings.backup_dir = Some(dir.clone())).await;
    let mut again = self::backups(&server).await;
    assert!(!dir.join("half.cwb.part").exists());
    let kept = again.get_backup(GetBackupRequest { id: full.id.clone() }).await.expect("there").into_inner();
    assert!(kept.backup.expect("described").verify_time.is_some());
    assert_eq!(pruned(&mut again, &one).await, [full.id, more.id]);
}

#[tokio::test]
async fn kept_backups_are_seen_by_those_who_may_make_them() {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    let guarded = Guarded::start_as(directory, |settings| settings.backup_dir = Some(dir)).await;
    let guarded = guarded.with_policy().await;
    let channel = async |token: String| {
        let endpoint = format!("http://{}", guarded.server.running.address());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("an address");
        BackupServiceClient::new(connect(endpoint, &Bearer::of(&token)).await)
    };
    let mut admin = channel(admin_token(&guarded.server.directory)).await;
    let mut owner = channel(guarded.token("backup").await.0).await;
    let mut reader = channel(guarded.token("read").await.0).await;
    let (_, whole) = create(&mut admin, keep(BackupKind::Full)).await.expect("made");
    let of_test = CreateBackupRequest { namespace: "test".into(), ..keep(BackupKind::State) };
    let (_, own) = create(&mut owner, of_test.clone()).await.expect("made");
    refused(create(&mut reader, of_test).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(ids(&mut admin).await, [own.id.clone(), whole.id.clone()]);
    assert_eq!(ids(&mut owner).await, [own.id.as_str()]);
    assert!(ids(&mut reader).await.is_empty());
    for (backups, id) in [(&mut owner, &whole.id), (&mut reader, &own.id)] {
        let get = backups.get_backup(GetBackupRequest { id: id.clone() }).await;
        refused(get, Code::NotFound, "BACKUP_NOT_FOUND");
        let pin = backups.pin_backup(PinBackupRequest { id: id.clone(), pinned: true }).await;
        refused(pin, Code::NotFound, "BACKUP_NOT_FOUND");
        let verify = backups.verify_backup(VerifyBackupRequest { id: id.clone() }).await;
        refused(verify.map(drop), Code::NotFound, "BACKUP_NOT_FOUND");
    }
    let all = PruneBackupsRequest { keep_bytes: 1, ..Default::default() };
    refused(owner.prune_backups(all).await, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(admin.prune_backups(all).await.expect("pruned").into_inner().removed.len(), 2);
}

#[tokio::test]
async fn the_labels_of_the_server_are_refused_from_callers() {
    let server = TestServer::start_believing().await;
    let mut backups = backups(&server).await;
    for label in ["schedule", "automatic"] {
        let labels = [(label.to_owned(), "nightly".to_owned())].into_iter().collect();
        let request = CreateBackupRequest { labels, ..of_kind(BackupKind::State) };
        let refused = create(&mut backups, request).await.map(drop).expect_err("only the server sets it");
        assert_eq!(told(&refused).1, "INVALID_FIELD", "{refused:?}");
    }
}

#[tokio::test]
async fn backups_of_a_namespace_take_no_room_from_those_of_others_and_of_the_store() {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    std::fs::create_dir(&dir).expect("made");
    for number in 0..100 {
        let name = format!("20260101T000000-state-test-{number:08x}.cwb");
        std::fs::write(dir.join(name), b"").expect("written");
    }
    let server = TestServer::start_in(directory, |settings| settings.backup_dir = Some(dir)).await;
    let mut client = server.client().await;
    put(&mut client, "/", "{}").await;
    let mut backups = backups(&server).await;
    let of = |namespace: &str| CreateBackupRequest { namespace: namespace.into(), ..keep(BackupKind::State) };
    let refused = create(&mut backups, of("test")).await.map(drop).expect_err("the namespace has its share");
    assert_eq!(told(&refused).1, "TOO_MANY_KEPT_BACKUPS", "{refused:?}");
    assert!(refused.message().contains("namespace test has 100"), "{refused:?}");
    create(&mut backups, of("est")).await.expect("another namespace has room");
    create(&mut backups, keep(BackupKind::State)).await.expect("the store has room");
}

#[tokio::test]
async fn where_everybody_is_believed_backups_are_on_record_too() {
    let server = TestServer::start_believing().await;
    put(&mut server.client().await, "/", "{}").await;
    let mut backups = backups(&server).await;
    create(&mut backups, of_kind(BackupKind::State)).await.expect("made");
    let kinds = AuditFilter { kinds: vec![AuditKind::Backup.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(kinds), ..Default::default() };
    let mut audit = AuditServiceClient::new(server.channel().await);
    let entries = audit.list(request).await.expect("listed").into_inner().entries;
    let told: Vec<&str> = entries.iter().map(|entry| entry.outcome.as_str()).collect();
    assert_eq!(told, ["MADE", "BEGUN"]);
}

#[tokio::test]
async fn a_manifest_of_another_format_than_its_header_is_refused() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", "{}").await;
    let (mut bytes, _) = create(&mut backups(&server).await, of_kind(BackupKind::State)).await.expect("made");
    verify(&bytes[..]).expect("it is good");
    // With good sums all the way: the trailer says where the manifest begins, and a part begins with 16 bytes and its sum.
    let trailer = bytes.len() - 48;
    let at = u64::from_be_bytes(bytes[trailer + 8..trailer + 16].try_into().expect("8 bytes")) as usize;
    let text = String::from_utf8(bytes[at + 48..trailer].to_vec()).expect("JSON");
    assert!(text.contains(r#""format":1,"#), "{text}");
    let text = text.replace(r#""format":1,"#, r#""format":2,"#);
    bytes[at + 48..trailer].copy_from_slice(text.as_bytes());
    bytes[at + 16..at + 48].copy_from_slice(&Digest::of(text.as_bytes()).0);
    let sum = Digest::of(&bytes[..trailer + 16]);
    bytes[trailer + 16..].copy_from_slice(&sum.0);
    let error = verify(&bytes[..]).expect_err("the formats differ").to_string();
    assert!(error.contains("its manifest has format 2, and its header format 1"), "{error}");
}
