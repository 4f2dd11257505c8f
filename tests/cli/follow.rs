//! Streams: watch and changes.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Following, PATIENCE, Server, finish, lines_of, text, until};

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn watch_prints_what_is_and_then_each_difference() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let watch = server.follow(&["watch", "a/b", "-s", "/p"]);
    let first = watch.line();
    assert!(first.contains("r1  a/b /p  v1  sha256:"), "{first}");
    server.ok(&["set", "a/b@/p", "x=2", "y=3"]);
    assert!(watch.line().contains("v2"));
    assert_eq!(watch.line(), "  ~ /x: 1 -> 2");
    assert_eq!(watch.line(), "  + /y: 3");
    assert_eq!(watch.interrupt(), 0);
}

#[test]
fn watch_answers_json_lines_and_ends_after_a_count() {
    let server = Server::start();
    let watch = server.follow(&["watch", "a/b", "a/c@/p", "-o", "json", "--count", "3"]);
    let (first, second) = (parse(&watch.line()), parse(&watch.line()));
    assert_eq!((&first["state"], &second["state"]), (&json!("STATE_ABSENT"), &json!("STATE_ABSENT")));
    server.ok(&["set", "a/c", "x=1"]);
    let third = parse(&watch.line());
    assert_eq!(third["state"], "STATE_PRESENT");
    assert_eq!(third["scope"], "/p");
    assert_eq!(third["document"]["content"], json!({"x": 1}));
    assert_eq!(watch.end(), 0);
}

#[test]
fn watch_writes_the_file_and_then_runs_the_command() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let (file, log) = (directory.path().join("app.yaml"), directory.path().join("log"));
    server.ok(&["set", "a/b@/p", "x=1"]);
    let script = format!(
        "cat >> '{0}'; cat \"$CONFWATCH_FILE\" >> '{0}'; \
         echo \"$CONFWATCH_NAMESPACE $CONFWATCH_CONFIG $CONFWATCH_SCOPE $CONFWATCH_VERSION $CONFWATCH_REVISION\" >> '{0}'; \
         echo done",
        text(&log)
    );
    let args = ["watch", "a/b@/p", "--count", "2", "--file", text(&file), "--exec", &script];
    let watch = server.follow(&args);
    while watch.line() != "done" {}
    assert_eq!(fs::read_to_string(&log).expect("there"), "x: 1\nx: 1\na b /p 1 1\n");
    server.ok(&["set", "a/b@/p", "x=2"]);
    assert_eq!(watch.end(), 0);
    assert_eq!(fs::read_to_string(&log).expect("there"), "x: 1\nx: 1\na b /p 1 1\nx: 2\nx: 2\na b /p 2 2\n");
    assert_eq!(fs::read_to_string(&file).expect("there"), "x: 2\n");
}

#[test]
fn a_file_that_could_not_be_written_is_written_when_it_can_be() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let missing = directory.path().join("missing");
    let file = missing.join("app.json");
    server.ok(&["set", "a/b", "x=1"]);
    let mut command = server.command(&["watch", "a/b", "--file", text(&file), "--exec", "echo delivered"]);
    command.stderr(Stdio::piped());
    let mut watch = Following::start(command);
    let warnings = lines_of(watch.stderr());
    let warning = warnings.recv_timeout(PATIENCE).expect("a warning");
    assert!(warning.starts_with("warning: cannot write"), "{warning}");
    fs::create_dir(&missing).expect("made");
    while watch.line() != "delivered" {}
    assert_eq!(fs::read_to_string(&file).expect("there"), "{\n  \"x\": 1\n}\n");
    assert_eq!(watch.interrupt(), 0);
}

#[test]
fn while_a_command_runs_only_the_latest_change_waits() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let (log, gate) = (directory.path().join("log"), directory.path().join("gate"));
    server.ok(&["set", "a/b", "x=1"]);
    // The first run waits at the gate until all changes are seen.
    let script = format!(
        "echo \"$CONFWATCH_VERSION\" >> '{}'; echo running; while [ ! -e '{}' ]; do sleep 0.05; done",
        text(&log),
        text(&gate)
    );
    let watch = server.follow(&["watch", "a/b", "--exec", &script, "--count", "4", "-o", "json"]);
    watch.line();
    assert_eq!(watch.line(), "running");
    for value in ["x=2", "x=3", "x=4"] {
        server.ok(&["set", "a/b", value]);
        watch.line();
    }
    fs::write(&gate, "").expect("opened");
    assert_eq!(watch.end(), 0);
    assert_eq!(fs::read_to_string(&log).expect("there"), "1\n4\n");
}

#[test]
fn an_interrupt_ends_the_watch_amid_other_work() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    // It cannot be started, for two targets, and the warning that says so is longer than a pipe holds. So from its
    // first byte until it is read the watch stands amid the first delivery, and the second is still to come.
    let script = "x".repeat(100_000);
    // Of two things that are ready at once the watch may take the interrupt by luck.
    for _ in 0..8 {
        let mut command = server.command(&["watch", "a/b@/p", "a/b@/q", "--exec", &script]);
        command.env("PATH", server.data.path()).stderr(Stdio::piped());
        let mut watch = Following::start(command);
        let mut warnings = watch.stderr();
        warnings.read_exact(&mut [0]).expect("a warning");
        watch.press_ctrl_c();
        let _read_on = lines_of(warnings);
        assert_eq!(watch.end(), 0);
    }
}

#[test]
fn an_interrupt_ends_the_watch_while_the_last_command_runs() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    server.ok(&["set", "a/b", "x=1"]);
    // It goes on until this test has ended, and leaves standard output to the watch.
    let script = format!(
        "echo running; exec > /dev/null 2>&1; while [ -e '{}' ]; do sleep 0.05; done",
        text(directory.path())
    );
    let watch = server.follow(&["watch", "a/b", "--exec", &script, "--count", "1", "-o", "json"]);
    watch.line();
    assert_eq!(watch.line(), "running");
    assert_eq!(watch.interrupt(), 0);
}

#[test]
fn a_command_that_fails_is_told_and_is_the_exit_code() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let ran = server.run(&["watch", "a/b", "--exec", "exit 3", "--count", "1"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("failed: exit status: 3"), "{ran:?}");
}

#[test]
fn watch_starts_from_its_cache_when_no_server_answers() {
    let directory = TempDir::new().expect("a directory");
    let cache = directory.path().join("cache");
    let address = {
        let server = Server::start();
        server.ok(&["set", "a/b", "x=1"]);
        let watch = server.follow(&["watch", "a/b", "--content", "--cache", text(&cache)]);
        watch.line();
        // Written behind the back of the watch: the next one may start as soon as it is there.
        until("the cache is there", || cache.exists());
        assert_eq!(watch.interrupt(), 0);
        server.address.clone()
    };
    let mut command = crate::harness::confwatch(&["watch", "a/b", "--content", "--count", "1", "--cache"]);
    command.arg(&cache).args(["--server", &address]);
    let ran = crate::harness::finish(command);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.ends_with("{\n  \"x\": 1\n}\n") && ran.stderr.contains("from the cache"), "{ran:?}");
}

#[test]
fn the_cache_has_what_was_counted() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let cache = directory.path().join("cache");
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["watch", "a/b", "--cache", text(&cache), "--count", "1"]);
    assert!(fs::read_to_string(&cache).expect("there").contains(r#"{\"x\":1}"#));
}

#[test]
fn a_file_holds_one_target_only() {
    let server = Server::start();
    server.fails(2, &["watch", "a/b", "a/c", "--file", "x.json"]);
    server.fails(2, &["watch", "a/*", "--file", "x.json"]);
    server.fails(4, &["watch", "a/b@/bad scope", "--count", "1"]);
}

#[test]
fn changes_are_one_line_for_each_commit() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "--reason", "first"]);
    server.ok(&["set", "other/app", "x=1"]);
    server.ok(&["set", "a/b@/p", "x=2"]);
    let lines = server.ok(&["changes", "a", "--from", "1", "--count", "2"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(
        lines[0].starts_with("1  ") && lines[0].ends_with("ada@test  set  a/b v1 /  \"first\""),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("3  ") && lines[1].ends_with("a/b v2 /p"), "{lines:?}");
    let content = server.ok(&["changes", "a/b", "--from", "3", "--count", "1", "--content"]);
    assert!(content.ends_with("  /p: {\"x\":2}\n"), "{content}");
    server.fails(3, &["changes", "--from", "99", "--count", "1"]);

    let follow = server.follow(&["changes", "-o", "json", "--follow", "--from", "4"]);
    server.ok(&["delete", "a/b@/p"]);
    let commit = parse(&follow.line());
    assert_eq!(commit["changes"][0]["layers"][0]["action"], "LAYER_ACTION_DELETE");
    assert_eq!(follow.interrupt(), 0);
}

#[test]
fn changes_at_a_scope_are_named_as_everywhere_and_none_is_said() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    server.ok(&["set", "a/b@/p", "x=2"]);
    let listed = server.ok(&["changes", "a/b@/p"]);
    assert_eq!(listed, server.ok(&["changes", "a/b", "--scope", "/p"]));
    assert!(listed.lines().count() == 1 && listed.contains("a/b v2 /p"), "{listed}");
    server.fails(2, &["changes", "a/b@/p", "--scope", "/q"]);
    let none = server.run(&["changes", "a", "--by", "nobody", "--since", "1h"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "no commits\n"));
}

#[test]
fn changes_of_a_time_are_listed_newest_first_with_what_they_changed() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1", "y=1"]);
    server.ok(&["set", "a/b@/p", "x=2", "--reason", "more"]);
    server.ok(&["set", "a/b", "x=3"]);
    server.ok(&["set", "other/app", "z=1"]);
    let lines = server.ok(&["changes", "a", "--since", "1h", "--diff"]);
    let expected = [
        "3  ",
        "  a/b@/",
        "    ~ /x: 1 -> 3",
        "2  ",
        "  a/b@/p",
        "    ~ /x: 1 -> 2",
        "1  ",
        "  a/b@/",
        "    + /x: 1",
        "    + /y: 1",
    ];
    assert_eq!(lines.lines().count(), expected.len(), "{lines}");
    for (line, expected) in lines.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line:?} is not {expected:?}");
    }
    let of = |args: &[&str]| server.ok(&[&["changes"], args].concat()).lines().count();
    assert_eq!(
        (of(&[]), of(&["--count", "2"]), of(&["--scope", "/p"]), of(&["--until", "1h"])),
        (4, 2, 1, 0)
    );
    assert_eq!((of(&["--by", "ada@test"]), of(&["--by", "somebody"])), (4, 0));
    let show = server.ok(&["show", "2"]);
    assert!(
        show.contains("\"more\"") && show.contains("~ /x: 1 -> 2") && show.contains("reached 1 scope"),
        "{show}"
    );
    assert_eq!(server.json(&["show", "3"])["scopes_reached"], 2);
    server.fails(3, &["show", "99"]);
    assert_eq!(server.run(&["changes", "--follow", "--since", "1h"]).code, 2);
}

#[test]
fn streams_go_on_when_the_server_comes_back() {
    let mut server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let changes = server.follow(&["changes", "-o", "json", "--follow", "--from", "1"]);
    let watch = server.follow(&["watch", "a/b", "-o", "json"]);
    assert_eq!(parse(&changes.line())["revision"], 1);
    assert_eq!(parse(&watch.line())["document"]["version"], 1);
    server.restart();
    server.ok(&["set", "a/b", "x=2"]);
    assert_eq!(parse(&changes.line())["revision"], 2);
    assert_eq!(parse(&watch.line())["document"]["version"], 2);
}

#[test]
fn streams_go_on_when_the_server_was_killed() {
    let mut server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let changes = server.follow(&["changes", "-o", "json", "--follow", "--from", "1"]);
    let watch = server.follow(&["watch", "a/b", "-o", "json"]);
    assert_eq!(parse(&changes.line())["revision"], 1);
    assert_eq!(parse(&watch.line())["document"]["version"], 1);
    server.crash_and_restart();
    server.ok(&["set", "a/b", "x=2"]);
    assert_eq!(parse(&changes.line())["revision"], 2);
    assert_eq!(parse(&watch.line())["document"]["version"], 2);
}

#[test]
fn what_runs_until_it_is_stopped_ends_well_by_sigterm() {
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    for args in [
        &["watch", "a/b"][..],
        &["changes", "--follow", "--from", "1"],
        &["audit", "follow", "--since", "1h"],
    ] {
        let follow = server.follow(args);
        follow.line();
        assert_eq!(follow.terminate(), 0, "{args:?}");
    }
}

#[test]
fn watch_says_when_it_has_reconnected() {
    let mut server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let mut command = server.command(&["watch", "a/b"]);
    command.stderr(Stdio::piped());
    let mut watch = Following::start(command);
    let said = lines_of(watch.stderr());
    watch.line();
    server.restart();
    let said: Vec<String> = (0..2).map(|_| said.recv_timeout(PATIENCE).expect("a line")).collect();
    assert!(said[0].starts_with("warning: the connection was lost, reconnecting"), "{said:?}");
    assert_eq!(said[1], "connected again, and up to date");
}

#[test]
fn the_file_of_a_watch_keeps_its_link_and_its_mode() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let directory = TempDir::new().expect("a directory");
    let (link, file) = (directory.path().join("app.json"), directory.path().join("data.json"));
    fs::write(&file, "").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
    symlink("data.json", &link).expect("made");
    for option in ["--file", "--cache"] {
        server.ok(&["watch", "a/b", option, text(&link), "--count", "1"]);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink(), "{option}");
        assert!(fs::read_to_string(&file).expect("there").contains('x'), "{option}");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o640, "{option}");
    }
    server.ok(&["watch", "a/b", "--file", text(&link), "--mode", "0604", "--count", "1"]);
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o604);
    // What is written to, and is no file to be replaced.
    let printed = server.ok(&["watch", "a/b", "-o", "json", "--file", "/dev/stdout", "--count", "1"]);
    assert!(printed.ends_with("{\n  \"x\": 1\n}\n"), "{printed}");
    let mode = server.run(&["watch", "a/b", "--file", text(&link), "--mode", "999"]);
    assert_eq!(mode.code, 2, "{mode:?}");
}

/// As a file that is mounted into a container. Without the right to mount, as in some containers, there is nothing to test.
#[test]
fn a_file_that_is_a_mount_point_is_written_in_place() {
    let may_mount = |user: &[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(user).args(["--mount", "sh", "-c", "mount --bind . ."]).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let Some(user) = [&[][..], &["--user", "--map-root-user"]].into_iter().find(|user| may_mount(user))
    else {
        eprintln!("skipped: mounts are not allowed here");
        return;
    };
    let server = Server::start();
    server.ok(&["set", "a/b", "x=1"]);
    let directory = TempDir::new().expect("a directory");
    let (file, outside) = (directory.path().join("app.json"), directory.path().join("outside.json"));
    for option in ["--file", "--cache"] {
        fs::write(&file, "of the container").expect("written");
        fs::write(&outside, "longer than what is written, so that nothing of it may stay".repeat(99))
            .expect("written");
        let watch = server.command(&["watch", "a/b", option, text(&file), "--count", "1"]);
        let mut command = Command::new("unshare");
        command.args(user).args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$1\" \"$2\"; shift 2; exec \"$@\"",
            "sh",
        ]);
        command.arg(&outside).arg(&file).arg(watch.get_program()).args(watch.get_args());
        command.env("CONFWATCH_SERVER", &server.address);
        let ran = finish(command);
        assert_eq!(ran.code, 0, "{option}: {ran:?}");
        let written = fs::read_to_string(&outside).expect("there");
        match option {
            "--file" => assert_eq!(written, "{\n  \"x\": 1\n}\n"),
            _ => assert!(written.contains(r#"{\"x\":1}"#) && !written.contains("longer"), "{written}"),
        }
        assert_eq!(fs::read_to_string(&file).expect("there"), "of the container", "it lies below the mount");
        let names = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(names, 2, "nothing is left beside them");
    }
}

#[test]
fn a_file_keeps_its_content_when_its_config_is_deleted_and_the_watch_says_so() {
    let server = Server::start();
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("app.json");
    server.ok(&["set", "a/b", "x=1"]);
    let mut command = server.command(&["watch", "a/b", "--file", text(&file), "--exec", "echo delivered"]);
    command.stderr(Stdio::piped());
    let mut watch = Following::start(command);
    let said = lines_of(watch.stderr());
    while watch.line() != "delivered" {}
    server.ok(&["delete", "a/b", "--yes"]);
    let warning = said.recv_timeout(PATIENCE).expect("a warning");
    let expected =
        format!("a/b / has no document: nothing is delivered, and {} stays as it is", file.display());
    assert!(warning.contains(&expected), "{warning}");
    assert_eq!(fs::read_to_string(&file).expect("there"), "{\n  \"x\": 1\n}\n");
    server.ok(&["set", "a/b", "x=2"]);
    while watch.line() != "delivered" {}
    assert_eq!(fs::read_to_string(&file).expect("there"), "{\n  \"x\": 2\n}\n");
    assert_eq!(watch.interrupt(), 0);
}
