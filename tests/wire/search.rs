//! Search, and the list of overrides.

use std::time::Duration;

use confwatch::client::Api;
use confwatch::proto::v1::*;
use tonic::Code;

use super::auth::{Guarded, client};
use super::support::*;

fn of(config: &str, change: Change) -> Change {
    Change { config: config.into(), ..change }
}

async fn apply(client: &mut Api, changes: Vec<Change>, reason: &str) -> u64 {
    let options = Some(WriteOptions { reason: reason.into(), ..Default::default() });
    client.apply(ApplyRequest { changes, options }).await.expect("applied").into_inner().store_revision
}

/// All pages of two values each: `config scope pointer = value`.
async fn found(client: &mut Api, request: SearchRequest) -> Vec<String> {
    let mut request = SearchRequest { page_size: 2, ..request };
    let mut found = vec![];
    loop {
        let page = client.search(request.clone()).await.expect("searched").into_inner();
        found.extend(page.matches.into_iter().map(|found| {
            let value = if found.secret { "***" } else { &found.value };
            format!("{} {} {} = {value}", found.config, found.scope, found.pointer)
        }));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn values_are_found_by_key_value_text_author_and_reason_now_and_in_the_past() {
    let server = TestServer::start_believing().await;
    let mut client = client(&server, None).api();
    let first = apply(
        &mut client,
        vec![
            replace("/", r#"{"db":{"port":5432,"host":"Old.example.com"},"port":80}"#),
            replace("/production", r#"{"db":{"port":5433},"ports":[80,{"port":5432}]}"#),
            of("other", replace("/", r#"{"timeout_ms":30,"url":"https://old.example.com/"}"#)),
        ],
        "Incident 7",
    )
    .await;
    apply(&mut client, vec![of("other", replace("/", r#"{"timeout_ms":40}"#))], "calm").await;
    let of_test = || SearchRequest { namespace: "test".into(), ..Default::default() };
    let key = |key: &str| SearchRequest { key: key.into(), ..of_test() };
    assert_eq!(
        found(&mut client, key("port")).await,
        [
            "app / /db/port = 5432",
            "app / /port = 80",
            "app /production /db/port = 5433",
            "app /production /ports/1/port = 5432"
        ]
    );
    assert_eq!(found(&mut client, key("/*/port")).await.len(), 2);
    assert_eq!(found(&mut client, key("*time*")).await, ["other / /timeout_ms = 40"]);
    let value = SearchRequest { value: Some("5432".into()), ..of_test() };
    assert_eq!(found(&mut client, value).await.len(), 2);
    let element = SearchRequest { value: Some("80".into()), scope: Some("/production".into()), ..of_test() };
    assert_eq!(found(&mut client, element).await, ["app /production /ports/0 = 80"]);
    let text = SearchRequest { text: "old.EXAMPLE".into(), ..of_test() };
    assert_eq!(found(&mut client, text.clone()).await, [r#"app / /db/host = "Old.example.com""#]);
    let then = SearchRequest { at: Some(search_request::At::Revision(first)), ..text };
    assert_eq!(found(&mut client, then.clone()).await.len(), 2);
    let everywhere = SearchRequest { namespace: String::new(), ..then };
    assert_eq!(found(&mut client, everywhere).await.len(), 2);
    let reason = SearchRequest { reason: "incident".into(), ..of_test() };
    assert_eq!(found(&mut client, reason.clone()).await, ["app /  = ", "app /production  = "]);
    assert_eq!(found(&mut client, SearchRequest { key: "port".into(), ..reason.clone() }).await.len(), 4);
    let page = client.search(reason).await.expect("searched").into_inner();
    assert_eq!((page.matches[0].revision, page.matches[0].reason.as_str()), (first, "Incident 7"));
    let actor = page.matches[0].actor.clone();
    assert_eq!(found(&mut client, SearchRequest { actor, ..of_test() }).await.len(), 3);
    assert!(found(&mut client, SearchRequest { actor: "nobody".into(), ..of_test() }).await.is_empty());
    refused_for(client.search(of_test()).await, "INVALID_FIELD", "key");
    let tag = SearchRequest {
        at: Some(search_request::At::Tag("x".into())),
        key: "a".into(),
        ..Default::default()
    };
    refused_for(client.search(tag).await, "INVALID_NAME", "namespace");
    let bad = SearchRequest { value: Some("{".into()), ..of_test() };
    refused(client.search(bad).await, Code::InvalidArgument, "MALFORMED_DOCUMENT");
}

#[tokio::test]
async fn a_secret_is_found_by_its_key_alone() {
    let guarded = Guarded::start().await;
    let mut admin = guarded.admin.api();
    let content = r#"{"db":{"password":{"$secret":"hunter2"},"user":"hunter"},"pin":{"$secret":7}}"#;
    admin.set(set(replace("/", content))).await.expect("set");
    let masked = admin.search(SearchRequest { key: "db".into(), ..Default::default() }).await;
    let masked = masked.expect("searched").into_inner().matches.remove(0).value;
    assert_eq!(masked, r#"{"password":"***","user":"hunter"}"#);
    let shown = GetRequest { view: View::Layer.into(), ..get("/") };
    let mut masking = guarded.admin.masking_secrets(true).api();
    let fingerprint = masking.get(shown).await.expect("there").into_inner().document.expect("one").content;
    let fingerprint: serde_json::Value = serde_json::from_str(&fingerprint).expect("JSON");
    let fingerprint = fingerprint["db"]["password"].as_str().expect("a fingerprint").to_owned();
    let with = |key: &str, value: Option<&str>, text: &str| SearchRequest {
        key: key.into(),
        value: value.map(Into::into),
        text: text.into(),
        ..Default::default()
    };
    for request in [
        with("", Some(r#""hunter2""#), ""),
        with("", Some("7"), ""),
        with("pin", None, "*"),
        with("", Some(&format!("{fingerprint:?}")), ""),
        with("", None, "***"),
        with("", None, "hunter2"),
        with("password", Some(r#""***""#), ""),
    ] {
        assert!(found(&mut admin, request.clone()).await.is_empty(), "{request:?}");
    }
    assert_eq!(
        found(&mut admin, with("p*", None, "")).await,
        ["app / /db/password = ***", "app / /pin = ***"]
    );
    assert_eq!(found(&mut admin, with("", None, "hunter")).await, [r#"app / /db/user = "hunter""#]);
}

#[tokio::test]
async fn what_the_caller_may_not_read_is_not_searched() {
    let guarded = Guarded::start().await;
    guarded
        .set_policy(
            r#"{
  "roles": {"read": ["read"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "read", "namespace": "test", "config": "*", "scope": "/staging"}
  ]
}"#,
        )
        .await
        .expect("the policy is good");
    let mut admin = guarded.admin.api();
    let elsewhere = Change { namespace: "elsewhere".into(), ..replace("/", r#"{"a":1}"#) };
    let over = Change { kind: LayerKind::Override.into(), ..replace("/production", r#"{"a":1}"#) };
    let over_staging = Change { kind: LayerKind::Override.into(), ..replace("/staging", r#"{"b":1}"#) };
    let changes = vec![
        replace("/", r#"{"a":1}"#),
        replace("/staging", r#"{"a":1}"#),
        of("hidden", replace("/", r#"{"a":1}"#)),
        elsewhere,
        over,
        over_staging,
    ];
    admin.apply(ApplyRequest { changes, options: None }).await.expect("applied");
    let key = SearchRequest { key: "a".into(), ..Default::default() };
    assert_eq!(found(&mut admin, key.clone()).await.len(), 5);
    let mut staging = guarded.bearer("staging").await.api();
    assert_eq!(found(&mut staging, key.clone()).await, ["app /staging /a = 1"]);
    let denied = SearchRequest { namespace: "elsewhere".into(), ..key };
    refused(staging.search(denied).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let list = ListOverridesRequest { namespace: "test".into(), ..Default::default() };
    let listed = staging.list_overrides(list).await.expect("a list").into_inner().overrides;
    assert_eq!(listed.iter().map(|listed| listed.scope.as_str()).collect::<Vec<_>>(), ["/staging"]);
}

#[tokio::test]
async fn overrides_are_listed_with_what_they_change_page_by_page() {
    let server = TestServer::start_believing().await;
    let mut client = client(&server, None).api();
    let over = |config: &str, scope: &str, ttl: Option<u64>, content: &str| Change {
        config: config.into(),
        kind: LayerKind::Override.into(),
        ttl: ttl.map(|seconds| Duration::from_secs(seconds).try_into().expect("short")),
        ..replace(scope, content)
    };
    apply(&mut client, vec![replace("/", r#"{"a":1,"b":1}"#), of("z", replace("/", r#"{"z":1}"#))], "").await;
    apply(
        &mut client,
        vec![
            over("app", "/", None, r#"{"a":2}"#),
            over("app", "/production", Some(3600), r#"{"b":2,"a":3}"#),
            over("z", "/x", None, r#"{"z":1}"#),
        ],
        "incident 7",
    )
    .await;
    let mut request = ListOverridesRequest { namespace: "test".into(), page_size: 1, ..Default::default() };
    let mut listed = vec![];
    loop {
        let page = client.list_overrides(request.clone()).await.expect("a list").into_inner();
        listed.extend(page.overrides);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let told: Vec<_> = listed
        .iter()
        .map(|listed| {
            let places: Vec<&str> = listed.changes.iter().map(|change| change.pointer.as_str()).collect();
            (listed.config.as_str(), listed.scope.as_str(), places, listed.expire_time.is_some())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("app", "/", vec!["/a"], false),
            ("app", "/production", vec!["/a", "/b"], true),
            ("z", "/x", vec![], false)
        ]
    );
    assert_eq!((listed[0].revision, listed[0].reason.as_str()), (2, "incident 7"));
    let endless = ListOverridesRequest { namespace: "test".into(), only_endless: true, ..Default::default() };
    assert_eq!(client.list_overrides(endless.clone()).await.expect("a list").into_inner().overrides.len(), 2);
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    for (seconds, count) in [(1, 0), (i64::from(u32::MAX), 2)] {
        let request = ListOverridesRequest { changed_before: time(seconds), ..endless.clone() };
        assert_eq!(client.list_overrides(request).await.expect("a list").into_inner().overrides.len(), count);
    }
    let one = ListOverridesRequest { config: "app".into(), scope: Some("/production".into()), ..endless };
    let one = ListOverridesRequest { only_endless: false, ..one };
    assert_eq!(client.list_overrides(one).await.expect("a list").into_inner().overrides.len(), 1);
}
