//! A backup beside a raw copy of the same bytes, and the memory that it takes of the server.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use super::options::Options;
use super::server::{Server, bytes_of, entries, text};
use super::table::{Table, median, megabytes, timed};

/// The name of the backup that other parts restore.
pub const FILE: &str = "backup.cwb";
const COPY_BUFFER_BYTES: usize = 1 << 20;

/// Makes the backup, if it is not there.
pub fn make(server: &Server) {
    let file = server.path(FILE);
    if !file.exists() {
        server.run(&["backup", "create", "-f", text(&file)]);
    }
}

pub fn run(options: &Options, server: &Server) {
    let table = Table::begin(
        "Backup",
        &[
            "MB written",
            "s",
            "MB/s of the data directory",
            "server, MiB idle",
            "server, MiB above idle at most",
        ],
    );
    let data_bytes = bytes_of(&server.data());
    let (file, copy) = (server.path(FILE), server.path("copy"));
    let measured = |name: &str, written: u64, runs: Vec<(f64, u64, u64)>| {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let seconds = median(runs.iter().map(|run| run.0).collect());
        let idle = median(runs.iter().map(|run| mib(run.1)).collect());
        let above = median(runs.iter().map(|run| mib(run.2.saturating_sub(run.1))).collect());
        let rate = megabytes(data_bytes) / seconds;
        let values = [
            format!("{:.1}", megabytes(written)),
            format!("{seconds:.2}"),
            format!("{rate:.0}"),
            format!("{idle:.0}"),
            format!("{above:.1}"),
        ];
        table.row(name, &values);
        seconds
    };
    let rounds = |run: &mut dyn FnMut()| -> Vec<(f64, u64, u64)> {
        let round = |_| {
            server.quiet();
            server.forget_peak();
            let idle = server.resident_bytes();
            let seconds = timed(&mut *run);
            (seconds, idle, server.peak_bytes())
        };
        (0..options.rounds).map(round).collect()
    };
    let runs = rounds(&mut || {
        let _ = fs::remove_file(&file);
        server.run(&["backup", "create", "-f", text(&file)]);
    });
    let backup = measured("backup create", bytes_of(&file), runs);
    let runs = rounds(&mut || copy_synced(&server.data(), &copy));
    let raw = measured("cp and sync of the data directory", data_bytes, runs);
    let journal = server.data().join("journal");
    let runs = rounds(&mut || copy_synced(&journal, &copy));
    measured("cp and sync of the journal alone", bytes_of(&journal), runs);
    let runs = rounds(&mut || copy_synced(&file, &copy));
    measured("cp and sync of the backup", bytes_of(&file), runs);
    remove(&copy);
    let ratio = backup / raw;
    table.end(&format!(
        "**Backup to raw copy of the data directory: {ratio:.2}.** The backup is read, compressed, hashed, sent to the command, verified and synced. \
         At most 64 MiB above idle are promised."
    ));
}

fn remove(path: &Path) {
    let _ = fs::remove_dir_all(path);
    let _ = fs::remove_file(path);
}

/// Copies every byte, which a copy by the system may leave out, and waits until all of it is on disk.
fn copy_synced(from: &Path, to: &Path) {
    remove(to);
    copy_into(from, to);
}

fn copy_into(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("made");
        for entry in entries(from) {
            copy_into(&entry, &to.join(entry.file_name().expect("a name")));
        }
        File::open(to).and_then(|directory| directory.sync_all()).expect("synced");
        return;
    }
    let (mut input, mut output) = (File::open(from).expect("opened"), File::create(to).expect("made"));
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        match input.read(&mut buffer).expect("read") {
            0 => break,
            count => output.write_all(&buffer[..count]).expect("written"),
        }
    }
    output.sync_all().expect("synced");
}
