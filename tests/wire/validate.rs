//! Validate says what Apply would, and does nothing.

use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;

async fn validate(client: &mut Client, changes: Vec<Change>) -> ValidateResponse {
    client.validate(ValidateRequest { changes, ..Default::default() }).await.expect("validate").into_inner()
}

#[tokio::test]
async fn good_changes_are_answered_as_apply_would_and_not_made() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let changes = vec![merge_patch("/", r#"{"a":2}"#), merge_patch("/production", r#"{"b":1}"#)];
    let verdict = validate(&mut client, changes.clone()).await;
    assert!(verdict.changed && verdict.report.as_ref().expect("a report").valid);
    assert_eq!(verdict.store_revision, 1);
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    assert_eq!(store_revision(&mut client).await, 1);
    let applied = client.apply(ApplyRequest { changes, options: None }).await.expect("apply").into_inner();
    let without_time = |results: Vec<AppliedChange>| {
        let results = results.into_iter().map(|result| AppliedChange {
            document: result.document.map(|document| Document { update_time: None, ..document }),
            ..result
        });
        results.collect::<Vec<_>>()
    };
    assert_eq!(without_time(verdict.results), without_time(applied.results));
    assert_eq!(verdict.report, applied.report);
    let nothing = validate(&mut client, vec![merge_patch("/", "{}")]).await;
    assert!(!nothing.changed && nothing.report.expect("a report").valid);
}

#[tokio::test]
async fn documents_that_cannot_be_read_are_findings_each_with_its_place() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let verdict = validate(
        &mut client,
        vec![replace("/", "{"), replace("/good", "{}"), replace("/production", r#"{"a":{"b":1,"b":2}}"#)],
    )
    .await;
    let report = verdict.report.expect("a report");
    assert!(!report.valid && !verdict.changed && verdict.results.is_empty());
    let told: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            assert_eq!((finding.severity(), finding.config.as_str()), (Severity::Error, "app"));
            assert_eq!(finding.namespace, "test");
            (finding.code.as_str(), finding.scope.as_str(), finding.pointer.as_str())
        })
        .collect();
    assert_eq!(told, [("MALFORMED_DOCUMENT", "/", ""), ("DUPLICATE_KEY", "/production", "/a/b")]);
    assert!(report.findings[1].message.contains("line 1"), "{report:?}");
}

#[tokio::test]
async fn each_finding_of_the_contract_is_found() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let nested = format!("{}1{}", r#"{"a":"#.repeat(65), "}".repeat(65));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let toml = Text { content: "a = nan".into(), format: Format::Toml.into() };
    for (change, code) in [
        (replace("/", "x"), "MALFORMED_DOCUMENT"),
        (replace("/", r#"{"a":1,"a":2}"#), "DUPLICATE_KEY"),
        (replace("/", &nested), "TOO_DEEP"),
        (replace("/", &large), "LAYER_TOO_LARGE"),
        (replace("/", "[]"), "NOT_AN_OBJECT"),
        (change("/", change::Action::Replace(toml)), "NUMBER_OUT_OF_RANGE"),
        (json_patch("/", r#"[{"op":"remove","path":"/x"}]"#), "PATCH_DOES_NOT_APPLY"),
        (json_patch("/", r#"[{"op":"replace","path":"","value":1}]"#), "NOT_AN_OBJECT"),
        (assign("/", &[("a.b", "1")]), "INVALID_ASSIGNMENT"),
    ] {
        let report =
            validate(&mut client, vec![replace("/other", "{}"), change]).await.report.expect("a report");
        let codes: Vec<_> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!((report.valid, codes.as_slice()), (false, [code].as_slice()));
        assert_eq!(report.findings[0].scope, "/");
    }
    let part = |name: &str| format!(r#"{{"{name}":"{}"}}"#, "x".repeat(800 << 10));
    let changes = vec![replace("/", &part("a")), replace("/x", &part("b")), replace("/x/y", &part("c"))];
    let report = validate(&mut client, changes).await.report.expect("a report");
    assert_eq!((report.valid, report.findings.len()), (false, 1));
    assert_eq!(
        (report.findings[0].code.as_str(), report.findings[0].scope.as_str()),
        ("DOCUMENT_TOO_LARGE", "/x/y")
    );
    assert_eq!(store_revision(&mut client).await, 1);
}

#[tokio::test]
async fn a_stale_expected_version_is_an_error_and_no_finding() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let stale = Change { expected_version: Some(0), ..replace("/", "{}") };
    let status = refused(
        client.validate(ValidateRequest { changes: vec![stale], ..Default::default() }).await,
        Code::Aborted,
        "VERSION_MISMATCH",
    );
    assert_eq!(told(&status).2["current_version"], "1");
}

#[tokio::test]
async fn everything_that_is_wrong_is_found_at_once_in_the_order_of_the_changes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let misfit =
        |scope: &str| change(scope, change::Action::JsonPatch(json(r#"[{"op":"remove","path":"/z"}]"#)));
    let changes = vec![misfit("/"), replace("/a", "{"), merge_patch("/b", "{}"), misfit("/c")];
    let verdict = validate(&mut client, changes.clone()).await;
    let findings = verdict.report.expect("a report").findings;
    let told: Vec<_> =
        findings.iter().map(|finding| (finding.code.as_str(), finding.scope.as_str())).collect();
    let expected =
        [("PATCH_DOES_NOT_APPLY", "/"), ("MALFORMED_DOCUMENT", "/a"), ("PATCH_DOES_NOT_APPLY", "/c")];
    assert_eq!(told, expected);
    let stale = Change { expected_version: Some(7), ..merge_patch("/b", "{}") };
    let request = ValidateRequest { changes: vec![changes[0].clone(), stale], ..Default::default() };
    refused(client.validate(request).await, Code::Aborted, "VERSION_MISMATCH");
}
