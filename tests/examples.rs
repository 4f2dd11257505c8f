//! The trees of `examples/` on a real server: applied, watched by two clients, changed, rolled back, exported.

#[path = "support/server.rs"]
mod server;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use confwatch::proto::v1::config_service_client::ConfigServiceClient;
use confwatch::proto::v1::watch_response::Event;
use confwatch::proto::v1::{
    Assignments, Change, ListRequest, RequestProgressRequest, RollbackRequest, SetRequest, State,
    TargetState, WatchRequest, WatchResponse, WatchTarget, change, rollback_request,
};
use serde_json::{Value, json};
use server::Server;
use tempfile::TempDir;
use tonic::Streaming;
use tonic::transport::Channel;
use tree::Tree;

/// Ends a test that would wait for ever; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to an example.
struct Story {
    namespace: &'static str,
    /// Follows every config of the namespace for this scope, and sees the change.
    near: &'static str,
    /// Follows every config for this scope, which the change does not touch.
    far: &'static str,
    config: &'static str,
    /// At or above `near`.
    scope: &'static str,
    pointer: &'static str,
    before: Value,
    after: Value,
}

#[tokio::test]
async fn assistant_is_applied_watched_changed_rolled_back_and_exported() {
    play(Story {
        namespace: "assistant",
        near: "/production/gateway/alice",
        far: "/development",
        config: "llm-providers",
        scope: "/production/gateway",
        pointer: "/providers/anthropic/timeout",
        before: json!(12),
        after: json!(8),
    })
    .await;
}

#[tokio::test]
async fn learning_is_applied_watched_changed_rolled_back_and_exported() {
    play(Story {
        namespace: "learning",
        near: "/production/mobile/classroom-7b",
        far: "/staging",
        config: "feature-flags",
        scope: "/production",
        pointer: "/flags/ai_questions/rollout",
        before: json!(0.05),
        after: json!(0.5),
    })
    .await;
}

#[tokio::test]
async fn framework_is_applied_watched_changed_rolled_back_and_exported() {
    play(Story {
        namespace: "framework",
        near: "/production/analytics/replica-2",
        far: "/testing",
        config: "postgresql",
        scope: "/production/analytics/replica-2",
        pointer: "/pool/size",
        before: json!(4),
        after: json!(10),
    })
    .await;
}

async fn play(story: Story) {
    let server = Server::start();
    let directory = example(story.namespace);
    let tree = Tree::read(&directory);
    run(&server, &["apply", "-f", &directory.display().to_string()]);
    let mut client =
        ConfigServiceClient::connect(format!("http://{}", server.address)).await.expect("it serves");

    let mut near = Watcher::start(&mut client, &story, story.near).await;
    let mut far = Watcher::start(&mut client, &story, story.far).await;
    for watcher in [&near, &far] {
        let names: Vec<&str> = watcher.documents.keys().map(String::as_str).collect();
        assert_eq!(names, tree.configs(), "for {}", watcher.scope);
        for (config, document) in &watcher.documents {
            assert_eq!(
                Some(document),
                tree.effective(config, watcher.scope).as_ref(),
                "{config} {}",
                watcher.scope
            );
        }
    }
    assert_eq!(near.value(&story), Some(&story.before));
    let first = near.documents.clone();

    // The change reaches the client below it, and leaves the other one alone.
    let revision = set(&mut client, &story).await;
    assert_eq!(near.next_update().await, (revision, vec![story.config.to_owned()]));
    assert_eq!(near.value(&story), Some(&story.after));
    far.hears_of_nothing_up_to(&mut client, revision).await;

    // So does the rollback, and everything is as it was.
    let revision = roll_back(&mut client, &story).await;
    assert_eq!(near.next_update().await, (revision, vec![story.config.to_owned()]));
    assert_eq!(near.documents, first);
    far.hears_of_nothing_up_to(&mut client, revision).await;

    // What is exported is what was applied, and applying it changes nothing.
    let exported = TempDir::new().expect("a temporary directory can be made");
    for format in ["yaml", "json", "toml"] {
        let directory = exported.path().join(format).join(story.namespace);
        let text = directory.display().to_string();
        run(&server, &["export", story.namespace, "--directory", &text, "--format", format]);
        assert_eq!(Tree::read(&directory), tree, "as {format}");
        run(&server, &["apply", "-f", &text, "--prune"]);
        assert_eq!(
            store_revision(&mut client).await,
            revision,
            "applying the export as {format} made a commit"
        );
    }
}

#[test]
fn examples_show_what_there_is_to_show() {
    let mut formats = Vec::new();
    for namespace in ["assistant", "learning", "framework"] {
        let directory = example(namespace);
        let (nulls, depth) = Tree::read(&directory).shape();
        assert!(nulls > 0, "{namespace} removes nothing");
        assert_eq!(depth, 3, "{namespace} has three levels");
        assert!(directory.join("README.md").exists(), "{namespace} has a README.md");
        formats.extend(extensions(&directory));
    }
    for format in ["json", "toml", "yaml"] {
        assert!(formats.iter().any(|found| found == format), "no example is written as {format}");
    }
}

/// A Watch stream for all configs of the namespace, and the documents it brought.
struct Watcher {
    scope: &'static str,
    stream: Streaming<WatchResponse>,
    watch_id: String,
    documents: BTreeMap<String, Value>,
}

impl Watcher {
    async fn start(client: &mut ConfigServiceClient<Channel>, story: &Story, scope: &'static str) -> Watcher {
        let target = WatchTarget {
            namespace: story.namespace.into(),
            config: "*".into(),
            scope: scope.into(),
            ..Default::default()
        };
        let request = WatchRequest { targets: vec![target], client_id: scope.into(), ..Default::default() };
        let stream = client.watch(request).await.expect("a watch begins").into_inner();
        let mut watcher = Watcher { scope, stream, watch_id: String::new(), documents: BTreeMap::new() };
        let first = watcher.next().await;
        watcher.watch_id = first.watch_id;
        let Some(Event::Snapshot(snapshot)) = first.event else { panic!("no snapshot: {:?}", first.event) };
        assert!(!snapshot.more && !snapshot.is_reset);
        watcher.take(snapshot.states);
        watcher
    }

    async fn next(&mut self) -> WatchResponse {
        let message = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        message.expect("a message comes").expect("the stream goes on").expect("the stream does not end")
    }

    /// Its revision, and the configs it is about.
    async fn next_update(&mut self) -> (u64, Vec<String>) {
        loop {
            let message = self.next().await;
            match message.event {
                Some(Event::Update(update)) => return (message.revision, self.take(update.states)),
                Some(Event::Progress(_)) => {}
                other => panic!("no update: {other:?}"),
            }
        }
    }

    /// Asks for progress, and gets that and nothing else.
    async fn hears_of_nothing_up_to(&mut self, client: &mut ConfigServiceClient<Channel>, revision: u64) {
        let request = RequestProgressRequest { watch_id: self.watch_id.clone() };
        client.request_progress(request).await.expect("the watch is known");
        loop {
            let message = self.next().await;
            assert!(matches!(message.event, Some(Event::Progress(_))), "{} hears {message:?}", self.scope);
            if message.revision >= revision {
                return;
            }
        }
    }

    fn take(&mut self, states: Vec<TargetState>) -> Vec<String> {
        let mut configs = Vec::new();
        for state in states {
            assert_eq!(state.state(), State::Present);
            let config = state.target.expect("a state names its target").config;
            let content = state.document.expect("PRESENT comes with the document").content;
            let value = serde_json::from_str(&content).expect("a document is JSON");
            self.documents.insert(config.clone(), value);
            configs.push(config);
        }
        configs
    }

    fn value(&self, story: &Story) -> Option<&Value> {
        self.documents.get(story.config)?.pointer(story.pointer)
    }
}

/// Changes the one value; answers the revision.
async fn set(client: &mut ConfigServiceClient<Channel>, story: &Story) -> u64 {
    let values = BTreeMap::from([(story.pointer.to_owned(), story.after.to_string())]);
    let change = Change {
        namespace: story.namespace.into(),
        config: story.config.into(),
        scope: story.scope.into(),
        action: Some(change::Action::Assign(Assignments { values })),
        ..Default::default()
    };
    let request = SetRequest { change: Some(change), options: None };
    let answer = client.set(request).await.expect("the change is valid").into_inner();
    assert!(answer.changed);
    answer.store_revision
}

/// Goes back to the version that was applied; answers the revision.
async fn roll_back(client: &mut ConfigServiceClient<Channel>, story: &Story) -> u64 {
    let request = RollbackRequest {
        namespace: story.namespace.into(),
        config: story.config.into(),
        to: Some(rollback_request::To::Version(1)),
        ..Default::default()
    };
    let answer = client.rollback(request).await.expect("version 1 exists").into_inner();
    assert!(answer.changed);
    assert_eq!((answer.version, answer.restored_version), (3, 1));
    answer.store_revision
}

async fn store_revision(client: &mut ConfigServiceClient<Channel>) -> u64 {
    client.list(ListRequest::default()).await.expect("it serves").into_inner().store_revision
}

fn run(server: &Server, arguments: &[&str]) {
    let output = server.confwatch().args(arguments).output().expect("the binary was built with this test");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "confwatch {} failed:\n{said}", arguments.join(" "));
}

fn example(namespace: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(namespace)
}

fn extensions(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("an example is readable") {
        let path = entry.expect("a directory entry is readable").path();
        if path.is_dir() {
            found.extend(extensions(&path));
        } else if let Some(extension) = path.extension() {
            found.push(extension.to_string_lossy().into_owned());
        }
    }
    found
}
