//! Validates changes and documents without writing. Knows plans and contracts; never the journal.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::auth;
use crate::model::canonical::to_canonical;
use crate::model::text::{DocumentError, parse};
use crate::model::{
    Author, ConfigId, ConfigName, Governs, LayerKey, Namespace, Pointer, Revision, Scope, Source,
};
use crate::validate::{self, Finding, Found, Report, Severity};

use super::effort::Effort;
use super::look::Look;
use super::plan_check;
use super::workers::Cancelled;
use crate::engine::commit::document_error::check_paths;
use crate::engine::commit::layer_content::content_after;
use crate::engine::commit::outcome::Outcome;
use crate::engine::commit::read_intent::ReadIntent;
use crate::engine::commit::read_write::ReadWrite;
use crate::engine::commit::submitted::WriteAnswer;
use crate::engine::commit::write::{Change, Intent, Origin, Text};
use crate::engine::error::{Error, Missing};
use crate::engine::read::affected;
use crate::engine::secrets::redaction::Permissions;
use crate::engine::secrets::shown::Viewer;
use crate::engine::state::ConfigState;
use crate::engine::{Affected, Engine};

impl Engine {
    /// What writing these changes would find, and come to if it found no error.
    pub async fn validate(
        &self,
        changes: Vec<Change>,
        within: Pointer,
        viewer: Viewer,
    ) -> Result<(Report, Option<Outcome>), Error> {
        let look = Look::at_all(within);
        self.check_changes(&changes)?;
        let intent = Intent::Changes(changes);
        self.refuse_reserved(&intent)?;
        let Intent::Changes(changes) = intent else { unreachable!("it was made above") };
        let places: Vec<_> = changes
            .iter()
            .map(|change| (change.action_field(), change.id.clone(), change.key.clone()))
            .collect();
        let finding = |field: &str, error: &DocumentError| {
            let (_, id, key) = places.iter().find(|(of, ..)| of == field)?;
            Some(Finding::of_document(id, &key.scope, error))
        };
        let (state, limits, key_store) = (self.state(), self.limits.clone(), self.key_store.clone());
        let visibility = viewer.visibility().clone();
        // Each change is tried alone first: a write stops at what is wrong with the first, and here all of it is to be told.
        let actor = viewer.visibility().caller().shared_actor().clone();
        let read = move |cancelled: &Cancelled| {
            let (mut good, mut refused) = (vec![], vec![]);
            for change in changes {
                cancelled.check()?;
                match change.read(limits.layer_bytes_max) {
                    Err(unreadable) => refused.push(unreadable),
                    Ok(change) => {
                        match content_after(
                            state.config(&change.id),
                            &change,
                            Some(&visibility),
                            &key_store,
                            &limits,
                        ) {
                            Ok(_) => good.push(change),
                            Err(
                                Error::Document { field, error } | Error::PatchDoesNotApply { field, error },
                            ) => {
                                refused.push((field, error));
                            }
                            Err(error) => return Err(error),
                        }
                    }
                }
            }
            Ok((good, refused))
        };
        let (changes, refused) = self.work(&actor, read).await?;
        let findings: Vec<_> = refused.iter().filter_map(|(field, error)| finding(field, error)).collect();
        let redacted = |mut report: Report| {
            let named = || places.iter().map(|(_, id, key)| (id.clone(), key.scope.clone())).collect();
            Permissions::of(Some(viewer.visibility())).redact(&mut report, named);
            report
        };
        if !findings.is_empty() {
            return Ok((redacted(look.report(findings)), None));
        }
        let origin = Origin {
            author: Author::default(),
            source: Source::Apply,
            reason: String::new(),
            request: None,
            annotations: Default::default(),
        };
        let intent = ReadIntent::Changes(changes);
        let large = self.begin_write(&intent, &actor).await;
        let write = ReadWrite::to_validate(
            origin,
            intent,
            look.clone(),
            viewer.visibility().clone().unmasking_secrets(),
        );
        let outcome = match self.pipeline.submit(write).await?.answered().await? {
            WriteAnswer::Outcome(outcome) => outcome,
            WriteAnswer::Replay(_) => unreachable!("a validation has no request id"),
        };
        match outcome {
            Ok(mut outcome) => {
                self.add_history_cuts(&mut outcome, &actor).await?;
                self.tell_of_reasons(places.iter().map(|(_, id, key)| (id, key)), &mut outcome.report);
                let mut outcome = self.showing(&self.state(), &viewer).outcome(outcome);
                Permissions::of(Some(viewer.visibility())).redact_outcome(&mut outcome, true);
                outcome.large = large;
                Ok((outcome.report.clone(), Some(outcome)))
            }
            Err(Error::Refused(report)) => Ok((report, None)),
            Err(Error::Document { field, error } | Error::PatchDoesNotApply { field, error }) => {
                Ok((redacted(look.report(finding(&field, &error))), None))
            }
            Err(error) => Err(error),
        }
    }

    /// Says for each namespace that demands it that a write will have to say why it is made.
    fn tell_of_reasons<'a>(
        &self,
        changed: impl Iterator<Item = (&'a ConfigId, &'a LayerKey)>,
        report: &mut Report,
    ) {
        let (state, mut told) = (self.state(), BTreeSet::new());
        for (id, key) in changed {
            let governance = state.governance(&id.namespace);
            if !governance.is_some_and(|governance| governance.demands_reason())
                || !told.insert(&id.namespace)
            {
                continue;
            }
            let found = Found {
                severity: Severity::Warning,
                code: "REASON_REQUIRED".into(),
                pointer: String::new(),
                message: format!("namespace {} demands a reason for every change", id.namespace),
                suggestion: "say why when it is made".into(),
            };
            report.add(Finding::at(id, &key.scope, found));
        }
    }

    /// What validation has to say about what is stored now: of a namespace, or of one config of it.
    pub async fn validate_stored(
        &self,
        namespace: Namespace,
        config: Option<ConfigName>,
        within: Pointer,
        visibility: auth::Visibility,
    ) -> Result<(Report, Revision), Error> {
        let look = Look::at_all(within);
        let state = self.state();
        if let Some(config) = &config {
            let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
            state.config(&id).ok_or(Missing::Config(id))?;
        }
        let key_store = self.key_store.clone();
        let actor = visibility.caller().shared_actor().clone();
        let report = move |cancelled: &Cancelled| {
            let mut report = look.report([]);
            let governance = state.governance(&namespace);
            let asked =
                |stored: &&Arc<ConfigState>| config.as_ref().is_none_or(|config| *config == stored.id.config);
            let configs = || state.configs_of(&namespace).filter(asked);
            let effort = Effort::new(configs().map(|stored| stored.layers().len()).sum(), cancelled);
            for stored in configs() {
                plan_check::check_stored(
                    stored,
                    governance,
                    (&key_store, &visibility),
                    &look,
                    &effort,
                    &mut report,
                );
            }
            effort.check()?;
            let first = config.unwrap_or_else(|| Governs::Settings(None).name());
            let first = ConfigId { namespace: namespace.clone(), config: first };
            Permissions::of(Some(&visibility)).redact(&mut report, || vec![(first, Scope::global())]);
            Ok((report, state.revision))
        };
        self.work(&actor, report).await
    }

    /// Whether a document satisfies a schema that is not stored, but may refer to those of a namespace. Each finding comes with whether its place
    /// is a secret of the document.
    pub async fn validate_document(
        &self,
        namespace: Option<Namespace>,
        schema: Text,
        document: Text,
        within: Pointer,
        visibility: auth::Visibility,
    ) -> Result<Vec<(Found, bool)>, Error> {
        let (state, bytes_max) = (self.state(), self.limits.document_bytes_max);
        let actor = visibility.caller().shared_actor().clone();
        let check = move |cancelled: &Cancelled| {
            let schema = read_text("schema", &schema, bytes_max)?;
            cancelled.check()?;
            let document = read_text("document", &document, bytes_max)?;
            cancelled.check()?;
            let governance = namespace.as_ref().and_then(|namespace| state.governance(namespace));
            let stored = |name: &ConfigName| governance.and_then(|governance| governance.document(name));
            let may_quote = |of: &ConfigName| {
                namespace.as_ref().is_none_or(|namespace| visibility.has_schema_of(namespace, of))
            };
            Ok(validate::check_against(&schema, &document, Look::at_all(within).within, &stored, &may_quote))
        };
        self.work(&actor, check).await
    }

    /// The targets whose documents a write changes, which was only validated, and who watches them: of those that may be seen.
    pub async fn affected(
        &self,
        outcome: &Outcome,
        visibility: auth::Visibility,
    ) -> Result<Vec<Affected>, Error> {
        let (configs, hub) = (outcome.configs.clone(), self.hub.clone());
        let actor = visibility.caller().shared_actor().clone();
        let of_all = move |cancelled: &Cancelled| {
            let permissions = Permissions::of(Some(&visibility));
            let ordinary = || configs.iter().filter(|(_, after)| after.id.config.is_ordinary());
            let effort = Effort::new(ordinary().map(|(_, after)| after.layers().len()).sum(), cancelled);
            let of_config = |(before, after): &(Option<Arc<ConfigState>>, Arc<ConfigState>)| {
                affected::affected(before.as_deref(), after, &hub, permissions, &effort)
            };
            let affected = ordinary().flat_map(of_config).collect();
            effort.check()?;
            Ok(affected)
        };
        self.work(&actor, of_all).await
    }
}

/// Reads a text of a request that is only looked at.
fn read_text(field: &str, text: &Text, bytes_max: usize) -> Result<Value, Error> {
    let value = parse(&text.content, text.format, bytes_max).and_then(|value| {
        check_paths(&to_canonical(&value), bytes_max)?;
        Ok(value)
    });
    value.map_err(|error| Error::Document { field: field.to_owned(), error })
}
