//! Messages that no generated client sends: empty ones, none at all, bytes that are no message, and too many or too large ones.

use confwatch::proto::v1::*;
use prost_types::Duration;
use tonic::Code;

use super::raw::{self, CALLS};
use super::support::*;

#[tokio::test]
async fn an_empty_request_is_refused_by_the_first_field_it_lacks() {
    let server = TestServer::start().await;
    for name in CALLS {
        let expected = match name {
            "BatchGet" | "List" | "ListChanges" | "StreamChanges" => {
                raw::call(&server, name, vec![vec![]]).await.expect("an empty request will do");
                continue;
            }
            "Set" => ("INVALID_FIELD", "change"),
            "Apply" | "Validate" => ("INVALID_FIELD", "changes"),
            "Revert" => ("INVALID_FIELD", "revisions"),
            "Search" => ("INVALID_FIELD", "key"),
            "GetCommit" => ("INVALID_FIELD", "revision"),
            "Diff" | "DiffNamespaces" => ("INVALID_FIELD", "older"),
            "Watch" => ("INVALID_FIELD", "targets"),
            "RequestProgress" => {
                refused(raw::call(&server, name, vec![vec![]]).await, Code::NotFound, "WATCH_NOT_FOUND");
                continue;
            }
            _ => ("INVALID_NAME", "namespace"),
        };
        refused_for(raw::call(&server, name, vec![vec![]]).await, expected.0, expected.1);
    }
}

#[tokio::test]
async fn a_call_without_a_message_is_malformed() {
    let server = TestServer::start().await;
    for name in CALLS {
        let result = raw::call(&server, name, vec![]).await;
        refused(result, Code::InvalidArgument, "MALFORMED_REQUEST");
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_malformed() {
    let server = TestServer::start().await;
    // An end in mid-field, a type of field that does not exist, a number that goes on for ever, a field 0.
    for bytes in [vec![0x0a, 0x7f], vec![0x0f, 0x01], vec![0xff; 12], vec![0x02, 0x00]] {
        for name in CALLS {
            let result = raw::call(&server, name, vec![bytes.clone()]).await;
            refused(result, Code::InvalidArgument, "MALFORMED_REQUEST");
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_malformed() {
    let server = TestServer::start().await;
    for name in CALLS {
        let bytes = match name {
            // Field 1 is a message, and its field 1 a text.
            "BatchGet" | "Set" | "Apply" | "Validate" | "Diff" | "Watch" => vec![0x0a, 3, 0x0a, 1, 0xff],
            "StreamChanges" => vec![0x12, 1, 0xff],
            _ => vec![0x0a, 1, 0xff],
        };
        let result = raw::call(&server, name, vec![bytes]).await;
        let status = refused(result, Code::InvalidArgument, "MALFORMED_REQUEST");
        assert!(status.message().contains("UTF-8"), "{name}: {status:?}");
    }
}

#[tokio::test]
async fn a_message_over_4_mib_is_too_large() {
    let server = TestServer::start().await;
    for name in CALLS {
        let result = raw::call(&server, name, vec![vec![0; (4 << 20) + 1]]).await;
        refused(result, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
    // It is the size that is refused: as much as fits is read.
    let result = raw::call(&server, "Set", vec![vec![0; 4 << 20]]).await;
    refused(result, Code::InvalidArgument, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_message_of_very_many_empty_items_is_refused_before_it_is_decoded() {
    let server = TestServer::start().await;
    for name in CALLS {
        // Field 1, with a length of 0: of lists, an item.
        let result = raw::call(&server, name, vec![[0x0a, 0].repeat(400_001)]).await;
        refused(result, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    }
    // Those of a message within the message count, too.
    let held = [0x3a, 0].repeat(400_001);
    let mut watch = vec![0x0a];
    prost::encoding::encode_varint(held.len() as u64, &mut watch);
    watch.extend(held);
    let result = raw::call(&server, "Watch", vec![watch]).await;
    refused(result, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn ten_thousand_watches_on_one_connection_are_all_told() {
    const WATCHES: usize = 10_000;
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let target = WatchTarget { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let request = WatchRequest {
        targets: vec![target],
        progress_interval: Some(Duration { seconds: 3600, nanos: 0 }),
        ..Default::default()
    };
    let opening = (0..WATCHES).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        tokio::spawn(async move {
            let mut stream = client.watch(request).await.expect("a stream").into_inner();
            let first = stream.message().await.expect("no error").expect("a snapshot");
            assert!(matches!(first.event, Some(watch_response::Event::Snapshot(_))), "{first:?}");
            stream
        })
    });
    let mut streams = Vec::with_capacity(WATCHES);
    for opened in opening.collect::<Vec<_>>() {
        streams.push(opened.await.expect("opened"));
    }
    let revision = put(&mut client, "/", r#"{"a":3}"#).await.store_revision;
    for stream in &mut streams {
        let response = stream.message().await.expect("no error").expect("an update");
        assert_eq!(response.revision, revision);
        let Some(watch_response::Event::Update(update)) = response.event else { panic!("an update") };
        assert_eq!(update.states[0].document.as_ref().expect("a document").content, r#"{"a":3}"#);
    }
}

#[tokio::test]
async fn findings_at_places_with_very_long_names_fit_a_message() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let members: Vec<String> = (0..1000).map(|at| format!(r#""{at}":"x""#)).collect();
    let name = "k".repeat(10_000);
    let document = format!(r#"{{"{name}":{{{}}}}}"#, members.join(","));
    let schema = r#"{"additionalProperties":{"additionalProperties":{"type":"integer"}}}"#;
    let request =
        ValidateRequest { schema: Some(json(schema)), document: Some(json(&document)), ..Default::default() };
    let report = client.validate(request).await.expect("the answer arrives").into_inner().report;
    let report = report.expect("a report");
    assert_eq!((report.valid, report.findings.len() as u64 + report.omitted), (false, 1000));
    assert!(!report.findings.is_empty());
    // The refusal of a write has a shorter report, in header fields.
    let put = SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(schema)),
        ..Default::default()
    };
    let mut schemas = schema_service_client::SchemaServiceClient::new(server.channel().await);
    schemas.put(put).await.expect("a schema");
    refused(client.set(set(replace("/", &document))).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let changes = vec![replace("/", &document)];
    let report = client.validate(ValidateRequest { changes, ..Default::default() }).await;
    let report = report.expect("the answer arrives").into_inner().report.expect("a report");
    assert_eq!((report.valid, report.findings.len() as u64 + report.omitted), (false, 1000));
}

#[tokio::test]
async fn the_places_of_secrets_in_a_hundred_layers_fit_an_answer() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    // Names of 60 bytes, and many secrets below them: the pointers of a layer have 15 KB.
    let secrets: Vec<String> = (0..200).map(|at| format!(r#""{at}":{{"$secret":1}}"#)).collect();
    let name = "n".repeat(60);
    let content = format!(r#"{{"{name}":{{{}}}}}"#, secrets.join(","));
    let scopes: Vec<String> = (0..100).map(|at| format!("/s{at:03}")).collect();
    for part in scopes.chunks(50) {
        let changes = part.iter().map(|scope| replace(scope, &content)).collect();
        client.apply(ApplyRequest { changes, options: None }).await.expect("applied");
    }
    let changes = scopes.iter().map(|scope| merge_patch(scope, r#"{"a":1}"#)).collect();
    let applied = client.apply(ApplyRequest { changes, options: None }).await.expect("the answer arrives");
    let results = applied.into_inner().results;
    assert_eq!(results.len(), scopes.len());
    let places = |result: &AppliedChange| {
        let document = result.document.as_ref().expect("a document");
        document.hidden_pointers.len() + document.revealed_pointers.len()
    };
    assert_eq!((places(&results[0]), places(&results[99])), (200, 1), "at last one for the whole layer");
    assert!(results.iter().all(|result| places(result) > 0));
}
