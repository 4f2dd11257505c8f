//! Makes entries of the audit trail from commits and records. Knows the permissions that it is given; never a content.

use crate::api::convert::bounded::cut_layers;
use crate::api::convert::response::{config_change_message, source_message, time_message};
use crate::audit::{Kind, Proof as RecordsProof, Record, Room};
use crate::engine::{Broken as CommitBroken, Proof as CommitsProof, Sealed};
use crate::model::{Commit, ConfigChange, LayerKind, Scope, Source};
use crate::proto::v1::{self, AuditEntry, AuditKind, BrokenLink, ChainProof};

use super::filter::{Filter, Looked};
use super::visibility::AuditVisibility;

/// Layers that one entry names: one commit may change a hundred thousand.
const LAYERS_BYTES_MAX: usize = 1 << 20;
pub const COMMITTED: &str = "COMMITTED";

/// `None`: it is not asked for, or not for these eyes.
pub fn of_commit(sealed: &Sealed, filter: &Filter, visibility: &AuditVisibility) -> Option<AuditEntry> {
    let Commit { revision, time, author, source, reason, .. } = &sealed.commit;
    let looked = Looked {
        kind: AuditKind::Change,
        time: *time,
        actor: &author.actor,
        credential: &author.credential,
        address: &author.address,
        verb: verb(&sealed.commit),
        outcome: COMMITTED,
    };
    if !filter.lets_through(&looked) {
        return None;
    }
    let asked = sealed
        .commit
        .changes
        .iter()
        .filter(|change| filter.is_about(change.id.namespace.as_str(), change.id.config.as_str()));
    let mut changes: Vec<v1::ConfigChange> = asked.filter_map(|change| seen(change, visibility)).collect();
    cut_layers(&mut changes, LAYERS_BYTES_MAX);
    let compacted = compacted(&sealed.commit, filter, visibility);
    let only = match (changes.as_slice(), compacted.as_slice()) {
        ([], []) => return None,
        ([change], []) => Some(change),
        ([..], [..]) => None,
    };
    let name = |of: fn(&v1::ConfigChange) -> &String| only.map(of).cloned().unwrap_or_default();
    let namespace = match (changes.as_slice(), compacted.as_slice()) {
        ([], [namespace]) => (*namespace).to_owned(),
        ([..], [..]) => name(|change| &change.namespace),
    };
    let detail = match compacted.is_empty() {
        true => String::new(),
        false => format!("what it changed of {} was compacted", compacted.join(", ")),
    };
    let scope = only.and_then(|change| match change.layers.as_slice() {
        [layer] => Some(layer.scope.clone()),
        _ => None,
    });
    Some(AuditEntry {
        kind: AuditKind::Change.into(),
        time: Some(time_message(*time)),
        revision: revision.0,
        actor: author.actor.clone(),
        credential: author.credential.clone(),
        address: author.address.clone(),
        verb: looked.verb.to_owned(),
        namespace,
        config: name(|change| &change.config),
        scope: scope.unwrap_or_default(),
        detail,
        outcome: COMMITTED.to_owned(),
        reason: reason.clone(),
        request_id: author.call_id.clone(),
        count: 1,
        source: source_message(*source).into(),
        changes,
        chain_hash: sealed.hash.to_string(),
        ..Default::default()
    })
}

/// `None`: it is not asked for, or not for these eyes.
pub fn of_record(record: Record, filter: &Filter, visibility: &AuditVisibility) -> Option<AuditEntry> {
    let Record { sequence, event, hash, .. } = record;
    let looked = Looked {
        kind: kind_message(event.kind),
        time: event.time,
        actor: &event.actor,
        credential: &event.credential,
        address: &event.address,
        verb: &event.verb,
        outcome: &event.outcome,
    };
    let is_told = filter.lets_through(&looked)
        && filter.is_about(&event.namespace, &event.config)
        && visibility.sees(&event.namespace, &event.config, &event.scope);
    is_told.then(|| AuditEntry {
        kind: looked.kind.into(),
        time: Some(time_message(event.time)),
        revision: event.revision,
        sequence,
        actor: event.actor,
        credential: event.credential,
        address: event.address,
        rpc_method: event.method,
        verb: event.verb,
        namespace: event.namespace,
        config: event.config,
        scope: event.scope,
        outcome: event.outcome,
        request_id: event.request_id,
        reason: event.reason,
        count: event.count,
        first_time: event.first_time.map(time_message),
        last_time: event.last_time.map(time_message),
        first_resource: event.first_resource,
        last_resource: event.last_resource,
        detail: event.detail,
        chain_hash: hash.to_string(),
        ..Default::default()
    })
}

/// What of a change may be seen, without digests: nobody is to compare them.
/// The namespaces whose changes are asked for, and may be seen, but were compacted.
fn compacted<'a>(commit: &'a Commit, filter: &Filter, visibility: &AuditVisibility) -> Vec<&'a str> {
    let namespaces = commit.forgotten.iter().map(|part| part.namespace.as_str());
    namespaces
        .filter(|namespace| filter.is_about(namespace, "") && visibility.sees(namespace, "", ""))
        .collect()
}

fn seen(change: &ConfigChange, visibility: &AuditVisibility) -> Option<v1::ConfigChange> {
    let (namespace, config) = (&change.id.namespace, &change.id.config);
    let mut change = change.clone();
    change.layers.retain(|layer| visibility.sees_config(namespace, config, &layer.key.scope));
    if change.layers.is_empty() && !visibility.sees_config(namespace, config, &Scope::global()) {
        return None;
    }
    let mut message = config_change_message(&change, false);
    message.layers.iter_mut().for_each(|layer| layer.digest.clear());
    Some(message)
}

/// The right that a commit took.
pub fn verb(commit: &Commit) -> &'static str {
    match commit.source {
        Source::Set | Source::Apply | Source::Delete => {
            let mut layers = commit.changes.iter().flat_map(|change| &change.layers).peekable();
            // Of a commit that was compacted nobody knows.
            let is_known = layers.peek().is_some() || commit.forgotten.is_empty();
            match is_known && layers.all(|layer| layer.key.kind == LayerKind::Override) {
                true => "override",
                false => "write",
            }
        }
        Source::Rollback | Source::Revert | Source::Restore => "rollback",
        Source::Tag => "tag",
        Source::Schema | Source::Migration => "schema",
        // Nobody asked for it.
        Source::Expiry => "",
    }
}

fn kind_message(kind: Kind) -> AuditKind {
    match kind {
        Kind::Denied => AuditKind::Denied,
        Kind::Refused => AuditKind::Refused,
        Kind::Revealed => AuditKind::Revealed,
        Kind::Overwritten => AuditKind::Overwritten,
        Kind::AccessChanged => AuditKind::AccessChanged,
        Kind::Backup => AuditKind::Backup,
        Kind::Session => AuditKind::Session,
        Kind::Started => AuditKind::Started,
        Kind::Stopped => AuditKind::Stopped,
        Kind::Lost => AuditKind::Lost,
        Kind::Repaired => AuditKind::Repaired,
        Kind::Removed => AuditKind::Removed,
    }
}

pub fn commits_proof(proof: CommitsProof) -> ChainProof {
    ChainProof {
        count: proof.commits,
        first: proof.first.0,
        newest: proof.newest.0,
        newest_hash: proof.hash.to_string(),
        name: String::new(),
        broken: proof.broken.map(|CommitBroken { revision, place, what }| {
            let message = if place.is_empty() { what } else { format!("{place}: {what}") };
            BrokenLink { number: revision.0, message }
        }),
    }
}

/// Of each room of the audit log, the main one first.
pub fn records_proofs(proofs: Vec<(Room, RecordsProof)>) -> Vec<ChainProof> {
    proofs.into_iter().map(|(room, proof)| records_proof(room, proof)).collect()
}

fn records_proof(room: Room, proof: RecordsProof) -> ChainProof {
    ChainProof {
        name: room.name().to_owned(),
        count: proof.records,
        first: proof.first,
        newest: proof.newest,
        newest_hash: proof.hash.to_string(),
        broken: proof
            .broken
            .map(|broken| BrokenLink { number: broken.sequence, message: broken.to_string() }),
    }
}
