//! FleetService: who watches, what each watcher was sent, and who may see that.

use std::collections::BTreeMap;

use confwatch::client::Client as LibraryClient;
use confwatch::proto::v1::fleet_service_client::FleetServiceClient;
use confwatch::proto::v1::*;
use tonic::{Code, Request};

use super::auth::Guarded;
use super::support::*;
use super::watching::*;

type Fleet = FleetServiceClient<Wire>;

async fn fleet(server: &TestServer) -> Fleet {
    FleetServiceClient::new(server.channel().await)
}

fn clients_of(config: &str) -> ListClientsRequest {
    ListClientsRequest { namespace: "test".into(), config: config.into(), ..Default::default() }
}

async fn list(fleet: &Fleet, request: ListClientsRequest) -> ListClientsResponse {
    fleet.clone().list_clients(request).await.expect("they are listed").into_inner()
}

/// Lists until this is so: the server learns a little later than the client that a message was taken.
async fn list_until(
    fleet: &Fleet,
    request: &ListClientsRequest,
    is_so: impl Fn(&[FleetClient]) -> bool,
) -> Vec<FleetClient> {
    loop {
        let found = list(fleet, request.clone()).await.clients;
        if is_so(&found) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

fn ids(clients: &[FleetClient]) -> Vec<&str> {
    clients.iter().map(|client| client.client_id.as_str()).collect()
}

/// Opens a stream with a client id, and reads its snapshot.
async fn watcher(client: &Client, id: &str, targets: impl IntoIterator<Item = WatchTarget>) -> Watcher {
    let request = WatchRequest {
        client_id: id.into(),
        labels: BTreeMap::from([("zone".to_owned(), id[..1].to_owned()), ("team".into(), "a".into())]),
        ..watch(targets)
    };
    Watcher::open(client, request).await.0
}

#[tokio::test]
async fn a_watcher_is_listed_with_who_it_is_and_what_it_was_sent() {
    let server = quick_server().await;
    let mut client = server.client().await;
    let first = put(&mut client, "/", r#"{"a":1}"#).await.store_revision;
    let mut watcher = watcher(&client, "pod-1", [target("app", "/p")]).await;
    let fleet = fleet(&server).await;
    let page = list(&fleet, clients_of("app")).await;
    assert_eq!((page.store_revision, page.next_page_token.as_str()), (first, ""));
    let [found] = page.clients.as_slice() else { panic!("one client: {page:?}") };
    assert_eq!((&found.watch_id, found.client_id.as_str()), (&watcher.watch_id, "pod-1"));
    assert_eq!(found.labels.get("zone").map(String::as_str), Some("p"));
    assert!(found.library.starts_with("tonic/"), "{found:?}");
    assert!(!found.actor.is_empty() && found.open_time.is_some(), "{found:?}");
    assert_eq!((found.address.as_str(), found.revision, found.behind), ("127.0.0.1", first, false));
    let digest = watcher.document("app", "/p", View::Effective).expect("a document").digest.clone();
    let expected = FleetTarget {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/p".into(),
        view: View::Effective.into(),
        delivery: Delivery::Current.into(),
        digest: digest.clone(),
        current_digest: digest,
        current_revision: first,
        ..Default::default()
    };
    assert_eq!(found.targets, [expected]);

    let second = put(&mut client, "/p", r#"{"a":2}"#).await.store_revision;
    watcher.next().await.expect("an update");
    let found = list(&fleet, clients_of("app")).await.clients.remove(0);
    let digest = &watcher.document("app", "/p", View::Effective).expect("a document").digest;
    let target = &found.targets[0];
    assert_eq!((&target.digest, &target.current_digest), (digest, digest));
    assert_eq!((target.current_revision, target.delivery()), (second, Delivery::Current));
    client.delete(delete(None)).await.expect("deleted");
    watcher.next().await.expect("an update");
    let target = list(&fleet, clients_of("app")).await.clients.remove(0).targets.remove(0);
    assert_eq!((target.digest.as_str(), target.current_digest.as_str()), ("", ""));
    assert_eq!(target.delivery(), Delivery::Current);
    drop(watcher);
    list_until(&fleet, &clients_of(""), <[FleetClient]>::is_empty).await;
}

#[tokio::test]
async fn filters_and_pages_have_each_matching_watcher_once() {
    let server = quick_server().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let both = || [target("app", "/p/x"), target("other", "/")];
    let _streams = [
        watcher(&client, "p-0", [target("app", "/")]).await,
        watcher(&client, "p-1", [target("app", "/p")]).await,
        watcher(&client, "q-2", both()).await,
        watcher(&client, "q-3", [target("*", "/p")]).await,
        watcher(&client, "q-4", [target("other", "/q")]).await,
    ];
    let fleet = fleet(&server).await;
    let check = async |request: ListClientsRequest, expected: &[&str]| {
        let (mut found, mut token) = (vec![], String::new());
        loop {
            let request = ListClientsRequest { page_size: 2, page_token: token, ..request.clone() };
            let page = list(&fleet, request).await;
            assert!(page.clients.len() <= 2);
            found.extend(page.clients);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(ids(&found), expected, "{request:?}");
        found
    };
    let all = check(clients_of(""), &["p-0", "p-1", "q-2", "q-3", "q-4"]).await;
    assert_eq!(all[2].targets.len(), 2);
    assert_eq!((all[3].targets[0].config.as_str(), all[3].targets[0].documents), ("*", 1));
    let of_app = check(clients_of("app"), &["p-0", "p-1", "q-2", "q-3"]).await;
    assert_eq!(of_app[2].targets.len(), 1);
    // Of a config, a stream of all configs has a digest, too.
    let digests: Vec<_> = of_app.iter().map(|client| &client.targets[0].digest).collect();
    assert!(!digests[0].is_empty() && digests.iter().all(|digest| *digest == digests[0]), "{of_app:?}");
    check(clients_of("missing"), &["q-3"]).await;
    let below = |scope: &str| ListClientsRequest { scope: scope.into(), ..clients_of("") };
    check(below("/p"), &["p-1", "q-2", "q-3"]).await;
    check(below("/p/x"), &["q-2"]).await;
    check(ListClientsRequest { client_id: "q-3".into(), ..clients_of("") }, &["q-3"]).await;
    let labels =
        |zone: &str| BTreeMap::from([("zone".to_owned(), zone.to_owned()), ("team".into(), "a".into())]);
    check(ListClientsRequest { labels: labels("p"), ..clients_of("") }, &["p-0", "p-1"]).await;
    check(ListClientsRequest { labels: labels("x"), ..clients_of("") }, &[]).await;
    check(ListClientsRequest { actor: all[0].actor.clone(), ..clients_of("missing") }, &["q-3"]).await;
    check(ListClientsRequest { actor: "nobody".into(), ..clients_of("") }, &[]).await;
    list_until(&fleet, &ListClientsRequest { only_behind: true, ..clients_of("") }, <[_]>::is_empty).await;

    let token = list(&fleet, ListClientsRequest { page_size: 1, ..clients_of("") }).await.next_page_token;
    let other = ListClientsRequest { page_size: 1, page_token: token, ..clients_of("app") };
    refused_for(fleet.clone().list_clients(other).await, "INVALID_PAGE_TOKEN", "page_token");
    let nowhere = ListClientsRequest::default();
    refused_for(fleet.clone().list_clients(nowhere).await, "INVALID_NAME", "namespace");
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_behind_and_the_others_are_not() {
    let server = quick_server().await;
    let mut client = server.client().await;
    let large = |letter: &str| format!(r#"{{"a":"{}"}}"#, letter.repeat(300 << 10));
    put(&mut client, "/", &large("x")).await;
    let narrow = narrow_client(&server).await;
    let named = |id: &str, targets: Vec<WatchTarget>| WatchRequest { client_id: id.into(), ..watch(targets) };
    let slow = Watcher::open_without_reading(&narrow, named("slow", vec![target("app", "/")])).await;
    let several = named("several", vec![target("*", "/")]);
    let several = Watcher::open_without_reading(&narrow, several).await;
    let mut quick = watcher(&client, "quick", [target("app", "/")]).await;
    let fleet = fleet(&server).await;
    put(&mut client, "/", &large("y")).await;
    quick.next().await.expect("an update");
    let behind = |config: &str| ListClientsRequest { only_behind: true, ..clients_of(config) };
    for config in ["app", ""] {
        let found = list_until(&fleet, &behind(config), |found| ids(found) == ["slow", "several"]).await;
        let found = &found[0];
        assert!(found.behind, "{found:?}");
        let target = &found.targets[0];
        assert_eq!(target.delivery(), Delivery::Behind, "{found:?}");
        assert!(target.digest != target.current_digest && !target.digest.is_empty(), "{target:?}");
    }
    let all = list(&fleet, clients_of("app")).await.clients;
    assert_eq!(all.iter().map(|client| client.behind).collect::<Vec<_>>(), [true, true, false]);
    // Both read on.
    for mut watcher in [slow, several] {
        let current = quick.content("app", "/").expect("a document").to_owned();
        while watcher.content("app", "/") != Some(&current) {
            watcher.next().await.expect("it goes on");
        }
        drop(watcher);
    }
    list_until(&fleet, &behind(""), <[_]>::is_empty).await;
}

const POLICY: &str = r#"{
  "roles": {"audit": ["audit"], "reveal": ["read", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:reader"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:auditor"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:auditor"], "role": "audit", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:service"], "role": "reveal", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:nobody"], "role": "viewer", "namespace": "elsewhere", "config": "*", "scope": "/"}
  ]
}"#;

async fn guarded() -> Guarded {
    let guarded = Guarded::start().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    guarded.admin.api().set(set(replace("/", r#"{"a":1,"b":{"$secret":"s"}}"#))).await.expect("set");
    guarded
}

async fn open(client: &LibraryClient, id: &str, targets: &[WatchTarget]) -> tonic::Streaming<WatchResponse> {
    let request = WatchRequest { client_id: id.into(), ..watch(targets.iter().cloned()) };
    let mut stream = client.api().watch(request).await.expect("it opens").into_inner();
    stream.message().await.expect("it goes on").expect("a snapshot");
    stream
}

async fn listed(client: &LibraryClient, request: ListClientsRequest) -> Vec<FleetClient> {
    client.fleet().list_clients(request).await.expect("they are listed").into_inner().clients
}

#[tokio::test]
async fn callers_see_watchers_of_what_they_may_read_and_who_they_are_with_audit() {
    let guarded = guarded().await;
    let service = guarded.bearer("service").await;
    let _streams = [
        open(&service, "root", &[target("app", "/")]).await,
        open(&service, "staging", &[target("app", "/staging"), target("other", "/staging")]).await,
        open(&service, "all", &[target("*", "/staging")]).await,
    ];
    let names = |clients: &[FleetClient]| -> Vec<(String, usize, bool)> {
        clients
            .iter()
            .map(|client| {
                let is_told = !client.actor.is_empty();
                assert_eq!((!client.credential.is_empty(), !client.address.is_empty()), (is_told, is_told));
                (client.client_id.clone(), client.targets.len(), is_told)
            })
            .collect()
    };
    let expect = |rows: &[(&str, usize, bool)]| -> Vec<(String, usize, bool)> {
        rows.iter().map(|(name, count, is_told)| ((*name).to_owned(), *count, *is_told)).collect()
    };
    let check = async |caller: &str, request: ListClientsRequest, rows: &[(&str, usize, bool)]| {
        let client = guarded.bearer(caller).await;
        assert_eq!(names(&listed(&client, request).await), expect(rows), "{caller}");
    };
    check("reader", clients_of(""), &[("root", 1, false), ("staging", 2, false), ("all", 1, false)]).await;
    check("auditor", clients_of(""), &[("root", 1, false), ("staging", 2, true), ("all", 1, true)]).await;
    // Of the whole namespace nobody sees streams who may read one config.
    check("staging", clients_of(""), &[("staging", 1, false)]).await;
    check("staging", clients_of("app"), &[("staging", 1, false), ("all", 1, false)]).await;
    let all = &[("root", 1, true), ("staging", 2, true), ("all", 1, true)];
    assert_eq!(names(&listed(&guarded.admin, clients_of("")).await), expect(all));
    // One's own.
    assert_eq!(names(&listed(&service, clients_of("")).await), expect(all));
    let by_actor = ListClientsRequest { actor: "token:service".into(), ..clients_of("") };
    check("reader", by_actor.clone(), &[]).await;
    check("auditor", by_actor, &[("staging", 2, true), ("all", 1, true)]).await;
    for (caller, config) in [("nobody", ""), ("nobody", "app"), ("staging", "other")] {
        let client = guarded.bearer(caller).await;
        let result = client.fleet().list_clients(clients_of(config)).await;
        refused(result, Code::PermissionDenied, "PERMISSION_DENIED");
    }
    // What governs access takes `admin`.
    let policy = WatchTarget { namespace: "confwatch".into(), config: "policy".into(), ..Default::default() };
    let _stream = open(&guarded.admin, "policy", &[policy]).await;
    let of_policy = ListClientsRequest { namespace: "confwatch".into(), ..Default::default() };
    assert_eq!(listed(&guarded.admin, of_policy.clone()).await.len(), 1);
    let reader = guarded.bearer("reader").await;
    let result = reader.fleet().list_clients(of_policy).await;
    refused(result, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn the_revision_of_a_watcher_tells_nothing_of_targets_that_the_caller_may_not_read() {
    let guarded = guarded().await;
    let service = guarded.bearer("service").await;
    let targets = [target("app", "/staging"), target("other", "/staging")];
    let mut streams =
        [open(&service, "both", &targets).await, open(&service, "all", &[target("*", "/staging")]).await];
    let (reader, staging) = (guarded.bearer("reader").await, guarded.bearer("staging").await);
    let revisions = async |client: &LibraryClient| -> Vec<u64> {
        listed(client, clients_of("app")).await.iter().map(|found| found.revision).collect()
    };
    let before = revisions(&staging).await;
    let hidden = Change { config: "other".into(), ..replace("/staging", r#"{"hidden":1}"#) };
    let hidden = guarded.admin.api().set(set(hidden)).await.expect("set").into_inner().store_revision;
    for stream in &mut streams {
        loop {
            let message = stream.message().await.expect("it goes on").expect("a message");
            if matches!(message.event, Some(watch_response::Event::Update(_))) {
                break;
            }
        }
    }
    assert_eq!(revisions(&staging).await, before);
    // Whoever is shown all targets of a stream sees the revision of its newest message.
    let of_all = listed(&reader, clients_of("")).await;
    let of_all: Vec<u64> = of_all.iter().map(|found| found.revision).collect();
    assert_eq!(of_all, [hidden, hidden]);
}

#[tokio::test]
async fn digests_are_those_that_the_caller_reads_and_tell_nothing_of_hidden_secrets() {
    let guarded = guarded().await;
    let (service, reader) = (guarded.bearer("service").await, guarded.bearer("reader").await);
    let _streams = [
        open(&service, "shown", &[target("app", "/")]).await,
        open(&reader, "masked", &[target("app", "/")]).await,
        open(&service, "all", &[target("*", "/")]).await,
    ];
    for client in [&service, &reader] {
        let digest = client.api().get(get("/")).await.expect("read").into_inner();
        let digest = digest.document.expect("a document").digest;
        let found = listed(client, clients_of("app")).await;
        assert_eq!(ids(&found), ["shown", "masked", "all"]);
        for target in found.iter().map(|client| &client.targets[0]) {
            assert_eq!((&target.digest, &target.current_digest), (&digest, &digest));
            assert_eq!(target.delivery(), Delivery::Current);
        }
    }
}

#[tokio::test]
async fn of_an_older_document_with_secrets_the_digest_is_told_to_who_may_see_them() {
    let guarded = guarded().await;
    let (service, reader) = (guarded.bearer("service").await, guarded.bearer("reader").await);
    let content = |letter: &str| format!(r#"{{"a":"{}","b":{{"$secret":"s"}}}}"#, letter.repeat(300 << 10));
    guarded.admin.api().set(set(replace("/", &content("x")))).await.expect("set");
    let first = service.api().get(get("/")).await.expect("read").into_inner();
    let first = first.document.expect("a document").digest;
    let mut narrow = narrow_client(&guarded.server).await;
    let mut request = Request::new(WatchRequest { client_id: "slow".into(), ..watch([target("app", "/")]) });
    let token = format!("Bearer {}", guarded.token("service").await.0);
    request.metadata_mut().insert("authorization", token.parse().expect("a header"));
    let _unread = narrow.watch(request).await.expect("it opens");
    guarded.admin.api().set(set(replace("/", &content("y")))).await.expect("set");
    let second = reader.api().get(get("/")).await.expect("read").into_inner();
    let second = second.document.expect("a document").digest;
    loop {
        let found = listed(&service, clients_of("app")).await.remove(0).targets.remove(0);
        if found.delivery() == Delivery::Behind {
            assert_eq!(found.digest, first);
            break;
        }
    }
    let found = listed(&reader, clients_of("app")).await.remove(0);
    let target = &found.targets[0];
    assert_eq!((target.digest.as_str(), &target.current_digest), ("", &second), "{found:?}");
    assert!(found.behind && target.delivery() == Delivery::Behind, "{found:?}");
}
