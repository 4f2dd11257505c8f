//! That every call is counted once, under a name that nobody but us has given.

use crate::api::context::REQUEST_ID_BYTES_MAX;
use crate::proto::v1::FILE_DESCRIPTOR_SET;
use crate::server::telemetry::calls::*;

fn calls() -> Arc<Calls> {
    let sets = [tonic_health::pb::FILE_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET];
    Arc::new(Calls::new(&sets).unwrap())
}

fn begin(calls: &Calls, path: &str) -> Begun {
    calls.begin(Rpc::of_path(path), &Request::post(path).body(()).unwrap())
}

/// Service, method, code and count of what was counted.
fn counted(calls: &Calls) -> Vec<(&str, &str, Code, u64)> {
    let methods = calls.methods().iter();
    methods
        .flat_map(|method| {
            let count = method.durations.read().count();
            assert_eq!(count, method.handled().map(|(_, count)| count).sum::<u64>());
            method.handled().map(|(code, count)| (method.service.as_str(), method.name.as_str(), code, count))
        })
        .collect()
}

#[test]
fn every_method_of_the_descriptors_is_found_by_its_path_and_there_once() {
    let calls = calls();
    for (place, method) in (0..).zip(calls.methods()).skip(1) {
        let path = format!("/{}/{}", method.service, method.name);
        assert_eq!(calls.methods.of(Rpc::of_path(&path), &path), place);
        assert_eq!(calls.methods.of_path(&path), place);
    }
    let streams = |service: &str, name: &str| {
        let mut of =
            calls.methods().iter().filter(|method| (&*method.service, &*method.name) == (service, name));
        let found = of.next().map(|method| method.streams);
        assert_eq!(of.count(), 0, "{service}/{name} is there twice");
        found
    };
    assert_eq!(streams("confwatch.v1.ConfigService", "Get"), Some(false));
    assert_eq!(streams("confwatch.v1.ConfigService", "Watch"), Some(true));
    assert_eq!(streams("grpc.health.v1.Health", "Watch"), Some(true));
    assert_eq!(streams("grpc.health.v1.Health", "Get"), None);
}

#[test]
fn what_clients_make_up_is_counted_as_unknown() {
    let calls = calls();
    for path in ["/", "/confwatch.v1.ConfigService/Gut", "/confwatch.v1.ConfigService/Get/", "/a/b?c"] {
        calls.end(&mut begin(&calls, path), Code::Unimplemented);
    }
    assert_eq!(counted(&calls), [("unknown", "unknown", Code::Unimplemented, 4)]);
}

#[test]
fn a_call_is_counted_when_it_ends_and_as_cancelled_if_its_client_leaves_before() {
    let calls = calls();
    let begin = || begin(&calls, "/confwatch.v1.ConfigService/Set").ongoing(&calls);
    let (mut first, second) = (begin(), begin());
    assert_eq!(counted(&calls), []);
    first.end(Code::Aborted);
    first.end(Code::Ok);
    drop((first, second));
    let service = "confwatch.v1.ConfigService";
    assert_eq!(counted(&calls), [(service, "Set", Code::Cancelled, 1), (service, "Set", Code::Aborted, 1)]);
}

#[test]
fn a_request_id_is_said_again_unless_it_is_none() {
    let check = |id: &[u8], said: bool| {
        let mut request = Request::post("/").body(()).unwrap();
        request.headers_mut().insert(&REQUEST_ID, HeaderValue::from_bytes(id).unwrap());
        let mut headers = HeaderMap::new();
        calls().begin(None, &request).add_request_id(&mut headers);
        assert_eq!(headers.get(&REQUEST_ID).map(HeaderValue::as_bytes), said.then_some(id));
    };
    check(b"7f3a-1", true);
    check(&[b'a'; REQUEST_ID_BYTES_MAX], true);
    check(&[b'a'; REQUEST_ID_BYTES_MAX + 1], false);
    check(b"\xff", false);
}
