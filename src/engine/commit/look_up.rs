//! Parses the texts of a write, and reads the history that the write refers to, before it is planned. Knows no plans.

use std::collections::HashSet;

use super::document_error::document_error;
use super::planner::check_ttl;
use super::read_intent::ReadIntent;
use super::write::{Change, Intent, RollbackTo};
use crate::engine::error::{Error, Missing};
use crate::engine::read::history::At;
use crate::engine::{Engine, INLINE_BYTES_MAX};
use crate::model::Version;

impl Engine {
    /// Does what needs no state: reads texts, looks up history.
    pub(in crate::engine) async fn read_intent(
        &self,
        intent: Intent,
        actor: &str,
    ) -> Result<ReadIntent, Error> {
        match intent {
            Intent::Changes(changes) if text_bytes(&changes) <= INLINE_BYTES_MAX => {
                self.check_changes(&changes)?;
                read_changes(changes, self.limits.layer_bytes_max)
            }
            // Boxed: the future of a small write, which waits for nothing here, stays small.
            intent => Box::pin(self.look_up_intent(intent, actor)).await,
        }
    }

    async fn look_up_intent(&self, intent: Intent, actor: &str) -> Result<ReadIntent, Error> {
        match intent {
            Intent::Changes(changes) => {
                self.check_changes(&changes)?;
                let bytes_max = self.limits.layer_bytes_max;
                self.work(actor, move |_| Ok(read_changes(changes, bytes_max))).await?
            }
            Intent::Delete { id, key, expected } => Ok(ReadIntent::Delete { id, key, expected }),
            Intent::Rollback { id, to, scope, expected } => {
                // A version may be queued but not in the journal yet.
                self.pipeline.barrier().answered().await?;
                let state = self.state();
                let at = match &to {
                    RollbackTo::Version(version) => At::Version(*version),
                    RollbackTo::Tag(tag) => At::Tag(tag.clone()),
                    RollbackTo::Previous => {
                        let current = state.config(&id).ok_or_else(|| Missing::Config(id.clone()))?;
                        At::Version(Version(current.at.version.0.saturating_sub(1)))
                    }
                };
                // The version has all layers of the config.
                let large = self.begin_large(actor).await;
                let found = self.config_at(&state, &id, &at, actor).await?;
                Ok(ReadIntent::Rollback { id, to: found, by: to, scope, expected, _large: large })
            }
            Intent::Revert(reverting) => self.look_up_reverted(reverting, actor).await,
            Intent::Restore(restoring) => self.look_up_restored(restoring, actor).await,
            Intent::Tag { id, tag, to, expected } => {
                self.pipeline.barrier().answered().await?;
                if let Some(version) = to.filter(|version| *version != Version::ZERO) {
                    self.config_at(&self.state(), &id, &At::Version(version), actor).await?;
                }
                Ok(ReadIntent::Tag { id, tag, to, expected })
            }
            Intent::TagNamespace(tagging) => self.look_up_tagged(tagging, actor).await,
            Intent::PutSchema { governed, put } => Ok(ReadIntent::PutSchema { governed, put }),
            Intent::Migrate { governed, to } => Ok(ReadIntent::Migrate { governed, to }),
            Intent::Expire(due) => {
                Ok(ReadIntent::Expire(due.into_iter().map(|expiry| (expiry.id, expiry.key)).collect()))
            }
        }
    }

    pub(in crate::engine) fn check_changes(&self, changes: &[Change]) -> Result<(), Error> {
        let invalid = |field: &str, message: String| Err(Error::Invalid { field: field.into(), message });
        if changes.is_empty() {
            return invalid("changes", "must not be empty".into());
        }
        let max = self.limits.changes_max;
        if changes.len() > max {
            return invalid("changes", format!("has {} changes, at most {max} are allowed", changes.len()));
        }
        let mut seen = HashSet::new();
        for change in changes {
            check_ttl(&change.field, &change.key, change.ttl)?;
            if !seen.insert((&change.id, &change.key)) {
                let (kind, scope) = (change.key.kind, &change.key.scope);
                let message = format!("the {kind} layer of {} at {scope} is changed twice", change.id);
                return invalid(&change.field, message);
            }
        }
        Ok(())
    }
}

fn text_bytes(changes: &[Change]) -> usize {
    changes.iter().map(|change| change.action.text_bytes()).sum()
}

fn read_changes(changes: Vec<Change>, bytes_max: usize) -> Result<ReadIntent, Error> {
    let read = changes.into_iter().map(|change| change.read(bytes_max)).collect::<Result<Vec<_>, _>>();
    read.map(ReadIntent::Changes).map_err(|(field, error)| document_error(field, error))
}
