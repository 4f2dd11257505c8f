//! The simulated power cuts of `tests/power` find out what must not be trusted: sled, used as it comes.
//!
//! This program must not name the crate `confwatch`, which replaces a function of libc in every program that it is part of.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "plain sled needs no full disk to fail")]
#[path = "power/disk.rs"]
mod disk;
#[allow(dead_code, reason = "as above")]
#[path = "power/model.rs"]
mod model;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use disk::Disk;
use model::{Names, Survives};

const CUTS_MAX: usize = 20;
const WRITE_TIME_MS: std::ops::RangeInclusive<u64> = 20..=200;
/// Names the directory, for a process that writes.
const DIRECTORY: &str = "PLAIN_SLED_DIRECTORY";
/// As in a service: most are small, some are not.
const VALUE_BYTES: [usize; 4] = [200, 1_000, 5_000, 100_000];

#[test]
fn sled_as_it_comes_loses_what_it_said_was_flushed() {
    let mut rng = Rng::new();
    let Some(disk) = Disk::mount(Names::random(&mut rng), Duration::ZERO) else { return };
    let mut acknowledged = None;
    for cut in 0..CUTS_MAX {
        let writer = start_writer(&disk.path().join("sled"));
        let survives = Survives::random(&mut rng);
        println!("cut {cut} after {acknowledged:?}, survives: {survives:?}");
        let Some(told) = write_until_cut(&disk, writer, &survives, &mut rng) else {
            assert_ne!(cut, 0, "a new database opens");
            return;
        };
        if told.found < acknowledged {
            return;
        }
        acknowledged = told.acknowledged;
    }
    panic!("nothing was lost in {CUTS_MAX} power cuts");
}

/// What a process said that opened the database, and then wrote.
struct Told {
    /// The last key at its start, if all of them were there with the right values.
    found: Option<u64>,
    /// The last key that it flushed, or found.
    acknowledged: Option<u64>,
}

fn start_writer(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "writer", "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("this program starts")
}

/// `None` if the database did not open, or had lost some of the keys between others.
fn write_until_cut(disk: &Disk, mut writer: Child, survives: &Survives, rng: &mut Rng) -> Option<Told> {
    let mut lines = BufReader::new(writer.stdout.take().expect("it is piped")).lines();
    let mut number = |word: &str| loop {
        let line = lines.next()?.expect("it is text");
        if let Some((_, number)) = line.split_once(word) {
            return Some(number.parse().ok());
        }
    };
    let Some(found) = number("found ") else {
        let _ = writer.kill();
        let _ = writer.wait();
        return None;
    };
    thread::sleep(Duration::from_millis(rng.u64(WRITE_TIME_MS)));
    disk.fail();
    writer.kill().expect("it was alive until now");
    disk.cut(survives, rng);
    writer.wait().expect("it was started here");
    disk.turn_on();
    let mut acknowledged = found;
    while let Some(number) = number("flushed ") {
        acknowledged = number.or(acknowledged);
    }
    Some(Told { found, acknowledged })
}

/// Not a test: what the process that is killed does.
#[test]
#[ignore = "started by the other test"]
fn writer() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let db = sled::open(directory).expect("it opens");
    let mut next: u64 = 0;
    for entry in db.iter() {
        let (key, found) = entry.expect("it can be read");
        assert_eq!(*key, next.to_be_bytes(), "a key is missing");
        assert!(found == value(next), "a value is wrong");
        next += 1;
    }
    let mut output = std::io::stdout();
    let last = next.checked_sub(1).map_or("nothing".to_owned(), |last| last.to_string());
    writeln!(output, "\nfound {last}").expect("somebody reads");
    loop {
        db.insert(next.to_be_bytes(), value(next)).expect("it is written");
        db.flush().expect("it is flushed");
        writeln!(output, "flushed {next}").expect("somebody reads");
        next += 1;
    }
}

fn value(key: u64) -> Vec<u8> {
    let size = VALUE_BYTES[key as usize % VALUE_BYTES.len()];
    vec![key as u8; size]
}
