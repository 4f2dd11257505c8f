//! Backups of the state that the server keeps by itself before a write that changes much.

use std::fs;

use confwatch::proto::v1::*;
use restore_request::To;
use tempfile::TempDir;
use tonic::Code;

use super::auth::Guarded;
use super::backup::{Backups, backups, create, ids, keep};
use super::support::*;

/// A server that keeps backups, and the state before it changes more than two layers of a namespace.
async fn keeping() -> TestServer {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    TestServer::start_in(directory, |settings| {
        settings.backup_dir = Some(dir);
        settings.backup_apply_layers = 2;
    })
    .await
}

fn to(revision: u64) -> RestoreRequest {
    RestoreRequest { namespace: "test".into(), to: Some(To::Revision(revision)), ..Default::default() }
}

fn layers(count: usize, value: u64) -> ApplyRequest {
    let change = |at: usize| replace(&format!("/s{at}"), &format!(r#"{{"a":{value}}}"#));
    ApplyRequest { changes: (0..count).map(change).collect(), options: None }
}

fn without_backup() -> Option<WriteOptions> {
    Some(WriteOptions { without_backup: true, ..Default::default() })
}

async fn described(backups: &mut Backups, id: &str) -> Backup {
    let request = GetBackupRequest { id: id.into() };
    backups.get_backup(request).await.expect("kept").into_inner().backup.expect("described")
}

#[tokio::test]
async fn the_state_before_a_restore_is_kept_named_and_can_be_restored() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    let then = put(&mut client, "/", r#"{"a":1}"#).await.store_revision;
    put(&mut client, "/", r#"{"a":2}"#).await;
    let dry = Some(WriteOptions { validate_only: true, ..Default::default() });
    let tried =
        client.restore(RestoreRequest { options: dry, ..to(then) }).await.expect("tried").into_inner();
    assert!(tried.state_backups.is_empty() && ids(&mut backups).await.is_empty());
    let request = RestoreRequest { options: request_id("once"), ..to(then) };
    let restored = client.restore(request.clone()).await.expect("restored").into_inner();
    let [before] = restored.state_backups.as_slice() else { panic!("one: {restored:?}") };
    let backup = described(&mut backups, before).await;
    assert_eq!((backup.kind(), backup.namespace.as_str()), (BackupKind::State, "test"));
    assert_eq!((backup.actor.as_str(), backup.labels["automatic"].as_str()), ("system", "restore"));
    assert_eq!(backup.last_revision, restored.store_revision - 1);
    let commit = history(&mut client).await.remove(0).commit.expect("a commit");
    assert_eq!(&commit.annotations["state_before"], before);
    // A repeated request names the same one, and makes none.
    let again = client.restore(request).await.expect("the first outcome").into_inner();
    assert_eq!(again.state_backups, restored.state_backups);
    assert_eq!(ids(&mut backups).await, [before.as_str()]);
    let back = RestoreRequest { to: None, backup_id: before.clone(), options: without_backup(), ..to(then) };
    let back = client.restore(back).await.expect("restored").into_inner();
    assert!(back.changed && back.state_backups.is_empty());
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":2}"#);
    // What comes to nothing leaves none.
    let nothing = client.restore(to(back.store_revision)).await.expect("nothing to do").into_inner();
    assert!(!nothing.changed && nothing.state_backups.is_empty());
    let stale = RestoreRequest { expected_revision: Some(1), ..to(then) };
    refused(client.restore(stale).await, Code::Aborted, "REVISION_MISMATCH");
    assert_eq!(ids(&mut backups).await, [before.as_str()]);
}

#[tokio::test]
async fn the_state_before_a_migration_and_a_large_apply_is_kept_and_of_each_namespace_the_newest_stay() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    let small = client.apply(layers(2, 0)).await.expect("applied").into_inner();
    assert!(small.state_backups.is_empty());
    let (_, own) =
        create(&mut backups, CreateBackupRequest { namespace: "test".into(), ..keep(BackupKind::State) })
            .await
            .expect("made");
    let mut made = vec![];
    for value in 1..=12 {
        let large = client.apply(layers(3, value)).await.expect("applied").into_inner();
        made.extend(large.state_backups);
    }
    assert_eq!(made.len(), 12);
    let mut expected: Vec<String> = made[2..].iter().rev().cloned().collect();
    expected.push(own.id);
    assert_eq!(ids(&mut backups).await, expected, "the newest ten, and what others have made");
    assert_eq!(described(&mut backups, &made[11]).await.labels["automatic"], "large apply");
    let mut schemas = schema_service_client::SchemaServiceClient::new(server.channel().await);
    for (number, steps) in [(1, ""), (2, r#"[{"set_default":{"at":"/b","value":1}}]"#)] {
        let schema = SchemaServicePutRequest {
            namespace: "test".into(),
            config: "app".into(),
            schema: Some(json(&format!(
                r#"{{"title":"{number}","properties":{{"a":{{"type":"integer"}}}}}}"#
            ))),
            up: steps.into(),
            ..Default::default()
        };
        schemas.put(schema).await.expect("a schema");
    }
    let migrate = MigrateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let migrated = schemas.migrate(migrate).await.expect("migrated").into_inner();
    let [before] = migrated.state_backups.as_slice() else { panic!("one: {migrated:?}") };
    assert_eq!(described(&mut backups, before).await.labels["automatic"], "migration");
}

#[tokio::test]
async fn a_write_whose_state_before_cannot_be_kept_is_refused_and_says_how_to_go_on() {
    let server = keeping().await;
    let mut client = server.client().await;
    let then = put(&mut client, "/", r#"{"a":1}"#).await.store_revision;
    let newest = put(&mut client, "/", r#"{"a":2}"#).await.store_revision;
    fs::remove_dir_all(server.directory.path().join("backups")).expect("removed");
    for request in [to(then), RestoreRequest { options: request_id("again"), ..to(then) }] {
        let status = refused(client.restore(request).await, Code::FailedPrecondition, "STATE_BACKUP_FAILED");
        assert!(status.message().contains("options.without_backup"), "{}", status.message());
        assert!(!status.message().contains("backups/"), "{}", status.message());
    }
    assert_eq!(store_revision(&mut client).await, newest);
    let options = Some(WriteOptions { without_backup: true, ..request_id("again").expect("options") });
    let restored =
        client.restore(RestoreRequest { options, ..to(then) }).await.expect("restored").into_inner();
    assert!(restored.changed && restored.state_backups.is_empty());
}

#[tokio::test]
async fn backups_of_others_leave_room_for_the_state_before_a_restore() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    let then = put(&mut client, "/", r#"{"a":1}"#).await.store_revision;
    put(&mut client, "/", r#"{"a":2}"#).await;
    let of_namespace = CreateBackupRequest { namespace: "test".into(), ..keep(BackupKind::State) };
    let full = loop {
        match create(&mut backups, of_namespace.clone()).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(told(&full).1, "TOO_MANY_KEPT_BACKUPS");
    let restored = client.restore(to(then)).await.expect("restored").into_inner();
    assert_eq!(restored.state_backups.len(), 1);
}

#[tokio::test]
async fn without_the_setting_or_a_place_no_state_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    let off = TestServer::start_in(directory, |settings| {
        settings.backup_dir = Some(dir);
        settings.backup_before_changes = false;
    })
    .await;
    for server in [off, TestServer::start().await] {
        let mut client = server.client().await;
        let then = put(&mut client, "/", r#"{"a":1}"#).await.store_revision;
        put(&mut client, "/", r#"{"a":2}"#).await;
        assert!(client.restore(to(then)).await.expect("restored").into_inner().state_backups.is_empty());
    }
}

#[tokio::test]
async fn what_becomes_of_kept_backups_is_in_the_audit_log() {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    let guarded = Guarded::start_as(directory, |settings| settings.backup_dir = Some(dir)).await;
    let mut admin = guarded.admin.api();
    let set_to = async |content: &str| {
        guarded.admin.api().set(set(replace("/", content))).await.expect("set").into_inner().store_revision
    };
    let then = set_to(r#"{"a":1}"#).await;
    set_to(r#"{"a":2}"#).await;
    let restored = admin.restore(to(then)).await.expect("restored").into_inner();
    let id = restored.state_backups[0].clone();
    for pinned in [true, false] {
        guarded
            .admin
            .backups()
            .pin_backup(PinBackupRequest { id: id.clone(), pinned })
            .await
            .expect("pinned");
    }
    let dry = PruneBackupsRequest { keep_bytes: 1, validate_only: true, ..Default::default() };
    guarded.admin.backups().prune_backups(dry).await.expect("listed");
    let prune = PruneBackupsRequest { validate_only: false, ..dry };
    guarded.admin.backups().prune_backups(prune).await.expect("pruned");
    let kinds = AuditFilter { kinds: vec![AuditKind::Backup.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(kinds), ..Default::default() };
    let entries = guarded.admin.audit().list(request).await.expect("listed").into_inner().entries;
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.actor.as_str(), entry.namespace.as_str(), entry.outcome.as_str()))
        .collect();
    let expected = [
        ("user:admin", "test", "PRUNED"),
        ("user:admin", "test", "UNPINNED"),
        ("user:admin", "test", "PINNED"),
        ("system", "test", "MADE"),
    ];
    assert_eq!(told, expected);
    assert!(entries.iter().all(|entry| entry.detail.contains(&id)), "{entries:?}");
}
