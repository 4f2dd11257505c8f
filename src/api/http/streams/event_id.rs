//! Ids of the events of a watch: how far the client got and what it holds, so that a stream that is opened again with the id as `Last-Event-ID`
//! resends nothing. Knows the messages of Watch; no framing.
//!
//! An id is the resume token, and after it `;INDEX=DIGEST` for each document that the client holds, of the target with this index in the request, or
//! `;INDEX/CONFIG=DIGEST` of a target `*`. Digests are the 32 bytes of SHA-256 in base64url. A client with more documents or targets than `HELD_MAX` gets ids of the token
//! alone.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{ConfigName, Scope};
use crate::proto::v1;

/// An id has at most so many digests.
pub const HELD_MAX: usize = 32;
const DIGEST_PREFIX: &str = "sha256:";
const DIGEST_BYTES: usize = 32;
const EVERY_CONFIG: &str = "*";

/// A document that a client holds: the index of the target in the request, and of a target `*` the config.
type Place = (usize, Option<String>);

/// What the client of a stream holds.
pub struct Held {
    /// Empty: ids have no digests.
    targets: Vec<Watched>,
    digests: BTreeMap<Place, [u8; DIGEST_BYTES]>,
    /// What was held before a snapshot whose parts are being sent.
    before_snapshot: Option<BTreeMap<Place, [u8; DIGEST_BYTES]>>,
}

/// What a response says of a target.
#[derive(PartialEq, Eq)]
struct Watched {
    namespace: String,
    config: String,
    scope: String,
    view: i32,
    format: i32,
}

impl Held {
    /// Of the client of a stream with these targets, which says itself what it holds.
    pub fn new(request: &v1::WatchRequest) -> Held {
        let mut digests = BTreeMap::new();
        let named = if request.targets.len() > HELD_MAX { &[] } else { &*request.targets };
        let targets: Vec<Watched> = named.iter().map(Watched::of).collect();
        for (index, target) in named.iter().enumerate() {
            let single = (!target.if_none_match.is_empty()).then_some((None, &target.if_none_match));
            let of_all = target.held.iter().map(|(config, digest)| (Some(config.clone()), digest));
            for (config, digest) in single.into_iter().chain(of_all) {
                digests.extend(bytes_of(digest).map(|digest| ((index, config), digest)));
            }
        }
        let mut held = Held { targets, digests, before_snapshot: None };
        held.forget_too_many();
        held
    }

    /// Takes a message that the client is sent, and gives its id. `None`: further parts follow, and a client that has not all of them holds nothing new.
    pub fn take(&mut self, message: &v1::WatchResponse) -> Option<String> {
        use v1::watch_response::Event;
        let more = match &message.event {
            Some(Event::Snapshot(snapshot)) => {
                // A snapshot names all that the client holds.
                let digests = &mut self.digests;
                let before = self.before_snapshot.take().unwrap_or_else(|| std::mem::take(digests));
                self.put(&snapshot.states, &before);
                self.before_snapshot = snapshot.more.then_some(before);
                snapshot.more
            }
            Some(Event::Update(update)) => {
                self.put(&update.states, &BTreeMap::new());
                update.more
            }
            Some(Event::Progress(_)) | None => false,
        };
        self.forget_too_many();
        (!more).then(|| self.id(&message.resume_token))
    }

    fn put(&mut self, states: &[v1::TargetState], before: &BTreeMap<Place, [u8; DIGEST_BYTES]>) {
        for state in states {
            let Some(place) = state.target.as_ref().and_then(|target| self.place(target)) else { continue };
            let digest = match state.state() {
                v1::State::Present => state.document.as_ref().and_then(|document| bytes_of(&document.digest)),
                v1::State::Current => before.get(&place).copied(),
                v1::State::Absent | v1::State::Unspecified => None,
            };
            match digest {
                Some(digest) => _ = self.digests.insert(place, digest),
                None => _ = self.digests.remove(&place),
            }
        }
    }

    /// A stream with more documents than an id has room for keeps none of their digests, now and later.
    fn forget_too_many(&mut self) {
        if self.digests.len() > HELD_MAX {
            *self = Held { targets: vec![], digests: BTreeMap::new(), before_snapshot: None };
        }
    }

    fn place(&self, target: &v1::WatchTarget) -> Option<Place> {
        let watched = Watched::of(target);
        let single = self.targets.iter().position(|of| *of == watched).map(|index| (index, None));
        let of_all = || {
            let every = Watched { config: EVERY_CONFIG.to_owned(), ..Watched::of(target) };
            let index = self.targets.iter().position(|of| *of == every)?;
            Some((index, Some(watched.config)))
        };
        single.or_else(of_all)
    }

    fn id(&self, token: &str) -> String {
        let mut id = token.to_owned();
        for ((index, config), digest) in &self.digests {
            id.push_str(&format!(";{index}"));
            if let Some(config) = config {
                id.push('/');
                id.push_str(config);
            }
            id.push('=');
            URL_SAFE_NO_PAD.encode_string(digest, &mut id);
        }
        id
    }
}

impl Watched {
    /// In normal form, as responses have it.
    fn of(target: &v1::WatchTarget) -> Watched {
        let scope =
            Scope::parse(&target.scope).map_or_else(|_| target.scope.clone(), |scope| scope.to_string());
        let view = match target.view() {
            v1::View::Unspecified => v1::View::Effective,
            view => view,
        };
        let format = match target.format() {
            v1::Format::Unspecified => v1::Format::Json,
            format => format,
        };
        let (namespace, config) = (target.namespace.clone(), target.config.clone());
        Watched { namespace, config, scope, view: view.into(), format: format.into() }
    }
}

/// Lets a request resume after the event with this id. What cannot be read of it is left out: the client is sent more than it needs.
pub fn resume(request: &mut v1::WatchRequest, id: &str) {
    let mut parts = id.split(';');
    request.resume_token = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((place, digest)) = part.split_once('=') else { continue };
        let (index, config) =
            place.split_once('/').map_or((place, None), |(index, config)| (index, Some(config)));
        let target = index.parse().ok().and_then(|index: usize| request.targets.get_mut(index));
        let (Some(target), Some(digest)) = (target, text_of(digest)) else { continue };
        match config {
            Some(config) if target.config == EVERY_CONFIG && ConfigName::parse(config).is_ok() => {
                target.held.insert(config.to_owned(), digest);
            }
            None if target.config != EVERY_CONFIG => target.if_none_match = digest,
            Some(_) | None => {}
        }
    }
}

fn bytes_of(digest: &str) -> Option<[u8; DIGEST_BYTES]> {
    let mut bytes = [0; DIGEST_BYTES];
    hex::decode_to_slice(digest.strip_prefix(DIGEST_PREFIX)?, &mut bytes).ok()?;
    Some(bytes)
}

fn text_of(digest: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(digest).ok().filter(|bytes| bytes.len() == DIGEST_BYTES)?;
    Some(format!("{DIGEST_PREFIX}{}", hex::encode(bytes)))
}

#[cfg(test)]
mod tests {
    use v1::watch_response::Event;

    use super::*;

    const TOKEN: &str = "1.feed.2a";

    fn target(config: &str, scope: &str) -> v1::WatchTarget {
        v1::WatchTarget {
            namespace: "shop".into(),
            config: config.into(),
            scope: scope.into(),
            ..Default::default()
        }
    }

    fn digest(n: u8) -> String {
        format!("{DIGEST_PREFIX}{}", hex::encode([n; DIGEST_BYTES]))
    }

    fn present(config: &str, scope: &str, n: u8) -> v1::TargetState {
        let target = v1::WatchTarget {
            view: v1::View::Effective.into(),
            format: v1::Format::Json.into(),
            ..target(config, scope)
        };
        let document = v1::Document { digest: digest(n), ..Default::default() };
        v1::TargetState { target: Some(target), state: v1::State::Present.into(), document: Some(document) }
    }

    fn without_document(config: &str, scope: &str, state: v1::State) -> v1::TargetState {
        v1::TargetState { state: state.into(), document: None, ..present(config, scope, 0) }
    }

    fn message(event: Event) -> v1::WatchResponse {
        v1::WatchResponse { resume_token: TOKEN.into(), event: Some(event), ..Default::default() }
    }

    fn snapshot(states: Vec<v1::TargetState>, more: bool) -> v1::WatchResponse {
        message(Event::Snapshot(v1::Snapshot { states, more, is_reset: false }))
    }

    fn request(targets: Vec<v1::WatchTarget>) -> v1::WatchRequest {
        v1::WatchRequest { targets, ..Default::default() }
    }

    #[test]
    fn an_id_has_what_the_client_holds_and_a_request_resumes_with_it() {
        let asked = request(vec![target("a", ""), target("*", "/x/")]);
        let mut held = Held::new(&asked);
        let first = snapshot(vec![present("a", "/", 1), present("b", "/x", 2)], true);
        assert_eq!(held.take(&first), None, "the client throws the parts of an incomplete message away");
        let second = snapshot(vec![present("c", "/x", 3)], false);
        held.take(&second).expect("the last part");
        let update = v1::Update { states: vec![without_document("b", "/x", v1::State::Absent)], more: false };
        let id = held.take(&message(Event::Update(update))).expect("an id");

        let mut again = asked.clone();
        resume(&mut again, &id);
        assert_eq!(again.resume_token, TOKEN);
        assert_eq!(again.targets[0].if_none_match, digest(1));
        assert_eq!(again.targets[1].held, [("c".to_owned(), digest(3))].into());

        // What still is current stays held, also in a later part, and a snapshot names everything.
        let mut held = Held::new(&again);
        assert_eq!(held.take(&snapshot(vec![], true)), None);
        let id = held.take(&snapshot(vec![without_document("a", "/", v1::State::Current)], false));
        let mut again = asked.clone();
        resume(&mut again, &id.expect("an id"));
        assert_eq!(again.targets[0].if_none_match, digest(1));
        assert!(again.targets[1].held.is_empty());
    }

    #[test]
    fn the_id_of_progress_has_what_was_held_before() {
        let mut held = Held::new(&request(vec![target("a", "")]));
        let first = held.take(&snapshot(vec![present("a", "/", 1)], false));
        assert_eq!(held.take(&message(Event::Progress(v1::Progress {}))), first);
    }

    #[test]
    fn ids_have_no_digests_where_there_are_too_many() {
        let mut held = Held::new(&request(vec![target("*", "")]));
        let many = (0..=HELD_MAX).map(|n| present(&format!("c{n}"), "/", 1)).collect();
        assert_eq!(held.take(&snapshot(many, false)).as_deref(), Some(TOKEN));
    }

    #[test]
    fn what_cannot_be_read_of_an_id_is_left_out() {
        for id in ["", ";", "x;0", "x;0=", "x;0=AAAA", "x;9=AAAA", "x;0/a=AAAA", "x;-1=A", ";;;="] {
            let mut asked = request(vec![target("a", "")]);
            resume(&mut asked, id);
            assert_eq!(asked.targets, [target("a", "")], "{id}");
        }
    }
}
