//! Proving what a stopped server has left. Knows the store and the audit log; never the network.

use std::path::Path;

use crate::api::{commits_proof, records_proofs};
use crate::audit;
use crate::cli::output::exit::{Exit, Failure};
use crate::proto::v1::{AuditServiceVerifyResponse, BrokenLink, ChainProof};
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{StoreError, prove};

/// What to do where a server has the store.
const LOCKED: &str = "stop the server, or ask it: leave --data-dir out";

pub fn verify(data_dir: &Path) -> Result<AuditServiceVerifyResponse, Failure> {
    // Opening would make a store, and find it intact: a directory that was mistyped must not look so.
    if !["db", "HEAD"].iter().any(|name| data_dir.join(name).exists()) {
        return Err(Failure::new(Exit::NotFound, format!("{} holds no store", data_dir.display())));
    }
    let commits = commits(data_dir)?;
    let mut rooms = records(data_dir)?.into_iter();
    let records = rooms.next().unwrap_or_default();
    let parts: Vec<ChainProof> = rooms.collect();
    let intact = [&commits, &records].into_iter().chain(&parts).all(|chain| chain.broken.is_none());
    Ok(AuditServiceVerifyResponse { intact, commits: Some(commits), records: Some(records), parts })
}

/// Proves each part of the audit log, the main one first.
pub fn records(data_dir: &Path) -> Result<Vec<ChainProof>, Failure> {
    let rooms = audit::prove_rooms(&audit::directory(data_dir), None);
    rooms.map(records_proofs).map_err(|error| Failure::io("the audit log cannot be read", &error))
}

/// The same, of which a line that a crash tore at the end is no fault: the next start cuts it off, and records that it did.
pub fn records_after_a_crash(data_dir: &Path) -> Result<Vec<ChainProof>, Failure> {
    let rooms = audit::prove_rooms(&audit::directory(data_dir), None);
    let mut rooms = rooms.map_err(|error| Failure::io("the audit log cannot be read", &error))?;
    for (_, proof) in &mut rooms {
        proof.broken.take_if(|broken| broken.is_torn_end);
    }
    Ok(records_proofs(rooms))
}

fn commits(data_dir: &Path) -> Result<ChainProof, Failure> {
    let store = match SledStore::open(data_dir, SledOptions::default()) {
        Ok(store) => store,
        // Damage that keeps a server from starting.
        Err(StoreError::Corrupt { place, what }) => {
            let message = format!("the store cannot be opened: {place}: {what}");
            let broken = Some(BrokenLink { number: 0, message });
            return Ok(ChainProof { broken, ..Default::default() });
        }
        Err(error) => return Err(store_failure(error, LOCKED)),
    };
    let proof = prove(&store).map_err(|error| store_failure(error, LOCKED))?;
    Ok(commits_proof(proof))
}

/// What a store that cannot be read means to who asked; `locked`: what to do where a server has it.
pub(in crate::cli) fn store_failure(error: StoreError, locked: &str) -> Failure {
    let failure = Failure::new(Exit::Failed, error.to_string());
    match error {
        StoreError::Locked { .. } => failure.with(locked),
        StoreError::Compacted { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Format { .. }
        | StoreError::Refused(_)
        | StoreError::Doubtful(_)
        | StoreError::Failed(_)
        | StoreError::Unavailable(_)
        | StoreError::Io { .. } => failure,
    }
}
