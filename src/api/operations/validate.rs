//! Validate: changes, stored documents, or a document against a schema.

use std::collections::BTreeSet;

use crate::auth::{Access, Resource, Verb};
use crate::engine::{Affected, Change, Error, Outcome, Text};
use crate::model::pointer::Pointer;
use crate::model::text::Format;
use crate::model::{ConfigId, Scope};
use crate::proto::v1;
use crate::validate::{Found, Severity};

use super::Operations;
use super::write::applied;
use crate::api::context::CallContext;
use crate::api::convert::bounded::cut_findings;
use crate::api::convert::request;
use crate::api::convert::response::{FINDINGS_BYTES_MAX, report_message};
use crate::api::disclosures::Reached;
use crate::api::error::ApiError;
use crate::api::guard::{Allowed, allow_validate, allow_validate_schema};

/// As many affected targets as an answer tells.
const AFFECTED_MAX: usize = 1000;

impl Operations {
    pub async fn validate(
        &self,
        context: &CallContext,
        request: v1::ValidateRequest,
    ) -> Result<v1::ValidateResponse, ApiError> {
        let within = request::pointer("pointer", &request.pointer)?;
        let v1::ValidateRequest { changes, namespace, config, schema, document, .. } = request;
        match (changes.is_empty(), schema) {
            (false, None) if namespace.is_empty() && config.is_empty() => {
                let changes = allow_validate(context, request::changes(changes)?)?;
                self.validate_as_apply(context, changes, within).await
            }
            (false, _) => {
                Err(request::invalid("changes", "stand alone, without namespace, config and schema").into())
            }
            (true, Some(schema)) => {
                let document =
                    document.ok_or_else(|| request::invalid("document", "must be set with schema"))?;
                self.validate_against(context, &namespace, schema, document, within).await
            }
            (true, None) if namespace.is_empty() => {
                Err(request::invalid("changes", "must not be empty, unless namespace or schema is set")
                    .into())
            }
            (true, None) => self.validate_stored(context, &namespace, &config, within).await,
        }
    }

    async fn validate_as_apply(
        &self,
        context: &CallContext,
        changes: Allowed<Vec<Change>>,
        within: Pointer,
    ) -> Result<v1::ValidateResponse, ApiError> {
        let changes = changes.into_inner();
        let ids: BTreeSet<ConfigId> = changes.iter().map(|change| change.id.clone()).collect();
        let governing: Vec<ConfigId> = ids.iter().filter(|id| !id.config.is_ordinary()).cloned().collect();
        let reached = Reached::Configs(ids.into_iter().collect());
        let asked = self.check_hidden(context, &reached, &governing)?;
        let (report, outcome) = self.engine.validate(changes, within, self.viewer(context)).await?;
        self.tell_of_hidden(context, &asked, &report);
        let (affected, affected_omitted) = match &outcome {
            Some(outcome) => self.affected(context, outcome).await?.listed(),
            None => (vec![], 0),
        };
        Ok(v1::ValidateResponse {
            report: Some(report_message(&report)),
            changed: outcome.as_ref().is_some_and(|outcome| outcome.changed),
            results: outcome.as_ref().map(applied).unwrap_or_default(),
            store_revision: self.engine.state().revision.0,
            affected,
            affected_omitted,
        })
    }

    /// The targets that a change would affect.
    pub(super) async fn affected(
        &self,
        context: &CallContext,
        outcome: &Outcome,
    ) -> Result<AffectedTargets, ApiError> {
        Ok(AffectedTargets(self.engine.affected(outcome, context.visibility()).await?))
    }

    /// How far a write would reach that is only tried.
    pub(super) async fn reach(
        &self,
        context: &CallContext,
        validate_only: bool,
        outcome: &Outcome,
    ) -> Result<Option<v1::Reach>, ApiError> {
        if !validate_only {
            return Ok(None);
        }
        match self.engine.affected(outcome, context.visibility()).await {
            Ok(affected) => Ok(Some(AffectedTargets(affected).reach())),
            Err(Error::TooCostly { .. }) => Ok(Some(v1::Reach { unknown: true, ..Default::default() })),
            Err(error) => Err(error.into()),
        }
    }

    async fn validate_stored(
        &self,
        access: &CallContext,
        namespace: &str,
        config: &str,
        within: Pointer,
    ) -> Result<v1::ValidateResponse, ApiError> {
        let namespace = request::namespace("namespace", namespace)?;
        let config = match config {
            "" => None,
            config => Some(request::config_name("config", config)?),
        };
        let resource = match &config {
            None => Resource::Namespace(namespace.clone()),
            Some(config) => Resource::config(namespace.clone(), config.clone(), Scope::global()),
        };
        access.permit(Verb::Validate, resource)?;
        let reached = match &config {
            None => Reached::Namespace(namespace.clone()),
            Some(config) => {
                Reached::Configs(vec![ConfigId { namespace: namespace.clone(), config: config.clone() }])
            }
        };
        let asked = self.check_hidden(access, &reached, &[])?;
        let (report, revision) =
            self.engine.validate_stored(namespace, config, within, access.visibility()).await?;
        self.tell_of_hidden(access, &asked, &report);
        Ok(v1::ValidateResponse {
            report: Some(report_message(&report)),
            store_revision: revision.0,
            ..Default::default()
        })
    }

    async fn validate_against(
        &self,
        access: &Access,
        namespace: &str,
        schema: v1::Text,
        document: v1::Text,
        within: Pointer,
    ) -> Result<v1::ValidateResponse, ApiError> {
        let namespace = match namespace {
            "" => None,
            text => {
                // To its schemas the one of the request may refer. Without a namespace nothing that is stored is looked at.
                let namespace = request::namespace("namespace", text)?;
                Some(allow_validate_schema(access, namespace)?.into_inner())
            }
        };
        let text = |field: &str, text: v1::Text| {
            let format: Format = request::format(format_args!("{field}.format"), text.format)?;
            Ok::<_, ApiError>(Text { content: text.content, format })
        };
        let (schema, document) = (text("schema", schema)?, text("document", document)?);
        let found =
            self.engine.validate_document(namespace, schema, document, within, access.visibility()).await?;
        let valid = found.iter().all(|(found, _)| found.severity != Severity::Error);
        let findings = found.into_iter().map(|(found, secret)| found_message(found, secret)).collect();
        let (findings, omitted) = cut_findings(findings, FINDINGS_BYTES_MAX);
        let report = v1::ValidationReport { valid, findings, omitted };
        let store_revision = self.engine.state().revision.0;
        Ok(v1::ValidateResponse { report: Some(report), store_revision, ..Default::default() })
    }
}

fn found_message(found: Found, secret: bool) -> v1::Finding {
    v1::Finding {
        severity: crate::api::convert::response::severity_message(found.severity).into(),
        code: found.code.into_owned(),
        pointer: found.pointer,
        message: found.message,
        suggestion: found.suggestion,
        secret,
        ..Default::default()
    }
}

/// The targets that a write affects, in the order of their configs.
pub(super) struct AffectedTargets(Vec<Affected>);

impl AffectedTargets {
    /// As many as a response lists, and how many more there are.
    pub fn listed(&self) -> (Vec<v1::AffectedTarget>, u64) {
        let omitted = self.0.len().saturating_sub(AFFECTED_MAX) as u64;
        (self.0.iter().take(AFFECTED_MAX).map(affected_message).collect(), omitted)
    }

    pub fn reach(&self) -> v1::Reach {
        let configs = self.0.chunk_by(|a, b| a.id == b.id).count() as u64;
        let watchers = self.0.iter().map(|target| target.watchers as u64).sum();
        v1::Reach { configs, scopes: self.0.len() as u64, watchers, unknown: false }
    }
}

fn affected_message(affected: &Affected) -> v1::AffectedTarget {
    v1::AffectedTarget {
        namespace: affected.id.namespace.to_string(),
        config: affected.id.config.to_string(),
        scope: affected.scope.to_string(),
        watchers: affected.watchers as u32,
    }
}
