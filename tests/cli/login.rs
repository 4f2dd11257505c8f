//! Logins of the command line: with an API token and by an issuer, what is kept of them, and sessions of browsers that are listed and revoked.

#[path = "../../src/auth/jwt/tests/issuer.rs"]
#[allow(dead_code, reason = "of the issuer of the tests of the module, not all is needed here")]
mod issuer;
#[allow(dead_code, reason = "the tests on the wire use the rest of it")]
#[path = "../support/oidc_provider.rs"]
mod oidc_provider;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::oidc_provider::Provider;
use super::harness::*;

/// A person with a directory for the credentials.
struct Person {
    home: TempDir,
}

impl Person {
    fn new() -> Person {
        Person { home: TempDir::new().expect("a directory") }
    }

    fn command(&self, server: &Server, args: &[&str]) -> Command {
        let mut command = server.command(args);
        command.env_remove("XDG_CONFIG_HOME").env("HOME", self.home.path());
        command
    }

    fn run(&self, server: &Server, args: &[&str]) -> Ran {
        finish(self.command(server, args))
    }

    #[track_caller]
    fn ok(&self, server: &Server, args: &[&str]) -> String {
        let ran = self.run(server, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    fn log_in_with(&self, server: &Server, token: &str) -> Ran {
        let mut command = self.command(server, &["login", "--with-token"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        child.stdin.take().expect("piped").write_all(token.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ended");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            code: output.status.code().expect("a code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn credentials(&self) -> PathBuf {
        self.home.path().join(".config/confwatch/credentials.json")
    }
}

fn token_of(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a token").trim().to_owned()
}

#[test]
fn a_login_with_a_token_holds_for_the_next_commands_until_the_logout() {
    let guarded = GuardedServer::start(&[]);
    let (server, person, token) = (&guarded.server, Person::new(), token_of(&guarded.token_file()));
    assert_eq!(person.run(server, &["whoami"]).code, 7);
    let ran = person.log_in_with(server, &format!("{token}\n"));
    assert!(ran.code == 0 && ran.stdout.contains("as user:admin"), "{ran:?}");
    assert!(!format!("{ran:?}").contains(&token), "the token is never printed");
    let mode = std::fs::metadata(person.credentials()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let who = person.ok(server, &["whoami"]);
    assert!(who.starts_with("user:admin (by token:") && who.contains("kept by `confwatch login`"), "{who}");
    // What is given goes before what is kept.
    let made: Value =
        serde_json::from_str(&person.ok(server, &["token", "create", "ci", "-o", "json"])).expect("JSON");
    let other = made["token"].as_str().expect("a token");
    let who = person.ok(server, &["whoami", "--token", other]);
    assert!(who.starts_with("token:ci (by token:") && !who.contains("kept"), "{who}");
    // A login is for one server.
    let elsewhere = GuardedServer::start(&[]);
    assert_eq!(person.run(&elsewhere.server, &["whoami"]).code, 7);
    assert!(person.ok(server, &["logout"]).starts_with("logged out of http://127.0.0.1:"));
    assert_eq!(person.run(server, &["whoami"]).code, 7);
    assert!(person.ok(server, &["logout"]).starts_with("there was no login at "));
}

#[test]
fn a_login_that_fails_keeps_nothing() {
    let guarded = GuardedServer::start(&[]);
    let (server, person) = (&guarded.server, Person::new());
    let ran = person.log_in_with(server, "cw_mistyped");
    assert!(ran.code == 7 && !ran.stderr.contains("mistyped_"), "{ran:?}");
    let ran = person.log_in_with(server, "");
    assert!(ran.code == 2 && ran.stderr.contains("no token"), "{ran:?}");
    assert!(!person.credentials().exists());
    std::fs::create_dir_all(person.credentials().parent().expect("a directory")).expect("made");
    std::fs::write(person.credentials(), "{").expect("written");
    let ran = person.run(server, &["whoami"]);
    assert!(ran.code == 2 && ran.stderr.contains("credentials.json"), "{ran:?}");
    let open = Server::start();
    let ran = Person::new().log_in_with(&open, "cw_x");
    assert!(ran.code == 2 && ran.stderr.contains("nobody needs to log in"), "{ran:?}");
}

#[test]
fn a_token_that_is_typed_is_not_shown() {
    let guarded = GuardedServer::start(&[]);
    let (person, token) = (Person::new(), token_of(&guarded.token_file()));
    let command = person.command(&guarded.server, &["login"]);
    let (code, shown) = on_terminal_asked(command, 200, ": ", &format!("{token}\n"));
    assert!(code == 0 && shown.contains("as user:admin"), "{shown}");
    assert!(!shown.contains(&token[16..]), "{shown}");
}

/// Asks for a page: the status, the location of a redirect, and the content.
fn fetch(url: &str, headers: &str, body: Option<&str>) -> (u16, String, String) {
    let (host, path) = url.strip_prefix("http://").expect("plain text").split_once('/').expect("a path");
    let mut socket = TcpStream::connect(host).expect("it listens");
    let (method, body) = (if body.is_some() { "POST" } else { "GET" }, body.unwrap_or_default());
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, content) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head[9..12].parse().expect("a status");
    let of = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
    let found = of("location: ").or_else(|| of("set-cookie: ")).unwrap_or_default();
    (status, found, content.to_owned())
}

#[test]
fn a_login_by_the_issuer_redirects_to_this_machine_and_is_renewed_when_it_has_expired() {
    let provider = Provider::start();
    let guarded = GuardedServer::start(&[
        "--oidc-issuer",
        &provider.url,
        "--oidc-client-id",
        "cli",
        "--jwt-prefix",
        "corp",
    ]);
    let (server, person) = (&guarded.server, Person::new());
    let begin = || {
        let mut command = person.command(server, &["login", "--no-browser"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut line = String::new();
        BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("a line");
        (child, line.trim().strip_prefix("log in at ").expect("a URL").to_owned())
    };
    let (child, url) = begin();
    let (status, back, _) = fetch(&url, "", None);
    assert_eq!(status, 302);
    assert!(back.starts_with("http://127.0.0.1:"), "{back}");
    // What does not know the state is turned away, and the login goes on.
    let (callback, _) = back.split_once('?').expect("a query");
    assert_eq!(fetch(&format!("{callback}?code=x&state=y"), "", None).0, 400);
    assert_eq!(fetch(&callback.replace("/callback", "/favicon.ico"), "", None).0, 404);
    let (status, _, page) = fetch(&back, "", None);
    assert!(status == 200 && page.contains("You are logged in"), "{page}");
    let ran = child.wait_with_output().expect("ended");
    assert!(ran.status.success());
    assert!(String::from_utf8(ran.stdout).expect("UTF-8").contains("as user:corp#alice, until "));
    let who = person.ok(server, &["whoami"]);
    assert!(
        who.starts_with("user:corp#alice (by jwt:") && who.contains("kept by `confwatch login`"),
        "{who}"
    );
    // As if the ID token had expired long ago.
    let text = std::fs::read_to_string(person.credentials()).expect("read");
    let mut kept: Value = serde_json::from_str(&text).expect("JSON");
    let login = kept["servers"].as_object_mut().expect("servers").values_mut().next().expect("a login");
    let before = login["token"].clone();
    login["issuer"]["expires"] = json!(1);
    std::fs::write(person.credentials(), kept.to_string()).expect("written");
    let redeemed = provider.redeemed();
    person.ok(server, &["whoami"]);
    assert_eq!(provider.redeemed(), redeemed + 1);
    person.ok(server, &["whoami"]);
    assert_eq!(provider.redeemed(), redeemed + 1, "the next one is kept");
    let text = std::fs::read_to_string(person.credentials()).expect("read");
    assert!(!text.contains(before.as_str().expect("a token")), "the token is another one");
    // A person who refuses.
    provider.deny(true);
    let (child, url) = begin();
    let (_, back, _) = fetch(&url, "", None);
    assert!(fetch(&back, "", None).2.contains("The login failed"));
    assert_eq!(child.wait_with_output().expect("ended").status.code(), Some(7));
}

#[test]
fn sessions_of_browsers_are_listed_and_revoked() {
    let guarded = GuardedServer::start(&[]);
    let url = format!("http://{}/login", guarded.server.address);
    let body = json!({"token": token_of(&guarded.token_file())}).to_string();
    let (status, cookie, _) = fetch(&url, "content-type: application/json\r\n", Some(&body));
    assert!(status == 200 && cookie.starts_with("confwatch=cs_"), "{status} {cookie}");
    let id = &cookie["confwatch=cs_".len()..][..12];
    let listed = guarded.ok(&["session", "list"]);
    assert!(
        listed.contains(id) && listed.contains("user:admin") && !listed.contains(&cookie[25..60]),
        "{listed}"
    );
    let listed = guarded.json(&["session", "list", "--all"]);
    assert_eq!(
        (&listed["sessions"][0]["id"], &listed["sessions"][0]["address"]),
        (&json!(id), &json!("127.0.0.1"))
    );
    assert_eq!(guarded.ok(&["session", "list", "--of", "user:bob"]).lines().count(), 1);
    let revoked = guarded.ok(&["session", "revoke", id, "--reason", "left open"]);
    assert_eq!(revoked, format!("{id} of user:admin revoked\n"));
    assert_eq!(guarded.run(&["session", "revoke", id]).code, 3);
    let audit = guarded.json(&["audit", "list", "--kind", "session"]);
    let outcomes: Vec<&str> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["outcome"].as_str())
        .collect();
    assert!(outcomes.contains(&"REVOKED") && outcomes.contains(&"LOGGED_IN"), "{audit}");
}
