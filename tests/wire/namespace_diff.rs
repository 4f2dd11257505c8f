//! The differences between all configs of two environments, or of two points in time.

use confwatch::proto::v1::*;
use namespace_side::At;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

fn side(scope: Option<&str>, at: Option<At>) -> Option<NamespaceSide> {
    Some(NamespaceSide { namespace: "test".into(), scope: scope.map(Into::into), at })
}

async fn apply(client: &mut Client, changes: Vec<Change>) -> u64 {
    client.apply(ApplyRequest { changes, options: None }).await.expect("applied").into_inner().store_revision
}

/// All pages of one difference each: config, kind and scope, which side has it alone, and the places that differ.
async fn pages(
    client: &mut Client,
    request: DiffNamespacesRequest,
) -> Vec<(String, String, String, Vec<String>)> {
    let mut request = DiffNamespacesRequest { page_size: 1, ..request };
    let mut found = vec![];
    loop {
        let page = client.diff_namespaces(request.clone()).await.expect("compared").into_inner();
        assert!(page.differences.len() <= 1);
        found.extend(page.differences.into_iter().map(|difference| {
            let layer = match difference.kind() {
                LayerKind::Unspecified => String::new(),
                LayerKind::Base => difference.scope.clone(),
                LayerKind::Override => format!("override {}", difference.scope),
            };
            let only = match (difference.only_older, difference.only_newer) {
                (true, _) => "older",
                (_, true) => "newer",
                (false, false) => "",
            };
            let places = difference.changes.into_iter().map(|change| change.pointer).collect();
            (difference.config, layer, only.to_owned(), places)
        }));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

fn difference(
    config: &str,
    layer: &str,
    only: &str,
    places: &[&str],
) -> (String, String, String, Vec<String>) {
    (config.into(), layer.into(), only.into(), places.iter().map(|place| place.to_string()).collect())
}

#[tokio::test]
async fn two_points_in_time_differ_in_layers() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let then = apply(
        &mut client,
        vec![
            replace("/", r#"{"a":1,"b":1}"#),
            of("gone", replace("/x", r#"{"g":1}"#)),
            of("same", replace("/", r#"{"s":1}"#)),
            of("rules:app", replace("/", r#"{"rules":{}}"#)),
        ],
    )
    .await;
    let tag = SetTagRequest { namespace: "test".into(), tag: "release".into(), ..Default::default() };
    client.set_tag(tag).await.expect("a tag");
    let overriding = Change { kind: LayerKind::Override.into(), ..replace("/p", r#"{"a":3}"#) };
    apply(
        &mut client,
        vec![
            replace("/", r#"{"a":2,"b":1,"c":1}"#),
            overriding,
            of("gone", change("/x", change::Action::Delete(()))),
            of("new", replace("/", r#"{"n":1}"#)),
            of("rules:app", replace("/", r#"{"rules":{"r":{"expression":"true","message":"m"}}}"#)),
        ],
    )
    .await;
    let expected = [
        difference("app", "/", "", &["/a", "/c"]),
        difference("app", "override /p", "newer", &["/a"]),
        difference("gone", "/x", "older", &["/g"]),
        difference("new", "/", "newer", &["/n"]),
    ];
    for at in [At::Revision(then), At::Tag("release".into())] {
        let request = DiffNamespacesRequest { older: side(None, Some(at)), ..Default::default() };
        assert_eq!(pages(&mut client, request.clone()).await, expected);
        let all = DiffNamespacesRequest { include_governing: true, ..request.clone() };
        let governing: Vec<_> =
            pages(&mut client, all).await.into_iter().filter(|(name, ..)| name.contains(':')).collect();
        assert_eq!(governing.last(), Some(&difference("rules:app", "/", "", &["/rules/r"])));
        let turned =
            DiffNamespacesRequest { older: side(None, None), newer: request.older, ..Default::default() };
        assert_eq!(pages(&mut client, turned).await.len(), 4);
    }
    let first = DiffNamespacesRequest {
        older: side(None, Some(At::Revision(then))),
        page_size: 1,
        ..Default::default()
    };
    let page = client.diff_namespaces(first.clone()).await.expect("compared").into_inner();
    apply(&mut client, vec![of("later", replace("/", r#"{"l":1}"#))]).await;
    // The next pages are of the same revisions.
    let next = DiffNamespacesRequest { page_token: page.next_page_token, page_size: 100, ..first };
    refused(client.diff_namespaces(next.clone()).await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
    let next = DiffNamespacesRequest { page_size: 1, ..next };
    let second = client.diff_namespaces(next).await.expect("compared").into_inner();
    assert_eq!((second.older_revision, second.newer_revision), (page.older_revision, page.newer_revision));
    let nothing = DiffNamespacesRequest { older: side(None, None), ..Default::default() };
    assert!(pages(&mut client, nothing).await.is_empty());
}

#[tokio::test]
async fn two_environments_differ_in_documents() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    apply(
        &mut client,
        vec![
            replace("/", r#"{"a":1,"token":{"$secret":"one-secret"}}"#),
            replace("/production", r#"{"a":2,"password":{"$secret":"p-secret"}}"#),
            replace("/staging", r#"{"b":1,"password":{"$secret":"s-secret"}}"#),
            of("same", replace("/", r#"{"s":1}"#)),
            of("only", replace("/staging", r#"{"o":1}"#)),
        ],
    )
    .await;
    let request = DiffNamespacesRequest {
        older: side(Some("/staging"), None),
        newer: side(Some("/production"), None),
        ..Default::default()
    };
    let response = client.diff_namespaces(request.clone()).await.expect("compared").into_inner();
    assert!(!format!("{response:?}").contains("-secret"));
    let expected = [difference("app", "", "", &["/a", "/b"]), difference("only", "", "older", &["/o"])];
    assert_eq!(pages(&mut client, request).await, expected);
    let one_sided = DiffNamespacesRequest {
        newer: side(None, None),
        older: side(Some("/x"), None),
        ..Default::default()
    };
    assert!(
        client.diff_namespaces(one_sided).await.is_ok(),
        "the scope of the newer side is that of the older"
    );
    let wrong = DiffNamespacesRequest {
        newer: side(Some("/x"), None),
        older: side(None, None),
        ..Default::default()
    };
    refused_for(client.diff_namespaces(wrong).await, "INVALID_SCOPE", "newer.scope");
}

#[tokio::test]
async fn what_the_caller_may_not_read_is_not_compared() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"read": ["read"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "read", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:none"], "role": "read", "namespace": "other", "config": "*", "scope": "/"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let changes = vec![
        replace("/", r#"{"a":1}"#),
        replace("/staging", r#"{"b":1}"#),
        of("hidden", replace("/production", r#"{"h":1}"#)),
    ];
    let then = admin
        .apply(ApplyRequest { changes, options: None })
        .await
        .expect("applied")
        .into_inner()
        .store_revision;
    let changes = vec![
        replace("/", r#"{"a":2}"#),
        replace("/staging", r#"{"b":2}"#),
        of("hidden", replace("/production", r#"{"h":2}"#)),
    ];
    admin.apply(ApplyRequest { changes, options: None }).await.expect("applied");
    let in_time = DiffNamespacesRequest { older: side(None, Some(At::Revision(then))), ..Default::default() };
    let mut staging = guarded.bearer("staging").await.api();
    let response = staging.diff_namespaces(in_time.clone()).await.expect("compared").into_inner();
    assert_eq!(response.differences.len(), 1);
    assert_eq!(response.differences[0].scope, "/staging");
    let environments = DiffNamespacesRequest {
        older: side(Some("/staging"), None),
        newer: side(Some("/production"), None),
        ..Default::default()
    };
    let response = staging.diff_namespaces(environments).await.expect("compared").into_inner();
    assert!(response.differences.is_empty());
    let mut none = guarded.bearer("none").await.api();
    refused(none.diff_namespaces(in_time).await, Code::PermissionDenied, "PERMISSION_DENIED");
}
