//! Health and reflection, on the port of the service.

use std::collections::BTreeSet;
use std::sync::Arc;

use confwatch::proto::v1::*;
use confwatch::server::{Server, Settings};
use prost::Message;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::support::*;

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_is_told_for_the_server_and_for_each_service() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for name in ["", "confwatch.v1.ConfigService"] {
        let response = health.check(check(name)).await.expect("health").into_inner();
        assert_eq!(response.status(), ServingStatus::Serving, "{name:?}");
    }
    let status = health.check(check("missing.Service")).await.expect_err("there is none");
    assert_eq!(status.code(), Code::NotFound);
}

/// A port that was free a moment ago: the address of a server must be known before it has started.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").to_string()
}

#[tokio::test]
async fn a_server_that_loads_is_reached_but_does_not_serve() {
    let server = TestServer::start().await;
    put(&mut server.client().await, "/", r#"{"a":1}"#).await;
    let directory = server.stop().await;

    // It loads as long as it is watched doing so.
    let (told_layers, mut loading) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, paused) = std::sync::mpsc::channel::<()>();
    let paused = std::sync::Mutex::new(paused);
    let progress = Arc::new(move |layers| {
        let _ = told_layers.send(layers);
        let _ = paused.lock().expect("one thread loads").recv();
    });
    let settings = Settings { listen: free_address(), ..settings(directory.path()) };
    let endpoint = Endpoint::from_shared(format!("http://{}", settings.listen)).expect("an address");
    let starting = tokio::spawn(Server::start_with(settings, progress));
    assert_eq!(loading.recv().await, Some(0));

    let channel = connect(endpoint, &Bearer::default()).await;
    let mut health = HealthClient::new(channel.clone());
    let mut client = Client::new(channel);
    let mut streams = vec![];
    for name in ["", "confwatch.v1.ConfigService"] {
        let response = health.check(check(name)).await.expect("health").into_inner();
        assert_eq!(response.status(), ServingStatus::NotServing, "{name:?}");
        let mut stream = health.watch(check(name)).await.expect("a stream").into_inner();
        let first = stream.message().await.expect("no error").expect("a status");
        assert_eq!(first.status(), ServingStatus::NotServing);
        streams.push(stream);
    }
    let (code, reason, _) = told(&client.get(get("/")).await.expect_err("it is not served"));
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));

    drop(go_on);
    let running = starting.await.expect("no panic").expect("the server starts");
    for stream in &mut streams {
        let next = stream.message().await.expect("no error").expect("a status");
        assert_eq!(next.status(), ServingStatus::Serving);
    }
    assert_eq!(content(&mut client, get("/")).await, r#"{"a":1}"#);
    running.shutdown().await;
}

#[tokio::test]
async fn a_server_that_stops_says_not_serving_first() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    let mut streams = vec![];
    for name in ["", "confwatch.v1.ConfigService"] {
        let mut stream = health.watch(check(name)).await.expect("a stream").into_inner();
        let first = stream.message().await.expect("no error").expect("a status");
        assert_eq!(first.status(), ServingStatus::Serving);
        streams.push(stream);
    }
    let stopping = tokio::spawn(server.stop());
    for stream in &mut streams {
        let next = stream.message().await.expect("no error").expect("a status");
        assert_eq!(next.status(), ServingStatus::NotServing);
    }
    stopping.await.expect("it stops");
}

const SERVICES: [&str; 2] = ["confwatch.v1.ConfigService", "grpc.health.v1.Health"];

/// The names in a file that reflection answers with.
fn services_of(files: Vec<Vec<u8>>) -> BTreeSet<String> {
    let files = files.iter().map(|file| prost_types::FileDescriptorProto::decode(&**file).expect("a file"));
    files
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().map(move |service| format!("{package}.{}", service.name()))
        })
        .collect()
}

#[tokio::test]
async fn reflection_v1_lists_the_services_and_gives_their_files() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let mut ask = async |message| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await;
        let answer = answers.expect("an answer").into_inner().message().await.expect("no error");
        answer.and_then(|answer| answer.message_response).expect("an answer")
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("a list")
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in SERVICES {
        assert!(names.contains(&service), "{names:?}");
        let symbol = MessageRequest::FileContainingSymbol(service.into());
        let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("a file") };
        assert!(services_of(files.file_descriptor_proto).contains(service));
    }
    let details = MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".into());
    assert!(matches!(ask(details).await, MessageResponse::FileDescriptorResponse(_)));
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_same_for_older_tools() {
    use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;

    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let mut ask = async |message| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await;
        let answer = answers.expect("an answer").into_inner().message().await.expect("no error");
        answer.and_then(|answer| answer.message_response).expect("an answer")
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("a list")
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for service in SERVICES {
        assert!(names.contains(&service), "{names:?}");
        let symbol = MessageRequest::FileContainingSymbol(service.into());
        let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("a file") };
        assert!(services_of(files.file_descriptor_proto).contains(service));
    }
}

#[tokio::test]
async fn a_stopped_server_is_not_reached_and_its_data_are_free() {
    let server = TestServer::start_believing().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"a":1}"#).await;
    let directory = server.stop().await;
    let status = client.get(get("/")).await.expect_err("nobody is there");
    assert_eq!(status.code(), Code::Unavailable);
    let server = TestServer::start_in(directory, believing).await;
    assert_eq!(content(&mut server.client().await, get("/")).await, r#"{"a":1}"#);
    // The request of an empty server is no error.
    let list = server.client().await.list(ListRequest::default()).await.expect("list").into_inner();
    assert_eq!(list.configs.len(), 1);
}
