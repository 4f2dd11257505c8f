//! ListChanges and GetCommit: commits of the past, and what each changed.

use confwatch::proto::v1::*;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

fn list() -> ListChangesRequest {
    ListChangesRequest { namespace: "test".into(), ..Default::default() }
}

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

/// All pages.
async fn listed(client: &mut Client, mut request: ListChangesRequest) -> Vec<ListedCommit> {
    let mut commits = vec![];
    loop {
        let page = client.list_changes(request.clone()).await.expect("a page").into_inner();
        commits.extend(page.commits);
        if page.next_page_token.is_empty() {
            return commits;
        }
        request.page_token = page.next_page_token;
    }
}

fn commit(listed: &ListedCommit) -> &Commit {
    listed.commit.as_ref().expect("a commit")
}

async fn revisions(client: &mut Client, request: ListChangesRequest) -> Vec<u64> {
    listed(client, request).await.iter().map(|listed| commit(listed).revision).collect()
}

/// Config, scope, and of each value the pointer, the value before and the value after.
type Difference<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str, &'a str)>);

fn differences(listed: &ListedCommit) -> Vec<Difference<'_>> {
    let mut found = vec![];
    for ScopeDifference { config, scope, changes, .. } in &listed.differences {
        let changes = changes
            .iter()
            .map(|change| (change.pointer.as_str(), change.old_value.as_str(), change.new_value.as_str()));
        found.push((config.as_str(), scope.as_str(), changes.collect()));
    }
    found
}

#[tokio::test]
async fn commits_are_listed_in_both_orders_in_pages_of_any_size() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    for value in 1..=7 {
        put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await;
        client.set(set(of("other", replace("/", &format!(r#"{{"b":{value}}}"#))))).await.expect("set");
    }
    for page_size in [1, 2, 3, 0] {
        for oldest_first in [true, false] {
            let request = ListChangesRequest { page_size, oldest_first, ..list() };
            let mut expected: Vec<u64> = (1..=14).collect();
            if !oldest_first {
                expected.reverse();
            }
            assert_eq!(revisions(&mut client, request.clone()).await, expected);
            let of_config = ListChangesRequest { config: "app".into(), ..request.clone() };
            expected.retain(|revision| revision % 2 == 1);
            assert_eq!(revisions(&mut client, of_config).await, expected);
            expected.retain(|revision| *revision >= 9);
            let from = ListChangesRequest { from_revision: 8, config: "app".into(), ..request };
            assert_eq!(revisions(&mut client, from).await, expected);
        }
    }
    let page = client
        .list_changes(ListChangesRequest { page_size: 2, ..list() })
        .await
        .expect("a page")
        .into_inner();
    assert_eq!((page.store_revision, page.oldest_revision), (14, 1));
    // A token is good for its own list.
    let other = ListChangesRequest { page_token: page.next_page_token, oldest_first: true, ..list() };
    refused_for(client.list_changes(other).await, "INVALID_PAGE_TOKEN", "page_token");
    let ahead = ListChangesRequest { from_revision: 16, ..list() };
    refused(client.list_changes(ahead).await, Code::OutOfRange, "REVISION_IN_FUTURE");
    let nothing = ListChangesRequest { from_revision: 15, ..list() };
    assert_eq!(revisions(&mut client, nothing).await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_filter_that_matches_nothing_costs_bounded_pages() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    client.set(set(of("other", replace("/", "{}")))).await.expect("set");
    for value in 0..1100 {
        put(&mut client, "/", &format!(r#"{{"a":{value}}}"#)).await;
    }
    let request = ListChangesRequest { actor: "nobody".into(), ..list() };
    let page = client.list_changes(request.clone()).await.expect("a page").into_inner();
    assert!(page.commits.is_empty() && !page.next_page_token.is_empty(), "it goes on");
    let page = ListChangesRequest { page_token: page.next_page_token, ..request };
    let page = client.list_changes(page).await.expect("a page").into_inner();
    assert!(page.commits.is_empty() && page.next_page_token.is_empty());
    assert_eq!(revisions(&mut client, ListChangesRequest { config: "other".into(), ..list() }).await, [1]);
}

#[tokio::test]
async fn large_commits_that_match_nothing_cost_bounded_pages() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    let text = "x".repeat(900 << 10);
    for value in 0..40 {
        put(&mut client, "/", &format!(r#"{{"a":{value},"text":"{text}"}}"#)).await;
    }
    client.set(set(of("other", replace("/", "{}")))).await.expect("set");
    for oldest_first in [true, false] {
        let request = ListChangesRequest { config: "none".into(), oldest_first, ..list() };
        let page = client.list_changes(request.clone()).await.expect("a page").into_inner();
        assert!(page.commits.is_empty() && !page.next_page_token.is_empty(), "it goes on");
        let page = ListChangesRequest { page_token: page.next_page_token, ..request.clone() };
        let page = client.list_changes(page).await.expect("a page").into_inner();
        assert!(page.commits.is_empty() && page.next_page_token.is_empty());
        let other = ListChangesRequest { config: "other".into(), ..request };
        assert_eq!(revisions(&mut client, other).await, [41]);
    }
}

#[tokio::test]
async fn filters_by_scope_actor_source_and_time() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production/checkout", r#"{"a":2}"#).await;
    client.set_tag(set_tag("stable", 1)).await.expect("a tag");
    let mut by_ada = tonic::Request::new(set(replace("/productive", r#"{"a":3}"#)));
    by_ada.metadata_mut().insert("confwatch-actor", "ada".parse().expect("a header"));
    client.set(by_ada).await.expect("set");
    client.delete(delete(Some("/production/checkout"))).await.expect("deleted");
    let mut found = async |request| revisions(&mut client, request).await;
    assert_eq!(found(ListChangesRequest { scope: Some("/production".into()), ..list() }).await, [5, 2]);
    assert_eq!(found(ListChangesRequest { scope: Some(String::new()), ..list() }).await, [5, 4, 2, 1]);
    assert_eq!(found(ListChangesRequest { actor: "ada".into(), ..list() }).await, [4]);
    let sources = vec![CommitSource::Delete.into(), CommitSource::Tag.into()];
    assert_eq!(found(ListChangesRequest { sources, ..list() }).await, [5, 3]);
    let all = listed(&mut client, list()).await;
    let time = |at: usize| commit(&all[at]).time;
    // The times of the store never decrease, and may be equal.
    let since = ListChangesRequest { from_time: time(2), ..list() };
    let found = listed(&mut client, since).await;
    assert!(found.iter().any(|found| commit(found).revision == 3));
    let (at, mut client) = (time(2).expect("a time"), client);
    let micros = |time: &prost_types::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos / 1000);
    assert!(found.iter().all(|found| micros(commit(found).time.as_ref().expect("one")) >= micros(&at)));
    let until = ListChangesRequest { to_time: Some(at), ..list() };
    for found in listed(&mut client, until).await {
        assert!(micros(commit(&found).time.as_ref().expect("one")) <= micros(&at));
    }
    let past = prost_types::Timestamp { seconds: 1, nanos: 0 };
    assert!(revisions(&mut client, ListChangesRequest { to_time: Some(past), ..list() }).await.is_empty());
    let bad = ListChangesRequest { sources: vec![0], ..list() };
    refused_for(client.list_changes(bad).await, "INVALID_FIELD", "sources");
    let bad = ListChangesRequest { namespace: String::new(), config: "app".into(), ..list() };
    refused_for(client.list_changes(bad).await, "INVALID_NAME", "namespace");
}

#[tokio::test]
async fn differences_are_those_of_effective_documents() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1,"b":1}"#).await;
    let over = Change { kind: LayerKind::Override.into(), ..replace("/", r#"{"a":9}"#) };
    client.set(set(over)).await.expect("set");
    let changes = vec![merge_patch("/", r#"{"a":2,"b":2}"#), replace("/production", r#"{"c":1,"b":null}"#)];
    client.apply(ApplyRequest { changes, options: None }).await.expect("applied");
    let request = ListChangesRequest { include_differences: true, ..list() };
    let found = listed(&mut client, request).await;
    let root = ("app", "/", vec![("/b", "1", "2")]);
    let production = ("app", "/production", vec![("/b", "1", ""), ("/c", "", "1")]);
    assert_eq!(differences(&found[0]), [root, production], "the override hides the change of a");
    assert_eq!(differences(&found[1]), [("app", "/", vec![("/a", "1", "9")])]);
    assert_eq!(differences(&found[2]), [("app", "/", vec![("/a", "", "1"), ("/b", "", "1")])]);
    assert_eq!((found[0].scopes_reached, found[2].scopes_reached), (2, 1));

    let request = GetCommitRequest { revision: 3, include_content: true };
    let shown = client.get_commit(request).await.expect("there").into_inner().commit.expect("a commit");
    assert_eq!(shown.differences, found[0].differences);
    assert_eq!(commit(&shown).changes[0].layers[1].content, r#"{"b":null,"c":1}"#);
    let missing = |revision| GetCommitRequest { revision, include_content: false };
    refused_for(client.get_commit(missing(0)).await, "INVALID_FIELD", "revision");
    refused(client.get_commit(missing(4)).await, Code::OutOfRange, "REVISION_IN_FUTURE");
}

#[tokio::test]
async fn what_a_caller_may_not_read_is_in_no_list_and_no_commit() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:own"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/staging"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let changes = vec![
        replace("/staging", r#"{"password":{"$secret":"hunter2"}}"#),
        replace("/production", r#"{"a":1}"#),
        of("hidden", replace("/", r#"{"h":1}"#)),
    ];
    let applied = admin.apply(ApplyRequest { changes, options: None }).await.expect("applied").into_inner();
    let hidden = admin.set(set(of("hidden", replace("/", r#"{"h":2}"#)))).await.expect("set").into_inner();
    let mut own = guarded.bearer("own").await.api();
    let everything =
        ListChangesRequest { include_differences: true, include_content: true, ..Default::default() };
    let page = own.list_changes(everything).await.expect("a page").into_inner();
    let told: Vec<_> = page.commits.iter().map(|listed| commit(listed).revision).collect();
    assert_eq!(told, [applied.store_revision]);
    let text = format!("{page:?}");
    for secret in ["hunter2", "hidden", "/production"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert!(page.commits[0].differences[0].changes[0].new_value.starts_with("\"***"), "{text}");
    assert_eq!(page.commits[0].scopes_reached, 1);
    let request = |revision| GetCommitRequest { revision, include_content: true };
    let shown = own.get_commit(request(applied.store_revision)).await.expect("a part of it").into_inner();
    assert!(!format!("{shown:?}").contains("/production"));
    let denied = own.get_commit(request(hidden.store_revision)).await;
    let denied = refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    assert!(!format!("{denied:?}").contains("hidden"), "{denied:?}");
    let elsewhere = ListChangesRequest { namespace: "other".into(), ..Default::default() };
    refused(own.list_changes(elsewhere).await, Code::PermissionDenied, "PERMISSION_DENIED");
    // Whoever may read nothing at all is not even told how far the store is.
    let mut nobody = guarded.bearer("nobody").await.api();
    let everything = ListChangesRequest::default();
    refused(nobody.list_changes(everything).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let stream = nobody.stream_changes(StreamChangesRequest::default()).await;
    refused(stream, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_page_token_is_good_for_its_rpc_alone() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    for config in ["a", "b"] {
        client.set(set(of(config, replace("/", "{}")))).await.expect("set");
    }
    let request = ListRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let page_token = client.list(request).await.expect("a page").into_inner().next_page_token;
    assert!(!page_token.is_empty());
    // The two requests have the same bytes.
    let library = super::auth::client(&server, None);
    let request = SchemaServiceListRequest { namespace: "test".into(), page_size: 1, page_token };
    refused_for(library.schemas().list(request).await, "INVALID_PAGE_TOKEN", "page_token");
}
