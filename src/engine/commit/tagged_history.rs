//! Looks up the versions of the configs that a tag of a namespace names. Knows the store and the current state; not how a tag is planned.

use std::collections::BTreeMap;

use super::read_intent::ReadIntent;
use super::restoring::is_restored;
use super::tagging::{ReadTagNamespace, TagNamespace, TagTarget};
use crate::engine::Engine;
use crate::engine::error::{Error, Limit};
use crate::engine::read::history::version_as_of;

/// Configs that a tag of a namespace names.
const CONFIGS_MAX: usize = 200_000;

impl Engine {
    /// Looks up the versions that the configs of the namespace had.
    pub(in crate::engine) async fn look_up_tagged(
        &self,
        tagging: TagNamespace,
        actor: &str,
    ) -> Result<ReadIntent, Error> {
        // A commit may be queued but not in the journal yet.
        self.pipeline.barrier().answered().await?;
        let (store, state) = (self.store.clone(), self.state());
        self.work(actor, move |cancelled| {
            if let TagTarget::Revision(asked) = tagging.to {
                if asked > state.revision {
                    return Err(Error::RevisionInFuture { asked, store: state.revision });
                }
                let oldest = store.oldest_of(&tagging.namespace);
                if asked < oldest {
                    return Err(Error::Compacted { asked, oldest });
                }
            }
            let mut configs = BTreeMap::new();
            for config in state.configs_of(&tagging.namespace).filter(|config| is_restored(&config.id)) {
                cancelled.check()?;
                let then = match tagging.to {
                    TagTarget::Revision(revision) if config.at.revision > revision => {
                        Some(version_as_of(&*store, &config.id, revision)?)
                    }
                    TagTarget::Revision(_) | TagTarget::Newest | TagTarget::Deleted => None,
                };
                configs.insert(config.id.clone(), then);
            }
            if configs.len() > CONFIGS_MAX {
                let what = format!("configs of namespace {}", tagging.namespace).into();
                return Err(Error::LimitReached {
                    limit_name: Limit::CommitBytes,
                    what,
                    found: configs.len(),
                    limit: CONFIGS_MAX,
                });
            }
            let looked_up = state.revision;
            Ok(ReadIntent::TagNamespace(ReadTagNamespace { tagging, configs, looked_up }))
        })
        .await
    }
}
