//! gzip over HTTP: of responses for clients that take it, and of requests up to the limit of a message.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Method, StatusCode};
use tempfile::TempDir;

use super::auth::{Guarded, admin_token};
use super::events::{PROTOCOLS, get};
use super::http::{Answer, call, request, send, send_by_http2};
use super::support::{TestServer, content, get as get_of, put, replace, set};

const APP: &str = "/v1/namespaces/test/configs/app";
const LAYER: &str = "/v1/namespaces/test/configs/app/layers/";

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("memory takes everything")
}

fn unpacked(content: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(content).read_to_string(&mut text).expect("gzip of UTF-8");
    text
}

/// A document that is large enough to be compressed.
fn large() -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(200 << 10))
}

async fn sent(
    server: &TestServer,
    by_http2: bool,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let request = headers
        .iter()
        .fold(request(server, method, path), |request, (name, value)| request.header(*name, *value));
    if by_http2 { send_by_http2(server, request, "").await } else { send(server, request, "").await }
}

#[tokio::test]
async fn a_large_document_is_in_gzip_for_who_takes_it_and_its_tag_says_so() {
    let server = TestServer::start().await;
    let large = large();
    put(&mut server.client().await, "/", &large).await;
    for by_http2 in [false, true] {
        let get = async |headers: &[(&str, &str)]| sent(&server, by_http2, Method::GET, APP, headers).await;
        let gzip = ("accept-encoding", "br, gzip;q=0.9");
        let plain = get(&[]).await;
        assert_eq!((plain.text(), plain.header("content-encoding")), (large.as_str(), None));
        let small = get(&[gzip]).await;
        assert_eq!(small.header("content-encoding"), Some("gzip"));
        assert_eq!(small.header("content-length"), Some(small.body.len().to_string().as_str()));
        assert!(small.body.len() < large.len() / 10, "{}", small.body.len());
        assert_eq!(unpacked(&small.body), large);
        small.check_headers();
        for answer in [&plain, &small] {
            assert!(answer.header("vary").is_some_and(|vary| vary.contains("accept-encoding")), "{answer:?}");
        }
        let (of_plain, of_small) = (plain.header("etag").expect("one"), small.header("etag").expect("one"));
        assert_eq!(
            of_small,
            format!("{}-gzip\"", of_plain.trim_end_matches('"')),
            "other bytes, another tag"
        );

        // Whichever of both the client has, it has the content, and is told which.
        let weak = format!("W/{of_small}");
        for held in [of_plain, of_small, weak.as_str()] {
            for accepts in [&[][..], &[gzip]] {
                let headers = [accepts, &[("if-none-match", held)]].concat();
                let answer = get(&headers).await;
                assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{held} {accepts:?}");
                assert_eq!(answer.header("etag"), Some(held.trim_start_matches("W/")));
            }
        }
        for (held, status) in [(of_plain, 200), (of_small, 200), (weak.as_str(), 412)] {
            assert_eq!(get(&[("if-match", held)]).await.status, status, "{held}");
        }
        let head = sent(&server, by_http2, Method::HEAD, APP, &[gzip]).await;
        assert_eq!(head.body.len(), 0);
        for name in ["content-encoding", "content-length", "etag", "vary"] {
            assert_eq!(head.header(name), small.header(name), "{name}");
        }
        for refused in ["identity", "gzip;q=0", "br"] {
            let answer = get(&[("accept-encoding", refused)]).await;
            assert_eq!(answer.header("content-encoding"), None, "{refused}");
        }
        let yaml = get(&[gzip, ("accept", "application/yaml")]).await;
        assert_eq!(unpacked(&yaml.body).trim_end(), format!("a: {}", "x".repeat(200 << 10)));
    }
    // Calls by the path of their RPC as well, and small contents not.
    let get = call(&server, "ConfigService/Get").header("accept-encoding", "gzip");
    let answer = send(&server, get, r#"{"namespace":"test","config":"app"}"#).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(unpacked(&answer.body).contains("xxxx"));
    let list = request(&server, Method::GET, "/v1/configs").header("accept-encoding", "gzip");
    let answer = send(&server, list, "").await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, Some("accept-encoding")));
}

#[tokio::test]
async fn the_tag_of_a_layer_in_gzip_is_good_for_a_write() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", &large()).await;
    let layer = sent(&server, false, Method::GET, LAYER, &[("accept-encoding", "gzip")]).await;
    assert_eq!(layer.header("etag"), Some("\"v1-gzip\""));
    let put = |tag: &str| {
        let put = request(&server, Method::PUT, LAYER).header("content-type", "application/json");
        put.header("if-match", tag).header("accept-encoding", "gzip")
    };
    let weak = send(&server, put("W/\"v1-gzip\""), "{}").await;
    weak.problem(412, "PRECONDITION_FAILED");
    let written = send(&server, put("\"v1-gzip\""), large().replace('x', "y")).await;
    assert_eq!((written.status, written.header("content-encoding")), (StatusCode::OK, Some("gzip")));
    assert_eq!(written.header("etag"), Some("\"v2\""), "the tag is that of the layer, not of this response");
    send(&server, put("\"v1-gzip\""), "{}").await.problem(412, "VERSION_MISMATCH");
}

#[tokio::test]
async fn what_shows_secrets_and_streams_are_not_compressed() {
    let guarded = Guarded::start_with_policy().await;
    let server = &guarded.server;
    let secret = format!(r#"{{"a":"{}","token":{{"$secret":"hunter2"}}}}"#, "x".repeat(200 << 10));
    guarded.admin.api().set(set(replace("/", &secret))).await.expect("set");
    let (reader, _) = guarded.token("read").await;
    let admin = admin_token(&server.directory);
    let read = async |token: &str, path: &str| {
        let request = http::Request::get(path).header("host", "localhost").header("accept-encoding", "gzip");
        send(server, request.header("authorization", format!("Bearer {token}")), "").await
    };
    for path in [APP.to_owned(), format!("{APP}/document"), "/v1/bundles/test".to_owned()] {
        let shown = read(&admin, &path).await;
        assert!(shown.text().contains("hunter2"), "{path}");
        assert_eq!(shown.header("content-encoding"), None, "{path}");
        let masked = read(&reader, &path).await;
        assert_eq!(masked.header("content-encoding"), Some("gzip"), "{path}");
        assert!(!unpacked(&masked.body).contains("hunter2"));
    }
    for protocol in PROTOCOLS {
        let watch = get(server, protocol, "/v1/watch?target=test/app").bearing(&reader);
        let mut watch = watch.with("accept-encoding", "gzip").open().await.is(200, "text/event-stream");
        assert!(!watch.headers.contains_key("content-encoding"));
        assert_eq!(watch.event().await.expect("a snapshot").name, "snapshot");
    }
}

#[tokio::test]
async fn a_request_in_gzip_is_unpacked_up_to_the_limit() {
    let server = TestServer::start_in(TempDir::new().expect("a directory"), |settings| {
        settings.limits.request_bytes_max = 64 << 10;
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let sent = async |method: &str, path: &str, encoding: &str, content: Vec<u8>| {
        let url = format!("http://{}{path}", server.running.address());
        let request = client.request(method.parse().expect("a method"), url).body(content);
        let request = request.header("content-type", "application/json").header("content-encoding", encoding);
        let request = match server.bearer.header() {
            Some(bearer) => request.header("authorization", bearer),
            None => request,
        };
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.expect("a body").into() }
    };
    let put = async |encoding: &str, content: Vec<u8>| sent("PUT", LAYER, encoding, content).await;
    put("gzip", packed(br#"{"a":1}"#)).await.ok();
    put("identity", br#"{"a":2}"#.to_vec()).await.ok();
    let of_half = |text: &[u8]| packed(text);
    let members = [of_half(br#"{"a""#), of_half(b":3}")].concat();
    put("gzip", members).await.ok();
    assert_eq!(content(&mut server.client().await, get_of("/")).await, r#"{"a":3}"#);
    let get = packed(br#"{"namespace":"test","config":"app"}"#);
    let got = sent("POST", "/confwatch.v1.ConfigService/Get", "gzip", get).await.ok();
    assert_eq!(got["document"]["content"], r#"{"a":3}"#);

    let bomb = packed(&vec![b' '; 32 << 20]);
    assert!(bomb.len() <= 64 << 10, "the limit does not hold it up before: {}", bomb.len());
    put("gzip", bomb).await.problem(413, "MESSAGE_TOO_LARGE");
    put("gzip", br#"{"a":4}"#.to_vec()).await.problem(400, "MALFORMED_REQUEST");
    let whole = packed(br#"{"a":4}"#);
    put("gzip", whole[..whole.len() - 4].to_vec()).await.problem(400, "MALFORMED_REQUEST");
    for encoding in ["br", "deflate", "gzip, gzip"] {
        let refused = put(encoding, packed(b"{}")).await;
        refused.problem(415, "UNSUPPORTED_ENCODING");
        assert_eq!(refused.header("accept-encoding"), Some("gzip"));
    }
    assert_eq!(content(&mut server.client().await, get_of("/")).await, r#"{"a":3}"#);
}
