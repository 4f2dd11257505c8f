//! Watches of targets of every kind against the history: in each view and format, with defaults, with secrets that are masked and shown, one target and
//! many. Each message leaves its reader with exactly what Get answered at the revision of the message, and says nothing that the reader had.

use std::collections::BTreeMap;
use std::time::Duration;

use confwatch::api::guard::rates::RateLimits;
use confwatch::client::Client;
use confwatch::proto::v1::*;
use confwatch::server::Settings;
use confwatch::server::settings::Fsync;
use tempfile::TempDir;
use tonic::Streaming;

use super::auth::Guarded;
use super::support::*;
use super::watching::{millis, put_in, put_override, remove};

/// Rounds of commits and reads; ten times as many if `CONFWATCH_LONG_TESTS` is set.
const ROUNDS: usize = 40;
/// Long enough for a busy machine: without it, a message that never comes would hang the test.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIGS: [&str; 2] = ["app", "other"];
const SCOPES: [&str; 3] = ["/", "/p", "/p/x"];
/// View, format, and whether defaults are filled in.
const FORMS: [(View, Format, bool); 8] = [
    (View::Effective, Format::Json, false),
    (View::Effective, Format::Yaml, false),
    (View::Effective, Format::Toml, false),
    (View::Effective, Format::Json, true),
    (View::Effective, Format::Yaml, true),
    (View::Base, Format::Json, false),
    (View::Layer, Format::Json, false),
    (View::OverrideLayer, Format::Yaml, false),
];

/// The viewer is shown no secret, the service those of a part, and the owner all.
const POLICY: &str = r#"{
  "roles": {"reveal": ["read", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:viewer", "token:service"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:service"], "role": "reveal", "namespace": "test", "config": "app", "scope": "/p"},
    {"subjects": ["token:owner"], "role": "reveal", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// Config, scope, view, format, and whether defaults are filled in.
type Key = (String, String, i32, i32, bool);
/// The content, and where secrets are masked and shown.
type Seen = (String, Vec<String>, Vec<String>);

/// Somebody who reads, and what they read at each revision.
struct Caller {
    client: Client,
    history: BTreeMap<u64, BTreeMap<Key, Seen>>,
}

impl Caller {
    /// Reads every document as it is now.
    async fn remember(&mut self, revision: u64) {
        let keys: Vec<Key> = CONFIGS
            .iter()
            .flat_map(|config| SCOPES.iter().map(move |scope| (*config, *scope)))
            .flat_map(|(config, scope)| FORMS.iter().map(move |form| key(config, scope, *form)))
            .collect();
        let requests = keys.iter().map(|(config, scope, view, format, defaults)| GetRequest {
            namespace: "test".into(),
            config: config.clone(),
            scope: scope.clone(),
            view: *view,
            format: *format,
            apply_defaults: *defaults,
            ..Default::default()
        });
        let request = BatchGetRequest { requests: requests.collect(), ..Default::default() };
        let read = self.client.api().batch_get(request).await.expect("read").into_inner();
        assert_eq!(read.store_revision, revision, "nobody else writes");
        let documents = keys.into_iter().zip(read.results);
        let seen = documents.filter_map(|(key, result)| Some((key, seen(&result.document?))));
        self.history.insert(revision, seen.collect());
    }
}

fn key(config: &str, scope: &str, (view, format, defaults): (View, Format, bool)) -> Key {
    (config.into(), scope.into(), view.into(), format.into(), defaults)
}

fn seen(document: &Document) -> Seen {
    (document.content.clone(), document.hidden_pointers.clone(), document.revealed_pointers.clone())
}

fn target(config: &str, scope: &str, (view, format, defaults): (View, Format, bool)) -> WatchTarget {
    WatchTarget {
        namespace: "test".into(),
        config: config.into(),
        scope: scope.into(),
        view: view.into(),
        format: format.into(),
        apply_defaults: defaults,
        ..Default::default()
    }
}

/// A stream of one of the callers, and what its reader holds.
struct Reader {
    caller: usize,
    targets: Vec<WatchTarget>,
    stream: Streaming<WatchResponse>,
    watch_id: String,
    token: String,
    revision: u64,
    held: BTreeMap<Key, Document>,
}

impl Reader {
    async fn open(callers: &[Caller], caller: usize, targets: Vec<WatchTarget>) -> Reader {
        let stream = opened(&callers[caller], targets.clone(), String::new()).await;
        let mut reader = Reader {
            caller,
            targets,
            stream,
            watch_id: String::new(),
            token: String::new(),
            revision: 0,
            held: BTreeMap::new(),
        };
        reader.next(callers).await;
        reader
    }

    /// Loses the stream, and comes back with its token and the digests of what it holds.
    async fn resume(&mut self, callers: &[Caller]) {
        let held = |key: &Key| self.held.get(key).map(|document| document.digest.clone());
        let targets = self.targets.iter().cloned().map(|mut target| {
            let form = |config: &str| {
                (config.to_owned(), target.scope.clone(), target.view, target.format, target.apply_defaults)
            };
            match target.config.as_str() {
                "*" => {
                    let digests = CONFIGS
                        .iter()
                        .filter_map(|config| Some(((*config).to_owned(), held(&form(config))?)));
                    target.held = digests.collect();
                }
                config => target.if_none_match = held(&form(config)).unwrap_or_default(),
            }
            target
        });
        self.stream = opened(&callers[self.caller], targets.collect(), self.token.clone()).await;
        self.watch_id.clear();
        self.next(callers).await;
    }

    /// Reads up to a revision.
    async fn read_to(&mut self, callers: &[Caller], revision: u64) {
        let request = RequestProgressRequest { watch_id: self.watch_id.clone() };
        callers[self.caller].client.api().request_progress(request).await.expect("it is open");
        while self.revision < revision {
            self.next(callers).await;
        }
    }

    /// Takes what is told at once, in however many messages, and checks it.
    async fn next(&mut self, callers: &[Caller]) {
        let (mut states, mut is_snapshot, mut more) = (vec![], false, true);
        while more {
            let message = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("in time");
            let message = message.expect("the stream goes on").expect("a message");
            assert!(self.revision <= message.revision, "revisions do not decrease");
            self.revision = message.revision;
            if !message.watch_id.is_empty() {
                self.watch_id = message.watch_id;
            }
            more = match message.event.expect("an event") {
                watch_response::Event::Snapshot(snapshot) => {
                    assert!(!snapshot.is_reset, "the history is one");
                    is_snapshot = true;
                    states.extend(snapshot.states);
                    snapshot.more
                }
                watch_response::Event::Update(update) => {
                    states.extend(update.states);
                    update.more
                }
                watch_response::Event::Progress(_) => false,
            };
            if !more {
                self.token = message.resume_token;
            }
        }
        for state in states {
            self.take(state, is_snapshot);
        }
        let expected = callers[self.caller].history.get(&self.revision).expect("a revision that there was");
        let expected: BTreeMap<&Key, &Seen> = expected.iter().filter(|(key, _)| self.follows(key)).collect();
        let held: BTreeMap<&Key, Seen> =
            self.held.iter().map(|(key, document)| (key, seen(document))).collect();
        let held: BTreeMap<&Key, &Seen> = held.iter().map(|(key, seen)| (*key, seen)).collect();
        assert_eq!(held, expected, "caller {} at revision {}", self.caller, self.revision);
    }

    fn take(&mut self, state: TargetState, is_snapshot: bool) {
        let target = state.target.clone().expect("a target");
        let key = (target.config, target.scope, target.view, target.format, target.apply_defaults);
        match state.state() {
            State::Present => {
                let document = state.document.expect("a document");
                assert!(document.revision <= self.revision);
                let now = seen(&document);
                let before = self.held.insert(key.clone(), document);
                assert_ne!(before.map(|before| seen(&before)), Some(now), "the reader had {key:?}");
            }
            State::Current => assert!(is_snapshot && self.held.contains_key(&key)),
            State::Absent => {
                let before = self.held.remove(&key);
                assert!(is_snapshot || before.is_some(), "the reader knew of {key:?}");
            }
            State::Unspecified => panic!("never sent"),
        }
    }

    fn follows(&self, (config, scope, view, format, defaults): &Key) -> bool {
        self.targets.iter().any(|target| {
            (target.config == "*" || target.config == *config)
                && (&target.scope, target.view, target.format, target.apply_defaults)
                    == (scope, *view, *format, *defaults)
        })
    }
}

async fn opened(
    caller: &Caller,
    targets: Vec<WatchTarget>,
    resume_token: String,
) -> Streaming<WatchResponse> {
    let progress_interval = Some(millis(3_600_000));
    let request = WatchRequest { targets, resume_token, progress_interval, ..Default::default() };
    caller.client.api().watch(request).await.expect("it opens").into_inner()
}

/// A layer: some values, perhaps a secret, perhaps what removes a value that is inherited.
fn layer(random: &mut fastrand::Rng, scope: &str) -> String {
    let number = random.u8(..3);
    let mut members = vec![format!(r#""a":{number}"#)];
    let mut add = |random: &mut fastrand::Rng, member: String| {
        if random.bool() {
            members.push(member);
        }
    };
    add(random, format!(r#""o":{{"x":{number},"y":"{number}"}}"#));
    add(random, format!(r#""l":[{number},"text: {number}"]"#));
    add(random, format!(r#""token":{{"$secret":"secret-{number}"}}"#));
    add(random, format!(r#""d":{number}"#));
    if scope != "/" {
        add(random, r#""b":null"#.to_owned());
    }
    format!("{{{}}}", members.join(","))
}

/// Makes a commit of a random kind, or none. The revision after it.
async fn commit(random: &mut fastrand::Rng, admin: &Client) -> u64 {
    let config = CONFIGS[random.usize(..CONFIGS.len())];
    let scope = SCOPES[random.usize(..SCOPES.len())];
    if random.u8(..8) == 0 {
        let schema = match random.u8(..4) {
            0 => "{}".to_owned(),
            number => {
                format!(r#"{{"properties":{{"d":{{"default":{number}}},"e":{{"default":"{number}"}}}}}}"#)
            }
        };
        let put = SchemaServicePutRequest {
            namespace: "test".into(),
            config: config.into(),
            schema: Some(json(&schema)),
            ..Default::default()
        };
        return admin.schemas().put(put).await.expect("a schema").into_inner().store_revision;
    }
    let mut changes = vec![];
    for _ in 0..random.usize(1..4) {
        let (config, scope) = match changes.is_empty() {
            true => (config, scope),
            false => (CONFIGS[random.usize(..CONFIGS.len())], SCOPES[random.usize(..SCOPES.len())]),
        };
        let content = layer(random, scope);
        let change = match random.u8(..8) {
            0 => remove(config, scope),
            1 => Change { kind: LayerKind::Override.into(), ..remove(config, scope) },
            2 | 3 => put_override(config, scope, &content),
            _ => put_in(config, scope, &content),
        };
        let is_same = |other: &Change| {
            (&other.config, &other.scope, other.kind) == (&change.config, &change.scope, change.kind)
        };
        if !changes.iter().any(is_same) {
            changes.push(change);
        }
    }
    let request = ApplyRequest { changes, options: None };
    admin.api().apply(request).await.expect("applied").into_inner().store_revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_watch_holds_what_was_read_at_the_revision_of_each_message() {
    let quick = |settings: &mut Settings| {
        settings.fsync = Fsync::Never;
        // Secrets are shown as often as the test is long.
        settings.rates = RateLimits::UNLIMITED;
    };
    let guarded = Guarded::start_as(TempDir::new().expect("a directory"), quick).await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    let admin = &guarded.admin;
    for config in CONFIGS {
        admin.api().set(set(put_in(config, "/", r#"{"a":0,"b":1}"#))).await.expect("set");
    }
    let owner = guarded.bearer("owner").await;
    let masking = owner.masking_secrets(true);
    let clients = [guarded.bearer("viewer").await, guarded.bearer("service").await, owner, masking];
    let mut callers: Vec<Caller> =
        clients.into_iter().map(|client| Caller { client, history: BTreeMap::new() }).collect();
    let listed = admin.api().list(ListRequest::default()).await.expect("list").into_inner();
    let mut revision = listed.store_revision;
    for caller in &mut callers {
        caller.remember(revision).await;
    }

    let seed = std::env::var("CONFWATCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(17);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut readers = vec![];
    for caller in 0..callers.len() {
        for (at, form) in FORMS.into_iter().enumerate() {
            let scope = SCOPES[(at + caller) % SCOPES.len()];
            readers.push(Reader::open(&callers, caller, vec![target("app", scope, form)]).await);
        }
        let all = FORMS.into_iter().flat_map(|form| {
            SCOPES.into_iter().flat_map(move |scope| CONFIGS.map(move |config| target(config, scope, form)))
        });
        readers.push(Reader::open(&callers, caller, all.collect()).await);
        let stars = FORMS.into_iter().map(|form| target("*", "/p", form));
        readers.push(Reader::open(&callers, caller, stars.collect()).await);
    }
    let rounds = if std::env::var_os("CONFWATCH_LONG_TESTS").is_some() { 10 * ROUNDS } else { ROUNDS };
    for _ in 0..rounds {
        for _ in 0..random.usize(1..4) {
            let made = commit(&mut random, admin).await;
            if made > revision {
                revision = made;
                for caller in &mut callers {
                    caller.remember(revision).await;
                }
            }
        }
        for reader in &mut readers {
            match random.u8(..8) {
                0 => reader.resume(&callers).await,
                1 | 2 => {}
                _ => reader.read_to(&callers, revision).await,
            }
        }
    }
    for reader in &mut readers {
        reader.read_to(&callers, revision).await;
    }
    let shown = callers[2].history[&revision].values().filter(|(_, _, shown)| !shown.is_empty()).count();
    assert!(shown > 0, "there are secrets, with the seed {seed}");
}
