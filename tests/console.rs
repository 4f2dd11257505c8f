//! The web console: how its files are served, that its types are those of the server, and what it does in a browser.

#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use server::Server;
use tempfile::TempDir;

/// A response: its status, headers by their names in lower case, and content.
struct Response {
    status: u16,
    headers: BTreeMap<String, String>,
    content: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends a request without content.
fn ask(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut stream = TcpStream::connect(&server.address).expect("the server listens");
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{more}\r\n", server.address)
        .expect("the request is sent");
    let mut all = vec![];
    stream.read_to_end(&mut all).expect("the response is read");
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    Response {
        status: status.parse().expect("a number"),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        content: all[end + 4..].to_vec(),
    }
}

fn get(server: &Server, path: &str) -> Response {
    ask(server, "GET", path, &[("accept", "text/html,*/*;q=0.8")])
}

/// The path of the first script of the page.
fn script(page: &Response) -> String {
    let page = String::from_utf8_lossy(&page.content);
    let start = page.find("/assets/app-").expect("the page has a script or a style");
    page[start..].split('"').next().expect("a path").to_owned()
}

#[test]
fn the_console_is_served_without_a_credential_and_the_api_is_not() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start_in(&directory.path().join("data"), &["--auth", "on"]);
    for path in ["/", "/ns/shop/checkout?scope=/production", "/changes", "/login"] {
        let page = get(&server, path);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert_eq!(page.header("cache-control"), "no-cache", "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
    }
    assert_eq!(get(&server, "/v1/whoami").status, 401);
}

/// The list in the sources of the console: `const SINGLE = ["changes", …]`.
#[test]
fn every_page_that_the_console_has_is_served_at_its_address() {
    let server = Server::start();
    let router = fs::read_to_string(tools::root().join("console/src/router.ts")).expect("the file is there");
    for (list, before) in [("const SINGLE = [", "/"), ("TABS: readonly Tab[] = [", "/ns/shop/checkout/")] {
        let names = router.split(list).nth(1).and_then(|rest| rest.split(']').next()).expect("the list");
        let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
        assert!(names.len() >= 4, "{names:?}");
        for name in names {
            let page = get(&server, &format!("{before}{name}"));
            assert_eq!(
                (page.status, page.header("content-type")),
                (200, "text/html; charset=utf-8"),
                "{name}"
            );
        }
    }
}

#[test]
fn a_file_of_the_console_is_kept_for_ever_and_sent_compressed() {
    let server = Server::start();
    let page = get(&server, "/");
    let path = script(&page);
    let plain = get(&server, &path);
    assert_eq!(plain.status, 200);
    assert!(plain.header("cache-control").contains("immutable"), "{:?}", plain.headers);
    for encoding in ["br", "gzip"] {
        let packed = ask(&server, "GET", &path, &[("accept-encoding", encoding)]);
        assert_eq!(packed.header("content-encoding"), encoding);
        assert!(packed.content.len() < plain.content.len(), "{encoding}");
    }
    let head = ask(&server, "HEAD", &path, &[]);
    assert_eq!((head.status, head.content.len()), (200, 0));
    assert_eq!(head.header("content-length"), plain.content.len().to_string());
    let held = ask(&server, "GET", "/", &[("if-none-match", page.header("etag"))]);
    assert_eq!((held.status, held.content.len()), (304, 0));
}

#[test]
fn what_is_no_address_of_the_console_is_a_problem() {
    let server = Server::start();
    for path in ["/v1/nothing", "/nothing", "/assets/nothing.js", "/ns/a/b/nothing"] {
        let response = get(&server, path);
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.header("content-type"), "application/problem+json", "{path}");
    }
    let response = ask(&server, "POST", "/", &[("content-length", "0")]);
    assert_eq!((response.status, response.header("allow")), (405, "GET, HEAD"));
}

#[test]
fn a_server_without_the_console_has_nothing_at_its_addresses() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start_in(&directory.path().join("data"), &["--console", "off"]);
    for path in ["/", "/changes", "/ns/shop/checkout"] {
        assert_eq!(get(&server, path).status, 404, "{path}");
    }
    assert_eq!(get(&server, "/v1/status").status, 200);
}

#[test]
fn the_console_knows_the_api_as_the_server_describes_it() {
    let server = Server::start();
    let described: Value = serde_json::from_slice(&get(&server, "/openapi.json").content).expect("JSON");
    let path = tools::root().join("console/openapi.json");
    if std::env::var_os("CONFWATCH_UPDATE_DOCS").is_some_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(&described).expect("a value is JSON");
        fs::write(&path, text + "\n").expect("written");
        return;
    }
    let kept = fs::read_to_string(&path).expect("the file is there");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert!(
        kept == described,
        "console/openapi.json is stale: run `CONFWATCH_UPDATE_DOCS=1 cargo test --test console -- knows_the_api` and `npm run types` in console/"
    );
}

/// All claims in `console/tests/*.test.mjs`. `CONFWATCH_CONSOLE_TESTS` names a part of them.
#[test]
fn the_console_does_in_a_browser_what_its_tests_claim() {
    let directory = tools::root().join("console");
    let browser = Path::new("/usr/bin/chromium");
    let browser = tools::found_or_skip(browser.exists().then_some(browser), "Chromium");
    let (Some(node), Some(_)) = (tools::node(&directory, "playwright-core"), browser) else { return };
    let server = Server::start();
    let mut command = Command::new(node);
    command.args(["tests/run.mjs", &format!("http://{}", server.address)]);
    command.args(std::env::var("CONFWATCH_CONSOLE_TESTS").ok());
    let output = command.current_dir(&directory).env("CONFWATCH_BIN", server::BINARY).output();
    let output = output.expect("the tool was just found");
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    println!("{}", said.join("\n"));
    assert!(output.status.success(), "tests of the console failed:\n{}", said.join("\n"));
}
