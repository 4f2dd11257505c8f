//! What answers show to callers with some permissions only: nothing of a config and scope that they may not read, however they ask.

use confwatch::client::Client;
use confwatch::proto::v1::*;
use tonic::Code;

use super::auth::Guarded;
use super::support::*;

const POLICY: &str = r#"{
  "roles": {"write": ["write", "override", "rollback"], "validate": ["validate"], "proposer": ["read", "validate", "schema"],
            "migrator": ["schema"], "revealer": ["read", "reveal-secret"]},
  "bindings": [
    {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
    {"subjects": ["token:viewer"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:editor"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:staging"], "role": "editor", "namespace": "test", "config": "app", "scope": "/staging"},
    {"subjects": ["token:write"], "role": "write", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:validate"], "role": "validate", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:proposer"], "role": "proposer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:migrator"], "role": "migrator", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:author"], "role": "proposer", "namespace": "test", "config": "mine", "scope": "/"},
    {"subjects": ["token:author"], "role": "proposer", "namespace": "test", "config": "helper", "scope": "/"},
    {"subjects": ["token:author"], "role": "viewer", "namespace": "test", "config": "common", "scope": "/"},
    {"subjects": ["token:revealer"], "role": "viewer", "namespace": "test", "config": "*", "scope": "/"},
    {"subjects": ["token:revealer"], "role": "revealer", "namespace": "test", "config": "*", "scope": "/staging"}
  ]
}"#;

async fn start(layers: &[(&str, &str)]) -> Guarded {
    let guarded = Guarded::start().await;
    guarded.set_policy(POLICY).await.expect("the policy is good");
    for (scope, content) in layers {
        guarded.admin.api().set(set(replace(scope, content))).await.expect("set");
    }
    guarded
}

async fn put_schema(admin: &Client, config: &str, schema: &str) {
    let request = SchemaServicePutRequest {
        namespace: "test".into(),
        config: config.into(),
        schema: Some(json(schema)),
        ..Default::default()
    };
    admin.schemas().put(request).await.expect("the schema is put");
}

fn governing(config: &str, content: &str) -> Change {
    Change { config: config.into(), ..replace("/", content) }
}

async fn validated(client: &Client, changes: Vec<Change>) -> ValidateResponse {
    let request = ValidateRequest { changes, ..Default::default() };
    client.api().validate(request).await.expect("it is validated").into_inner()
}

#[tokio::test]
async fn proposing_governance_takes_the_permission_that_storing_it_takes() {
    let guarded = start(&[("/", r#"{"a": 1}"#)]).await;
    let (viewer, proposer) = (guarded.bearer("viewer").await, guarded.bearer("proposer").await);
    let proposals = [
        governing("rules:app", r#"{"rules": {"r": {"expression": "config.a == 1"}}}"#),
        governing("namespace:rules", r#"{"rules": {}}"#),
        governing("settings:app", r#"{"strict": true}"#),
        governing("namespace:settings", "{}"),
        governing("schema:app", r#"{"active": 1, "versions": [{"number": 1, "schema": {}}]}"#),
    ];
    for change in proposals {
        let request = ValidateRequest { changes: vec![change.clone()], ..Default::default() };
        refused(viewer.api().validate(request.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
        proposer
            .api()
            .validate(request)
            .await
            .unwrap_or_else(|status| panic!("{}: {status:?}", change.config));
    }
    let (schema, document) = (Some(json("{}")), Some(json("{}")));
    let request = ValidateRequest { namespace: "test".into(), schema, document, ..Default::default() };
    refused(viewer.api().validate(request.clone()).await, Code::PermissionDenied, "PERMISSION_DENIED");
    proposer.api().validate(request.clone()).await.expect("it is answered");
    let alone = ValidateRequest { namespace: String::new(), ..request };
    viewer.api().validate(alone).await.expect("nothing that is stored is looked at");
}

#[tokio::test]
async fn rules_and_schemas_see_a_mask_where_their_caller_may_not_see_the_secret() {
    let guarded = start(&[(
        "/",
        r#"{"token": {"$secret": "hunter2"}, "pin": {"$secret": 4711}, "tls": true, "a": 1}"#,
    )])
    .await;
    let proposer = guarded.bearer("proposer").await;
    // Whatever is asked, the answer is the same for what the secret is and for what it is not.
    let rule = |expression: &str| {
        let rules = serde_json::json!({"rules": {"r": {"expression": expression, "message_expression": "'it is ' + config.token"}}});
        governing("rules:app", &rules.to_string())
    };
    let schema = |schema: &str| {
        governing(
            "schema:app",
            &format!(r#"{{"active": 1, "versions": [{{"number": 1, "schema": {schema}}}]}}"#),
        )
    };
    for (right, wrong) in [
        (rule("config.token == 'hunter2'"), rule("config.token == 'hunter3'")),
        (rule("config.token.startsWith('h')"), rule("config.token.startsWith('x')")),
        (rule("config.tls && size(config.token) == 7"), rule("config.tls && size(config.token) == 8")),
        (rule("config.pin < 5000"), rule("config.pin < 1000")),
        (
            schema(r#"{"properties": {"token": {"pattern": "^h"}}}"#),
            schema(r#"{"properties": {"token": {"pattern": "^x"}}}"#),
        ),
        (
            schema(r#"{"properties": {"pin": {"maximum": 5000}}}"#),
            schema(r#"{"properties": {"pin": {"maximum": 50}}}"#),
        ),
        (
            schema(r#"{"anyOf": [{"properties": {"token": {"const": "hunter2"}}}]}"#),
            schema(r#"{"anyOf": [{"properties": {"token": {"const": "hunter3"}}}]}"#),
        ),
        (
            schema(r#"{"if": {"properties": {"pin": {"const": 4711}}}, "then": {"required": ["b"]}}"#),
            schema(r#"{"if": {"properties": {"pin": {"const": 4712}}}, "then": {"required": ["b"]}}"#),
        ),
    ] {
        let mut said = vec![];
        for change in [right, wrong] {
            let answer = validated(&proposer, vec![change]).await;
            let report = answer.report.expect("a report");
            assert!(!format!("{report:?}").contains("hunter2"), "{report:?}");
            // What was proposed is quoted in messages.
            said.push(
                report
                    .findings
                    .iter()
                    .map(|finding| (finding.code.clone(), finding.pointer.clone()))
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(said[0], said[1]);
    }
}

#[tokio::test]
async fn a_rule_about_a_secret_leaves_others_to_those_who_may_not_see_it() {
    let guarded = start(&[("/", r#"{"token": {"$secret": "hunter2"}, "tls": true}"#)]).await;
    let rules = r#"{"rules": {
        "long": {"expression": "size(config.token) > 5"},
        "either": {"expression": "config.tls || size(config.token) > 5"}}}"#;
    guarded.admin.api().set(set(governing("rules:app", rules))).await.expect("set");
    let editor = guarded.bearer("editor").await;
    // It was checked when it was written.
    editor.api().set(set(merge_patch("/", r#"{"a": 1}"#))).await.expect("the secret is as it was");
    // What depends on more than the secret cannot be decided for them.
    let status = refused(
        editor.api().set(set(merge_patch("/", r#"{"tls": false}"#))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
    let found = findings(&status);
    assert_eq!((found.len(), found[0].code.as_str()), (1, "either"));
    assert!(found[0].message.contains("depends on the secret at /token"), "{found:?}");
    // Who sees it is told the truth.
    guarded.admin.api().set(set(merge_patch("/", r#"{"tls": false}"#))).await.expect("it is long enough");
    // What the caller writes in clear text is checked as it is, and not quoted.
    let short = set(merge_patch("/", r#"{"token": {"$secret": "brief"}}"#));
    let status = refused(editor.api().set(short).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let mut codes: Vec<String> = findings(&status).into_iter().map(|finding| finding.code).collect();
    codes.sort();
    assert_eq!(codes, ["either", "long"]);
    assert!(!format!("{:?}", findings(&status)).contains("brief"));
}

#[tokio::test]
async fn who_may_not_read_is_shown_nothing_by_a_write() {
    let guarded = start(&[("/", r#"{"a": "canary"}"#), ("/staging", r#"{"a": "canary"}"#)]).await;
    let write = guarded.bearer("write").await;
    let mut api = write.api();
    let answer = api.set(set(merge_patch("/", "{}"))).await.expect("set").into_inner();
    let document = answer.document.expect("a document");
    assert_eq!((document.content.as_str(), document.digest.as_str(), document.layers.len()), ("", "", 0));
    let set_b = || vec![merge_patch("/", r#"{"b": 1}"#)];
    let answer = api.apply(ApplyRequest { changes: set_b(), ..Default::default() }).await.expect("applied");
    let result = answer.into_inner().results.remove(0);
    assert!(result.changed && result.diff.is_empty(), "{result:?}");
    // That nothing would change is not told.
    let validate_only = Some(WriteOptions { validate_only: true, ..Default::default() });
    for guess in ["canary", "other"] {
        let content = format!(r#"{{"a": "{guess}", "b": 1}}"#);
        let request = SetRequest { change: Some(replace("/", &content)), options: validate_only.clone() };
        assert!(api.set(request).await.expect("it would be set").into_inner().changed, "{guess}");
    }
    // A patch that tests what is there reads it.
    let patch = set(json_patch("/", r#"[{"op": "test", "path": "/a", "value": "canary"}]"#));
    refused(api.set(patch).await, Code::PermissionDenied, "PERMISSION_DENIED");
    let answer =
        api.rollback(rollback(rollback_request::To::Version(1))).await.expect("rolled back").into_inner();
    assert!(answer.changed && answer.layers.is_empty(), "{answer:?}");
    let answer = api.delete(delete(None)).await.expect("deleted").into_inner();
    assert!(answer.changed && answer.deleted.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn who_may_not_read_is_told_that_a_document_is_invalid_and_no_more() {
    let guarded = start(&[("/", r#"{"a": 1}"#), ("/staging", r#"{"name": "canary"}"#)]).await;
    put_schema(&guarded.admin, "app", r#"{"properties": {"a": {"maximum": 5}, "name": {"type": "string"}}}"#)
        .await;
    let validate = guarded.bearer("validate").await;
    for changes in [vec![merge_patch("/", r#"{"a": 7}"#)], vec![merge_patch("/", r#"{"name": 1, "a": 9}"#)]] {
        let answer = validated(&validate, changes).await;
        let report = answer.report.expect("a report");
        let codes: Vec<_> =
            report.findings.iter().map(|finding| (finding.code.as_str(), finding.pointer.as_str())).collect();
        assert_eq!((report.valid, codes), (false, vec![("HIDDEN_FINDING", "")]));
        assert!(report.findings[0].suggestion.contains("`read`"), "{report:?}");
    }
    let answer = validated(&validate, vec![merge_patch("/", r#"{"a": 2}"#)]).await;
    assert!(answer.report.expect("a report").valid && answer.affected.is_empty());
    assert!(answer.results[0].diff.is_empty(), "{:?}", answer.results);
    // Whose documents are invalid is told to those who may read them.
    let viewer = guarded.bearer("viewer").await;
    let answer = validated(&viewer, vec![merge_patch("/", r#"{"a": 7}"#)]).await;
    let scopes: Vec<_> =
        answer.report.expect("a report").findings.into_iter().map(|finding| finding.scope).collect();
    assert_eq!(scopes, ["/", "/staging"]);
    // What a scope would inherit is told to those who may read it.
    guarded.admin.api().set(set(merge_patch("/staging", r#"{"a": 3}"#))).await.expect("set");
    let settings = governing("settings:app", r#"{"lints": {"CREDENTIAL": "error"}}"#);
    guarded.admin.api().set(set(settings)).await.expect("set");
    guarded.admin.api().set(set(merge_patch("/production", r#"{"a": 4}"#))).await.expect("set");
    let staging = guarded.bearer("staging").await;
    let answer = validated(&staging, vec![change("/staging", change::Action::Delete(()))]).await;
    assert!(answer.report.expect("a report").valid);
    assert_eq!(answer.affected.iter().map(|target| target.scope.as_str()).collect::<Vec<_>>(), ["/staging"]);
}

#[tokio::test]
async fn whether_hidden_documents_are_valid_is_told_so_often_and_no_more() {
    let guarded = start(&[("/", r#"{"a": 1}"#), ("/staging", r#"{"a": 2}"#)]).await;
    put_schema(&guarded.admin, "app", r#"{"properties": {"a": {"maximum": 5}}}"#).await;
    let (validate, write) = (guarded.bearer("validate").await, guarded.bearer("write").await);
    let proposal = |a: u32| ValidateRequest {
        changes: vec![merge_patch("/", &format!(r#"{{"a": {a}}}"#))],
        ..Default::default()
    };
    for at in 0..20 {
        let answer = validate.api().validate(proposal(10 + at)).await.expect("told").into_inner();
        assert!(!answer.report.expect("a report").valid);
        let answer = write.api().set(set(merge_patch("/", r#"{"a": 7}"#))).await;
        refused(answer, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
    // Valid or not: which of them is refused would tell as well.
    for a in [1, 7] {
        let status = refused(
            validate.api().validate(proposal(a)).await,
            Code::ResourceExhausted,
            "HIDDEN_FINDINGS_LIMITED",
        );
        let (_, _, metadata) = told(&status);
        assert_eq!((metadata["namespace"].as_str(), metadata.get("config")), ("test", None));
        let write = write.api().set(set(merge_patch("/", &format!(r#"{{"a": {a}}}"#)))).await;
        refused(write, Code::ResourceExhausted, "HIDDEN_FINDINGS_LIMITED");
    }
    // Other configs of the namespace can reach the same documents.
    let other = Change { config: "other".into(), ..replace("/", "{}") };
    let proposal = ValidateRequest { changes: vec![other], ..Default::default() };
    refused(validate.api().validate(proposal).await, Code::ResourceExhausted, "HIDDEN_FINDINGS_LIMITED");
    // Who may read all of it is never refused.
    for _ in 0..30 {
        let answer = guarded.admin.api().set(set(merge_patch("/", r#"{"a": 7}"#))).await;
        refused(answer, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
    let denied = super::floods::listed(&guarded, AuditKind::Denied).await;
    for actor in ["token:validate", "token:write"] {
        let outcomes: std::collections::BTreeSet<_> = denied
            .iter()
            .filter(|entry| entry.actor == actor && entry.config != "other")
            .map(|entry| (entry.outcome.as_str(), entry.config.as_str(), entry.verb.as_str()))
            .collect();
        let expected = ["HIDDEN_FINDING", "HIDDEN_FINDINGS_LIMITED"].map(|outcome| (outcome, "app", "read"));
        assert_eq!(outcomes, expected.into());
    }
}

fn schema_config(of: &str, schema: &str) -> Change {
    let stored = format!(r#"{{"active": 1, "versions": [{{"number": 1, "schema": {schema}}}]}}"#);
    governing(&format!("schema:{of}"), &stored)
}

#[tokio::test]
async fn a_schema_through_which_others_refer_is_asked_as_seldom_and_recorded_where_it_is_read() {
    let guarded = start(&[]).await;
    let hidden = Change { config: "hidden".into(), ..replace("/staging", r#"{"code": "canary"}"#) };
    guarded.admin.api().set(set(hidden)).await.expect("set");
    put_schema(&guarded.admin, "mine", "true").await;
    put_schema(&guarded.admin, "helper", "true").await;
    let refers = r#"{"allOf": [{"$ref": "schema:mine"}, {"$ref": "schema:helper"}]}"#;
    put_schema(&guarded.admin, "hidden", refers).await;
    let author = guarded.bearer("author").await;
    let proposal = |config: &str, pattern: &str| ValidateRequest {
        changes: vec![schema_config(
            config,
            &format!(r#"{{"properties": {{"code": {{"not": {{"pattern": "{pattern}"}}}}}}}}"#),
        )],
        ..Default::default()
    };
    // What is valid answers a question as well, and the configs of a namespace have one budget.
    for at in 0..10 {
        for (config, pattern) in [("mine", "^x"), ("helper", if at == 0 { "^c" } else { "^x" })] {
            let answer =
                author.api().validate(proposal(config, pattern)).await.expect("answered").into_inner();
            assert_eq!(answer.report.expect("a report").valid, pattern == "^x", "{config} {at}");
        }
    }
    for (config, pattern) in [("mine", "^x"), ("helper", "^c")] {
        let answer = author.api().validate(proposal(config, pattern)).await;
        refused(answer, Code::ResourceExhausted, "HIDDEN_FINDINGS_LIMITED");
    }
    let put = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "mine".into(),
        schema: Some(json("{}")),
        ..Default::default()
    };
    refused(author.schemas().put(put).await, Code::ResourceExhausted, "HIDDEN_FINDINGS_LIMITED");
    let denied = super::floods::listed(&guarded, AuditKind::Denied).await;
    let told = denied.iter().filter(|entry| entry.outcome == "HIDDEN_FINDING");
    let mut places: Vec<_> = told.map(|entry| (entry.config.as_str(), entry.scope.as_str())).collect();
    places.sort();
    assert_eq!(places, [("hidden", "/staging"), ("schema:helper", "/")]);
}

#[tokio::test]
async fn proposals_that_reach_nothing_hidden_are_not_counted() {
    let guarded = start(&[("/", r#"{"a": 1}"#)]).await;
    let own = Change { config: "mine".into(), ..replace("/", r#"{"a": 1}"#) };
    guarded.admin.api().set(set(own)).await.expect("set");
    let author = guarded.bearer("author").await;
    for at in 0..25 {
        let schema = format!(r#"{{"properties": {{"a": {{"maximum": {at}}}}}}}"#);
        validated(&author, vec![schema_config("mine", &schema)]).await;
    }
}

#[tokio::test]
async fn a_change_that_does_not_fit_a_hidden_layer_is_refused_as_any_invalid_document() {
    let large = format!(r#"{{"list": [1, 2, 3], "text": "{}"}}"#, "x".repeat(700 << 10));
    let guarded = start(&[("/", &large)]).await;
    let write = guarded.bearer("write").await;
    let filler = "y".repeat(500 << 10);
    let too_large = format!(r#"{{"more": "{filler}"}}"#);
    let unfit =
        [assign("/", &[("list.7", "1")]), assign("/", &[("text.inner", "1")]), merge_patch("/", &too_large)];
    for (at, change) in unfit.into_iter().enumerate() {
        for validate_only in [true, false] {
            let options = Some(WriteOptions { validate_only, ..Default::default() });
            let request = SetRequest { change: Some(change.clone()), options };
            let status =
                refused(write.api().set(request).await, Code::FailedPrecondition, "VALIDATION_FAILED");
            let found = findings(&status);
            let found: Vec<_> =
                found.iter().map(|finding| (finding.code.as_str(), finding.pointer.as_str())).collect();
            assert_eq!(found, [("HIDDEN_FINDING", "")], "{at}");
        }
    }
    // What is wrong with the change whatever the layer has is told, and not counted.
    for _ in 0..20 {
        let answer = write.api().set(set(assign("/", &[("list.7", "1"), ("list", "[]")]))).await;
        refused_for(answer, "INVALID_ASSIGNMENT", "change.assign");
    }
    for _ in 6..20 {
        let answer = write.api().set(set(assign("/", &[("list.7", "1")]))).await;
        refused(answer, Code::FailedPrecondition, "VALIDATION_FAILED");
    }
    let answer = write.api().set(set(assign("/", &[("list.0", "1")]))).await;
    refused(answer, Code::ResourceExhausted, "HIDDEN_FINDINGS_LIMITED");
    let denied = super::floods::listed(&guarded, AuditKind::Denied).await;
    let is_told = |entry: &AuditEntry| entry.outcome == "HIDDEN_FINDING" && entry.config == "app";
    assert!(denied.iter().any(is_told), "{denied:?}");
    // Who may read the layer is told why.
    let editor = guarded.bearer("editor").await;
    refused_for(
        editor.api().set(set(assign("/", &[("list.7", "1")]))).await,
        "INVALID_ASSIGNMENT",
        "change.assign",
    );
}

#[tokio::test]
async fn a_schema_refers_to_what_its_author_may_read_and_to_nothing_else() {
    let guarded = start(&[]).await;
    put_schema(&guarded.admin, "vault", r#"{"properties": {"a": {"default": "canary"}}}"#).await;
    put_schema(&guarded.admin, "common", r#"{"properties": {"a": {"$ref": "schema:vault#/properties/a"}}}"#)
        .await;
    let author = guarded.bearer("author").await;
    let put = |reference: &str| SchemaServicePutRequest {
        namespace: "test".into(),
        config: "mine".into(),
        schema: Some(json(&format!(
            r#"{{"properties": {{"z": {{"$ref": "{reference}"}}, "c": {{"$ref": "schema:common#/properties/a"}}}}}}"#
        ))),
        ..Default::default()
    };
    // There or not: the answers are the same but for the names that the author has given.
    let mut said = std::collections::BTreeSet::new();
    for (name, pointer) in
        [("vault", "/properties/a"), ("vault", "/properties/b"), ("fault", "/properties/a")]
    {
        for reference in [format!("schema:{name}#{pointer}"), format!("{name}#{pointer}")] {
            let is_relative = !reference.starts_with("schema:");
            let status = refused(
                author.schemas().put(put(&reference)).await,
                Code::FailedPrecondition,
                "VALIDATION_FAILED",
            );
            let put_found = format!("{:?}", findings(&status));
            assert!(put_found.contains("SCHEMA_REFERENCE"), "{put_found}");
            let schema = format!(r#"{{"$ref": "{reference}"}}"#);
            let answer = validated(&author, vec![schema_config("mine", &schema)]).await;
            let changed = format!("{:?}", answer.report.expect("a report").findings);
            assert!(changed.contains("SCHEMA_REFERENCE"), "{changed}");
            let words = format!("{put_found} {changed}").replace(pointer, "POINTER").replace(name, "NAME");
            said.insert((is_relative, words));
        }
    }
    assert_eq!(said.len(), 2, "{said:?}");
    let stored = author.api().set(set(schema_config("mine", r#"{"$ref": "schema:vault"}"#))).await;
    refused(stored, Code::FailedPrecondition, "VALIDATION_FAILED");
    // What others have stored goes on, and may be referred to.
    let request = put("schema:common");
    author.schemas().put(request).await.expect("its author may read the other config");
    let request = put("schema:vault#/properties/a");
    guarded.admin.schemas().put(request).await.expect("its author may read everything");
    let own = Change { config: "mine".into(), ..replace("/", r#"{"z": 1}"#) };
    guarded.admin.api().set(set(own)).await.expect("it is valid");
}

#[tokio::test]
async fn the_schema_of_another_config_is_quoted_to_its_readers_only() {
    let guarded = start(&[("/", r#"{"color": "red"}"#)]).await;
    put_schema(&guarded.admin, "common", r#"{"enum": ["red", "canary"]}"#).await;
    put_schema(
        &guarded.admin,
        "app",
        r#"{"properties": {"color": {"$ref": "schema:common"}, "pool": {"maximum": 5}}}"#,
    )
    .await;
    let change = || vec![merge_patch("/staging", r#"{"color": "canery", "pool": 7}"#)];
    let staging = guarded.bearer("staging").await;
    let report = validated(&staging, change()).await.report.expect("a report");
    let messages: Vec<_> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{report:?}");
    assert!(!format!("{report:?}").contains("canary"), "{report:?}");
    assert!(
        messages.iter().any(|message| message.contains("at most 5")),
        "their own schema is: {messages:?}"
    );
    let viewer = guarded.bearer("viewer").await;
    let report = validated(&viewer, change()).await.report.expect("a report");
    assert!(format!("{report:?}").contains("did you mean"), "{report:?}");
}

fn explain(scope: &str) -> ExplainRequest {
    ExplainRequest {
        namespace: "test".into(),
        config: "app".into(),
        scope: scope.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn explain_shows_a_replaced_value_by_what_may_be_seen_where_it_is() {
    let guarded = start(&[
        ("/", r#"{"token": {"$secret": "canary-root"}, "kept": {"$secret": "canary-kept"}, "a": "plain-root", "gone": "plain-gone", "b": 1}"#),
        ("/staging", r#"{"token": {"$secret": "canary-staging"}, "a": 1, "gone": null}"#),
    ])
    .await;
    // The secrets of the scope, and what it inherits, but not what it replaces.
    let revealer = guarded.bearer("revealer").await;
    let said =
        format!("{:?}", revealer.api().explain(explain("/staging")).await.expect("explained").into_inner());
    assert!(said.contains("canary-staging") && said.contains("canary-kept"), "{said}");
    assert!(!said.contains("canary-root") && said.contains("***:"), "{said}");
    assert!(said.contains("plain-root") && said.contains("plain-gone"), "they may read it: {said}");
    // Values of layers above count as far as they are in the document.
    let staging = guarded.bearer("staging").await;
    let answer = staging.api().explain(explain("/staging")).await.expect("explained").into_inner();
    let said = format!("{answer:?}");
    assert!(
        !said.contains("plain-root") && !said.contains("plain-gone") && !said.contains("canary"),
        "{said}"
    );
    assert_eq!(answer.withheld.iter().map(|layer| layer.scope.as_str()).collect::<Vec<_>>(), ["/"]);
    let pointers: Vec<_> = answer.values.iter().map(|value| value.pointer.as_str()).collect();
    assert_eq!(pointers, ["/a", "/b", "/kept", "/token"]);
    let all = guarded.admin.api().explain(explain("/staging")).await.expect("explained").into_inner();
    assert!(format!("{all:?}").contains("canary-root") && all.withheld.is_empty());
}

#[tokio::test]
async fn a_document_has_no_digest_of_the_layers_above_it() {
    let guarded = start(&[("/", r#"{"a": 1}"#), ("/staging", r#"{"a": 2}"#)]).await;
    let staging = guarded.bearer("staging").await;
    let document =
        staging.api().get(get("/staging")).await.expect("there").into_inner().document.expect("one");
    let digests: Vec<_> = document.layers.iter().map(|layer| layer.digest.is_empty()).collect();
    assert_eq!(digests, [true, false]);
}

#[tokio::test]
async fn a_default_of_a_secret_is_shown_as_a_secret() {
    let guarded = start(&[("/staging", r#"{"db": {}}"#)]).await;
    let schema = r#"{"properties": {"db": {"properties": {"password": {"x-secret": true, "default": "canary"}, "port": {"default": 1}}}}}"#;
    put_schema(&guarded.admin, "app", schema).await;
    let filled = || GetRequest { apply_defaults: true, ..get("/staging") };
    let viewer = guarded.bearer("viewer").await;
    let read = async |client: &Client| {
        client.api().get(filled()).await.expect("it is there").into_inner().document.expect("one").content
    };
    let shown = read(&viewer).await;
    assert!(!shown.contains("canary") && shown.contains("***") && shown.contains(r#""port":1"#), "{shown}");
    // Nor is it told by the message of a rule.
    let rules = r#"{"rules": {"tells": {"expression": "!has(config.db.password) || config.db.port == 2", "severity": "warning", "message_expression": "'it is ' + config.db.password"}}}"#;
    guarded.admin.api().set(set(governing("rules:app", rules))).await.expect("set");
    let answer = validated(&viewer, vec![merge_patch("/staging", r#"{"db": {"x": 1}}"#)]).await;
    let told = format!("{:?}", answer.report.expect("a report").findings);
    assert!(told.contains("it is ***") && !told.contains("canary"), "{told}");
    let revealer = guarded.bearer("revealer").await;
    assert!(read(&revealer).await.contains("canary"));
    let target = WatchTarget {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/staging".into(),
        apply_defaults: true,
        ..Default::default()
    };
    let request = WatchRequest { targets: vec![target], ..Default::default() };
    let mut stream = viewer.api().watch(request).await.expect("it opens").into_inner();
    let first = format!("{:?}", stream.message().await.expect("it is open").expect("a snapshot"));
    assert!(!first.contains("canary") && first.contains("***"), "{first}");
}
