//! An authenticated caller. Knows neither requests nor credentials.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::policy::{Grants, Policy};
use super::{Principal, Subject, SubjectError, SubjectKind};
use crate::model::Timestamp;

/// The bytes of a fingerprint that are shown.
const FINGERPRINT_BYTES_SHOWN: usize = 8;

/// A caller who was authenticated, or need not be. Holds nothing secret.
pub struct Caller {
    actor: Arc<str>,
    principal: Principal,
    credential: Credential,
    expires: Option<Timestamp>,
    /// The grants of the last policy that was checked: policies change seldom, and every call needs the grants.
    grants: ArcSwapOption<Grants>,
}

/// The credential of a caller. Safe to show and to log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// None: the server does not authenticate callers.
    Unverified,
    /// The API token with this id.
    Token { id: String },
    /// A JSON web token. `key` is the name of the issuer's key that signed it, if it has one, and `thumbprint` the SHA-256 of that key: its
    /// name may be given to another.
    Jwt { issuer: Arc<str>, subject: String, key: Option<String>, thumbprint: [u8; 32] },
    /// A client certificate, by the first bytes of its SHA-256, in hex.
    Certificate { fingerprint: String },
    /// The session with this id, of a person who has logged in.
    Session { id: String },
}

/// The actor of writes that the server makes by itself.
pub const SYSTEM: &str = "system";

/// Whether only an authenticated caller, or the server itself, has a name of this form.
fn is_verified_form(actor: &str) -> bool {
    let kind = actor.split_once(':').map_or("", |(kind, _)| kind.trim());
    let kinds = ["user", "token", "certificate", "group"];
    kinds.iter().any(|known| kind.eq_ignore_ascii_case(known)) || actor.eq_ignore_ascii_case(SYSTEM)
}

impl Caller {
    pub(super) fn new(
        principal: Principal,
        credential: Credential,
        expires: Option<Timestamp>,
    ) -> Arc<Caller> {
        let actor = principal.subject().shared_text();
        Arc::new(Caller { actor, principal, credential, expires, grants: ArcSwapOption::empty() })
    }

    /// A caller of a server with `--auth off`, which does not verify names. History shows the claimed name without a kind: a verified `user:alice` differs
    /// from a claimed `alice`. A claimed name that has a kind, or is the name of the server, is shown as `claimed:user:alice`.
    pub fn unverified(actor: &str) -> Result<Arc<Caller>, SubjectError> {
        let principal = Principal::new(Subject::new(SubjectKind::User, actor)?, vec![])?;
        let (credential, expires, grants) = (Credential::Unverified, None, ArcSwapOption::empty());
        let actor = match is_verified_form(actor) {
            true => format!("claimed:{actor}").into(),
            false => actor.into(),
        };
        Ok(Arc::new(Caller { actor, principal, credential, expires, grants }))
    }

    /// The name of the caller in the history: `user:alice`.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The same, to be kept.
    pub fn shared_actor(&self) -> &Arc<str> {
        &self.actor
    }

    /// The principal that a policy sees.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// When the credential ends, any leeway for clocks included. From then on streams of the caller are UNAUTHENTICATED.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The permissions of the caller. Searches the policy at the first call only.
    pub fn grants(&self, policy: &Policy) -> Arc<Grants> {
        let known = self.grants.load();
        if let Some(known) = known.as_ref().filter(|known| known.are_of(policy)) {
            return known.clone();
        }
        let grants = Arc::new(policy.grants_of(&self.principal));
        self.grants.store(Some(grants.clone()));
        grants
    }
}

impl Credential {
    pub fn of_certificate(fingerprint: &[u8; 32]) -> Credential {
        Credential::Certificate { fingerprint: hex::encode(&fingerprint[..FINGERPRINT_BYTES_SHOWN]) }
    }

    /// The kind alone, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Credential::Unverified => "none",
            Credential::Token { .. } => "token",
            Credential::Jwt { .. } => "jwt",
            Credential::Certificate { .. } => "certificate",
            Credential::Session { .. } => "session",
        }
    }
}

/// `token:8k2m4n6p8q0r`, `jwt:https://issuer.example#alice`.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Unverified => f.write_str("none"),
            Credential::Token { id } => write!(f, "token:{id}"),
            Credential::Jwt { issuer, subject, key: _, thumbprint: _ } => write!(f, "jwt:{issuer}#{subject}"),
            Credential::Certificate { fingerprint } => write!(f, "certificate:{fingerprint}"),
            Credential::Session { id } => write!(f, "session:{id}"),
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("actor", &self.actor)
            .field("groups", &self.principal.groups())
            .field("credential", &self.credential)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_never_looks_like_a_verified_actor() {
        for (claim, shown) in [
            ("alice", "alice"),
            ("alice: on call", "alice: on call"),
            ("user:admin", "claimed:user:admin"),
            ("User :admin", "claimed:User :admin"),
            ("token:ci", "claimed:token:ci"),
            ("certificate:spiffe://a/b", "claimed:certificate:spiffe://a/b"),
            ("system", "claimed:system"),
        ] {
            assert_eq!(Caller::unverified(claim).expect("a name").actor(), shown);
        }
    }
}
