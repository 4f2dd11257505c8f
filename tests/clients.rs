//! The server through other people's clients: grpcurl with nothing but the address, and the examples in Python and Node.

#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/tools.rs"]
mod tools;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use server::Server;

#[test]
fn python_client_gets_sets_validates_rolls_back_and_watches_through_restarts() {
    let Some(python) = tools::python("grpc_tools, grpc_status") else { return };
    let server = Server::start();
    suite(
        Command::new(python).args(["-m", "unittest", "-v"]),
        &tools::root().join("clients/python"),
        &server.address,
    );
}

#[test]
fn node_client_gets_sets_validates_rolls_back_and_watches_through_restarts() {
    let directory = tools::root().join("clients/node");
    let Some(node) = tools::node(&directory, "@grpc/grpc-js") else { return };
    let server = Server::start();
    suite(Command::new(node).arg("--test"), &directory, &server.address);
}

/// Runs the tests of a client. They get a server, and the binary to start servers of their own.
fn suite(command: &mut Command, directory: &Path, address: &str) {
    let output = command
        .current_dir(directory)
        .env("CONFWATCH_SERVER", address)
        .env("CONFWATCH_BIN", server::BINARY)
        .output()
        .expect("the tool was just found");
    let said =
        format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "the tests in {} failed:\n{said}", directory.display());
}

#[test]
fn grpcurl_needs_nothing_but_the_address() {
    let Some(grpcurl) = Grpcurl::start() else { return };

    let services = grpcurl.text(&["list"]);
    for service in
        ["confwatch.v1.ConfigService", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    {
        assert!(services.lines().any(|line| line == service), "{service} is not listed:\n{services}");
    }
    let described = grpcurl.text(&["describe", "confwatch.v1.ConfigService"]);
    assert!(described.contains("rpc Watch ( .confwatch.v1.WatchRequest )"), "{described}");
    let described = grpcurl.text(&["describe", "confwatch.v1.SetRequest"]);
    assert!(described.contains(".confwatch.v1.Change change = 1;"), "{described}");

    for service in ["", "confwatch.v1.ConfigService"] {
        let health = grpcurl.call("grpc.health.v1.Health/Check", json!({"service": service}));
        assert_eq!(health["status"], "SERVING", "of {service:?}");
    }
}

#[test]
fn grpcurl_gets_sets_validates_and_rolls_back() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let target = json!({"namespace": "payments", "config": "checkout", "scope": "/production"});
    let change = |content: &str| {
        let mut change = target.clone();
        change["replace"] = json!({"content": content});
        change
    };

    let set =
        grpcurl.method("Set", json!({"change": change(r#"{"max": 10}"#), "options": {"reason": "first"}}));
    assert_eq!(set["changed"], true);
    assert_eq!(set["document"]["content"], r#"{"max":10}"#);
    grpcurl.method("Set", json!({"change": change(r#"{"max": 20}"#)}));
    assert_eq!(grpcurl.method("Get", target.clone())["document"]["content"], r#"{"max":20}"#);

    let good = grpcurl.method("Validate", json!({"changes": [change(r#"{"max": 30}"#)]}));
    assert_eq!(good["report"]["valid"], true);
    let bad = grpcurl.method("Validate", json!({"changes": [change(r#"{"max": 30, "max": 31}"#)]}));
    assert_eq!(bad["report"]["findings"][0]["code"], "DUPLICATE_KEY");

    let back =
        grpcurl.method("Rollback", json!({"namespace": "payments", "config": "checkout", "version": 1}));
    assert_eq!((&back["version"], &back["restoredVersion"]), (&json!("3"), &json!("1")));
    assert_eq!(grpcurl.method("Get", target)["document"]["content"], r#"{"max":10}"#);
}

#[test]
fn grpcurl_shows_what_an_error_says() {
    let Some(grpcurl) = Grpcurl::start() else { return };

    let missing = grpcurl.refused("Get", json!({"namespace": "payments", "config": "nothing"}));
    assert!(missing.contains("Code: NotFound"), "{missing}");
    assert!(missing.contains("google.rpc.ErrorInfo"), "{missing}");
    assert!(missing.contains(r#""reason":"CONFIG_NOT_FOUND""#), "{missing}");
    assert!(missing.contains(r#""domain":"confwatch""#), "{missing}");

    let invalid = grpcurl.refused("Get", json!({"namespace": "No Such Name", "config": "nothing"}));
    assert!(invalid.contains("Code: InvalidArgument"), "{invalid}");
    assert!(invalid.contains(r#""reason":"INVALID_NAME""#), "{invalid}");
    assert!(invalid.contains("google.rpc.BadRequest"), "{invalid}");
    assert!(invalid.contains(r#""field":"namespace""#), "{invalid}");
}

#[test]
fn grpcurl_watches() {
    let Some(grpcurl) = Grpcurl::start() else { return };
    let set = |content: &str| {
        let change = json!({"namespace": "payments", "config": "checkout", "replace": {"content": content}});
        grpcurl.method("Set", json!({"change": change}));
    };
    set(r#"{"max": 10}"#);

    let watch = json!({"targets": [{"namespace": "payments", "config": "checkout", "scope": "/production"}]});
    let mut process = grpcurl
        .command(&["-d", &watch.to_string()], "confwatch.v1.ConfigService/Watch")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("grpcurl was just found");
    let mut output = BufReader::new(process.stdout.take().expect("piped"));

    let first = message(&mut output);
    let state = &first["snapshot"]["states"][0];
    assert_eq!(state["state"], "STATE_PRESENT", "{first}");
    assert_eq!(state["document"]["content"], r#"{"max":10}"#, "{first}");
    set(r#"{"max": 20}"#);
    let second = message(&mut output);
    let document = &second["update"]["states"][0]["document"];
    assert_eq!(document["content"], r#"{"max":20}"#, "{second}");
    assert_eq!(document["version"], "2", "{second}");

    process.kill().expect("it runs still");
    process.wait().expect("it was just killed");
}

/// The next message that grpcurl prints: a JSON object over several lines.
fn message(output: &mut impl BufRead) -> Value {
    let mut text = String::new();
    loop {
        let before = text.len();
        output.read_line(&mut text).expect("grpcurl prints UTF-8");
        assert!(text.len() > before, "the stream ended within a message:\n{text}");
        if text[before..].trim_end() == "}" {
            return serde_json::from_str(&text).expect("grpcurl prints JSON");
        }
    }
}

/// grpcurl and a server of its own.
struct Grpcurl {
    binary: PathBuf,
    server: Server,
}

impl Grpcurl {
    fn start() -> Option<Grpcurl> {
        let binary = tools::grpcurl()?;
        Some(Grpcurl { binary, server: Server::start() })
    }

    fn command(&self, options: &[&str], what: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("-plaintext").args(options).arg(&self.server.address).args(what.split(' '));
        command
    }

    fn text(&self, what: &[&str]) -> String {
        self.answer(self.command(&[], &what.join(" ")))
    }

    fn method(&self, method: &str, request: Value) -> Value {
        self.call(&format!("confwatch.v1.ConfigService/{method}"), request)
    }

    fn call(&self, method: &str, request: Value) -> Value {
        let answer = self.answer(self.command(&["-d", &request.to_string()], method));
        serde_json::from_str(&answer).expect("grpcurl prints JSON")
    }

    fn answer(&self, mut command: Command) -> String {
        let output = command.output().expect("grpcurl was just found");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} failed:\n{error}");
        String::from_utf8(output.stdout).expect("grpcurl prints UTF-8")
    }

    /// What grpcurl says of a call that fails, without white space between JSON tokens.
    fn refused(&self, method: &str, request: Value) -> String {
        let what = format!("confwatch.v1.ConfigService/{method}");
        let output =
            self.command(&["-d", &request.to_string()], &what).output().expect("grpcurl was just found");
        assert!(!output.status.success(), "{method} should have failed");
        let said = String::from_utf8_lossy(&output.stderr);
        said.lines().map(str::trim).collect::<Vec<_>>().join("\n").replace("\": ", "\":")
    }
}
