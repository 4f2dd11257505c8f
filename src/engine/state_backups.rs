//! Backups of the state of a namespace that the server keeps before a write which changes much of it. Knows writes and backups; not how a write is
//! planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use super::backups::{BackupFailure, Backups};
use super::blocking::blocking;
use super::commit::write::{Intent, Origin, Write};
use super::error::Error;
use crate::auth::SYSTEM;
use crate::backup::{AUTOMATIC_LABEL, BackupError, Catalog, Keep, Kept, Kind, Plan, Selection, beyond};
use crate::fair_places::Of;
use crate::model::Namespace;

/// The annotation of a commit with the ids of the backups of the state before it.
pub(in crate::engine) const STATE_BEFORE: &str = "state_before";
/// What is kept of a namespace. Older ones are removed, unless they are pinned.
const KEPT_MAX: u64 = 10;
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// A write that changes much.
pub(in crate::engine) struct LargeWrite {
    kind: &'static str,
    /// Of these it changes much.
    namespaces: Vec<Namespace>,
}

/// The backups of the state before one write.
#[derive(Default)]
pub(in crate::engine) struct StateBefore {
    kept: Vec<(Namespace, Kept)>,
}

impl StateBefore {
    pub fn ids(&self) -> Vec<String> {
        self.kept.iter().map(|(_, kept)| kept.id.clone()).collect()
    }

    /// Names the backups in the history of the write.
    pub fn annotate(&self, origin: &mut Origin) {
        origin.annotations.insert(STATE_BEFORE.to_owned(), self.ids().join(","));
    }
}

impl Engine {
    /// What the server is to keep before a write. `None`: nothing, as before nearly all writes.
    pub(in crate::engine) fn large_write(&self, write: &Write) -> Option<LargeWrite> {
        let layers_max = self.state_backups.filter(|_| self.backup_catalog().is_some())?;
        match write.validate_only || write.without_backup {
            true => None,
            false => LargeWrite::of(&write.intent, layers_max),
        }
    }

    /// Keeps the state of the namespaces of which a write changes much.
    pub(in crate::engine) async fn keep_state_before(
        &self,
        LargeWrite { kind: write, namespaces }: LargeWrite,
        actor: &str,
    ) -> Result<StateBefore, Error> {
        let mut before = StateBefore::default();
        let Some(catalog) = self.backup_catalog() else { return Ok(before) };
        for namespace in namespaces {
            let plan = Plan {
                kind: Kind::State,
                selection: Selection::Namespace(namespace.clone()),
                since: None,
                server: String::new(),
                actor: SYSTEM.to_owned(),
                created: self.now(),
                note: format!("before a {write} by {actor}"),
                labels: BTreeMap::from([(AUTOMATIC_LABEL.to_owned(), write.to_owned())]),
            };
            match self.backups.keep_before(catalog, (actor, &namespace), plan).await {
                Ok(kept) => before.kept.push((namespace, kept)),
                Err(failure) => {
                    self.discard_state(before).await;
                    return Err(match failure {
                        BackupFailure::Engine(error) => error,
                        BackupFailure::Backup(error) => Error::StateNotKept(error),
                    });
                }
            }
        }
        Ok(before)
    }

    /// What becomes of the backups once the outcome of the write is known.
    pub(in crate::engine) async fn settle_state(&self, before: StateBefore, is_made: bool) {
        match is_made {
            true => self.prune_states(before).await,
            false => self.discard_state(before).await,
        }
    }

    /// Removes the older backups of this kind. A failure is logged: the next write removes them.
    async fn prune_states(&self, before: StateBefore) {
        let Some(catalog) = self.backup_catalog().cloned().filter(|_| !before.kept.is_empty()) else {
            return;
        };
        let namespaces: Vec<Namespace> = before.kept.into_iter().map(|(namespace, _)| namespace).collect();
        let backups = self.backups.clone();
        let pruned = blocking(move || {
            namespaces.iter().try_for_each(|namespace| prune(&backups, &catalog, namespace))
        });
        if let Ok(Err(error)) = pruned.await {
            tracing::error!(%error, "old backups of the state before writes could not be removed");
        }
    }

    /// Removes the backups before a write that came to nothing.
    pub(in crate::engine) async fn discard_state(&self, before: StateBefore) {
        let Some(catalog) = self.backup_catalog().cloned().filter(|_| !before.kept.is_empty()) else {
            return;
        };
        let backups = self.backups.clone();
        let removed = blocking(move || {
            let gone: Vec<&Kept> = before.kept.iter().map(|(_, kept)| kept).collect();
            backups.remove(&catalog, &gone)
        });
        if let Ok(Err(error)) = removed.await {
            tracing::error!(%error, "a backup before a write that came to nothing could not be removed");
        }
    }
}

impl Backups {
    /// Keeps a backup before a write of an actor. Waits for the turn of the actor: few are made at once.
    async fn keep_before(
        self: &Arc<Backups>,
        catalog: &Arc<Catalog>,
        (actor, namespace): (&str, &Namespace),
        plan: Plan,
    ) -> Result<Kept, BackupFailure> {
        let _place = self.before_writes.take(Of { actor, tenant: Some(namespace.as_str()) }).await;
        // Writes whose callers have gone leave theirs.
        let (backups, pruned, of) = (self.clone(), catalog.clone(), namespace.clone());
        blocking(move || prune(&backups, &pruned, &of)).await??;
        self.keep(catalog, plan, |_| true).await
    }
}

/// Removes the older backups of this kind.
fn prune(backups: &Backups, catalog: &Catalog, namespace: &Namespace) -> Result<(), BackupError> {
    let all = catalog.list_of(namespace)?;
    backups.remove(catalog, &older(&all, namespace))
}

/// The backups before writes to a namespace that go, of these, which are the oldest first: beyond the number and beyond the bytes.
fn older<'a>(all: &'a [Kept], namespace: &Namespace) -> Vec<&'a Kept> {
    let is_automatic = |kept: &Kept| {
        let manifest = &kept.manifest;
        manifest.actor == SYSTEM
            && manifest.labels.contains_key(AUTOMATIC_LABEL)
            && manifest.selection == namespace.as_str()
    };
    beyond(all, Keep { count: Some(KEPT_MAX), since: None, bytes: Some(KEPT_BYTES_MAX) }, is_automatic)
}

impl LargeWrite {
    fn of(intent: &Intent, layers_max: usize) -> Option<LargeWrite> {
        let (kind, namespaces) = match intent {
            Intent::Restore(restoring) => ("restore", vec![restoring.namespace.clone()]),
            Intent::Migrate { governed, .. } => ("migration", vec![governed.namespace.clone()]),
            Intent::Changes(changes) if changes.len() > layers_max => {
                let mut layers: BTreeMap<&Namespace, usize> = BTreeMap::new();
                changes.iter().for_each(|change| *layers.entry(&change.id.namespace).or_default() += 1);
                let large = layers.into_iter().filter(|(_, count)| *count > layers_max);
                ("large apply", large.map(|(namespace, _)| namespace.clone()).collect())
            }
            Intent::Changes(_)
            | Intent::Delete { .. }
            | Intent::Rollback { .. }
            | Intent::Revert(_)
            | Intent::Tag { .. }
            | Intent::TagNamespace(_)
            | Intent::Expire(_)
            | Intent::PutSchema { .. } => return None,
        };
        Some(LargeWrite { kind, namespaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Counts, Manifest};

    fn kept(number: u8, bytes: u64, actor: &str) -> Kept {
        let manifest = Manifest {
            format: 1,
            program: String::new(),
            server: String::new(),
            epoch: String::new(),
            kind: Kind::State,
            selection: "shop".to_owned(),
            first_revision: 0,
            last_revision: 0,
            last_time_us: 0,
            base_hash: String::new(),
            last_hash: String::new(),
            forgotten: BTreeMap::new(),
            counts: Counts::default(),
            created_us: number.into(),
            actor: actor.to_owned(),
            note: String::new(),
            labels: BTreeMap::from([(AUTOMATIC_LABEL.to_owned(), "restore".to_owned())]),
            parts: vec![],
        };
        let id = number.to_string();
        Kept { id, manifest, bytes, sha256: None, verified: None, is_pinned: false }
    }

    #[test]
    fn of_the_backups_before_writes_the_newest_stay_within_their_number_and_bytes() {
        let namespace = Namespace::parse("shop").expect("a name");
        let gone =
            |all: &[Kept]| older(all, &namespace).iter().map(|kept| kept.id.clone()).collect::<Vec<_>>();
        const MIB: u64 = 1 << 20;
        let all = |bytes| (1..=12).map(|number| kept(number, bytes, SYSTEM)).collect::<Vec<_>>();
        assert_eq!(gone(&all(10)), ["1", "2"], "ten of them stay");
        assert_eq!(gone(&all(64 * MIB)), (1..=8).map(|number| number.to_string()).collect::<Vec<_>>());
        assert_eq!(gone(&all(64 * MIB + 1)).len(), 9, "four have more than 256 MiB");
        assert_eq!(gone(&[kept(1, 256 * MIB, SYSTEM)]), Vec::<String>::new());
        assert_eq!(gone(&[kept(1, 256 * MIB + 1, SYSTEM)]), ["1"], "not even one is larger than the limit");
        let mut mixed = vec![
            kept(1, 100 * MIB, SYSTEM),
            kept(2, 1000 * MIB, "ada"),
            kept(3, 100 * MIB, SYSTEM),
            kept(4, 100 * MIB, SYSTEM),
        ];
        assert_eq!(gone(&mixed), ["1"], "what others have made does not count");
        mixed[0].is_pinned = true;
        assert!(gone(&mixed).is_empty(), "what is pinned stays");
    }
}
