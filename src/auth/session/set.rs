//! All sessions of a server, in memory. Knows no clock and no file: the time is an argument, and the bytes to store are a result.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::record::{SessionRecord, StoredRecord, client_text};
use super::{LoginOrigin, NewSession, PREFIX, SessionError, SessionTimes};
use crate::auth::token::text::{self, RANDOM_BYTES};
use crate::auth::token::{TokenId, TokenSet};
use crate::auth::{Caller, Credential, Principal};
use crate::model::{Epoch, Timestamp};

/// The most sessions, in units of a session without groups.
const WEIGHT_MAX: usize = 10_000;
/// The most sessions of one actor. A login beyond ends the one that was used least recently.
const OF_ACTOR_MAX: usize = 50;
/// The most room for sessions of one actor, in the same units.
const OF_ACTOR_WEIGHT_MAX: usize = 500;
/// Uses are noted once in this part of the idle time: a minute of 12 hours.
const NOTED_PART: u32 = 720;
const FORMAT: u32 = 1;

/// The sessions, and for how long they are good.
#[derive(Debug)]
pub struct Sessions {
    times: SessionTimes,
    /// Guards all sessions.
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<TokenId, Entry>,
    weight: usize,
    /// How often anything has changed that is stored.
    changes: u64,
}

#[derive(Debug)]
struct Entry {
    record: SessionRecord,
    /// The caller of the last call, whose permissions are known.
    caller: Option<Arc<Caller>>,
}

/// A session as its owner and administrators see it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub id: TokenId,
    pub record: SessionRecord,
    /// When the session ends, if nobody uses it until then.
    pub ends: Timestamp,
}

/// No session is opened: there are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are too many sessions on this server")]
pub struct SessionsFull;

#[derive(Deserialize, Serialize)]
struct Stored {
    format: u32,
    epoch: String,
    sessions: BTreeMap<String, StoredRecord>,
}

impl Sessions {
    pub fn new(times: SessionTimes) -> Sessions {
        Sessions { times, table: Mutex::default() }
    }

    /// The session of a secret, unverified.
    pub fn shown(text: &str) -> Option<Credential> {
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        TokenId::parse(id).map(|id| Credential::Session { id: id.to_string() })
    }

    /// The stored sessions of the store with this epoch, without those that have expired. `None`: the bytes cannot be read.
    pub fn read(bytes: &[u8], epoch: Epoch, times: SessionTimes, now: Timestamp) -> Option<Sessions> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        let sessions = Sessions::new(times);
        if stored.format != FORMAT {
            return None;
        }
        if stored.epoch != epoch.to_string() {
            return Some(sessions);
        }
        let mut table = sessions.table();
        for (id, record) in stored.sessions {
            let (id, record) = (TokenId::parse(&id)?, SessionRecord::read(record)?);
            if now < ends(times, &record) {
                table.weight += record.weight();
                table.sessions.insert(id, Entry { record, caller: None });
            }
        }
        drop(table);
        Some(sessions)
    }

    /// How often anything has changed that is stored, and the bytes to store.
    pub fn to_bytes(&self, epoch: Epoch) -> (u64, Vec<u8>) {
        let table = self.table();
        let stored = |(id, entry): (&TokenId, &Entry)| Some((id.to_string(), entry.record.stored()?));
        let sessions = table.sessions.iter().filter_map(stored).collect();
        let stored = Stored { format: FORMAT, epoch: epoch.to_string(), sessions };
        (table.changes, serde_json::to_vec(&stored).expect("texts can be written"))
    }

    pub fn times(&self) -> SessionTimes {
        self.times
    }

    /// How often anything has changed that is stored.
    pub fn changes(&self) -> u64 {
        self.table().changes
    }

    /// Opens a session. Sessions that have expired or whose API token is no longer good make room.
    pub fn open(
        &self,
        random: &Zeroizing<[u8; RANDOM_BYTES]>,
        principal: Principal,
        origin: LoginOrigin,
        (address, client): (String, &str),
        tokens: &TokenSet,
        now: Timestamp,
    ) -> Result<NewSession, SessionsFull> {
        let (presented, text) = text::make(PREFIX, random);
        let (id, hash) = (presented.id, presented.secret.hash());
        let client = client_text(client);
        let record = SessionRecord { hash, principal, origin, created: now, used: now, address, client };
        let mut table = self.table();
        let is_over = |entry: &Entry| {
            let of_token = match &entry.record.origin {
                LoginOrigin::Token(id) => tokens.bearer(*id, now).is_err(),
                LoginOrigin::Issuer { .. } => false,
            };
            of_token || ends(self.times, &entry.record) <= now
        };
        let over: Vec<TokenId> =
            table.sessions.iter().filter(|(_, entry)| is_over(entry)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| _ = table.remove(id));
        let ended = table.make_room_of_actor(&record);
        if table.weight + record.weight() > WEIGHT_MAX {
            return Err(SessionsFull);
        }
        let ends = ends(self.times, &record);
        table.weight += record.weight();
        table.changes += 1;
        table.sessions.insert(id, Entry { record, caller: None });
        Ok(NewSession { id, text, ends, ended })
    }

    /// The caller of a session, if the session is good now. `issuer`: whose logins the server accepts. The use is noted.
    pub fn authenticate(
        &self,
        text: &str,
        tokens: &TokenSet,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Caller>, SessionError> {
        let presented = text::parse(PREFIX, text).map_err(|_| SessionError::Malformed)?;
        let mut table = self.table();
        let entry = table.sessions.get_mut(&presented.id).ok_or(SessionError::Unknown)?;
        let is_right: bool = entry.record.hash.ct_eq(&presented.secret.hash()).into();
        if !is_right {
            return Err(SessionError::Unknown);
        }
        entry.check(self.times, issuer, now)?;
        let is_noted = entry.record.used.until(now) >= self.times.idle / NOTED_PART;
        if is_noted {
            entry.record.used = now;
        }
        let caller = entry.caller(presented.id, self.times, tokens, now);
        table.changes += u64::from(is_noted);
        caller
    }

    /// Checks a session again, for streams that were opened with it. Gives the current caller of the session.
    pub fn recheck(
        &self,
        caller: &Caller,
        tokens: &TokenSet,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Caller>, SessionError> {
        let Credential::Session { id } = caller.credential() else { return Err(SessionError::Unknown) };
        let id = TokenId::parse(id).ok_or(SessionError::Unknown)?;
        let mut table = self.table();
        let entry = table.sessions.get_mut(&id).ok_or(SessionError::Ended)?;
        entry.check(self.times, issuer, now)?;
        entry.caller(id, self.times, tokens, now)
    }

    /// Ends a session. `None`: there is none with this id.
    pub fn end(&self, id: TokenId) -> Option<Listed> {
        let record = self.table().remove(id)?;
        Some(Listed { id, ends: ends(self.times, &record), record })
    }

    /// Ends the session with this secret. `None`: there is none.
    pub fn end_by_secret(&self, text: &str) -> Option<Listed> {
        let presented = text::parse(PREFIX, text).ok()?;
        let is_right = {
            let table = self.table();
            let record = &table.sessions.get(&presented.id)?.record;
            bool::from(record.hash.ct_eq(&presented.secret.hash()))
        };
        if is_right { self.end(presented.id) } else { None }
    }

    /// The sessions of an actor, or of all, the newest first; without those that have expired.
    pub fn list(&self, actor: Option<&str>, now: Timestamp) -> Vec<Listed> {
        let table = self.table();
        let is_of = |entry: &Entry| {
            actor.is_none_or(|actor| entry.record.principal.subject().as_str() == actor)
                && now < ends(self.times, &entry.record)
        };
        let found = table.sessions.iter().filter(|(_, entry)| is_of(entry));
        let listed = found.map(|(id, entry)| Listed {
            id: *id,
            record: entry.record.clone(),
            ends: ends(self.times, &entry.record),
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by_key(|listed| (std::cmp::Reverse(listed.record.created), listed.id));
        listed
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, id: TokenId) -> Option<SessionRecord> {
        let entry = self.sessions.remove(&id)?;
        self.weight -= entry.record.weight();
        self.changes += 1;
        Some(entry.record)
    }

    /// Ends sessions of the actor of a new one, those first that were used least recently.
    fn make_room_of_actor(&mut self, new: &SessionRecord) -> Vec<TokenId> {
        let actor = new.principal.subject();
        let of_actor = self.sessions.iter().filter(|(_, entry)| entry.record.principal.subject() == actor);
        let mut own: Vec<(Timestamp, TokenId, usize)> =
            of_actor.map(|(id, entry)| (entry.record.used, *id, entry.record.weight())).collect();
        own.sort_unstable_by_key(|(used, id, _)| (*used, *id));
        let mut weight: usize = own.iter().map(|(_, _, weight)| weight).sum();
        let (mut count, mut ended) = (own.len(), vec![]);
        for (_, id, of) in own {
            if count < OF_ACTOR_MAX && weight + new.weight() <= OF_ACTOR_WEIGHT_MAX {
                break;
            }
            (count, weight) = (count - 1, weight - of);
            self.remove(id);
            ended.push(id);
        }
        ended
    }
}

impl Entry {
    fn check(&self, times: SessionTimes, issuer: Option<&str>, now: Timestamp) -> Result<(), SessionError> {
        if !self.record.origin.is_of(issuer) {
            return Err(SessionError::OtherIssuer);
        }
        match ends(times, &self.record) <= now {
            true => Err(SessionError::Expired),
            false => Ok(()),
        }
    }

    /// Who calls by this session: the bearer of the API token as the token is now, or the person as of the login.
    fn caller(
        &mut self,
        id: TokenId,
        times: SessionTimes,
        tokens: &TokenSet,
        now: Timestamp,
    ) -> Result<Arc<Caller>, SessionError> {
        let mut end = ends(times, &self.record);
        let principal = match &self.record.origin {
            LoginOrigin::Issuer { .. } => &self.record.principal,
            LoginOrigin::Token(id) => {
                let (principal, expires) = tokens.bearer(*id, now).map_err(SessionError::Token)?;
                end = expires.map_or(end, |expires| end.min(expires));
                principal
            }
        };
        let known = self.caller.as_ref();
        let is_same = |known: &&Arc<Caller>| known.expires() == Some(end) && known.principal() == principal;
        if let Some(known) = known.filter(is_same) {
            return Ok(known.clone());
        }
        let caller = Caller::new(principal.clone(), Credential::Session { id: id.to_string() }, Some(end));
        self.caller = Some(caller.clone());
        Ok(caller)
    }
}

fn ends(times: SessionTimes, record: &SessionRecord) -> Timestamp {
    record.used.plus(times.idle).min(record.created.plus(times.lifetime))
}
