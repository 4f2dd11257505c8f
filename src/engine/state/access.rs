//! What governs access: the policy and the tokens, which are configs of a namespace of their own, beside the quotas. Knows which configs
//! these are, that one must be readable before it is committed, and that a policy must leave somebody who can change it; never a caller.

use crate::auth::{POLICY, Policy, Problem, TOKENS, TokenSet, is_reserved};
use crate::model::{ConfigChange, LayerKind, Timestamp};
use crate::validate::{Finding, Found, Report, Severity, check_place};

use super::ConfigState;
use super::access_document::base_document;
use super::usage::{QUOTAS, problems as quota_problems};

const CODE: &str = "ACCESS";
const ADMINISTRATOR: &str =
    "keep a binding of somebody to the role \"admin\" on namespace \"*\", config \"*\", scope \"/\"";

/// Refuses a policy, tokens and quotas that could not be read, a policy that nobody could change any more, and tokens among which a revoked
/// one would be good again, whatever kind of write makes them: a rollback and a deletion, too.
pub(in crate::engine) fn check_access(
    change: &ConfigChange,
    before: Option<&ConfigState>,
    after: &ConfigState,
    now: Timestamp,
    report: &mut Report,
) {
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
    let document = base_document(after);
    let problems = match (name, &document) {
        (POLICY, None) => vec![nobody("there would be no policy any more")],
        (POLICY, Some(document)) => match Policy::parse(document) {
            Ok(policy) if policy.has_administrator() => vec![],
            Ok(_) => vec![nobody("no binding lets anybody change the policy any more")],
            Err(problems) => problems,
        },
        (QUOTAS, None) => vec![],
        (QUOTAS, Some(document)) => {
            for found in quota_problems(document) {
                report.add(Finding::at(&change.id, &crate::model::Scope::global(), found));
            }
            vec![]
        }
        (_, document) => match document.as_ref().map_or_else(|| Ok(TokenSet::default()), TokenSet::parse) {
            // What is stored can be read: it was checked when it was written.
            Ok(tokens) => {
                let stored = before.and_then(base_document).map(|stored| TokenSet::parse(&stored));
                let stored = stored.and_then(Result::ok).unwrap_or_default();
                tokens.problems_after(&stored, now)
            }
            Err(problems) => problems,
        },
    };
    for Problem { pointer, message, suggestion } in problems {
        let found = Found { severity: Severity::Error, code: CODE.into(), pointer, message, suggestion };
        report.add(Finding::at(&change.id, &crate::model::Scope::global(), found));
    }
}

/// Nobody would be left to correct it.
fn nobody(message: &str) -> Problem {
    Problem {
        pointer: "/bindings".to_owned(),
        message: message.to_owned(),
        suggestion: ADMINISTRATOR.to_owned(),
    }
}
