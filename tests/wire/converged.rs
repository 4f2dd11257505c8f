//! WaitConverged: ends when the watchers of what a commit changed were sent its state, or names those that were not.

use confwatch::proto::v1::fleet_service_client::FleetServiceClient;
use confwatch::proto::v1::*;
use tonic::{Code, Status};

use super::auth::Guarded;
use super::support::*;
use super::watching::*;

type Fleet = FleetServiceClient<Wire>;

async fn fleet(server: &TestServer) -> Fleet {
    FleetServiceClient::new(server.channel().await)
}

fn of(revision: u64, timeout: i64) -> WaitConvergedRequest {
    WaitConvergedRequest { revision, timeout: Some(seconds(timeout)), ..Default::default() }
}

/// The last message, after those that say that the wait goes on.
async fn end(fleet: &Fleet, request: WaitConvergedRequest) -> Result<WaitConvergedResponse, Status> {
    let mut stream = fleet.clone().wait_converged(request).await?.into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await? {
        let before = last.replace(message);
        assert!(before.is_none_or(|before: WaitConvergedResponse| before.state() == Convergence::Waiting));
    }
    Ok(last.expect("a message"))
}

/// State, streams that watch, those that were sent it, those that ended.
fn counts(end: &WaitConvergedResponse) -> (Convergence, u32, u32, u32) {
    (end.state(), end.watchers, end.converged, end.ended)
}

fn large(letter: &str) -> String {
    format!(r#"{{"a":"{}"}}"#, letter.repeat(300 << 10))
}

/// A stream that does not read, and is blocked.
async fn blocked(server: &TestServer, fleet: &Fleet, targets: Vec<WatchTarget>) -> Watcher {
    let request = WatchRequest { client_id: "slow".into(), ..watch(targets) };
    let slow = Watcher::open_without_reading(&narrow_client(server).await, request).await;
    let client_id = "slow".to_owned();
    let request = ListClientsRequest { namespace: "test".into(), client_id, ..Default::default() };
    loop {
        let found = fleet.clone().list_clients(request.clone()).await.expect("they are listed").into_inner();
        if found.clients.iter().any(|client| client.blocked_duration.is_some()) {
            return slow;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_watcher_of_what_a_commit_can_change_is_waited_for() {
    let server = quick_server().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/q", r#"{"a":2}"#).await;
    let fleet = fleet(&server).await;
    let streams = [
        Watcher::open(&client, watch([target("app", "/")])).await,
        Watcher::open(&client, watch([target("app", "/p"), target("other", "/")])).await,
        Watcher::open(&client, watch([target("*", "/p/x")])).await,
        // Its document stays as it is.
        Watcher::open(&client, watch([target("app", "/q")])).await,
        // Nothing that the commit changes.
        Watcher::open(&client, watch([target("other", "/")])).await,
    ];
    let revision = put(&mut client, "/", r#"{"a":3}"#).await.store_revision;
    let ended = end(&fleet, of(revision, 60)).await.expect("it ends");
    assert_eq!((counts(&ended), ended.revision), ((Convergence::Converged, 4, 4, 0), revision));
    // The newest, and what is named.
    assert_eq!(counts(&end(&fleet, of(0, 60)).await.expect("it ends")), (Convergence::Converged, 4, 4, 0));
    let at = |config: &str, scope: &str| WaitConvergedRequest {
        targets: vec![ConvergenceTarget {
            namespace: "test".into(),
            config: config.into(),
            scope: scope.into(),
        }],
        ..of(revision, 60)
    };
    for (config, scope, count) in [("app", "/p", 2), ("app", "", 4), ("other", "/", 3), ("none", "/", 1)] {
        let ended = end(&fleet, at(config, scope)).await.expect("it ends");
        assert_eq!(counts(&ended), (Convergence::Converged, count, count, 0), "{config} {scope}");
    }
    drop(streams);
    refused(end(&fleet, of(revision + 1, 60)).await, Code::OutOfRange, "REVISION_IN_FUTURE");
    refused_for(end(&fleet, of(revision, 601)).await, "INVALID_FIELD", "timeout");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_named_until_it_was_sent_this_state_or_a_later_one() {
    let server = quick_server().await;
    let mut client = server.client().await;
    put(&mut client, "/", &large("x")).await;
    let fleet = fleet(&server).await;
    let quick = Watcher::open(&client, watch([target("app", "/")])).await;
    let mut slow = blocked(&server, &fleet, vec![target("app", "/")]).await;
    let mut several = blocked(&server, &fleet, vec![target("app", "/"), target("*", "/")]).await;
    let revision = put(&mut client, "/", &large("y")).await.store_revision;
    let ended = end(&fleet, of(revision, 1)).await.expect("it ends");
    assert_eq!(counts(&ended), (Convergence::TimedOut, 3, 1, 0));
    let named: Vec<_> =
        ended.missing.iter().map(|client| (&*client.client_id, client.targets[0].delivery())).collect();
    assert_eq!(named, [("slow", Delivery::Behind), ("slow", Delivery::Behind)]);
    assert!(ended.missing.iter().all(|client| client.behind) && ended.missing_omitted == 0);

    // They read on, and skip the state that is waited for: a later one is as good.
    put(&mut client, "/", &large("z")).await;
    let waits = tokio::spawn({
        let fleet = fleet.clone();
        async move { end(&fleet, of(revision, 60)).await.expect("it ends") }
    });
    for watcher in [&mut slow, &mut several] {
        while watcher.content("app", "/") != Some(&large("z")) {
            watcher.next().await.expect("it goes on");
        }
    }
    assert_eq!(counts(&waits.await.expect("it ends")), (Convergence::Converged, 3, 3, 0));
    drop(quick);
}

#[tokio::test]
async fn a_watcher_that_ends_is_not_waited_for_and_one_that_comes_has_the_state() {
    let server = quick_server().await;
    let mut client = server.client().await;
    put(&mut client, "/", &large("x")).await;
    let fleet = fleet(&server).await;
    let slow = blocked(&server, &fleet, vec![target("app", "/")]).await;
    let revision = put(&mut client, "/", &large("y")).await.store_revision;
    let mut stream = fleet.clone().wait_converged(of(revision, 60)).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it goes on").expect("a message");
    assert_eq!(counts(&first), (Convergence::Waiting, 1, 0, 0));
    assert!(first.missing.is_empty());
    let came = Watcher::open(&client, watch([target("app", "/")])).await;
    drop(slow);
    let last = stream.message().await.expect("it goes on").expect("a message");
    assert_eq!(counts(&last), (Convergence::Converged, 0, 0, 1));
    assert!(stream.message().await.expect("it ends well").is_none());
    assert_eq!(
        counts(&end(&fleet, of(revision, 60)).await.expect("it ends")),
        (Convergence::Converged, 1, 1, 0)
    );
    drop(came);
}

const POLICY: &str = r#"{
  "roles": {"reveal": ["read", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:reader"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:service"], "role": "reveal", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

#[tokio::test]
async fn watchers_are_compared_by_their_own_view_of_secrets_and_counted_for_who_may_read_them() {
    let guarded = Guarded::start().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    let secret = |value: &str| set(replace("/", &format!(r#"{{"a":1,"b":{{"$secret":"{value}"}}}}"#)));
    guarded.admin.api().set(secret("one")).await.expect("set");
    let (service, reader, staging) =
        (guarded.bearer("service").await, guarded.bearer("reader").await, guarded.bearer("staging").await);
    let mut streams = vec![];
    for (client, target) in [
        (&service, target("app", "/")),
        (&reader, target("app", "/")),
        (&reader, target("*", "/staging")),
        (&staging, target("app", "/staging")),
        // Is shown one config of the namespace.
        (&staging, target("*", "/staging")),
        (&staging, target("*", "/")),
    ] {
        streams.push(client.api().watch(watch([target])).await.expect("it opens").into_inner());
    }
    let revision = guarded.admin.api().set(secret("two")).await.expect("set").into_inner().store_revision;
    let wait = async |client: &confwatch::client::Client| {
        let mut stream = client.fleet().wait_converged(of(revision, 60)).await?.into_inner();
        let mut last = None;
        while let Some(message) = stream.message().await? {
            last = Some(message);
        }
        Ok::<_, Status>(last.expect("a message"))
    };
    for (client, count) in [(&guarded.admin, 6), (&reader, 6), (&service, 6), (&staging, 3)] {
        let ended = wait(client).await.expect("it ends");
        assert_eq!(counts(&ended), (Convergence::Converged, count, count, 0));
    }
    let targets =
        vec![ConvergenceTarget { namespace: "test".into(), config: "app".into(), ..Default::default() }];
    let result = staging.fleet().wait_converged(WaitConvergedRequest { targets, ..of(revision, 60) }).await;
    refused(result.map(drop), Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_state_after_the_end_of_an_override_is_as_good_as_the_override_that_is_waited_for() {
    let server = quick_server().await;
    let mut client = server.client().await;
    put(&mut client, "/", &large("x")).await;
    let fleet = fleet(&server).await;
    let mut slow = blocked(&server, &fleet, vec![target("app", "/")]).await;
    let over = Change {
        kind: LayerKind::Override.into(),
        ttl: Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }),
        ..replace("/", &large("y"))
    };
    let revision = client.set(set(over)).await.expect("set").into_inner().store_revision;
    let waits = tokio::spawn({
        let fleet = fleet.clone();
        async move { end(&fleet, of(revision, 60)).await.expect("it ends") }
    });
    // The override has ended before the watcher reads on: it is sent the state after, and that is as good.
    while content(&mut client, get("/")).await != large("x") {
        tokio::task::yield_now().await;
    }
    let reads = tokio::spawn(async move { while slow.next().await.is_ok() {} });
    assert_eq!(counts(&waits.await.expect("it ends")), (Convergence::Converged, 1, 1, 0));
    reads.abort();
}

#[tokio::test]
async fn a_commit_that_is_compacted_during_a_wait_is_waited_for_to_its_end() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.retain_revisions = Some(2)).await;
    let mut client = server.client().await;
    put(&mut client, "/", &large("x")).await;
    let fleet = fleet(&server).await;
    let mut slow = blocked(&server, &fleet, vec![target("app", "/")]).await;
    let revision = put(&mut client, "/", &large("y")).await.store_revision;
    let mut stream = fleet.clone().wait_converged(of(revision, 60)).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it goes on").expect("a message");
    assert_eq!(counts(&first), (Convergence::Waiting, 1, 0, 0));
    for value in 0..6 {
        put(&mut client, "/other", &format!(r#"{{"n":{value}}}"#)).await;
    }
    loop {
        let commit = GetCommitRequest { revision, include_content: false };
        match client.get_commit(commit).await {
            Err(status) if told(&status).1 == "COMPACTED" => break,
            other => drop(other.expect("not compacted yet")),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let reads = tokio::spawn(async move { while slow.next().await.is_ok() {} });
    let mut last = first;
    while let Some(message) = stream.message().await.expect("it ends well") {
        last = message;
    }
    assert_eq!(counts(&last), (Convergence::Converged, 1, 1, 0));
    reads.abort();
}
