//! Watches of whole namespaces: what they count as, and what one costs others.

use confwatch::proto::v1::*;
use tempfile::TempDir;
use tonic::{Code, Streaming};

use super::support::*;

async fn serve(change: impl FnOnce(&mut confwatch::server::Settings)) -> TestServer {
    TestServer::start_in(TempDir::new().expect("a directory"), change).await
}

/// Configs `c00` and so on, by one commit.
async fn put_configs(client: &mut Client, count: usize, content: &str) -> u64 {
    let changes = (0..count).map(|at| Change { config: format!("c{at:02}"), ..replace("/", content) });
    let request = ApplyRequest { changes: changes.collect(), options: None };
    client.apply(request).await.expect("applied").into_inner().store_revision
}

/// Every config of the namespace, at each of these scopes.
fn all_at(scopes: impl IntoIterator<Item = String>) -> WatchRequest {
    let target =
        |scope| WatchTarget { namespace: "test".into(), config: "*".into(), scope, ..Default::default() };
    WatchRequest { targets: scopes.into_iter().map(target).collect(), ..Default::default() }
}

async fn snapshot(stream: &mut Streaming<WatchResponse>) -> Vec<TargetState> {
    let mut states = vec![];
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        let Some(watch_response::Event::Snapshot(snapshot)) = message.event else {
            panic!("a snapshot is first: {message:?}")
        };
        states.extend(snapshot.states);
        if !snapshot.more {
            return states;
        }
    }
}

#[tokio::test]
async fn a_namespace_that_is_followed_whole_counts_as_its_configs() {
    let server = serve(|settings| settings.quotas.watchers = Some(10)).await;
    let mut client = server.client().await;
    put_configs(&mut client, 4, r#"{"a":1}"#).await;
    let two = all_at(["/a".to_owned(), "/b".to_owned()]);
    let mut first = client.watch(two.clone()).await.expect("eight").into_inner();
    assert_eq!(snapshot(&mut first).await.len(), 8);
    let status = refused(client.watch(two.clone()).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let (_, _, metadata) = told(&status);
    assert_eq!((metadata["quota"].as_str(), metadata["would_be"].as_str()), ("watchers", "12"));
    let one =
        |config: &str| WatchTarget { namespace: "test".into(), config: config.into(), ..Default::default() };
    let singles = WatchRequest { targets: vec![one("c00"), one("c01")], ..Default::default() };
    let _second = client.watch(singles.clone()).await.expect("ten").into_inner();
    refused(client.watch(singles).await, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    drop(first);
    // Once the server has heard of it.
    while client.watch(two.clone()).await.is_err() {}
}

#[tokio::test]
async fn one_watch_follows_no_more_configs_than_it_may() {
    let server = serve(|settings| settings.limits.watched_configs_max = 100).await;
    let mut client = server.client().await;
    put_configs(&mut client, 20, r#"{"a":1}"#).await;
    let scopes = |count: usize| (0..count).map(|at| format!("/s{at}"));
    let mut stream = client.watch(all_at(scopes(5))).await.expect("a hundred").into_inner();
    let states = snapshot(&mut stream).await;
    let names: Vec<_> = states
        .iter()
        .map(|state| {
            let target = state.target.as_ref().expect("a target");
            (target.scope.clone(), target.config.clone())
        })
        .collect();
    let expected: Vec<_> =
        scopes(5).flat_map(|scope| (0..20).map(move |at| (scope.clone(), format!("c{at:02}")))).collect();
    assert_eq!(names, expected, "in the order of the request, and of names");
    for count in [6, 1000] {
        let refused_one = client.watch(all_at(scopes(count))).await;
        let status = refused(refused_one, Code::ResourceExhausted, "TOO_MANY_WATCHED_CONFIGS");
        assert_eq!(told(&status).2["limit"], "100");
    }
}

#[tokio::test]
async fn a_namespace_that_grows_ends_the_watches_that_came_last_and_are_too_many() {
    let server = serve(|settings| settings.quotas.watchers = Some(600)).await;
    let mut client = server.client().await;
    let mut streams = vec![];
    for _ in 0..40 {
        let mut stream = client.watch(all_at(["/".to_owned()])).await.expect("there is room").into_inner();
        assert!(snapshot(&mut stream).await.is_empty());
        streams.push(stream);
    }
    // By 30 streams they are followed twice as often as the quota allows.
    let revision = put_configs(&mut client, 40, r#"{"a":1}"#).await;
    for (at, stream) in streams.iter_mut().enumerate() {
        let message = stream.message().await;
        match at < 30 {
            true => assert_eq!(message.expect("it goes on").expect("a message").revision, revision),
            false => _ = refused(message, Code::ResourceExhausted, "QUOTA_EXCEEDED"),
        }
    }
}

/// A snapshot of many namespaces' worth of configs is read slowly, while others write and are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_snapshot_that_is_read_slowly_is_whole_and_followed_by_what_changed() {
    let server = serve(|_| {}).await;
    let mut client = server.client().await;
    let content = format!(r#"{{"a":"{}"}}"#, "x".repeat(1000));
    put_configs(&mut client, 100, &content).await;
    let scopes: Vec<String> = (0..50).map(|at| format!("/s{at}")).collect();
    let mut stream = client.watch(all_at(scopes)).await.expect("it opens").into_inner();
    let first = stream.message().await.expect("it goes on").expect("a message");
    let Some(watch_response::Event::Snapshot(part)) = first.event else { panic!("a snapshot is first") };
    assert!(part.more && first.resume_token.is_empty());
    let mut told = part.states.len();
    let changed = client.set(set(Change { config: "c99".into(), ..replace("/", r#"{"a":2}"#) })).await;
    let changed = changed.expect("others write").into_inner().store_revision;
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        match message.event {
            Some(watch_response::Event::Snapshot(part)) => {
                assert_eq!(message.revision, first.revision, "it is of one revision");
                told += part.states.len();
            }
            Some(watch_response::Event::Update(update)) => {
                assert_eq!((told, message.revision, update.states.len()), (5000, changed, 50));
                break;
            }
            Some(watch_response::Event::Progress(_)) | None => {}
        }
    }
}
