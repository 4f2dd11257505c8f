//! How much is shown to one actor: beyond it calls are refused, streams wait, and every reveal is a record of its own.

use confwatch::api::guard::rates::{Rate, RateLimits};
use confwatch::client::Client;
use confwatch::proto::v1::*;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt;

use super::auth::Guarded;
use super::floods::listed;
use super::support::*;
use super::watching::{target, watch};

const POLICY: &str = r#"{
  "roles": {"service": ["read", "write", "validate", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:fleet", "token:other"], "role": "service", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// One reveal a second, and some at once: a fleet that is over its budget stays so for as long as a call takes.
async fn start() -> Guarded {
    let limit = |settings: &mut confwatch::server::Settings| {
        let reveals_per_actor = Rate::parse("1:5").expect("a rate");
        settings.rates = RateLimits { reveals_per_actor, ..RateLimits::UNLIMITED };
    };
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), limit).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    for config in ["app", "second", "third"] {
        let secret = Change { config: config.into(), ..replace("/", r#"{"token":{"$secret":"hunter2"}}"#) };
        guarded.admin.api().set(set(secret)).await.expect("set");
    }
    let plain = Change { config: "plain".into(), ..replace("/", "{}") };
    guarded.admin.api().set(set(plain)).await.expect("set");
    guarded
}

/// Reads until no more is shown. How often it was.
async fn exhaust(client: &Client) -> usize {
    for shown in 0..1000 {
        match client.api().get(get("/")).await {
            Ok(got) => assert!(format!("{got:?}").contains("hunter2")),
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().expect("a reason");
                assert_eq!(
                    (status.code(), info.reason.as_str()),
                    (Code::ResourceExhausted, "SECRET_REVEALS_LIMITED")
                );
                assert_eq!(
                    (info.metadata["per_second"].as_str(), info.metadata["burst"].as_str()),
                    ("1", "5")
                );
                assert!(details.retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
                assert!(!format!("{status:?}").contains("hunter2"));
                return shown;
            }
        }
    }
    panic!("the server shows a thousand in less than a thousand seconds");
}

/// Records of what was shown to somebody, by calls of one name.
async fn reveals(guarded: &Guarded, actor: &str, method: &str) -> Vec<AuditEntry> {
    let mut entries = listed(guarded, AuditKind::Revealed).await;
    entries.retain(|entry| entry.actor == actor && entry.rpc_method.ends_with(method));
    entries
}

#[tokio::test]
async fn beyond_the_budget_of_an_actor_secrets_are_not_shown_and_every_reveal_is_recorded() {
    let guarded = start().await;
    let (fleet, other) = (guarded.bearer("fleet").await, guarded.bearer("other").await);
    let shown = exhaust(&fleet).await;
    assert!(shown >= 5, "{shown}");
    // What has no secrets is answered, and what is masked, and what others ask for.
    let plain = GetRequest { config: "plain".into(), ..get("/") };
    fleet.api().get(plain).await.expect("it has no secrets");
    fleet.masking_secrets(true).api().get(get("/")).await.expect("it shows none");
    other.api().get(get("/")).await.expect("the budget of somebody else");
    // A write is made, and its answer has fingerprints.
    exhaust(&fleet).await;
    let patch = set(change("/", change::Action::MergePatch(json(r#"{"a":1}"#))));
    let wrote = fleet.api().set(patch).await.expect("it is stored").into_inner();
    let document = wrote.document.expect("a document");
    assert!(wrote.changed && !format!("{document:?}").contains("hunter2"), "{document:?}");
    assert_eq!((document.hidden_pointers, document.revealed_pointers), (vec!["/token".to_owned()], vec![]));
    let gets = reveals(&guarded, "token:fleet", "/Get").await;
    assert!(gets.len() >= shown && gets.iter().all(|entry| entry.count == 1), "{gets:?}");
    assert!(reveals(&guarded, "token:fleet", "/Set").await.is_empty());
    let denied = listed(&guarded, AuditKind::Denied).await;
    let of = |entry: &&AuditEntry| entry.outcome == "SECRET_REVEALS_LIMITED" && entry.actor == "token:fleet";
    let denied = denied.iter().find(of).expect("that it was refused is recorded");
    assert_eq!((denied.verb.as_str(), denied.config.as_str()), ("reveal-secret", "app"));
}

#[tokio::test]
async fn a_call_that_shows_many_secrets_is_answered_whole() {
    let guarded = start().await;
    let fleet = guarded.bearer("fleet").await;
    let configs = ["app", "second", "third"].into_iter().cycle().take(9);
    let requests = configs.map(|config| GetRequest { config: config.into(), ..get("/") }).collect();
    let got = fleet
        .api()
        .batch_get(BatchGetRequest { requests, ..Default::default() })
        .await
        .expect("more than there is at once");
    assert_eq!(format!("{got:?}").matches("hunter2").count(), 9);
    assert_eq!(exhaust(&fleet).await, 0, "the next waits for all of it");
    assert_eq!(reveals(&guarded, "token:fleet", "/BatchGet").await.len(), 9);
}

#[tokio::test]
async fn streams_wait_until_their_secrets_may_be_shown_and_lose_nothing() {
    let guarded = start().await;
    let fleet = guarded.bearer("fleet").await;
    exhaust(&fleet).await;
    for config in ["app", "*"] {
        let mut stream =
            fleet.api().watch(watch([target(config, "/")])).await.expect("it opens").into_inner();
        let first = stream.message().await.expect("it is open").expect("a snapshot");
        assert!(format!("{first:?}").contains("hunter2"), "{first:?}");
        exhaust(&fleet).await;
        let next = format!(r#"{{"token":{{"$secret":"next of {config}"}}}}"#);
        guarded.admin.api().set(set(replace("/", &next))).await.expect("set");
        let update = stream.message().await.expect("it is open").expect("an update");
        assert!(format!("{update:?}").contains(&format!("next of {config}")), "{update:?}");
        let back = replace("/", r#"{"token":{"$secret":"hunter2"}}"#);
        guarded.admin.api().set(set(back)).await.expect("set");
    }
    let watched = reveals(&guarded, "token:fleet", "/Watch").await;
    assert!(watched.len() >= 6 && watched.iter().all(|entry| entry.count == 1), "{watched:?}");
    let first =
        guarded.admin.api().list(ListRequest::default()).await.expect("list").into_inner().store_revision;
    let request = StreamChangesRequest {
        namespace: "test".into(),
        from_revision: first - 1,
        include_content: true,
        ..Default::default()
    };
    let mut stream = fleet.api().stream_changes(request).await.expect("it opens").into_inner();
    for revision in [first - 1, first] {
        let message = stream.message().await.expect("it is open").expect("a commit");
        assert_eq!(message.revision, revision);
        assert!(matches!(message.event, Some(stream_changes_response::Event::Commit(_))), "{message:?}");
    }
}

#[tokio::test]
async fn a_stream_that_waits_does_not_show_what_its_caller_may_no_longer_see() {
    let guarded = start().await;
    let fleet = guarded.bearer("fleet").await;
    // So much that it takes a minute until there is room.
    let requests = std::iter::repeat_n(get("/"), 60).collect();
    fleet.api().batch_get(BatchGetRequest { requests, ..Default::default() }).await.expect("shown");
    let mut stream = fleet.api().watch(watch([target("app", "/")])).await.expect("it opens").into_inner();
    let hiding = POLICY.replace(r#", "reveal-secret""#, "");
    guarded.set_policy(&hiding).await.expect("the policy is good");
    match stream.message().await {
        // It was held: its client comes again.
        Err(status) => drop(refused::<()>(Err(status), Code::ResourceExhausted, "SECRET_REVEALS_LIMITED")),
        // The policy was faster than the stream.
        Ok(first) => {
            let first = format!("{:?}", first.expect("a snapshot"));
            assert!(first.contains("***:") && !first.contains("hunter2"), "{first}");
        }
    }
}
