//! History that is compacted: what commands ask before, what they say of it afterwards.

use serde_json::json;

use crate::harness::{PATIENCE, Server};

const CUT: &str = r#"{"namespaces": {"noisy": {"bytes_max": 1}}}"#;
const CONFIG: &str = "confwatch/retention";

/// A server with commits of `noisy` and `quiet`, the last of both.
fn filled(args: &[&str]) -> Server {
    let server = Server::start_with(args);
    for number in 0..3 {
        server.ok(&["set", "noisy/a", &format!("n={number}")]);
    }
    server.ok(&["set", "quiet/a", "n=1"]);
    server
}

#[test]
fn a_retention_that_cuts_history_is_shown_and_asked_about_before_it_is_written() {
    let server = filled(&[]);
    let set = |more: &[&str]| server.run_with_input(&[&["set", CONFIG, "-"], more].concat(), CUT);
    let dry = set(&["--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    let finding = "warning HISTORY_CUT at confwatch/retention / /namespaces/noisy: the history of namespace noisy before revision 4 would be compacted: 3 commits, ";
    assert!(dry.stderr.contains(finding) && dry.stderr.contains("at the earliest"), "{dry:?}");
    let asked = set(&[]);
    assert_eq!(asked.code, 5, "nobody can be asked: {asked:?}");
    assert!(asked.stderr.contains("nothing was written: history would be compacted"), "{asked:?}");
    assert!(asked.stderr.contains("--yes does it without asking"), "{asked:?}");
    server.fails(3, &["get", CONFIG]);
    let unknown = r#"{"namespaces": {"noisi": {"bytes_max": 1}}}"#;
    let unknown = server.run_with_input(&["set", CONFIG, "-"], unknown);
    assert_eq!(unknown.code, 0, "nothing would be cut: {unknown:?}");
    assert!(unknown.stderr.contains("there is no namespace noisi (did you mean noisy?)"), "{unknown:?}");
    let written = set(&["--yes"]);
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.stderr.contains(finding), "{written:?}");
    // There is an hour to take it back.
    server.ok(&["rollback", CONFIG]);
    assert_eq!(server.json(&["changes", "noisy", "--from", "1", "--count", "1"])["revision"], json!(1));
}

#[test]
fn commands_say_that_history_was_compacted() {
    let server = filled(&["--retention-grace", "1ms"]);
    server.ok(&["set", "noisy/b", "n=1"]);
    let written = server.run_with_input(&["set", CONFIG, "-", "--yes"], CUT);
    assert_eq!(written.code, 0, "{written:?}");
    let begun = std::time::Instant::now();
    let oldest = loop {
        let status = server.json(&["status"]);
        if let Some(history) = status["server"]["compacted_namespaces"].get(0) {
            break history["oldest_revision"].as_u64().expect("a revision");
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    };
    let status = server.ok(&["status"]);
    assert!(status.contains(&format!("\nhistory      of noisy since {oldest}\n")), "{status}");
    let listed = server.ok(&["changes", "--from", "1"]);
    assert!(listed.lines().next().expect("a commit").contains("noisy (compacted)"), "{listed}");
    let note = format!("older commits were compacted: the history of noisy begins with revision {oldest}");
    for args in [["changes", "noisy"], ["history", "noisy"]] {
        let ran = server.run(&args);
        assert!(ran.code == 0 && ran.stderr.contains(&note), "{args:?}: {ran:?}");
        let quiet = server.run(&[args[0], "quiet"]);
        assert!(quiet.code == 0 && !quiet.stderr.contains("compacted"), "{quiet:?}");
    }
    let history = server.json(&["history", "noisy"]);
    assert_eq!((&history["compacted"], &history["oldest_revision"]), (&json!(true), &json!(oldest)));
    let shown = server.ok(&["show", "1"]);
    assert!(
        shown.contains("what it changed of noisy was compacted, and how far it reached is not known"),
        "{shown}"
    );
    assert!(!shown.contains("reached 0"), "{shown}");
    let gone = server.fails(3, &["get", "noisy/a", "--version", "1"]);
    let expected = format!(
        "version 1 of noisy/a was compacted: the history of namespace noisy begins with revision {oldest}"
    );
    assert!(gone.contains(&expected), "{gone}");
}
