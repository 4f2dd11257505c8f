//! The audit trail and its proof. Knows the wire only.

use serde::Serialize;

use super::{ConfigChangeView, list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct AuditView {
    pub entries: Vec<AuditEntryView>,
}

#[derive(Debug, Serialize)]
pub struct AuditEntryView {
    pub kind: &'static str,
    pub time: Option<String>,
    pub revision: u64,
    pub sequence: u64,
    pub actor: String,
    pub credential: String,
    pub address: String,
    pub method: String,
    pub verb: String,
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub outcome: String,
    pub reason: String,
    pub request_id: String,
    pub count: u64,
    pub first_time: Option<String>,
    pub last_time: Option<String>,
    pub first_resource: String,
    pub last_resource: String,
    pub detail: String,
    pub source: &'static str,
    pub changes: Vec<ConfigChangeView>,
    pub hash: String,
}

#[derive(Debug, Serialize)]
pub struct AuditProofView {
    pub intact: bool,
    pub commits: Option<ChainProofView>,
    pub records: Option<ChainProofView>,
    pub parts: Vec<ChainProofView>,
    /// Of a stopped server: ends of parts that a crash tore, and that the next start repairs.
    pub torn_ends: Vec<ProblemView>,
}

/// A problem, and where it is.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemView {
    pub place: String,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct ChainProofView {
    pub name: String,
    pub count: u64,
    pub first: u64,
    pub newest: u64,
    pub hash: String,
    pub broken: Option<BrokenLinkView>,
}

#[derive(Debug, Serialize)]
pub struct BrokenLinkView {
    pub number: u64,
    pub message: String,
}

impl From<&v1::AuditEntry> for AuditEntryView {
    fn from(entry: &v1::AuditEntry) -> AuditEntryView {
        AuditEntryView {
            kind: entry.kind().as_str_name(),
            time: time(entry.time.as_ref()),
            revision: entry.revision,
            sequence: entry.sequence,
            actor: entry.actor.clone(),
            credential: entry.credential.clone(),
            address: entry.address.clone(),
            method: entry.rpc_method.clone(),
            verb: entry.verb.clone(),
            namespace: entry.namespace.clone(),
            config: entry.config.clone(),
            scope: entry.scope.clone(),
            outcome: entry.outcome.clone(),
            reason: entry.reason.clone(),
            request_id: entry.request_id.clone(),
            count: entry.count,
            first_time: time(entry.first_time.as_ref()),
            last_time: time(entry.last_time.as_ref()),
            first_resource: entry.first_resource.clone(),
            last_resource: entry.last_resource.clone(),
            detail: entry.detail.clone(),
            source: entry.source().as_str_name(),
            changes: list(&entry.changes),
            hash: entry.chain_hash.clone(),
        }
    }
}

impl AuditProofView {
    pub fn new(proof: &v1::AuditServiceVerifyResponse, torn_ends: &[ProblemView]) -> AuditProofView {
        AuditProofView {
            intact: proof.intact,
            commits: proof.commits.as_ref().map(Into::into),
            records: proof.records.as_ref().map(Into::into),
            parts: list(&proof.parts),
            torn_ends: torn_ends.to_vec(),
        }
    }
}

impl From<&v1::ChainProof> for ChainProofView {
    fn from(proof: &v1::ChainProof) -> ChainProofView {
        ChainProofView {
            name: proof.name.clone(),
            count: proof.count,
            first: proof.first,
            newest: proof.newest,
            hash: proof.newest_hash.clone(),
            broken: proof
                .broken
                .as_ref()
                .map(|broken| BrokenLinkView { number: broken.number, message: broken.message.clone() }),
        }
    }
}
