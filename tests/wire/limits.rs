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
    let path = server.directory.path().join("data/admin.token");
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

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.running.address()));
    let channel = channel.expect("an address").connect().await.expect("the server listens");
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
