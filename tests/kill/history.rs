//! The journal as a client reads it, folded: what must be dense, whole and once is checked on the way. Knows the wire only.

use std::collections::{BTreeMap, HashMap};

use confwatch::proto::v1::*;
use sha2::{Digest, Sha256};

use super::server::Client;
use super::write::{NAMESPACE, PAIRS, counter};
use super::writers::Acknowledged;

/// Every commit, and what they add up to.
#[derive(Default)]
pub struct History {
    commits: Vec<Commit>,
    /// Revision by request id.
    requests: HashMap<String, u64>,
    configs: BTreeMap<String, Config>,
}

#[derive(Default)]
struct Config {
    version: u64,
    revision: u64,
    layers: Layers,
    tags: BTreeMap<String, u64>,
    /// What the layers were at each version, from 1 on.
    versions: Vec<Layers>,
}

/// By kind and scope: version of the last change, and digest.
type Layers = BTreeMap<(i32, String), (u64, String)>;

impl History {
    /// Reads from the first commit to the newest.
    pub async fn read(mut client: Client) -> History {
        let mut history = History::default();
        let head = client.list(ListRequest::default()).await.expect("list").into_inner().store_revision;
        if head == 0 {
            return history;
        }
        let request = StreamChangesRequest { from_revision: 1, include_content: true, ..Default::default() };
        let mut stream = client.stream_changes(request).await.expect("from 1 on").into_inner();
        let mut parts: Option<Commit> = None;
        while history.head() < head {
            let message = stream.message().await.expect("no gap").expect("no end");
            let Some(stream_changes_response::Event::Commit(part)) = message.event else { continue };
            match &mut parts {
                Some(commit) => part.changes.into_iter().for_each(|change| extend(commit, change)),
                None => parts = Some(part),
            }
            if !message.more {
                history.add(parts.take().expect("it has a part"));
            }
        }
        history
    }

    pub fn head(&self) -> u64 {
        self.commits.len() as u64
    }

    /// Whether a request made a commit.
    #[allow(dead_code, reason = "kill -9 leads to no refusals")]
    pub fn has(&self, request_id: &str) -> bool {
        self.requests.contains_key(request_id)
    }

    fn add(&mut self, commit: Commit) {
        let revision = commit.revision;
        assert_eq!(revision, self.head() + 1, "revisions are dense");
        let time = |commit: &Commit| commit.time.map(|time| (time.seconds, time.nanos)).expect("a time");
        assert!(self.commits.last().is_none_or(|last| time(last) <= time(&commit)), "at revision {revision}");
        if !commit.request_id.is_empty() {
            let before = self.requests.insert(commit.request_id.clone(), revision);
            assert_eq!(before, None, "request {} was done again at {revision}", commit.request_id);
        }
        let pairs: Vec<_> = commit.changes.iter().filter(|change| is_pair(&change.config)).collect();
        if let [first, others @ ..] = pairs.as_slice() {
            assert_eq!(pairs.len(), PAIRS.len(), "revision {revision} is half applied");
            let of = |change: &ConfigChange| counter(&change.layers[0].content);
            assert!(others.iter().all(|other| of(other) == of(first)), "at revision {revision}");
        }
        for change in &commit.changes {
            self.configs.entry(change.config.clone()).or_default().change(change, revision);
        }
        self.commits.push(commit);
    }

    /// What was read before is still there, unchanged.
    pub fn check_continues(&self, before: &History) {
        assert!(
            self.head() >= before.head(),
            "{} commits were read before, now {}",
            before.head(),
            self.head()
        );
        for (old, new) in before.commits.iter().zip(&self.commits) {
            assert_eq!(old, new, "revision {} is not what it was", old.revision);
        }
    }

    /// A promise was kept.
    pub fn check_holds(&self, said: &Acknowledged) {
        let found = self.requests.get(said.write.id());
        match said.changed {
            true => {
                assert_eq!(found, Some(&said.revision), "lost: {said:?}");
                said.write.check_made(&self.commits[said.revision as usize - 1]);
            }
            false => assert_eq!(found, None, "it changed nothing: {said:?}"),
        }
    }

    /// What the server serves as current, and as of this revision, is what the journal adds up to.
    pub async fn check_current(&self, mut client: Client) {
        let pairs = PAIRS.map(|config| get(config, "/", None)).to_vec();
        let pairs = client
            .batch_get(BatchGetRequest { requests: pairs, ..Default::default() })
            .await
            .expect("BatchGet")
            .into_inner();
        let contents =
            pairs.results.into_iter().map(|result| result.document.map(|document| document.content));
        let counters: Vec<_> = contents.map(|content| content.map(|content| counter(&content))).collect();
        assert!(counters.iter().all(|counter| counter == &counters[0]), "half applied: {counters:?}");

        let request =
            ListRequest { namespace: NAMESPACE.into(), include_deleted: true, ..Default::default() };
        let listed = client.list(request).await.expect("List").into_inner();
        // Unless an override has expired since the history was read: then the next look is as good.
        if listed.store_revision == self.head() {
            let names: Vec<_> = listed.configs.iter().map(|config| &config.config).collect();
            assert_eq!(names, self.configs.keys().collect::<Vec<_>>());
            listed.configs.iter().for_each(|info| self.configs[&info.config].check_is(info));
        }
        for (name, config) in &self.configs {
            for ((kind, scope), (_, digest)) in &config.layers {
                let mut request = get(name, scope, Some(self.head()));
                let is_override = *kind == i32::from(LayerKind::Override);
                request.set_view(if is_override { View::OverrideLayer } else { View::Layer });
                let response = client.get(request).await.expect("the layer is there").into_inner();
                let document = response.document.expect("a document");
                let computed = format!("sha256:{}", hex::encode(Sha256::digest(&document.content)));
                assert_eq!((digest, &computed), (&document.digest, digest), "{name} {scope}");
            }
        }
    }
}

impl Config {
    fn change(&mut self, change: &ConfigChange, revision: u64) {
        for layer in &change.layers {
            let key = (layer.kind, layer.scope.clone());
            match layer.action() {
                LayerAction::Put => {
                    self.layers.insert(key, (change.version, layer.digest.clone()));
                }
                LayerAction::Delete => assert!(self.layers.remove(&key).is_some(), "at revision {revision}"),
                LayerAction::Unspecified => panic!("never sent"),
            }
        }
        for tag in &change.tags {
            match tag.version {
                0 => self.tags.remove(&tag.tag),
                version => self.tags.insert(tag.tag.clone(), version),
            };
        }
        if !change.layers.is_empty() {
            self.version += 1;
            self.revision = revision;
            self.versions.push(self.layers.clone());
        }
        assert_eq!(change.version, self.version, "versions are dense, at revision {revision}");
    }

    fn check_is(&self, info: &ConfigInfo) {
        assert_eq!((info.version, info.revision), (self.version, self.revision), "{}", info.config);
        let layers = info.layers.iter().cloned();
        let layers: Layers =
            layers.map(|layer| ((layer.kind, layer.scope), (layer.version, layer.digest))).collect();
        assert_eq!((&layers, &info.tags), (&self.layers, &self.tags), "{}", info.config);
    }
}

/// Adds what a further part of a commit tells: of another config, or more of the last one.
fn extend(commit: &mut Commit, change: ConfigChange) {
    match commit.changes.last_mut() {
        Some(last) if (&last.namespace, &last.config) == (&change.namespace, &change.config) => {
            last.layers.extend(change.layers);
            last.tags.extend(change.tags);
        }
        _ => commit.changes.push(change),
    }
}

fn is_pair(config: &str) -> bool {
    PAIRS.contains(&config)
}

/// Reads a config, now or as of a revision.
pub fn get(config: &str, scope: &str, revision: Option<u64>) -> GetRequest {
    GetRequest {
        namespace: NAMESPACE.into(),
        config: config.into(),
        scope: scope.into(),
        at: revision.map(get_request::At::Revision),
        ..Default::default()
    }
}
