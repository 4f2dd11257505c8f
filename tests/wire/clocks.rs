//! Clocks that are set while the server runs: what lasts a minute lasts a minute, and no credential is used for longer than it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use confwatch::model::Timestamp;
use confwatch::proto::v1::*;
use confwatch::server::Server;
use confwatch::server::clock::Clocks;
use confwatch::server::settings::AuthMode;
use tempfile::TempDir;
use tonic::Code;

use super::auth::{Guarded, admin_token, client};
use super::login::{ends_with, log_in, watching, whoami};
use super::support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// The time of day of a server, which a test sets.
#[derive(Clone, Default)]
struct TimeOfDay(Arc<AtomicI64>);

impl TimeOfDay {
    fn set_forward(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::Relaxed);
    }

    fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_micros() as i64, Ordering::Relaxed);
    }

    fn clocks(&self) -> Clocks {
        let (set, begun) = (self.0.clone(), Instant::now());
        let wall = move || {
            let now = Timestamp::from_system(SystemTime::now());
            Timestamp(now.0 + set.load(Ordering::Relaxed))
        };
        Clocks::over(wall, move || begun.elapsed())
    }

    async fn server(&self, auth: AuthMode) -> TestServer {
        let directory = TempDir::new().expect("a directory");
        let settings = confwatch::server::Settings { auth: Some(auth), ..settings(directory.path()) };
        let started = Server::start_by(self.clocks(), settings, Arc::new(|_| {})).await;
        TestServer { running: started.expect("the server starts"), directory, bearer: Bearer::default() }
    }
}

async fn put_override(client: &mut Client, scope: &str, seconds: i64) -> u64 {
    let ttl = Some(prost_types::Duration { seconds, nanos: 0 });
    let change = Change { kind: LayerKind::Override.into(), ttl, ..replace(scope, r#"{"o":1}"#) };
    client.set(set(change)).await.expect("set").into_inner().store_revision
}

async fn has_override(client: &mut Client, scope: &str) -> bool {
    content(client, get(scope)).await.contains("\"o\"")
}

#[tokio::test]
async fn overrides_last_as_long_as_they_were_set_for_however_the_clock_is_set() {
    for forward in [true, false] {
        let time = TimeOfDay::default();
        let server = time.server(AuthMode::Off).await;
        let mut client = server.client().await;
        put(&mut client, "/", r#"{"a":1}"#).await;
        put_override(&mut client, "/long", 1800).await;
        let revision = put_override(&mut client, "/short", 2).await;
        match forward {
            true => time.set_forward(HOUR),
            false => time.set_back(HOUR),
        }
        // The one of two seconds ends, and it alone.
        let ended = GetRequest { min_revision: revision + 1, ..get("/short") };
        assert!(!content(&mut client, ended).await.contains("\"o\""));
        assert!(has_override(&mut client, "/long").await, "forward: {forward}");
        put(&mut client, "/", r#"{"a":2}"#).await;
        let committed = history(&mut client).await[0].commit.clone().expect("a commit").time.expect("a time");
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        assert!((committed.seconds - now).abs() < 1000, "commits keep no time of the future: {committed:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_token_has_expired_by_a_clock_that_jumped() {
    let time = TimeOfDay::default();
    let server = time.server(AuthMode::On).await;
    let admin = client(&server, Some(&super::auth::admin_token(&server.directory)));
    let guarded = Guarded { server, admin }.with_policy().await;
    let expire_time = Some(prost_types::Timestamp::from(SystemTime::now() + HOUR));
    let request = CreateTokenRequest { name: "read".into(), expire_time, ..Default::default() };
    let token = guarded.admin.access().create_token(request).await.expect("made").into_inner().token;
    let reader = client(&guarded.server, Some(&token));
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = reader.api().watch(request).await.expect("a stream").into_inner();
    stream.message().await.expect("a message").expect("a snapshot");
    time.set_forward(2 * HOUR);
    refused(reader.api().get(get("/")).await, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    let ended = loop {
        if let Err(status) = stream.message().await {
            break status;
        }
    };
    assert_eq!((ended.code(), told(&ended).1.as_str()), (Code::Unauthenticated, "CREDENTIAL_EXPIRED"));
}

#[tokio::test]
async fn commits_later_than_the_system_clock_are_a_problem_of_the_status() {
    let time = TimeOfDay::default();
    let server = time.server(AuthMode::Off).await;
    let library = client(&server, None);
    let problems = async || {
        let status = library.status().get(StatusServiceGetRequest {}).await.expect("a status").into_inner();
        status.server.expect("figures").problems
    };
    put(&mut server.client().await, "/", "{}").await;
    assert_eq!(problems().await, []);
    time.set_back(HOUR);
    let found = problems().await;
    let is_it = |problem: &ServerProblem| {
        problem.reason == "CLOCK_OFF" && problem.message.starts_with("the newest commit is 3")
    };
    assert!(found.iter().any(is_it), "{found:?}");
}

#[tokio::test]
async fn a_session_ends_when_its_time_has_passed_and_its_stream_with_it() {
    let time = TimeOfDay::default();
    let server = time.server(AuthMode::On).await;
    let token = admin_token(&server.directory);
    let admin = client(&server, Some(&token));
    admin.api().set(set(replace("/", "{}"))).await.expect("set");
    let (used, idle) = (log_in(&server, &token).await, log_in(&server, &token).await);
    let streams = [watching(&server, &used).await, watching(&server, &idle).await];
    time.set_forward(HOUR * 11);
    whoami(&server, &used).await.ok();
    time.set_forward(HOUR * 2);
    let [of_used, of_idle] = streams;
    ends_with(of_idle, "CREDENTIAL_EXPIRED").await;
    whoami(&server, &idle).await.problem(401, "CREDENTIAL_EXPIRED");
    whoami(&server, &used).await.ok();
    time.set_forward(HOUR * 11);
    ends_with(of_used, "CREDENTIAL_EXPIRED").await;
    whoami(&server, &used).await.problem(401, "CREDENTIAL_EXPIRED");
}
