//! The audit trail as operators ask for it, and its proof with and without a server.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Following, Ran, Server, confwatch, finish, serve};

fn file_in(directory: &Path) -> PathBuf {
    let mut files =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    files.next().expect("a file")
}

/// Changes the first place where a file has this text.
fn change(path: &Path, from: &[u8], to: u8) {
    let mut bytes = fs::read(path).expect("read");
    let at = bytes.windows(from.len()).position(|window| window == from).expect("it is there");
    bytes[at] = to;
    fs::write(path, bytes).expect("written");
}

/// Proves what a stopped server has left.
fn verify(data: &Path) -> Ran {
    let data = data.to_str().expect("a path");
    finish(confwatch(&["audit", "verify", "--data-dir", data]))
}

#[test]
fn what_happened_is_listed_followed_and_filtered() {
    let server = Server::start();
    let follow = server.follow(&["audit", "follow", "payments", "--since", "1h", "--count", "1"]);
    server.ok(&["set", "payments/checkout@/production", "retries=3", "-m", "more retries"]);
    server.ok(&["set", "shop/app", "a=1"]);
    let table = server.ok(&["audit", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("TIME") && lines[0].contains("RESOURCE"), "{table}");
    assert!(lines[1].contains("shop/app") && lines.len() == 4, "{table}");
    let change = lines[2];
    for part in ["change", "ada@test", "127.0.0.1", "write", "payments/checkout@/production", "COMMITTED"] {
        assert!(change.contains(part), "{part}: {change}");
    }
    assert!(change.ends_with(r#"revision 1 set /production  "more retries""#), "{change}");
    assert!(lines[3].contains("started") && lines[3].contains("--auth off"), "{table}");

    let entries = server.json(&["audit", "list", "payments/checkout", "--kind", "change", "--since", "1h"]);
    let entry = &entries["entries"][0];
    assert_eq!((&entry["kind"], &entry["actor"]), (&"AUDIT_KIND_CHANGE".into(), &"ada@test".into()));
    assert_eq!(entries["entries"].as_array().map(Vec::len), Some(1));
    let none = server.json(&["audit", "list", "--kind", "denied,refused", "--by", "user:*"]);
    assert_eq!(none["entries"].as_array().map(Vec::len), Some(0));
    assert_eq!(server.ok(&["audit", "list", "-n", "1"]).lines().count(), 2);
    assert!(follow.line().contains("payments/checkout@/production"));
    assert_eq!(follow.end(), 0);

    let wide = server.ok(&["history", "payments/checkout", "--wide"]);
    assert!(wide.contains("CREDENTIAL") && wide.contains("127.0.0.1") && wide.contains("none"), "{wide}");
    let history = server.json(&["history", "payments/checkout"]);
    assert_eq!(history["versions"][0]["commit"]["address"], "127.0.0.1");
}

#[test]
fn what_was_changed_behind_the_back_of_the_server_is_named() {
    let mut server = Server::start();
    for number in 0..5 {
        server.ok(&[
            "set",
            "payments/checkout",
            &format!("retries={number}"),
            "-m",
            &format!("change {number}"),
        ]);
    }
    let proved = server.ok(&["audit", "verify"]);
    assert!(
        proved.starts_with("commits: intact: 5 proved, revision 1 to 5, with the hash sha256:"),
        "{proved}"
    );
    assert!(proved.contains("audit log: intact: 1 proved, record 1 to 1, with the hash sha256:"), "{proved}");
    let proof = server.json(&["audit", "verify"]);
    assert_eq!((&proof["intact"], &proof["commits"]["newest"]), (&true.into(), &5.into()));
    let data = server.data.path().to_owned();
    let busy = verify(&data);
    assert!(busy.code == 1 && busy.stderr.contains("stop the server, or ask it"), "{busy:?}");

    server.stop();
    let intact = verify(&data);
    assert!(intact.code == 0 && intact.stdout.contains("record 1 to 2"), "{intact:?}");
    let journal = file_in(&data.join("journal"));
    let before = fs::read(&journal).expect("read");
    // The log could make the end of the journal whole again.
    for entry in fs::read_dir(data.join("wal")).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    change(&journal, b"change 2", b'C');
    let broken = verify(&data);
    assert_eq!(broken.code, 1, "{broken:?}");
    assert!(broken.stdout.contains("commits: BROKEN at revision 3: "), "{broken:?}");
    assert!(broken.stdout.contains("2 before it are intact, revision 1 to 2"), "{broken:?}");
    assert!(
        broken.stdout.contains("audit log: intact") && broken.stdout.contains("Keep a copy"),
        "{broken:?}"
    );
    fs::write(&journal, before).expect("written");

    change(&file_in(&data.join("audit")), b"stopped", b'S');
    let broken = verify(&data);
    assert!(broken.code == 1 && broken.stdout.contains("commits: intact"), "{broken:?}");
    assert!(broken.stdout.contains("audit log: BROKEN at record 2: "), "{broken:?}");
    let elsewhere = verify(&data.join("nothing"));
    assert!(elsewhere.code == 3 && elsewhere.stderr.contains("holds no store"), "{elsewhere:?}");
}

#[test]
fn a_part_of_the_audit_log_that_was_removed_is_missed() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    let mut command = serve(&data);
    command.args(["--auth", "on"]);
    let server = Following::start(command);
    let line = server.line();
    let address = line.split(" on ").nth(1).and_then(|rest| rest.split(',').next()).expect("an address");
    let mut unknown = confwatch(&["get", "payments/checkout"]);
    unknown.env("CONFWATCH_SERVER", address);
    assert_eq!(finish(unknown).code, 7, "nobody is let in without a credential");
    assert_eq!(server.terminate(), 0);
    let fsck = || finish(confwatch(&["fsck", "--data-dir", data.to_str().expect("text")]));
    let whole = fsck();
    assert!(whole.code == 0 && whole.stdout.contains("records of the audit log"), "{whole:?}");
    // As a crash, or a full disk and a crash, leaves it before it is durable: the next start cuts that off.
    let (torn, position) =
        (data.join("audit/audit-00000000000000000001.jsonl"), data.join("audit-position.json"));
    let (lines, durable) = (fs::read(&torn).expect("read"), fs::read(&position).expect("read"));
    let nothing_durable = br#"{"format":1,"newest":{}}"#;
    for (left, position_left) in [
        ([&lines[..], b"{\"seq"].concat(), &durable[..]),
        (b"{\"seg".to_vec(), nothing_durable),
        (vec![], nothing_durable),
    ] {
        fs::write(&torn, left).expect("written");
        fs::write(&position, position_left).expect("written");
        for found in [verify(&data), fsck()] {
            assert_eq!(found.code, 0, "{found:?}");
            assert!(found.stdout.contains("audit log: torn end, repaired by the next start"), "{found:?}");
        }
    }
    fs::write(&torn, lines).expect("written");
    fs::write(&position, durable).expect("written");
    fs::remove_dir_all(data.join("audit/refused")).expect("it was there");
    for found in [verify(&data), fsck()] {
        assert_eq!(found.code, 1, "{found:?}");
        assert!(
            found.stdout.contains("was written to the part refused of the log and is missing"),
            "{found:?}"
        );
    }
    // A log of an earlier server has no position.
    fs::remove_file(&position).expect("it was there");
    for found in [verify(&data), fsck()] {
        assert_eq!(found.code, 1, "{found:?}");
        assert!(found.stdout.contains("is in no part of the log"), "{found:?}");
        let parts = "parts without any record: reveals, attempts, sessions, denied, refused";
        assert!(found.stdout.contains(parts), "{found:?}");
    }
}
