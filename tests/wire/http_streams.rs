//! Streams over HTTP: server-sent events and lines of JSON, by HTTP/1.1 and HTTP/2.

use std::collections::BTreeSet;

use confwatch::proto::v1::*;
use serde_json::{Value, json};

use super::auth::Guarded;
use super::events::*;
use super::support::{put, replace, set};
use super::watching::*;

const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
const PROBLEM: &str = "application/problem+json";
/// No progress by itself.
const QUIET: &str = "progress_interval=3600s";

fn watch_of(targets: &[&str]) -> String {
    let targets: String = targets.iter().map(|target| format!("target={target}&")).collect();
    format!("/v1/watch?{targets}{QUIET}")
}

/// The reason of a problem, which has all that RFC 9457 asks for.
#[track_caller]
fn reason(problem: &Value, status: u16) -> &str {
    assert_eq!(problem["status"], status, "{problem}");
    let has = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(has("type") && has("title") && has("detail") && has("code"), "{problem}");
    problem["reason"].as_str().expect("a reason")
}

#[tokio::test]
async fn a_watch_is_a_snapshot_and_then_what_changes() {
    let server = quick_server().await;
    let client = server.client().await;
    let mut retries = BTreeSet::new();
    for (protocol, value) in PROTOCOLS.into_iter().zip([1, 3]) {
        apply(&client, [put_in("app", "/", &format!(r#"{{"a":{value}}}"#))]).await;
        let path = watch_of(&["test/app@/p", "test/none"]);
        let mut stream = get(&server, protocol, &path).open().await.is(200, EVENTS);
        assert_eq!(stream.headers["x-accel-buffering"], "no");
        assert_eq!(stream.headers["cache-control"], "no-store");
        assert_eq!(stream.headers["confwatch-epoch"].len(), 16);

        let first = stream.event().await.expect("a snapshot");
        assert_eq!(first.name, "snapshot");
        let states = [("app", "/p", "STATE_PRESENT"), ("none", "/", "STATE_ABSENT")];
        assert_eq!(first.states(), states);
        assert_eq!(first.content(), format!(r#"{{"a":{value}}}"#));
        assert_eq!(first.data["snapshot"]["is_reset"], false);
        assert!(!first.data["watch_id"].as_str().expect("an id").is_empty());
        retries.insert(first.retry.parse::<u64>().expect("milliseconds"));

        apply(&client, [put_in("app", "/", &format!(r#"{{"a":{}}}"#, value + 1))]).await;
        let next = stream.event().await.expect("an update");
        assert_eq!((next.name.as_str(), next.retry.as_str()), ("update", ""));
        assert_eq!(next.content(), format!(r#"{{"a":{}}}"#, value + 1));
        assert!(next.data["resume_token"].as_str().is_some_and(|token| next.id.starts_with(token)));
    }
    assert!(retries.iter().all(|retry| (500..=2500).contains(retry)), "{retries:?}");
    // The request is the same as by gRPC: whoever watches is listed with what is said of the client.
    let path = format!("{}&client_id=browser&label=tab=1&view=VIEW_BASE", watch_of(&["test/app"]));
    let mut stream = get(&server, Protocol::Http2, &path).with("user-agent", "a browser").open().await;
    assert_eq!(
        stream.event().await.expect("a snapshot").data["snapshot"]["states"][0]["target"]["view"],
        "VIEW_BASE"
    );
    let body = json!({"client_id": "browser"});
    let listed = post(&server, Protocol::Http1, "/v1/namespaces/test/clients:list", body).open().await;
    let listed = listed.is(200, "application/json").json().await;
    assert_eq!(listed["clients"][0]["labels"], json!({"tab": "1"}), "{listed}");
}

#[tokio::test]
async fn who_comes_back_with_the_last_id_is_resent_nothing() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#), put_in("b", "/", "{}"), put_in("c", "/", "{}")]).await;
    let path = watch_of(&["test/a@/p", "test/none", "test/*@/q"]);
    for protocol in PROTOCOLS {
        let mut stream = get(&server, protocol, &path).open().await.is(200, EVENTS);
        let first = stream.event().await.expect("a snapshot");
        drop(stream);
        // One of them changes, and one goes.
        apply(&client, [put_in("b", "/", &format!(r#"{{"by":"{protocol:?}"}}"#)), remove("c", "/")]).await;

        let mut stream = get(&server, protocol, &path).with("last-event-id", &first.id).open().await;
        let again = stream.event().await.expect("a snapshot");
        let expected = [
            ("a", "/p", "STATE_CURRENT"),
            ("none", "/", "STATE_ABSENT"),
            ("a", "/q", "STATE_CURRENT"),
            ("b", "/q", "STATE_PRESENT"),
            ("c", "/q", "STATE_ABSENT"),
        ];
        assert_eq!((again.states(), &again.data["snapshot"]["is_reset"]), (expected.to_vec(), &json!(false)));
        let documents = again.data["snapshot"]["states"].as_array().expect("states");
        assert_eq!(documents.iter().filter(|state| !state["document"].is_null()).count(), 1);

        // What a client holds that came back is what it held before, with what changed.
        drop(stream);
        let mut stream = get(&server, protocol, &path).with("last-event-id", &again.id).open().await;
        let states = stream.event().await.expect("a snapshot");
        assert!(states.states().iter().all(|(_, _, state)| *state != "STATE_PRESENT"), "{states:?}");
        apply(&client, [put_in("c", "/", "{}")]).await;
    }
}

#[tokio::test]
async fn who_comes_back_to_another_history_is_told_everything() {
    let server = quick_server().await;
    apply(&server.client().await, [put_in("a", "/", "{}")]).await;
    let path = watch_of(&["test/a"]);
    let mut stream = get(&server, Protocol::Http1, &path).open().await;
    let id = stream.event().await.expect("a snapshot").id;

    let other = quick_server().await;
    apply(&other.client().await, [put_in("a", "/", "{}")]).await;
    for id in [id.as_str(), "garbage", "1.feed.1;0=AAAA;x", ";;"] {
        let mut stream = get(&other, Protocol::Http1, &path).with("last-event-id", id).open().await;
        let told = stream.event().await.expect("a snapshot");
        let is_reset = id != ";;";
        assert_eq!(
            (told.states(), &told.data["snapshot"]["is_reset"]),
            (vec![("a", "/", "STATE_PRESENT")], &json!(is_reset)),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_watch_is_lines_of_json_for_who_wants_them() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#)]).await;
    for protocol in PROTOCOLS {
        let mut stream = get(&server, protocol, &watch_of(&["test/a"])).with("accept", LINES).open().await;
        let first = stream.line().await.expect("a snapshot");
        let state = &first["snapshot"]["states"][0];
        assert_eq!(state["state"], "STATE_PRESENT");

        // The same as a POST, with what the client holds.
        let target =
            json!({"namespace": "test", "config": "a", "if_none_match": state["document"]["digest"]});
        let body =
            json!({"targets": [target], "resume_token": first["resume_token"], "progressInterval": "0.1s"});
        for path in ["/v1/watch", "/confwatch.v1.ConfigService/Watch"] {
            let mut stream = post(&server, protocol, path, body.clone()).open().await.is(200, LINES);
            let again = stream.line().await.expect("a snapshot");
            assert_eq!(again["snapshot"]["states"][0]["state"], "STATE_CURRENT");
            assert_eq!(stream.line().await.expect("progress")["progress"], json!({}));
        }
        let mut stream =
            post(&server, protocol, "/v1/watch", body.clone()).with("accept", EVENTS).open().await;
        assert_eq!(stream.event().await.expect("a snapshot").name, "snapshot");
    }
}

#[tokio::test]
async fn commits_are_events_and_each_comes_once() {
    let server = quick_server().await;
    let client = server.client().await;
    let first = apply(&client, [put_in("a", "/", "{}")]).await;
    apply(&client, [put_in("b", "/", "{}")]).await;
    for protocol in PROTOCOLS {
        let path = format!("/v1/changes?namespace=test&from_revision={first}&{QUIET}");
        let mut stream = get(&server, protocol, &path).open().await.is(200, EVENTS);
        let event = stream.event().await.expect("a commit");
        assert_eq!((event.name.as_str(), &event.data["commit"]["revision"]), ("commit", &json!(first)));
        // A browser comes back with the same URL, which names the first revision.
        let mut stream = get(&server, protocol, &path).with("last-event-id", &event.id).open().await;
        let next = stream.event().await.expect("a commit");
        assert_eq!(next.data["commit"]["revision"], json!(first + 1));
        assert_eq!(next.data["commit"]["changes"][0]["config"], "b");

        let path = format!("{path}&config=b");
        let mut stream = get(&server, protocol, &path).with("accept", LINES).open().await.is(200, LINES);
        assert_eq!(stream.line().await.expect("a commit")["commit"]["revision"], json!(first + 1));
    }
    let ahead = get(&server, Protocol::Http1, "/v1/changes?from_revision=1000000").open().await;
    assert_eq!(reason(&ahead.is(400, PROBLEM).json().await, 400), "REVISION_IN_FUTURE");
}

#[tokio::test]
async fn every_stream_is_lines_of_json_by_its_own_path_and_by_its_route() {
    let server = quick_server().await;
    let mut client = server.client().await;
    let revision = put(&mut client, "/", "{}").await.store_revision;
    for protocol in PROTOCOLS {
        let body = json!({"revision": revision, "timeout": "10s"});
        for path in ["/v1/watches:waitConverged", "/confwatch.v1.FleetService/WaitConverged"] {
            let mut stream = post(&server, protocol, path, body.clone()).open().await.is(200, LINES);
            let last = stream.line().await.expect("a message");
            assert_eq!((&last["state"], &last["watchers"]), (&json!("CONVERGENCE_CONVERGED"), &json!(0)));
            assert_eq!(stream.line().await, None, "it ends");
        }
        let mut stream =
            post(&server, protocol, "/v1/backups:create", json!({"kind": "BACKUP_KIND_FULL"})).open().await;
        let (mut bytes, mut described) = (0, Value::Null);
        while let Some(line) = stream.line().await {
            bytes += line["chunk"].as_str().expect("base64").len();
            described = line["backup"].clone();
        }
        assert!(bytes > 0 && described["last_revision"].as_u64() >= Some(revision), "{described}");
    }
}

#[tokio::test]
async fn a_request_that_is_wrong_is_refused_before_there_is_a_stream() {
    let server = quick_server().await;
    let many: Vec<String> = (0..1001).map(|n| format!("test/c{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for protocol in PROTOCOLS {
        for (path, expected, field) in [
            ("/v1/watch".to_owned(), "INVALID_FIELD", "target"),
            (watch_of(&["test"]), "INVALID_FIELD", "target"),
            (watch_of(&["test/a", "test/a@/"]), "INVALID_FIELD", "targets[1]"),
            (watch_of(&["Test/a"]), "INVALID_NAME", "targets[0].namespace"),
            (watch_of(&["test/a@p"]), "INVALID_SCOPE", "targets[0].scope"),
            (watch_of(&["test/a&view=VIEW_NONE"]), "INVALID_FIELD", "view"),
            (watch_of(&["test/a&tarket=test/b"]), "INVALID_FIELD", "tarket"),
            (watch_of(&many), "INVALID_FIELD", "query"),
            ("/v1/changes?config=a".to_owned(), "INVALID_NAME", "namespace"),
            ("/v1/changes?from_revision=x".to_owned(), "INVALID_FIELD", "from_revision"),
        ] {
            let refused = get(&server, protocol, &path).open().await.is(400, PROBLEM).json().await;
            assert_eq!(reason(&refused, 400), expected, "{path}: {refused}");
            assert_eq!(refused["violations"][0]["field"], field, "{path}");
        }
        let refused = get(&server, protocol, &watch_of(&["test/a"])).with("accept", "text/html").open().await;
        assert_eq!(reason(&refused.is(406, PROBLEM).json().await, 406), "NOT_ACCEPTABLE");
        let body = json!({"targets": [{"namespace": "test", "config": "a", "scop": "/"}]});
        let refused = post(&server, protocol, "/v1/watch", body).open().await.is(400, PROBLEM).json().await;
        assert_eq!(reason(&refused, 400), "MALFORMED_REQUEST");
    }
}

#[tokio::test]
async fn a_stream_whose_token_is_revoked_ends_with_a_problem() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    for protocol in PROTOCOLS {
        let (token, id) = guarded.token("read").await;
        let paths = [watch_of(&["test/app"]), format!("/v1/changes?namespace=test&{QUIET}")];
        let mut watch = get(server, protocol, &paths[0]).bearing(&token).open().await.is(200, EVENTS);
        let mut commits = get(server, protocol, &paths[1]).bearing(&token).open().await.is(200, EVENTS);
        let lines = get(server, protocol, &paths[1]).bearing(&token).with("accept", LINES).open().await;
        let mut lines = lines.is(200, LINES);
        assert_eq!(watch.event().await.expect("a snapshot").name, "snapshot");
        guarded
            .admin
            .access()
            .revoke_token(RevokeTokenRequest { id, reason: "lost".into() })
            .await
            .expect("revoked");
        guarded.admin.api().set(set(replace("/", &format!(r#"{{"a":"{protocol:?}"}}"#)))).await.expect("set");
        for stream in [&mut watch, &mut commits] {
            let last = stream.news().await.expect("an error");
            assert_eq!(last.name, "error", "{last:?}");
            assert_eq!(reason(&last.data, 401), "CREDENTIAL_REVOKED");
            assert_eq!(stream.event().await, None, "it ends");
        }
        assert_eq!(reason(&lines.line().await.expect("an error")["error"], 401), "CREDENTIAL_REVOKED");
        assert_eq!(lines.line().await, None, "it ends");
        for path in &paths {
            let refused =
                get(server, protocol, path).bearing(&token).open().await.is(401, PROBLEM).json().await;
            assert_eq!(reason(&refused, 401), "CREDENTIAL_REVOKED");
        }
    }
    let refused = get(server, Protocol::Http2, &watch_of(&["other/app"]));
    let refused = refused.bearing(&guarded.token("read").await.0).open().await.is(403, PROBLEM).json().await;
    assert_eq!(reason(&refused, 403), "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_secret_is_shown_to_who_may_reveal_it_only() {
    let guarded = Guarded::start_with_policy().await;
    let secret = r#"{"password":{"$secret":"hunter2"}}"#;
    guarded.admin.api().set(set(replace("/", secret))).await.expect("set");
    let admin = super::auth::admin_token(&guarded.server.directory);
    let (reader, _) = guarded.token("read").await;
    let path = watch_of(&["test/app"]);
    let document = async |token: &str, mask: bool| {
        let mut asked = get(&guarded.server, Protocol::Http2, &path).bearing(token);
        if mask {
            asked = asked.with("confwatch-mask-secrets", "true");
        }
        let snapshot = asked.open().await.is(200, EVENTS).event().await.expect("a snapshot");
        snapshot.content().to_owned()
    };
    assert!(document(&admin, false).await.contains("hunter2"));
    for masked in [document(&admin, true).await, document(&reader, false).await] {
        assert!(masked.contains(r#""password":"***:"#) && !masked.contains("hunter2"), "{masked}");
    }
}

#[tokio::test]
async fn streams_of_a_server_that_stops_end_with_drain_and_when_to_come_back() {
    let server = quick_server().await;
    let path = watch_of(&["test/app"]);
    let mut streams = vec![];
    for protocol in PROTOCOLS {
        for path in [path.as_str(), "/v1/changes?progress_interval=3600s"] {
            streams.push(get(&server, protocol, path).open().await.is(200, EVENTS));
        }
    }
    let mut lines = get(&server, Protocol::Http1, &path).with("accept", LINES).open().await.is(200, LINES);
    let reading = tokio::spawn(async move {
        let mut retries = BTreeSet::new();
        for stream in &mut streams {
            let last = loop {
                let event = stream.event().await.expect("no end without an event that says why");
                if event.name == "drain" {
                    break event;
                }
            };
            assert_eq!(reason(&last.data, 503), "DRAINING");
            retries.insert(last.retry.parse::<u64>().expect("milliseconds"));
            assert_eq!(stream.event().await, None, "it ends");
        }
        lines.line().await.expect("a snapshot");
        assert_eq!(reason(&lines.line().await.expect("the end")["error"], 503), "DRAINING");
        retries
    });
    server.stop().await;
    let retries = reading.await.expect("they ended");
    assert!(retries.len() > 1 && retries.iter().all(|retry| (100..10_000).contains(retry)), "{retries:?}");
}

#[tokio::test]
async fn a_slow_reader_skips_states_and_never_the_last() {
    let server = quick_server().await;
    let mut writer = server.client().await;
    let path = watch_of(&["test/app"]);
    let mut stream = get(&server, Protocol::Http2, &path).with_window(64).open().await.is(200, EVENTS);
    let text = "x".repeat(1000);
    for value in 1..=200 {
        put(&mut writer, "/", &format!(r#"{{"a":{value},"text":"{text}"}}"#)).await;
    }
    let mut events = 0;
    loop {
        let event = stream.event().await.expect("it goes on");
        events += 1;
        let states = event.data[&event.name]["states"].as_array().expect("states");
        let content = states[0]["document"]["content"].as_str().unwrap_or_default();
        if content.starts_with(r#"{"a":200,"#) {
            break;
        }
    }
    assert!(events < 100, "{events}: states in between are skipped");
}

#[tokio::test]
async fn a_stream_that_its_client_drops_is_freed() {
    let server = quick_server().await;
    for protocol in PROTOCOLS {
        let mut stream = get(&server, protocol, &watch_of(&["test/app", "test/*"])).open().await;
        stream.event().await.expect("a snapshot");
        drop(stream);
        until_freed(&server).await;
    }
}
