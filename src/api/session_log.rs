//! Records logins, logouts and sessions that were ended in the audit log. Knows sessions; no transport.

use std::net::IpAddr;

use super::context::CallContext;
use super::guard::sessions::LoggedIn;
use crate::audit::{Entry, Kind, Place, Recorder};
use crate::auth::Credential;
use crate::auth::session::Listed;
use crate::auth::token::TokenId;

/// The request of a person who logs in or out.
pub struct Origin<'a> {
    pub address: Option<IpAddr>,
    /// The path of the request.
    pub path: &'a str,
    /// As the client named its call.
    pub request_id: &'a str,
}

/// Records a login, and the sessions that it has ended.
pub fn logged_in(recorder: &Recorder, from: &Origin<'_>, login: &LoggedIn) {
    let credential = credential(login.id);
    let entry = |outcome| entry(from, &login.actor, &credential, outcome);
    recorder.record_detailed(&entry("LOGGED_IN"), &format!("session {} by {}", login.id, login.origin));
    for replaced in &login.replaced {
        let detail = format!("session {replaced}, since the actor has too many");
        recorder.record_detailed(&entry("REPLACED"), &detail);
    }
}

/// Records a logout.
pub fn logged_out(recorder: &Recorder, from: &Origin<'_>, ended: &Listed) {
    let actor = ended.record.principal.subject().as_str();
    let detail = format!("session {} by {}", ended.id, ended.record.origin);
    recorder.record_detailed(&entry(from, actor, &credential(ended.id), "LOGGED_OUT"), &detail);
}

/// Records a session that a caller has ended by its id.
pub fn revoked(recorder: &Recorder, context: &CallContext, ended: &Listed, reason: &str) {
    let from =
        Origin { address: context.address(), path: context.method(), request_id: context.request_id() };
    let caller = context.caller();
    let detail =
        format!("session {} of {} by {}", ended.id, ended.record.principal.subject(), ended.record.origin);
    let entry = Entry { reason, ..entry(&from, caller.actor(), caller.credential(), "REVOKED") };
    recorder.record_detailed(&entry, &detail);
}

fn credential(id: TokenId) -> Credential {
    Credential::Session { id: id.to_string() }
}

fn entry<'a>(from: &Origin<'a>, actor: &'a str, credential: &'a Credential, outcome: &'a str) -> Entry<'a> {
    Entry {
        kind: Kind::Session,
        actor,
        credential,
        address: from.address,
        method: from.path,
        verb: "",
        place: Place::default(),
        outcome,
        request_id: from.request_id,
        reason: "",
    }
}
