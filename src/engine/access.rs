//! What governs access: the policy and the tokens, which are configs of a namespace of their own, beside the quotas. Knows which configs
//! these are, and that one must be readable before it is committed; never a caller.

use std::sync::Arc;

use serde_json::Value;

use crate::auth::{POLICY, Policy, Problem, TOKENS, TokenSet, is_reserved};
use crate::model::{ConfigChange, LayerKind};
use crate::validate::{Finding, Found, Report, Severity, check_place};

use super::state::ConfigState;
use super::usage::{QUOTAS, problems as quota_problems};

const CODE: &str = "ACCESS";

/// The document of a config that governs access: its base layer at `/`, as it is. `None`: there is none.
pub fn access_document(config: Option<&Arc<ConfigState>>) -> Option<Value> {
    config.and_then(|config| document(config))
}

fn document(config: &ConfigState) -> Option<Value> {
    Some(config.layer_at(LayerKind::Base, "/")?.layer.content.to_value())
}

/// Refuses a policy, tokens and quotas that could not be read, whatever kind of write makes them: a rollback, too. Everybody would be locked out.
pub(super) fn check_access(change: &ConfigChange, after: &ConfigState, report: &mut Report) {
    let name = change.id.config.as_str();
    if !is_reserved(&change.id.namespace) || ![POLICY, TOKENS, QUOTAS].contains(&name) {
        return;
    }
    for layer in change.layers.iter().filter(|layer| layer.content.is_some()) {
        let is_override = layer.key.kind == LayerKind::Override;
        if let Some(found) = check_place(&layer.key.scope, is_override) {
            report.add(Finding::at(&change.id, &layer.key.scope, found));
        }
    }
    let Some(document) = document(after) else { return };
    let problems = match name {
        QUOTAS => {
            for found in quota_problems(&document) {
                report.add(Finding::at(&change.id, &crate::model::Scope::global(), found));
            }
            None
        }
        POLICY => Policy::parse(&document).err(),
        _ => TokenSet::parse(&document).err(),
    };
    for Problem { pointer, message, suggestion } in problems.into_iter().flatten() {
        let found = Found { severity: Severity::Error, code: CODE.into(), pointer, message, suggestion };
        report.add(Finding::at(&change.id, &crate::model::Scope::global(), found));
    }
}
