//! Upgrades: this program opens what earlier versions have written, and refuses what a later one has, with both formats in the message.
//! `docs/upgrades.md` has the policy.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{GuardedServer, Ran, confwatch, finish, keys_of, serve, text};
use crate::sample::{self, Expected, formats_of_this_program, newest, samples};

/// What answers have of the whole store, and not of what was asked for: a restored store has a commit more, and another epoch.
const OF_THE_STORE: [&str; 2] = ["store_revision", "epoch"];

/// Whether an answer has everything that an earlier version answered. Later versions may answer more, in new members.
fn check_has(answer: &Value, expected: &Value, place: &str) {
    match (answer, expected) {
        (Value::Object(answer), Value::Object(expected)) => {
            for (name, value) in expected.iter().filter(|(name, _)| !OF_THE_STORE.contains(&name.as_str())) {
                let found = answer.get(name).unwrap_or_else(|| panic!("{place}: {name} is missing"));
                check_has(found, value, &format!("{place}/{name}"));
            }
        }
        (Value::Array(answer), Value::Array(expected)) => {
            assert_eq!(answer.len(), expected.len(), "{place}: {answer:?}");
            for (at, (answer, expected)) in answer.iter().zip(expected).enumerate() {
                check_has(answer, expected, &format!("{place}/{at}"));
            }
        }
        (answer, expected) => assert_eq!(answer, expected, "{place}"),
    }
}

fn check_reads(opened: &GuardedServer, expected: &Expected, of: &str) {
    for read in &expected.reads {
        let args: Vec<&str> = read.args.iter().map(String::as_str).collect();
        check_has(&opened.json(&args), &read.answer, &format!("{of}: {}", args.join(" ")));
    }
    let revealed = opened.ok(&["get", "shop/checkout", "--reveal"]);
    assert!(revealed.contains("hunter2"), "{of}: {revealed}");
    let with_token = |args: &[&str]| {
        let mut command = opened.server.command(args);
        command.env("CONFWATCH_TOKEN", &expected.reader_token);
        finish(command)
    };
    let read = with_token(&["get", "shop/checkout@/production"]);
    assert!(read.code == 0 && !read.stdout.contains("hunter2"), "{of}: {read:?}");
    assert_eq!(with_token(&["set", "shop/checkout", "retries=4"]).code, 7, "{of}");
}

/// A command on a data directory that no server has open.
fn offline(args: &[&str], data: &Path) -> Ran {
    finish(confwatch(&[args, &["--data-dir", text(data)]].concat()))
}

#[test]
fn a_directory_of_every_earlier_version_opens_answers_as_it_did_and_goes_on() {
    if std::env::var_os("CONFWATCH_MAKE_SAMPLE").is_some() {
        sample::make();
    }
    for sample in samples() {
        let name = sample.name.clone();
        let proved = offline(&["audit", "verify", "-o", "json"], sample.data.path());
        assert_eq!(proved.code, 0, "{name}: {proved:?}");
        let proof: Value = serde_json::from_str(&proved.stdout).expect("JSON");
        assert_eq!(proof["commits"]["hash"], sample.expected.hash.as_str(), "{name}: the chain is the same");
        let checked = offline(&["fsck"], sample.data.path());
        assert_eq!(checked.code, 0, "{name}: {checked:?}");

        let (mut opened, expected) = sample.open();
        check_reads(&opened, &expected, &name);
        // Old history and new commits are one history.
        opened.ok(&["set", "shop/search", "limit=3", "-m", "by a later version"]);
        opened.ok(&["rollback", "shop/checkout", "--to-version", "1"]);
        let versions = opened.json(&["history", "shop/search"])["versions"].as_array().map(Vec::len);
        assert_eq!(versions, Some(5), "{name}");
        opened.server.stop();
        let checked = offline(&["fsck"], opened.server.data.path());
        assert_eq!(checked.code, 0, "{name}: {checked:?}");
    }
}

#[test]
fn a_backup_of_every_earlier_version_verifies_and_restores() {
    for sample in samples() {
        let (name, backup) = (&sample.name, text(&sample.backup));
        let verified = finish(confwatch(&["backup", "verify", backup]));
        assert!(verified.stdout.starts_with("intact: full backup of the store"), "{name}: {verified:?}");
        let data = TempDir::new().expect("a directory");
        let keys = keys_of(sample.data.path());
        let key = keys.join("master.key");
        let restored = offline(&["backup", "restore", backup, "--master-key-file", text(&key)], data.path());
        assert_eq!(restored.code, 0, "{name}: {restored:?}");
        fs::create_dir(keys_of(data.path())).expect("made");
        for file in ["master.key", "admin.token"] {
            fs::copy(keys.join(file), keys_of(data.path()).join(file)).expect("copied");
        }
        let opened = GuardedServer::start_in(data, &[]);
        check_reads(&opened, &sample.expected, &format!("{name}, restored"));
    }
}

#[test]
fn a_data_directory_of_a_newer_format_is_refused_and_stays_as_it_is() {
    let sample = newest();
    let data = sample.data.path();
    let format = sample::data_format(data);
    sample::set_data_format(data, format + 1);
    let expected = format!(
        "the data directory has format {}, this program reads format {format}: use a later version of confwatch",
        format + 1
    );
    let file = sample.data.path().join("none.cwb");
    let refused = [
        finish(serve(data)),
        offline(&["fsck"], data),
        offline(&["audit", "verify"], data),
        offline(&["backup", "create", "-f", text(&file)], data),
    ];
    for ran in refused {
        assert!(ran.code != 0 && ran.stderr.contains(&expected), "{ran:?}");
    }
    assert!(!file.exists());
    sample::set_data_format(data, format);
    let (opened, expected) = sample.open();
    check_reads(&opened, &expected, "after it was refused");
}

#[test]
fn a_backup_of_a_newer_format_is_refused_and_nothing_is_made() {
    let directory = TempDir::new().expect("a directory");
    let (file, data) = (directory.path().join("newer.cwb"), directory.path().join("data"));
    let mut bytes = fs::read(newest().backup).expect("read");
    let format = u32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes"));
    bytes[8..12].copy_from_slice(&(format + 1).to_be_bytes());
    fs::write(&file, bytes).expect("written");
    let expected = format!(
        "the backup has format {}, this program reads format {format}: use a later version of confwatch",
        format + 1
    );
    let refused = [
        finish(confwatch(&["backup", "show", text(&file)])),
        finish(confwatch(&["backup", "verify", text(&file)])),
        offline(&["backup", "restore", text(&file)], &data),
    ];
    for ran in refused {
        assert!(ran.code == 1 && ran.stderr.contains(&expected), "{ran:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1);
}

#[test]
fn there_is_a_sample_of_the_formats_that_are_written() {
    let formats = formats_of_this_program();
    assert!(
        samples().iter().any(|sample| sample.expected.formats == formats),
        "no sample has {formats:?}: make one by `CONFWATCH_MAKE_SAMPLE=1 cargo test --test cli upgrades`, and commit it"
    );
}
