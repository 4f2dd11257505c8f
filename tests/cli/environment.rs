//! Variables of the environment.

use super::harness::*;

/// All variables that the help of a command names.
fn variables(help: &str) -> Vec<String> {
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split([']', '=']).next());
    names.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn an_empty_variable_is_as_good_as_none_for_every_setting() {
    let server = Server::start();
    let help = finish(confwatch(&["serve", "--help"])).stdout;
    let names = variables(&help);
    assert!(names.len() > 30, "{names:?}");
    // The directory is a file: it gets as far as opening it.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut serve = confwatch(&["serve", "--data-dir"]);
    serve.arg(file.path());
    for name in names.iter().map(String::as_str).chain(["CONFWATCH_MASTER_KEY", "OTEL_SERVICE_NAME"]) {
        serve.env(name, "");
    }
    let ran = finish(serve);
    assert!(!ran.stderr.contains("invalid value") && !ran.stderr.contains("--help"), "{ran:?}");
    assert!(ran.stderr.contains(&file.path().display().to_string()), "{ran:?}");
    let help = finish(confwatch(&["get", "--help"])).stdout;
    let mut list = server.command(&["list", "--server", &server.address]);
    for name in variables(&help) {
        list.env(name, "");
    }
    let ran = finish(list);
    assert_eq!(ran.code, 0, "{ran:?}");
}
