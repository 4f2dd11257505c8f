//! `confwatch fsck`: verifies the store and the audit log of a data directory that no server has open. Knows the store; never the network.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::audit::offline::{OfflineRecords, part_name, records, store_failure};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::{Output, REMOVED, counted, printable};
use crate::cli::output::views::ProblemView;
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{History, Problem};

/// What to do where a server has the store.
const LOCKED: &str = "stop the server first";

/// Verify the hash chain, every digest and every index of a store, and the audit log; exit code 1 if something is wrong
#[derive(Args, Debug)]
#[command(after_help = "\
The server must not be running: it holds the directory.

Examples:
  confwatch fsck --data-dir /var/lib/confwatch
  confwatch fsck --data-dir ./confwatch-data -o json")]
pub struct FsckArgs {
    /// Verify this data directory
    #[arg(long, env = "CONFWATCH_DATA_DIR", value_name = "DIR", default_value = "./confwatch-data")]
    data_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct FsckView {
    commits: u64,
    configs: u64,
    layers: u64,
    versions: u64,
    audit_records: u64,
    problems: Vec<ProblemView>,
    torn_ends: Vec<ProblemView>,
}

pub fn run(args: &FsckArgs, output: &Output) -> Outcome {
    // Opening would create one, and find it clean: a directory that was mistyped must not look healthy. Either name is
    // left when something has removed the other.
    if !["db", "HEAD"].iter().any(|name| args.data_dir.join(name).exists()) {
        return Err(Failure::new(Exit::NotFound, format!("{} holds no store", args.data_dir.display())));
    }
    let store = SledStore::open(&args.data_dir, SledOptions::default())
        .map_err(|error| store_failure(error, LOCKED))?;
    let mut problems: Vec<Problem> = Vec::new();
    let verified =
        store.verify(&mut |problem| problems.push(problem)).map_err(|error| store_failure(error, LOCKED))?;
    let OfflineRecords { parts, torn_ends } = records(&args.data_dir)?;
    problems.extend(parts.iter().filter_map(|part| {
        let broken = part.broken.as_ref()?;
        Some(Problem { place: part_name(&part.name), message: broken.message.clone() })
    }));
    let view = FsckView {
        commits: verified.commits,
        configs: verified.configs,
        layers: verified.layers,
        versions: verified.versions,
        audit_records: parts.iter().map(|part| part.count).sum(),
        problems: problems
            .iter()
            .map(|Problem { place, message }| ProblemView { place: place.clone(), message: message.clone() })
            .collect(),
        torn_ends,
    };
    output.answer(&view, |output| {
        for ProblemView { place, message } in &view.torn_ends {
            output.line(&format!("{}: {}", printable(place), printable(message)))?;
        }
        for Problem { place, message } in &problems {
            output.line(&format!("{REMOVED}{}{REMOVED:#}: {}", printable(place), printable(message)))?;
        }
        let outcome = match problems.len() {
            0 => "clean".to_owned(),
            count => counted(count, "problem"),
        };
        output.line(&format!(
            "{outcome}: {} commits, {} configs, {} layers, {} versions, {} records of the audit log",
            view.commits, view.configs, view.layers, view.versions, view.audit_records
        ))
    })?;
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
}
