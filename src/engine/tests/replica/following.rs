//! What a replica applies, what it refuses, and what it does not do by itself.

use super::*;
use crate::model::Commit;
use crate::store::codec::{CommitFormat, commit_hash};

/// A leader with so many commits, and what it has in its journal.
async fn leader(commits: usize) -> (Arc<Engine>, Vec<Sealed>) {
    let store = memory(EPOCH);
    let engine = open(&store, |_| {});
    for number in 0..commits {
        write_changes(&engine, vec![put(0, 0, LayerKind::Base, &json!({ "a": number }))]).await.expect("set");
    }
    (engine, store.commits(Revision(1), usize::MAX).expect("read"))
}

fn replica(store: &Arc<dyn Store>) -> Arc<Engine> {
    open(store, |options| options.role = Role::Replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_does_not_follow_is_named_and_nothing_of_it_is_written() {
    let (leader, commits) = leader(5).await;
    let store = memory(EPOCH);
    let engine = replica(&store);
    let apply = async |commits: &[Sealed]| engine.apply_commits(EPOCH, commits.to_vec()).await;
    let changed = |at: usize, change: &dyn Fn(&mut Sealed)| {
        let mut commits = commits.clone();
        change(&mut commits[at]);
        commits
    };

    assert_eq!(apply(&[]).await.expect("nothing to do"), Revision(0));
    let gap = apply(&commits[1..]).await;
    assert!(matches!(gap, Err(ApplyError::Gap { expected: Revision(1), found: Revision(2) })), "{gap:?}");
    apply(&commits[..2]).await.expect("they follow");
    let gap = apply(&[commits[2].clone(), commits[4].clone()]).await;
    assert!(matches!(gap, Err(ApplyError::Gap { expected: Revision(4), found: Revision(5) })), "{gap:?}");

    let other = engine.apply_commits(Epoch(2), commits[2..].to_vec()).await;
    assert!(matches!(other, Err(ApplyError::OtherEpoch { expected: EPOCH, found: Epoch(2) })), "{other:?}");

    // Another commit at a revision that is there, in the middle of what is sent.
    let forked = changed(1, &|sealed| sealed.hash = Digest::of(b"another"));
    let fork = apply(&forked).await;
    let ours = commits[1].hash;
    assert!(
        matches!(fork, Err(ApplyError::Fork { revision: Revision(2), ours: found, .. }) if found == ours),
        "{fork:?}"
    );
    // Content that was changed on the way, or a hash.
    let tampered = changed(2, &|sealed| sealed.commit.reason = "another".to_owned());
    let unchained = apply(&tampered[2..]).await;
    let of_third = |error: &Result<Revision, ApplyError>| {
        matches!(error, Err(ApplyError::Unchained { revision: Revision(3), previous: Revision(2) }))
    };
    assert!(of_third(&unchained), "{unchained:?}");
    let unchained = apply(&changed(2, &|sealed| sealed.hash = Digest::ZERO)[2..]).await;
    assert!(of_third(&unchained), "{unchained:?}");

    // The chain holds, but no engine makes such a commit.
    let rechained = |change: &dyn Fn(&mut Commit)| {
        let mut commit = commits[2].commit.clone();
        change(&mut commit);
        vec![Sealed { hash: commit_hash(CommitFormat::default(), commits[1].hash, &commit), commit }]
    };
    let impossible: [&dyn Fn(&mut Commit); 6] = [
        &|commit| commit.changes[0].version = Version(7),
        &|commit| commit.changes[0].layers.clear(),
        &|commit| commit.changes.clear(),
        &|commit| commit.changes[0].layers[0].content = Some(Content::of(&json!(1))),
        &|commit| commit.time = Timestamp(0),
        &|commit| {
            let twice = commit.changes[0].clone();
            commit.changes.push(twice);
        },
    ];
    for change in impossible {
        let refused = apply(&rechained(change)).await;
        assert!(matches!(refused, Err(ApplyError::Impossible { revision: Revision(3), .. })), "{refused:?}");
    }

    assert_eq!((store.head().revision, engine.state().revision), (Revision(2), Revision(2)));
    assert_eq!(apply(&commits[1..]).await.expect("one is repeated"), Revision(5));
    assert_eq!(store.head().hash, commits[4].hash);
    // A repeated commit that is no longer there is proved by a later one, if there is one.
    store.compact(Revision(4)).expect("compacted");
    assert_eq!(apply(&commits).await.expect("the same chain"), Revision(5));
    let compacted = apply(&commits[..2]).await;
    assert!(matches!(compacted, Err(ApplyError::Engine(Error::Compacted { .. }))), "{compacted:?}");
    leader.close().await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replica_takes_no_other_writes_and_a_leader_applies_nothing() {
    let (leader, commits) = leader(1).await;
    let refused = leader.apply_commits(EPOCH, commits.clone()).await;
    assert!(matches!(refused, Err(ApplyError::NotAReplica)), "{refused:?}");
    let (store, time) = (memory(EPOCH), Arc::new(AtomicI64::new(i64::MAX / 2)));
    let keys = tempfile::tempdir().expect("a directory");
    let engine = open(&store, options(Role::Replica, &time, keys.path()));
    engine.apply_commits(EPOCH, commits).await.expect("it follows");
    for validate_only in [false, true] {
        let change = put(0, 0, LayerKind::Base, &json!({ "a": "other" }));
        let mut write = write(Source::Set, Intent::Changes(vec![change]));
        write.validate_only = validate_only;
        let refused = engine.write(write).await;
        assert!(matches!(refused, Err(Error::OfReplica)), "{refused:?}");
    }
    assert_eq!(engine.state().revision, Revision(1));
    leader.close().await;
    engine.close().await;
}

/// The override of a leader whose clock stands still is due by the clock of the replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replica_ends_no_override_by_itself_also_not_when_it_starts() {
    let leader_store = memory(EPOCH);
    let engine = open(&leader_store, |options| options.clock = Arc::new(|| Timestamp(0)));
    let ttl = Some(Duration::from_secs(1));
    let change = Change { ttl, ..put(0, 0, LayerKind::Override, &json!({ "a": 1 })) };
    write_changes(&engine, vec![change]).await.expect("set");
    let commits = leader_store.commits(Revision(1), usize::MAX).expect("read");
    let store = memory(EPOCH);
    for _ in 0..2 {
        let replica = replica(&store);
        replica.apply_commits(EPOCH, commits.clone()).await.expect("it follows");
        assert_eq!(replica.state().revision, Revision(1));
        assert_eq!(replica.state().config(&id(0)).expect("it is there").layers().len(), 1);
        replica.close().await;
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commits_with_secrets_wait_for_the_master_key() {
    let keys = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let time = Arc::new(AtomicI64::new(1));
    let stores = [memory(EPOCH), memory(EPOCH)];
    let leader = open(&stores[0], options(Role::Leader, &time, keys[0].path()));
    let replica = open(&stores[1], options(Role::Replica, &time, keys[1].path()));
    let set = async |value: &str| {
        let change = put(0, 0, LayerKind::Base, &json!({ "a": { "$secret": value } }));
        write_changes(&leader, vec![change]).await.expect("set");
    };
    let apply = async || {
        let from = replica.state().revision.next();
        replica.apply_commits(EPOCH, stores[0].commits(from, usize::MAX).expect("read")).await
    };
    let read = async || {
        let target = Target { id: id(0), scope: scope(0), view: View::Effective, secrets: Secrets::Revealed };
        let document =
            replica.document(&replica.state(), &target, &At::Latest, "test").await.expect("it is there");
        document.content.to_value()
    };
    let share = || {
        let [from, to] = [0, 1].map(|at| keys[at].path().join("master.key"));
        std::fs::copy(from, to).expect("copied");
    };
    set("one").await;
    let refused = apply().await;
    assert!(matches!(refused, Err(ApplyError::Engine(Error::MasterKey(_)))), "{refused:?}");
    assert_eq!(replica.state().revision, Revision(0), "nothing of it is written");
    share();
    apply().await.expect("the key is there");
    assert_eq!(read().await, json!({ "a": "one" }));
    // Another master key, which the replica gets to know of by the commit.
    leader.rotate_master_key(Author::named("test")).await.expect("rotated");
    set("two").await;
    let refused = apply().await;
    assert!(matches!(refused, Err(ApplyError::Engine(_))), "{refused:?}");
    share();
    apply().await.expect("the key is there");
    assert_eq!(read().await, json!({ "a": "two" }));
    leader.close().await;
    replica.close().await;
}

/// A leader that was upgraded has commits whose hashes are of bytes in an older format.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn commits_of_an_older_format_keep_their_hashes() {
    let (leader, commits) = leader(6).await;
    let old = memory(EPOCH);
    let commits: Vec<Commit> = commits.into_iter().map(|sealed| sealed.commit).collect();
    old.append_as(CommitFormat::WithoutAuthor, &commits[..3]).expect("appended");
    old.append(&commits[3..]).expect("appended");
    let old = old.commits(Revision(1), usize::MAX).expect("read");
    let dir = tempfile::tempdir().expect("a directory");
    let (sled, _) = sled_that_can_stand_still(dir.path());
    for store in [memory(EPOCH), sled] {
        let engine = replica(&store);
        engine.apply_commits(EPOCH, old.clone()).await.expect("they follow");
        assert_eq!(store.commits(Revision(1), usize::MAX).expect("read"), old);
        let mut problems = vec![];
        store.verify(&mut |problem| problems.push(problem)).expect("verified");
        assert_eq!(problems, []);
        engine.close().await;
    }
    leader.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_replica_follows_a_leader_that_forgets_history_and_one_that_lacks_the_history_is_told() {
    let (leader, commits) = leader(7).await;
    let theirs = memory(EPOCH);
    let made: Vec<Commit> = commits.iter().map(|sealed| sealed.commit.clone()).collect();
    theirs.append(&made[..6]).expect("appended");
    let store = memory(EPOCH);
    let follows = replica(&store);
    let page = |from| theirs.commits(Revision(from), usize::MAX).expect("read");
    assert_eq!(follows.apply_commits(EPOCH, page(1)).await.expect("they follow"), Revision(6));
    theirs.forget_unless(&id(0).namespace, Revision(4), 0, &|| false).expect("forgotten");
    theirs.append(&made[6..]).expect("appended");
    assert!(page(1)[0].commit.changes.is_empty());
    // What it has already is compared by its hash.
    assert_eq!(follows.apply_commits(EPOCH, page(1)).await.expect("the last is new"), Revision(7));
    assert_eq!(store.head(), theirs.head());
    assert_eq!(store.commits(Revision(1), usize::MAX).expect("read"), commits, "its own history is whole");
    let lacks = replica(&memory(EPOCH));
    let refused = lacks.apply_commits(EPOCH, page(1)).await;
    assert!(
        matches!(&refused, Err(ApplyError::Forgotten { revision: Revision(1), namespace }) if *namespace == id(0).namespace),
        "{refused:?}"
    );
    assert_eq!(lacks.state().revision, Revision(0));
    for engine in [leader, follows, lacks] {
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_disk_of_a_replica_refuses_is_applied_later() {
    let (leader, commits) = leader(3).await;
    let store: Arc<dyn Store> = Arc::new(crate::engine::tests::refusing::refusing(vec![true, false]));
    let engine = replica(&store);
    let refused = engine.apply_commits(EPOCH, commits.clone()).await;
    assert!(matches!(refused, Err(ApplyError::Engine(Error::NotWritten(_)))), "{refused:?}");
    assert_eq!(engine.state().revision, Revision(0));
    assert_eq!(engine.apply_commits(EPOCH, commits).await.expect("there is room"), Revision(3));
    leader.close().await;
    engine.close().await;
}
