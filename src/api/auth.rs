//! The calls of `AuthService`. What they change is a config of the server, by the one pipeline of the engine; what they tell is as of the
//! policy and the tokens that hold now.

use prost::Message;
use tonic::{Request, Response, Status};

use crate::auth::policy::{Lack, Outcome as Verdict};
use crate::auth::token::{self, Listed, NewToken, TokenId};
use crate::auth::{
    Access, Credential, Decision, Group, Principal, Resource, Subject, SubjectKind, TOKENS, Verb,
};
use crate::engine::{Action, Change, Error, Intent, Text};
use crate::model::text::Format as TextFormat;
use crate::model::{LayerKey, Scope, Source, Timestamp};
use crate::proto::v1::*;

use super::context::CallContext;
use super::convert::request;
use super::convert::response::time_message;
use super::guard::{entered, reserved};
use super::server::auth_service_server::AuthService;
use super::status::{no_randomness, token_not_found};
use super::{Api, page};

#[tonic::async_trait]
impl AuthService for Api {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        let (access, WhoAmIRequest {}) = entered(request);
        let caller = access.caller();
        let kind = match caller.credential() {
            Credential::Unverified => CredentialKind::None,
            Credential::Token { .. } => CredentialKind::Token,
            Credential::Jwt { .. } => CredentialKind::Jwt,
            Credential::Certificate { .. } => CredentialKind::Certificate,
        };
        Ok(Response::new(WhoAmIResponse {
            actor: caller.actor().to_owned(),
            groups: names(caller.principal().groups()),
            credential_kind: kind.into(),
            credential: caller.credential().to_string(),
            expire_time: caller.expires().map(time_message),
        }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (access, request) = entered(request);
        let CreateTokenRequest { name, subject, groups, expire_time, reason } = request;
        let now = self.engine.now();
        let subject = match subject.as_str() {
            "" => subject_named("name", Subject::new(SubjectKind::Token, &name))?,
            text => subject_named("subject", Subject::parse(text))?,
        };
        if !matches!(subject.kind(), SubjectKind::User | SubjectKind::Token) {
            return Err(request::invalid("subject", "must be a user: or a token:").into());
        }
        let principal = Principal::new(subject, groups_named(&groups)?);
        let principal = principal.map_err(|error| request::invalid("groups", error.to_string()))?;
        let expires = expire_time.map(|time| request::timestamp("expire_time", &time)).transpose()?;
        if expires.is_some_and(|expires| expires <= now) {
            return Err(request::invalid("expire_time", "is past").into());
        }
        administrates(&access)?;
        let bearer = principal.clone();
        let random = token::random().map_err(|error| no_randomness(&error))?;
        let new = token::make(&random, &name, principal, now, expires)
            .map_err(|error| request::invalid("name", error.to_string()))?;
        let revision = self.patch_tokens(&access, &token::patch_to_add(&new), reason).await?;
        let NewToken { id, text, record } = new;
        let granted = self.guard.ruling(&self.engine.state()).policy.grants_of(&bearer);
        Ok(Response::new(CreateTokenResponse {
            token: text.to_string(),
            info: Some(token_message(&Listed { id, record: &record, last_use: None })),
            store_revision: revision,
            has_no_permission: !Verb::ALL.into_iter().any(|verb| granted.gives(verb)),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let (access, mut request) = entered(request);
        let page_token = std::mem::take(&mut request.page_token);
        let binding = request.encode_to_vec();
        let after = page::cursor(&binding, self.engine.epoch(), &page_token)?
            .map(|cursor| place(&cursor))
            .transpose()?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        administrates(&access)?;
        let state = self.engine.state();
        let (ruling, now) = (self.guard.ruling(&state), self.engine.now());
        let is_after = |listed: &Listed<'_>| {
            after.is_none_or(|(created, id)| {
                (std::cmp::Reverse(listed.record.created), listed.id) > (std::cmp::Reverse(created), id)
            })
        };
        let listed = ruling.tokens.list();
        let is_asked_for = |listed: &&Listed<'_>| {
            let is_good =
                listed.record.revoked.is_none() && listed.record.expires.is_none_or(|expires| expires > now);
            is_after(listed) && (request.include_ended || is_good)
        };
        let mut left = listed.iter().filter(is_asked_for).peekable();
        let page: Vec<&Listed<'_>> = left.by_ref().take(size).collect();
        let next_page_token = match (left.peek(), page.last()) {
            (Some(_), Some(last)) => {
                page::token(&binding, self.engine.epoch(), &format!("{}:{}", last.record.created.0, last.id))
            }
            (Some(_) | None, _) => String::new(),
        };
        Ok(Response::new(ListTokensResponse {
            tokens: page.into_iter().map(token_message).collect(),
            next_page_token,
            store_revision: state.revision.0,
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (access, RevokeTokenRequest { id, reason }) = entered(request);
        // Nothing of it is repeated: it may be a whole token.
        let expected = "is not the id of a token: the 12 characters after cw_";
        let id = TokenId::parse(&id).ok_or_else(|| request::invalid("id", expected))?;
        administrates(&access)?;
        let state = self.engine.state();
        let ruling = self.guard.ruling(&state);
        let known = ruling.tokens.get(id).ok_or_else(|| token_not_found(id))?;
        if known.record.revoked.is_some() {
            let info = Some(token_message(&known));
            let store_revision = state.revision.0;
            return Ok(Response::new(RevokeTokenResponse { info, changed: false, store_revision }));
        }
        let patch = token::patch_to_revoke(id, self.engine.now());
        let store_revision = self.patch_tokens(&access, &patch, reason).await?;
        let ruling = self.guard.ruling(&self.engine.state());
        let info = ruling.tokens.get(id).as_ref().map(token_message);
        Ok(Response::new(RevokeTokenResponse { info, changed: true, store_revision }))
    }

    async fn can_i(&self, request: Request<CanIRequest>) -> Result<Response<CanIResponse>, Status> {
        let (access, request) = entered(request);
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
            request::invalid("verb", format!("is none of {}", verbs.join(", ")))
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
            administrates(&access)?;
        }
        let ruling = self.guard.ruling(&self.engine.state());
        let decision = ruling.policy.decide(&who, verb, &resource);
        let decision = match administrates(&access) {
            Ok(()) => decision,
            Err(_) => decision.without_others(),
        };
        Ok(Response::new(answer(&decision)))
    }
}

impl Api {
    /// Changes the stored tokens, and gives the revision of the commit.
    async fn patch_tokens(
        &self,
        context: &CallContext,
        patch: &serde_json::Value,
        reason: String,
    ) -> Result<u64, Status> {
        let change = Change {
            id: reserved(TOKENS),
            key: LayerKey::base(Scope::global()),
            ttl: None,
            action: Action::MergePatch(Text { content: patch.to_string(), format: TextFormat::Json }),
            expected: None,
            field: "token".to_owned(),
        };
        request::reason("reason", &reason)?;
        let options = WriteOptions { reason, ..Default::default() };
        let write = self.allow_write(context, &options, Intent::Changes(vec![change]))?;
        Ok(self.write(context, write, Source::Apply, options, None).await?.revision.0)
    }
}

/// Fails for who is no administrator.
fn administrates(access: &Access) -> Result<(), Status> {
    let namespace = reserved(TOKENS).namespace;
    access.permit(Verb::Admin, Resource::Namespace(namespace))?;
    Ok(())
}

fn subject_named(field: &str, subject: Result<Subject, crate::auth::SubjectError>) -> Result<Subject, Error> {
    subject.map_err(|error| match error.suggestion() {
        suggestion if suggestion.is_empty() => request::invalid(field, error.to_string()),
        suggestion => request::invalid(field, format!("{error}; {suggestion}")),
    })
}

fn groups_named(names: &[String]) -> Result<Vec<Group>, Error> {
    let group = |(at, name): (usize, &String)| {
        Group::parse(name).map_err(|error| request::invalid(format_args!("groups[{at}]"), error.to_string()))
    };
    names.iter().enumerate().map(group).collect()
}

fn names(groups: &[Group]) -> Vec<String> {
    groups.iter().map(|group| group.as_str().to_owned()).collect()
}

/// After which token a page begins.
fn place(cursor: &str) -> Result<(Timestamp, TokenId), Error> {
    let read = || {
        let (created, id) = cursor.split_once(':')?;
        Some((Timestamp(created.parse().ok()?), TokenId::parse(id)?))
    };
    read().ok_or_else(|| request::invalid("page_token", "is damaged"))
}

fn token_message(listed: &Listed<'_>) -> ApiToken {
    let record = listed.record;
    ApiToken {
        id: listed.id.to_string(),
        name: record.name.clone(),
        subject: record.principal.subject().to_string(),
        groups: names(record.principal.groups()),
        create_time: Some(time_message(record.created)),
        expire_time: record.expires.map(time_message),
        revoke_time: record.revoked.map(time_message),
        last_use_time: listed.last_use.map(time_message),
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
