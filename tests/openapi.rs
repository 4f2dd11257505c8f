//! The description of the HTTP door through other people's tools: it is valid OpenAPI, and calls that are made from it find a server that keeps to it.

#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/tools.rs"]
mod tools;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use server::Server;
use tempfile::TempDir;

/// A server that asks for credentials, and the token of its administrator.
fn server(directory: &TempDir) -> (Server, String) {
    let data = directory.path().join("data");
    let server = Server::start_in(&data, &["--auth", "on"]);
    let token = fs::read_to_string(directory.path().join("data.keys/admin.token")).expect("a token");
    (server, token.trim().to_owned())
}

#[track_caller]
fn succeeded(what: &str, output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{what} failed:\n{}\n{}", said[0], said[1]);
}

#[test]
fn the_description_is_valid_openapi() {
    let Some(python) = tools::python("openapi_spec_validator") else { return };
    let directory = TempDir::new().expect("a directory");
    let (server, _) = server(&directory);
    let script = "
import json, sys, urllib.request
from openapi_spec_validator import OpenAPIV31SpecValidator
document = json.load(urllib.request.urlopen(sys.argv[1]))
errors = list(OpenAPIV31SpecValidator(document).iter_errors())
for error in errors[:20]:
    print(list(error.absolute_path), error.message[:300])
sys.exit(bool(errors))
";
    let url = format!("http://{}/openapi.json", server.address);
    let validated =
        Command::new(python).args(["-c", script, &url]).output().expect("the tool was just found");
    succeeded("the validator", &validated);
}

/// No error of the server, and no response that the description does not allow. A call that waits for a revision that is yet to be made is given up by
/// the client, which is the one error of a server there may be: 504.
#[test]
fn calls_that_the_description_allows_have_responses_that_it_allows() {
    let Some(python) = tools::python("schemathesis") else { return };
    let directory = TempDir::new().expect("a directory");
    let (server, token) = server(&directory);
    let url = format!("http://{}", server.address);
    let config = format!(
        "continue-on-failure = false\n\
         [checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", \"504\"]\n\
         [headers]\nAuthorization = \"Bearer {token}\"\nConnect-Timeout-Ms = \"1000\"\n"
    );
    let path = directory.path().join("schemathesis.toml");
    fs::write(&path, config).expect("written");
    // What is on the edge of what each field may be: the same calls each time.
    let run = Command::new(tools_of(&python, "schemathesis"))
        .arg("--config-file")
        .arg(&path)
        .args(["run", &format!("{url}/openapi.json")])
        .args(["--phases", "coverage", "--workers", "1", "--max-time", "60"])
        .args(["--checks", CHECKS, "--mode", "all", "--request-timeout", "30", "--seed", "1"])
        // Streams have no end.
        .args(["--exclude-operation-id-regex", STREAMS])
        .args(["--no-shrink", "--generation-database", "none", "--max-failures", "5"])
        .args(["--suppress-health-check", "all", "--warnings", "off", "--no-color"])
        .current_dir(directory.path())
        .output()
        .expect("the tool was just found");
    // Hypothesis on CPython 3.11 fails now and then by itself ("AST constructor recursion depth mismatch"): that says nothing of the server.
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(said.contains(" passed") && !said.contains("= FAILURES ="), "schemathesis found:\n{said}");
    println!("{said}");
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";
const STREAMS: &str = "^(Watch|.*_(Watch|Stream|StreamChanges|WaitConverged|CreateBackup|VerifyBackup))$";

/// A program that lies beside the Python of the tools.
fn tools_of(python: &Path, name: &str) -> std::path::PathBuf {
    python.parent().expect("a file is in a directory").join(name)
}
