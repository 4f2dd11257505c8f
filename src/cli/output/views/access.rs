//! Callers, tokens and decisions. Knows the wire only.

use serde::Serialize;

use super::time;
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct WhoAmIView {
    pub actor: String,
    pub groups: Vec<String>,
    pub credential_kind: &'static str,
    pub credential: String,
    pub expire_time: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TokenView {
    pub id: String,
    pub name: String,
    pub subject: String,
    pub groups: Vec<String>,
    pub create_time: Option<String>,
    pub expire_time: Option<String>,
    pub revoke_time: Option<String>,
    pub last_use_time: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TokensView {
    pub tokens: Vec<TokenView>,
}

/// With the token itself.
#[derive(Serialize)]
pub struct MadeTokenView {
    pub token: String,
    pub info: Option<TokenView>,
    pub store_revision: u64,
    pub has_no_permission: bool,
}

#[derive(Debug, Serialize)]
pub struct RevokedTokenView {
    pub info: Option<TokenView>,
    pub changed: bool,
    pub store_revision: u64,
}

#[derive(Debug, Serialize)]
pub struct CanIView {
    pub allowed: bool,
    pub explanation: String,
    pub needs: String,
    pub bindings: Vec<BindingView>,
}

#[derive(Debug, Serialize)]
pub struct BindingView {
    pub index: u32,
    pub role: String,
    pub text: String,
    pub subjects: Vec<String>,
    pub lacks: Vec<&'static str>,
}

impl From<&v1::WhoAmIResponse> for WhoAmIView {
    fn from(response: &v1::WhoAmIResponse) -> WhoAmIView {
        WhoAmIView {
            actor: response.actor.clone(),
            groups: response.groups.clone(),
            credential_kind: response.credential_kind().as_str_name(),
            credential: response.credential.clone(),
            expire_time: time(response.expire_time.as_ref()),
        }
    }
}

impl From<&v1::ApiToken> for TokenView {
    fn from(token: &v1::ApiToken) -> TokenView {
        TokenView {
            id: token.id.clone(),
            name: token.name.clone(),
            subject: token.subject.clone(),
            groups: token.groups.clone(),
            create_time: time(token.create_time.as_ref()),
            expire_time: time(token.expire_time.as_ref()),
            revoke_time: time(token.revoke_time.as_ref()),
            last_use_time: time(token.last_use_time.as_ref()),
        }
    }
}

impl From<&v1::CreateTokenResponse> for MadeTokenView {
    fn from(response: &v1::CreateTokenResponse) -> MadeTokenView {
        let v1::CreateTokenResponse { token, info, store_revision, has_no_permission } = response;
        let info = info.as_ref().map(TokenView::from);
        MadeTokenView {
            token: token.clone(),
            info,
            store_revision: *store_revision,
            has_no_permission: *has_no_permission,
        }
    }
}

impl From<&v1::RevokeTokenResponse> for RevokedTokenView {
    fn from(response: &v1::RevokeTokenResponse) -> RevokedTokenView {
        let v1::RevokeTokenResponse { info, changed, store_revision } = response;
        let info = info.as_ref().map(TokenView::from);
        RevokedTokenView { info, changed: *changed, store_revision: *store_revision }
    }
}

impl From<&v1::CanIResponse> for CanIView {
    fn from(response: &v1::CanIResponse) -> CanIView {
        let binding = |binding: &v1::PolicyBinding| BindingView {
            index: binding.index,
            role: binding.role.clone(),
            text: binding.text.clone(),
            subjects: binding.subjects.clone(),
            lacks: binding.lacks().map(|lack| lack.as_str_name()).collect(),
        };
        CanIView {
            allowed: response.allowed,
            explanation: response.explanation.clone(),
            needs: response.needs.clone(),
            bindings: response.bindings.iter().map(binding).collect(),
        }
    }
}
