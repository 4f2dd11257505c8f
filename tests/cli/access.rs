//! The operator's way with credentials: from the token of the first start to tokens for others, and what each of them may.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use super::harness::*;

/// A server that asks for credentials, and the file with the token of its administrator.
fn guarded(data: &TempDir, more: impl FnOnce(&mut Command)) -> (Following, String, String) {
    let mut command = serve(data.path());
    command.args(["--auth", "on"]);
    more(&mut command);
    let server = Following::start(command);
    let line = server.line();
    let rest = line.strip_prefix("confwatch 0.1.0 serving on ").unwrap_or_else(|| panic!("{line}"));
    let address = rest.split(',').next().expect("an address").to_owned();
    (server, address, text(&keys_of(data.path()).join("admin.token")).to_owned())
}

/// A command at this address, with these variables.
fn run(address: &str, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = confwatch(args);
    command.env("CONFWATCH_SERVER", address).envs(variables.iter().copied());
    finish(command)
}

fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

#[test]
fn an_operator_makes_lists_and_revokes_tokens_and_asks_what_they_may() {
    let data = directory();
    let (server, address, admin_file) = guarded(&data, |_| {});
    let mode = std::fs::metadata(&admin_file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let admin = |args: &[&str]| run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
    let ok = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    assert_eq!(run(&address, &[], &["whoami"]).code, 7, "nobody is let in without a credential");
    assert!(ok(admin(&["whoami"])).starts_with("user:admin (by token:"));
    ok(admin(&["set", "shop/checkout", "max=1"]));
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["group:deployers"],"role":"editor","namespace":"shop","config":"*","scope":"/staging"}]"#;
    ok(admin(&["set", "confwatch/policy", policy]));

    let made = ok(admin(&["token", "create", "ci", "--group", "deployers", "--ttl", "90d", "-o", "json"]));
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let (token, id) = (made["token"].as_str().expect("a token"), made["info"]["id"].as_str().expect("an id"));
    let with_token = [("CONFWATCH_TOKEN", token)];
    assert!(ok(run(&address, &with_token, &["whoami"])).starts_with("token:ci, of deployers"));
    ok(run(&address, &with_token, &["set", "shop/checkout@/staging", "max=2"]));
    let denied = run(&address, &with_token, &["set", "shop/checkout", "max=3"]);
    assert!(
        denied.code == 7 && denied.stderr.contains("token:ci may not write shop/checkout at /"),
        "{denied:?}"
    );
    ok(admin(&["set", "shop/other", "a=1"]));
    let listed = ok(run(&address, &with_token, &["list", "shop"]));
    assert!(listed.contains("(none to read)") && !listed.contains("deleted"), "{listed}");
    // Files of layers that the token may not read are not taken for stale.
    let repo = data.path().join("repo");
    ok(admin(&["export", "shop", "-d", text(&repo)]));
    let part = run(&address, &with_token, &["export", "shop", "-d", text(&repo), "--force"]);
    assert!(part.code == 7 && part.stderr.contains("may not read all of shop"), "{part:?}");
    assert!(repo.join("checkout/global.yaml").exists(), "nothing was deleted");
    let can_i = |words: &[&str]| run(&address, &with_token, &[&["can-i"], words].concat());
    assert!(ok(can_i(&["write", "shop/checkout@/staging"])).starts_with("yes: "));
    let no = can_i(&["write", "shop/checkout@/production"]);
    assert!(no.code == 7 && no.stdout.starts_with("no: "), "{no:?}");
    assert_eq!(can_i(&["user:admin", "admin"]).code, 7, "others are the business of administrators");
    assert!(ok(admin(&["can-i", "group:deployers", "read", "shop/checkout@/staging"])).starts_with("yes: "));

    let listed = ok(admin(&["token", "list"]));
    assert!(listed.contains(id) && !listed.contains(&token[16..]), "{listed}");
    ok(admin(&["token", "revoke", id, "--reason", "left on a laptop"]));
    let revoked = run(&address, &with_token, &["whoami"]);
    assert!(revoked.code == 7 && revoked.stderr.contains("revoked"), "{revoked:?}");
    assert!(!ok(admin(&["token", "list"])).contains(id));
    assert!(ok(admin(&["token", "list", "--all"])).contains("revoked"));
    drop(server);
}

#[test]
fn the_last_use_of_a_token_is_known_after_a_restart() {
    let data = directory();
    let (server, address, admin_file) = guarded(&data, |_| {});
    let list = |address: &str, file: &str| {
        let ran = run(address, &[("CONFWATCH_TOKEN_FILE", file)], &["token", "list", "-o", "json"]);
        let listed: serde_json::Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        listed["tokens"].as_array().expect("tokens").clone()
    };
    let file = text(&data.path().join("ci.token")).to_owned();
    let made = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], &["token", "create", "ci"]);
    std::fs::write(&file, &made.stdout).expect("written");
    assert!(list(&address, &admin_file)[0]["last_use_time"].is_null(), "it was just made");
    assert_eq!(run(&address, &[("CONFWATCH_TOKEN_FILE", &file)], &["whoami"]).code, 0);
    let used = list(&address, &admin_file)[0]["last_use_time"].clone();
    assert!(used.is_string(), "{used}");
    assert_eq!(server.interrupt(), 0);
    // Nobody needs a token there, and it forgets none.
    let mut command = serve(data.path());
    command.args(["--auth", "off"]);
    let open = Following::start(command);
    open.line();
    assert_eq!(open.interrupt(), 0);
    let (_server, address, admin_file) = guarded(&data, |_| {});
    assert_eq!(list(&address, &admin_file)[0]["last_use_time"], used);
}

#[test]
fn streams_go_on_with_the_token_that_took_the_place_of_one_that_was_revoked() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let admin = |args: &[&str]| {
        let ran = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    admin(&["set", "shop/checkout", "max=1"]);
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["token:app"],"role":"admin","namespace":"*","config":"*","scope":"/"}]"#;
    admin(&["set", "confwatch/policy", policy]);
    let token = || {
        let made: serde_json::Value =
            serde_json::from_str(&admin(&["token", "create", "app", "-o", "json"])).expect("JSON");
        let (token, id) = (&made["token"], &made["info"]["id"]);
        (token.as_str().expect("a token").to_owned(), id.as_str().expect("an id").to_owned())
    };
    let (first, id) = token();
    let file = data.path().join("app.token");
    std::fs::write(&file, first).expect("written");
    let follow = |args: &[&str]| {
        let mut command = confwatch(args);
        command.env("CONFWATCH_SERVER", &address).env("CONFWATCH_TOKEN_FILE", &file);
        Following::start(command)
    };
    let watch = follow(&["watch", "shop/checkout", "-o", "json"]);
    let changes = follow(&["changes", "shop", "--follow", "--from", "1", "-o", "json"]);
    let audit = follow(&["audit", "follow", "shop", "--kind", "change", "--since", "1h", "-o", "json"]);
    for follow in [&watch, &changes, &audit] {
        follow.line();
    }
    // Revoked before the next one is there, as it may happen.
    admin(&["token", "revoke", &id]);
    std::fs::write(&file, token().0).expect("written");
    admin(&["set", "shop/checkout", "max=2"]);
    for (follow, expected) in [(watch, "\"max\":2"), (changes, "\"version\":2"), (audit, "\"version\":2")] {
        let line = follow.line();
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn secrets_are_printed_by_reveal_only_and_delivered_as_they_are() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let out = directory();
    let admin = |args: &[&str]| run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
    let ok = |args: &[&str]| {
        let ran = admin(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        format!("{}{}", ran.stdout, ran.stderr)
    };
    ok(&["set", "shop/checkout", r#"password:={"$secret":"hunter2"}"#, "max=1"]);
    ok(&["set", "shop/checkout@/production", r#"password:={"$secret":"hunter3"}"#]);
    let file = out.path().join("app.json");
    let target = "shop/checkout@/production";
    let watch = ["watch", target, "--count", "1"];
    let exported = out.path().join("exported");
    let export = ["export", "shop", "-d", text(&exported), "--force"];
    for (args, is_printed) in [
        (&["get", target][..], true),
        (&["get", target, "--view", "layer", "-o", "json"], true),
        (&["explain", target], true),
        (&["history", target, "--content"], true),
        (&["diff", target, "--from", "1"], true),
        (&["changes", "shop", "--from", "1", "--count", "2", "--content"], true),
        (&["export", "shop"], true),
        (&[&watch[..], &["--content"]].concat(), true),
        (&[&watch[..], &["-o", "json"]].concat(), true),
        (&[&watch[..], &["--content", "--file", text(&file)]].concat(), true),
        (&[&watch[..], &["-o", "yaml", "--exec", "cat > /dev/null"]].concat(), true),
        (&export, false),
    ] {
        assert!(!ok(args).contains("hunter"), "{args:?}");
        let revealed = ok(&[args, &["--reveal"]].concat());
        assert_eq!(revealed.contains("hunter"), is_printed, "{args:?}: {revealed}");
    }
    // A program gets the secret, in a file for nobody else.
    let mode_of =
        |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let delivered = std::fs::read_to_string(&file).expect("there");
    assert!(delivered.contains("hunter3"), "{delivered}");
    assert_eq!(mode_of(&file), 0o600);
    assert!(ok(&[&watch[..], &["--exec", "cat"]].concat()).contains("hunter3"));
    // What was exported last is with the secrets, and for nobody else either.
    let layer = exported.join("checkout/production.yaml");
    assert!(std::fs::read_to_string(&layer).expect("there").contains("hunter3"));
    assert_eq!(mode_of(&layer), 0o600);

    // Who may not see secrets is told so, and no program gets fingerprints unless that is wanted.
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["token:app"],"role":"viewer","namespace":"shop","config":"*","scope":"/"}]"#;
    ok(&["set", "confwatch/policy", policy]);
    let token = admin(&["token", "create", "app"]).stdout;
    let viewer = |args: &[&str]| run(&address, &[("CONFWATCH_TOKEN", token.trim())], args);
    let deliver = [&watch[..], &["--file", text(&file)]].concat();
    let refused = viewer(&deliver);
    assert!(refused.code == 1 && refused.stderr.contains("the secret /password is masked"), "{refused:?}");
    assert!(std::fs::read_to_string(&file).expect("there").contains("hunter3"), "it stays as it was");
    assert_eq!(viewer(&[&deliver[..], &["--deliver-masked"]].concat()).code, 0);
    assert!(std::fs::read_to_string(&file).expect("there").contains("***"), "it was asked for");
}

#[test]
fn a_token_is_granted_what_it_is_for_and_what_is_not_seen_is_told() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let admin = |args: &[&str]| {
        let ran = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    admin(&["set", "shop/checkout", "max=1"]);
    let useless = admin(&["token", "create", "useless"]);
    assert!(useless.stderr.contains("warning: the policy grants nothing to token:useless"), "{useless:?}");
    let grant = ["--role", "editor", "--namespace", "shop", "--scope", "/staging"];
    let made = admin(&[&["token", "create", "ci"], &grant[..]].concat());
    assert!(
        !made.stderr.contains("warning") && made.stderr.contains("token:ci is editor on shop/* at /staging"),
        "{made:?}"
    );
    let with = |token: &str, args: &[&str]| run(&address, &[("CONFWATCH_TOKEN", token.trim())], args);
    assert_eq!(with(&made.stdout, &["set", "shop/checkout@/staging", "max=2"]).code, 0);
    // The hint is a command that works.
    let denied = with(&made.stdout, &["set", "shop/checkout", "max=3"]);
    assert!(
        denied.code == 7 && denied.stderr.contains("`confwatch can-i write shop/checkout@/` says why"),
        "{denied:?}"
    );
    assert!(with(&made.stdout, &["can-i", "write", "shop/checkout@/"]).stdout.starts_with("no: "));
    // The same grant once more adds nothing to the policy; one that makes no sense leaves no token.
    admin(&[&["token", "create", "ci"], &grant[..]].concat());
    let policy = admin(&["get", "confwatch/policy", "-o", "json"]).stdout;
    assert_eq!(policy.matches("token:ci").count(), 1, "{policy}");
    let wrong = ["token", "create", "wrong", "--role", "nonsense", "--namespace", "shop"];
    let wrong = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], &wrong);
    assert!(wrong.code == 4 && wrong.stderr.contains("was revoked again"), "{wrong:?}");
    assert!(!admin(&["token", "list"]).stdout.contains("wrong"));
    // An empty list is not taken for lost data.
    let empty = with(&useless.stdout, &["list", "shop"]);
    assert!(empty.code == 0 && empty.stderr.contains("you may not read all of shop"), "{empty:?}");
    assert_eq!(admin(&["list", "nothing"]).stderr, "");
}

#[test]
fn flags_go_before_the_environment_and_what_is_empty_is_not_there() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let nothing = [("CONFWATCH_TOKEN", ""), ("CONFWATCH_TOKEN_FILE", "")];
    let ran = run(&address, &nothing, &["whoami"]);
    assert!(ran.code == 7 && ran.stderr.contains("no credential"), "{ran:?}");
    let empty_token = [("CONFWATCH_TOKEN", ""), ("CONFWATCH_TOKEN_FILE", admin_file.as_str())];
    assert_eq!(run(&address, &empty_token, &["whoami"]).code, 0);
    assert_eq!(run(&address, &[], &["whoami", "--token", "", "--token-file", &admin_file]).code, 0);
    // The file that is named here, and not the token of somewhere else.
    let other = [("CONFWATCH_TOKEN", "cw_other")];
    assert_eq!(run(&address, &other, &["whoami", "--token-file", &admin_file]).code, 0);
    assert_eq!(run(&address, &other, &["whoami"]).code, 7);
    let wrong = run(&address, &[("CONFWATCH_TOKEN", "two words")], &["whoami"]);
    assert!(wrong.code == 2 && !wrong.stderr.contains("two words"), "{wrong:?}");
    let missing = run(&address, &[], &["whoami", "--token-file", "/nowhere/token"]);
    assert!(missing.stderr.contains("/nowhere/token"), "{missing:?}");
}

#[test]
fn a_token_in_plain_text_to_another_machine_is_warned_of() {
    // Nobody listens there; what counts is what is said before.
    let args = ["whoami", "--token", "cw_x", "--timeout", "2s", "--server"];
    let warned = finish(confwatch(&[&args[..], &["http://0.0.0.0:1"]].concat()));
    assert!(
        warned.stderr.contains("warning: the token goes to http://0.0.0.0:1 in plain text"),
        "{warned:?}"
    );
    assert!(!warned.stderr.contains("cw_x"), "{warned:?}");
    for quiet in ["http://127.0.0.1:1", "https://0.0.0.0:1"] {
        let ran = finish(confwatch(&[&args[..], &[quiet]].concat()));
        assert!(!ran.stderr.contains("warning"), "{ran:?}");
    }
}

/// Answers every request with this, over TLS, with a certificate for localhost.
fn answer_by_https(body: String, certificate: CertifiedIssuer<'static, KeyPair>) -> u16 {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let leaf = params.signed_by(&key, &certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, socket);
            if stream.read(&mut [0; 4096]).is_ok() {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    port
}

#[test]
fn keys_of_an_issuer_come_by_https_from_who_is_trusted() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine;
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let (files, ca_pem) = (directory(), ca.pem());
    let ca_file = files.path().join("ca.pem");
    std::fs::write(&ca_file, ca_pem).expect("written");
    let signer = Ed25519KeyPair::generate().expect("a key");
    let public = encoded(signer.public_key().as_ref());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{public}"}}]}}"#);
    let port = answer_by_https(keys, ca);
    let url = format!("https://localhost:{port}/keys");
    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
            + 3600;
    let claims =
        format!(r#"{{"iss":"https://issuer.example","aud":"confwatch","sub":"alice","exp":{soon}}}"#);
    let signed = format!("{}.{}", encoded(br#"{"alg":"EdDSA","kid":"a"}"#), encoded(claims.as_bytes()));
    let token = format!("{signed}.{}", encoded(signer.sign(signed.as_bytes()).as_ref()));

    let serve = |data: &TempDir, trusted: Option<&str>| {
        guarded(data, |command| {
            command.args(["--jwt-keys", &url, "--jwt-issuer", "https://issuer.example"]);
            command.args(["--jwt-audience", "confwatch"]).env_remove("SSL_CERT_DIR");
            match trusted {
                Some(file) => command.env("SSL_CERT_FILE", file),
                None => command.env_remove("SSL_CERT_FILE"),
            };
        })
    };
    let data = directory();
    let (_server, address, _) = serve(&data, Some(text(&ca_file)));
    let who = run(&address, &[("CONFWATCH_TOKEN", &token)], &["whoami"]);
    assert!(who.stdout.starts_with("user:https://issuer.example#alice"), "{who:?}");
    let data = directory();
    let (_server, address, _) = serve(&data, None);
    let who = run(&address, &[("CONFWATCH_TOKEN", &token)], &["whoami"]);
    assert!(who.code != 0 && who.stderr.contains("keys of the issuer are not known"), "{who:?}");
}

#[test]
fn authentication_that_is_off_is_said_loudly_and_for_loopback_only() {
    let data = directory();
    let ran = finish(confwatch(&[
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--insecure",
        "--auth",
        "off",
        "--data-dir",
        text(data.path()),
    ]));
    assert!(ran.code == 2 && ran.stderr.contains("--auth off"), "{ran:?}");
    for more in [&[][..], &["--auth", "off"]] {
        let data = directory();
        let mut command = serve(data.path());
        command.args(more).stderr(std::process::Stdio::piped());
        let mut server = Following::start(command);
        server.line();
        let said = lines_of(server.stderr());
        let is_warned = said.recv_timeout(PATIENCE).is_ok_and(|line| line.contains("authentication is OFF"))
            || said.iter().take(20).any(|line| line.contains("authentication is OFF"));
        assert!(is_warned);
    }
}

#[test]
fn a_watch_outlasts_a_denial_at_its_start_and_says_why_there_is_nothing_to_show() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let admin = |args: &[&str]| {
        let ran = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let policy = |config: &str| {
        format!(
            r#"bindings=[
            {{"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"}},
            {{"subjects":["token:app"],"role":"viewer","namespace":"shop","config":"{config}","scope":"/"}}]"#
        )
    };
    admin(&["set", "shop/checkout", "max=1"]);
    admin(&["set", "confwatch/policy", &policy("other")]);
    let made: serde_json::Value =
        serde_json::from_str(&admin(&["token", "create", "app", "-o", "json"])).expect("JSON");
    let file = data.path().join("app.token");
    std::fs::write(&file, made["token"].as_str().expect("a token")).expect("written");
    let follow = |args: &[&str]| {
        let mut command = confwatch(args);
        command.env("CONFWATCH_SERVER", &address).env("CONFWATCH_TOKEN_FILE", &file);
        command.stderr(std::process::Stdio::piped());
        let mut watch = Following::start(command);
        let said = lines_of(watch.stderr());
        (watch, said)
    };
    // In the whole namespace there is nothing that it may read.
    let (_all, said) = follow(&["watch", "shop/*"]);
    assert_eq!(
        said.recv_timeout(PATIENCE).expect("a note"),
        "there is nothing to show in shop yet; waiting for changes"
    );
    let why = said.recv_timeout(PATIENCE).expect("a warning");
    assert!(why.contains("you may not read all of shop"), "{why}");
    // What is denied for as long as --timeout ends the command as any denial does.
    let denied = run(
        &address,
        &[("CONFWATCH_TOKEN_FILE", text(&file))],
        &["watch", "shop/checkout", "--timeout", "200ms"],
    );
    assert!(denied.code == 7 && denied.stderr.contains("trying on until --timeout is over"), "{denied:?}");
    let (watch, said) = follow(&["watch", "shop/checkout", "-o", "json", "--timeout", "60s"]);
    let warning = said.recv_timeout(PATIENCE).expect("a warning");
    assert!(warning.contains("the server refuses the watch, trying on"), "{warning}");
    admin(&["set", "confwatch/policy", &policy("*")]);
    assert!(watch.line().contains("\"max\":1"));
}

/// What a start says that goes by what an earlier version of the server believed.
#[test]
fn a_start_reports_names_that_were_an_issuers_patterns_that_grant_nothing_and_directories_of_others() {
    let data = directory();
    let (server, address, admin_file) = guarded(&data, |_| {});
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["user:alice","user:admin"],"role":"viewer","namespace":"shop","config":"*","scope":"/"},
        {"subjects":["group:ops"],"role":"admin","namespace":"c*","config":"*","scope":"/"},
        {"subjects":["user:https://issuer.example#bob"],"role":"viewer","namespace":"shop","config":"*","scope":"/"}]"#;
    let set = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], &["set", "confwatch/policy", policy]);
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(server.interrupt(), 0);
    let keys = data.path().join("keys.json");
    let key = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(&keys, format!("\u{feff}{{\"keys\":[{key}]}}")).expect("written");
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = serve(data.path());
    command.args(["--auth", "on", "--jwt-keys", text(&keys), "--jwt-issuer", "https://issuer.example"]);
    command.args(["--jwt-audience", "confwatch"]).stderr(std::process::Stdio::piped());
    let mut server = Following::start(command);
    let said = lines_of(server.stderr());
    server.line();
    assert_eq!(server.terminate(), 0);
    let said: Vec<String> = said.iter().collect();
    let is_said = |parts: &[&str]| {
        said.iter().any(|line| line.contains("WARN") && parts.iter().all(|part| line.contains(part)))
    };
    let others = data.path().display().to_string();
    for parts in [
        &["a pattern does not grant the namespace confwatch", "c*"][..],
        &["user:alice", "user:https://issuer.example#alice", "no API token"],
        &["group:ops", "group:https://issuer.example#ops"],
        &["others than its owner have access to the data directory", "0755", &others],
    ] {
        assert!(is_said(parts), "{parts:?}: {said:#?}");
    }
    assert!(!is_said(&["names somebody", "user:admin"]) && !is_said(&["names somebody", "bob"]), "{said:#?}");
}

#[test]
fn explain_says_which_layers_it_may_not_show() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let admin = |args: &[&str]| {
        let ran = run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    admin(&["set", "shop/checkout", "max=1", "min=0"]);
    admin(&["set", "shop/checkout@/production", "max=2"]);
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["token:app"],"role":"viewer","namespace":"shop","config":"*","scope":"/production"}]"#;
    admin(&["set", "confwatch/policy", policy]);
    let made: serde_json::Value =
        serde_json::from_str(&admin(&["token", "create", "app", "-o", "json"])).expect("JSON");
    let file = data.path().join("app.token");
    std::fs::write(&file, made["token"].as_str().expect("a token")).expect("written");
    let explain = |file: &str, more: &[&str]| {
        let args = [&["explain", "shop/checkout@/production"], more].concat();
        run(&address, &[("CONFWATCH_TOKEN_FILE", file)], &args)
    };
    assert_eq!(explain(&admin_file, &[]).stderr, "");
    let told = explain(text(&file), &[]);
    let expected = "you may not read 1 layer at / v1: what other layers replace or remove of it is not shown";
    assert!(told.code == 0 && told.stderr.contains(expected), "{told:?}");
    let told = explain(text(&file), &["-o", "json"]);
    let view: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(view["withheld"][0]["scope"], "/");
}

#[test]
fn drift_from_a_directory_takes_the_permission_read_alone_and_shows_no_secret() {
    let data = directory();
    let (_server, address, admin_file) = guarded(&data, |_| {});
    let admin = |args: &[&str]| run(&address, &[("CONFWATCH_TOKEN_FILE", &admin_file)], args);
    let ok = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let bindings = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["token:nightly"],"role":"reader","namespace":"shop","config":"*","scope":"/"}]"#;
    ok(admin(&["set", "confwatch/policy", r#"roles={"reader":["read"]}"#, bindings]));
    let made: serde_json::Value =
        serde_json::from_str(&ok(admin(&["token", "create", "nightly", "-o", "json"]))).expect("JSON");
    let token = made["token"].as_str().expect("a token");
    let reader = |args: &[&str]| run(&address, &[("CONFWATCH_TOKEN", token)], args);
    let files = directory();
    let (schema, tree) = (files.path().join("schema.json"), files.path().join("shop"));
    std::fs::write(&schema, r#"{"properties": {"a": {"type": "integer"}}}"#).expect("written");
    ok(admin(&["schema", "put", "shop/app", "-f", text(&schema)]));
    ok(admin(&["set", "shop/app", "a=1", r#"password={"$secret":"hunter2"}"#]));
    ok(admin(&["export", "shop", "-d", text(&tree)]));

    let drift = ["drift", "shop", "--dir", text(&tree)];
    assert_eq!(
        reader(&["apply", "-f", text(&tree), "--dry-run"]).code,
        7,
        "a reader does not even try to write"
    );
    assert_eq!(ok(reader(&drift)), "no drift\n");
    let layer = tree.join("app/global.yaml");
    assert!(layer.exists(), "{:?}", std::fs::read_dir(&tree).map(Iterator::collect::<Vec<_>>));
    std::fs::write(&layer, "a: 2\npassword: {$secret: correct horse}\ntoken: {$secret: battery}\n")
        .expect("written");
    let found = reader(&drift);
    assert_eq!(found.code, 3, "{found:?}");
    assert!(found.stdout.contains("shop/app / differs from the directory\n  ~ /a: 1 -> 2\n"), "{found:?}");
    assert!(found.stdout.contains("+ /token: \"***\"") && !found.stdout.contains("/password"), "{found:?}");
    assert!(found.stderr.contains("1 secret of the directory in clear text cannot be compared"), "{found:?}");
    let found = admin(&drift);
    assert!(found.code == 3 && found.stdout.contains("~ /password: \"***:"), "{found:?}");
    for secret in ["hunter2", "correct", "battery"] {
        assert!(!found.stdout.contains(secret), "{found:?}");
    }
    std::fs::write(&layer, "a: 1\npassword: {$secret: hunter2}\n").expect("written");
    assert_eq!(ok(admin(&drift)), "no drift\n");
    std::fs::remove_file(&layer).expect("removed");
    let found = reader(&drift);
    assert!(found.code == 3 && found.stdout.contains("shop/app / is not in the directory\n"), "{found:?}");
}
