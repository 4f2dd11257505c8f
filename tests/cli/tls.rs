//! TLS as people try it out: certificates of `certs dev`, a server that asks for one, and commands that show it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::harness::*;

/// Certificates in a directory of their own.
fn certificates() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let ran =
        finish(confwatch(&["certs", "dev", "--dir", &file(&directory, ""), "--name", "config.internal"]));
    assert_eq!(ran.code, 0, "{ran:?}");
    for flag in ["--tls-client-ca", "--tls-ca", "CONFWATCH_TLS_CLIENT_CERT"] {
        assert!(ran.stdout.contains(flag), "{ran:?}");
    }
    directory
}

fn file(directory: &TempDir, name: &str) -> String {
    text(&directory.path().join("certs").join(name)).to_owned()
}

/// A server with these certificates that asks for one, and a command that follows what it says.
fn serve_with(directory: &TempDir, data: &Path) -> (Following, String) {
    let mut command = serve(data);
    command.args(["--auth", "off"]);
    command.args([
        "--tls-cert",
        &file(directory, "server.pem"),
        "--tls-key",
        &file(directory, "server-key.pem"),
    ]);
    command.args(["--tls-client-ca", &file(directory, "ca.pem")]);
    // Those of a client in the same environment are not taken for the server's.
    command.env("CONFWATCH_TLS_CLIENT_CERT", "/nowhere").env("CONFWATCH_TLS_CLIENT_KEY", "/nowhere");
    let server = Following::start(command);
    let line = server.line();
    let rest = line.strip_prefix("confwatch 0.1.0 serving on 127.0.0.1:").unwrap_or_else(|| panic!("{line}"));
    let port = rest.split(',').next().expect("a port");
    (server, format!("https://localhost:{port}"))
}

/// A command of a client that has its certificate from the environment.
fn client(directory: &TempDir, address: &str, args: &[&str]) -> Command {
    let mut command = confwatch(args);
    command.env("CONFWATCH_SERVER", address).env("CONFWATCH_TLS_CA", file(directory, "ca.pem"));
    command.env("CONFWATCH_TLS_CLIENT_CERT", file(directory, "client.pem"));
    command.env("CONFWATCH_TLS_CLIENT_KEY", file(directory, "client-key.pem"));
    command
}

#[test]
fn certificates_of_certs_dev_serve_set_and_watch() {
    let (directory, data) = (certificates(), TempDir::new().expect("a directory"));
    let (server, address) = serve_with(&directory, data.path());
    let set = finish(client(&directory, &address, &["set", "payments/checkout", "max=1"]));
    assert_eq!(set.code, 0, "{set:?}");
    let watch = Following::start(client(&directory, &address, &["watch", "payments/checkout", "-o", "json"]));
    while !watch.line().contains(r#""max":1"#) {}

    // The same by flags, and by another of its names.
    let flags = ["--tls-ca", &file(&directory, "ca.pem"), "--tls-server-name", "config.internal"];
    let shown =
        ["--tls-cert", &file(&directory, "client.pem"), "--tls-key", &file(&directory, "client-key.pem")];
    let mut command = confwatch(&[&["set", "payments/checkout", "max=2"][..], &flags, &shown].concat());
    let set = finish({
        command.env("CONFWATCH_SERVER", address.replace("localhost", "127.0.0.1"));
        command
    });
    assert_eq!(set.code, 0, "{set:?}");
    while !watch.line().contains(r#""max":2"#) {}
    assert_eq!(watch.interrupt(), 0);
    assert_eq!(server.interrupt(), 0);
}

#[test]
fn what_is_wrong_with_tls_is_told_with_what_to_do() {
    let (directory, data) = (certificates(), TempDir::new().expect("a directory"));
    let (_server, address) = serve_with(&directory, data.path());
    let port = address.rsplit(':').next().expect("a port");
    let ca = file(&directory, "ca.pem");
    let other = certificates();
    let check = |args: &[&str], expected: &[&str]| {
        let ran = finish(confwatch(&[&["list"], args].concat()));
        assert_eq!(ran.code, 6, "{args:?}: {ran:?}");
        for expected in expected {
            assert!(ran.stderr.contains(expected), "{args:?}: {expected:?} is not in {ran:?}");
        }
    };
    check(&["--server", &address, "--tls-ca", &ca], &["demands a certificate", "--tls-cert and --tls-key"]);
    let wrong = file(&other, "ca.pem");
    check(&["--server", &address, "--tls-ca", &wrong], &["a CA that is not trusted", "--tls-ca"]);
    let plain = format!("http://localhost:{port}");
    check(&["--server", &plain], &["speaks TLS", "https://"]);
    let name = ["--tls-server-name", "other.internal"];
    check(
        &[&["--server", &address, "--tls-ca", &ca], &name[..]].concat(),
        &["another name", "--tls-server-name"],
    );

    let half = finish(confwatch(&["list", "--server", &address, "--tls-ca", &ca, "--tls-cert", "x"]));
    assert_eq!(half.code, 2, "{half:?}");
    let missing = finish(confwatch(&["list", "--server", &address, "--tls-ca", "/nowhere/ca.pem"]));
    assert!(missing.code == 2 && missing.stderr.contains("/nowhere/ca.pem"), "{missing:?}");
}

#[test]
fn certs_dev_keeps_keys_from_others_and_files_as_they_are() {
    let directory = certificates();
    for key in ["server-key.pem", "client-key.pem"] {
        let mode = std::fs::metadata(file(&directory, key)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let before = std::fs::read(file(&directory, "ca.pem")).expect("it is there");
    std::fs::remove_file(file(&directory, "server.pem")).expect("it was there");
    let again = finish(confwatch(&["certs", "dev", "--dir", &file(&directory, "")]));
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.stderr.contains("ca.pem is there already"), "{again:?}");
    assert_eq!(std::fs::read(file(&directory, "ca.pem")).expect("it is there"), before);
    assert!(!Path::new(&file(&directory, "server.pem")).exists(), "nothing was made");
}

#[test]
fn a_server_that_others_can_reach_does_not_start_in_plain_text() {
    let data = TempDir::new().expect("a directory");
    let mut command = confwatch(&["serve", "--listen", "0.0.0.0:0", "--data-dir"]);
    command.arg(data.path());
    let ran = finish(command);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--tls-cert") && ran.stderr.contains("--insecure"), "{ran:?}");
}

#[test]
fn the_help_of_client_certificates_names_what_follows_from_them() {
    let ran = finish(confwatch(&["serve", "--help"]));
    let help: Vec<&str> = ran.stdout.split_whitespace().collect();
    let help = help.join(" ");
    for consequence in [
        "from all clients, health checks included",
        "those need a token",
        "a certificate of the CA is a credential, and its name is the caller",
        "A client without a certificate is refused",
        "a certificate that is shown must be from the CA all the same",
    ] {
        assert!(help.contains(consequence), "{consequence}: {help}");
    }
}
