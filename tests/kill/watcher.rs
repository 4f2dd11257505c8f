//! A watcher that is cut off with the server, and resumes with what it holds. Knows the contract of Watch only.

use std::collections::BTreeMap;

use confwatch::proto::v1::*;
use tonic::{Code, Streaming};

use super::history::get;
use super::server::Client;
use super::write::{NAMESPACE, PAIRS, SOLOS, counter};

/// What it watches, and what it knows.
pub struct Watcher {
    /// The configs of its targets, or "*".
    targets: Vec<&'static str>,
    /// The configs that it should know of.
    configs: Vec<&'static str>,
    scope: &'static str,
    token: String,
    revision: u64,
    /// By config.
    held: BTreeMap<String, Held>,
    /// Of a message that goes on in the next one.
    parts: Vec<TargetState>,
    stream: Option<Streaming<WatchResponse>>,
}

struct Held {
    digest: String,
    content: String,
}

impl Watcher {
    pub fn of_everything() -> Watcher {
        Watcher::new(vec!["*"], SOLOS.into_iter().chain(PAIRS).collect(), "/production/checkout")
    }

    /// Sees only what one Apply wrote together.
    pub fn of_pairs() -> Watcher {
        Watcher::new(PAIRS.into(), PAIRS.into(), "/")
    }

    fn new(targets: Vec<&'static str>, configs: Vec<&'static str>, scope: &'static str) -> Watcher {
        let (token, held) = (String::new(), BTreeMap::new());
        Watcher { targets, configs, scope, token, revision: 0, held, parts: vec![], stream: None }
    }

    pub async fn resume(&mut self, mut client: Client) {
        let digest = |config: &str| self.held.get(config).map(|held| held.digest.clone()).unwrap_or_default();
        let targets = self.targets.iter().map(|config| WatchTarget {
            namespace: NAMESPACE.into(),
            config: (*config).into(),
            scope: self.scope.into(),
            if_none_match: digest(config),
            held: match *config {
                "*" => self.held.iter().map(|(config, held)| (config.clone(), held.digest.clone())).collect(),
                _ => BTreeMap::new(),
            },
            ..Default::default()
        });
        let request = WatchRequest {
            targets: targets.collect(),
            resume_token: self.token.clone(),
            // So that it soon knows of commits that change nothing of what it watches.
            progress_interval: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
            ..Default::default()
        };
        self.parts.clear();
        self.stream = Some(client.watch(request).await.expect("the token is honoured").into_inner());
    }

    /// Reads until it knows everything up to a revision that the server has.
    pub async fn reach(&mut self, revision: u64) {
        loop {
            let stream = self.stream.as_mut().expect("it was resumed");
            let message = stream.message().await.expect("the server is there").expect("no end");
            self.fold(message);
            if self.revision >= revision && self.parts.is_empty() {
                return;
            }
        }
    }

    /// Reads until the server is gone.
    pub async fn follow(mut self) -> Watcher {
        let mut stream = self.stream.take().expect("it was resumed");
        while let Ok(Some(message)) = stream.message().await {
            self.fold(message);
        }
        self
    }

    fn fold(&mut self, message: WatchResponse) {
        assert!(message.revision >= self.revision, "back from {} to {}", self.revision, message.revision);
        let (states, more) = match message.event.expect("every message has an event") {
            watch_response::Event::Snapshot(snapshot) => {
                assert!(!snapshot.is_reset, "revision {} was told, and then lost", self.revision);
                (snapshot.states, snapshot.more)
            }
            watch_response::Event::Update(update) => (update.states, update.more),
            watch_response::Event::Progress(_) => (vec![], false),
        };
        self.parts.extend(states);
        if more {
            return;
        }
        for state in std::mem::take(&mut self.parts) {
            let config = state.target.as_ref().expect("a target").config.clone();
            match state.state() {
                State::Present => {
                    let Document { digest, content, .. } = state.document.expect("a document");
                    self.held.insert(config, Held { digest, content });
                }
                State::Current => assert!(self.held.contains_key(&config), "{config} is not held"),
                State::Absent => drop(self.held.remove(&config)),
                State::Unspecified => panic!("never sent"),
            }
        }
        (self.revision, self.token) = (message.revision, message.resume_token);
        let pairs = self.targets.iter().filter_map(|config| self.held.get(*config));
        let counters: Vec<_> = pairs.map(|held| counter(&held.content)).collect();
        assert!(counters.iter().all(|counter| counter == &counters[0]), "half a commit: {counters:?}");
    }

    /// What it holds is what the server says of its revision.
    pub async fn check(&self, mut client: Client) {
        for config in &self.configs {
            let held = self.held.get(*config).map(|held| held.digest.clone());
            let served = match self.revision {
                0 => None,
                revision => match client.get(get(config, self.scope, Some(revision))).await {
                    Ok(response) => response.into_inner().document.map(|document| document.digest),
                    Err(status) if status.code() == Code::NotFound => None,
                    Err(status) => panic!("{config}: {status:?}"),
                },
            };
            assert_eq!(held, served, "{config} at revision {}", self.revision);
        }
    }
}
