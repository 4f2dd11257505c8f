//! Backups as operators make, look at and restore them.

use std::fs;

use crate::harness::{Ran, Server, confwatch, finish, keys_of};

fn run(args: &[&str]) -> Ran {
    finish(confwatch(args))
}

#[test]
fn a_lost_disk_comes_back_from_a_full_backup_and_an_incremental_one() {
    let mut server = Server::start();
    server.ok(&["set", "payments/checkout@/production", "retries=3", "-m", "more retries"]);
    server.ok(&["set", "payments/checkout", r#"password={"$secret":"hunter2"}"#]);
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let (full, more) = (path("full.cwb"), path("more.cwb"));
    let label = ["--note", "before the upgrade", "--label", "reason=upgrade"];
    let made = server.ok(&[&["backup", "create", "-f", &full][..], &label].concat());
    assert!(made.contains("full backup of the store, revisions 1 to"), "{made}");
    let taken = server.fails(5, &["backup", "create", "-f", &full]);
    assert!(taken.contains("is there already"), "{taken}");
    server.ok(&["set", "payments/checkout@/production", "retries=4"]);
    server.ok(&["backup", "create", "-f", &more, "--since", &full]);
    server.ok(&["set", "payments/checkout@/production", "retries=5"]);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 2, "no temporary file is left");

    let shown = run(&["backup", "show", &full]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in
        ["kind         full", "of           the store", "by ada@test", "before the upgrade", "reason=upgrade"]
    {
        assert!(shown.stdout.contains(part), "{part}: {}", shown.stdout);
    }
    assert!(run(&["backup", "verify", &more]).stdout.starts_with("intact: incremental backup of the store"));

    server.stop();
    let (data, new) = (server.data.path().to_owned(), path("new"));
    // Without the master key nothing is made.
    let restore = ["backup", "restore", &full, &more, "--data-dir", &new];
    let refused = run(&restore);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.stderr.contains("master key") && refused.stderr.contains("--master-key-file"),
        "{refused:?}"
    );
    let key = path("master.key");
    fs::copy(keys_of(&data).join("master.key"), &key).expect("copied");
    let restored = run(&[&restore[..], &["--master-key-file", &key]].concat());
    assert_eq!(restored.code, 0, "{restored:?}");
    assert!(restored.stdout.contains("new epoch"), "{restored:?}");
    let again = run(&restore);
    assert_eq!((again.code, again.stderr.contains("is not empty")), (5, true), "{again:?}");

    // A backup of a directory that no server has open is the same.
    let offline = path("offline.cwb");
    let made = run(&["backup", "create", "--data-dir", data.to_str().expect("a path"), "-f", &offline]);
    assert_eq!((made.code, made.stdout.contains("full backup of the store")), (0, true), "{made:?}");
    assert_eq!(run(&["backup", "verify", &offline]).code, 0);

    fs::remove_dir_all(&data).expect("the disk is gone");
    fs::rename(&new, &data).expect("moved");
    fs::create_dir(keys_of(&data)).expect("made");
    fs::copy(&key, keys_of(&data).join("master.key")).expect("copied");
    server.start_again();
    assert!(server.ok(&["get", "payments/checkout@/production"]).contains("4"));
    assert!(server.ok(&["get", "payments/checkout", "--reveal"]).contains("hunter2"));
    let origin = server.ok(&["changes", "confwatch", "--since", "1h"]);
    assert!(origin.contains("the store was restored from the backup of revision"), "{origin}");
    server.stop();
    let fsck = run(&["fsck", "--data-dir", data.to_str().expect("a path")]);
    assert_eq!(fsck.code, 0, "{fsck:?}");
}

#[test]
fn a_file_that_is_damaged_cut_newer_or_of_others_is_refused() {
    let server = Server::start();
    server.ok(&["set", "shop/app", "a=1"]);
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let (good, bad, new) = (path("good.cwb"), path("bad.cwb"), path("new"));
    server.ok(&["backup", "create", "-f", &good]);
    let bytes = fs::read(&good).expect("read");
    let mut flipped = bytes.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let mut newer = bytes.clone();
    newer[11] = 9;
    let cut = bytes[..bytes.len() - 1].to_vec();
    let cases = [
        (flipped, "is damaged"),
        (cut, "is damaged"),
        (newer, "has format 9, this program reads format 1"),
        (b"something else".to_vec(), "this is no backup of confwatch"),
    ];
    for (bytes, why) in cases {
        fs::write(&bad, bytes).expect("written");
        for args in [&["backup", "verify", &bad][..], &["backup", "restore", &bad, "--data-dir", &new]] {
            let ran = run(args);
            assert_eq!((ran.code, ran.stderr.contains(why)), (1, true), "{args:?}: {ran:?}");
        }
        assert!(!directory.path().join("new").exists());
    }
    let part = path("part.cwb");
    server.ok(&["backup", "create", "-f", &part, "shop/app", "--kind", "state"]);
    let refused = run(&["backup", "restore", &part, "--data-dir", &new]);
    assert_eq!(
        (refused.code, refused.stderr.contains("a store is made of a backup of all")),
        (4, true),
        "{refused:?}"
    );
    let since = server.fails(4, &["backup", "create", "-f", &path("more.cwb"), "--since", &part]);
    assert!(since.contains("has no history of the store"), "{since}");
    assert_eq!(run(&["backup", "show", &path("none.cwb")]).code, 3);
}

#[test]
fn a_server_keeps_backups_and_makes_those_that_are_scheduled() {
    let kept = tempfile::TempDir::new().expect("a directory");
    let dir = kept.path().join("backups");
    let server = Server::start_with(&["--backup-dir", dir.to_str().expect("a path")]);
    server.ok(&["set", "shop/app", "a=1"]);
    server.ok(&["backup", "create", "--note", "before the upgrade"]);
    let id = server.json(&["backup", "list"])["backups"][0]["id"].as_str().expect("an id").to_owned();
    assert!(server.ok(&["backup", "show", &id]).contains("verified     never"));
    assert!(server.ok(&["backup", "verify", &id]).starts_with("intact: full backup of the store"));
    server.ok(&["backup", "create", "--since", &id]);
    assert!(server.ok(&["backup", "pin", &id]).contains("is pinned"));
    let listed = server.ok(&["backup", "list"]);
    assert!(listed.contains("incremental") && listed.contains("before the upgrade"), "{listed}");
    let pruned = server.ok(&["backup", "prune", "--keep", "1", "--dry-run"]);
    assert!(pruned.contains("0 backups would be removed"), "{pruned}");
    assert!(server.fails(4, &["backup", "prune"]).contains("error: keep_count: must be set"));
    // The file of the server is a backup as any other.
    let file = dir.join(format!("{id}.cwb"));
    assert_eq!(run(&["backup", "verify", file.to_str().expect("a path")]).code, 0);

    server.ok(&["backup", "schedule", "often", "--cron", "* * * * *", "--keep", "2"]);
    let schedules = server.ok(&["backup", "schedule"]);
    assert!(schedules.contains("often") && schedules.contains("* * * * *"), "{schedules}");
    let wrong = server.fails(4, &["backup", "schedule", "wrong", "--cron", "every day"]);
    assert!(wrong.contains("five fields"), "{wrong}");
    server.ok(&["backup", "schedule", "often", "--remove"]);
    assert!(!server.ok(&["backup", "schedule"]).contains("often"));
    let none = Server::start();
    assert!(none.fails(4, &["backup", "list"]).contains("--backup-dir"));
}

#[test]
fn a_schedule_is_refused_by_a_server_that_keeps_no_backups() {
    let server = Server::start();
    let refused = server.fails(4, &["backup", "schedule", "nightly", "--cron", "0 3 * * *"]);
    assert!(refused.contains("--backup-dir"), "{refused}");
    // Somebody may write the config itself: the status says that nothing comes of it.
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("schedules.json");
    std::fs::write(&file, r#"{"schedules":{"nightly":{"cron":"0 3 * * *","kind":"full"}}}"#)
        .expect("written");
    server.ok(&["set", "confwatch/backups", "--merge-patch", file.to_str().expect("a path")]);
    let status = server.run(&["status", "-o", "json"]);
    assert!(status.stdout.contains("BACKUPS_NOT_KEPT"), "{status:?}");
}

#[test]
fn a_running_server_takes_configs_from_a_backup_that_it_keeps() {
    let kept = tempfile::TempDir::new().expect("a directory");
    let dir = kept.path().join("backups");
    let server = Server::start_with(&["--backup-dir", dir.to_str().expect("a path")]);
    server.ok(&["set", "shop/app", "a=1"]);
    server.ok(&["set", "shop/app@/production", "b=1"]);
    server.ok(&["backup", "create"]);
    let id = server.json(&["backup", "list"])["backups"][0]["id"].as_str().expect("an id").to_owned();
    server.ok(&["set", "shop/app", "a=2"]);
    server.ok(&["set", "shop/other", "c=1"]);
    let preview = server.ok(&["restore", "shop", "--from-backup", &id, "--dry-run"]);
    assert!(preview.contains("2 layers would change back to revision") && preview.contains(&id), "{preview}");
    assert!(server.ok(&["get", "shop/app"]).contains('2'));
    let asked = server.fails(5, &["restore", "shop", "--from-backup", &id, "--ask-above", "configs=1"]);
    assert!(asked.contains("--yes"), "{asked}");
    let restored = server.ok(&["restore", "shop", "--from-backup", &id, "-m", "incident 7", "--wait"]);
    assert!(restored.contains("of backup") && restored.contains("2 layers changed"), "{restored}");
    assert!(restored.contains("state before: backup "), "{restored}");
    server.ok(&["set", "shop/app", "a=9"]);
    let without = server.ok(&["restore", "shop/app", "--to", "revision:2", "--without-backup"]);
    assert!(without.contains("1 layer changed") && !without.contains("state before"), "{without}");
    assert!(server.ok(&["get", "shop/app"]).contains('1'));
    server.fails(3, &["get", "shop/other"]);
    let nothing = server.ok(&["restore", "shop/app", "--from-backup", &id]);
    assert!(nothing.starts_with("nothing to restore: shop/app is as it was at revision"), "{nothing}");
    let out = server.fails(3, &["restore", "shop/app", "--from-backup", &id, "--to", "revision:99999"]);
    assert!(out.contains("has the states of the revisions"), "{out}");
    let unknown = server.fails(3, &["restore", "shop", "--from-backup", "20260101T000000-full-00000000"]);
    assert!(unknown.contains("there is no backup"), "{unknown}");
    server.fails(2, &["restore", "shop"]);
    // A file is sent.
    let file = dir.join(format!("{id}.cwb"));
    let elsewhere = kept.path().join("elsewhere.cwb");
    fs::copy(file, &elsewhere).expect("copied");
    server.ok(&["set", "shop/app", "a=3"]);
    let path = elsewhere.to_str().expect("a path");
    let restored = server.ok(&["restore", "shop/app", "--from-backup", path, "-m", "from a file"]);
    assert!(restored.contains(&format!("of the backup's store, in the file {path}")), "{restored}");
    assert!(server.ok(&["get", "shop/app"]).contains('1'));
    let none = server.fails(3, &["restore", "shop", "--from-backup", "./none.cwb"]);
    assert!(none.contains("none.cwb"), "{none}");
}
