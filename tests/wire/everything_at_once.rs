//! A large store with everything switched on at once: 60 000 configs, authentication, retention, an audit file and 1 000 watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use confwatch::proto::v1::*;
use confwatch::server::settings::AuthMode;
use confwatch::server::{Server, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tonic::Code;

use super::auth::Guarded;
use super::floods::{lines, listed, until};
use super::metrics::scrape;
use super::support::*;
use super::watching::Watcher;

const CONFIGS: usize = 60_000;
const CHANGES_PER_APPLY: usize = 1000;
const CONNECTIONS: usize = 20;
const WATCHERS: usize = 1000;
/// Configs that change while they are watched.
const BUSY: usize = 50;
const WRITERS: usize = 8;
const REVISIONS_RETAINED: u64 = 200;
/// How often history is to be compacted while there are commits.
const COMPACTIONS: usize = 3;
const SECRET: &str = r#"{"password":{"$secret":"hunter2"}}"#;

/// A server that asks for credentials, whose clients are the administrator.
async fn start(directory: TempDir, change: impl FnOnce(&mut Settings)) -> Guarded {
    let mut settings = settings(directory.path());
    settings.auth = Some(AuthMode::On);
    change(&mut settings);
    let mut attempts = 0;
    let running = loop {
        match Server::start(settings.clone()).await {
            Ok(running) => break running,
            // A stop waits a while, and no longer, for a store that is compacted on a busy machine.
            Err(error) if attempts < 600 && error.to_string().contains("is in use") => attempts += 1,
            Err(error) => panic!("the server starts: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let bearer = Bearer::administrator(directory.path());
    let server = TestServer { running, directory, bearer };
    let admin = super::auth::client(&server, Some(&super::auth::admin_token(&server.directory)));
    Guarded { server, admin }
}

fn of(namespace: &str, config: &str, content: &str) -> Change {
    Change { namespace: namespace.into(), config: config.into(), ..replace("/", content) }
}

fn target(namespace: &str, config: &str) -> WatchTarget {
    WatchTarget { namespace: namespace.into(), config: config.into(), ..Default::default() }
}

/// How many configs of a namespace there are, counted by pages.
async fn count(client: &mut Client, namespace: &str) -> usize {
    let (mut count, mut page_token) = (0, String::new());
    loop {
        let request =
            ListRequest { namespace: namespace.into(), page_size: 1000, page_token, ..Default::default() };
        let page = client.list(request).await.expect("a page").into_inner();
        count += page.configs.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return count;
        }
    }
}

async fn read(client: &mut Client, namespace: &str, config: &str) -> String {
    let request = GetRequest { namespace: namespace.into(), config: config.into(), ..get("/") };
    content(client, request).await
}

/// Each number from `oldest` to `newest` is in a line, or in the gap that a line tells of.
#[track_caller]
fn assert_complete(lines: &[Value], number: &str, gaps_of: &str, oldest: u64, newest: u64) {
    let mut has = vec![false; newest as usize + 1];
    for line in lines {
        if line["kind"] == "gap" {
            let bound = |name: &str| line[name].as_u64().expect("a number") as usize;
            if line["of"] == gaps_of {
                has[bound("from")..=bound("to")].fill(true);
            }
        } else if number == "sequence" || line["kind"] == "change" {
            let Some(found) = line[number].as_u64().filter(|found| *found <= newest) else { continue };
            has[found as usize] = true;
        }
    }
    let missing: Vec<u64> = (oldest..=newest).filter(|number| !has[*number as usize]).collect();
    assert_eq!(missing, [0; 0], "the audit file lacks them: {number}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_everything_switched_on_keeps_its_promises() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let file = path.clone();
    let everything = move |settings: &mut Settings| {
        settings.audit_file = Some(file.clone());
        settings.retain_revisions = Some(REVISIONS_RETAINED);
        settings.metrics_listen = Some("127.0.0.1:0".into());
    };
    let guarded = start(directory, everything.clone()).await;
    let mut client = guarded.server.client().await;
    let first = guarded.server.running.engine().state().revision.0 + 1;
    client.set(set(of("busy", "secret", SECRET))).await.expect("set");
    let names: Vec<usize> = (0..CONFIGS).collect();
    for numbers in names.chunks(CHANGES_PER_APPLY) {
        let changes =
            numbers.iter().map(|number| of("many", &format!("c{number}"), &format!(r#"{{"n":{number}}}"#)));
        let request = ApplyRequest { changes: changes.collect(), ..Default::default() };
        client.apply(request).await.expect("applied");
    }
    let busy = (0..BUSY).map(|number| of("busy", &format!("b{number}"), r#"{"n":0}"#));
    client.apply(ApplyRequest { changes: busy.collect(), ..Default::default() }).await.expect("applied");

    let mut watchers = vec![];
    for connection in 0..CONNECTIONS {
        let client = guarded.server.client().await;
        for number in (connection..WATCHERS).step_by(CONNECTIONS) {
            let (busy, still) = (format!("b{}", number % BUSY), format!("c{}", number * 7 % CONFIGS));
            let targets = vec![target("busy", &busy), target("many", &still)];
            let request = WatchRequest { targets, ..Default::default() };
            let (watcher, _) = Watcher::open(&client, request).await;
            assert_eq!(watcher.content(&busy, "/"), Some(r#"{"n":0}"#));
            watchers.push((busy, watcher));
        }
    }
    // They read whatever comes, until the last state is there.
    let watchers = watchers.into_iter().map(|(config, mut watcher)| {
        tokio::spawn(async move {
            while watcher.content(&config, "/") != Some(r#"{"n":"last"}"#) {
                watcher.next().await.expect("the stream goes on");
            }
        })
    });
    let watchers: Vec<_> = watchers.collect();

    let (is_over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers = (0..WRITERS).map(|writer| {
        let (mut client, is_over, answered) = (client.clone(), is_over.clone(), answered.clone());
        tokio::spawn(async move {
            let numbers = (1_u64..).take_while(|_| !is_over.load(Ordering::Relaxed));
            for number in numbers {
                let config = format!("b{}", (writer + number as usize * WRITERS) % BUSY);
                client
                    .set(set(of("busy", &config, &format!(r#"{{"n":{number}}}"#))))
                    .await
                    .expect("committed");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    // Denied calls and secrets that are shown, while history is compacted beside the commits.
    let mallory = guarded.bearer("mallory").await;
    let oldest = || guarded.server.running.engine().oldest().expect("the store is open");
    let mut seen = vec![(oldest(), 0)];
    let (mut denied, mut revealed) = (0, 0);
    while seen.len() <= COMPACTIONS {
        let call = mallory.api().get(get(&format!("/s{denied}"))).await;
        refused(call, Code::PermissionDenied, "PERMISSION_DENIED");
        denied += 1;
        if denied % 10 == 1 {
            read(&mut client, "busy", "secret").await;
            revealed += 1;
        }
        let (oldest, answered) = (oldest(), answered.load(Ordering::Relaxed));
        if seen.last().is_some_and(|(last, _)| *last < oldest) {
            seen.push((oldest, answered));
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("every commit is answered");
    }
    assert!(
        seen.is_sorted_by(|before, after| before.1 < after.1),
        "commits were answered meanwhile: {seen:?}"
    );
    let last = (0..BUSY).map(|number| of("busy", &format!("b{number}"), r#"{"n":"last"}"#));
    let last = ApplyRequest { changes: last.collect(), ..Default::default() };
    let newest = client.apply(last).await.expect("applied").into_inner().store_revision;

    assert!(scrape(&guarded.server).await.value("confwatch_watch_lag_seconds", &[]).is_some());
    for watcher in watchers {
        watcher.await.expect("every watcher has the last state");
    }
    assert_eq!(count(&mut client, "many").await, CONFIGS);
    assert_eq!(read(&mut client, "many", "c59999").await, r#"{"n":59999}"#);
    let reveals = listed(&guarded, AuditKind::Revealed).await;
    let reveals = reveals.iter().filter(|entry| entry.rpc_method.ends_with("/Get"));
    assert_eq!(reveals.count(), revealed, "each time");
    let denials = listed(&guarded, AuditKind::Denied).await;
    assert!(!denials.is_empty() && denials.iter().all(|entry| entry.actor == "token:mallory"));

    let has_last = |lines: &[Value]| lines.iter().any(|line| line["revision"] == newest);
    until("the audit file has the last commit", || has_last(&lines(&path))).await;
    let directory = guarded.server.stop().await;
    let all = lines(&path);
    assert_complete(&all, "revision", "changes", first, newest);
    let stopped = all.iter().rfind(|line| line["kind"] == "stopped").expect("the stop is recorded");
    assert_complete(&all, "sequence", "records", 1, stopped["sequence"].as_u64().expect("a sequence"));

    let guarded = start(directory, everything).await;
    let mut client = guarded.server.client().await;
    assert_eq!(count(&mut client, "many").await, CONFIGS);
    assert_eq!(read(&mut client, "busy", "b0").await, r#"{"n":"last"}"#);
    assert_eq!(read(&mut client, "many", "c30000").await, r#"{"n":30000}"#);
    guarded.server.stop().await;
}
