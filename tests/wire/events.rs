//! A client of streams over HTTP, by either protocol: reads server-sent events and lines of JSON.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::support::*;

/// Long enough for a busy machine: without it, an event that never comes would hang the test.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

pub const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// A response that is read piece by piece.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Body,
    read: String,
    has_ended: bool,
}

enum Body {
    Http1(reqwest::Response),
    Http2(RecvStream, JoinHandle<()>),
}

/// An event. What is not given is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub retry: String,
    pub data: Value,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Body::Http2(_, connection) = &self.body {
            connection.abort();
        }
    }
}

/// A request to be sent, with the credential of the server.
pub struct Asked<'a> {
    server: &'a TestServer,
    protocol: Protocol,
    method: &'a str,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    window: Option<u32>,
}

pub fn get<'a>(server: &'a TestServer, protocol: Protocol, path: &str) -> Asked<'a> {
    let headers = server.bearer.header().map(|value| ("authorization".to_owned(), value.to_owned()));
    let headers = headers.into_iter().collect();
    Asked { server, protocol, method: "GET", path: path.into(), headers, body: None, window: None }
}

pub fn post<'a>(server: &'a TestServer, protocol: Protocol, path: &str, body: Value) -> Asked<'a> {
    Asked { method: "POST", body: Some(body), ..get(server, protocol, path) }
        .with("content-type", "application/json")
}

impl Asked<'_> {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearing(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// The client gives the stream a window of so many bytes. HTTP/2 alone has windows.
    pub fn with_window(mut self, bytes: u32) -> Self {
        self.window = Some(bytes);
        self
    }

    pub async fn open(self) -> Stream {
        timeout(PATIENCE, self.send()).await.expect("a response")
    }

    async fn send(self) -> Stream {
        let address = self.server.running.address();
        let body = self.body.as_ref().map(Value::to_string);
        match self.protocol {
            Protocol::Http1 => {
                let client = reqwest::Client::builder().no_proxy().build().expect("a client");
                let method = self.method.parse().expect("a method");
                let mut request = client.request(method, format!("http://{address}{}", self.path));
                for (name, value) in &self.headers {
                    request = request.header(name, value);
                }
                let request = body.into_iter().fold(request, |request, body| request.body(body));
                let response = request.send().await.expect("a response");
                assert_eq!(response.version(), http::Version::HTTP_11);
                let (status, headers) = (response.status(), response.headers().clone());
                Stream { status, headers, body: Body::Http1(response), read: String::new(), has_ended: false }
            }
            Protocol::Http2 => {
                let socket = TcpStream::connect(address).await.expect("the server listens");
                let mut builder = h2::client::Builder::new();
                if let Some(bytes) = self.window {
                    builder.initial_window_size(bytes);
                }
                let (requests, connection) = builder.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
                let connection = tokio::spawn(async move { _ = connection.await });
                let mut requests = requests.ready().await.expect("there is room");
                let mut head =
                    Request::builder().method(self.method).uri(format!("http://{address}{}", self.path));
                for (name, value) in &self.headers {
                    head = head.header(name, value);
                }
                let head = head.body(()).expect("a request");
                let (response, mut sent) = requests.send_request(head, body.is_none()).expect("sent");
                if let Some(body) = body {
                    sent.send_data(body.into(), true).expect("sent");
                }
                let (head, body) = response.await.expect("a response").into_parts();
                let body = Body::Http2(body, connection);
                let (status, headers) = (head.status, head.headers);
                Stream { status, headers, body, read: String::new(), has_ended: false }
            }
        }
    }
}

impl Stream {
    /// Checks the type of content.
    #[track_caller]
    pub fn is(self, status: u16, content_type: &str) -> Stream {
        assert_eq!(
            (self.status.as_u16(), &self.headers["content-type"]),
            (status, &content_type.parse().expect("a media type is a header value"))
        );
        self
    }

    /// Reads more. `false`: the stream has ended.
    async fn read_more(&mut self) -> bool {
        let reading = async {
            match &mut self.body {
                Body::Http1(response) => response.chunk().await.expect("the body is whole"),
                Body::Http2(body, _) => {
                    let data = body.data().await?.expect("the body is whole");
                    body.flow_control().release_capacity(data.len()).expect("it was just received");
                    Some(data)
                }
            }
        };
        let data = timeout(PATIENCE, reading).await.expect("something comes, or the end");
        self.has_ended = data.is_none();
        // The tests have ASCII alone, which no piece cuts.
        self.read.push_str(std::str::from_utf8(&data.unwrap_or_default()).expect("UTF-8"));
        !self.has_ended
    }

    /// What comes before the next separator.
    async fn next_piece(&mut self, separator: &str) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.read.split_once(separator) {
                let (piece, rest) = (piece.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(piece);
            }
            if self.has_ended || !self.read_more().await {
                assert_eq!(self.read, "", "the last piece is complete");
                return None;
            }
        }
    }

    /// The next event. Comments are no events. `None`: the stream has ended.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            let piece = self.next_piece("\n\n").await?;
            let mut event = Event::default();
            let mut is_comment = true;
            for line in piece.lines() {
                let (name, value) = line.split_once(':').expect("a field");
                let value = value.strip_prefix(' ').unwrap_or(value);
                is_comment &= name.is_empty();
                match name {
                    "" => {}
                    "event" => event.name = value.to_owned(),
                    "id" => event.id = value.to_owned(),
                    "retry" => event.retry = value.to_owned(),
                    "data" => event.data = serde_json::from_str(value).expect("JSON"),
                    other => panic!("a field {other:?}"),
                }
            }
            if !is_comment {
                return Some(event);
            }
        }
    }

    /// The next event that is no progress.
    pub async fn news(&mut self) -> Option<Event> {
        loop {
            match self.event().await {
                Some(event) if event.name == "progress" => {}
                event => return event,
            }
        }
    }

    /// The next line of JSON.
    pub async fn line(&mut self) -> Option<Value> {
        let line = self.next_piece("\n").await?;
        Some(serde_json::from_str(&line).expect("JSON"))
    }

    /// All that is left, as JSON.
    pub async fn json(mut self) -> Value {
        while self.read_more().await {}
        serde_json::from_str(&self.read).expect("JSON")
    }
}

impl Event {
    /// The states of a snapshot or an update: config, scope and state.
    pub fn states(&self) -> Vec<(&str, &str, &str)> {
        let states = self.data[&self.name]["states"].as_array().expect("states");
        states
            .iter()
            .map(|state| {
                let target = &state["target"];
                let of = |value: &'static str| target[value].as_str().expect("a text");
                (of("config"), of("scope"), state["state"].as_str().expect("a state"))
            })
            .collect()
    }

    /// The content of the first document.
    pub fn content(&self) -> &str {
        self.data[&self.name]["states"][0]["document"]["content"].as_str().expect("a document")
    }
}
