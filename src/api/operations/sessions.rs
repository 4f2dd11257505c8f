//! ListSessions and RevokeSession: the sessions of people who have logged in. Knows the guard; no cookie.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::time_message;
use crate::api::error::{ApiError, session_not_found};
use crate::api::session_log;
use crate::auth::session::Listed;
use crate::auth::token::TokenId;
use crate::auth::{Credential, Subject};
use crate::proto::v1::*;

use super::newest_first::Position;
use super::tokens::{administrates, subject_named};
use super::{Operations, page};

impl Operations {
    pub async fn list_sessions(
        &self,
        access: &CallContext,
        mut request: ListSessionsRequest,
    ) -> Result<ListSessionsResponse, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(access.rpc(), &request);
        let after = page::cursor(&binding, self.engine.epoch(), &page_token)?
            .map(|cursor| Position::parse(&cursor))
            .transpose()?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let own = access.caller().actor();
        let actor = match (request.all, request.actor.as_str()) {
            (true, "") => None,
            (true, _) => return Err(request::invalid("actor", "must not be set with all").into()),
            (false, "") => Some(own),
            (false, actor) => {
                subject_named("actor", Subject::parse(actor))?;
                Some(actor)
            }
        };
        if actor != Some(own) {
            administrates(access)?;
        }
        let now = self.engine.now();
        let listed = self.guard.sessions().map(|kept| kept.sessions().list(actor, now)).unwrap_or_default();
        let is_after = |listed: &&Listed| {
            after.is_none_or(|after| Position::new(listed.record.created, listed.id) > after)
        };
        let mut left = listed.iter().filter(is_after).peekable();
        let found: Vec<&Listed> = left.by_ref().take(size).collect();
        let next_page_token = match (left.peek(), found.last()) {
            (Some(_), Some(last)) => {
                let position = Position::new(last.record.created, last.id);
                page::token(&binding, self.engine.epoch(), &position.to_string())
            }
            (Some(_) | None, _) => String::new(),
        };
        let sessions = found.into_iter().map(|listed| message(listed, access)).collect();
        Ok(ListSessionsResponse { sessions, next_page_token })
    }

    pub async fn revoke_session(
        &self,
        access: &CallContext,
        RevokeSessionRequest { id, reason }: RevokeSessionRequest,
    ) -> Result<RevokeSessionResponse, ApiError> {
        // Nothing of it is repeated: it may be a whole secret.
        let id = TokenId::parse(&id)
            .ok_or_else(|| request::invalid("id", "is not the id of a session: 12 characters"))?;
        request::reason("reason", &reason)?;
        let kept = self.guard.sessions();
        let own = access.caller().actor();
        let own = kept.map(|kept| kept.sessions().list(Some(own), self.engine.now())).unwrap_or_default();
        if !own.iter().any(|listed| listed.id == id) {
            administrates(access)?;
        }
        let kept = kept.ok_or_else(|| session_not_found(id))?;
        let ended = kept.end(id).await?.ok_or_else(|| session_not_found(id))?;
        session_log::revoked(&self.recorder, access, &ended, &reason);
        Ok(RevokeSessionResponse { session: Some(message(&ended, access)) })
    }
}

fn message(listed: &Listed, access: &CallContext) -> Session {
    let Listed { id, record, ends } = listed;
    let of_call = Credential::Session { id: id.to_string() };
    Session {
        id: id.to_string(),
        actor: record.principal.subject().to_string(),
        origin: record.origin.to_string(),
        create_time: Some(time_message(record.created)),
        last_use_time: Some(time_message(record.used)),
        expire_time: Some(time_message(*ends)),
        address: record.address.clone(),
        client: record.client.clone(),
        is_current: *access.caller().credential() == of_call,
    }
}
