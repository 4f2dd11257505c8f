//! Proving what a stopped server has left. Knows the store and the audit log; never the network.

use std::path::Path;

use crate::audit;
use crate::cli::commands::fsck::store_failure;
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
    let rooms = audit::prove_rooms(&audit::directory(data_dir), None)
        .map_err(|error| Failure::io("the audit log cannot be read", &error))?;
    let mut rooms = rooms.into_iter().map(|(room, proof)| ChainProof {
        name: room.name().to_owned(),
        count: proof.records,
        first: proof.first,
        newest: proof.newest,
        newest_hash: proof.hash.to_string(),
        broken: proof
            .broken
            .map(|broken| BrokenLink { number: broken.sequence, message: broken.to_string() }),
    });
    let records = rooms.next().unwrap_or_default();
    let parts: Vec<ChainProof> = rooms.collect();
    let intact = [&commits, &records].into_iter().chain(&parts).all(|chain| chain.broken.is_none());
    Ok(AuditServiceVerifyResponse { intact, commits: Some(commits), records: Some(records), parts })
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
    Ok(ChainProof {
        count: proof.commits,
        first: proof.first.0,
        newest: proof.newest.0,
        newest_hash: proof.hash.to_string(),
        name: String::new(),
        broken: proof.broken.map(|broken| BrokenLink { number: broken.revision.0, message: broken.what }),
    })
}
