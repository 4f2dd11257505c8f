//! Reads, history, and what belongs to no server.

use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Server, confwatch, finish, serve, text, until};

fn with_history() -> Server {
    let server = Server::start();
    server.ok(&["set", "payments/checkout", "limits.max=30", "mode=strict", "--reason", "first"]);
    server.ok(&["set", "payments/checkout@/production", "limits.max=50", "--annotation", "ticket=OPS-7"]);
    server
}

#[test]
fn get_prints_the_merged_document_in_the_format_asked_for() {
    let server = with_history();
    let document = "{\n  \"limits\": {\n    \"max\": 50\n  },\n  \"mode\": \"strict\"\n}\n";
    assert_eq!(server.ok(&["get", "payments/checkout", "-s", "/production"]), document);
    assert_eq!(server.ok(&["get", "payments/checkout@/production/eu"]), document);
    let format = |format: &str| server.ok(&["get", "payments/checkout@/production", "--format", format]);
    assert_eq!(format("json"), "{\"limits\":{\"max\":50},\"mode\":\"strict\"}\n");
    assert_eq!(format("yaml"), "limits:\n  max: 50\nmode: strict\n");
    assert!(format("toml").contains("max = 50"));
    let part = server.ok(&["get", "payments/checkout@/production", "--pointer", "/limits/max"]);
    assert_eq!(part, "50\n");
    let layer = server.ok(&["get", "payments/checkout@/production", "--view", "layer", "--format", "json"]);
    assert_eq!(layer, "{\"limits\":{\"max\":50}}\n");
}

#[test]
fn get_reads_the_past_by_version_tag_revision_and_time() {
    let server = with_history();
    server.ok(&["tag", "set", "payments/checkout", "first", "--version", "1"]);
    for point in [["--version", "1"], ["--tag", "first"], ["--revision", "1"]] {
        let args =
            [&["get", "payments/checkout@/production", "--pointer", "/limits/max"][..], &point].concat();
        assert_eq!(server.ok(&args), "30\n", "{point:?}");
    }
    server.fails(3, &["get", "payments/checkout", "--time", "2000-01-01T00:00:00Z"]);
    let future = server.run(&["get", "payments/checkout", "--time", "2h from now"]);
    assert_eq!(future.code, 2, "{future:?}");
    let two = server.run(&["get", "payments/checkout", "--version", "1", "--tag", "first"]);
    assert_eq!(two.code, 2, "{two:?}");
}

#[test]
fn get_answers_whole_messages_as_json_and_yaml() {
    let server = with_history();
    let document = server.json(&["get", "payments/checkout@/production"]);
    assert_eq!(document["content"], json!({"limits": {"max": 50}, "mode": "strict"}));
    assert_eq!(document["version"], 2);
    assert_eq!(document["layers"][1]["scope"], "/production");
    let digest = document["digest"].as_str().expect("a digest").to_owned();
    let again = server.run(&["get", "payments/checkout@/production", "--if-none-match", &digest]);
    assert_eq!((again.code, again.stdout.as_str()), (0, ""));
    let yaml = server.ok(&["get", "payments/checkout@/production", "-o", "yaml"]);
    assert!(yaml.contains("content:\n  limits:\n    max: 50\n"), "{yaml}");
}

#[test]
fn what_does_not_exist_is_exit_code_3_and_a_wrong_command_line_2() {
    let server = with_history();
    server.fails(3, &["get", "payments/nothing"]);
    server.fails(3, &["get", "payments/checkout", "--version", "99"]);
    server.fails(3, &["get", "payments/checkout", "--tag", "nothing"]);
    server.fails(3, &["get", "payments/checkout", "--pointer", "/nothing"]);
    server.fails(3, &["history", "payments/nothing"]);
    server.fails(3, &["export", "nothing"]);
    server.fails(4, &["get", "PAYMENTS/checkout"]);
    server.fails(4, &["get", "payments/checkout", "-s", "production"]);
    for args in [&["get"][..], &["get", "payments"], &["frobnicate"], &["get", "a/b", "--view", "odd"]] {
        assert_eq!(server.run(args).code, 2, "{args:?}");
    }
    server.fails(2, &["get", "payments/checkout@/a", "-s", "/b"]);
}

#[test]
fn a_server_that_is_not_there_is_exit_code_6() {
    // The port was free a moment ago, and this process keeps it from being taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let silent = finish(confwatch(&["get", "a/b", "--server", &address, "--timeout", "200ms"]));
    assert_eq!(silent.code, 6, "{silent:?}");
    let refused = finish(confwatch(&["get", "a/b", "--server", "127.0.0.1:1"]));
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("CONFWATCH_SERVER"), "{refused:?}");
    assert!(refused.stderr.contains("asked: 127.0.0.1:1"), "{refused:?}");
    let watch = finish(confwatch(&["watch", "a/b", "--server", "127.0.0.1:1", "--timeout", "200ms"]));
    assert_eq!(watch.code, 6, "{watch:?}");
    let nonsense = finish(confwatch(&["get", "a/b", "--server", "no address"]));
    assert_eq!(nonsense.code, 2, "{nonsense:?}");
}

#[test]
fn history_says_who_when_what_and_why() {
    let server = with_history();
    let table = server.ok(&["history", "payments/checkout"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("VERSION  TIME"), "{table}");
    assert!(lines[1].starts_with("2 ") && lines[1].contains("/production"), "{table}");
    assert!(lines[2].contains("ada@test") && lines[2].contains("first"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours into a pipe");

    let newest = server.json(&["history", "payments/checkout", "--limit", "1"]);
    assert_eq!(newest["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(newest["versions"][0]["commit"]["annotations"], json!({"ticket": "OPS-7"}));
    let global = server.json(&["history", "payments/checkout", "-s", "/", "--content"]);
    assert_eq!(global["versions"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        global["versions"][0]["commit"]["changes"][0]["layers"][0]["content"],
        json!({"limits": {"max": 30}, "mode": "strict"})
    );
    let content = server.ok(&["history", "payments/checkout", "--content"]);
    assert!(content.contains("\"max\": 50") && content.contains("  ticket=OPS-7\n"), "{content}");
}

#[test]
fn diff_compares_versions_and_targets_and_exits_as_git_does() {
    let server = with_history();
    let diff = server.ok(&["diff", "payments/checkout", "-s", "/production"]);
    assert!(diff.contains("-    \"max\": 30") && diff.contains("+    \"max\": 50"), "{diff}");
    let from_to = server.ok(&["diff", "payments/checkout@/production", "--from", "1", "--to", "2"]);
    assert_eq!(from_to, diff);
    let two = server.run(&["diff", "payments/checkout@/", "payments/checkout@/production", "--exit-code"]);
    assert_eq!(two.code, 1, "{two:?}");
    let same = server.run(&["diff", "payments/checkout@/", "payments/checkout@/staging", "--exit-code"]);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""));
    let view = server.json(&["diff", "payments/checkout@/production", "--from", "1"]);
    assert_eq!(view["changes"][0]["pointer"], "/limits/max");
    assert_eq!(view["changes"][0]["old_value"], 30);
    let first = server.ok(&["diff", "payments/checkout", "--to", "1"]);
    assert!(first.contains("+  \"mode\": \"strict\""), "{first}");
    let colored = server.ok(&["diff", "payments/checkout@/production", "--color", "always"]);
    assert!(colored.contains("\u{1b}[31m-    \"max\": 30"), "{colored:?}");
}

#[test]
fn explain_names_the_layer_of_each_value_and_what_it_shadows() {
    let server = with_history();
    let table = server.ok(&["explain", "payments/checkout@/production"]);
    let line = table.lines().find(|line| line.starts_with("/limits/max")).expect("the value");
    assert!(line.contains("50") && line.contains("/production v2") && line.contains("30 (/ v1)"), "{table}");
    let part = server.json(&["explain", "payments/checkout@/production", "--pointer", "/mode"]);
    assert_eq!(part["values"].as_array().map(Vec::len), Some(1));
    assert_eq!(part["values"][0]["layer"]["scope"], "/");
}

#[test]
fn list_shows_configs_and_on_request_the_deleted_ones() {
    let server = with_history();
    server.ok(&["set", "other/app", "a=1"]);
    server.ok(&["delete", "other/app", "--yes"]);
    assert_eq!(server.json(&["list"])["configs"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.json(&["list", "--deleted"])["configs"].as_array().map(Vec::len), Some(2));
    let table = server.ok(&["list", "payments"]);
    assert!(table.contains("payments/checkout") && table.contains("/, /production"), "{table}");
}

#[test]
fn a_reader_that_goes_away_early_is_no_failure() {
    let server = with_history();
    let mut child = server
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn completions_and_help_need_no_server() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = finish(confwatch(&["completions", shell]));
        assert!(ran.code == 0 && ran.stdout.contains("rollback"), "{shell}: {ran:?}");
    }
    let help = finish(confwatch(&["--help"]));
    assert!(help.stdout.contains("Exit codes:"), "{help:?}");
    assert_eq!(finish(confwatch(&["--version"])).stdout, "confwatch 0.1.0\n");
}

#[test]
fn a_second_server_on_the_same_directory_is_refused_and_so_is_fsck() {
    let server = with_history();
    let second = finish(serve(server.data.path()));
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("in use"), "{second:?}");
    let fsck = finish(confwatch(&["fsck", "--data-dir", text(server.data.path())]));
    assert_eq!(fsck.code, 1, "{fsck:?}");
    assert!(fsck.stderr.contains("stop the server first"), "{fsck:?}");
}

#[test]
fn fsck_of_a_store_that_was_written_is_clean() {
    let server = with_history();
    let data = TempDir::new().expect("a directory");
    let data = data.path().join("moved");
    {
        let mut server = server;
        server.stop();
        std::fs::rename(server.data.path(), &data).expect("moved");
    }
    let fsck = finish(confwatch(&["fsck", "--data-dir", text(&data)]));
    assert_eq!(fsck.code, 0, "{fsck:?}");
    assert!(fsck.stdout.starts_with("clean: 2 commits, 1 configs"), "{fsck:?}");
    let nowhere = finish(confwatch(&["fsck", "--data-dir", text(&data.join("nowhere"))]));
    assert_eq!(nowhere.code, 3, "{nowhere:?}");
    assert!(!data.join("nowhere").exists());
    let empty = TempDir::new().expect("a directory");
    let no_store = finish(confwatch(&["fsck", "--data-dir", text(empty.path())]));
    assert_eq!(no_store.code, 3, "{no_store:?}");
    assert!(std::fs::read_dir(empty.path()).expect("readable").next().is_none());
}

#[test]
fn a_config_whose_last_change_was_compacted_says_so() {
    let server = Server::start_with(&["--retain-revisions", "10"]);
    server.ok(&["set", "shop/app", "a=1"]);
    server.ok(&["set", "shop/app", "a=2"]);
    server.ok(&["tag", "set", "shop/app", "stable", "--version", "1"]);
    for number in 0..40 {
        server.ok(&["set", "shop/other", &format!("a={number}")]);
    }
    let compacted = || {
        server
            .run(&["history", "shop/app"])
            .stderr
            .contains("older versions were compacted: history begins with revision ")
    };
    until("the first commit is compacted", compacted);
    let history = server.run(&["history", "shop/app"]).stderr;
    assert!(
        history.contains("; the current version is 2; version 1 can still be read by its tag (--tag stable)"),
        "{history}"
    );
    let diff = server.fails(3, &["diff", "shop/app"]);
    assert!(
        diff.contains("the last change of shop/app is not kept: older versions were compacted"),
        "{diff}"
    );
    let other = server.run(&["history", "shop/other", "--limit", "0"]);
    assert!(
        other.stderr.contains("older versions were compacted") && other.stdout.lines().count() > 10,
        "{other:?}"
    );
    server.ok(&["diff", "shop/other"]);
    server.ok(&["get", "shop/app"]);
    let fresh = server.run(&["history", "shop/other", "--limit", "2"]);
    assert!(!fresh.stderr.contains("compacted"), "{fresh:?}");
}

#[test]
fn a_setting_that_cannot_be_used_ends_every_command_alike() {
    let directory = TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, "two words").expect("written");
    let (data, garbage) = (data.to_str().expect("text"), garbage.to_str().expect("text"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
    let missing = "/nowhere/file";
    for more in [
        &["--config", missing][..],
        &["--config", garbage],
        &["--config", "/dev/zero"],
        &["--otlp-sampled", "7"],
        &["--audit-bytes-max", "1"],
        &["--tls-cert", missing, "--tls-key", missing],
        &["--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"],
        &["--auth", "on", "--jwt-keys", missing, "--jwt-issuer", "i", "--jwt-audience", "a"],
        &["--master-key-file", missing],
        &["--log", "a=b=c"],
    ] {
        let ran = finish(confwatch(&[&serve[..], more].concat()));
        // There may be lines of the log before it.
        assert!(ran.code == 2 && ran.stderr.contains("error: "), "{more:?}: {ran:?}");
    }
    for more in [
        &["--token-file", missing][..],
        &["--token-file", "/dev/zero"],
        &["--token-file", garbage],
        &["--server", "https://127.0.0.1:1", "--tls-ca", missing],
        &["--server", "https://127.0.0.1:1", "--tls-ca", "/dev/zero"],
        &["--server", "nonsense://"],
        &["--timeout", "never"],
    ] {
        for command in [&["whoami"][..], &["get", "a/b"], &["watch", "a/b"], &["audit", "list"]] {
            let ran = finish(confwatch(&[command, more].concat()));
            assert!(ran.code == 2 && ran.stderr.starts_with("error: "), "{command:?} {more:?}: {ran:?}");
        }
    }
    // What is read as a document is refused as one.
    let set = finish(confwatch(&["set", "a/b", "--file", "/dev/zero"]));
    assert!(set.code == 1 && set.stderr.contains("too long"), "{set:?}");
}
