//! Writing commits as the engine would: revisions and versions that follow. Knows the model only.

use std::collections::BTreeMap;

use confwatch::model::Digest;
use confwatch::model::text::Format;
use confwatch::model::{
    Commit, ConfigChange, ConfigId, ConfigName, Content, LayerChange, LayerKey, Namespace, Request, Revision,
    Scope, Source, TagChange, TagName, Timestamp, Version,
};

/// One edit of a commit. Layers are written as scopes, overrides with `!` before them.
#[derive(Clone, Debug)]
pub enum Edit {
    Set(ConfigId, LayerKey, Content),
    Expiring(ConfigId, LayerKey, Content, Timestamp),
    Remove(ConfigId, LayerKey),
    Tag(ConfigId, TagName, Option<Version>),
}

/// Makes commits that follow each other.
#[derive(Clone, Default)]
pub struct Script {
    pub revision: Revision,
    pub time: Timestamp,
    pub versions: BTreeMap<ConfigId, Version>,
}

impl Script {
    /// The next commit, ten microseconds after the one before.
    pub fn commit(&mut self, edits: impl IntoIterator<Item = Edit>) -> Commit {
        type Layers = BTreeMap<LayerKey, LayerChange>;
        type Tags = BTreeMap<TagName, TagChange>;
        let mut changes: BTreeMap<ConfigId, (Layers, Tags)> = BTreeMap::new();
        for edit in edits {
            let (id, layer, tag) = match edit {
                Edit::Set(id, key, content) => (
                    id,
                    Some(LayerChange {
                        key,
                        content: Some(content),
                        expires: None,
                        format: Some(Format::Yaml),
                    }),
                    None,
                ),
                Edit::Expiring(id, key, content, expires) => (
                    id,
                    Some(LayerChange { key, content: Some(content), expires: Some(expires), format: None }),
                    None,
                ),
                Edit::Remove(id, key) => {
                    (id, Some(LayerChange { key, content: None, expires: None, format: None }), None)
                }
                Edit::Tag(id, tag, version) => (id, None, Some(TagChange { tag, version, previous: None })),
            };
            let change = changes.entry(id).or_default();
            change.0.extend(layer.map(|layer| (layer.key.clone(), layer)));
            change.1.extend(tag.map(|tag| (tag.tag.clone(), tag)));
        }
        self.revision = self.revision.next();
        self.time = Timestamp(self.time.0 + 10);
        let changes = changes.into_iter().map(|(id, (layers, tags))| {
            let version = self.versions.entry(id.clone()).or_default();
            if !layers.is_empty() {
                *version = version.next();
            }
            ConfigChange {
                version: *version,
                id,
                layers: layers.into_values().collect(),
                tags: tags.into_values().collect(),
                restored: None,
            }
        });
        let changes = changes.collect();
        Commit {
            revision: self.revision,
            time: self.time,
            author: confwatch::model::Author::named("tester"),
            source: Source::Apply,
            reason: format!("reason {}", self.revision),
            request: Some(Request { id: self.revision.to_string(), fingerprint: Digest::of(b"request") }),
            annotations: [("ticket".into(), "OPS-1".into())].into(),
            changes,
            forgotten: vec![],
        }
    }

    /// A commit that sets one layer of one config to a number.
    pub fn set(&mut self, config: &str, scope: &str, number: usize) -> Commit {
        self.commit([set(config, scope, number)])
    }
}

/// A config of the namespace `payments`, or of the one before a slash.
pub fn id(config: &str) -> ConfigId {
    let (namespace, config) = config.split_once('/').unwrap_or(("payments", config));
    ConfigId { namespace: self::namespace(namespace), config: ConfigName::parse(config).expect("a name") }
}

pub fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

pub fn key(scope: &str) -> LayerKey {
    let parse = |scope| Scope::parse(scope).expect("a scope");
    match scope.strip_prefix('!') {
        Some(scope) => LayerKey::overriding(parse(scope)),
        None => LayerKey::base(parse(scope)),
    }
}

pub fn content(number: usize) -> Content {
    Content::of(&serde_json::json!({ "number": number }))
}

/// Content of as many bytes.
pub fn large(bytes: usize, letter: char) -> Content {
    Content::of(&serde_json::json!({ "text": letter.to_string().repeat(bytes - r#"{"text":""}"#.len()) }))
}

pub fn set(config: &str, scope: &str, number: usize) -> Edit {
    Edit::Set(id(config), key(scope), content(number))
}

pub fn remove(config: &str, scope: &str) -> Edit {
    Edit::Remove(id(config), key(scope))
}

pub fn tag(config: &str, name: &str, version: Option<u64>) -> Edit {
    Edit::Tag(id(config), TagName::parse(name).expect("a tag"), version.map(Version))
}
