//! Watch: what is told, in which order, and what is not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;
use super::watching::*;

#[tokio::test]
async fn a_stream_starts_with_the_state_of_each_target_in_the_order_of_the_request() {
    let server = quick_believing_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#), put_in("b", "/production", r#"{"y":2}"#)]).await;
    let targets =
        [target("b", "/production/checkout"), target("missing", ""), target("b", "/"), target("a", "/x/y")];
    let (watcher, told) = Watcher::open(&client, watch(targets)).await;
    let expected = [
        ("b", "/production/checkout", State::Present),
        ("missing", "/", State::Absent),
        ("b", "/", State::Absent),
        ("a", "/x/y", State::Present),
    ];
    assert_eq!(told.summary(), expected);
    assert_eq!((told.revision, told.reset), (1, false));
    let document = watcher.document("a", "/x/y", View::Effective).expect("it is there");
    assert_eq!((document.content.as_str(), document.version, document.revision), (r#"{"x":1}"#, 1, 1));
    assert_eq!(document.layers.len(), 1);
    assert_eq!(watcher.content("b", "/production/checkout"), Some(r#"{"y":2}"#));
}

/// The hub is kept busy with many targets to resolve, so that it would lag behind the answer.
#[tokio::test]
async fn a_stream_starts_with_what_was_written_before_it_was_opened() {
    let server = quick_server().await;
    let client = server.client().await;
    let fill = "x".repeat(10_000);
    let scopes = (0..500).map(|at| target("app", &format!("/s{at}")));
    apply(&client, [put_in("app", "/", &format!(r#"{{"a":0,"fill":{{"{fill}":1}}}}"#))]).await;
    let (_busy, _) = Watcher::open(&client, watch(scopes)).await;
    for number in 1..20 {
        let content = format!(r#"{{"a":{number},"fill":{{"{fill}":{number}}}}}"#);
        let revision = apply(&client, [put_in("app", "/", &content)]).await;
        let (watcher, told) = Watcher::open(&client, watch([target("app", "/")])).await;
        assert_eq!((told.revision, watcher.content("app", "/")), (revision, Some(content.as_str())));
    }
}

#[tokio::test]
async fn a_document_that_the_client_holds_is_not_sent_again() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("a", "/", r#"{"x":1}"#), put_in("b", "/", "{}")]).await;
    let (watcher, _) = Watcher::open(&client, watch([target("a", "/"), target("b", "/")])).await;
    let mut request = watcher.resumption();
    request.resume_token.clear();
    request.targets[1].if_none_match = format!("sha256:{}", "0".repeat(64));
    let (_, told) = Watcher::open(&client, request).await;
    assert_eq!(told.summary(), [("a", "/", State::Current), ("b", "/", State::Present)]);
    assert!(told.states[0].document.is_none());
}

#[tokio::test]
async fn commits_that_leave_a_document_as_it_was_send_nothing() {
    let server = quick_believing_server().await;
    let client = server.client().await;
    apply(&client, [put_in("app", "/", r#"{"a":1}"#), put_override("app", "/", r#"{"a":9}"#)]).await;
    let (mut watcher, _) = Watcher::open(&client, watch([target("app", "/p"), target("*", "/p")])).await;
    apply(&client, [put_in("app", "/", r#"{"a":2}"#)]).await; // hidden by the override
    apply(&client, [put_in("app", "/q", r#"{"a":3}"#)]).await; // a sibling
    apply(&client, [put_in("app", "/p/x", r#"{"a":4}"#)]).await; // below
    apply(&client, [put_override("app", "/p", r#"{"a":9}"#)]).await; // says what is so already
    apply(&client, [Change { namespace: "other".into(), ..put_in("app", "/", "{}") }]).await;
    let tag = SetTagRequest {
        namespace: "test".into(),
        config: "app".into(),
        tag: "t".into(),
        ..Default::default()
    };
    client.clone().set_tag(tag).await.expect("it is tagged");
    let before = watcher.until_progress().await;
    assert!(before.is_empty(), "{before:?}");
    assert_eq!(watcher.revision, 7);
    // Progress proves something only if a change is told before it.
    apply(&client, [put_override("app", "/", r#"{"b":1}"#)]).await;
    let before = watcher.until_progress().await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].summary(), [("app", "/p", State::Present); 2]);
}

#[tokio::test]
async fn a_target_appears_disappears_and_appears_again() {
    let server = quick_server().await;
    let client = server.client().await;
    let (mut watcher, told) = Watcher::open(&client, watch([target("app", "/p")])).await;
    assert_eq!(told.summary(), [("app", "/p", State::Absent)]);
    for round in 1..4 {
        apply(&client, [put_in("app", "/p", "{}")]).await;
        assert_eq!(watcher.next().await.expect("told").summary(), [("app", "/p", State::Present)]);
        assert_eq!(
            watcher.document("app", "/p", View::Effective).expect("it is there").version,
            2 * round - 1
        );
        let revision = apply(&client, [remove("app", "/p")]).await;
        let told = watcher.next().await.expect("told");
        assert_eq!(
            (told.summary().as_slice(), told.revision),
            ([("app", "/p", State::Absent)].as_slice(), revision)
        );
    }
    // It exists, but not for this scope.
    apply(&client, [put_in("app", "/q", "{}")]).await;
    assert!(watcher.until_progress().await.is_empty());
}

#[tokio::test]
async fn every_config_of_a_namespace_is_followed_as_it_comes_changes_and_goes() {
    let server = quick_server().await;
    let client = server.client().await;
    let (mut watcher, told) = Watcher::open(&client, watch([target("*", "/p")])).await;
    assert_eq!((told.kind, told.states.len()), (Kind::Snapshot, 0));
    apply(
        &client,
        [put_in("b", "/", r#"{"x":1}"#), put_in("a", "/p", "{}"), put_in("elsewhere", "/q", "{}")],
    )
    .await;
    let told = watcher.next().await.expect("told");
    assert_eq!(told.summary(), [("a", "/p", State::Present), ("b", "/p", State::Present)]);
    apply(&client, [put_in("b", "/p/x", r#"{"y":1}"#)]).await;
    apply(&client, [put_in("b", "/p", r#"{"y":1}"#)]).await;
    assert_eq!(watcher.next().await.expect("told").summary(), [("b", "/p", State::Present)]);
    assert_eq!(watcher.content("b", "/p"), Some(r#"{"x":1,"y":1}"#));
    apply(&client, [remove("a", "/p"), put_in("c", "/", "{}")]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(told.summary(), [("a", "/p", State::Absent), ("c", "/p", State::Present)]);
    let (_, told) = Watcher::open(&client, watch([target("*", "/p")])).await;
    assert_eq!(told.summary(), [("b", "/p", State::Present), ("c", "/p", State::Present)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_grow_and_every_reader_gets_the_last_state_under_concurrent_writers() {
    let server = quick_server().await;
    let client = server.client().await;
    let configs = ["a", "b", "c"];
    let mut watchers = vec![];
    for at in 0..6 {
        let targets = configs.iter().take(1 + at % 3).map(|config| target(config, "/p"));
        watchers.push(Watcher::open(&server.client().await, watch(targets)).await.0);
    }
    let writers = (0..4).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let content = format!(r#"{{"writer":{writer},"round":{round}}}"#);
                apply(&client, [put_in(configs[round % 3], ["/", "/p"][writer % 2], &content)]).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers = watchers.into_iter().map(|mut watcher| {
        tokio::spawn(async move {
            // The order of revisions and versions is checked with each message.
            while watcher.revision < 200 {
                watcher.until_progress().await;
            }
            watcher
        })
    });
    let readers: Vec<_> = readers.collect();
    for writer in writers {
        writer.await.expect("it wrote");
    }
    for reader in readers {
        let mut watcher = reader.await.expect("it read");
        watcher.until_progress().await;
        for ((config, scope, _), document) in &watcher.held {
            let request = GetRequest { config: config.clone(), ..get(scope) };
            assert_eq!(content(&mut client.clone(), request).await, document.content);
        }
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_skips_states_but_not_the_last() {
    const CHANGES: usize = 1000;
    let server = quick_server().await;
    let writer = server.client().await;
    let mut slow = Watcher::open_without_reading(
        &narrow_client(&server).await,
        watch([target("app", "/"), target("*", "/"), target("app", "/p")]),
    )
    .await;
    let fill = "x".repeat(100_000);
    for number in 1..=CHANGES {
        apply(&writer, [put_in("app", "/", &format!(r#"{{"fill":"{fill}","number":{number}}}"#))]).await;
    }
    slow.next().await.expect("a snapshot");
    let told = slow.until_progress().await;
    let expected = format!(r#"{{"fill":"{fill}","number":{CHANGES}}}"#);
    assert_eq!(slow.content("app", "/"), Some(expected.as_str()));
    assert_eq!(slow.content("app", "/p"), Some(expected.as_str()));
    assert!(told.len() < CHANGES / 50, "{} messages were kept for a slow reader", told.len());
}

/// Documents long enough that updates of all targets take parts now and then, and readers fall behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_commit_changes_is_told_at_once() {
    let server = quick_server().await;
    let client = server.client().await;
    let configs = ["a", "b", "c", "d", "e"];
    let scopes = ["/", "/p", "/p/x"];
    let counter = AtomicU64::new(1);
    let write_all = |client: Client, fill: usize| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let content = format!(r#"{{"fill":"{}","number":{number}}}"#, "x".repeat(fill));
        async move { apply(&client, configs.map(|config| put_in(config, "/", &content))).await }
    };
    write_all(client.clone(), 0).await;
    let mut readers = vec![];
    for at in 0..4 {
        let client = if at % 2 == 0 { server.client().await } else { narrow_client(&server).await };
        let targets = configs.iter().flat_map(|config| scopes.map(|scope| target(config, scope)));
        let request =
            watch(if at < 2 { targets.collect() } else { vec![target("*", "/"), target("*", "/p")] });
        let mut watcher = Watcher::open(&client, request).await.0;
        readers.push(tokio::spawn(async move {
            let mut parts = 0;
            while watcher.revision < 81 {
                parts = parts.max(watcher.next().await.expect("told").parts);
                let numbers = watcher.held.values().map(|document| {
                    let (_, number) = document.content.rsplit_once(':').expect("a number");
                    (number.to_owned(), ())
                });
                let numbers: BTreeMap<_, _> = numbers.collect();
                assert_eq!(numbers.len(), 1, "a reader saw half of a commit: {numbers:?}");
            }
            parts
        }));
    }
    let writers = async || {
        for round in 0..20 {
            write_all(client.clone(), if round % 4 == 0 { 400_000 } else { 10 }).await;
        }
    };
    tokio::join!(writers(), writers(), writers(), writers());
    let mut parts = 0;
    for reader in readers {
        parts = parts.max(reader.await.expect("it read"));
    }
    assert!(parts > 1, "some updates should take parts");
}

#[tokio::test]
async fn views_are_followed_and_the_end_of_an_override_is_told() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("app", "/", r#"{"a":1}"#)]).await;
    let views = [View::Effective, View::Base, View::Layer, View::OverrideLayer];
    let targets = views.map(|view| WatchTarget { view: view.into(), ..target("app", "/p") });
    let (mut watcher, told) = Watcher::open(&client, watch(targets)).await;
    let expected = [State::Present, State::Present, State::Absent, State::Absent];
    assert_eq!(told.states.iter().map(TargetState::state).collect::<Vec<_>>(), expected);
    let views_of = |told: &Told| -> Vec<View> {
        told.states.iter().map(|state| state.target.as_ref().expect("a target").view()).collect()
    };

    apply(&client, [put_in("app", "/p", r#"{"b":1}"#)]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(views_of(&told), [View::Effective, View::Base, View::Layer]);
    assert_eq!(watcher.document("app", "/p", View::Layer).expect("a layer").content, r#"{"b":1}"#);

    let brief = Change { ttl: Some(millis(300)), ..put_override("app", "/p", r#"{"a":null}"#) };
    apply(&client, [brief]).await;
    let told = watcher.next().await.expect("told");
    assert_eq!(views_of(&told), [View::Effective, View::OverrideLayer]);
    assert_eq!(watcher.content("app", "/p"), Some(r#"{"b":1}"#));
    assert_eq!(watcher.document("app", "/p", View::OverrideLayer).expect("it").content, r#"{"a":null}"#);

    let told = watcher.next().await.expect("told");
    assert_eq!(views_of(&told), [View::Effective, View::OverrideLayer]);
    assert_eq!(told.states[1].state(), State::Absent);
    assert_eq!(watcher.content("app", "/p"), Some(r#"{"a":1,"b":1}"#));
}

#[tokio::test]
async fn two_hundred_targets_with_overlapping_scopes_are_told_each_what_concerns_it() {
    let server = quick_server().await;
    let client = server.client().await;
    apply(&client, [put_in("app", "/", r#"{"a":0}"#)]).await;
    let scopes: Vec<String> = (0..200)
        .map(|at| match at {
            0 => "/".into(),
            1..20 => format!("/e{at}"),
            _ => format!("/e{}/u{at}", at % 20),
        })
        .collect();
    let targets = scopes.iter().map(|scope| target("app", scope));
    let (mut watcher, told) = Watcher::open(&client, watch(targets)).await;
    assert_eq!(told.states.len(), 200);
    assert_eq!(server.running.engine().watched_target_count(), 200);
    apply(&client, [put_in("app", "/e7", r#"{"a":7}"#)]).await;
    let told = watcher.next().await.expect("told");
    let expected: Vec<_> =
        scopes.iter().filter(|scope| *scope == "/e7" || scope.starts_with("/e7/")).collect();
    assert_eq!(told.summary().iter().map(|state| state.1).collect::<Vec<_>>(), expected);
    assert_eq!(expected.len(), 10);
    apply(&client, [put_in("app", "/e7/u27", r#"{"b":1}"#)]).await;
    assert_eq!(watcher.next().await.expect("told").summary(), [("app", "/e7/u27", State::Present)]);
    apply(&client, [put_in("app", "/", r#"{"c":1}"#)]).await;
    assert_eq!(watcher.next().await.expect("told").states.len(), 200);
    assert_eq!(watcher.content("app", "/e7/u27"), Some(r#"{"a":7,"b":1,"c":1}"#));
}

#[tokio::test]
async fn progress_is_told_at_the_interval_and_on_demand() {
    let server = quick_server().await;
    let client = server.client().await;
    let request = WatchRequest { progress_interval: Some(millis(100)), ..watch([target("app", "/")]) };
    let (mut watcher, _) = Watcher::open(&client, request).await;
    let revision = apply(&client, [put_in("other", "/", "{}")]).await;
    loop {
        let told = watcher.next().await.expect("told");
        assert_eq!((told.kind, told.states.len()), (Kind::Progress, 0));
        if told.revision == revision {
            break;
        }
    }
    // The token of a progress message is as good as any.
    let (mut watcher, told) = watcher.resume(&client).await;
    assert!(!told.reset);
    for _ in 0..3 {
        assert_eq!(watcher.next().await.expect("told").kind, Kind::Progress);
    }
    let mut client = client;
    let unknown = RequestProgressRequest { watch_id: "999".into() };
    refused(client.request_progress(unknown).await, Code::NotFound, "WATCH_NOT_FOUND");
}

#[tokio::test]
async fn targets_that_are_alike_or_too_many_are_refused() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let server = TestServer::start_in(directory, |settings| settings.limits.targets_max = 3).await;
    let mut client = server.client().await;
    let alike = watch([target("app", "/p"), target("app", "/"), target("app", "/p/")]);
    refused(client.watch(alike).await, Code::InvalidArgument, "INVALID_FIELD");
    let alike = watch([target("*", ""), target("*", "/")]);
    refused(client.watch(alike).await, Code::InvalidArgument, "INVALID_FIELD");
    let many = watch(["/a", "/b", "/c", "/d"].map(|scope| target("app", scope)));
    refused(client.watch(many).await, Code::InvalidArgument, "INVALID_FIELD");
    refused(client.watch(watch([])).await, Code::InvalidArgument, "INVALID_FIELD");
    // Another format or view is another target.
    let yaml = WatchTarget { format: Format::Yaml.into(), ..target("app", "/p") };
    let base = WatchTarget { view: View::Base.into(), ..target("app", "/p") };
    let (_, told) = Watcher::open(&client, watch([target("app", "/p"), yaml, base])).await;
    assert_eq!(told.states.len(), 3);
}
