//! The claims of a verified token: audience, lifetime and names. Knows no signature.

use std::time::Duration;

use serde_json::Value;

use super::{Claim, JwtError, JwtSettings};
use crate::auth::{Group, Principal, Subject, SubjectKind};
use crate::model::Timestamp;

/// The claims that are kept.
#[derive(Debug)]
pub(super) struct Claims {
    pub principal: Principal,
    pub validity: Validity,
}

/// From when until when a token holds, leeway included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub from: Option<Timestamp>,
    pub until: Timestamp,
    /// The time of `iat`.
    pub issued: Option<Timestamp>,
    pub lifetime_max: Duration,
}

impl Claims {
    /// `audiences`: one of them must be in `aud`.
    pub fn read(claims: &Value, audiences: &[String], settings: &JwtSettings) -> Result<Claims, JwtError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&*settings.issuer) {
            return Err(JwtError::Issuer);
        }
        let is_ours = |audience: &Value| {
            audience.as_str().is_some_and(|audience| audiences.iter().any(|ours| ours == audience))
        };
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if !is_for_us {
            return Err(JwtError::Audience);
        }
        let validity = Validity {
            from: time(claims, "nbf")?.map(|from| from.minus(settings.leeway)),
            until: time(claims, "exp")?.ok_or(JwtError::Claim("exp".to_owned()))?.plus(settings.leeway),
            issued: time(claims, "iat")?,
            lifetime_max: settings.lifetime_max.saturating_add(settings.leeway),
        };
        Ok(Claims { principal: principal(claims, settings)?, validity })
    }
}

impl Validity {
    pub fn check(&self, now: Timestamp) -> Result<(), JwtError> {
        if self.until <= now {
            return Err(JwtError::Expired);
        }
        // A token that claims to be issued in the future would be valid for longer than the limit.
        let issued = self.issued.map_or(now, |issued| issued.min(now));
        if issued.plus(self.lifetime_max) < self.until {
            return Err(JwtError::LifetimeTooLong);
        }
        match self.from.is_some_and(|from| now < from) {
            true => Err(JwtError::NotYet),
            false => Ok(()),
        }
    }
}

fn principal(claims: &Value, settings: &JwtSettings) -> Result<Principal, JwtError> {
    let wrong = |claim: &Claim| JwtError::Claim(claim.to_string());
    let name = settings.subject_claim.find(claims).and_then(Value::as_str);
    // A name must be valid by itself, without its prefix.
    let prefixed = |name: &str| Group::parse(name).is_ok().then(|| format!("{}{name}", settings.prefix));
    let subject = name.and_then(prefixed).and_then(|name| Subject::new(SubjectKind::User, &name).ok());
    let subject = subject.ok_or_else(|| wrong(&settings.subject_claim))?;
    let mut groups = vec![];
    for claim in &settings.group_claims {
        let found = match claim.find(claims) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(found)) => found.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        for group in found {
            let group = group.as_str().and_then(prefixed).and_then(|name| Group::parse(&name).ok());
            groups.push(group.ok_or_else(|| wrong(claim))?);
        }
    }
    groups.sort();
    groups.dedup();
    Principal::new(subject, groups).map_err(|_| JwtError::TooManyGroups)
}

/// A NumericDate: seconds since the epoch, possibly with a fraction.
fn time(claims: &Value, name: &str) -> Result<Option<Timestamp>, JwtError> {
    let seconds = match claims.get(name) {
        None => return Ok(None),
        Some(Value::Number(seconds)) => seconds,
        Some(_) => return Err(JwtError::Claim(name.to_owned())),
    };
    let micros = match (seconds.as_i64(), seconds.as_f64()) {
        (Some(seconds), _) => seconds.saturating_mul(1_000_000),
        // A time that is too large to represent is the latest one.
        (None, Some(seconds)) => (seconds * 1e6) as i64,
        (None, None) => return Err(JwtError::Claim(name.to_owned())),
    };
    Ok(Some(Timestamp(micros)))
}
