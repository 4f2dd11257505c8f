//! Records the backups that the server makes and removes by itself in the audit log: those of schedules, and those before writes. Knows the audit
//! log and backups; not why a backup is made.

use crate::audit::{Entry, Kind, Place, Recorder};
use crate::auth::SYSTEM;
use crate::engine::{BackupSelection, Engine, ServerBackup};

/// Records what becomes of such backups from now on.
pub(in crate::server) fn start(engine: &Engine, recorder: &Recorder) {
    let recorder = recorder.clone();
    engine.observe_backups(move |event| record(&recorder, event));
}

fn record(recorder: &Recorder, event: &ServerBackup<'_>) {
    let (manifest, outcome, detail) = match event {
        ServerBackup::Made(kept) => {
            let (kind, of, revision) =
                (kept.manifest.kind, &kept.manifest.selection, kept.manifest.last_revision);
            let sum = kept.sha256.map(|sum| format!(", {sum}")).unwrap_or_default();
            let what = format!("{kind} backup of {of} up to revision {revision}: {} bytes{sum}", kept.bytes);
            (Some(&kept.manifest), "MADE", format!("{what}, {}", kept.id))
        }
        ServerBackup::Removed(kept) => (Some(&kept.manifest), "PRUNED", kept.id.clone()),
        ServerBackup::Failed { selection, why } => (None, "FAILED", format!("backup of {selection}: {why}")),
    };
    let selection = match (event, manifest) {
        (ServerBackup::Failed { selection, .. }, _) => (*selection).clone(),
        (_, manifest) => {
            let selection = manifest.and_then(|manifest| manifest.selection().ok());
            selection.unwrap_or(BackupSelection::All)
        }
    };
    let place = match &selection {
        BackupSelection::All => Place::default(),
        BackupSelection::Namespace(namespace) => Place { namespace: namespace.as_str(), ..Place::default() },
        BackupSelection::Config(id) => {
            Place { namespace: id.namespace.as_str(), config: id.config.as_str(), scope: "/" }
        }
    };
    let entry = Entry {
        kind: Kind::Backup,
        actor: SYSTEM,
        credential: &"",
        address: None,
        method: "",
        verb: "backup",
        place,
        outcome,
        request_id: "",
        reason: "",
    };
    if !recorder.record_backup(&entry, &detail) {
        tracing::warn!("the audit log has no room for a backup of the server");
    }
}
