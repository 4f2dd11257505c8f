//! Secrets and writes: a caller who may not reveal a secret neither reads it by what they write or validate, nor carries it elsewhere, nor
//! tests guesses without being counted.

use std::fmt::Debug;

use confwatch::client::Client;
use confwatch::proto::v1::*;
use tonic::{Code, Response, Status};

use super::auth::Guarded;
use super::secrets::{PLAIN, assert_no_canary, assert_no_canary_on_disk};
use super::support::*;

const CANARY: &str = "cAnArY";

const POLICY: &str = r#"{
  "roles": {"validate": ["validate"], "blind": ["write", "rollback"], "owner": ["read", "write", "validate", "schema", "reveal-secret"],
            "author": ["read", "write", "validate", "schema"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:viewer"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:validate"], "role": "validate", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:editor"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:approver"], "role": "approver", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "editor", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:staging-owner"], "role": "owner", "namespace": "test", "config": "*", "scope": "/staging"},
    {"subjects": ["token:blind"], "role": "blind", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:author"], "role": "author", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:owner"], "role": "owner", "namespace": "test", "config": "*", "scope": "/"}
  ]
}"#;

/// A server with one secret at `/`.
async fn start() -> Guarded {
    let guarded = Guarded::start().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    let layer = format!(
        r#"{{"password":{{"$secret":"{CANARY}-root"}},"db":{{"key":{{"$secret":"{CANARY}-key"}},"port":1}},"plain":"{PLAIN}"}}"#
    );
    guarded.admin.api().set(set(replace("/", &layer))).await.expect("set");
    guarded
}

async fn validated(client: &Client, change: Change) -> Result<Response<ValidateResponse>, Status> {
    client.api().validate(ValidateRequest { changes: vec![change], ..Default::default() }).await
}

async fn written(client: &Client, change: Change) -> Result<Response<SetResponse>, Status> {
    client.api().set(set(change)).await
}

/// Everything that an answer says.
fn said<T: Debug>(answer: &Result<Response<T>, Status>) -> String {
    match answer {
        Ok(response) => format!("{:?}", response.get_ref()),
        Err(status) => format!("{} {}", status.message(), String::from_utf8_lossy(status.details())),
    }
}

#[track_caller]
fn assert_tells_nothing<T: Debug>(answer: &Result<Response<T>, Status>) {
    let said = said(answer);
    assert_no_canary("an answer", said.as_bytes());
    assert!(!said.contains("v1:"), "what is sealed never leaves: {said}");
}

/// The layer of `test/app` at a scope, as a client sees it.
async fn layer(client: &Client, scope: &str) -> serde_json::Value {
    let request = GetRequest { view: View::Layer.into(), ..get(scope) };
    serde_json::from_str(&text(client, request).await).expect("JSON")
}

async fn text(client: &Client, request: GetRequest) -> String {
    let answer = client.api().get(request).await.expect("it is there").into_inner();
    answer.document.expect("a document").content
}

/// How many versions `test/app` has.
async fn versions_of(client: &Client) -> usize {
    client.api().list_versions(versions()).await.expect("history").into_inner().versions.len()
}

/// The codes of all findings.
fn codes(response: &ValidateResponse) -> Vec<&str> {
    let report = response.report.as_ref().expect("a report");
    report.findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// Patches that would lead into a secret, or carry one elsewhere.
const THEFTS: [(&str, &str); 8] = [
    (r#"[{"op":"copy","from":"/password/$secret","path":"/x"}]"#, "PATCH_DOES_NOT_APPLY"),
    (r#"[{"op":"move","from":"/password/$secret","path":"/x"}]"#, "PATCH_DOES_NOT_APPLY"),
    (r#"[{"op":"test","path":"/password/$secret","value":"x"}]"#, "PATCH_DOES_NOT_APPLY"),
    (r#"[{"op":"copy","from":"/password","path":"/x"}]"#, "SECRET_NOT_REVEALED"),
    (r#"[{"op":"move","from":"/password","path":"/x"}]"#, "SECRET_NOT_REVEALED"),
    (
        r#"[{"op":"add","path":"/x","value":{}},{"op":"copy","from":"/db","path":"/x/y"}]"#,
        "SECRET_NOT_REVEALED",
    ),
    (r#"[{"op":"copy","from":"","path":"/x"}]"#, "SECRET_NOT_REVEALED"),
    (
        r#"[{"op":"add","path":"/x","value":{}},{"op":"move","from":"/password","path":"/x/$secret"}]"#,
        "SECRET_NOT_REVEALED",
    ),
];

#[tokio::test]
async fn no_patch_reads_a_secret_or_carries_it_elsewhere_without_the_permission() {
    let guarded = start().await;
    let owner = guarded.bearer("owner").await;
    for name in ["viewer", "validate", "editor"] {
        let client = guarded.bearer(name).await;
        for (patch, code) in THEFTS {
            let answer = validated(&client, json_patch("/", patch)).await;
            assert_tells_nothing(&answer);
            if name == "validate" {
                // Whether a patch applies tells of the layer.
                refused(answer, Code::PermissionDenied, "PERMISSION_DENIED");
                continue;
            }
            let answer = answer.expect("it is validated").into_inner();
            assert_eq!(codes(&answer), [code], "{name}: {patch}");
            assert!(answer.results.is_empty() && !answer.changed);
        }
    }
    let editor = guarded.bearer("editor").await;
    for (patch, code) in THEFTS {
        let answer = written(&editor, json_patch("/", patch)).await;
        assert_tells_nothing(&answer);
        refused(answer, Code::FailedPrecondition, code);
    }
    refused_for(
        written(&editor, assign("/", &[("password.$secret", "1")])).await,
        "INVALID_ASSIGNMENT",
        "change.assign",
    );
    refused_for(
        written(&editor, assign("/", &[("/db/key/x", "1")])).await,
        "INVALID_ASSIGNMENT",
        "change.assign",
    );
    let before = layer(&owner, "/").await;
    // Who may reveal it carries it along; it is as secret in its new place.
    let carry =
        r#"[{"op":"move","from":"/db/key","path":"/key"},{"op":"copy","from":"/key","path":"/again"}]"#;
    written(&owner, json_patch("/", carry)).await.expect("carried");
    let after = layer(&owner, "/").await;
    assert_eq!((&after["key"], &after["again"]), (&before["db"]["key"], &before["db"]["key"]));
    let hidden = layer(&editor, "/").await;
    assert_ne!(hidden["key"], hidden["again"], "equal values of two places are not told");
    for name in ["key", "again"] {
        assert!(hidden[name].as_str().is_some_and(|text| text.starts_with("***:")), "{hidden}");
    }
    // Anybody who may write replaces and removes it.
    let replace = r#"[{"op":"replace","path":"/key","value":"cAnArY-new"},{"op":"remove","path":"/again"}]"#;
    written(&editor, json_patch("/", replace)).await.expect("replaced");
    let after = layer(&owner, "/").await;
    assert_eq!((&after["key"], after.get("again")), (&"cAnArY-new".into(), None));
    written(&editor, merge_patch("/", r#"{"key":{"inner":"cAnArY-merged"}}"#)).await.expect("replaced whole");
    assert_eq!(layer(&owner, "/").await["key"], serde_json::json!({"inner": "cAnArY-merged"}));
    drop((owner, editor, guarded.admin));
    assert_no_canary_on_disk(guarded.server.stop().await.path());
}

#[tokio::test]
async fn a_test_of_a_secret_answers_who_may_reveal_it_and_nobody_else() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let test = |path: &str, value: &str| {
        json_patch("/", &format!(r#"[{{"op":"test","path":"{path}","value":{value}}}]"#))
    };
    let right = r#""cAnArY-root""#;
    for value in [right, r#"{"$secret":"cAnArY-root"}"#] {
        written(&owner, test("/password", value)).await.expect("it is equal");
    }
    written(&owner, test("/db", r#"{"key":"cAnArY-key","port":1}"#)).await.expect("it is equal");
    refused(
        written(&owner, test("/password", r#""other""#)).await,
        Code::FailedPrecondition,
        "PATCH_DOES_NOT_APPLY",
    );
    let mut told = vec![];
    for value in [right, r#""other""#, "1", r#"{"$secret":"cAnArY-root"}"#] {
        for path in ["/password", "/password/$secret", ""] {
            let answer = validated(&editor, test(path, value)).await;
            let write = written(&editor, test(path, value)).await;
            told.push((path, format!("{} {}", said(&answer), said(&write))));
        }
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 3, "one answer for each place: {told:?}");
}

#[tokio::test]
async fn a_fingerprint_means_the_secret_of_its_own_place_and_layer() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let staging = guarded.bearer("staging").await;
    let read = layer(&editor, "/").await;
    let fingerprint = read["password"].as_str().expect("a fingerprint").to_owned();
    // What was read, and written back with a change beside the secrets.
    let mut changed = read.clone();
    changed["plain"] = format!("{PLAIN}-2").into();
    let answer = written(&editor, replace("/", &changed.to_string())).await.expect("written");
    assert!(answer.get_ref().changed);
    let same = written(&editor, replace("/", &changed.to_string())).await.expect("written");
    assert!(!same.get_ref().changed, "fingerprints propose nothing");
    assert_eq!(layer(&owner, "/").await["password"], "cAnArY-root");
    // Under another key, in a list, as a part of another secret, and one that is not there.
    for (layer, code) in [
        (format!(r#"{{"x":"{fingerprint}"}}"#), "SECRET_HIDDEN"),
        (format!(r#"{{"x":{{"$secret":"{fingerprint}"}}}}"#), "SECRET_HIDDEN"),
        (format!(r#"{{"x":[{{"y":"{fingerprint}"}}]}}"#), "SECRET_HIDDEN"),
        (format!(r#"{{"db":{{"$secret":{{"key":{}}}}}}}"#, read["db"]["key"]), "SECRET_NOT_REVEALED"),
        (r#"{"password":"***:00000000"}"#.to_owned(), "SECRET_HIDDEN"),
    ] {
        let status = refused(
            written(&editor, merge_patch("/", &layer)).await,
            Code::FailedPrecondition,
            "VALIDATION_FAILED",
        );
        assert_eq!(findings(&status)[0].code, code, "{layer}");
    }
    // In a layer below, by somebody who may not reveal it where it comes from: to copy it on from there.
    let owner_of_staging = guarded.bearer("staging-owner").await;
    for (client, scope) in [(&staging, "/staging"), (&owner_of_staging, "/staging"), (&editor, "/staging/eu")]
    {
        for layer in [
            format!(r#"{{"password":"{fingerprint}"}}"#),
            format!(r#"{{"password":{{"$secret":"{fingerprint}"}}}}"#),
        ] {
            let status = refused(
                written(client, replace(scope, &layer)).await,
                Code::FailedPrecondition,
                "VALIDATION_FAILED",
            );
            assert_eq!(findings(&status)[0].code, "SECRET_INHERITED", "{layer}");
            assert!(findings(&status)[0].suggestion.contains("leave it out"), "{status:?}");
        }
    }
    written(&owner, replace("/staging", &format!(r#"{{"password":"{fingerprint}"}}"#)))
        .await
        .expect("who may reveal it");
    assert_eq!(layer(&owner, "/staging").await["password"], "cAnArY-root");
    // What nobody can read is nowhere as a text, neither.
    let plain = Change { config: "plain".into(), ..replace("/", r#"{"x":"***:0a1b2c3d"}"#) };
    let status = refused(written(&editor, plain).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(findings(&status)[0].code, "SECRET_HIDDEN");
}

/// Of what is proposed, nothing is told but that it is proposed.
#[tokio::test]
async fn validation_answers_every_guess_alike() {
    let guarded = start().await;
    let owner = guarded.bearer("owner").await;
    written(&owner, replace("/staging", r#"{"port":2,"db":{"user":"u"}}"#)).await.expect("written");
    let guesses = ["cAnArY-root", "cAnArY-roo", "x", "****"];
    for name in ["viewer", "validate", "editor"] {
        let client = guarded.bearer(name).await;
        let mut told = vec![];
        for guess in guesses {
            let guess = serde_json::json!({ "$secret": guess }).to_string();
            for change in [
                merge_patch("/", &format!(r#"{{"password":{guess}}}"#)),
                assign("/", &[("password", &guess)]),
                json_patch("/", &format!(r#"[{{"op":"replace","path":"/password","value":{guess}}}]"#)),
                merge_patch("/staging", &format!(r#"{{"password":{guess}}}"#)),
            ] {
                if name == "validate" && matches!(change.action, Some(change::Action::JsonPatch(_))) {
                    continue;
                }
                let what =
                    format!("{} {:?}", change.scope, change.action.as_ref().map(std::mem::discriminant));
                let mut answer = validated(&client, change).await.expect("validated").into_inner();
                answer.results.iter_mut().for_each(|result| without_time(result.document.as_mut()));
                assert!(answer.changed, "{name}: {answer:?}");
                // Who may not read is told of no scope.
                assert_eq!(answer.affected.is_empty(), name == "validate", "{name}: {answer:?}");
                told.push((what, format!("{answer:?}").replace(&guess, "GUESS")));
            }
        }
        assert_same_for_each(name, told, if name == "validate" { 3 } else { 4 });
    }
    // A write that is only validated is one as well.
    let editor = guarded.bearer("editor").await;
    let mut told = vec![];
    for guess in guesses {
        let options = Some(WriteOptions { validate_only: true, ..Default::default() });
        let change = merge_patch("/", &format!(r#"{{"password":"{guess}"}}"#));
        let request = SetRequest { change: Some(change.clone()), options: options.clone() };
        let mut answer = editor.api().set(request).await.expect("validated").into_inner();
        without_time(answer.document.as_mut());
        assert!(answer.changed && format!("{answer:?}").contains(r#"\"password\":\"***\""#), "{answer:?}");
        told.push(("Set".to_owned(), format!("{answer:?}")));
        let request = ApplyRequest { changes: vec![change], options };
        let mut answer = editor.api().apply(request).await.expect("validated").into_inner();
        answer.results.iter_mut().for_each(|result| without_time(result.document.as_mut()));
        told.push(("Apply".to_owned(), format!("{answer:?}")));
    }
    assert_same_for_each("validate_only", told, 2);
    // A thousand guesses at once, at scopes of their own.
    let changes = (0..1000).map(|at| {
        let guess = if at == 500 { "cAnArY-root".to_owned() } else { format!("guess-{at}") };
        replace(&format!("/s{at}"), &format!(r#"{{"password":{{"$secret":"{guess}"}}}}"#))
    });
    let request = ValidateRequest { changes: changes.collect(), ..Default::default() };
    let mut answer = editor.api().validate(request).await.expect("validated").into_inner();
    assert_eq!(answer.results.len(), 1000);
    answer.results.iter_mut().for_each(|result| without_time(result.document.as_mut()));
    let mut told: Vec<String> = answer
        .results
        .iter()
        .map(|result| format!("{result:?}").replace(&result.document.as_ref().expect("one").scope, "SCOPE"))
        .collect();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

/// The time at which the answer was made is no part of what is compared.
fn without_time(document: Option<&mut Document>) {
    document.expect("a document").update_time = None;
}

#[track_caller]
fn assert_same_for_each(name: &str, mut told: Vec<(String, String)>, count: usize) {
    told.sort();
    told.dedup();
    assert_eq!(told.len(), count, "{name}: {told:#?}");
}

/// Values written over secrets, as they are in the audit log.
async fn overwritten(admin: &Client) -> Vec<(String, String)> {
    let filter = AuditFilter { kinds: vec![AuditKind::Overwritten.into()], ..Default::default() };
    let request = AuditServiceListRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
    let entries = admin.audit().list(request).await.expect("listed").into_inner().entries;
    let of = |entry: &AuditEntry| {
        (entry.actor.clone(), format!("{}/{}{}", entry.namespace, entry.config, entry.scope))
    };
    entries.iter().map(of).collect()
}

#[tokio::test]
async fn every_stored_guess_is_a_commit_in_the_audit_log_and_there_are_few() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let guess = |value: &str| merge_patch("/", &format!(r#"{{"password":"{value}"}}"#));
    // Who may reveal it is told that nothing changes, as ever.
    assert!(!written(&owner, guess("cAnArY-root")).await.expect("written").get_ref().changed);
    let before = layer(&editor, "/").await;
    let versions_before = versions_of(&editor).await;
    for (at, value) in ["cAnArY-root", "cAnArY-root"].into_iter().enumerate() {
        let answer = written(&editor, guess(value)).await.expect("written").into_inner();
        assert!(answer.changed, "that it is the same is told by nothing but the fingerprint");
        assert_eq!(versions_of(&editor).await, versions_before + at + 1);
    }
    assert_eq!(layer(&editor, "/").await, before);
    let record = ("token:editor".to_owned(), "test/app/".to_owned());
    assert_eq!(overwritten(&guarded.admin).await, [record.clone(), record]);
    // At scopes of one's own, and with another secret there, all the same.
    for at in 0..18 {
        let change = replace(&format!("/try{at}"), &format!(r#"{{"password":{{"$secret":"guess-{at}"}}}}"#));
        written(&editor, change).await.expect("among the first");
    }
    let status =
        refused(written(&editor, guess("guess")).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    let (_, _, metadata) = told(&status);
    assert_eq!((metadata["config"].as_str(), metadata["pointer"].as_str()), ("app", "/password"));
    assert!(status.message().contains("reveal-secret"), "{status:?}");
    let removed = written(&editor, merge_patch("/", r#"{"password":null}"#)).await;
    removed.expect("it can still be removed");
    let again = merge_patch("/", r#"{"password":{"$secret":"guess"}}"#);
    refused(written(&editor, again).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    // Who sees their own layer can have somebody else read its fingerprints.
    let staging = guarded.bearer("staging-owner").await;
    let guess_below =
        |at: usize| replace("/staging", &format!(r#"{{"db":{{"key":{{"$secret":"guess-{at}"}}}}}}"#));
    for at in 0..20 {
        written(&staging, guess_below(at)).await.expect("among the first");
    }
    refused(written(&staging, guess_below(20)).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    // Others, other places, and what is no guess.
    written(&owner, guess("cAnArY-2")).await.expect("who may reveal it");
    written(&editor, merge_patch("/", r#"{"db":{"key":"other"}}"#)).await.expect("another place");
    written(&editor, merge_patch("/", r#"{"plain":"x"}"#)).await.expect("nothing secret");
    let read = layer(&editor, "/").await;
    written(&editor, replace("/", &read.to_string())).await.expect("fingerprints are no guesses");
}

/// A secret of its own at the same place of a scope of its own.
fn planted(config: &str, at: usize) -> Change {
    let content = format!(r#"{{"password":{{"$secret":"value-{at}"}}}}"#);
    Change { config: config.into(), ..replace(&format!("/s{at}"), &content) }
}

#[tokio::test]
async fn no_new_config_begins_with_many_guesses_at_one_place() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let apply = |config: &str| ApplyRequest {
        changes: (0..21).map(|at| planted(config, at)).collect(),
        ..Default::default()
    };
    refused(editor.api().apply(apply("planted")).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    owner.api().apply(apply("planted")).await.expect("who may reveal them");
}

#[tokio::test]
async fn elements_of_a_list_that_move_count_as_guesses_at_their_new_places() {
    let guarded = start().await;
    let editor = guarded.bearer("editor").await;
    let root = r#"{"list":[{"$secret":"cAnArY"},{"$secret":"other"}]}"#;
    written(&guarded.admin, replace("/", root)).await.expect("written");
    let guesses: Vec<String> = (0..40).map(|at| format!(r#"{{"$secret":"guess-{at}"}}"#)).collect();
    let guesses = format!(r#"{{"list":[{}]}}"#, guesses.join(","));
    written(&editor, replace("/staging", &guesses)).await.expect("one guess for each place");
    let shift = || written(&editor, json_patch("/staging", r#"[{"op":"remove","path":"/list/0"}]"#));
    for _ in 0..19 {
        shift().await.expect("among the first");
    }
    refused(shift().await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    // Who adds an element before the secret of a layer learns by its fingerprint whether it is the next one.
    let before = overwritten(&guarded.admin).await.len();
    let add = json_patch("/", r#"[{"op":"add","path":"/list/0","value":"public"}]"#);
    let _ = written(&editor, add).await;
    assert!(overwritten(&guarded.admin).await.len() > before, "it is recorded");
}

#[tokio::test]
async fn the_default_of_a_secret_has_no_fingerprint_to_compare() {
    let guarded = start().await;
    let (approver, editor) = (guarded.bearer("approver").await, guarded.bearer("editor").await);
    written(&editor, replace("/a", r#"{"pin":{"$secret":"4711"}}"#)).await.expect("written");
    written(&editor, replace("/b", r#"{"x":1}"#)).await.expect("written");
    let mut shown = vec![];
    for guess in ["1111", "4711"] {
        let schema =
            format!(r#"{{"properties":{{"pin":{{"type":"string","x-secret":true,"default":"{guess}"}}}}}}"#);
        let request = SchemaServicePutRequest {
            namespace: "test".into(),
            config: "app".into(),
            schema: Some(json(&schema)),
            accept_existing: true,
            ..Default::default()
        };
        approver.schemas().put(request).await.expect("put");
        shown.push(text(&approver, GetRequest { apply_defaults: true, ..get("/b") }).await);
    }
    assert_eq!(shown[0], shown[1]);
    assert!(shown[0].contains(r#""pin":"***""#), "{}", shown[0]);
}

#[tokio::test]
async fn a_pipeline_writes_all_its_secrets_and_writes_them_again() {
    let guarded = start().await;
    let editor = guarded.bearer("editor").await;
    let apply = |suffix: &str| {
        let secrets: Vec<String> =
            (0..200).map(|at| format!(r#""s{at}":{{"$secret":"value-{at}{suffix}"}}"#)).collect();
        let one = Change { config: "many".into(), ..replace("/", &format!("{{{}}}", secrets.join(","))) };
        // One place at some scopes, none of which had it before.
        let scoped = (0..20).map(|at| planted("scoped", at));
        ApplyRequest {
            changes: [one].into_iter().chain(scoped.filter(|_| suffix.is_empty())).collect(),
            ..Default::default()
        }
    };
    assert!(editor.api().apply(apply("")).await.expect("applied").get_ref().changed);
    for suffix in ["-1", "-2", "-2"] {
        assert!(editor.api().apply(apply(suffix)).await.expect("applied").get_ref().changed);
    }
}

#[tokio::test]
async fn a_rollback_tells_nothing_of_secrets_to_who_may_not_even_read() {
    let guarded = start().await;
    let blind = guarded.bearer("blind").await;
    let roll_back = async || {
        let answer = blind.api().rollback(rollback(rollback_request::To::Version(1))).await;
        answer.expect("rolled back").into_inner().changed
    };
    assert!(roll_back().await, "it is as it was, and that is not told");
    written(&blind, merge_patch("/", r#"{"password":"guess"}"#)).await.expect("written");
    assert!(roll_back().await);
    let owner = guarded.bearer("owner").await;
    assert_eq!(layer(&owner, "/").await["password"], "cAnArY-root");
}

#[tokio::test]
async fn a_first_value_where_a_secret_was_removed_is_a_guess() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let other = |change: Change| Change { config: "other".into(), ..change };
    written(&owner, other(replace("/", r#"{"token":{"$secret":"cAnArY-gone"}}"#))).await.expect("written");
    written(&owner, other(merge_patch("/", r#"{"token":null}"#))).await.expect("removed");
    // Its fingerprint is in history, so that each scope could test another value.
    let guesses = |first: usize, count: usize| {
        let guess = |at: usize| {
            other(replace(&format!("/try{at}"), &format!(r#"{{"token":{{"$secret":"guess-{at}"}}}}"#)))
        };
        ApplyRequest { changes: (first..first + count).map(guess).collect(), ..Default::default() }
    };
    let too_many = editor.api().apply(guesses(0, 21)).await;
    refused(too_many, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    editor.api().apply(guesses(0, 20)).await.expect("as many as there may be");
    let recorded = overwritten(&guarded.admin).await;
    let of = |at: usize| ("token:editor".to_owned(), format!("test/other/try{at}"));
    assert!((0..20).all(|at| recorded.contains(&of(at))), "{recorded:?}");
    refused(editor.api().apply(guesses(20, 1)).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    // Also for somebody who may reveal their own layers.
    let staging = guarded.bearer("staging-owner").await;
    let below = |count: usize| {
        let guess = |at: usize| {
            let secret = format!(r#"{{"token":{{"$secret":"guess-{at}"}}}}"#);
            Change { config: "third".into(), ..replace(&format!("/staging/try{at}"), &secret) }
        };
        ApplyRequest { changes: (0..count).map(guess).collect(), ..Default::default() }
    };
    let third = |change: Change| Change { config: "third".into(), ..change };
    written(&owner, third(replace("/", r#"{"token":{"$secret":"cAnArY-gone"}}"#))).await.expect("written");
    written(&owner, third(merge_patch("/", r#"{"token":null}"#))).await.expect("removed");
    refused(staging.api().apply(below(21)).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
    staging.api().apply(below(20)).await.expect("as many as there may be");
}

#[tokio::test]
async fn a_value_that_is_restored_to_the_place_of_a_secret_is_a_guess() {
    let guarded = start().await;
    let (owner, editor) = (guarded.bearer("owner").await, guarded.bearer("editor").await);
    let other = |change: Change| Change { config: "other".into(), ..change };
    let delete = || DeleteRequest { config: "other".into(), ..delete(Some("/try")) };
    let mut planted = vec![];
    for at in 0..21 {
        let guess = other(replace("/try", &format!(r#"{{"token":"guess-{at}"}}"#)));
        let version = written(&editor, guess).await.expect("nothing is secret").into_inner().document;
        let deleted = editor.api().delete(delete()).await.expect("deleted").into_inner();
        planted.push((version.expect("a document").version, deleted.store_revision));
    }
    written(&owner, other(replace("/", r#"{"token":{"$secret":"cAnArY"}}"#))).await.expect("written");
    let rollback = |version: u64| RollbackRequest {
        namespace: "test".into(),
        config: "other".into(),
        to: Some(rollback_request::To::Version(version)),
        scope: Some("/try".into()),
        ..Default::default()
    };
    let revert = |revision: u64| RevertRequest { revisions: vec![revision], options: None };
    let restore = |before: u64| RestoreRequest {
        namespace: "test".into(),
        config: "other".into(),
        scope: Some("/try".into()),
        to: Some(restore_request::To::Revision(before - 1)),
        ..Default::default()
    };
    for (at, (version, revision)) in planted[..20].iter().enumerate() {
        match at % 3 {
            0 => _ = editor.api().restore(restore(*revision)).await.expect("among the first"),
            1 => _ = editor.api().rollback(rollback(*version)).await.expect("among the first"),
            _ => _ = editor.api().revert(revert(*revision)).await.expect("among the first"),
        }
        editor.api().delete(delete()).await.expect("deleted");
    }
    let record = ("token:editor".to_owned(), "test/other/try".to_owned());
    assert_eq!(overwritten(&guarded.admin).await, vec![record; 20]);
    let (version, revision) = planted[20];
    let reason = "SECRET_WRITES_LIMITED";
    refused(editor.api().rollback(rollback(version)).await, Code::ResourceExhausted, reason);
    refused(editor.api().revert(revert(revision)).await, Code::ResourceExhausted, reason);
    refused(editor.api().restore(restore(revision)).await, Code::ResourceExhausted, reason);
}

fn marking(config: &str, validate_only: bool) -> SchemaServicePutRequest {
    SchemaServicePutRequest {
        namespace: "test".into(),
        config: config.into(),
        schema: Some(json(r#"{"properties":{"token":{"x-secret":true}}}"#)),
        accept_existing: true,
        options: Some(WriteOptions { validate_only, ..Default::default() }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_schema_that_makes_stored_values_secret_is_a_guess_of_its_author() {
    let guarded = start().await;
    let (owner, author) = (guarded.bearer("owner").await, guarded.bearer("author").await);
    let other = |change: Change| Change { config: "other".into(), ..change };
    written(&owner, other(replace("/", r#"{"token":{"$secret":"cAnArY"}}"#))).await.expect("written");
    written(&owner, other(replace("/", r#"{}"#))).await.expect("removed");
    written(&author, other(replace("/", r#"{"token":"guess"}"#))).await.expect("nothing is secret");
    // Validated, the new secret has no fingerprint.
    let stored =
        r#"{"active":1,"versions":[{"number":1,"schema":{"properties":{"token":{"x-secret":true}}}}]}"#;
    let schema = Change { config: "schema:other".into(), ..replace("/", stored) };
    let validate_only = Some(WriteOptions { validate_only: true, ..Default::default() });
    let changes = vec![other(merge_patch("/", "{}")), schema];
    let proposed = ApplyRequest { changes, options: validate_only };
    let answer = author.api().apply(proposed).await.expect("valid").into_inner();
    let [change] = answer.results[0].diff.as_slice() else { panic!("one difference: {answer:?}") };
    assert_eq!((change.pointer.as_str(), change.new_value.as_str()), ("/token", r#""***""#));
    author.schemas().put(marking("other", true)).await.expect("valid");
    assert_eq!(overwritten(&guarded.admin).await, []);
    author.schemas().put(marking("other", false)).await.expect("stored");
    let record = ("token:author".to_owned(), "test/other/".to_owned());
    assert_eq!(overwritten(&guarded.admin).await, [record]);
    // A place with very many values can be marked, and uses up the count.
    for at in 0..30 {
        let planted = replace(&format!("/s{at}"), &format!(r#"{{"token":"value-{at}"}}"#));
        written(&author, Change { config: "many".into(), ..planted }).await.expect("nothing is secret");
    }
    author.schemas().put(marking("many", false)).await.expect("stored");
    let again = Change { config: "many".into(), ..replace("/s0", r#"{"token":"another"}"#) };
    refused(written(&author, again).await, Code::ResourceExhausted, "SECRET_WRITES_LIMITED");
}

#[tokio::test]
async fn a_write_to_a_layer_that_its_author_may_not_read_always_counts_as_a_change() {
    let guarded = start().await;
    let (blind, owner) = (guarded.bearer("blind").await, guarded.bearer("owner").await);
    for scope in ["/", "/staging"] {
        written(&owner, replace(scope, r#"{"plain":"same"}"#)).await.expect("written");
        let versions = versions_of(&owner).await;
        for times in 1..=2 {
            let same = written(&blind, merge_patch(scope, r#"{"plain":"same"}"#)).await.expect("written");
            let same = same.into_inner();
            assert!(same.changed, "{scope}");
            assert_eq!(versions_of(&owner).await, versions + times);
        }
        // Who may read it is told.
        assert!(
            !written(&owner, merge_patch(scope, r#"{"plain":"same"}"#))
                .await
                .expect("written")
                .get_ref()
                .changed
        );
        assert_eq!(versions_of(&owner).await, versions + 2);
    }
    let roll_back = async || {
        let to = rollback_request::To::Version(2);
        blind.api().rollback(rollback(to)).await.expect("rolled back").into_inner().changed
    };
    assert!(roll_back().await);
    assert!(roll_back().await, "it is as it was, and that is not told");
}

async fn put_schema(client: &Client, up: Option<&str>) {
    let request = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(&format!(r#"{{"title":"{}"}}"#, up.unwrap_or_default().replace('"', "'")))),
        up: up.unwrap_or_default().into(),
        ..Default::default()
    };
    client.schemas().put(request).await.expect("put");
}

async fn migrated(client: &Client) -> Result<Response<MigrateResponse>, Status> {
    let request = MigrateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    client.schemas().migrate(request).await
}

#[tokio::test]
async fn migrations_carry_secrets_whole_for_who_may_reveal_them_and_convert_none() {
    let guarded = start().await;
    let (owner, approver) = (guarded.bearer("owner").await, guarded.bearer("approver").await);
    put_schema(&owner, None).await;
    for (steps, code) in [
        (r#"[{"convert":{"at":"/password","expression":"value + 'x'"}}]"#, "MIGRATION_FAILED"),
        (r#"[{"convert":{"at":"/db","expression":"1"}}]"#, "MIGRATION_FAILED"),
        (r#"[{"move":{"from":"/password/$secret","to":"/x"}}]"#, "MIGRATION_FAILED"),
        (r#"[{"set_default":{"at":"/password/x","value":1}}]"#, "MIGRATION_FAILED"),
        (r#"[{"move":{"from":"/plain","to":"/db/key/x"}}]"#, "MIGRATION_FAILED"),
    ] {
        put_schema(&owner, Some(steps)).await;
        for client in [&owner, &approver] {
            let answer = migrated(client).await;
            assert_tells_nothing(&answer);
            let status = refused(answer, Code::FailedPrecondition, "VALIDATION_FAILED");
            assert_eq!(findings(&status)[0].code, code, "{steps}");
        }
        // Away with what cannot be done.
        put_schema(&owner, None).await;
    }
    put_schema(&owner, Some(r#"[{"convert":{"at":"/plain","expression":"config.password"}}]"#)).await;
    migrated(&owner).await.expect("migrated");
    assert_eq!(layer(&owner, "/").await["plain"], "***", "expressions see no secret");
    put_schema(
        &owner,
        Some(r#"[{"move":{"from":"/password","to":"/moved"}},{"rename":{"at":"/db","to":"base"}}]"#),
    )
    .await;
    let status = refused(migrated(&approver).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let found: Vec<(String, String)> =
        findings(&status).into_iter().map(|finding| (finding.code, finding.pointer)).collect();
    let expected = ["/base/key", "/moved"].map(|at| ("SECRET_NOT_REVEALED".to_owned(), at.to_owned()));
    assert_eq!(found, expected);
    migrated(&owner).await.expect("who may reveal them moves them");
    let after = layer(&owner, "/").await;
    assert_eq!((&after["moved"], &after["base"]["key"]), (&"cAnArY-root".into(), &"cAnArY-key".into()));
    put_schema(&owner, Some(r#"[{"remove":{"at":"/moved"}}]"#)).await;
    migrated(&approver).await.expect("anybody who may migrate removes them");
    assert!(layer(&owner, "/").await.get("moved").is_none());
    let with_secret = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json("{}")),
        up: r#"[{"set_default":{"at":"/x","value":{"$secret":"cAnArY"}}}]"#.into(),
        ..Default::default()
    };
    refused_for(owner.schemas().put(with_secret).await, "INVALID_FIELD", "up");
    written(&owner, merge_patch("/", &format!(r#"{{"plain":"{PLAIN}"}}"#))).await.expect("written");
    drop((owner, approver, guarded.admin));
    assert_no_canary_on_disk(guarded.server.stop().await.path());
}
