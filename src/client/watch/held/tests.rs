//! What folding promises, and with a server made of a map, that the application ends up with what the server has.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::client::watch::Event;
use crate::client::watch::outbox::Outbox;
use crate::proto::v1::{Progress as ProgressMessage, Snapshot, Update};

fn document(config: &str, content: &str) -> Document {
    Document {
        namespace: "n".into(),
        config: config.into(),
        scope: "/".into(),
        digest: format!("sha256:{content}"),
        content: content.into(),
        ..Default::default()
    }
}

fn target(config: &str) -> WatchTarget {
    ("n", config, "/").into()
}

fn present(config: &str, content: &str) -> TargetState {
    let document = Some(document(config, content));
    TargetState { target: Some(target(config)), state: State::Present.into(), document }
}

fn state(config: &str, state: State) -> TargetState {
    TargetState { target: Some(target(config)), state: state.into(), document: None }
}

fn message(revision: u64, event: Message) -> WatchResponse {
    let more = match &event {
        Message::Snapshot(snapshot) => snapshot.more,
        Message::Update(update) => update.more,
        Message::Progress(_) => false,
    };
    let resume_token = if more { String::new() } else { format!("token {revision}") };
    WatchResponse { revision, resume_token, watch_id: String::new(), event: Some(event) }
}

fn snapshot(revision: u64, states: Vec<TargetState>) -> WatchResponse {
    message(revision, Message::Snapshot(Snapshot { states, more: false, is_reset: false }))
}

fn update(revision: u64, states: Vec<TargetState>) -> WatchResponse {
    message(revision, Message::Update(Update { states, more: false }))
}

fn progress(revision: u64) -> WatchResponse {
    message(revision, Message::Progress(ProgressMessage {}))
}

fn changed(folded: Result<Option<Folded>, ProtocolError>) -> Vec<String> {
    folded.unwrap().unwrap().changed.into_iter().map(|key| key.config).collect()
}

fn contents(held: &Held) -> Vec<(&str, Option<&str>)> {
    held.states().map(|(key, document)| (key.config.as_str(), document.map(|d| d.content.as_str()))).collect()
}

/// Holds `a` with content `1`, and knows `b` to be absent, as of revision 1.
fn connected() -> Held {
    let mut held = Held::new(&[target("a"), target("b")]);
    held.begin();
    let folded = held.fold(snapshot(1, vec![present("a", "1"), state("b", State::Absent)]));
    assert_eq!(changed(folded), ["a", "b"]);
    held
}

#[test]
fn the_next_stream_offers_token_and_digests() {
    let mut held = connected();
    held.fold(progress(7)).unwrap();
    let request = held.begin();
    assert_eq!(request.resume_token, "token 7");
    assert_eq!(request.targets[0].if_none_match, "sha256:1");
    assert_eq!(request.targets[1].if_none_match, "");
}

#[test]
fn a_target_is_recognised_however_it_was_written() {
    let written = WatchTarget { namespace: "n".into(), config: "a".into(), ..Default::default() };
    let mut held = Held::new(&[written]);
    held.begin();
    held.fold(snapshot(1, vec![present("a", "1")])).unwrap();
    assert_eq!(held.begin().targets[0].if_none_match, "sha256:1");
}

#[test]
fn all_configs_of_a_namespace_are_offered_by_name() {
    let mut held = Held::new(&[target("*")]);
    held.begin();
    held.fold(snapshot(1, vec![present("a", "1"), present("b", "2")])).unwrap();
    let request = held.begin();
    let expected = [("a", "sha256:1"), ("b", "sha256:2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(request.targets[0].held, BTreeMap::from(expected));
    assert_eq!(request.targets[0].if_none_match, "");
}

#[test]
fn what_is_current_is_kept_and_not_reported() {
    let mut held = connected();
    held.begin();
    let folded = held.fold(snapshot(5, vec![state("a", State::Current), state("b", State::Absent)]));
    assert!(changed(folded).is_empty());
    assert_eq!(contents(&held), [("a", Some("1")), ("b", None)]);
    assert_eq!(held.revision(), 5);
}

#[test]
fn the_same_content_sent_again_is_not_a_change() {
    let mut held = connected();
    assert!(changed(held.fold(update(2, vec![present("a", "1")]))).is_empty());
}

#[test]
fn parts_take_effect_together() {
    let mut held = connected();
    let part = Update { states: vec![present("a", "2")], more: true };
    assert_eq!(held.fold(message(2, Message::Update(part))), Ok(None));
    assert_eq!(contents(&held), [("a", Some("1")), ("b", None)]);
    assert_eq!(held.revision(), 1);
    assert_eq!(changed(held.fold(update(2, vec![present("b", "2")]))), ["a", "b"]);
    assert_eq!(contents(&held), [("a", Some("2")), ("b", Some("2"))]);
}

#[test]
fn parts_of_a_stream_that_broke_are_void() {
    let mut held = connected();
    let part = Update { states: vec![present("a", "2")], more: true };
    held.fold(message(2, Message::Update(part))).unwrap();
    assert_eq!(held.begin().resume_token, "token 1");
    let folded = held.fold(snapshot(3, vec![state("a", State::Current), present("b", "3")]));
    assert_eq!(changed(folded), ["b"]);
    assert_eq!(contents(&held), [("a", Some("1")), ("b", Some("3"))]);
}

#[test]
fn a_reset_anywhere_in_the_parts_is_one_and_what_it_does_not_name_is_forgotten() {
    let mut held = Held::new(&[target("*")]);
    held.begin();
    held.fold(snapshot(9, vec![present("a", "1"), present("b", "2")])).unwrap();
    held.begin();
    let part = Snapshot { states: vec![present("c", "3")], more: true, is_reset: true };
    held.fold(message(2, Message::Snapshot(part))).unwrap();
    let folded = held.fold(snapshot(2, vec![state("a", State::Current)])).unwrap().unwrap();
    assert_eq!(folded.kind, EventKind::Snapshot { reset: true });
    assert_eq!(contents(&held), [("a", Some("1")), ("c", Some("3"))]);
    assert_eq!(held.revision(), 2);
}

#[test]
fn a_config_found_by_the_star_leaves_nothing_behind() {
    let mut held = Held::new(&[target("*")]);
    held.begin();
    held.fold(snapshot(1, vec![present("a", "1")])).unwrap();
    assert_eq!(changed(held.fold(update(2, vec![state("a", State::Absent)]))), ["a"]);
    assert!(changed(held.fold(update(3, vec![state("a", State::Absent)]))).is_empty());
    assert_eq!(contents(&held), []);
}

#[test]
fn a_message_against_the_contract_changes_nothing() {
    let refused = |held: &Held, message: WatchResponse| {
        let mut after = held.clone();
        after.fold(message).unwrap_err();
        assert_eq!(contents(&after), contents(held));
        assert_eq!(after.revision(), held.revision());
    };
    let held = connected();
    refused(&held, snapshot(2, vec![present("a", "2")]));
    refused(&held, update(2, vec![present("a", "2"), state("b", State::Current)]));
    refused(&held, update(2, vec![present("a", "2"), state("b", State::Present)]));
    refused(&held, update(2, vec![present("a", "2"), state("b", State::Unspecified)]));
    refused(&held, update(2, vec![TargetState { target: None, ..present("a", "2") }]));
    let mut held = connected();
    held.begin();
    refused(&held, update(2, vec![present("a", "2")]));
    refused(&held, progress(2));
    let part = Snapshot { states: vec![present("a", "2")], more: true, is_reset: false };
    held.fold(message(2, Message::Snapshot(part))).unwrap();
    refused(&held, update(2, vec![present("b", "2")]));
}

#[test]
fn a_server_that_broke_the_contract_is_asked_afresh_while_the_state_is_served() {
    let mut held = connected();
    held.distrust();
    let request = held.begin();
    assert_eq!((request.resume_token.as_str(), request.targets[0].if_none_match.as_str()), ("", ""));
    assert_eq!(contents(&held), [("a", Some("1")), ("b", None)]);
    held.fold(snapshot(2, vec![present("a", "1"), state("b", State::Absent)])).unwrap();
    assert_eq!(held.begin().targets[0].if_none_match, "sha256:1");
}

#[test]
fn an_event_of_a_later_contract_is_passed_over() {
    let mut held = connected();
    let unknown = WatchResponse { revision: 9, resume_token: "9".into(), ..Default::default() };
    assert_eq!(held.fold(unknown), Ok(None));
    assert_eq!(held.begin().resume_token, "token 1");
}

#[test]
fn a_token_goes_with_its_targets_and_documents_with_theirs() {
    let saved = || [(target("a"), Some(document("a", "1"))), (target("c"), Some(document("c", "3")))];
    let mut same = Held::new(&[target("a"), target("c")]);
    same.restore(&[target("a"), target("c")], "t".into(), 4, saved());
    let request = same.begin();
    assert_eq!((request.resume_token.as_str(), request.targets[1].if_none_match.as_str()), ("t", "sha256:3"));

    let mut other = Held::new(&[target("a"), target("b")]);
    other.restore(&[target("a"), target("c")], "t".into(), 4, saved());
    let request = other.begin();
    assert_eq!((request.resume_token.as_str(), request.targets[0].if_none_match.as_str()), ("", "sha256:1"));
    assert_eq!(contents(&other), [("a", Some("1"))]);
}

/// What happens between a server, a watcher and its application.
#[derive(Clone, Copy, Debug)]
enum Step {
    Set {
        config: usize,
        content: u8,
    },
    Delete {
        config: usize,
    },
    /// The server sends what has changed, in so many parts.
    Send {
        parts: usize,
    },
    /// The stream breaks, in the midst of the parts of an update or not, and a new one brings its snapshot.
    Reconnect {
        amid_parts: bool,
        reset: bool,
    },
    /// The application asks for an event.
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..CONFIGS.len(), 0..3_u8).prop_map(|(config, content)| Step::Set { config, content }),
        2 => (0..CONFIGS.len()).prop_map(|config| Step::Delete { config }),
        4 => (1..4_usize).prop_map(|parts| Step::Send { parts }),
        1 => (any::<bool>(), any::<bool>())
            .prop_map(|(amid_parts, reset)| Step::Reconnect { amid_parts, reset }),
        3 => Just(Step::Take),
    ]
}

const CONFIGS: [&str; 5] = ["a", "b", "c", "d", "e"];
type Contents = BTreeMap<String, String>;

/// The server's side of one stream.
#[derive(Default)]
struct Server {
    contents: Contents,
    sent: Contents,
    revision: u64,
}

impl Server {
    /// The states of the configs that differ from what `other` has: all there are, if it has none.
    fn states(&self, other: &Contents) -> Vec<TargetState> {
        let differs = |config: &&str| self.contents.get(*config) != other.get(*config);
        let state_of = |config: &str| match self.contents.get(config) {
            Some(content) => present(config, content),
            None => state(config, State::Absent),
        };
        CONFIGS.into_iter().filter(differs).map(state_of).collect()
    }

    fn update(&mut self, parts: usize) -> Vec<WatchResponse> {
        self.revision += 1;
        let states = self.states(&self.sent);
        self.sent = self.contents.clone();
        let mut chunks: Vec<_> = states.chunks(states.len().div_ceil(parts).max(1)).collect();
        let Some(last) = chunks.pop() else { return vec![progress(self.revision)] };
        let part = |states: &[TargetState], more| {
            message(self.revision, Message::Update(Update { states: states.to_vec(), more }))
        };
        chunks.into_iter().map(|states| part(states, true)).chain([part(last, false)]).collect()
    }

    fn snapshot(&mut self, request: &WatchRequest, reset: bool) -> WatchResponse {
        let digests = &request.targets[0].held;
        let held = digests.iter().map(|(config, digest)| (config.clone(), digest.replace("sha256:", "")));
        let held: Contents = held.collect();
        let current = held.iter().filter(|(config, content)| self.contents.get(*config) == Some(content));
        let states = current.map(|(config, _)| state(config, State::Current)).chain(self.states(&held));
        let event = Snapshot { states: states.collect(), more: false, is_reset: reset };
        self.sent = self.contents.clone();
        message(self.revision, Message::Snapshot(event))
    }
}

/// What an application knows that does as it is told, and insists on being told nothing twice.
fn tell(application: &mut Contents, event: Event) {
    let changed = match event {
        Event::Snapshot { changed, .. } | Event::Update { changed, .. } | Event::FromCache(changed) => {
            changed
        }
        Event::Progress { .. } | Event::StateChanged(_) => vec![],
    };
    for state in changed {
        let config = state.target.clone().unwrap().config;
        let content = state.document.clone().map(|document| document.content);
        assert_ne!(application.get(&config), content.as_ref(), "told twice: {state:?}");
        match content {
            Some(content) => application.insert(config, content),
            None => application.remove(&config),
        };
    }
}

proptest! {
    #[test]
    fn an_application_that_asks_seldom_ends_up_with_what_the_server_has(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let (mut server, mut held, mut outbox) = (Server::default(), Held::new(&[target("*")]), Outbox::default());
        let mut application = Contents::new();
        let request = held.begin();
        let folded = held.fold(server.snapshot(&request, false)).unwrap().unwrap();
        outbox.add(folded, &held);
        for step in steps.into_iter().chain([Step::Send { parts: 1 }, Step::Take]) {
            match step {
                Step::Set { config, content } => {
                    server.contents.insert(CONFIGS[config].into(), content.to_string());
                }
                Step::Delete { config } => {
                    server.contents.remove(CONFIGS[config]);
                }
                Step::Send { parts } => {
                    for message in server.update(parts) {
                        if let Some(folded) = held.fold(message).unwrap() {
                            outbox.add(folded, &held);
                        }
                    }
                }
                Step::Reconnect { amid_parts, reset } => {
                    let mut messages = if amid_parts { server.update(2) } else { vec![] };
                    messages.pop();
                    for message in messages {
                        prop_assert_eq!(held.fold(message).unwrap(), None);
                    }
                    let request = held.begin();
                    let folded = held.fold(server.snapshot(&request, reset)).unwrap().unwrap();
                    outbox.add(folded, &held);
                }
                Step::Take => {
                    if let Some(event) = outbox.take(&held) {
                        tell(&mut application, event);
                    }
                    prop_assert!(outbox.take(&held).is_none());
                    prop_assert_eq!(&application, &server.sent);
                }
            }
            let held_contents: Contents = contents(&held)
                .into_iter()
                .filter_map(|(config, content)| Some((config.to_owned(), content?.to_owned())))
                .collect();
            prop_assert_eq!(held_contents, server.sent.clone());
        }
        prop_assert_eq!(&application, &server.contents);
    }
}
