//! The documentation says what is true: the reference is that of the proto files, and commands print what the pages show.
//! `CONFWATCH_UPDATE_DOCS=1` corrects the pages instead of failing.

#[path = "support/contract.rs"]
mod contract;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/routes.rs"]
mod routes;
#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "other test binaries use the rest of it")]
#[path = "support/tools.rs"]
mod tools;
#[path = "support/transcript.rs"]
mod transcript;

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use server::Server;
use tempfile::TempDir;
use transcript::Ran;

#[test]
fn the_contract_page_is_that_of_the_proto_files() {
    let path = root().join("docs/contract.md");
    let reference = contract::reference();
    if updating() {
        fs::write(&path, reference).expect("docs/contract.md can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == reference,
        "docs/contract.md is stale: run `CONFWATCH_UPDATE_DOCS=1 cargo test --test docs` and commit it"
    );
}

#[test]
fn commands_print_what_the_pages_show() {
    let mut wrong = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page is readable");
        if !page.contains("```console") || page.contains("\n$ curl ") && tools::curl().is_none() {
            continue;
        }
        let shell = Shell::start(&page);
        let (correct, problems) = transcript::check(&page, |command| shell.run(command));
        if updating() {
            fs::write(&path, correct).expect("a page can be written");
        }
        wrong.extend(problems.into_iter().map(|problem| format!("{}, {problem}", path.display())));
    }
    assert!(updating() || wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_table_of_settings_has_their_declarations() {
    check_table("docs/operations.md", "\n## Settings\n", "| flag |", &confwatch::server::settings::table());
}

#[test]
fn the_table_of_routes_is_that_of_the_proto_files() {
    check_table("docs/rest.md", "\n## Routes\n", "| route |", &routes::table());
}

/// The table that begins so, in the section of a page, is this one.
fn check_table(page: &str, section: &str, head: &str, table: &str) {
    let path = root().join(page);
    let text = fs::read_to_string(&path).expect("a page is readable");
    let section = text.find(section).unwrap_or_else(|| panic!("no section {section:?} in {page}"));
    let start = section + text[section..].find(&format!("\n\n{head}")).expect("a table") + 2;
    let end = start + text[start..].find("\n\n").map_or(text.len() - start, |end| end + 1);
    if updating() {
        fs::write(&path, [&text[..start], table, &text[end..]].concat()).expect("a page can be written");
        return;
    }
    assert!(
        text[start..end] == *table,
        "the table {head} in {page} is stale: run `CONFWATCH_UPDATE_DOCS=1 cargo test --test docs` and commit it"
    );
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for path in pages() {
        let page = fs::read_to_string(&path).expect("a page is readable");
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or(link);
            let there = path.parent().expect("a file is in a directory").join(file);
            if !link.contains("://") && !file.is_empty() && !there.exists() {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// What answers tell all the same, by docs/security.md, and the tests that prove it: the beginning of each statement, and names of tests.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    (
        "Whether a stored value is the secret that was there",
        &[
            "every_stored_guess_is_a_commit_in_the_audit_log_and_there_are_few",
            "validation_answers_every_guess_alike",
            "a_value_that_is_restored_to_the_place_of_a_secret_is_a_guess",
            "a_schema_that_makes_stored_values_secret_is_a_guess_of_its_author",
        ],
    ),
    (
        "Whether a document is valid",
        &[
            "who_may_not_read_is_told_that_a_document_is_invalid_and_no_more",
            "whether_hidden_documents_are_valid_is_told_so_often_and_no_more",
            "a_schema_through_which_others_refer_is_asked_as_seldom_and_recorded_where_it_is_read",
            "a_change_that_does_not_fit_a_hidden_layer_is_refused_as_any_invalid_document",
        ],
    ),
    ("How long a check takes", &["checks_end_where_the_steps_of_the_call_do"]),
    (
        "Whether the write of somebody else is refused",
        &["the_author_of_a_rule_sees_whether_writes_of_those_who_may_reveal_are_refused"],
    ),
    (
        "Whether a migration changes a layer",
        &["a_write_to_a_layer_that_its_author_may_not_read_always_counts_as_a_change"],
    ),
    ("What a scope inherits", &["readers_of_a_scope_see_what_it_inherits_and_what_governs"]),
    (
        "Who watches",
        &[
            "callers_see_watchers_of_what_they_may_read_and_who_they_are_with_audit",
            "digests_are_those_that_the_caller_reads_and_tell_nothing_of_hidden_secrets",
            "of_an_older_document_with_secrets_the_digest_is_told_to_who_may_see_them",
        ],
    ),
    ("The version of the server", &["figures_are_for_auditors_and_administrators_of_the_store"]),
    ("That things are there", &["versions_revisions_and_the_version_of_a_layer_that_is_not_read_are_told"]),
    ("The hash of a commit", &["the_hash_of_a_commit_covers_what_its_reader_may_not_read"]),
];

#[test]
fn each_exception_of_the_security_page_has_a_test() {
    let page = fs::read_to_string(root().join("docs/security.md")).expect("a page is readable");
    let list = page.split("**What answers tell all the same**").nth(1).expect("the list of exceptions");
    let list = list.split("\n- ").next().expect("it has an end");
    let statements: Vec<&str> = list.split("\n  - *").skip(1).collect();
    let begins = |statement: &&str| EXCEPTIONS.iter().any(|(begin, _)| statement.starts_with(begin));
    let unproven: Vec<&&str> = statements.iter().filter(|statement| !begins(statement)).collect();
    assert!(unproven.is_empty() && statements.len() == EXCEPTIONS.len(), "add tests for {unproven:#?}");
    let mut sources = String::new();
    for place in ["tests/wire", "src/engine/tests"] {
        for entry in fs::read_dir(root().join(place)).expect("a directory of the project is readable") {
            let path = entry.expect("a directory entry is readable").path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&fs::read_to_string(&path).expect("a source is readable"));
            }
        }
    }
    for test in EXCEPTIONS.iter().flat_map(|(_, tests)| *tests) {
        assert!(sources.contains(&format!("fn {test}(")), "there is no test {test}");
    }
}

/// A server, and a directory to try things in that has the examples.
struct Shell {
    server: Server,
    directory: TempDir,
    /// Ended with the shell.
    watches: RefCell<Vec<Child>>,
}

impl Drop for Shell {
    fn drop(&mut self) {
        for watch in self.watches.get_mut() {
            watch.kill().expect("it runs");
            watch.wait().expect("it has ended");
        }
    }
}

impl Shell {
    /// The server is as the page starts one, if that asks for credentials.
    fn start(page: &str) -> Shell {
        let directory = TempDir::new().expect("a temporary directory can be made");
        copy(&root().join("examples"), &directory.path().join("examples"));
        let data = directory.path().join("confwatch-data");
        let asks = page.contains("$ confwatch serve --auth on");
        let more: &[&str] = if asks { &["--auth", "on"] } else { &[] };
        Shell { server: Server::start_in(&data, more), directory, watches: RefCell::default() }
    }

    fn run(&self, command: &str) -> Ran {
        let binary = Path::new(server::BINARY);
        let path = format!(
            "{}:{}",
            binary.parent().expect("a file is in a directory").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let is_watch = command.starts_with(transcript::WATCH);
        let exec = if is_watch { "exec " } else { "" };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec 2>&1; {exec}{command}")])
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("CONFWATCH_SERVER", &self.server.address)
            .env("URL", format!("http://{}", self.server.address))
            .env("CONFWATCH_ACTOR", "alice");
        if is_watch {
            return self.go_on(shell);
        }
        let output = shell.output().expect("there is a shell");
        Ran {
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            succeeded: output.status.success(),
        }
    }
}

impl Shell {
    /// Starts a watch, and returns when it has printed its first line: the stream is open.
    fn go_on(&self, mut watch: Command) -> Ran {
        let mut watch = watch.stdout(Stdio::piped()).spawn().expect("there is a shell");
        let mut line = String::new();
        let read = BufReader::new(watch.stdout.as_mut().expect("piped")).read_line(&mut line);
        self.watches.borrow_mut().push(watch);
        Ran { output: line, succeeded: read.is_ok_and(|bytes| bytes > 0) }
    }
}

/// The Markdown pages of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let places = ["", "docs", "examples/assistant", "examples/learning", "examples/framework"];
    for place in places.into_iter().chain(["clients/python", "clients/node"]) {
        let entries = fs::read_dir(root().join(place)).expect("a directory of the project is readable");
        let files = entries.map(|entry| entry.expect("a directory entry is readable").path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages.sort();
    pages
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory of the project is readable") {
        let path = entry.expect("a directory entry is readable").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a file can be copied");
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn updating() -> bool {
    std::env::var_os("CONFWATCH_UPDATE_DOCS").is_some_and(|value| value == "1")
}
