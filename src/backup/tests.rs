use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::create::{Configs, StateView};
use super::extract::extract;
use super::restore::Step;
use super::*;
use crate::model::{
    Author, Commit, ConfigChange, ConfigId, ConfigName, Content, Digest, Epoch, LayerChange, LayerKey,
    Namespace, Revision, Scope, Source, SystemConfig, TagChange, TagName, Timestamp, Version,
};
use crate::secret::MasterKeySource;
use crate::store::{
    ConfigRecord, Fsync, History, Journal, MemoryStore, SledOptions, SledStore, Snapshot, Store, StoreError,
    prove,
};

const CONFIGS: u64 = 5;

fn id(number: u64) -> ConfigId {
    let namespace = if number.is_multiple_of(2) { "shop" } else { "pay" };
    ConfigId {
        namespace: Namespace::parse(namespace).expect("a name"),
        config: ConfigName::parse(&format!("c{number}")).expect("a name"),
    }
}

/// A commit for each revision of a script that sets, deletes and tags.
fn commits(from: u64, to: u64, versions: &mut BTreeMap<ConfigId, Version>) -> Vec<Commit> {
    let mut tags: BTreeMap<ConfigId, Version> = BTreeMap::new();
    (from..=to)
        .map(|revision| {
            let id = id(revision * 7 % CONFIGS);
            let before = versions.get(&id).copied().unwrap_or_default();
            let version = before.next();
            let scope = ["/", "/production", "/production/checkout"][(revision % 3) as usize];
            let is_gone = revision.is_multiple_of(11) && before > Version::ZERO;
            let layer = LayerChange {
                key: LayerKey::base(Scope::parse(scope).expect("a scope")),
                content: (!is_gone).then(|| Content::of(&json!({"n": revision, "text": "x".repeat(20)}))),
                expires: None,
                format: None,
            };
            let tag = revision.is_multiple_of(4).then(|| TagChange {
                tag: TagName::parse("stable").expect("a tag"),
                version: Some(version),
                previous: tags.insert(id.clone(), version),
            });
            versions.insert(id.clone(), version);
            let tags = tag.into_iter().collect();
            let change = ConfigChange { id, version, layers: vec![layer], tags, restored: None };
            Commit {
                revision: Revision(revision),
                time: Timestamp(1_800_000_000_000_000 + revision as i64),
                author: Author::named("alice"),
                source: Source::Set,
                reason: format!("change {revision}"),
                request: None,
                annotations: BTreeMap::new(),
                changes: vec![change],
                forgotten: vec![],
            }
        })
        .collect()
}

fn state_of(store: &dyn Store) -> Vec<ConfigRecord> {
    let mut configs = vec![];
    store
        .load(&mut |mut config| {
            config.layers.sort_by(|a, b| a.0.cmp(&b.0));
            configs.push(config);
        })
        .expect("loaded");
    configs.sort_by(|a, b| a.id.cmp(&b.id));
    configs
}

fn plan(kind: Kind, selection: &str) -> Plan {
    Plan {
        kind,
        selection: Selection::parse(selection).expect("a selection"),
        since: None,
        server: String::new(),
        actor: "alice".to_owned(),
        created: Timestamp(1_800_000_001_000_000),
        note: String::new(),
        labels: BTreeMap::new(),
    }
}

fn made(store: &dyn Store, plan: &Plan) -> Result<Vec<u8>, BackupError> {
    let configs = state_of(store);
    let each: Configs<'_> = &|visit| configs.iter().cloned().try_for_each(&mut *visit);
    let state =
        StateView { revision: store.head().revision, configs: each, config_count: configs.len() as u64 };
    Ok(create(store, &state, plan, Vec::new(), &mut |_| true)?.2)
}

fn filled(to: u64) -> MemoryStore {
    let store = MemoryStore::new(Epoch(7));
    store.append(&commits(1, to, &mut BTreeMap::new())).expect("appended");
    store
}

fn options() -> SledOptions {
    SledOptions {
        fsync: Fsync::Never,
        wal_segment_bytes: 1 << 20,
        journal_segment_bytes: 2 << 10,
        ..SledOptions::default()
    }
}

fn sled(dir: &Path, to: u64) -> SledStore {
    let store = SledStore::open(dir, options()).expect("opened");
    for commit in commits(1, to, &mut BTreeMap::new()) {
        store.append(&[commit]).expect("appended");
    }
    store
}

fn written(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

fn restored(files: &[PathBuf], dir: &Path) -> Result<Restored, BackupError> {
    let restoring = Restoring {
        options: options(),
        master_key: &MasterKeySource::Process,
        actor: "oscar".to_owned(),
        now: Timestamp(1_900_000_000_000_000),
        observe: &mut |_: Step| (),
    };
    restore(files, dir, restoring)
}

/// All that a store answers, up to a revision.
fn history_of(store: &dyn Store, to: Revision) -> (Vec<(Revision, Digest)>, Vec<Snapshot>) {
    let page = store.commits(store.oldest(), usize::MAX).expect("read");
    let page = page.into_iter().filter(|sealed| sealed.commit.revision <= to);
    let commits = page.map(|sealed| (sealed.commit.revision, sealed.hash)).collect();
    let mut snapshots = vec![];
    for config in state_of(store).into_iter().filter(|config| config.id != *SystemConfig::Origin.id()) {
        for at in store.versions(&config.id, Version(u64::MAX), 1000).expect("read") {
            snapshots.push(store.snapshot(&config.id, at.version).expect("read").expect("retained"));
        }
    }
    (commits, snapshots)
}

#[test]
fn a_backup_says_what_it_has() {
    let store = filled(60);
    let bytes = made(&store, &plan(Kind::Full, "*")).expect("made");
    let verified = verify(&bytes[..]).expect("verified");
    assert_eq!(verified.bytes, bytes.len() as u64);
    let manifest = verified.manifest;
    assert_eq!((manifest.first_revision, manifest.last_revision), (1, 60));
    assert_eq!(manifest.last_hash, store.head().hash.to_string());
    assert_eq!((manifest.counts.commits, manifest.counts.configs), (60, CONFIGS));
    let again = made(&store, &plan(Kind::Full, "*")).expect("made");
    assert_eq!(bytes, again, "the same content gives the same bytes");
}

#[test]
fn a_selection_has_its_own_configs_alone() {
    let store = filled(60);
    let of = |kind, selection: &str| {
        let bytes = made(&store, &plan(kind, selection)).expect("made");
        verify(&bytes[..]).expect("verified").manifest.counts
    };
    assert_eq!((of(Kind::Full, "shop").configs, of(Kind::Full, "pay").configs), (3, 2));
    assert_eq!(of(Kind::Full, "shop").commits + of(Kind::Full, "pay").commits, 60);
    assert_eq!((of(Kind::State, "shop/c2").configs, of(Kind::State, "shop/c2").commits), (1, 0));
}

#[test]
fn a_file_with_any_byte_flipped_or_cut_off_anywhere_is_refused() {
    let mut bytes = made(&filled(30), &plan(Kind::Full, "*")).expect("made");
    verify(&bytes[..]).expect("verified");
    for at in 0..bytes.len() {
        for bit in [0, 6] {
            bytes[at] ^= 1 << bit;
            assert!(verify(&bytes[..]).is_err(), "bit {bit} of byte {at} of {}", bytes.len());
            bytes[at] ^= 1 << bit;
        }
        assert!(verify(&bytes[..at]).is_err(), "cut at byte {at} of {}", bytes.len());
    }
    bytes.push(0);
    assert!(verify(&bytes[..]).is_err(), "bytes follow the end");
}

#[test]
fn files_of_others_and_of_later_formats_are_named() {
    assert!(matches!(verify(&b"PK\x03\x04 something else altogether"[..]), Err(BackupError::Foreign)));
    assert!(matches!(verify(&b""[..]), Err(BackupError::Foreign)));
    let mut bytes = made(&filled(3), &plan(Kind::Full, "*")).expect("made");
    bytes[8..12].copy_from_slice(&9_u32.to_be_bytes());
    match verify(&bytes[..]) {
        Err(error @ BackupError::Format { of: "the backup", found: 9, .. }) => {
            assert!(
                error.to_string().contains(&format!("format 9, this program reads format {FORMAT}")),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_was_restored_has_the_history_of_the_other_and_its_own_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sled(&dir.path().join("old"), 120);
    let file = written(dir.path(), "a.cwb", &made(&store, &plan(Kind::Full, "*")).expect("made"));
    let new = dir.path().join("new");
    let restored = restored(&[file], &new).expect("restored");
    assert_eq!((restored.revision, restored.origin_revision), (Revision(120), Revision(121)));
    let again = SledStore::open(&new, options()).expect("opened");
    assert_ne!(again.epoch(), store.epoch());
    assert_eq!(again.epoch(), restored.epoch);
    assert_eq!(history_of(&again, Revision(120)), history_of(&store, Revision(120)));
    let origin = again.commits(Revision(121), 0).expect("read").remove(0).commit;
    assert_eq!((origin.author.actor.as_str(), &origin.changes[0].id), ("oscar", SystemConfig::Origin.id()));
    assert_eq!(origin.annotations["backup"], restored.files[0].sha256.to_string());
    let mut problems = vec![];
    again.verify(&mut |problem| problems.push(problem)).expect("verified");
    assert_eq!(problems, []);
}

#[test]
fn a_compacted_store_is_restored_with_what_it_has_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sled(&dir.path().join("old"), 200);
    for oldest in [61, 140, 200] {
        store.compact(Revision(oldest)).expect("compacted");
        let file = format!("{oldest}.cwb");
        let file = written(dir.path(), &file, &made(&store, &plan(Kind::Full, "*")).expect("made"));
        let new = dir.path().join(format!("new-{oldest}"));
        restored(&[file], &new).expect("restored");
        let again = SledStore::open(&new, options()).expect("opened");
        assert_eq!((again.oldest(), again.anchor()), (store.oldest(), store.anchor()));
        assert_eq!(history_of(&again, Revision(200)), history_of(&store, Revision(200)), "{oldest}");
        let mut state = state_of(&again);
        state.retain(|config| config.id != *SystemConfig::Origin.id());
        assert_eq!(state, state_of(&store), "{oldest}");
        let mut problems = vec![];
        again.verify(&mut |problem| problems.push(problem)).expect("verified");
        assert_eq!(problems, [], "{oldest}");
        again.compact(Revision(201)).expect("it is compacted further");
    }
}

#[test]
fn a_store_that_forgot_history_of_namespaces_is_restored_with_what_it_has_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sled(&dir.path().join("old"), 200);
    let namespace = |name: &str| Namespace::parse(name).expect("a name");
    for (round, (of, oldest, oldest_of_all)) in
        [("shop", 80, 1), ("pay", 120, 1), ("shop", 200, 60), ("pay", 121, 150)].into_iter().enumerate()
    {
        store.forget_unless(&namespace(of), Revision(oldest), 3, &|| false).expect("forgotten");
        store.compact(Revision(oldest_of_all)).expect("compacted");
        if round % 2 == 0 {
            store.reclaim_unless(&|| false).expect("reclaimed");
        }
        let bytes = made(&store, &plan(Kind::Full, "*")).expect("made");
        let file = written(dir.path(), &format!("{round}.cwb"), &bytes);
        let new = dir.path().join(format!("new-{round}"));
        restored(&[file], &new).expect("restored");
        let again = SledStore::open(&new, options()).expect("opened");
        assert_eq!((again.oldest(), again.anchor()), (store.oldest(), store.anchor()));
        for of in ["shop", "pay"].map(namespace) {
            assert_eq!(again.oldest_of(&of), store.oldest_of(&of), "{round}");
        }
        assert_eq!(history_of(&again, Revision(200)), history_of(&store, Revision(200)), "{round}");
        let mut state = state_of(&again);
        state.retain(|config| config.id != *SystemConfig::Origin.id());
        assert_eq!(state, state_of(&store), "{round}");
        for store in [&again, &store] {
            let mut problems = vec![];
            store.verify(&mut |problem| problems.push(problem)).expect("verified");
            assert_eq!(problems, [], "{round}");
            assert_eq!(prove(store).expect("read").broken, None);
        }
        let of_shop = made(&store, &plan(Kind::Full, "shop")).expect("made");
        verify(&of_shop[..]).expect("verified");
        let oldest = store.oldest_of(&namespace("shop")).0;
        for file in [&bytes[..], &of_shop] {
            let found = extracted(&[file], "shop", Some(oldest)).expect("read");
            assert_eq!(found.configs, stored(&store, "shop", oldest), "{round}");
            let refused = extracted(&[file], "shop", Some(oldest - 1));
            assert!(matches!(refused, Err(BackupError::Revision { .. })), "{round}: {refused:?}");
        }
        again.forget_unless(&namespace("pay"), Revision(201), 0, &|| false).expect("it forgets more");
    }
}

#[test]
fn an_incremental_backup_that_would_lack_forgotten_changes_is_refused() {
    let store = filled(60);
    let head = store.head();
    let since = Some(Position { epoch: store.epoch(), revision: head.revision, hash: head.hash });
    let mut versions = BTreeMap::new();
    commits(1, 60, &mut versions);
    store.append(&commits(61, 100, &mut versions)).expect("appended");
    let shop = Namespace::parse("shop").expect("a name");
    store.forget_unless(&shop, Revision(61), 0, &|| false).expect("forgotten");
    let whole = made(&store, &Plan { since, ..plan(Kind::Incremental, "*") }).expect("it has all changes");
    assert_eq!(verify(&whole[..]).expect("verified").manifest.forgotten, BTreeMap::new());
    store.forget_unless(&shop, Revision(80), 0, &|| false).expect("forgotten");
    match made(&store, &Plan { since, ..plan(Kind::Incremental, "*") }) {
        Err(BackupError::Mismatch(what)) => {
            assert!(what.contains("namespace shop") && what.contains("make a full backup"), "{what}")
        }
        other => panic!("{:?}", other.map(|bytes| bytes.len())),
    }
    made(&store, &Plan { since, ..plan(Kind::Incremental, "pay") })
        .expect("the other one has forgotten nothing");
}

#[test]
fn incremental_backups_follow_the_one_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = MemoryStore::new(Epoch(7));
    let mut versions = BTreeMap::new();
    let mut files = vec![];
    let mut since = None;
    for (at, (from, to)) in [(1, 40), (41, 41), (42, 90)].into_iter().enumerate() {
        store.append(&commits(from, to, &mut versions)).expect("appended");
        let kind = if at == 0 { Kind::Full } else { Kind::Incremental };
        let bytes = made(&store, &Plan { since, ..plan(kind, "*") }).expect("made");
        files.push(written(dir.path(), &format!("{at}.cwb"), &bytes));
        let head = store.head();
        since = Some(Position { epoch: store.epoch(), revision: head.revision, hash: head.hash });
    }
    let empty = made(&store, &Plan { since, ..plan(Kind::Incremental, "*") }).expect("made");
    files.push(written(dir.path(), "3.cwb", &empty));
    let new = dir.path().join("new");
    restored(&files, &new).expect("restored");
    let again = SledStore::open(&new, options()).expect("opened");
    assert_eq!(history_of(&again, Revision(90)), history_of(&store, Revision(90)));

    let refused = |files: &[PathBuf]| match restored(files, &dir.path().join("other")) {
        Err(BackupError::Mismatch(what)) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(&[files[1].clone()]).contains("name a full backup first"));
    assert!(refused(&[files[0].clone(), files[2].clone()]).contains("does not follow revision 40"));
    let other = Position { hash: Digest::of(b"another"), ..since.expect("set") };
    let parted = made(&store, &Plan { since: Some(other), ..plan(Kind::Incremental, "*") });
    assert!(matches!(parted, Err(BackupError::Mismatch(_))));
    let elsewhere = Position { epoch: Epoch(8), ..since.expect("set") };
    let foreign = made(&store, &Plan { since: Some(elsewhere), ..plan(Kind::Incremental, "*") });
    assert!(matches!(foreign, Err(BackupError::Mismatch(_))));
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_restore_changes_nothing_where_something_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bytes = made(&filled(30), &plan(Kind::Full, "*")).expect("made");
    let whole = written(dir.path(), "whole.cwb", &bytes);
    let of_shop = made(&filled(30), &plan(Kind::Full, "shop")).expect("made");
    let of_shop = written(dir.path(), "shop.cwb", &of_shop);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = written(dir.path(), "damaged.cwb", &bytes);
    let new = dir.path().join("new");
    assert!(matches!(restored(&[damaged], &new), Err(BackupError::Damaged(_))));
    assert!(matches!(restored(&[of_shop], &new), Err(BackupError::Mismatch(_))));
    assert!(!new.exists() && !dir.path().join("new.restoring").exists());
    std::fs::create_dir(&new).expect("made");
    written(&new, "somebody's", b"file");
    assert!(matches!(restored(std::slice::from_ref(&whole), &new), Err(BackupError::NotEmpty(_))));
    std::fs::remove_file(new.join("somebody's")).expect("removed");
    // What a restore has left that was killed.
    std::fs::create_dir(dir.path().join("new.restoring")).expect("made");
    written(&dir.path().join("new.restoring"), "LOCK", b"");
    restored(&[whole], &new).expect("restored");
    assert!(!dir.path().join("new.restoring").exists());
}

#[test]
fn a_manifest_is_read_from_the_end_and_a_pending_file_leaves_nothing() {
    use std::io::Write;
    let dir = tempfile::tempdir().expect("a directory");
    let bytes = made(&filled(30), &plan(Kind::Full, "*")).expect("made");
    let path = dir.path().join("a.cwb");
    let mut pending = PendingFile::create(&path).expect("begun");
    pending.write_all(&bytes[..100]).expect("written");
    drop(pending);
    assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
    let mut pending = PendingFile::create(&path).expect("begun");
    pending.write_all(&bytes).expect("written");
    pending.commit().expect("named");
    let (manifest, length) = read_manifest(&path).expect("read");
    assert_eq!((manifest, length), (verify(&bytes[..]).expect("verified").manifest, bytes.len() as u64));
    assert!(PendingFile::create(&path).is_err(), "the name is taken");
}

#[test]
fn a_store_that_lost_a_commit_makes_no_backup() {
    let store = filled(10);
    let configs = state_of(&store);
    let each: Configs<'_> = &|visit| configs.iter().cloned().try_for_each(&mut *visit);
    let state = StateView { revision: Revision(11), configs: each, config_count: 5 };
    let made = create(&store, &state, &plan(Kind::Full, "*"), Vec::new(), &mut |_| true);
    assert!(matches!(made, Err(BackupError::Damaged(_))));
    let stopped = create(&store, &state, &plan(Kind::Full, "*"), Vec::new(), &mut |_| false);
    assert!(matches!(stopped, Err(BackupError::Stopped | BackupError::Store(StoreError::Failed(_)))));
}

/// A kept backup of this kind, with the revisions from `first` to `last`.
fn kept(number: usize, kind: Kind, (first, last): (u64, u64), is_pinned: bool) -> Kept {
    let bytes = made(&filled(1), &plan(Kind::State, "*")).expect("made");
    let hash = |revision: u64| Digest::of(&revision.to_be_bytes()).to_string();
    let manifest = Manifest {
        kind,
        first_revision: first,
        last_revision: last,
        base_hash: hash(first - 1),
        last_hash: hash(last),
        created_us: number as i64,
        ..verify(&bytes[..]).expect("verified").manifest
    };
    Kept { id: number.to_string(), manifest, bytes: 10, sha256: None, verified: None, is_pinned }
}

#[test]
fn what_is_pinned_and_what_an_incremental_backup_needs_stays() {
    use Kind::{Full, Incremental, State};
    let all = [
        kept(0, Full, (1, 10), false),
        kept(1, Incremental, (11, 20), false),
        kept(2, State, (21, 20), true),
        kept(3, Incremental, (21, 30), false),
        kept(4, Full, (1, 40), false),
        kept(5, State, (51, 50), false),
        kept(6, Incremental, (41, 50), false),
    ];
    let gone = |keep: Keep| {
        beyond(&all, keep, |_| true).iter().map(|kept| kept.id.as_str()).collect::<Vec<_>>().join("")
    };
    assert_eq!(gone(Keep::default()), "");
    assert_eq!(gone(Keep { count: Some(1), ..Keep::default() }), "0135");
    assert_eq!(gone(Keep { count: Some(2), ..Keep::default() }), "013");
    // The third incremental backup keeps those before it.
    assert_eq!(gone(Keep { count: Some(4), ..Keep::default() }), "");
    assert_eq!(gone(Keep { bytes: Some(25), ..Keep::default() }), "013");
    assert_eq!(gone(Keep { since: Some(Timestamp(5)), ..Keep::default() }), "013");
    let of_state =
        beyond(&all, Keep { count: Some(1), ..Keep::default() }, |kept| kept.manifest.kind == Full);
    assert_eq!(of_state.len(), 0, "the first full backup is needed by others");
    assert_eq!(gone(Keep { count: Some(100), bytes: Some(10), ..Keep::default() }), "0135");
}

/// What files that follow each other have of a place, at a revision.
fn extracted(files: &[&[u8]], of: &str, at: Option<u64>) -> Result<Extracted, BackupError> {
    let manifests = files.iter().map(|file| Ok(verify(*file)?.manifest));
    let manifests = manifests.collect::<Result<Vec<_>, BackupError>>()?;
    let selection = Selection::parse(of).expect("a selection");
    let wanted = Wanted {
        selection: selection.clone(),
        config: &|id| selection.has(id),
        layer: &|_| true,
        at: at.map(Revision),
        shared: &|_, _, _| None,
        items_max: 1000,
        bytes_max: 1 << 20,
    };
    let open = |at: usize| Ok(files[at]);
    Ok(extract(&manifests.iter().collect::<Vec<_>>(), &open, u64::MAX, &wanted)?.0)
}

/// What a store has of a place, at a revision.
fn stored(store: &dyn Store, of: &str, at: u64) -> BTreeMap<ConfigId, ConfigRecord> {
    let selection = Selection::parse(of).expect("a selection");
    let mut configs = BTreeMap::new();
    for ConfigRecord { id, .. } in state_of(store).into_iter().filter(|config| selection.has(&config.id)) {
        if let Some(found) = store.version_at(&id, Revision(at)).expect("read") {
            let Snapshot { at, layers } =
                store.snapshot(&id, found.version).expect("read").expect("retained");
            let layers = layers.into_iter().collect();
            configs.insert(id.clone(), ConfigRecord { id, at, layers, tags: BTreeMap::new() });
        }
    }
    configs
}

#[test]
fn every_state_that_a_backup_has_is_read_from_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = sled(dir.path(), 150);
    let mut versions = BTreeMap::new();
    commits(1, 150, &mut versions);
    for oldest in [1, 61, 140] {
        store.compact(Revision(oldest)).expect("compacted");
        let store: &dyn Store = &store;
        for selection in ["*", "shop"] {
            let full = made(store, &plan(Kind::Full, selection)).expect("made");
            for at in (oldest..=150).step_by(7).chain([150]) {
                let found = extracted(&[&full], "shop", Some(at)).expect("read");
                assert_eq!(found.revision, Revision(at));
                assert_eq!(found.configs, stored(store, "shop", at), "{selection} {oldest} {at}");
            }
            let state = made(store, &plan(Kind::State, selection)).expect("made");
            let one = extracted(&[&state], "shop/c2", None).expect("read");
            assert_eq!(one.configs, stored(store, "shop/c2", 150));
            for (file, at, has) in [
                (&full, 151, format!("the revisions {oldest} to 150")),
                (&full, oldest - 1, format!("the revisions {oldest} to 150")),
                (&state, 149, "revision 150 alone".to_owned()),
            ] {
                let refused = extracted(&[file], "shop", Some(at)).expect_err("not in the backup");
                assert!(matches!(refused, BackupError::Revision { .. }), "{refused:?}");
                assert!(refused.to_string().contains(&has), "{refused}");
            }
            let refused = extracted(&[&state], "pay/c1", None);
            assert_eq!(refused.is_ok(), selection == "*", "{refused:?}");
        }
    }
    let head = store.head();
    let since = Some(Position { epoch: store.epoch(), revision: head.revision, hash: head.hash });
    let full = made(&store, &plan(Kind::Full, "*")).expect("made");
    store.append(&commits(151, 190, &mut versions)).expect("appended");
    let more = made(&store, &Plan { since, ..plan(Kind::Incremental, "*") }).expect("made");
    for at in [145, 150, 151, 163, 190] {
        let found = extracted(&[&full, &more], "shop", Some(at)).expect("read");
        assert_eq!(found.configs, stored(&store, "shop", at), "{at}");
    }
    let newest = extracted(&[&full, &more], "shop", None).expect("read");
    assert_eq!((newest.revision, newest.configs), (Revision(190), stored(&store, "shop", 190)));
    for files in [&[&more[..]][..], &[&more, &full]] {
        let refused = extracted(files, "shop", None);
        assert!(matches!(refused, Err(BackupError::Mismatch(_))), "{refused:?}");
    }
}

#[test]
fn what_is_read_has_limits_and_contents_that_no_server_wrote_are_refused() {
    let content = |text: &str| {
        let store = MemoryStore::new(Epoch(7));
        let mut commit = commits(1, 1, &mut BTreeMap::new()).remove(0);
        commit.changes[0].layers[0].content = Some(Content::of_canonical(text));
        let of = commit.changes[0].id.clone();
        store.append(&[commit]).expect("appended");
        let file = made(&store, &plan(Kind::State, "*")).expect("made");
        let mut found = extracted(&[&file], &of.to_string(), None)?;
        let (_, layer) = found.configs.remove(&of).expect("it is there").layers.remove(0);
        Ok::<String, BackupError>(layer.content.as_str().to_owned())
    };
    assert_eq!(
        content(r#"{"b":1,"a":[]}"#).expect("an object"),
        r#"{"a":[],"b":1}"#,
        "it is in normal form now"
    );
    for text in ["", "[1]", "{", r#"{"a":1,"a":2}"#] {
        let refused = content(text);
        assert!(matches!(refused, Err(BackupError::Damaged(_))), "{text}: {refused:?}");
    }
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let refused = content(&large);
    assert!(matches!(refused, Err(BackupError::TooLarge { .. })), "{refused:?}");
}
