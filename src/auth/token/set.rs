//! All tokens, compiled for look-ups. Knows no clock: the time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use subtle::ConstantTimeEq;

use super::TokenError;
use super::record::TokenRecord;
use super::text::{PREFIX, TokenId, parse};
use crate::auth::problem::PROBLEMS_MAX;
use crate::auth::reader::{At, Reader};
use crate::auth::{Caller, Credential, Principal, Problem};
use crate::model::Timestamp;

/// The most tokens, revoked ones included.
pub const TOKENS_MAX: usize = 10_000;
/// Uses so soon after the last noted use are not noted: calls of one bearer on many processors would wait for each other.
const USE_NOTED_EVERY: Duration = Duration::from_secs(1);
/// No use yet.
const NEVER: i64 = i64::MIN;

/// The tokens as one document has them.
#[derive(Debug, Default)]
pub struct TokenSet {
    tokens: HashMap<TokenId, Token>,
}

#[derive(Debug)]
struct Token {
    record: TokenRecord,
    caller: Arc<Caller>,
    /// Microseconds of the epoch, or `NEVER`. Of this server only.
    last_use: Arc<AtomicI64>,
}

/// A token as administrators see it.
#[derive(Clone, Debug)]
pub struct Listed<'s> {
    pub id: TokenId,
    pub record: &'s TokenRecord,
    /// The last use on this server, within a second.
    pub last_use: Option<Timestamp>,
}

impl TokenSet {
    /// Reads `{"tokens": {ID: {...}}}`, or gives all problems of the document.
    pub fn parse(document: &Value) -> Result<TokenSet, Vec<Problem>> {
        let mut reader = Reader::default();
        let root = At::root(document);
        reader.object(&root, &["tokens"]);
        let members = root.member("tokens").map(|at| reader.members(&at, TOKENS_MAX)).unwrap_or_default();
        let mut tokens = HashMap::with_capacity(members.len());
        for (id, at) in members {
            let Some(id) = TokenId::parse(id) else {
                reader.wrong(&at.pointer, "12 characters of 0-9 and a-z without i, l, o and u expected", "");
                continue;
            };
            if let Some(record) = TokenRecord::read(&mut reader, &at) {
                tokens.insert(id, Token::new(id, record));
            }
        }
        reader.finish(TokenSet { tokens })
    }

    /// What is wrong with replacing an earlier set by this one at `now`: a token that was revoked stays revoked, and the record of a token
    /// stays until the token has expired. Otherwise a rollback, or a deletion and a rollback, would bring a revoked token back to life.
    pub fn problems_after(&self, before: &TokenSet, now: Timestamp) -> Vec<Problem> {
        let problem = |id: &TokenId, message: String| {
            Problem {
            pointer: format!("/tokens/{id}"),
            message,
            suggestion: "revoke tokens with `confwatch token revoke ID`, and make new ones with `confwatch token create`".to_owned(),
        }
        };
        let mut ids: Vec<&TokenId> = before.tokens.keys().collect();
        ids.sort();
        let wrong = ids.into_iter().filter_map(|id| {
            let was = &before.tokens[id].record;
            match self.tokens.get(id).map(|token| &token.record) {
                Some(is) if was.revoked.is_some() && is.revoked.is_none() => {
                    Some(problem(id, format!("token {id} was revoked, and a revoked token stays revoked")))
                }
                None if was.expires.is_none_or(|expires| expires > now) => Some(problem(
                    id,
                    format!("the record of token {id} would be removed before the token has expired"),
                )),
                Some(_) | None => None,
            }
        });
        let mut new: Vec<&TokenId> =
            self.tokens.keys().filter(|id| !before.tokens.contains_key(id)).collect();
        new.sort();
        let misnamed = new.into_iter().filter_map(|id| {
            let name = self.tokens[id].record.principal.name_of_issuer()?;
            Some(problem(
                id,
                format!("{name:?} has a #, as names from issuers of JSON web tokens have: a token cannot act under one"),
            ))
        });
        wrong.chain(misnamed).take(PROBLEMS_MAX).collect()
    }

    /// Takes over from an earlier set: last uses, and the callers of tokens that are the same.
    pub fn succeeding(mut self, previous: &TokenSet) -> TokenSet {
        for (id, token) in &mut self.tokens {
            let Some(known) = previous.tokens.get(id).filter(|known| known.record.hash == token.record.hash)
            else {
                continue;
            };
            token.last_use = known.last_use.clone();
            if known.record.principal == token.record.principal
                && known.record.expires == token.record.expires
            {
                token.caller = known.caller.clone();
            }
        }
        self
    }

    /// The caller of a token, if the token is valid now. The reason of a refusal is shown only to a caller who knows the secret.
    pub fn authenticate(&self, text: &str, now: Timestamp) -> Result<Arc<Caller>, TokenError> {
        let presented = parse(PREFIX, text)?;
        let token = self.tokens.get(&presented.id).ok_or(TokenError::Unknown)?;
        let is_right: bool = token.record.hash.ct_eq(&presented.secret.hash()).into();
        if !is_right {
            return Err(TokenError::Unknown);
        }
        token.check(now)?;
        token.note_use(now);
        Ok(token.caller.clone())
    }

    /// Checks a token again, for streams that were opened with it. Gives the current caller of the token.
    pub fn recheck(&self, caller: &Caller, now: Timestamp) -> Result<Arc<Caller>, TokenError> {
        let Credential::Token { id } = caller.credential() else { return Err(TokenError::Unknown) };
        let token = TokenId::parse(id).and_then(|id| self.tokens.get(&id)).ok_or(TokenError::Unknown)?;
        token.check(now)?;
        Ok(token.caller.clone())
    }

    /// Whose a token is and when it ends, if it is good now: for sessions that were opened with it.
    pub(in crate::auth) fn bearer(
        &self,
        id: TokenId,
        now: Timestamp,
    ) -> Result<(&Principal, Option<Timestamp>), TokenError> {
        let token = self.tokens.get(&id).ok_or(TokenError::Unknown)?;
        token.check(now)?;
        Ok((&token.record.principal, token.record.expires))
    }

    /// All tokens, the newest first.
    pub fn list(&self) -> Vec<Listed<'_>> {
        let mut listed: Vec<Listed<'_>> = self.tokens.iter().map(|(id, token)| token.listed(*id)).collect();
        listed.sort_by_key(|listed| (std::cmp::Reverse(listed.record.created), listed.id));
        listed
    }

    /// When each token was last used, as far as that is known, sorted by id.
    pub fn last_uses(&self) -> Vec<(TokenId, Timestamp)> {
        let used = self.tokens.iter().filter_map(|(id, token)| Some((*id, token.last_use()?)));
        let mut used: Vec<_> = used.collect();
        used.sort();
        used
    }

    /// Takes over earlier uses, unless newer ones are known.
    pub fn note_last_uses(&self, uses: &[(TokenId, Timestamp)]) {
        for (id, time) in uses {
            if let Some(token) = self.tokens.get(id) {
                token.last_use.fetch_max(time.0, Ordering::Relaxed);
            }
        }
    }

    /// The users and groups that tokens which are not revoked act for: `user:alice`, `group:sre`.
    pub fn names(&self) -> BTreeSet<String> {
        let good = self.tokens.values().map(|token| &token.record).filter(|record| record.revoked.is_none());
        let names = good.flat_map(|record| {
            let groups = record.principal.groups().iter().map(|group| format!("group:{group}"));
            std::iter::once(record.principal.subject().to_string()).chain(groups)
        });
        names.collect()
    }

    pub fn get(&self, id: TokenId) -> Option<Listed<'_>> {
        self.tokens.get(&id).map(|token| token.listed(id))
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

impl Token {
    fn new(id: TokenId, record: TokenRecord) -> Token {
        let credential = Credential::Token { id: id.to_string() };
        let caller = Caller::new(record.principal.clone(), credential, record.expires);
        Token { record, caller, last_use: Arc::new(AtomicI64::new(NEVER)) }
    }

    fn check(&self, now: Timestamp) -> Result<(), TokenError> {
        if self.record.revoked.is_some() {
            return Err(TokenError::Revoked);
        }
        match self.caller.is_expired(now) {
            true => Err(TokenError::Expired),
            false => Ok(()),
        }
    }

    fn note_use(&self, now: Timestamp) {
        let last = self.last_use.load(Ordering::Relaxed);
        if last == NEVER || Timestamp(last).until(now) >= USE_NOTED_EVERY {
            self.last_use.store(now.0, Ordering::Relaxed);
        }
    }

    fn last_use(&self) -> Option<Timestamp> {
        let last = self.last_use.load(Ordering::Relaxed);
        (last != NEVER).then_some(Timestamp(last))
    }

    fn listed(&self, id: TokenId) -> Listed<'_> {
        Listed { id, record: &self.record, last_use: self.last_use() }
    }
}
