//! The server at a glance: `status`, `top`, `health`, `version`.

use serde_json::json;

use crate::harness::Server;

#[test]
fn status_has_the_figures_and_says_that_nothing_is_wrong() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b@/p"]);
    watch.line();
    let text = server.ok(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with(&format!("confwatch {}, up ", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(lines[1].starts_with("revision     1 in epoch "), "{text}");
    assert!(text.contains("\nwatchers     1 of 1 targets, 0 revisions behind, none blocked\n"), "{text}");
    assert_eq!(lines.last(), Some(&"problems     none"), "{text}");
    let status = server.json(&["status"]);
    assert_eq!((&status["revision"], &status["server"]["configs"]), (&json!(1), &json!(1)));
    assert_eq!(status["server"]["problems"], json!([]));
    assert!(status["server"]["disk"]["journal_bytes"].is_u64(), "{status}");
}

#[test]
fn top_has_rates_from_the_second_reading_on() {
    let server = Server::start();
    let text = server.ok(&["top", "--interval", "200ms", "--count", "2", "-o", "json"]);
    let readings: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object on each line")).collect();
    assert_eq!(readings.len(), 2, "{text}");
    assert_eq!(readings[0]["rates"], json!(null));
    assert!(readings[1]["rates"]["calls_per_second"].is_f64(), "{text}");
    server.fails(2, &["top", "--interval", "1ms"]);
}

#[test]
fn health_is_an_exit_code() {
    let server = Server::start();
    assert_eq!(server.ok(&["health"]), "the server serves\n");
    assert_eq!(server.json(&["health"]), json!({"status": "SERVING"}));
    assert_eq!(server.ok(&["health", "--wait=5s"]), "the server serves\n");
    let nobody = ["health", "--server", "127.0.0.1:1"];
    server.fails(6, &nobody);
    server.fails(6, &[&nobody[..], &["--wait=300ms"]].concat());
}

#[test]
fn version_has_that_of_the_server() {
    let server = Server::start();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(server.ok(&["version"]), format!("client {version}\nserver {version}\n"));
    assert_eq!(server.json(&["version", "--client"]), json!({"client": version, "server": null}));
    assert_eq!(server.ok(&["version", "--client", "--server", "127.0.0.1:1"]), format!("client {version}\n"));
    server.fails(6, &["version", "--server", "127.0.0.1:1"]);
}
