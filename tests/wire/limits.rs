//! How much one may do: how often an address and an actor may call, and what those are told who go over a limit.

use std::time::Duration;

use confwatch::api::guard::rates::{Rate, RateLimits};
use confwatch::client::watch::{WatchOptions, WatchState};
use confwatch::client::{Client as TokenClient, ConnectOptions, Token};
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use confwatch::server::settings::AuthMode;
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::openmetrics::Scrape;
use super::support::*;

async fn serve(change: impl FnOnce(&mut Settings)) -> TestServer {
    let change = |settings: &mut Settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
        change(settings);
    };
    TestServer::start_in(TempDir::new().expect("a directory"), change).await
}

fn rate(text: &str) -> Option<Rate> {
    Rate::parse(text).expect("a rate")
}

fn bearer(server: &TestServer, token: &str) -> TokenClient {
    TokenClient::connect(ConnectOptions {
        address: format!("http://{}", server.running.address()),
        token: Some(token.parse::<Token>().expect("a token")),
        ..ConnectOptions::default()
    })
    .expect("an address")
}

fn admin(server: &TestServer) -> TokenClient {
    let path = server.directory.path().join("data.keys/admin.token");
    bearer(server, std::fs::read_to_string(path).expect("the first start makes a token").trim())
}

async fn scrape(server: &TestServer) -> Scrape {
    let url = format!("http://{}/metrics", server.running.metrics_address().expect("metrics are served"));
    let body = reqwest::get(url).await.expect("an answer").text().await.expect("text");
    Scrape::read(&body)
}

async fn limited(server: &TestServer, limit: &str) -> f64 {
    scrape(server).await.value("confwatch_rate_limited_total", &[("limit", limit)]).expect("it is counted")
}

/// Calls until a limit is reached, and how often that went well.
async fn until_refused<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> (usize, Status) {
    for made in 0..100 {
        match call().await {
            Err(status) if status.code() == Code::ResourceExhausted => return (made, status),
            Ok(_) | Err(_) => {}
        }
    }
    panic!("no limit was reached");
}

/// The call came too often, and the client is told when there is room.
#[track_caller]
fn told_to_wait(status: &Status, limit: &str, at_most: Duration) {
    let (code, reason, metadata) = told(status);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(metadata["limit"], limit, "{status:?}");
    assert!(metadata.contains_key("per_second") && metadata.contains_key("burst"));
    let delay = status.get_details_retry_info().expect("RetryInfo").retry_delay.expect("a delay");
    assert!(delay > Duration::ZERO && delay <= at_most, "{delay:?}");
}

#[tokio::test]
async fn an_address_may_not_call_more_often_than_its_limit_but_health_answers() {
    let server = serve(|settings| {
        settings.rates = RateLimits { calls_per_address: rate("1:5"), ..RateLimits::UNLIMITED };
    })
    .await;
    let mut client = server.client().await;
    let (made, status) = until_refused(async || client.get(get("/")).await).await;
    assert!(made >= 5, "only {made} calls were let in");
    told_to_wait(&status, "calls_per_address", Duration::from_millis(1500));
    let another = server.client().await.get(get("/")).await.expect_err("the same address");
    told_to_wait(&another, "calls_per_address", Duration::from_millis(1500));
    assert!(limited(&server, "calls_per_address").await >= 2.0);

    let channel = server.channel().await;
    let mut health = HealthClient::new(channel);
    for _ in 0..20 {
        health.check(HealthCheckRequest::default()).await.expect("health is not limited");
    }
}

#[tokio::test]
async fn messages_on_a_stream_are_no_calls() {
    let server = serve(|settings| {
        settings.rates = RateLimits { calls_per_address: rate("1:12"), ..RateLimits::UNLIMITED };
    })
    .await;
    let mut client = server.client().await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.watch(watch).await.expect("a stream").into_inner();
    for n in 0..10 {
        put(&mut client, "/", &format!(r#"{{"n":{n}}}"#)).await;
        loop {
            let message = stream.message().await.expect("a message").expect("the stream goes on");
            if format!("{message:?}").contains(&format!(r#"{{\"n\":{n}}}"#)) {
                break;
            }
        }
    }
    put(&mut client, "/", r#"{"n":10}"#).await;
}

#[tokio::test]
async fn an_actor_has_one_limit_for_all_its_tokens_and_others_have_their_own() {
    let server = serve(|settings| {
        settings.auth = Some(AuthMode::On);
        settings.rates = RateLimits { calls_per_actor: rate("1:8"), ..RateLimits::UNLIMITED };
    })
    .await;
    let admin = admin(&server);
    let token = async |subject: &str| {
        let request =
            CreateTokenRequest { name: "one of many".into(), subject: subject.into(), ..Default::default() };
        let made = admin.access().create_token(request).await.expect("made").into_inner();
        bearer(&server, &made.token)
    };
    let (first, second) = (token("token:a").await, token("token:a").await);
    let (made, status) = until_refused(async || first.api().list(ListRequest::default()).await).await;
    assert!(made >= 8, "only {made} calls were let in");
    told_to_wait(&status, "calls_per_actor", Duration::from_millis(1500));
    let status = second.api().list(ListRequest::default()).await.expect_err("the same actor");
    told_to_wait(&status, "calls_per_actor", Duration::from_millis(1500));
    token("token:b").await.api().list(ListRequest::default()).await.expect("another actor");
    assert!(limited(&server, "calls_per_actor").await >= 2.0);
}

#[tokio::test]
async fn too_many_refused_credentials_of_an_address_are_told_so_and_good_ones_are_let_in() {
    let server = serve(|settings| {
        settings.auth = Some(AuthMode::On);
        settings.rates = RateLimits { refusals_per_address: rate("1:3"), ..RateLimits::UNLIMITED };
    })
    .await;
    let mut stranger = server.client().await;
    let status = stranger.get(get("/")).await.expect_err("no credential");
    assert_eq!(status.code(), Code::Unauthenticated);
    let (made, status) = until_refused(async || stranger.get(get("/")).await).await;
    assert!(made >= 2, "only {made} were told what is wrong");
    told_to_wait(&status, "refusals_per_address", Duration::from_millis(1500));
    admin(&server).api().list(ListRequest::default()).await.expect("those who are known are let in");
    assert!(limited(&server, "refusals_per_address").await >= 1.0);
}

#[tokio::test]
async fn a_watch_of_the_client_comes_back_when_the_server_says_that_there_is_room() {
    let server = serve(|settings| {
        settings.rates = RateLimits { calls_per_address: rate("20:1"), ..RateLimits::UNLIMITED };
    })
    .await;
    let client = TokenClient::connect(ConnectOptions {
        address: format!("http://{}", server.running.address()),
        token: server.bearer.token(),
        ..ConnectOptions::default()
    })
    .expect("an address");
    let mut other = server.client().await;
    until_refused(async || other.get(get("/")).await).await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watcher = client.watch(WatchOptions::new(vec![target]));
    let mut states = watcher.state_changes();
    states.wait_for(|state| *state == WatchState::Ready).await.expect("it goes on trying");
    watcher.close().await;
}

fn of_server(config: &str, content: &str) -> SetRequest {
    let change = Change {
        namespace: "confwatch".into(),
        config: config.into(),
        ..change("/", change::Action::Replace(json(content)))
    };
    set(change)
}

fn named(config: &str, content: &str) -> Change {
    Change { config: config.into(), ..replace("/", content) }
}

/// The write or watch was refused by a quota of the namespace `test`.
#[track_caller]
fn over_quota<T: std::fmt::Debug>(
    result: Result<T, Status>,
    quota: &str,
    would_be: &str,
    limit: &str,
) -> Status {
    let status = refused(result, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    let (_, _, metadata) = told(&status);
    let found = ["namespace", "quota", "would_be", "limit"].map(|name| metadata[name].as_str());
    assert_eq!(found, ["test", quota, would_be, limit]);
    status
}

#[tokio::test]
async fn a_namespace_may_have_what_its_quotas_say_and_get_smaller_when_they_are_lowered() {
    let server = serve(|settings| settings.quotas.configs = Some(3)).await;
    let mut client = server.client().await;
    for config in ["a", "b", "c"] {
        client.set(set(named(config, r#"{"n":1}"#))).await.expect("within the quota");
    }
    over_quota(client.set(set(named("d", "{}"))).await, "configs", "4", "3");
    let try_it = SetRequest {
        options: Some(WriteOptions { validate_only: true, ..Default::default() }),
        ..set(named("d", "{}"))
    };
    over_quota(client.set(try_it).await, "configs", "4", "3");
    let elsewhere = Change { namespace: "other".into(), ..named("d", "{}") };
    client.set(set(elsewhere)).await.expect("another namespace has its own");

    // An administrator says otherwise, of this namespace alone; each has 7 bytes.
    let quotas = r#"{"namespaces": {"test": {"configs": 2, "bytes": 21}}}"#;
    client.set(of_server("quotas", quotas)).await.expect("quotas");
    over_quota(client.set(set(named("d", "{}"))).await, "configs", "4", "2");
    over_quota(client.set(set(named("a", r#"{"n":22}"#))).await, "bytes", "22", "21");
    client.set(set(named("a", r#"{"n":2}"#))).await.expect("it does not grow");
    client.set(set(named("a", "{}"))).await.expect("it gets smaller");
    let back = RollbackRequest { config: "a".into(), ..rollback(rollback_request::To::Version(1)) };
    client.rollback(back).await.expect("within the bytes, though there are too many configs");
    for config in ["a", "b"] {
        client
            .delete(DeleteRequest { config: config.into(), ..delete(None) })
            .await
            .expect("it gets smaller");
    }
    client.set(set(named("d", "{}"))).await.expect("there is room again");

    let told = scrape(&server).await;
    let labels = [("namespace", "test")];
    assert_eq!(told.value("confwatch_namespace_configs", &labels), Some(2.0));
    assert_eq!(told.value("confwatch_namespace_content_bytes", &labels), Some(9.0));
    assert_eq!(told.value("confwatch_namespace_configs", &[("namespace", "other")]), None);
    assert_eq!(told.value("confwatch_quota_exceeded_total", &[("quota", "configs")]), Some(3.0));
    assert_eq!(told.value("confwatch_quota_exceeded_total", &[("quota", "bytes")]), Some(1.0));

    // They hold after a restart, and the configs are counted again.
    let server = TestServer::start_in(server.stop().await, |_| {}).await;
    let mut client = server.client().await;
    over_quota(client.set(set(named("e", "{}"))).await, "configs", "3", "2");
    let gone = Change {
        config: "quotas".into(),
        namespace: "confwatch".into(),
        ..change("/", change::Action::Delete(()))
    };
    client.set(set(gone)).await.expect("deleted");
    client.set(set(named("e", "{}"))).await.expect("the settings hold again");
}

#[tokio::test]
async fn quotas_that_cannot_be_read_are_refused_and_those_of_the_server_itself_have_none() {
    let server = serve(|settings| settings.quotas.configs = Some(1)).await;
    let mut client = server.client().await;
    for wrong in
        [r#"{"namespaces": {"test": {"config": 1}}}"#, r#"{"default": {"bytes": "many"}}"#, r#"{"test": {}}"#]
    {
        refused(client.set(of_server("quotas", wrong)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
    client.set(of_server("quotas", r#"{"default": {"configs": 1}}"#)).await.expect("quotas");
    client.set(of_server("something", "{}")).await.expect("the server's own namespace is not limited");
}

#[tokio::test]
async fn targets_that_are_watched_in_a_namespace_have_a_quota() {
    let server = serve(|settings| settings.quotas.watchers = Some(3)).await;
    let mut client = server.client().await;
    let target =
        |config: &str| WatchTarget { namespace: "test".into(), config: config.into(), ..Default::default() };
    let watch = |configs: &[&str]| WatchRequest {
        targets: configs.iter().map(|config| target(config)).collect(),
        ..Default::default()
    };
    let mut first = client.watch(watch(&["a", "*"])).await.expect("two").into_inner();
    first.message().await.expect("a message").expect("a snapshot");
    let status = over_quota(client.watch(watch(&["a", "b"])).await, "watchers", "4", "3");
    assert!(status.get_details_retry_info().is_some(), "others may go");
    let _third = client.watch(watch(&["c"])).await.expect("three").into_inner();
    over_quota(client.watch(watch(&["c"])).await, "watchers", "4", "3");
    drop(first);
    // The server hears of it when it does.
    loop {
        match client.watch(watch(&["a", "b"])).await {
            Ok(_) => break,
            Err(status) => over_quota(Err::<(), _>(status), "watchers", "4", "3"),
        };
    }
    assert!(
        scrape(&server).await.value("confwatch_quota_exceeded_total", &[("quota", "watchers")]) >= Some(2.0)
    );
}

#[tokio::test]
async fn quotas_are_for_administrators_alone_to_set() {
    let server = serve(|settings| settings.auth = Some(AuthMode::On)).await;
    let admin = admin(&server);
    let policy = r#"{"bindings": [
        {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
        {"subjects": ["token:tenant"], "role": "editor", "namespace": "*", "config": "*", "scope": "/"}]}"#;
    admin.api().set(of_server("policy", policy)).await.expect("the policy is good");
    let request = CreateTokenRequest { name: "tenant".into(), ..Default::default() };
    let made = admin.access().create_token(request).await.expect("made").into_inner();
    let tenant = bearer(&server, &made.token);
    tenant.api().set(set(replace("/", "{}"))).await.expect("it may write elsewhere");
    let quotas = of_server("quotas", r#"{"default": {"configs": 0}}"#);
    refused(tenant.api().set(quotas.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    admin.api().set(quotas).await.expect("an administrator may");
}

#[tokio::test]
async fn requests_may_be_as_large_as_the_settings_say_and_are_counted_beyond() {
    let server = serve(|settings| {
        settings.limits.request_bytes_max = 10_000;
        settings.header_bytes_max = 1000;
    })
    .await;
    let mut client = server.client().await;
    let text = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
    put(&mut client, "/", &text(9_000)).await;
    let large = client.set(set(replace("/", &text(11_000)))).await;
    refused(large, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");

    let with_metadata = |bytes: usize| {
        let mut request = tonic::Request::new(get("/"));
        request.metadata_mut().insert("x-long", "y".repeat(bytes).parse().expect("ASCII"));
        request
    };
    client.get(with_metadata(500)).await.expect("little enough");
    let status = refused(client.get(with_metadata(1200)).await, Code::ResourceExhausted, "HEADERS_TOO_LARGE");
    assert_eq!(told(&status).2["limit"], "1000");
    client.get(with_metadata(3000)).await.expect_err("HTTP/2 itself refuses it");
    content(&mut client, get("/")).await;

    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_requests_too_large_total", &[("of", "message")]), Some(1.0));
    assert_eq!(told.value("confwatch_requests_too_large_total", &[("of", "headers")]), Some(1.0));
}

#[tokio::test]
async fn a_call_beyond_the_streams_of_its_connection_waits_until_one_ends() {
    let server = serve(|settings| settings.streams_per_connection_max = Some(1)).await;
    let mut client = server.client().await;
    // The client learns the limit with the first answer.
    client.list(ListRequest::default()).await.expect("a list");
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = client.watch(watch).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");
    let mut other = client.clone();
    let mut waiting = std::pin::pin!(other.list(ListRequest::default()));
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there is room for one only"),
        () = async { server.client().await.list(ListRequest::default()).await.map(|_| ()).expect("another connection") } => {}
    }
    drop(stream);
    waiting.await.expect("there is room now");
}

#[tokio::test]
async fn the_lag_of_the_slowest_watcher_grows_while_a_client_does_not_read_and_goes_when_it_does() {
    let server = serve(|_| {}).await;
    let mut client = server.client().await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.running.address()))
        .expect("an address");
    let channel = connect(endpoint.initial_stream_window_size(65_535), &server.bearer).await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = Client::new(channel).watch(watch).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");
    let lag = async || scrape(&server).await.value("confwatch_watch_lag_seconds", &[]).expect("it is told");
    assert_eq!(lag().await, 0.0);
    let mut written = 0;
    while lag().await == 0.0 {
        written += 1;
        assert!(written < 100, "all of it was taken");
        put(&mut client, "/", &format!(r#"{{"n":{written},"a":"{}"}}"#, "x".repeat(300_000))).await;
    }
    let before = lag().await;
    while lag().await <= before {}
    // It reads what was held back, and then the last.
    let last = format!(r#""n":{written}"#);
    loop {
        let message = stream.message().await.expect("a message").expect("the stream goes on");
        if let Some(watch_response::Event::Update(update)) = message.event
            && update
                .states
                .iter()
                .any(|state| state.document.as_ref().is_some_and(|document| document.content.contains(&last)))
        {
            break;
        }
    }
    while lag().await > 0.0 {}
}

/// What the journal keeps for the namespace `test`, once the history of before the start is counted.
async fn journal_bytes(server: &TestServer) -> u64 {
    let labels = [("namespace", "test")];
    scrape(server).await.value("confwatch_namespace_journal_bytes", &labels).expect("it has quotas") as u64
}

#[tokio::test]
async fn the_journal_of_a_namespace_has_a_quota_that_is_exact_after_a_restart_and_gets_less_by_compaction() {
    let server = serve(|_| {}).await;
    let mut client = server.client().await;
    let limit_to = |bytes: u64| {
        of_server("quotas", &format!(r#"{{"namespaces": {{"test": {{"journal_bytes": {bytes}}}}}}}"#))
    };
    client.set(limit_to(20_000)).await.expect("quotas");
    let content = |number: usize| format!(r#"{{"n":{number},"text":"{}"}}"#, "x".repeat(2000));
    let mut refusal = None;
    for number in 10..40 {
        if let Err(status) = client.set(set(named("a", &content(number)))).await {
            refusal = Some(status);
            break;
        }
    }
    let refusal = refusal.expect("20 000 bytes are no room for thirty times 2 000");
    let kept = journal_bytes(&server).await;
    let would_be = told(&refusal).2["would_be"].clone();
    over_quota(Err::<(), _>(refusal), "journal_bytes", &would_be, "20000");
    assert!((16_000..=20_000).contains(&kept), "{kept}");
    client.set(set(Change { namespace: "other".into(), ..named("a", &content(1)) })).await.expect("its own");

    let mut server = TestServer::start_in(server.stop().await, |settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
    })
    .await;
    while journal_bytes(&server).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(journal_bytes(&server).await, kept);
    let mut client = server.client().await;
    over_quota(client.set(set(named("a", &content(50)))).await, "journal_bytes", &would_be, "20000");
    let validated = SetRequest {
        options: Some(WriteOptions { validate_only: true, ..Default::default() }),
        ..set(named("a", &content(50)))
    };
    over_quota(client.set(validated).await, "journal_bytes", &would_be, "20000");
    client.delete(DeleteRequest { config: "a".into(), ..delete(None) }).await.expect("it only removes");
    let told = scrape(&server).await;
    assert_eq!(told.value("confwatch_quota_exceeded_total", &[("quota", "journal_bytes")]), Some(2.0));

    server = TestServer::start_in(server.stop().await, |settings| {
        settings.metrics_listen = Some("127.0.0.1:0".into());
        settings.retain_revisions = Some(2);
    })
    .await;
    let mut client = server.client().await;
    // Until it is counted, the journal of before the start is not known; then it is compacted.
    while !(1..5_000).contains(&journal_bytes(&server).await) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.set(set(named("a", &content(60)))).await.expect("there is room again");
}

#[tokio::test]
async fn a_namespace_that_rewrites_a_large_layer_again_and_again_is_slowed_down_and_no_other_is() {
    let server = serve(|settings| settings.quotas.journal_bytes_per_minute = Some(100_000)).await;
    let mut client = server.client().await;
    client.set(set(named("a", &format!(r#"{{"text":"{}"}}"#, "x".repeat(50_000))))).await.expect("set");
    // Thirty bytes each, of which each writes the whole layer into the journal.
    let mut number = 0;
    let (made, status) = until_refused(async || {
        number += 1;
        client.set(set(Change { config: "a".into(), ..assign("/", &[("n", &number.to_string())]) })).await
    })
    .await;
    assert_eq!(made, 6);
    let (_, reason, metadata) = told(&status);
    assert_eq!(reason, "QUOTA_EXCEEDED");
    let found = ["namespace", "quota", "limit", "burst"].map(|name| metadata[name].as_str());
    assert_eq!(found, ["test", "journal_bytes_per_minute", "100000", "400000"]);
    assert!(status.get_details_retry_info().is_some());
    client
        .set(set(Change { namespace: "other".into(), ..named("a", "{}") }))
        .await
        .expect("another has its own");
    let told = scrape(&server).await;
    let labels = [("quota", "journal_bytes_per_minute")];
    assert_eq!(told.value("confwatch_quota_exceeded_total", &labels), Some(1.0));
}

#[tokio::test]
async fn a_config_has_no_more_tags_than_the_settings_say() {
    let server = serve(|settings| settings.limits.tags_max = 2).await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/", r#"{"a":2}"#).await;
    client.set_tag(set_tag("one", 1)).await.expect("a tag");
    client.set_tag(set_tag("two", 1)).await.expect("a tag");
    let status = refused(client.set_tag(set_tag("three", 1)).await, Code::ResourceExhausted, "TOO_MANY_TAGS");
    assert_eq!(told(&status).2["limit"], "2");
    client.set_tag(set_tag("two", 2)).await.expect("it moves");
    // There may be more than the limit, from when it was higher.
    let server = TestServer::start_in(server.stop().await, |settings| settings.limits.tags_max = 1).await;
    let mut client = server.client().await;
    client.set_tag(set_tag("two", 1)).await.expect("it moves");
    refused(client.set_tag(set_tag("three", 1)).await, Code::ResourceExhausted, "TOO_MANY_TAGS");
    client.delete_tag(delete_tag("one")).await.expect("it becomes less");
}

#[tokio::test]
async fn an_actor_has_so_many_streams_and_others_have_their_own() {
    let server = serve(|settings| {
        settings.auth = Some(AuthMode::On);
        settings.limits.watchers_of_actor_max = 2;
    })
    .await;
    let admin = admin(&server);
    let reader = |subject: &str| {
        format!(
            r#"{{"subjects": ["{subject}"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"}}"#
        )
    };
    let administrator =
        r#"{"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"}"#;
    let policy =
        format!(r#"{{"bindings": [{administrator}, {}, {}]}}"#, reader("token:a"), reader("token:b"));
    let change = Change { namespace: "confwatch".into(), ..named("policy", &policy) };
    admin.set(change, Default::default()).await.expect("the policy is good");
    let token = async |subject: &str| {
        let request =
            CreateTokenRequest { name: "one of many".into(), subject: subject.into(), ..Default::default() };
        bearer(&server, &admin.access().create_token(request).await.expect("made").into_inner().token)
    };
    let target = WatchTarget { namespace: "test".into(), config: "a".into(), ..Default::default() };
    let watch = WatchRequest { targets: vec![target], ..Default::default() };
    let (first, second, other) = (token("token:a").await, token("token:a").await, token("token:b").await);
    let _open = first.api().watch(watch.clone()).await.expect("one").into_inner();
    let last = second.api().watch(watch.clone()).await.expect("two").into_inner();
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        let details = status.get_error_details();
        let info = details.error_info().expect("its reason");
        assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("TOO_MANY_WATCHERS", "2"));
    };
    refused(first.api().watch(watch.clone()).await.expect_err("the third of its actor"));
    let _others = other.api().watch(watch.clone()).await.expect("of another actor").into_inner();
    // Streams of changes are counted by themselves.
    let changes = StreamChangesRequest { namespace: "test".into(), ..Default::default() };
    let mut open = vec![];
    for _ in 0..2 {
        open.push(first.api().stream_changes(changes.clone()).await.expect("one of two").into_inner());
    }
    refused(first.api().stream_changes(changes).await.expect_err("the third of its actor"));
    assert!(scrape(&server).await.value("confwatch_actor_streams_refused_total", &[]) >= Some(2.0));
    drop(last);
    // The server hears of it when it does.
    while let Err(status) = first.api().watch(watch.clone()).await {
        refused(status);
    }
}

#[tokio::test]
async fn an_actor_follows_so_many_configs_by_all_their_watches() {
    let server = serve(|settings| {
        settings.auth = Some(AuthMode::On);
        settings.limits.watched_configs_of_actor_max = 5;
    })
    .await;
    let admin = admin(&server);
    let watch = |configs: &[&str]| {
        let targets = configs.iter().map(|config| WatchTarget {
            namespace: "test".into(),
            config: (*config).into(),
            ..Default::default()
        });
        WatchRequest { targets: targets.collect(), ..Default::default() }
    };
    let refused = |status: Status| {
        let details = status.get_error_details();
        let info = details.error_info().expect("its reason");
        assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("TOO_MANY_WATCHERS", "5"));
        assert!(details.retry_info().is_some(), "when to try again");
    };
    let first = admin.api().watch(watch(&["a", "b", "c"])).await.expect("three").into_inner();
    refused(admin.api().watch(watch(&["a", "b", "c"])).await.expect_err("six of five"));
    let mut all =
        admin.api().watch(watch(&["*"])).await.expect("an empty namespace counts as one").into_inner();
    let _one = admin.api().watch(watch(&["a"])).await.expect("five of five").into_inner();
    refused(admin.api().watch(watch(&["a"])).await.expect_err("six of five"));
    drop(first);
    // The server hears of it when it does.
    while let Err(status) = admin.api().watch(watch(&["a", "b", "c"])).await {
        refused(status);
    }
    assert!(scrape(&server).await.value("confwatch_actor_streams_refused_total", &[]) >= Some(2.0));
    // The namespace grows: up to twice as many configs are followed.
    let mut told = 0;
    let ended = loop {
        let change = named(&format!("c{told}"), "{}");
        admin.set(change, Default::default()).await.expect("a config");
        told += 1;
        let mut message = all.message().await;
        // The snapshot of the empty namespace comes first.
        while let Ok(Some(WatchResponse { event: Some(watch_response::Event::Snapshot(_)), .. })) = &message {
            message = all.message().await;
        }
        if let Err(status) = message {
            break status;
        }
        assert!(told < 20, "it is bounded");
    };
    refused(ended);
    assert!(told > 5, "it goes on beyond the limit of new watches");
}

#[tokio::test]
async fn labels_of_watches_count_for_the_memory_of_their_actor() {
    let server = serve(|settings| {
        settings.auth = Some(AuthMode::On);
        settings.limits.watched_configs_of_actor_max = 10;
    })
    .await;
    let admin = admin(&server);
    let watch = |labels: usize| {
        let target = WatchTarget { namespace: "test".into(), config: "a".into(), ..Default::default() };
        let label = |number: usize| (format!("label{number:02}"), "x".repeat(249));
        let labels = (0..labels).map(label).collect();
        WatchRequest { targets: vec![target], labels, ..Default::default() }
    };
    // 8 KiB of labels and a config are 9.
    let _first = admin.api().watch(watch(32)).await.expect("nine of ten").into_inner();
    let refused = admin.api().watch(watch(4)).await.expect_err("eleven of ten");
    let details = refused.get_error_details();
    let info = details.error_info().expect("its reason");
    assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("TOO_MANY_WATCHERS", "10"));
    let _second =
        admin.api().watch(watch(3)).await.expect("labels of less than 1 KiB count nothing").into_inner();
}

#[tokio::test]
async fn an_actor_has_so_many_streams_of_the_audit_trail() {
    let server = serve(|settings| settings.auth = Some(AuthMode::On)).await;
    let admin = admin(&server);
    let open = async || admin.audit().stream(AuditServiceStreamRequest::default()).await;
    let mut streams = vec![];
    for _ in 0..10 {
        streams.push(open().await.expect("one of ten").into_inner());
    }
    let refused = open().await.expect_err("the eleventh of its actor");
    let details = refused.get_error_details();
    let info = details.error_info().expect("its reason");
    assert_eq!((info.reason.as_str(), info.metadata["limit"].as_str()), ("TOO_MANY_WATCHERS", "10"));
    assert!(details.retry_info().is_some(), "when to try again");
    drop(streams.pop());
    // The server hears of it when it does.
    while open().await.is_err() {}
}
