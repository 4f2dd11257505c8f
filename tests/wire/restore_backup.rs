//! Configs that Restore makes what a backup has, which the server keeps or a client sends.

use std::fs;
use std::time::Duration;

use confwatch::backup::{Catalog, Configs, Kind, Plan, Selection, StateView, Wanted};
use confwatch::client::Client as Bearing;
use confwatch::model::{
    ConfigId, ConfigName, Content, Digest, Epoch, Layer, LayerKey, Namespace, Revision, Scope, Timestamp,
    Version,
};
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use confwatch::store::{ConfigRecord, MemoryStore, VersionRef};
use restore_request::To;
use tempfile::TempDir;
use tonic::{Code, Status};

use super::auth::Guarded;
use super::backup::{backups, create, keep, keeping};
use super::restore::{apply, layer, of};
use super::support::*;

fn restore(config: &str, backup: &Backup) -> RestoreRequest {
    RestoreRequest {
        namespace: "test".into(),
        config: config.into(),
        backup_id: backup.id.clone(),
        ..Default::default()
    }
}

fn dry() -> Option<WriteOptions> {
    Some(WriteOptions { validate_only: true, ..Default::default() })
}

/// The file of a kept backup.
fn file(directory: &TempDir, backup: &Backup) -> std::path::PathBuf {
    directory.path().join("backups").join(format!("{}.cwb", backup.id))
}

#[tokio::test]
async fn a_namespace_a_config_or_a_scope_is_what_a_backup_has_by_one_commit() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    apply(&mut client, vec![replace("/", r#"{"a":1}"#), of("gone", replace("/x", r#"{"g":1}"#))]).await;
    apply(&mut client, vec![of("settings:app", replace("/", r#"{"strict":false}"#))]).await;
    let (_, kept) = create(&mut backups, keep(BackupKind::State)).await.expect("made");
    apply(
        &mut client,
        vec![
            replace("/", r#"{"a":2}"#),
            replace("/staging", r#"{"b":1}"#),
            of("gone", change("/x", change::Action::Delete(()))),
            of("new", replace("/", r#"{"n":1}"#)),
            of("settings:app", replace("/", r#"{"strict":true}"#)),
        ],
    )
    .await;
    let options = Some(WriteOptions { validate_only: true, ..Default::default() });
    let preview = client.restore(RestoreRequest { options, ..restore("", &kept) }).await.expect("tried");
    let preview = preview.into_inner();
    assert_eq!(preview.reach.expect("a reach").configs, 3);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2}"#);
    let below = RestoreRequest { scope: Some("/staging".into()), ..restore("app", &kept) };
    let response = client.restore(below).await.expect("restored").into_inner();
    assert_eq!((response.results.len(), response.restored_revision), (1, kept.last_revision));
    assert_eq!(layer(&mut client, "app", "/staging").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":2}"#);
    // Since the preview something has changed.
    let stale = RestoreRequest { expected_revision: Some(preview.base_revision), ..restore("", &kept) };
    refused(client.restore(stale).await, Code::Aborted, "REVISION_MISMATCH");
    let response = client.restore(restore("", &kept)).await.expect("restored").into_inner();
    assert!(response.changed && response.report.expect("a report").valid);
    assert_eq!(
        (response.restored_revision, response.base_revision),
        (kept.last_revision, response.store_revision - 1)
    );
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1}"#);
    assert_eq!(layer(&mut client, "gone", "/x").await, r#"{"g":1}"#);
    assert_eq!(layer(&mut client, "new", "/").await, "CONFIG_NOT_FOUND");
    assert_eq!(layer(&mut client, "settings:app", "/").await, r#"{"strict":true}"#);
    let commit = history(&mut client).await.remove(0).commit.expect("a commit");
    assert_eq!((commit.revision, commit.source()), (response.store_revision, CommitSource::Restore));
    assert_eq!(commit.annotations["restores"], kept.last_revision.to_string());
    assert_eq!(commit.annotations["restores_backup"], kept.id);
    // By its name a system config is restored as well, and nothing remains to be done.
    client.restore(restore("settings:app", &kept)).await.expect("restored");
    assert_eq!(layer(&mut client, "settings:app", "/").await, r#"{"strict":false}"#);
    let again = client.restore(restore("", &kept)).await.expect("nothing to do").into_inner();
    assert!(!again.changed && again.results.is_empty());
}

#[tokio::test]
async fn an_older_state_comes_from_the_history_of_a_backup_and_from_the_backups_before() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    let mut at = vec![0];
    for value in 1..=3 {
        at.push(put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await.store_revision);
    }
    let (_, full) = create(&mut backups, keep(BackupKind::Full)).await.expect("made");
    at.push(put(&mut client, "/", r#"{"a":4}"#).await.store_revision);
    let since = CreateBackupRequest { since_backup: full.id.clone(), ..keep(BackupKind::Incremental) };
    let (_, more) = create(&mut backups, since).await.expect("made");
    let (_, state) = create(&mut backups, keep(BackupKind::State)).await.expect("made");
    put(&mut client, "/", r#"{"a":5}"#).await;
    for (backup, revision, expected) in
        [(&full, Some(2), 2), (&full, None, 3), (&more, Some(1), 1), (&more, None, 4), (&state, Some(4), 4)]
    {
        let revision = revision.map(|value: usize| at[value]);
        let request = RestoreRequest { to: revision.map(To::Revision), ..restore("app", backup) };
        let response = client.restore(request).await.expect("restored").into_inner();
        assert_eq!(response.restored_revision, revision.unwrap_or(backup.last_revision));
        assert_eq!(layer(&mut client, "app", "/").await, format!(r#"{{"a":{expected}}}"#));
    }
    for (backup, revision, oldest, newest) in
        [(&full, at[4], 1, at[3]), (&state, at[3], at[4], at[4]), (&more, at[4] + 1, 1, at[4])]
    {
        let request = RestoreRequest { to: Some(To::Revision(revision)), ..restore("app", backup) };
        let status = refused(client.restore(request).await, Code::OutOfRange, "REVISION_NOT_IN_BACKUP");
        let (_, _, metadata) = told(&status);
        assert_eq!(metadata["oldest_revision"], oldest.to_string());
        assert_eq!(metadata["newest_revision"], newest.to_string());
    }
    // Without the backup that it follows an incremental one has no state.
    fs::remove_file(file(&server.directory, &full)).expect("removed");
    refused(client.restore(restore("app", &more)).await, Code::FailedPrecondition, "BACKUP_MISMATCH");
    let tag = RestoreRequest { to: Some(To::Tag("stable".into())), ..restore("app", &state) };
    refused_for(client.restore(tag).await, "INVALID_FIELD", "to");
    let zero = RestoreRequest { to: Some(To::Revision(0)), ..restore("app", &state) };
    refused_for(client.restore(zero).await, "INVALID_FIELD", "revision");
}

#[tokio::test]
async fn a_backup_that_is_damaged_cut_newer_or_of_others_is_refused_and_nothing_changes() {
    let server = keeping().await;
    let (mut client, mut backups) = (server.client().await, backups(&server).await);
    put(&mut client, "/", r#"{"a":1}"#).await;
    let (_, kept) = create(&mut backups, keep(BackupKind::Full)).await.expect("made");
    let (_, other) = create(&mut backups, keep(BackupKind::State)).await.expect("made");
    let then = put(&mut client, "/", r#"{"a":2}"#).await.store_revision;
    let path = file(&server.directory, &kept);
    let bytes = fs::read(&path).expect("read");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut newer = bytes.clone();
    newer[11] = 9;
    let cases = [
        (flipped, "is damaged"),
        (bytes[..bytes.len() - 1].to_vec(), "is damaged"),
        (newer, "has format 9"),
        (b"something else altogether".to_vec(), "this is no backup"),
        (fs::read(file(&server.directory, &other)).expect("read"), "its manifest has changed"),
    ];
    for (bytes, why) in cases {
        fs::write(&path, bytes).expect("written");
        for options in [None, dry()] {
            let request = RestoreRequest { options, ..restore("", &kept) };
            let status =
                refused(client.restore(request).await, Code::FailedPrecondition, "BACKUP_UNREADABLE");
            assert!(status.message().contains(why), "{why}: {}", status.message());
            assert!(!status.message().contains(path.to_str().expect("a path")), "{}", status.message());
        }
    }
    assert_eq!(store_revision(&mut client).await, then);
    let unknown = Backup { id: "none".into(), ..kept };
    refused(client.restore(restore("", &unknown)).await, Code::NotFound, "BACKUP_NOT_FOUND");
    let part =
        CreateBackupRequest { namespace: "test".into(), config: "app".into(), ..keep(BackupKind::State) };
    let (_, part) = create(&mut backups, part).await.expect("made");
    let status =
        refused(client.restore(restore("", &part)).await, Code::FailedPrecondition, "BACKUP_MISMATCH");
    assert!(status.message().contains("has test/app alone"), "{}", status.message());
    let absent = client.restore(restore("other", &other)).await;
    refused(absent, Code::NotFound, "VERSION_NOT_FOUND");
    let none = TestServer::start_believing().await;
    let nowhere = none.client().await.restore(restore("", &other)).await;
    refused(nowhere, Code::FailedPrecondition, "BACKUPS_NOT_KEPT");
}

#[tokio::test]
async fn a_backup_of_another_store_brings_its_configs_and_none_of_its_secrets() {
    let there = keeping().await;
    let mut client = there.client().await;
    apply(&mut client, vec![replace("/", r#"{"a":1}"#), of("plain", replace("/x", r#"{"p":1}"#))]).await;
    apply(&mut client, vec![of("sealed", replace("/", r#"{"password":{"$secret":"hunter2"}}"#))]).await;
    let (_, kept) = create(&mut backups(&there).await, keep(BackupKind::State)).await.expect("made");
    let here = keeping().await;
    fs::copy(file(&there.directory, &kept), file(&here.directory, &kept)).expect("copied");
    let mut client = here.client().await;
    put(&mut client, "/", r#"{"password":{"$secret":"other"}}"#).await;
    let before = store_revision(&mut client).await;
    for options in [None, dry()] {
        let request = RestoreRequest { options, ..restore("", &kept) };
        let status = refused(client.restore(request).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        let found = &findings(&status)[0];
        assert_eq!((found.code.as_str(), found.pointer.as_str()), ("SECRET_KEY_UNKNOWN", "/password"));
        assert!(!format!("{status:?}").contains("hunter2"));
    }
    assert_eq!(store_revision(&mut client).await, before);
    // Configs that never were here come into being.
    for config in ["plain", "app"] {
        let response = client.restore(restore(config, &kept)).await.expect("restored").into_inner();
        assert!(response.changed);
    }
    assert_eq!(layer(&mut client, "plain", "/x").await, r#"{"p":1}"#);
    assert_eq!(layer(&mut client, "app", "/").await, r#"{"a":1}"#);
}

const POLICY: &str = r#"{
  "roles": {"restore": ["read", "rollback"], "backup": ["backup"], "rollback": ["rollback"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:operator", "token:unseeing"], "role": "restore", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:operator", "token:blind", "token:backup"], "role": "backup", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:blind"], "role": "rollback", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// A server that keeps backups and asks for credentials.
async fn guarded() -> Guarded {
    let directory = TempDir::new().expect("a directory");
    let dir = directory.path().join("backups");
    let guarded = Guarded::start_as(directory, |settings| settings.backup_dir = Some(dir)).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded
}

/// Has the server keep a backup, for somebody.
async fn kept(client: &Bearing, namespace: &str, kind: BackupKind) -> Backup {
    let request = CreateBackupRequest { namespace: namespace.into(), ..keep(kind) };
    let mut stream = client.backups().create_backup(request).await.expect("begun").into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.expect("it goes on") {
        last = message.backup;
    }
    last.expect("the last message describes the backup")
}

#[tokio::test]
async fn a_restore_takes_rollback_and_read_on_the_place_and_a_backup_that_the_caller_may_see() {
    let guarded = guarded().await;
    let put = async |content: &str| {
        guarded.admin.api().set(set(replace("/", content))).await.expect("set");
    };
    put(r#"{"a":1}"#).await;
    let operator = guarded.bearer("operator").await;
    let own = kept(&operator, "test", BackupKind::Full).await;
    let of_store = kept(&guarded.admin, "", BackupKind::Full).await;
    put(r#"{"a":2}"#).await;
    // One that they may not see, and one that there is not, are answered alike.
    let unseen =
        refused(operator.api().restore(restore("", &of_store)).await, Code::NotFound, "BACKUP_NOT_FOUND");
    let none = Backup { id: of_store.id.replace("full", "none"), ..of_store.clone() };
    let none = refused(operator.api().restore(restore("", &none)).await, Code::NotFound, "BACKUP_NOT_FOUND");
    assert_eq!(unseen.message().replace("full", "none"), none.message());
    for name in ["blind", "backup"] {
        let denied = guarded.bearer(name).await.api().restore(restore("", &own)).await;
        refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    let unseeing = guarded.bearer("unseeing").await.api().restore(restore("", &own)).await;
    refused(unseeing, Code::NotFound, "BACKUP_NOT_FOUND");
    // A repeated request has the first outcome, though the backup is gone by then.
    let request = RestoreRequest { options: request_id("once"), ..restore("", &own) };
    let first = operator.api().restore(request.clone()).await.expect("restored").into_inner();
    fs::remove_file(file(&guarded.server.directory, &own)).expect("removed");
    let again = operator.api().restore(request).await.expect("the first outcome").into_inner();
    assert_eq!(
        (again.store_revision, again.restored_revision),
        (first.store_revision, first.restored_revision)
    );
    refused(operator.api().restore(restore("", &own)).await, Code::NotFound, "BACKUP_NOT_FOUND");
}

#[tokio::test]
async fn secrets_come_back_sealed_and_what_was_in_clear_text_is_masked_and_a_guess() {
    let guarded = guarded().await;
    let operator = guarded.bearer("operator").await;
    let write = async |content: &str| {
        guarded.admin.api().set(set(merge_patch("/", content))).await.expect("set");
    };
    write(r#"{"password":{"$secret":"first-one"},"token":"cAnArY-plain","a":1}"#).await;
    let backup = kept(&operator, "test", BackupKind::State).await;
    write(r#"{"password":{"$secret":"second-one"},"token":null,"a":2}"#).await;
    let schema = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(r#"{"properties":{"token":{"x-secret":true}}}"#)),
        ..Default::default()
    };
    guarded.admin.schemas().put(schema).await.expect("a schema");
    write(r#"{"token":"third-one"}"#).await;
    let rotate = RotateDataKeyRequest { namespace: "test".into() };
    guarded.admin.secrets().rotate_data_key(rotate).await.expect("rotated");
    let overwritten = async || {
        let kinds = AuditFilter { kinds: vec![AuditKind::Overwritten.into()], ..Default::default() };
        let request = AuditServiceListRequest { filter: Some(kinds), ..Default::default() };
        guarded.admin.audit().list(request).await.expect("listed").into_inner().entries.len()
    };
    for options in [dry(), None] {
        let is_dry = options.is_some();
        let request = RestoreRequest { options, ..restore("", &backup) };
        let response = operator.api().restore(request).await.expect("restored").into_inner();
        assert!(response.changed);
        let told = format!("{response:?}");
        for secret in ["first-one", "second-one", "third-one", "cAnArY"] {
            assert!(!told.contains(secret), "{secret}: {told}");
        }
        assert_eq!(overwritten().await, usize::from(!is_dry));
    }
    let revealed =
        guarded.admin.api().get(get("/")).await.expect("there").into_inner().document.expect("one");
    assert_eq!(revealed.content, r#"{"a":1,"password":"first-one","token":"cAnArY-plain"}"#);
}

#[tokio::test]
async fn a_token_that_was_revoked_since_stays_revoked() {
    let guarded = guarded().await;
    let (token, id) = guarded.token("operator").await;
    let backup = kept(&guarded.admin, "", BackupKind::Full).await;
    guarded
        .admin
        .access()
        .revoke_token(RevokeTokenRequest { id, ..Default::default() })
        .await
        .expect("revoked");
    let request = RestoreRequest { namespace: "confwatch".into(), ..restore("tokens", &backup) };
    let status =
        refused(guarded.admin.api().restore(request).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(findings(&status)[0].code, "ACCESS");
    for config in ["keys", "origin"] {
        let request = RestoreRequest { namespace: "confwatch".into(), ..restore(config, &backup) };
        refused(guarded.admin.api().restore(request).await, Code::InvalidArgument, "INVALID_NAME");
    }
    let all = RestoreRequest { namespace: "confwatch".into(), ..restore("", &backup) };
    refused(guarded.admin.api().restore(all).await, Code::InvalidArgument, "INVALID_NAME");
    let revoked = super::auth::client(&guarded.server, Some(&token));
    refused(revoked.api().get(get("/")).await, Code::Unauthenticated, "CREDENTIAL_REVOKED");
}

/// Has a client send a file.
async fn upload(client: &Bearing, namespace: &str, bytes: &[u8]) -> Result<UploadBackupResponse, Status> {
    let first = UploadBackupRequest {
        namespace: namespace.into(),
        size_bytes: bytes.len() as u64,
        sha256: Digest::of(bytes).to_string(),
        chunk: bytes[..10].to_vec(),
        ..Default::default()
    };
    let begun = client.backups().upload_backup(first).await?.into_inner();
    assert_eq!((begun.received_bytes, begun.backup), (10, None));
    let (upload_id, offset, chunk) = (begun.upload_id, 5, bytes[5..].to_vec());
    let rest = UploadBackupRequest { upload_id, offset, chunk, ..Default::default() };
    Ok(client.backups().upload_backup(rest).await?.into_inner())
}

fn from_upload(config: &str, uploaded: &UploadBackupResponse) -> RestoreRequest {
    let upload_id = uploaded.upload_id.clone();
    RestoreRequest { namespace: "test".into(), config: config.into(), upload_id, ..Default::default() }
}

#[tokio::test]
async fn a_backup_that_a_client_sends_is_restored_once() {
    let guarded = guarded().await;
    let mut admin = guarded.admin.api();
    admin.set(set(replace("/", r#"{"a":1,"password":{"$secret":"first-one"}}"#))).await.expect("set");
    let backup = kept(&guarded.admin, "test", BackupKind::Full).await;
    let bytes = fs::read(file(&guarded.server.directory, &backup)).expect("read");
    admin.set(set(replace("/", r#"{"a":2,"password":{"$secret":"second-one"}}"#))).await.expect("set");
    let sent = upload(&guarded.admin, "test", &bytes).await.expect("sent");
    assert_eq!(sent.received_bytes, bytes.len() as u64);
    assert_eq!(sent.backup.as_ref().expect("described").last_revision, backup.last_revision);
    let preview = RestoreRequest { options: dry(), ..from_upload("", &sent) };
    assert!(admin.restore(preview).await.expect("tried").into_inner().changed);
    let both = RestoreRequest { backup_id: backup.id.clone(), ..from_upload("", &sent) };
    refused_for(admin.restore(both).await, "INVALID_FIELD", "upload_id");
    let response = admin.restore(from_upload("", &sent)).await.expect("restored").into_inner();
    assert_eq!((response.changed, response.restored_revision), (true, backup.last_revision));
    let revealed = admin.get(get("/")).await.expect("there").into_inner().document.expect("one");
    assert_eq!(revealed.content, r#"{"a":1,"password":"first-one"}"#);
    let versions = admin.list_versions(versions()).await.expect("listed").into_inner().versions;
    let commit = versions[0].commit.as_ref().expect("a commit");
    assert_eq!(commit.annotations["restores_backup"], Digest::of(&bytes).to_string());
    // The revision is one of another history, for all that is known.
    assert_eq!(commit.annotations.get("restores"), None);
    assert_eq!(commit.annotations["restores_revision_of_backup"], backup.last_revision.to_string());
    refused(admin.restore(from_upload("", &sent)).await, Code::NotFound, "UPLOAD_NOT_FOUND");
    let uploads = guarded.server.directory.path().join("data/uploads");
    assert_eq!(fs::read_dir(&uploads).expect("read").count(), 0, "the file is gone");
    // What a process has left is gone with its next start.
    upload(&guarded.admin, "test", &bytes).await.expect("sent");
    fs::write(uploads.join("left"), b"").expect("written");
    let Guarded { server, admin: client } = guarded;
    drop((client, admin));
    let directory = server.stop().await;
    let again = Guarded::start_in(directory).await;
    assert_eq!(fs::read_dir(&uploads).expect("read").count(), 0);
    drop(again);
}

#[tokio::test]
async fn an_upload_is_refused_that_is_not_as_announced_or_not_of_its_sender() {
    let guarded = guarded().await;
    let operator = guarded.bearer("operator").await;
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    let backup = kept(&operator, "test", BackupKind::State).await;
    let bytes = fs::read(file(&guarded.server.directory, &backup)).expect("read");
    let begin = |namespace: &str, sum: Digest, size_bytes: u64| UploadBackupRequest {
        namespace: namespace.into(),
        size_bytes,
        sha256: sum.to_string(),
        ..Default::default()
    };
    let (sum, size) = (Digest::of(&bytes), bytes.len() as u64);
    let send = async |client: &Bearing, request: UploadBackupRequest| {
        client.backups().upload_backup(request).await.map(tonic::Response::into_inner)
    };
    refused(send(&operator, begin("", sum, size)).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused_for(send(&operator, begin("test", sum, 0)).await, "INVALID_FIELD", "size_bytes");
    refused_for(send(&operator, begin("test", sum, 2 << 30)).await, "INVALID_FIELD", "size_bytes");
    let no_sum = UploadBackupRequest { sha256: "md5".into(), ..begin("test", sum, size) };
    refused_for(send(&operator, no_sum).await, "INVALID_FIELD", "sha256");
    let begun = send(&operator, begin("test", sum, size)).await.expect("begun");
    let part = |offset: u64, data: &[u8]| UploadBackupRequest {
        upload_id: begun.upload_id.clone(),
        offset,
        chunk: data.to_vec(),
        ..Default::default()
    };
    refused_for(send(&operator, part(7, b"x")).await, "INVALID_FIELD", "offset");
    refused_for(send(&operator, part(0, &[0; 100_000])).await, "INVALID_FIELD", "chunk");
    refused(send(&guarded.admin, part(0, &bytes)).await, Code::NotFound, "UPLOAD_NOT_FOUND");
    let incomplete =
        operator.api().restore(RestoreRequest { options: dry(), ..from_upload("", &begun) }).await;
    refused(incomplete, Code::PermissionDenied, "PERMISSION_DENIED");
    // Another begins anew, and the first is gone.
    let mut wrong = bytes.clone();
    wrong[20] ^= 1;
    let begun_anew = send(&operator, begin("test", sum, size)).await.expect("begun");
    refused(send(&operator, part(0, &bytes)).await, Code::NotFound, "UPLOAD_NOT_FOUND");
    let all =
        UploadBackupRequest { upload_id: begun_anew.upload_id, chunk: wrong.clone(), ..Default::default() };
    refused(send(&operator, all).await, Code::FailedPrecondition, "BACKUP_UNREADABLE");
    // With the sum of the damaged file it is taken, and found to be damaged before anything changes.
    let damaged = upload(&guarded.admin, "test", &wrong).await.expect("sent");
    let status = guarded.admin.api().restore(from_upload("", &damaged)).await;
    refused(status, Code::FailedPrecondition, "BACKUP_UNREADABLE");
    let other = upload(&guarded.admin, "other", &bytes).await;
    refused(other, Code::FailedPrecondition, "BACKUP_MISMATCH");
    refused(upload(&guarded.admin, "test", &[0; 100]).await, Code::FailedPrecondition, "BACKUP_UNREADABLE");
    let uploads = guarded.server.directory.path().join("data/uploads");
    assert_eq!(fs::read_dir(uploads).expect("read").count(), 0, "what is of no use is not kept");
}

#[tokio::test]
async fn uploads_that_send_a_byte_now_and_then_give_their_place_to_who_waits() {
    const POLICY: &str = r#"{"roles": {"backup": ["backup"]}, "bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:a", "token:b", "token:c"], "role": "backup", "namespace": "test", "config": "*", "scope": "/"},
        {"subjects": ["token:d", "token:e"], "role": "backup", "namespace": "other", "config": "*", "scope": "/"},
        {"subjects": ["token:f"], "role": "backup", "namespace": "third", "config": "*", "scope": "/"}
    ]}"#;
    let directory = TempDir::new().expect("a directory");
    let change = |settings: &mut Settings| settings.transfer_timeout = Duration::from_millis(500);
    let guarded = Guarded::start_as(directory, change).await;
    guarded.set_policy(POLICY).await.expect("a policy");
    let bytes = vec![7; 1 << 20];
    let first = |namespace: &str| UploadBackupRequest {
        namespace: namespace.into(),
        size_bytes: bytes.len() as u64,
        sha256: Digest::of(&bytes).to_string(),
        chunk: bytes[..10].to_vec(),
        ..Default::default()
    };
    let begin = async |name: &str, namespace: &str| {
        let client = guarded.bearer(name).await;
        let begun = client.backups().upload_backup(first(namespace)).await;
        begun.map(|begun| (client, begun.into_inner().upload_id))
    };
    let send = async |(client, id): &(Bearing, String), offset: u64, count: usize| {
        let chunk = bytes[..count].to_vec();
        let part = UploadBackupRequest { upload_id: id.clone(), offset, chunk, ..Default::default() };
        client.backups().upload_backup(part).await.map(drop)
    };
    let mut hostile = vec![];
    for (name, namespace) in [("a", "test"), ("b", "test"), ("d", "other"), ("e", "other")] {
        hostile.push(begin(name, namespace).await.expect("begun"));
    }
    // One of them goes on as it should, and the others send a byte now and then.
    let begun = begin("f", "third");
    tokio::pin!(begun);
    let mut offset = 10;
    let honest = loop {
        tokio::select! {
            biased;
            begun = &mut begun => break begun.expect("somebody gives way"),
            sent = send(&hostile[3], offset.min(1 << 19), 256 << 10) => sent.expect("it has its place"),
        }
        offset += 256 << 10;
        for upload in &hostile[..3] {
            let _ = send(upload, 10, 1).await;
        }
    };
    send(&honest, 10, 10).await.expect("it has its place");
    let gone = futures_util::future::join_all(hostile.iter().map(|upload| send(upload, 11, 1))).await;
    assert_eq!(gone.iter().filter(|sent| sent.is_err()).count(), 1, "one is enough: {gone:?}");
    assert!(gone[3].is_ok());
}

/// A backup of the state that no server has made.
fn forged(layers: &[(&str, &str)]) -> Vec<u8> {
    let id = ConfigId {
        namespace: Namespace::parse("test").expect("a name"),
        config: ConfigName::parse("app").expect("a name"),
    };
    let at = VersionRef { version: Version(1), revision: Revision(1), time: Timestamp(1) };
    let layers = layers.iter().map(|(scope, content)| {
        let (content, version) = (Content::of_canonical(content), Version(1));
        let key = LayerKey::base(Scope::parse(scope).expect("a scope"));
        (key, Layer { content, version, expires: None, format: None })
    });
    let config = ConfigRecord { id, at, layers: layers.collect(), tags: Default::default() };
    let configs: Configs<'_> = &|visit| visit(config.clone());
    let state = StateView { revision: Revision::ZERO, configs, config_count: 1 };
    let plan = Plan {
        kind: Kind::State,
        selection: Selection::Namespace(Namespace::parse("test").expect("a name")),
        since: None,
        server: String::new(),
        actor: "mallory".into(),
        created: Timestamp(1),
        note: String::new(),
        labels: Default::default(),
    };
    let store = MemoryStore::new(Epoch(1));
    confwatch::backup::create(&store, &state, &plan, Vec::new(), &mut |_| true).expect("made").2
}

/// The content of a layer of `test/app`, as a kept backup has it: with its secrets sealed.
fn sealed(directory: &TempDir, backup: &Backup, scope: &str) -> String {
    let catalog = Catalog::open(&directory.path().join("backups")).expect("opened");
    let found = catalog.get(&backup.id).expect("read").expect("kept");
    let wanted = Wanted {
        selection: Selection::Namespace(Namespace::parse("test").expect("a name")),
        config: &|id| id.config.as_str() == "app",
        layer: &|key| key.scope.as_str() == scope,
        at: None,
        shared: &|_, _, _| None,
        items_max: 10,
        bytes_max: 10_000,
    };
    let mut read = catalog.extract(&found, &wanted, &|| false).expect("read").configs;
    let (_, config) = read.pop_first().expect("a config");
    config.layers[0].1.content.as_str().to_owned()
}

#[tokio::test]
async fn who_sends_a_backup_needs_the_right_to_write_and_moves_no_secret_to_where_they_see_it() {
    const POLICY: &str = r#"{
      "roles": {
        "restore": ["read", "rollback", "backup"], "write": ["write", "override"], "reveal": ["reveal-secret"]
      },
      "bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:operator", "token:writer"], "role": "restore", "namespace": "test", "config": "*", "scope": "/"},
        {"subjects": ["token:writer"], "role": "write", "namespace": "test", "config": "*", "scope": "/"},
        {"subjects": ["token:writer"], "role": "reveal", "namespace": "test", "config": "*", "scope": "/staging"}
      ]
    }"#;
    let guarded = guarded().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    let secret = r#"{"password":{"$secret":"cAnArY-production"}}"#;
    guarded.admin.api().set(set(replace("/production", secret))).await.expect("set");
    let writer = guarded.bearer("writer").await;
    let backup = kept(&writer, "test", BackupKind::State).await;
    let stolen = sealed(&guarded.server.directory, &backup, "/production");
    let bytes = forged(&[("/production", &stolen), ("/staging", &stolen)]);
    let operator = guarded.bearer("operator").await;
    let sent = upload(&operator, "test", &bytes).await.expect("sent");
    let denied = operator.api().restore(from_upload("", &sent)).await;
    refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    let sent = upload(&writer, "test", &bytes).await.expect("sent");
    for options in [dry(), None] {
        let request = RestoreRequest { options, ..from_upload("", &sent) };
        let status =
            refused(writer.api().restore(request).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        assert_eq!(findings(&status)[0].code, "SECRET_NOT_OPENED");
        assert_eq!(findings(&status)[0].scope, "/staging");
    }
    // A secret that stays where it is may stay.
    let bytes = forged(&[("/", r#"{"a":1}"#), ("/production", &stolen)]);
    let sent = upload(&writer, "test", &bytes).await.expect("sent");
    writer.api().restore(from_upload("", &sent)).await.expect("restored");
    let revealed = guarded.admin.api().get(get("/production")).await.expect("there").into_inner().document;
    assert_eq!(revealed.expect("one").content, r#"{"a":1,"password":"cAnArY-production"}"#);
}

#[tokio::test]
async fn a_restore_from_a_file_that_is_repeated_with_its_request_id_is_made_once() {
    let guarded = guarded().await;
    let mut admin = guarded.admin.api();
    admin.set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    let backup = kept(&guarded.admin, "test", BackupKind::State).await;
    let bytes = fs::read(file(&guarded.server.directory, &backup)).expect("read");
    admin.set(set(replace("/", r#"{"a":2}"#))).await.expect("set");
    let other = kept(&guarded.admin, "test", BackupKind::State).await;
    let other = fs::read(file(&guarded.server.directory, &other)).expect("read");
    let sent = upload(&guarded.admin, "test", &bytes).await.expect("sent");
    let request = |sent: &UploadBackupResponse| RestoreRequest {
        options: request_id("restore-once"),
        ..from_upload("", sent)
    };
    let first = admin.restore(request(&sent)).await.expect("restored").into_inner();
    admin.set(set(replace("/", r#"{"a":3}"#))).await.expect("set");
    // The answer was lost, and the upload is gone: by its old id, and with the file sent again.
    let again = admin.restore(request(&sent)).await.expect("the first outcome").into_inner();
    assert_eq!((again.store_revision, again.changed), (first.store_revision, true));
    let sent_again = upload(&guarded.admin, "test", &bytes).await.expect("sent");
    assert_ne!(sent_again.upload_id, sent.upload_id);
    let again = admin.restore(request(&sent_again)).await.expect("the first outcome").into_inner();
    assert_eq!(again.store_revision, first.store_revision);
    let document = admin.get(get("/")).await.expect("there").into_inner().document.expect("one");
    assert_eq!(document.content, r#"{"a":3}"#);
    let another = upload(&guarded.admin, "test", &other).await.expect("sent");
    refused(admin.restore(request(&another)).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
}

/// The records of backups and of denials: the actor, the outcome and the namespace of each.
async fn recorded(guarded: &Guarded) -> Vec<(String, String, String)> {
    let filter = AuditFilter {
        kinds: vec![AuditKind::Backup.into(), AuditKind::Denied.into()],
        verb: "backup".into(),
        ..Default::default()
    };
    let request = AuditServiceListRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let entries = guarded.admin.audit().list(request).await.expect("listed").into_inner().entries;
    entries.into_iter().map(|entry| (entry.actor, entry.outcome, entry.namespace)).collect()
}

#[tokio::test]
async fn tries_of_backups_and_uploads_of_others_and_files_that_are_refused_are_on_record() {
    let guarded = guarded().await;
    let operator = guarded.bearer("operator").await;
    guarded.admin.api().set(set(replace("/", r#"{"a":1}"#))).await.expect("set");
    let elsewhere = Change { namespace: "elsewhere".into(), ..replace("/", r#"{"a":1}"#) };
    guarded.admin.api().set(set(elsewhere)).await.expect("set");
    let of_others = kept(&guarded.admin, "elsewhere", BackupKind::State).await;
    let own = kept(&operator, "test", BackupKind::State).await;
    let bytes = fs::read(file(&guarded.server.directory, &own)).expect("read");
    let foreign = fs::read(file(&guarded.server.directory, &of_others)).expect("read");
    let id = || of_others.id.clone();
    let mut backups = operator.backups();
    refused(backups.get_backup(GetBackupRequest { id: id() }).await, Code::NotFound, "BACKUP_NOT_FOUND");
    refused(
        backups.pin_backup(PinBackupRequest { id: id(), pinned: true }).await,
        Code::NotFound,
        "BACKUP_NOT_FOUND",
    );
    refused(operator.api().restore(restore("", &of_others)).await, Code::NotFound, "BACKUP_NOT_FOUND");
    let sent = upload(&guarded.admin, "elsewhere", &foreign).await.expect("sent");
    let part = UploadBackupRequest { upload_id: sent.upload_id.clone(), ..Default::default() };
    refused(backups.upload_backup(part).await, Code::NotFound, "UPLOAD_NOT_FOUND");
    refused(upload(&operator, "elsewhere", &foreign).await, Code::PermissionDenied, "PERMISSION_DENIED");
    refused(upload(&operator, "test", &foreign).await, Code::FailedPrecondition, "BACKUP_MISMATCH");
    let mut wrong = bytes.clone();
    wrong[20] ^= 1;
    let damaged = upload(&guarded.admin, "test", &wrong).await.expect("sent");
    let status = guarded.admin.api().restore(from_upload("", &damaged)).await;
    refused(status, Code::FailedPrecondition, "BACKUP_UNREADABLE");
    let found = recorded(&guarded).await;
    for (actor, outcome, namespace) in [
        ("token:operator", "BACKUP_NOT_FOUND", "elsewhere"),
        ("user:admin", "UPLOADED", "elsewhere"),
        ("token:operator", "UPLOAD_NOT_FOUND", "elsewhere"),
        ("token:operator", "PERMISSION_DENIED", "elsewhere"),
        ("token:operator", "UPLOAD_REFUSED", "test"),
        ("user:admin", "RESTORE_REFUSED", "test"),
    ] {
        let is_it = |record: &&(String, String, String)| {
            (record.0.as_str(), record.1.as_str(), record.2.as_str()) == (actor, outcome, namespace)
        };
        assert!(found.iter().any(|record| is_it(&record)), "{actor} {outcome} {namespace}: {found:?}");
    }
}
