//! Proving what a stopped server has left. Knows the store and the audit log; never the network.

use std::path::Path;

use crate::api::{commits_proof, records_proofs};
use crate::audit;
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::views::ProblemView;
use crate::proto::v1::{AuditServiceVerifyResponse, BrokenLink, ChainProof};
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{StoreError, prove};

/// What to do where a server has the store.
const LOCKED: &str = "stop the server, or ask it: leave --data-dir out";

/// The audit log of a stopped server.
pub struct OfflineRecords {
    /// The proof of each part, the main one first.
    pub parts: Vec<ChainProof>,
    /// Ends that a crash tore: no faults, since the next start cuts them off and records that it did.
    pub torn_ends: Vec<ProblemView>,
}

/// Proves the commits and the audit log. Gives the torn ends of the audit log as well.
pub fn verify(data_dir: &Path) -> Result<(AuditServiceVerifyResponse, Vec<ProblemView>), Failure> {
    // Opening would make a store, and find it intact: a directory that was mistyped must not look so.
    if !["db", "HEAD"].iter().any(|name| data_dir.join(name).exists()) {
        return Err(Failure::new(Exit::NotFound, format!("{} holds no store", data_dir.display())));
    }
    let commits = commits(data_dir)?;
    let OfflineRecords { parts, torn_ends } = records(data_dir)?;
    let mut rooms = parts.into_iter();
    let records = rooms.next().unwrap_or_default();
    let parts: Vec<ChainProof> = rooms.collect();
    let intact = [&commits, &records].into_iter().chain(&parts).all(|chain| chain.broken.is_none());
    let proof = AuditServiceVerifyResponse { intact, commits: Some(commits), records: Some(records), parts };
    Ok((proof, torn_ends))
}

/// Proves each part of the audit log.
pub fn records(data_dir: &Path) -> Result<OfflineRecords, Failure> {
    let rooms = audit::prove_rooms(&audit::directory(data_dir), None);
    let mut rooms = rooms.map_err(|error| Failure::io("the audit log cannot be read", &error))?;
    let mut torn_ends = vec![];
    for (room, proof) in &mut rooms {
        if let Some(torn) = proof.broken.take_if(|broken| broken.is_torn_end) {
            let message = format!("torn end, repaired by the next start: {torn}");
            torn_ends.push(ProblemView { place: part_name(room.name()), message });
        }
    }
    Ok(OfflineRecords { parts: records_proofs(rooms), torn_ends })
}

/// A part of the audit log, as messages name it.
pub fn part_name(part: &str) -> String {
    match part {
        "main" => "audit log".to_owned(),
        name => format!("audit log, {name}"),
    }
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
