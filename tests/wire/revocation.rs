//! What open streams notice of revoked tokens and other policies. How long it takes is printed; what is claimed is the order: nothing that was
//! written after the revocation is shown.

use std::collections::BTreeMap;
use std::time::Instant;

use confwatch::client::Client;
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use confwatch::server::settings::AuthMode;
use tonic::{Code, Status, Streaming};

use super::auth::*;
use super::support::*;
use super::watching::{target, watch};

/// A stream of each kind: a config, every config of a namespace, and commits.
struct Streams {
    one: Streaming<WatchResponse>,
    all: Streaming<WatchResponse>,
    commits: Streaming<StreamChangesResponse>,
}

impl Streams {
    async fn open(bearer: &Client) -> Streams {
        let changes = StreamChangesRequest { namespace: "test".into(), ..Default::default() };
        Streams {
            one: opened(bearer, "app", "/").await,
            all: opened(bearer, "*", "/").await,
            commits: bearer.api().stream_changes(changes).await.expect("it opens").into_inner(),
        }
    }

    /// How each of them ends. None may tell of this revision, or of a later one.
    async fn endings(mut self, forbidden: u64) -> [Status; 3] {
        let of_watch = async |stream: &mut Streaming<WatchResponse>| loop {
            match stream.message().await {
                Ok(message) => assert!(message.expect("no silent end").revision < forbidden),
                Err(status) => break status,
            }
        };
        let of_commits = async |stream: &mut Streaming<StreamChangesResponse>| loop {
            match stream.message().await {
                Ok(message) => assert!(message.expect("no silent end").revision < forbidden),
                Err(status) => break status,
            }
        };
        tokio::join!(of_watch(&mut self.one), of_watch(&mut self.all), of_commits(&mut self.commits)).into()
    }
}

/// Writes something that all of these streams would tell, and gives its revision.
async fn write_more(guarded: &Guarded) -> u64 {
    let set = set(replace("/", r#"{"a":"not for everybody"}"#));
    guarded.admin.api().set(set).await.expect("set").into_inner().store_revision
}

fn all_ended_with(endings: &[Status], code: Code, reason: &str) {
    for ending in endings {
        let (found, said, _) = told(ending);
        assert_eq!((found, said.as_str()), (code, reason), "{ending:?}");
    }
}

#[tokio::test]
async fn no_stream_shows_what_was_written_after_its_token_was_revoked() {
    let guarded = Guarded::start_with_policy().await;
    let (token, id) = guarded.token("read").await;
    let streams = Streams::open(&client(&guarded.server, Some(&token))).await;
    let others = Streams::open(&guarded.bearer("read").await).await;
    let began = Instant::now();
    let revoke = RevokeTokenRequest { id, reason: "lost".into() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    let written = write_more(&guarded).await;
    all_ended_with(&streams.endings(written).await, Code::Unauthenticated, "CREDENTIAL_REVOKED");
    println!(
        "a revoked token ended three streams {:?} after the call that revoked it began",
        began.elapsed()
    );
    for mut stream in [others.one, others.all] {
        let message = stream.message().await.expect("it goes on").expect("a message");
        assert_eq!(message.revision, written, "the streams of others have not noticed");
    }
}

#[tokio::test]
async fn a_stream_whose_client_reads_nothing_ends_when_its_token_is_revoked() {
    let guarded = Guarded::start_with_policy().await;
    // More than the windows of a client hold.
    let text = "x".repeat(900_000);
    guarded.admin.api().set(set(replace("/", &format!(r#"{{"text":"{text}"}}"#)))).await.expect("set");
    let (token, id) = guarded.token("read").await;
    let endpoint = format!("http://{}", guarded.server.running.address());
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("an address");
    let endpoint = endpoint.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    let channel = connect(endpoint, &Bearer::of(&token)).await;
    let mut client = config_service_client::ConfigServiceClient::new(channel);
    let _unread = client.watch(watch([target("app", "/")])).await.expect("it opens");
    let watchers = async || {
        let status =
            guarded.admin.status().get(StatusServiceGetRequest {}).await.expect("a status").into_inner();
        status.server.expect("figures").watchers
    };
    assert_eq!(watchers().await, 1);
    let revoke = RevokeTokenRequest { id, reason: "lost".into() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    // The test ends by its own limit of time if the stream stays.
    while watchers().await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_stream_shows_what_was_written_after_the_policy_took_the_right_and_a_rollback_gives_it_back() {
    let guarded = Guarded::start_with_policy().await;
    let reader = guarded.bearer("read").await;
    let streams = Streams::open(&reader).await;
    let began = Instant::now();
    guarded.set_policy(&POLICY.replace("token:read", "token:nobody")).await.expect("good");
    let written = write_more(&guarded).await;
    all_ended_with(&streams.endings(written).await, Code::PermissionDenied, "PERMISSION_DENIED");
    println!("another policy ended three streams {:?} after the call that set it began", began.elapsed());
    guarded.admin.api().rollback(policy_to(2)).await.expect("rolled back");
    let again = Streams::open(&reader).await;
    drop(again);
}

fn policy_to(version: u64) -> RollbackRequest {
    RollbackRequest {
        namespace: "confwatch".into(),
        config: "policy".into(),
        to: Some(rollback_request::To::Version(version)),
        ..Default::default()
    }
}

/// The policy of these tests, and one token that may read these configs.
fn policy_for(configs: &str) -> String {
    let of_some = format!(
        r#"{{"subjects": ["token:some"], "role": "viewer", "namespace": "test", "config": "{configs}", "scope": "/"}},"#
    );
    POLICY.replacen(r#"{"subjects": ["token:read"]"#, &format!(r#"{of_some}{{"subjects": ["token:read"]"#), 1)
}

fn named(config: &str, content: &str) -> SetRequest {
    set(Change { config: config.into(), ..replace("/", content) })
}

/// What the next message that tells of configs says of each.
async fn states(stream: &mut Streaming<WatchResponse>) -> BTreeMap<String, State> {
    loop {
        let message = stream.message().await.expect("it goes on").expect("a message");
        let states = match message.event.expect("an event") {
            watch_response::Event::Snapshot(snapshot) => snapshot.states,
            watch_response::Event::Update(update) => update.states,
            watch_response::Event::Progress(_) => continue,
        };
        let state = |state: TargetState| (state.target.clone().expect("a target").config, state.state());
        return states.into_iter().map(state).collect();
    }
}

fn are(expected: &[(&str, State)]) -> BTreeMap<String, State> {
    expected.iter().map(|(config, state)| ((*config).to_owned(), *state)).collect()
}

#[tokio::test]
async fn a_watch_of_a_namespace_gains_and_loses_single_configs_at_once() {
    let guarded = Guarded::start_with_policy().await;
    guarded.admin.api().set(named("other", r#"{"b":1}"#)).await.expect("set");
    guarded.set_policy(&policy_for("app")).await.expect("good");
    let some = guarded.bearer("some").await;
    let target = WatchTarget { namespace: "test".into(), config: "*".into(), ..Default::default() };
    let watch = |target: WatchTarget| WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = some.api().watch(watch(target.clone())).await.expect("it opens").into_inner();
    assert_eq!(states(&mut stream).await, are(&[("app", State::Present)]));

    let began = Instant::now();
    guarded.set_policy(&policy_for("*")).await.expect("good");
    assert_eq!(states(&mut stream).await, are(&[("other", State::Present)]), "gained without a change of it");
    println!("a config was gained {:?} after the call that allowed it began", began.elapsed());
    guarded.set_policy(&policy_for("app")).await.expect("good");
    assert_eq!(states(&mut stream).await, are(&[("other", State::Absent)]), "lost as if it were deleted");
    // What is not seen is not told of; what is, is.
    guarded.admin.api().set(named("other", r#"{"b":2}"#)).await.expect("set");
    guarded.admin.api().set(named("app", r#"{"a":2}"#)).await.expect("set");
    assert_eq!(states(&mut stream).await, are(&[("app", State::Present)]));
    // In one message, where it is one commit of the policy.
    guarded.set_policy(&policy_for("other")).await.expect("good");
    assert_eq!(
        states(&mut stream).await,
        are(&[("app", State::Absent), ("other", State::Present)]),
        "one lost, one gained"
    );
    // With nothing left of the namespace there is nothing to go on with.
    guarded.set_policy(POLICY).await.expect("good");
    refused(Err::<(), _>(ending(stream).await), Code::PermissionDenied, "PERMISSION_DENIED");

    guarded.set_policy(&policy_for("app")).await.expect("good");
    let digest = |config: &str| {
        let request = GetRequest { config: config.into(), ..get("/") };
        let mut api = guarded.admin.api();
        async move { api.get(request).await.expect("there").into_inner().document.expect("one").digest }
    };
    let held = [("app".into(), digest("app").await), ("other".into(), digest("other").await)];
    let resumed = WatchTarget { held: held.into(), ..target };
    let mut stream = some.api().watch(watch(resumed)).await.expect("it opens").into_inner();
    assert_eq!(states(&mut stream).await, are(&[("app", State::Current), ("other", State::Absent)]));
}

#[tokio::test]
async fn a_policy_that_locks_everybody_out_is_refused_whatever_makes_it() {
    let guarded = Guarded::start_with_policy().await;
    let nobody = |policy: &str| {
        policy.replace("user:admin\"], \"role\": \"admin\"", "user:admin\"], \"role\": \"editor\"")
    };
    for policy in [&nobody(POLICY), r#"{"bindings": []}"#, "{}"] {
        let status = refused(guarded.set_policy(policy).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        assert!(findings(&status).iter().any(|finding| finding.code == "ACCESS"), "{status:?}");
    }
    for scope in [None, Some("/".to_owned())] {
        let delete = DeleteRequest {
            namespace: "confwatch".into(),
            config: "policy".into(),
            scope,
            ..Default::default()
        };
        let status =
            refused(guarded.admin.api().delete(delete).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        assert!(findings(&status)[0].message.contains("no policy"), "{status:?}");
    }
    guarded.admin.api().rollback(policy_to(1)).await.expect("that one leaves an administrator");
}

#[tokio::test]
async fn a_revoked_token_is_not_good_again_by_any_write() {
    let guarded = Guarded::start_with_policy().await;
    let (token, id) = guarded.token("read").await;
    let stored = get_stored_tokens(&guarded).await;
    let version = stored.version;
    let revoke = RevokeTokenRequest { id: id.clone(), reason: "stolen".into() };
    guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    let rollback = RollbackRequest {
        namespace: "confwatch".into(),
        config: "tokens".into(),
        to: Some(rollback_request::To::Version(version)),
        ..Default::default()
    };
    let status =
        refused(guarded.admin.api().rollback(rollback).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(findings(&status)[0].message.contains("stays revoked"), "{status:?}");
    let text = |content: String| Text { content, format: Format::Json.into() };
    let unrevoked = text(format!(r#"{{"tokens": {{"{id}": {{"revoked": null}}}}}}"#));
    let removed = text(format!(r#"{{"tokens": {{"{id}": null}}}}"#));
    for action in [
        change::Action::Replace(text(stored.content)),
        change::Action::MergePatch(unrevoked),
        change::Action::MergePatch(removed),
    ] {
        let written = guarded.admin.api().set(set(reserved("tokens", action))).await;
        refused(written, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
    let delete =
        DeleteRequest { namespace: "confwatch".into(), config: "tokens".into(), ..Default::default() };
    refused(guarded.admin.api().delete(delete).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let dead = client(&guarded.server, Some(&token)).access().who_am_i(WhoAmIRequest {}).await;
    refused(dead, Code::Unauthenticated, "CREDENTIAL_REVOKED");
}

async fn get_stored_tokens(guarded: &Guarded) -> Document {
    let tokens = GetRequest { namespace: "confwatch".into(), config: "tokens".into(), ..Default::default() };
    guarded.admin.api().get(tokens).await.expect("stored").into_inner().document.expect("a document")
}

#[tokio::test]
async fn who_lost_every_credential_gets_back_in_by_a_start_without_authentication() {
    let guarded = Guarded::start_with_policy().await;
    let administrators = ListTokensRequest::default();
    for token in guarded.admin.access().list_tokens(administrators).await.expect("listed").into_inner().tokens
    {
        let revoke = RevokeTokenRequest { id: token.id, reason: "by mistake".into() };
        guarded.admin.access().revoke_token(revoke).await.expect("revoked");
    }
    let locked_out = guarded.admin.access().who_am_i(WhoAmIRequest {}).await;
    refused(locked_out, Code::Unauthenticated, "CREDENTIAL_REVOKED");
    let directory = guarded.server.stop().await;
    // Another start alone does not help: there is a policy.
    let off = |settings: &mut Settings| settings.auth = Some(AuthMode::Off);
    let server = TestServer::start_in(directory, off).await;
    let anybody = client(&server, None);
    let token =
        CreateTokenRequest { name: "back".into(), subject: "user:admin".into(), ..Default::default() };
    let token = anybody.access().create_token(token).await.expect("made").into_inner().token;
    // There, too, a policy that locks everybody out is none.
    let nobody = reserved("policy", change::Action::Replace(json("{}")));
    refused(anybody.api().set(set(nobody)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let directory = server.stop().await;
    let on = |settings: &mut Settings| settings.auth = Some(AuthMode::On);
    let server = TestServer::start_in(directory, on).await;
    refused(client(&server, None).api().get(get("/")).await, Code::Unauthenticated, "NO_CREDENTIAL");
    client(&server, Some(&token)).api().get(get("/")).await.expect("the administrator is back");
}
