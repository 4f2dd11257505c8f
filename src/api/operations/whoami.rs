//! WhoAmI and CanI: the caller, and what the policy allows.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::time_message;
use crate::api::error::ApiError;
use crate::auth::policy::{Lack, Outcome as Verdict};
use crate::auth::{Credential, Decision, Principal, Resource, Subject, Verb};
use crate::proto::v1::*;

use super::Operations;
use super::tokens::{administrates, groups_named, names, subject_named};

impl Operations {
    pub async fn who_am_i(
        &self,
        access: &CallContext,
        WhoAmIRequest {}: WhoAmIRequest,
    ) -> Result<WhoAmIResponse, ApiError> {
        let caller = access.caller();
        let kind = match caller.credential() {
            Credential::Unverified => CredentialKind::None,
            Credential::Token { .. } => CredentialKind::Token,
            Credential::Jwt { .. } => CredentialKind::Jwt,
            Credential::Certificate { .. } => CredentialKind::Certificate,
            Credential::Session { .. } => CredentialKind::Session,
        };
        Ok(WhoAmIResponse {
            actor: caller.actor().to_owned(),
            groups: names(caller.principal().groups()),
            credential_kind: kind.into(),
            credential: caller.credential().to_string(),
            expire_time: caller.expires().map(time_message),
        })
    }

    pub async fn can_i(&self, access: &CallContext, request: CanIRequest) -> Result<CanIResponse, ApiError> {
        let CanIRequest { subject, groups, verb, namespace, config, scope } = request;
        let who = match subject.as_str() {
            "" if groups.is_empty() => access.caller().principal().clone(),
            "" => return Err(request::invalid("groups", "are for a subject that is named").into()),
            text => {
                let subject = subject_named("subject", Subject::parse(text))?;
                Principal::supposed(subject, groups_named(&groups)?)
                    .map_err(|error| request::invalid("groups", error.to_string()))?
            }
        };
        let verb = Verb::parse(&verb).ok_or_else(|| {
            let verbs: Vec<&str> = Verb::ALL.into_iter().map(Verb::as_str).collect();
            request::invalid("verb", format!("{verb:?} is no verb: one of {} is expected", verbs.join(", ")))
        })?;
        let scope = request::scope("", &scope)?;
        let resource = match (namespace.as_str(), config.as_str()) {
            (_, "") if !scope.is_global() => {
                return Err(request::invalid("config", "must be set with scope").into());
            }
            ("", "") => Resource::Store,
            ("", _) => return Err(request::invalid("namespace", "must be set with config").into()),
            (text, "") => Resource::Namespace(request::namespace("namespace", text)?),
            (namespace, config) => Resource::Config { id: request::config_id("", namespace, config)?, scope },
        };
        if who != *access.caller().principal() {
            administrates(access)?;
        }
        let ruling = self.guard.ruling(&self.engine.state());
        let decision = ruling.policy.decide(&who, verb, &resource);
        let decision = match administrates(access) {
            Ok(()) => decision,
            Err(_) => decision.without_others(),
        };
        Ok(answer(&decision))
    }
}

fn answer(decision: &Decision) -> CanIResponse {
    let bindings = match &decision.outcome {
        Verdict::Allowed(by) => vec![PolicyBinding {
            index: by.binding as u32,
            role: by.role.clone(),
            text: by.text.clone(),
            subjects: vec![by.subject.clone()],
            lacks: vec![],
        }],
        Verdict::Denied(nearest) => nearest
            .iter()
            .map(|miss| PolicyBinding {
                index: miss.binding as u32,
                role: miss.role.clone(),
                text: miss.text.clone(),
                subjects: miss.subjects.clone(),
                lacks: miss.lacks.iter().map(|lack| lack_message(*lack).into()).collect(),
            })
            .collect(),
    };
    CanIResponse {
        allowed: decision.is_allowed(),
        explanation: decision.to_string(),
        needs: decision.needs.clone(),
        bindings,
    }
}

fn lack_message(lack: Lack) -> BindingLack {
    match lack {
        Lack::Subject => BindingLack::Subject,
        Lack::Verb => BindingLack::Verb,
        Lack::Namespace => BindingLack::Namespace,
        Lack::Config => BindingLack::Config,
        Lack::Scope => BindingLack::Scope,
    }
}
