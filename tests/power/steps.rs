//! Backups, restores and compactions that end at each change that they make on the disk: by `kill -9`, and by a power cut that keeps nothing
//! unsynced. Nothing is lost, nothing is half done, and a server starts on what is left. Knows no FUSE.
//!
//! `CONFWATCH_POWER_STEPS` says at how many changes each of them ends, spread evenly; `all` is every change.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use confwatch::model::{
    Author, Commit, ConfigChange, Content, LayerChange, LayerKey, Scope, Source, SystemConfig, Version,
};
use confwatch::proto::v1::backup_service_client::BackupServiceClient;
use confwatch::proto::v1::*;
use confwatch::store::{History, Journal, SledOptions, SledStore};
use fastrand::Rng;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::Code;
use tonic::transport::Channel;

use super::disk::Disk;
use super::model::{Names, Survives};
use super::server::{Client, Server};

const STEPS_DEFAULT: u64 = 12;
const CONFIGS: u64 = 20;
const COMMITS: u64 = 60;
/// Several messages of a backup.
const TEXT_BYTES: usize = 6000;
/// What ends: the process alone, or the machine.
const ENDS: [Survives; 2] = [Survives::Everything, Survives::Nothing];

type Backups = BackupServiceClient<Channel>;

fn mounted() -> Option<Disk> {
    Disk::mount(Names::Posix, Duration::ZERO)
}

/// The changes to end at, of so many that there are.
fn steps(total: u64) -> Vec<u64> {
    let setting = std::env::var("CONFWATCH_POWER_STEPS").ok();
    let count = match setting.as_deref() {
        Some("all") => total,
        Some(text) => text.parse().expect("a number, or all"),
        None => STEPS_DEFAULT,
    };
    let count = count.clamp(1, total);
    println!("{total} changes, ended at {count} of them");
    // Fewer: the first and the last are among them.
    (0..count).map(|at| if count == 1 { 1 } else { 1 + at * (total - 1) / (count - 1) }).collect()
}

/// The binary without the environment of the tests.
pub fn confwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

pub async fn succeeds(args: &[&str]) {
    assert!(confwatch(args).status().await.expect("it runs").success(), "{args:?}");
}

/// Ends a process, and with `Survives::Nothing` the machine.
pub async fn end(disk: &Disk, mut process: Child, survives: &Survives) {
    disk.fail();
    // It may have ended by itself.
    let _ = process.start_kill();
    disk.cut(survives, &mut Rng::with_seed(0));
    process.wait().await.expect("it was started here");
    disk.turn_on();
}

/// Waits until what runs has ended, or the disk is at the change at which it fails. `None`: the disk was.
async fn unless_failed<T>(disk: &Disk, running: impl Future<Output = T>) -> Option<T> {
    let mut failure = tokio::task::spawn_blocking(disk.failure());
    tokio::select! {
        biased;
        failed = &mut failure => {
            failed.expect("waiting does not panic");
            None
        }
        ended = running => {
            // Nobody waits for the failure any more.
            disk.fail();
            failure.await.expect("waiting does not panic");
            disk.turn_on();
            Some(ended)
        }
    }
}

/// Runs a command until the given change. `None`: it was killed there.
async fn ended_at(disk: &Disk, change: u64, survives: &Survives, args: &[&str]) -> Option<ExitStatus> {
    disk.fail_after(change);
    let mut process = confwatch(args).spawn().expect("it runs");
    let ended = unless_failed(disk, process.wait()).await;
    match ended {
        Some(status) => Some(status.expect("it was started here")),
        None => {
            end(disk, process, survives).await;
            None
        }
    }
}

async fn set(client: &mut Client, number: u64) {
    let filler: String = (0..TEXT_BYTES).map(|_| fastrand::alphanumeric()).collect();
    let content = format!(r#"{{"n":{number},"text":"{filler}"}}"#);
    let change = Change {
        namespace: "test".into(),
        config: format!("c{}", number % CONFIGS),
        action: Some(change::Action::Replace(Text { content, ..Text::default() })),
        ..Change::default()
    };
    client.set(SetRequest { change: Some(change), options: None }).await.expect("set");
}

/// A server with some history, on a directory that is not on the disk.
async fn filled(data: &Path, arguments: &[&str]) -> Server {
    let server = Server::spawn(data, arguments).ready().await;
    let mut client = server.client().await;
    for number in 0..COMMITS {
        set(&mut client, number).await;
    }
    server
}

/// The newest revision of a store in which nothing is wrong, and the contents of its configs.
fn store(data: &Path) -> (u64, Vec<String>) {
    let store = SledStore::open(data, SledOptions::default()).expect("it opens");
    let mut problems = vec![];
    store.verify(&mut |problem| problems.push(problem)).expect("it can be read");
    assert_eq!(problems, []);
    let mut contents = vec![];
    let mut add = |config: confwatch::store::ConfigRecord| {
        if config.id.namespace.as_str() == "test" {
            contents.extend(config.layers.iter().map(|(_, layer)| layer.content.as_str().to_owned()));
        }
    };
    store.load(&mut add).expect("it can be read");
    contents.sort();
    let released = store.released();
    let head = store.head().revision.0;
    drop(store);
    assert!(released.wait(Duration::from_secs(60)), "the directory is free");
    (head, contents)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_command_that_ends_at_any_change_leaves_no_file_or_all_of_it() {
    let Some(disk) = mounted() else { return };
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let server = filled(&directory.path().join("data"), &[]).await;
    let file = disk.path().join("confwatch.cwb");
    let args = ["backup", "create", "--server", &server.address, "-f", text(&file)];
    let (empty, before) = (disk.copy(), disk.changes());
    succeeds(&args).await;
    let total = disk.changes() - before;
    // A power cut after the command has ended loses nothing.
    disk.cut(&Survives::Nothing, &mut Rng::with_seed(0));
    disk.turn_on();
    succeeds(&["backup", "verify", text(&file)]).await;
    for change in steps(total) {
        for survives in ENDS {
            disk.put_back(&empty);
            let ended = ended_at(&disk, change, &survives, &args).await;
            assert!(ended.is_none_or(|status| status.success()), "change {change}: {ended:?}");
            if file.exists() {
                succeeds(&["backup", "verify", text(&file)]).await;
            } else {
                assert!(ended.is_none(), "change {change}: the command has succeeded");
                // What is left of it does not keep the next one from being made.
                succeeds(&args).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_ends_at_any_change_leaves_no_directory_or_all_of_it() {
    let Some(disk) = mounted() else { return };
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let server = filled(&directory.path().join("data"), &[]).await;
    let [full, more] = ["full.cwb", "more.cwb"].map(|name| directory.path().join(name));
    succeeds(&["backup", "create", "--server", &server.address, "-f", text(&full)]).await;
    set(&mut server.client().await, COMMITS).await;
    let since = ["backup", "create", "--server", &server.address, "-f", text(&more), "--since", text(&full)];
    succeeds(&since).await;
    let data = disk.path().join("data");
    let args = ["backup", "restore", text(&full), text(&more), "--data-dir", text(&data)];
    let (empty, before) = (disk.copy(), disk.changes());
    succeeds(&args).await;
    let total = disk.changes() - before;
    disk.cut(&Survives::Nothing, &mut Rng::with_seed(0));
    disk.turn_on();
    let complete = store(&data);
    // The commit that says where the store came from is one more.
    assert_eq!((complete.0, complete.1.len() as u64), (COMMITS + 2, CONFIGS));
    for change in steps(total) {
        for survives in ENDS {
            disk.put_back(&empty);
            let ended = ended_at(&disk, change, &survives, &args).await;
            assert!(ended.is_none_or(|status| status.success()), "change {change}: {ended:?}");
            if !data.exists() {
                assert!(ended.is_none(), "change {change}: the command has succeeded");
                succeeds(&args).await;
            }
            assert_eq!(store(&data), complete, "change {change}");
        }
    }
}

/// A server that keeps its backups on the disk, and its data elsewhere.
struct Keeping {
    data: PathBuf,
    backups: PathBuf,
}

impl Keeping {
    async fn start(&self) -> (Server, Backups) {
        let server = Server::spawn(&self.data, &["--backup-dir", text(&self.backups)]).ready().await;
        let backups = BackupServiceClient::new(server.connect().await);
        (server, backups)
    }
}

async fn create(backups: &mut Backups) -> Result<Backup, tonic::Status> {
    let request = CreateBackupRequest { keep: true, kind: BackupKind::Full.into(), ..Default::default() };
    let mut stream = backups.create_backup(request).await?.into_inner();
    let mut made = None;
    while let Some(message) = stream.message().await? {
        made = message.backup.or(made);
    }
    made.ok_or_else(|| tonic::Status::internal("the stream ended early"))
}

async fn verified(backups: &mut Backups, id: &str) -> VerifyBackupResponse {
    let request = VerifyBackupRequest { id: id.into() };
    let mut stream = backups.verify_backup(request).await.expect("it begins").into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.expect("it goes on") {
        last = Some(message);
    }
    last.expect("a verdict")
}

async fn listed(backups: &mut Backups) -> Vec<Backup> {
    backups.list_backups(ListBackupsRequest::default()).await.expect("listed").into_inner().backups
}

/// What a server is asked for while its disk fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Create,
    Unpin,
    Verify,
    Prune,
}

impl Asked {
    async fn of(self, mut backups: Backups, id: &str) -> Result<(), tonic::Status> {
        match self {
            Asked::Create => create(&mut backups).await.map(drop),
            Asked::Unpin => {
                backups.pin_backup(PinBackupRequest { id: id.into(), pinned: false }).await.map(drop)
            }
            Asked::Verify => {
                let request = VerifyBackupRequest { id: id.into() };
                let mut stream = backups.verify_backup(request).await?.into_inner();
                while stream.message().await?.is_some() {}
                Ok(())
            }
            Asked::Prune => {
                let request = PruneBackupsRequest { keep_count: 1, ..Default::default() };
                backups.prune_backups(request).await.map(drop)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_at_any_change_of_its_backups_has_each_of_them_whole_or_not_at_all() {
    let Some(disk) = mounted() else { return };
    let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let keeping = Keeping { data: directory.path().join("data"), backups: disk.path().join("backups") };
    let mut server = filled(&keeping.data, &[]).await;
    server.process.kill().await.expect("it was alive until now");
    let (server, mut backups) = keeping.start().await;
    let old = create(&mut backups).await.expect("made");
    let pinned = create(&mut backups).await.expect("made");
    let pin = PinBackupRequest { id: pinned.id.clone(), pinned: true };
    backups.pin_backup(pin).await.expect("pinned");
    for backup in [&old, &pinned] {
        assert!(verified(&mut backups, &backup.id).await.intact);
    }
    let before = listed(&mut backups).await;
    // All of this is durable once it is acknowledged.
    end(&disk, server.process, &Survives::Nothing).await;
    let saved = disk.copy();
    for asked in [Asked::Create, Asked::Unpin, Asked::Verify, Asked::Prune] {
        disk.put_back(&saved);
        let (server, backups) = keeping.start().await;
        let begun = disk.changes();
        asked.of(backups, &pinned.id).await.expect("done");
        let total = disk.changes() - begun;
        end(&disk, server.process, &Survives::Everything).await;
        println!("{asked:?}:");
        for change in steps(total) {
            for survives in ENDS {
                disk.put_back(&saved);
                let (server, backups) = keeping.start().await;
                disk.fail_after(change);
                let answer = unless_failed(&disk, asked.of(backups, &pinned.id)).await;
                let is_acknowledged = answer.is_some_and(|answer| answer.is_ok());
                end(&disk, server.process, &survives).await;
                let (server, mut backups) = keeping.start().await;
                let found = listed(&mut backups).await;
                check(asked, is_acknowledged, &before, &found, &old.id, &pinned.id);
                for backup in &found {
                    let verdict = verified(&mut backups, &backup.id).await;
                    assert!(verdict.intact, "{asked:?}, change {change}: {verdict:?}");
                }
                let names = std::fs::read_dir(&keeping.backups).expect("read");
                let names = names.map(|entry| entry.expect("read").file_name().into_string().expect("text"));
                let left: Vec<String> = names.filter(|name| !is_of(name, &found)).collect();
                assert!(left.is_empty(), "{asked:?}, change {change}: {left:?} is left");
                end(&disk, server.process, &Survives::Everything).await;
            }
        }
    }
}

/// When a backup was last verified.
fn time_of(backup: &Backup) -> Option<(i64, i32)> {
    backup.verify_time.map(|time| (time.seconds, time.nanos))
}

/// Whether a file belongs to one of the backups.
fn is_of(name: &str, backups: &[Backup]) -> bool {
    let id = name.strip_suffix(".cwb").or_else(|| name.strip_suffix(".json"));
    id.is_some_and(|id| backups.iter().any(|backup| backup.id == id))
}

/// Compares the backups with those before what was asked for.
fn check(asked: Asked, is_acknowledged: bool, before: &[Backup], found: &[Backup], old: &str, pinned: &str) {
    let of = |backups: &[Backup], id: &str| backups.iter().find(|backup| backup.id == id).cloned();
    let (was_old, was_pinned) =
        (of(before, old).expect("it was there"), of(before, pinned).expect("it was there"));
    let is_pinned = of(found, pinned).unwrap_or_else(|| panic!("{asked:?}: the pinned backup is lost"));
    let without_pin = |backup: &Backup| Backup { pinned: false, verify_time: None, ..backup.clone() };
    assert_eq!(without_pin(&is_pinned), without_pin(&was_pinned), "{asked:?}");
    assert!(time_of(&is_pinned) >= time_of(&was_pinned), "{asked:?}: it is not known that it was verified");
    match asked {
        Asked::Unpin if is_acknowledged => assert!(!is_pinned.pinned),
        Asked::Unpin => {}
        Asked::Create | Asked::Verify | Asked::Prune => {
            assert!(is_pinned.pinned, "{asked:?}: it is not pinned any more")
        }
    }
    let made = found.iter().filter(|backup| backup.id != old && backup.id != pinned).count();
    match asked {
        Asked::Create => assert!(made == 1 || made == 0 && !is_acknowledged),
        Asked::Unpin | Asked::Verify | Asked::Prune => assert_eq!(made, 0),
    }
    match (asked, of(found, old)) {
        (Asked::Prune, None) => {}
        (Asked::Prune, Some(_)) => assert!(!is_acknowledged),
        (Asked::Create | Asked::Unpin | Asked::Verify, is_old) => {
            assert_eq!(is_old, Some(was_old), "{asked:?}")
        }
    }
}

/// Adds the config by which next to nothing is kept of the history of the namespace.
fn keep_little(data: &Path) {
    let store = SledStore::open(data, SledOptions::default()).expect("it opens");
    let content = Content::of(&json!({ "namespaces": { "test": { "bytes_max": 1, "versions_min": 2 } } }));
    let layer = LayerChange {
        key: LayerKey::base(Scope::global()),
        content: Some(content),
        expires: None,
        format: None,
    };
    let change = ConfigChange {
        id: SystemConfig::Retention.id().clone(),
        version: Version(1),
        layers: vec![layer],
        tags: vec![],
        restored: None,
    };
    let head = store.head();
    let commit = Commit {
        revision: head.revision.next(),
        time: head.time,
        author: Author::named("tester"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: Default::default(),
        changes: vec![change],
        forgotten: vec![],
    };
    store.append(&[commit]).expect("appended");
    let released = store.released();
    drop(store);
    assert!(released.wait(Duration::from_secs(60)), "the directory is free");
}

/// Waits until a server has cut the history of the namespace, and stops it by SIGTERM.
async fn cut(server: &mut Child) {
    let stdout = server.stdout.take().expect("it is piped");
    let address = Server::address(stdout).await.expect("it starts on what is left");
    let mut client = Client::connect(format!("http://{address}")).await.expect("it listens");
    let request = ListChangesRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    loop {
        match client.list_changes(request.clone()).await {
            Ok(page) if page.get_ref().oldest_revision >= COMMITS => break,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    drop(client);
    let id = libc::pid_t::try_from(server.id().expect("it runs")).expect("an id");
    // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    assert!(server.wait().await.expect("ended").success(), "it stops");
}

/// Compacts by the config as soon as it is there.
const AT_ONCE: [&str; 2] = ["--retention-grace", "1ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_at_any_change_while_it_cuts_the_history_of_a_namespace_loses_nothing_that_it_retains()
 {
    let Some(disk) = mounted() else { return };
    let data = disk.path().join("data");
    let server = filled(&data, &[]).await;
    end(&disk, server.process, &Survives::Nothing).await;
    keep_little(&data);
    let expected = store(&data);
    assert_eq!(expected.0, COMMITS + 1);
    let (saved, before) = (disk.copy(), disk.changes());
    cut(&mut Server::spawn(&data, &AT_ONCE).process).await;
    let total = disk.changes() - before;
    assert_eq!(store(&data), expected);
    for change in steps(total) {
        for survives in ENDS {
            disk.put_back(&saved);
            disk.fail_after(change);
            let mut server = Server::spawn(&data, &AT_ONCE).process;
            if unless_failed(&disk, cut(&mut server)).await.is_none() {
                end(&disk, server, &survives).await;
            }
            assert_eq!(store(&data), expected, "change {change}");
            cut(&mut Server::spawn(&data, &AT_ONCE).process).await;
            assert_eq!(store(&data), expected, "change {change}");
        }
    }
}

/// Keeps the last commit alone.
const COMPACTING: [&str; 2] = ["--retain-revisions", "1"];

/// Waits until a server has compacted its history, and stops it by SIGTERM.
async fn compacted(server: &mut Child) {
    let stdout = server.stdout.take().expect("it is piped");
    let address = Server::address(stdout).await.expect("it starts on what is left");
    let mut client = Client::connect(format!("http://{address}")).await.expect("it listens");
    let request = StreamChangesRequest { from_revision: 1, ..Default::default() };
    loop {
        match client.stream_changes(request.clone()).await {
            Err(status) if status.code() == Code::OutOfRange => break,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    drop(client);
    let id = libc::pid_t::try_from(server.id().expect("it runs")).expect("an id");
    // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    assert!(server.wait().await.expect("ended").success(), "it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_at_any_change_of_a_compaction_loses_nothing_that_it_retains() {
    let Some(disk) = mounted() else { return };
    let data = disk.path().join("data");
    let server = filled(&data, &[]).await;
    end(&disk, server.process, &Survives::Nothing).await;
    let expected = store(&data);
    assert_eq!(expected.0, COMMITS);
    let (saved, before) = (disk.copy(), disk.changes());
    compacted(&mut Server::spawn(&data, &COMPACTING).process).await;
    let total = disk.changes() - before;
    assert_eq!(store(&data), expected);
    for change in steps(total) {
        for survives in ENDS {
            disk.put_back(&saved);
            disk.fail_after(change);
            let mut server = Server::spawn(&data, &COMPACTING).process;
            if unless_failed(&disk, compacted(&mut server)).await.is_none() {
                end(&disk, server, &survives).await;
            }
            assert_eq!(store(&data), expected, "change {change}");
            // A server starts by itself, and compacts what the last one has not.
            compacted(&mut Server::spawn(&data, &COMPACTING).process).await;
            assert_eq!(store(&data), expected, "change {change}");
        }
    }
}
