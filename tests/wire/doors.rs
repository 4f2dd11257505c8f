//! Every call with one answer, by gRPC on one server and in JSON over HTTP on another: who gets in, what they may, and what they are answered.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use confwatch::proto::v1::FILE_DESCRIPTOR_SET;
use http::Method;
use http::header::CONTENT_TYPE;
use prost::Message;
use regex::Regex;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::auth::{Guarded, Raw, Row, admin_token, rows};
use super::http::{Http1, annotated, bytes_of, is_unary, messages, request_json, status_of};
use super::noninterference::answers::{Seen, in_words, refusal_in_words};

/// Answers that no two servers have in common: figures of the process, and records of the audit log, which are written in the order of their times.
const OWN_ANSWERS: &[&str] = &["StatusService/Get", "AuditService/List", "AuditService/Verify"];

/// Ids that are random, and the directory of a server.
static IDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"\b(id|token|upload_id|master_key_source): "[^"]*"|token [0-9a-f]{12}"#).expect("a pattern")
});

/// One of two servers.
struct Side {
    guarded: Guarded,
    seen: Seen,
    grpc: Grpc<Channel>,
    json: Http1,
}

impl Side {
    async fn start() -> Side {
        let guarded = Guarded::start_with_policy().await;
        let address = format!("http://{}", guarded.server.running.address());
        let endpoint = Endpoint::from_shared(address).expect("an address");
        let grpc = Grpc::new(endpoint.connect().await.expect("the server listens"));
        let json = Http1::connect(&guarded.server).await;
        Side { guarded, seen: Seen::default(), grpc, json }
    }

    async fn by_grpc(&mut self, row: &Row, authorization: Option<&str>) -> Result<Vec<u8>, Status> {
        self.grpc.ready().await.expect("ready");
        let mut request = Request::new(row.message.clone());
        if let Some(value) = authorization {
            request.metadata_mut().insert("authorization", value.parse().expect("a header"));
        }
        let path = format!("/confwatch.v1.{}", row.call).parse().expect("a path");
        Ok(self.grpc.unary(request, path, Raw).await?.into_inner())
    }

    /// By the route of the call, or else by its path.
    async fn by_json(
        &mut self,
        row: &Row,
        by_route: bool,
        authorization: Option<&str>,
    ) -> Result<Vec<u8>, Status> {
        let json = request_json(row.call, &row.message).expect("JSON");
        let by_path = (Method::POST, format!("/confwatch.v1.{}", row.call), json);
        let route = annotated(row.call, &row.message).filter(|_| by_route);
        let (method, path, content) = route.unwrap_or(by_path);
        let mut request = http::Request::builder().method(method).uri(&path).header("host", "localhost");
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = self.json.send(request, content).await;
        answer.check_headers();
        if answer.status.is_success() {
            return Ok(bytes_of(messages(row.call).1, &answer.body));
        }
        let problem = answer.json();
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let status = status_of(&problem);
        let challenge = answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer "));
        assert_eq!(challenge, status.code() == Code::Unauthenticated, "{path}: {problem}");
        Err(status)
    }

    /// An answer in words, without what two servers cannot have in common.
    fn words(&mut self, call: &str, answer: &Result<Vec<u8>, Status>) -> String {
        let words = match answer {
            Ok(_) if OWN_ANSWERS.contains(&call) => String::new(),
            Ok(message) => in_words(call, message),
            Err(status) => refusal_in_words(status),
        };
        IDS.replace_all(&self.seen.comparable(&words), "ID").into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_alike_by_both_doors() {
    let described = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
    let services = described.file.iter().flat_map(|file| &file.service);
    let calls: BTreeSet<String> = services
        .flat_map(|service| {
            let unary = service.method.iter().filter(|method| !method.server_streaming());
            unary.map(|method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    let rows: Vec<Row> = rows().into_iter().filter(|row| is_unary(row.call)).collect();
    assert_eq!(calls, rows.iter().map(|row| row.call.to_owned()).collect(), "every call has a row");

    for by_route in [false, true] {
        let (mut first, mut second) = tokio::join!(Side::start(), Side::start());
        for row in &rows {
            let mut credentials: [Vec<Option<String>>; 2] = [vec![], vec![]];
            for (credentials, side) in credentials.iter_mut().zip([&first, &second]) {
                let bearer = |token: &str| Some(format!("Bearer {token}"));
                let too_little = if row.right == "audit" { "read" } else { "audit" };
                let right = match row.right {
                    "admin" => admin_token(&side.guarded.server.directory),
                    verb => side.guarded.token(verb).await.0,
                };
                let malformed = [None, Some("Basic YTpi".to_owned()), bearer("a.b.c")];
                credentials.extend(malformed);
                credentials.push(bearer(&side.guarded.token(too_little).await.0));
                credentials.push(bearer(&right));
            }
            let [of_first, of_second] = &credentials;
            for (which, (one, other)) in of_first.iter().zip(of_second).enumerate() {
                let by_grpc = first.by_grpc(row, one.as_deref()).await;
                let by_json = second.by_json(row, by_route, other.as_deref()).await;
                let code = |answer: &Result<Vec<u8>, Status>| {
                    answer.as_ref().map_or_else(Status::code, |_| Code::Ok)
                };
                let expected = match which {
                    0..3 => Code::Unauthenticated,
                    3 => row.with_too_little,
                    _ => row.with_right,
                };
                assert_eq!(code(&by_json), expected, "{} with credential {which}: {by_json:?}", row.call);
                let words = (first.words(row.call, &by_grpc), second.words(row.call, &by_json));
                assert_eq!(words.0, words.1, "{} with credential {which}", row.call);
            }
        }
        // Who was denied is on record, whatever the door.
        let denied = [&first, &second].map(|side| side.guarded.server.running.audit_counts().denied());
        assert_eq!(denied[0], denied[1]);
    }
}
