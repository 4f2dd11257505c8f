//! CreateToken, ListTokens and RevokeToken. Tokens are a config of the server: a change of them is a commit like any other.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::time_message;
use crate::api::error::{ApiError, no_randomness, token_not_found};
use crate::auth::token::{self, Listed, NewToken, TokenId};
use crate::auth::{Access, Group, Principal, Subject, SubjectKind, Verb};
use crate::engine::{Action, Change, Error, Intent, Text};
use crate::model::text::Format as TextFormat;
use crate::model::{LayerKey, Namespace, Scope, Source, SystemConfig};
use crate::proto::v1::*;

use super::newest_first::Position;
use super::{Operations, page};

impl Operations {
    pub async fn create_token(
        &self,
        access: &CallContext,
        request: CreateTokenRequest,
    ) -> Result<CreateTokenResponse, ApiError> {
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
        administrates(access)?;
        let bearer = principal.clone();
        let random = token::random().map_err(|error| no_randomness(&error))?;
        let new = token::make(&random, &name, principal, now, expires)
            .map_err(|error| request::invalid("name", error.to_string()))?;
        let revision = self.patch_tokens(access, &token::patch_to_add(&new), reason).await?;
        let NewToken { id, text, record } = new;
        let granted = self.guard.ruling(&self.engine.state()).policy.grants_of(&bearer);
        Ok(CreateTokenResponse {
            token: text.to_string(),
            info: Some(token_message(&Listed { id, record: &record, last_use: None })),
            store_revision: revision,
            has_no_permission: !Verb::ALL.into_iter().any(|verb| granted.gives(verb)),
        })
    }

    pub async fn list_tokens(
        &self,
        access: &CallContext,
        mut request: ListTokensRequest,
    ) -> Result<ListTokensResponse, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(access.rpc(), &request);
        let after = page::cursor(&binding, self.engine.epoch(), &page_token)?
            .map(|cursor| Position::parse(&cursor))
            .transpose()?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        administrates(access)?;
        let state = self.engine.state();
        let (ruling, now) = (self.guard.ruling(&state), self.engine.now());
        let is_after = |listed: &Listed<'_>| {
            after.is_none_or(|after| Position::new(listed.record.created, listed.id) > after)
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
                let position = Position::new(last.record.created, last.id);
                page::token(&binding, self.engine.epoch(), &position.to_string())
            }
            (Some(_) | None, _) => String::new(),
        };
        Ok(ListTokensResponse {
            tokens: page.into_iter().map(token_message).collect(),
            next_page_token,
            store_revision: state.revision.0,
        })
    }

    pub async fn revoke_token(
        &self,
        access: &CallContext,
        RevokeTokenRequest { id, reason }: RevokeTokenRequest,
    ) -> Result<RevokeTokenResponse, ApiError> {
        // Nothing of it is repeated: it may be a whole token.
        let expected = "is not the id of a token: the 12 characters after cw_";
        let id = TokenId::parse(&id).ok_or_else(|| request::invalid("id", expected))?;
        administrates(access)?;
        let state = self.engine.state();
        let ruling = self.guard.ruling(&state);
        let known = ruling.tokens.get(id).ok_or_else(|| token_not_found(id))?;
        if known.record.revoked.is_some() {
            let info = Some(token_message(&known));
            let store_revision = state.revision.0;
            return Ok(RevokeTokenResponse { info, changed: false, store_revision });
        }
        let patch = token::patch_to_revoke(id, self.engine.now());
        let store_revision = self.patch_tokens(access, &patch, reason).await?;
        let ruling = self.guard.ruling(&self.engine.state());
        let info = ruling.tokens.get(id).as_ref().map(token_message);
        Ok(RevokeTokenResponse { info, changed: true, store_revision })
    }
}

impl Operations {
    /// Changes the stored tokens, and gives the revision of the commit.
    async fn patch_tokens(
        &self,
        context: &CallContext,
        patch: &serde_json::Value,
        reason: String,
    ) -> Result<u64, ApiError> {
        let change = Change {
            id: SystemConfig::Tokens.id().clone(),
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
pub(super) fn administrates(access: &Access) -> Result<(), ApiError> {
    access.permit(Verb::Admin, crate::auth::Resource::Namespace(Namespace::reserved().clone()))?;
    Ok(())
}

pub(super) fn subject_named(
    field: &str,
    subject: Result<Subject, crate::auth::SubjectError>,
) -> Result<Subject, Error> {
    subject.map_err(|error| match error.suggestion() {
        suggestion if suggestion.is_empty() => request::invalid(field, error.to_string()),
        suggestion => request::invalid(field, format!("{error}; {suggestion}")),
    })
}

pub(super) fn groups_named(names: &[String]) -> Result<Vec<Group>, Error> {
    let group = |(at, name): (usize, &String)| {
        Group::parse(name).map_err(|error| request::invalid(format_args!("groups[{at}]"), error.to_string()))
    };
    names.iter().enumerate().map(group).collect()
}

pub(super) fn names(groups: &[Group]) -> Vec<String> {
    groups.iter().map(|group| group.as_str().to_owned()).collect()
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
