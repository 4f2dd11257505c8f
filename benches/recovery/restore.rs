//! From a backup to a server that answers, beside a normal start of the same server.

use std::fs;
use std::time::Instant;

use super::backup;
use super::fill::check_answers;
use super::options::Options;
use super::server::{Server, command, run as run_command, text};
use super::table::{Table, median, timed};

pub async fn run(options: &Options, server: &mut Server) {
    backup::make(server);
    let (file, original, new) = (server.path(backup::FILE), server.data(), server.path("restored"));
    let (mut starts, mut restores, mut restored_starts) = (vec![], vec![], vec![]);
    server.stop();
    for _ in 0..options.rounds {
        let begin = Instant::now();
        server.start_again(&original, &[]);
        check_answers(&server.client(), options.layers - 1).await;
        starts.push(begin.elapsed().as_secs_f64());
        server.stop();

        let _ = fs::remove_dir_all(&new);
        restores.push(timed(|| {
            run_command(&mut command(&["backup", "restore", text(&file), "--data-dir", text(&new)]));
        }));
        let begin = Instant::now();
        server.start_again(&new, &[]);
        check_answers(&server.client(), options.layers - 1).await;
        restored_starts.push(begin.elapsed().as_secs_f64());
        server.stop();
    }
    let _ = fs::remove_dir_all(&new);
    server.start_again(&original, &[]);
    let [start, restore, restored] = [starts, restores, restored_starts].map(median);
    let table = Table::begin("Restore", &["s"]);
    table.row("normal start, to the first right answer", &[format!("{start:.2}")]);
    table.row("backup restore", &[format!("{restore:.2}")]);
    table.row("start of the restored store", &[format!("{restored:.2}")]);
    let ratio = (restore + restored) / start;
    table.end(&format!("**Restore and start to a normal start: {ratio:.2}** (at most 2 is asked for)."));
}
