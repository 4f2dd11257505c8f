//! What backups, restores, compactions and lists of clients cost: a backup beside a raw copy, commits beside a backup and a compaction, memory during a
//! backup, a restore beside a normal start, and a page of a list of very many subscribers.
//!
//! `cargo bench --bench recovery`; `-- PART` runs those with that in their name, `-- --quick` is a look in less than a minute, and `-- --help`
//! has the rest. Prints tables in Markdown.

mod backup;
mod commits;
mod fill;
mod listing;
mod options;
mod restore;
mod server;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use options::Options;
use server::Server;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let begin = Instant::now();
    println!(
        "{} layers of {} bytes, medians of {} rounds; data in {}\n",
        options.layers,
        options.bytes,
        options.rounds,
        env!("CARGO_TARGET_TMPDIR")
    );
    if ["backup", "restore", "commits"].into_iter().any(|part| options.wants(part)) {
        let mut server = Server::start(&[]);
        fill::fill(&options, &server).await;
        if options.wants("backup") {
            backup::run(&options, &server);
        }
        if options.wants("restore") {
            restore::run(&options, &mut server).await;
        }
        if options.wants("commits") {
            commits::run(&options, &mut server).await;
        }
    }
    if options.wants("listing") {
        listing::run(&options).await;
    }
    println!("all of it took {:.0} s", begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
