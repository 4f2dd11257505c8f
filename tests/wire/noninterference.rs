//! A caller learns nothing of what they may not see: two servers that differ in nothing else give equal answers to everything.
//!
//! Random requests, of every call of the contract, go to both. What the answers cannot have in common (times, ids, keyed fingerprints, and
//! digests of what has these) is compared by its number: equal where it is equal on the other side.

pub mod answers;
mod histories;
mod requests;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::http::Method;
use confwatch::client::Client;
use confwatch::proto::v1::*;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use answers::{Seen, in_words, refusal_in_words};
use histories::Step;
use requests::{CALLS, Draw, Pool};
use subject::Subject;

use super::auth::Raw;
use super::http::{self, Http1};
use super::support::*;

/// Requests for each kind of caller; ten times as many if `CONFWATCH_LONG_TESTS` is set.
const REQUESTS: usize = 300;
/// A stream says no more than that within this time.
const QUIET: Duration = Duration::from_millis(300);
const STREAM_MESSAGES_MAX: usize = 3;

/// One of two servers.
struct Side {
    subject: Subject,
    seen: Seen,
    token: String,
    channel: Grpc<Channel>,
    /// A connection by which it is asked in JSON, where a call has one answer.
    json: Option<Http1>,
    /// So many requests were made in JSON.
    asked_in_json: usize,
}

impl Side {
    async fn start(policy: &str) -> Side {
        let subject = Subject::start().await;
        subject.set_policy(policy).await.expect("the policy is good");
        let address = format!("http://{}", subject.address);
        let endpoint = Endpoint::from_shared(address).expect("an address");
        let channel = Grpc::new(endpoint.connect().await.expect("the server listens"));
        let (seen, token) = (Seen::default(), String::new());
        Side { subject, seen, token, channel, json: None, asked_in_json: 0 }
    }

    async fn be(&mut self, caller: &str) {
        self.token = format!("Bearer {}", self.subject.token(caller).await);
    }

    /// What a call is answered, in words.
    async fn said(&mut self, call: &str, message: Vec<u8>) -> String {
        let said = self.messages(call, message).await;
        // Who watches is told by what a change affects: the server may not have noticed yet that a stream was closed.
        self.subject.until_freed().await;
        let said = match said {
            Ok(messages) => messages.iter().map(|message| in_words(call, message) + "\n").collect(),
            Err(status) => refusal_in_words(&status),
        };
        self.seen.comparable(&said)
    }

    async fn messages(&mut self, call: &str, message: Vec<u8>) -> Result<Vec<Vec<u8>>, Status> {
        if let Some(connection) = self.json.as_mut().filter(|_| http::is_unary(call))
            && let Some(json) = http::request_json(call, &message)
        {
            // By the path of the call, and by its route, in turns.
            self.asked_in_json += 1;
            let route = http::annotated(call, &message).filter(|_| self.asked_in_json.is_multiple_of(2));
            let by_path = (Method::POST, format!("/confwatch.v1.{call}"), json);
            let (method, path, content) = route.unwrap_or(by_path);
            let request = ::http::Request::builder().method(method).uri(path).header("host", "localhost");
            let request = request.header("authorization", &self.token);
            let answer = connection.send(request.header("content-type", "application/json"), content).await;
            return match answer.status.is_success() {
                true => Ok(vec![http::bytes_of(http::messages(call).1, &answer.body)]),
                false => Err(http::status_of(&answer.json())),
            };
        }
        self.channel.ready().await.expect("ready");
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.token.parse().expect("a header"));
        let path = format!("/confwatch.v1.{call}").parse().expect("a path");
        let mut stream = self.channel.server_streaming(request, path, Raw).await?.into_inner();
        let max = match call {
            "ConfigService/Watch" => 1,
            "ConfigService/StreamChanges" => STREAM_MESSAGES_MAX,
            _ => usize::MAX,
        };
        let mut messages = vec![];
        while messages.len() < max {
            match tokio::time::timeout(QUIET, stream.message()).await {
                Ok(Ok(Some(message))) => {
                    let message: Vec<u8> = message;
                    // Which commits there are is told at once; that there is nothing else depends on the time.
                    if is_progress(call, &message) {
                        break;
                    }
                    messages.push(message);
                }
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Err(status),
                Err(_) if max < usize::MAX => break,
                Err(_) => panic!("{call} is not answered"),
            }
        }
        Ok(messages)
    }
}

fn is_progress(call: &str, message: &[u8]) -> bool {
    call == "ConfigService/StreamChanges"
        && !matches!(
            StreamChangesResponse::decode(message).expect("one").event,
            Some(stream_changes_response::Event::Commit(_))
        )
}

/// Two servers.
struct Pair([Side; 2]);

impl Pair {
    /// Writes to both: what differs is told by `differing`, by its number.
    async fn start(policy: &str, writes: &[Write], differing: &[[&str; 2]]) -> Pair {
        let mut sides = [Side::start(policy).await, Side::start(policy).await];
        for (which, side) in sides.iter_mut().enumerate() {
            for write in writes {
                write.make(&side.subject.admin, which, differing).await;
            }
        }
        Pair(sides)
    }

    async fn be(&mut self, caller: &str) {
        for side in &mut self.0 {
            side.be(caller).await;
        }
    }

    /// Sends one request to both.
    async fn compare_one(&mut self, call: &str, request: impl Message + std::fmt::Debug) {
        self.compare_bytes(call, request.encode_to_vec(), || format!("{request:?}")).await;
    }

    async fn compare_bytes(&mut self, call: &str, bytes: Vec<u8>, context: impl Fn() -> String) {
        let [first, second] = &mut self.0;
        let words = String::from_utf8_lossy(&bytes).into_owned();
        let (one, other) = tokio::join!(first.said(call, bytes.clone()), second.said(call, bytes));
        assert_eq!(one, other, "{call} {words}\n{}", context());
    }

    /// The revision of both.
    async fn revision(&self) -> u64 {
        let revisions = self.0.each_ref().map(|side| {
            let request = ListRequest { namespace: "test".into(), ..Default::default() };
            async move {
                side.subject.admin.api().list(request).await.expect("listed").into_inner().store_revision
            }
        });
        let [one, other] = revisions;
        let (one, other) = tokio::join!(one, other);
        assert_eq!(one, other, "each request commits on both or on neither");
        one
    }

    /// Makes a step of the administrator on both.
    async fn administer(&self, step: Step, config: &str, number: usize) {
        for (which, side) in self.0.iter().enumerate() {
            let admin = &side.subject.admin;
            match step {
                Step::Secret(scope, secret) => {
                    let secret = SECRETS[secret][which];
                    let content = format!(r#"{{"token":{{"$secret":{secret}}},"number":{number}}}"#);
                    let change = Change { config: config.into(), ..replace(scope, &content) };
                    admin.api().set(set(change)).await.expect("the secret is stored");
                }
                Step::Mark => _ = admin.schemas().put(histories::mark(config, None)).await.expect("put"),
                Step::Unmark => {
                    let (namespace, config) = ("test".into(), config.into());
                    let request = SchemaServiceDeleteRequest { namespace, config, ..Default::default() };
                    admin.schemas().delete(request).await.expect("deleted");
                }
                Step::Guess(..) | Step::Remove(_) | Step::Delete(_) | Step::Revert | Step::Rollback => {
                    unreachable!("{step:?} is a step of the caller")
                }
            }
        }
    }

    /// Asks both the same, as one kind of caller after the other.
    async fn compare(&mut self, callers: &[&str], pool: &Pool) {
        let seed = std::env::var("CONFWATCH_SEED").ok().and_then(|seed| seed.parse().ok());
        self.compare_from(callers, pool, seed.unwrap_or(17)).await;
    }

    /// The same with these random requests.
    async fn compare_from(&mut self, callers: &[&str], pool: &Pool, seed: u64) {
        let count = if std::env::var_os("CONFWATCH_LONG_TESTS").is_some() { 10 * REQUESTS } else { REQUESTS };
        let weights: Vec<usize> =
            CALLS.iter().enumerate().flat_map(|(at, (_, weight, _))| vec![at; *weight as usize]).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut leaks: Vec<String> = vec![];
        let mut found: BTreeMap<(&str, &str), (usize, String)> = BTreeMap::new();
        for caller in callers {
            self.be(caller).await;
            for at in 0..count {
                // Each call once, then at random.
                let which = if at < CALLS.len() { at } else { weights[random.usize(..weights.len())] };
                let (call, _, make) = CALLS[which];
                let fork = random.fork();
                let [first, second] = &mut self.0;
                let message = |side: &Side| {
                    let mut draw = Draw { random: fork.clone(), pool, seen: &side.seen, is_proposal: false };
                    make(&mut draw)
                };
                let (asked, also) = (message(first), message(second));
                let asked_words = format!("{caller} {call} {}", String::from_utf8_lossy(&asked));
                let (one, other) = tokio::join!(first.said(call, asked), second.said(call, also));
                if one != other {
                    let leak = format!(
                        "request {at} (seed {seed})\n{asked_words}\n--- one\n{one}\n--- the other\n{other}\n"
                    );
                    // All of them, to see what a server of an earlier version tells.
                    if std::env::var_os("CONFWATCH_ALL_LEAKS").is_none() {
                        panic!("the answers differ: {leak}");
                    }
                    let first = one.lines().zip(other.lines()).find(|(one, other)| one != other);
                    let (one, other) = first.unwrap_or((&one, &other));
                    let kind = found.entry((*caller, call)).or_insert((0, format!("{one}\n    {other}")));
                    kind.0 += 1;
                    leaks.push(leak);
                }
            }
        }
        for ((caller, call), (count, first)) in found {
            println!("{caller}: {count} answers of {call} differ, the first one in\n    {first}");
        }
        assert!(leaks.is_empty(), "{} answers differ:\n{}", leaks.len(), leaks.join("\n"));
    }
}

/// A write of the administrator, in whose content `@0` is the first of what differs.
struct Write {
    config: &'static str,
    scope: &'static str,
    kind: LayerKind,
    content: &'static str,
}

const fn base(config: &'static str, scope: &'static str, content: &'static str) -> Write {
    Write { config, scope, kind: LayerKind::Base, content }
}

const fn over(config: &'static str, scope: &'static str, content: &'static str) -> Write {
    Write { config, scope, kind: LayerKind::Override, content }
}

impl Write {
    async fn make(&self, admin: &Client, side: usize, differing: &[[&str; 2]]) {
        let texts = differing.iter().enumerate();
        let content = texts.fold(self.content.to_owned(), |content, (at, differing)| {
            content.replace(&format!("@{at}"), differing[side])
        });
        if let Some(governed) = self.config.strip_prefix("schema:") {
            let request = SchemaServicePutRequest {
                namespace: "test".into(),
                config: governed.into(),
                schema: Some(json(&content)),
                accept_existing: true,
                ..Default::default()
            };
            admin.schemas().put(request).await.expect("the schema is put");
            return;
        }
        let change =
            Change { config: self.config.into(), kind: self.kind.into(), ..replace(self.scope, &content) };
        admin.api().set(set(change)).await.unwrap_or_else(|status| panic!("{content}: {status:?}"));
    }
}

#[test]
fn every_call_has_a_generator() {
    let described = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let services = described.file.iter().flat_map(|file| &file.service);
    let calls: BTreeSet<String> = services
        .flat_map(|service| {
            service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    assert_eq!(calls, CALLS.iter().map(|(call, ..)| (*call).to_owned()).collect());
}

/// Callers of every kind that are shown no secret.
const SECRETS_POLICY: &str = r#"{
  "roles": {"write": ["write", "override"], "validate": ["validate"], "schema": ["read", "validate", "schema"],
            "all-but-reveal": ["read", "validate", "write", "override", "rollback", "tag", "schema"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:viewer"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:editor"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "editor", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:validate"], "role": "validate", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:schema"], "role": "schema", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:most"], "role": "all-but-reveal", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// What secrets are on either side.
const SECRETS: &[[&str; 2]] = &[
    [r#""alpha-secret""#, r#""bravo-secret""#],
    ["1111", "2222"],
    [r#""alpha-below!""#, r#""bravo-below!""#],
    [r#""same-guessed""#, r#""other-hidden""#],
    [r#"["a", 1]"#, r#"["b", 2]"#],
];

/// The governed config has rules and a schema that say other things of the secrets of either side.
const SECRET_WRITES: &[Write] = &[
    base(
        "app",
        "/",
        r#"{"token": {"$secret": @0}, "db": {"password": {"$secret": @2}, "user": "u"}, "list": [{"$secret": @3}, 1], "plain": "x", "pin": {"$secret": @1}}"#,
    ),
    base(
        "app",
        "/staging",
        r#"{"token": {"$secret": @2}, "plain": "same-guessed", "parts": {"$secret": @4}}"#,
    ),
    base("app", "/production", r#"{"token": {"$secret": @3}, "db": {"user": "v"}}"#),
    over("app", "/production", r#"{"pin": {"$secret": @1}}"#),
    base("other", "/", r#"{"token": "plain"}"#),
    base(
        "governed",
        "/",
        r#"{"token": "first", "pin": 7, "plain": "x", "db": {"password": {"$secret": @2}}}"#,
    ),
    base("governed", "/staging", r#"{"token": {"$secret": @0}, "pin": {"$secret": @1}}"#),
    base(
        "governed",
        "/",
        r#"{"token": {"$secret": @3}, "pin": {"$secret": @1}, "plain": "alpha-secret", "db": {"password": {"$secret": @2}}}"#,
    ),
    base(
        "schema:governed",
        "/",
        r#"{"properties": {
            "token": {"x-secret": true, "pattern": "^alpha", "default": "alpha-filled"}, "pin": {"x-secret": true, "maximum": 1500},
            "db": {"anyOf": [{"properties": {"password": {"pattern": "^alpha"}}}, {"required": ["user"]}]}},
          "if": {"properties": {"token": {"const": "alpha-secret"}}}, "then": {"required": ["plain"]}}"#,
    ),
    base(
        "rules:governed",
        "/",
        r#"{"rules": {
            "first": {"expression": "config.token.startsWith('alpha')", "severity": "warning", "message_expression": "'it is ' + config.token"},
            "equal": {"expression": "config.token != config.plain", "severity": "warning", "message_expression": "config.plain + config.token"},
            "low": {"expression": "int(config.pin) < 2000", "severity": "warning"}}}"#,
    ),
];

const POINTERS: &[&str] = &[
    "",
    "/token",
    "/token/$secret",
    "/token/0",
    "/db",
    "/db/password",
    "/db/password/$secret",
    "/list",
    "/list/0",
    "/list/-",
    "/plain",
    "/pin",
    "/parts",
    "/parts/0",
    "/new",
];

const INNER: &[&str] = &[
    "/token",
    "/token/$secret",
    "/db",
    "/db/password",
    "/db/password/$secret",
    "/list/0",
    "/list/0/$secret",
    "/pin",
    "/pin/$secret",
];

/// Governance that asks for the secrets of one side.
const HYPOTHETICAL: &[(&str, &str)] = &[
    (
        "rules:app",
        r#"{"rules": {"r": {"expression": "config.token == 'alpha-secret'", "message_expression": "'it is ' + config.token"}}}"#,
    ),
    (
        "rules:app",
        r#"{"rules": {"r": {"expression": "size(config.list[0]) != 12 || config.list[0] != 'same-guessed'"}}}"#,
    ),
    (
        "rules:app",
        r#"{"rules": {"r": {"expression": "config.pin < 1500", "severity": "warning", "message_expression": "string(config.pin)"}}}"#,
    ),
    (
        "namespace:rules",
        r#"{"rules": {"r": {"expression": "!has(config.token) || config.token.matches('^a')", "severity": "suggestion"}}}"#,
    ),
    ("rules:app", r#"{"rules": {"r": {"expression": "old == null || old.token != config.plain"}}}"#),
    ("schema:app", r#"{"properties": {"token": {"pattern": "^alpha"}}}"#),
    (
        "schema:app",
        r#"{"properties": {"token": {"enum": ["alpha-secret", "plain"]}, "pin": {"minimum": 2000}}}"#,
    ),
    (
        "schema:app",
        r#"{"properties": {"db": {"not": {"properties": {"password": {"const": "alpha-below!"}}}}}, "uniqueItems": true}"#,
    ),
    ("schema:app", r#"{"if": {"properties": {"pin": {"const": 1111}}}, "then": {"required": ["nothing"]}}"#),
    (
        "schema:app",
        r#"{"properties": {"plain": {"x-secret": true, "default": "d"}, "token": {"x-deprecated": "use another"}}}"#,
    ),
    ("settings:app", r#"{"strict": true, "lints": {"CREDENTIAL": "error"}}"#),
    ("namespace:settings", r#"{"strict": true}"#),
];

const SECRETS_POOL: Pool = Pool {
    configs: &["app", "app", "governed", "other", "missing"],
    scopes: &["/", "/staging", "/staging/a", "/production", "/production/eu"],
    pointers: POINTERS,
    inner: INNER,
    governing: HYPOTHETICAL,
    guesses: &["alpha-secret", "bravo-secret", "same-guessed", "alpha-below!", "1111"],
    stores: true,
};

/// Who is shown no secret cannot tell two servers apart that differ in secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_reveal_secrets_learns_nothing_of_them() {
    let mut pair = Pair::start(SECRETS_POLICY, SECRET_WRITES, SECRETS).await;
    pair.compare(&["viewer", "validate", "staging", "schema", "write", "editor", "most"], &SECRETS_POOL)
        .await;
}

/// Somebody has written guesses in clear text, in layers of every scope and in earlier versions of the layer with the secret. The administrator then
/// stores the secret, and the schema marks its place.
const PLANTED_WRITES: &[Write] = &[
    base("app", "/", r#"{"token": "alpha-secret", "pin": 1111, "plain": "x"}"#),
    base("app", "/", r#"{"token": "bravo-secret", "pin": 2222, "plain": "y"}"#),
    base("app", "/staging", r#"{"token": "alpha-secret", "pin": 1111}"#),
    base("app", "/staging/a", r#"{"token": "bravo-secret", "pin": 2222}"#),
    over("app", "/", r#"{"pin": 1111}"#),
    base("app", "/", r#"{"token": "alpha-secret", "pin": 3, "plain": "x"}"#),
    base("app", "/", r#"{"token": {"$secret": @0}, "pin": {"$secret": @1}, "plain": "x"}"#),
    base("schema:app", "/", r#"{"properties": {"token": {"x-secret": true}, "pin": {"x-secret": true}}}"#),
];

/// Values that were planted in clear text before their place became secret are no guesses: neither in other layers nor in earlier versions, and
/// neither by fingerprints nor by what a rollback or a revert would change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_planted_before_a_place_is_secret_are_not_compared_with_the_secret() {
    let mut pair = Pair::start(SECRETS_POLICY, PLANTED_WRITES, SECRETS).await;
    let pool = Pool { configs: &["app"], stores: false, ..SECRETS_POOL };
    pair.compare(&["viewer", "staging", "editor", "most"], &pool).await;
    pair.be("most").await;
    for version in 1..=7 {
        let options = Some(WriteOptions { validate_only: true, ..Default::default() });
        let to = Some(rollback_request::To::Version(version));
        let (namespace, config) = ("test".into(), "app".into());
        let rollback = RollbackRequest { namespace, config, to, options, ..Default::default() };
        pair.compare_one("ConfigService/Rollback", rollback).await;
    }
    for pointer in ["/token", "/pin"] {
        let (namespace, config, scope) = ("test".into(), "app".into(), "/".into());
        let blame = BlameRequest { namespace, config, scope, pointer: pointer.into() };
        pair.compare_one("ConfigService/Blame", blame).await;
    }
}

/// Histories of one place, of which each is one config; ten times as many if `CONFWATCH_LONG_TESTS` is set.
const HISTORIES: usize = 8;
const STEPS: usize = 12;

/// Whatever an editor has written to a place and removed from it, before and after a secret was there, no write that is only validated and no read
/// compares it with the secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_any_time_are_not_compared_with_a_secret() {
    let mut pair = Pair::start(SECRETS_POLICY, &[], SECRETS).await;
    pair.be("most").await;
    let count = if std::env::var_os("CONFWATCH_LONG_TESTS").is_some() { 10 * HISTORIES } else { HISTORIES };
    let seed = std::env::var("CONFWATCH_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(17);
    let mut random = fastrand::Rng::with_seed(seed);
    for history in 0..count {
        let config = format!("history-{history}");
        let steps = histories::draw(&mut random, &["alpha-secret", "bravo-secret", "alpha-below!"], 3, STEPS);
        let first = pair.revision().await + 1;
        for (number, step) in steps.iter().enumerate() {
            let revision = pair.revision().await;
            match histories::request(*step, &config, number, revision) {
                Some((call, request)) => {
                    pair.compare_bytes(call, request, || format!("step {number} of {steps:?}")).await;
                    assert!(pair.revision().await > revision, "step {number} of {steps:?} commits");
                }
                None => pair.administer(*step, &config, number).await,
            }
        }
        let last = pair.revision().await;
        for (call, request) in histories::probes(&config, first..=last, STEPS as u64) {
            pair.compare_bytes(call, request, || format!("after {steps:?}")).await;
        }
        assert_eq!(pair.revision().await, last, "probes commit nothing");
    }
}

/// Callers who may read one scope, or none.
const SCOPES_POLICY: &str = r#"{
  "roles": {"write": ["write", "override"], "validate": ["validate"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:reader"], "role": "viewer", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:reader"], "role": "viewer", "namespace": "test", "config": "governed", "scope": "/staging"},
    {"subjects": ["token:editor"], "role": "editor", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:editor"], "role": "editor", "namespace": "test", "config": "governed", "scope": "/staging"},
    {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "app", "scope": "/"},
    {"subjects": ["token:validate"], "role": "validate", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:nobody"], "role": "viewer", "namespace": "elsewhere", "config": "*", "scope": "/"}
  ]
}"#;

const SCOPES: &[[&str; 2]] = &[
    [r#""alpha-hidden""#, r#""bravo-hidden""#],
    ["1111", "2222"],
    [r#""green""#, r#""brown""#],
    ["alpha-config", "bravo-config"],
];

/// What a caller may read comes first: the documents of earlier versions are theirs, too.
const SCOPE_WRITES: &[Write] = &[
    base("app", "/staging", r#"{"token": "seen", "pin": 5, "db": {"password": "seen"}, "list": ["seen"]}"#),
    base(
        "app",
        "/",
        r#"{"token": @0, "pin": @1, "plain": "x", "db": {"password": @0, "user": "u"}, "list": [@1]}"#,
    ),
    base("app", "/production", r#"{"token": @0, "plain": @0, "extra": @1}"#),
    over("app", "/production/eu", r#"{"pin": @1}"#),
    base("schema:common", "/", r#"{"enum": ["red", @2]}"#),
    base("private", "/", r#"{"token": @0}"#),
    base("governed", "/staging", r#"{"pin": 5, "token": "seen"}"#),
    base("governed", "/", r#"{"pin": @1, "plain": "x", "token": @0, "color": "red"}"#),
    base(
        "schema:governed",
        "/",
        r#"{"properties": {"pin": {"maximum": 3000}, "color": {"$ref": "schema:common"}}}"#,
    ),
    base("governed", "/production", r#"{"pin": @1, "token": @0}"#),
];

const SCOPES_POOL: Pool = Pool {
    configs: &["app", "app", "governed", "private", "missing"],
    scopes: &["/", "/staging", "/staging", "/staging/a", "/production", "/production/eu"],
    pointers: POINTERS,
    inner: INNER,
    governing: HYPOTHETICAL,
    // Nothing of the enum that differs: whether a document is valid is told, as docs/security.md says.
    guesses: &["alpha-hidden", "bravo-hidden", "blue", "1111"],
    stores: false,
};

/// Who may not read a scope cannot tell two servers apart that differ there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_read_a_scope_learns_nothing_of_it() {
    let mut pair = Pair::start(SCOPES_POLICY, SCOPE_WRITES, SCOPES).await;
    pair.compare(&["reader", "validate", "nobody", "editor", "write"], &SCOPES_POOL).await;
    pair.compare(&["write"], &Pool { stores: true, ..SCOPES_POOL }).await;
    // Among them is a write that changes nothing on one side.
    pair.compare_from(&["write"], &Pool { stores: true, ..SCOPES_POOL }, 11).await;
}

/// Callers who are shown secrets at one scope.
const REVEALING_POLICY: &str = r#"{
  "roles": {"reveal": ["reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:above", "token:here", "token:proposer"], "role": "reveal", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:above"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:here"], "role": "editor", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:proposer"], "role": "approver", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// At the scope whose secrets are shown, none differs.
const REVEALING_WRITES: &[Write] = &[
    base(
        "app",
        "/staging",
        r#"{"token": {"$secret": "seen"}, "db": {"password": {"$secret": "seen"}}, "list": {"$secret": 1}, "pin": {"$secret": 5}}"#,
    ),
    base(
        "app",
        "/",
        r#"{"token": {"$secret": @0}, "db": {"password": {"$secret": @2}, "user": "u"}, "list": [{"$secret": @3}, 1], "plain": "x", "pin": {"$secret": @1}}"#,
    ),
    base("app", "/production", r#"{"token": {"$secret": @3}, "db": {"user": "v"}}"#),
    base("governed", "/staging", r#"{"token": {"$secret": "seen"}, "pin": {"$secret": 5}}"#),
    base("governed", "/", r#"{"token": {"$secret": @0}, "pin": {"$secret": @1}, "plain": "x"}"#),
    base(
        "schema:governed",
        "/",
        r#"{"properties": {"token": {"x-secret": true, "pattern": "^(alpha|seen)"}, "pin": {"x-secret": true, "maximum": 1500}}}"#,
    ),
    base(
        "rules:governed",
        "/",
        r#"{"rules": {"first": {"expression": "config.token.startsWith('alpha')", "severity": "warning", "message_expression": "'it is ' + config.token"}}}"#,
    ),
];

/// Whether secrets are shown at a scope, it shows no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_reveal_secrets_at_a_scope_learns_nothing_of_those_at_others() {
    let pool = Pool { stores: false, ..SECRETS_POOL };
    let mut pair = Pair::start(REVEALING_POLICY, REVEALING_WRITES, SECRETS).await;
    pair.compare(&["above", "here", "proposer"], &pool).await;
}

/// The same random requests are answered alike by gRPC and in JSON over HTTP: replies, refusals with all their details, and what is hidden.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_and_json_over_http_give_equal_answers() {
    let alike: Vec<[&str; 2]> = SECRETS.iter().map(|[first, _]| [*first, *first]).collect();
    let mut pair = Pair::start(SECRETS_POLICY, SECRET_WRITES, &alike).await;
    pair.0[1].json = Some(Http1::connect(pair.0[1].subject.here()).await);
    let pool = Pool { stores: true, ..SECRETS_POOL };
    pair.compare(&["viewer", "most"], &pool).await;
    pair.compare_from(&["write"], &pool, 23).await;
    assert!(pair.0[1].asked_in_json > REQUESTS, "most calls have one answer");
}
