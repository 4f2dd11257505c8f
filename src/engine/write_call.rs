//! A write from its request to its outcome: looked up, planned and queued, with what is kept before, told to its caller. Knows the steps in their order; not
//! how one is done.

use super::Engine;
use super::blocking::blocking;
use super::commit;
use super::commit::outcome::Outcome;
use super::commit::read_write::ReadWrite;
use super::commit::submitted::WriteAnswer;
use super::commit::write::{Intent, Write};
use super::error::Error;
use super::history_cuts::is_of_retention;
use super::secrets::redaction::Permissions;
use super::secrets::shown::{Showing, Viewer};
use super::state;
use super::state_backups::StateBefore;

/// Outcomes of more layers are made on a thread of their own.
const INLINE_LAYERS_MAX: usize = 200;

impl Engine {
    /// Writes, and answers when it is durable and visible to every read.
    pub async fn write(&self, write: Write) -> Result<Outcome, Error> {
        self.refuse_reserved(&write.intent)?;
        match write.intent.target_can_move() {
            true => Box::pin(self.write_to_target(write)).await,
            false => self.write_once(write).await,
        }
    }

    /// A write whose target may move while the write is planned.
    async fn write_to_target(&self, write: Write) -> Result<Outcome, Error> {
        loop {
            match self.write_once(write.clone()).await {
                Err(Error::TargetMoved) => {}
                outcome => return outcome,
            }
        }
    }

    async fn write_once(&self, write: Write) -> Result<Outcome, Error> {
        let large_write = self.large_write(&write);
        let Write { mut origin, intent, validate_only, without_backup: _, viewer } = write;
        let is_repeatable = origin.request.is_some() && !validate_only;
        let asked = is_repeatable.then(|| (intent.asked_layers(), intent.ids()));
        if is_repeatable {
            Box::pin(self.recalled()).await?;
        }
        let mut large = None;
        let mut before = StateBefore::default();
        // Before anything is looked up: what the first of two equal requests went by may be gone since.
        let known = asked.as_ref().and_then(|(_, ids)| self.pipeline.known(&origin, ids));
        let submitted = match known {
            Some(known) => known,
            None => {
                let _planning = commit::stages::begin("plan");
                let actor = viewer.visibility().caller().actor();
                let intent = self.read_intent(intent, actor).await?;
                large = self.begin_write(&intent, actor).await;
                if let Some(large_write) = large_write {
                    before = Box::pin(self.keep_state_before(large_write, actor)).await?;
                    before.annotate(&mut origin);
                }
                let write = ReadWrite::new(
                    origin,
                    intent,
                    validate_only,
                    viewer.visibility().clone().unmasking_secrets(),
                );
                match self.pipeline.submit(write).await {
                    Ok(submitted) => submitted,
                    Err(error) => {
                        Box::pin(self.discard_state(before)).await;
                        return Err(error);
                    }
                }
            }
        };
        let storing = commit::stages::begin("store");
        let answer = submitted.answered().await?;
        drop(storing);
        let outcome = match answer {
            WriteAnswer::Outcome(outcome) => outcome,
            WriteAnswer::Replay(first) => {
                let (store, state) = (self.store.clone(), self.state());
                let (layers, ids) = asked.unwrap_or_default();
                let read = move || commit::request_outcome::outcome(&*store, &state, first, layers, &ids);
                Box::pin(blocking(read)).await?
            }
        };
        let state_backups = before.ids();
        if !state_backups.is_empty() {
            let is_made = outcome.as_ref().is_ok_and(|outcome| outcome.changed);
            Box::pin(self.settle_state(before, is_made)).await;
        }
        match &outcome {
            Ok(outcome) => outcome.overwritten.iter().for_each(|(id, scope)| viewer.overwrites(id, scope)),
            Err(Error::SecretGuesses { id, scope, .. }) => viewer.overwrites(id, scope),
            Err(_) => {}
        }
        let mut outcome = outcome?;
        if is_of_retention(&outcome) {
            let actor = viewer.visibility().caller().actor();
            match Box::pin(self.add_history_cuts(&mut outcome, actor)).await {
                // What was made is answered all the same.
                Err(error) if validate_only => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let mut outcome = self.shown_outcome(outcome, &viewer).await?;
        Permissions::of(Some(viewer.visibility())).redact_outcome(&mut outcome, validate_only);
        outcome.large = large;
        if outcome.changed && !state_backups.is_empty() {
            outcome.state_backups = state_backups;
        }
        Ok(outcome)
    }

    /// The outcome as its caller may see it. Of very many layers that takes long enough to delay other calls, so that a thread does it where blocking is
    /// allowed. A write that was made is answered: this is not cancelled.
    async fn shown_outcome(&self, outcome: Outcome, viewer: &Viewer) -> Result<Outcome, Error> {
        let state = self.state();
        if outcome.layers.len() <= INLINE_LAYERS_MAX {
            return Ok(self.showing(&state, viewer).outcome(outcome));
        }
        let (key_store, viewer) = (self.key_store.clone(), viewer.clone());
        Box::pin(blocking(move || Showing::new(&key_store, &viewer, &state).outcome(outcome))).await
    }

    /// Refuses to write what the engine alone writes.
    pub(in crate::engine) fn refuse_reserved(&self, intent: &Intent) -> Result<(), Error> {
        match intent.any_id(state::system::unwritable) {
            Some(message) => Err(Error::Invalid { field: "config".into(), message }),
            None => Ok(()),
        }
    }
}
