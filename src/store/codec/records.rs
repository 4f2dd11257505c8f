//! The records of which the bytes of commits are made, and how they become values of the model and back. Knows no batches and no hashes.

use serde::{Deserialize, Serialize};

use super::codes::{
    check_layer_key, config_id, format_code, format_of, invalid, kind_code, layer_key, namespace_of,
    source_code, source_of,
};
use super::{DecodeError, HASH_BYTES, decode_content};
use crate::model::commit::{commit_bytes, config_bytes, journal_bytes, layer_bytes, tag_bytes};
use crate::model::{
    Author, Commit, ConfigChange, Content, Digest, ForgottenPart, LayerChange, Namespace, Request, Revision,
    TagChange, TagName, Timestamp, Version,
};
use crate::store::Summary;

/// A commit as it is stored.
#[derive(Serialize, Deserialize)]
pub struct CommitRecord<'a> {
    pub revision: u64,
    pub time_us: i64,
    pub(super) actor: &'a str,
    pub(super) source: u8,
    pub(super) reason: &'a str,
    #[serde(borrow)]
    pub(super) request: Option<RequestRecord<'a>>,
    #[serde(borrow)]
    pub(super) annotations: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    pub changes: Vec<ConfigRecord<'a>>,
    /// From format 3 on, where it is not stored here. Sorted.
    #[serde(skip)]
    pub(super) forgotten: Vec<PartRecord<'a>>,
}

/// The head of a commit of format 3: all of it but its changes.
#[derive(Serialize, Deserialize)]
pub struct HeadRecord<'a> {
    pub revision: u64,
    pub time_us: i64,
    actor: &'a str,
    source: u8,
    reason: &'a str,
    #[serde(borrow)]
    request: Option<RequestRecord<'a>>,
    #[serde(borrow)]
    annotations: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    author: AuthorRecord<'a>,
    /// Sorted, each namespace once.
    #[serde(borrow)]
    pub parts: Vec<PartRecord<'a>>,
}

/// What the head of a commit says of the changes of one namespace.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct PartRecord<'a> {
    pub namespace: &'a str,
    /// Of the body, which is kept or forgotten.
    pub bytes: u64,
    pub hash: [u8; HASH_BYTES],
}

/// What is known besides of who made a commit, as it is stored.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct AuthorRecord<'a> {
    credential: &'a str,
    address: &'a str,
    call_id: &'a str,
}

#[derive(Serialize, Deserialize)]
pub struct RequestRecord<'a> {
    id: &'a str,
    fingerprint: [u8; HASH_BYTES],
}

/// What a commit changed of a config, as it is stored.
#[derive(Serialize, Deserialize)]
pub struct ConfigRecord<'a> {
    pub namespace: &'a str,
    pub config: &'a str,
    pub version: u64,
    #[serde(borrow)]
    pub layers: Vec<LayerRecord<'a>>,
    #[serde(borrow)]
    pub tags: Vec<TagRecord<'a>>,
    restored: Option<u64>,
}

/// A layer change as it is stored.
#[derive(Serialize, Deserialize)]
pub struct LayerRecord<'a> {
    pub kind: u8,
    pub scope: &'a str,
    pub content: Option<&'a str>,
    pub expires_us: Option<i64>,
    pub format: Option<u8>,
}

/// A tag change as it is stored.
#[derive(Serialize, Deserialize)]
pub struct TagRecord<'a> {
    pub tag: &'a str,
    pub version: Option<u64>,
    previous: Option<u64>,
}

impl<'a> CommitRecord<'a> {
    pub(super) fn of(commit: &'a Commit) -> CommitRecord<'a> {
        CommitRecord {
            revision: commit.revision.0,
            time_us: commit.time.0,
            actor: &commit.author.actor,
            source: source_code(commit.source),
            reason: &commit.reason,
            request: commit.request.as_ref().map(RequestRecord::of),
            annotations: commit.annotations.iter().map(|(key, value)| (&**key, &**value)).collect(),
            changes: commit.changes.iter().map(ConfigRecord::of).collect(),
            forgotten: Vec::new(),
        }
    }

    /// The bytes are those of `Commit::journal_bytes`.
    pub(super) fn into_summary(self) -> Result<Summary, DecodeError> {
        let id = self.request.as_ref().map_or("", |request| request.id);
        let origin = commit_bytes(self.actor, self.reason, id, self.annotations.iter().copied());
        let changes = self.changes.iter().map(ConfigRecord::journal_bytes);
        let mut changes = changes.collect::<Result<Vec<_>, DecodeError>>()?;
        if !self.forgotten.is_empty() {
            let forgotten = self.forgotten.iter().map(|part| Ok((namespace_of(part.namespace)?, 0)));
            changes.extend(forgotten.collect::<Result<Vec<_>, DecodeError>>()?);
            changes.sort_by(|one, other| one.0.cmp(&other.0));
        }
        Ok(Summary {
            revision: Revision(self.revision),
            time: Timestamp(self.time_us),
            actor: self.actor.to_owned(),
            request: self.request.map(RequestRecord::into_request),
            bytes: journal_bytes(origin, changes),
        })
    }

    /// Finds whatever `into_commit` would refuse.
    pub(super) fn check(&self) -> Result<(), DecodeError> {
        source_of(self.source)?;
        self.forgotten.iter().try_for_each(|part| namespace_of(part.namespace).map(drop))?;
        self.changes.iter().try_for_each(ConfigRecord::check)
    }

    pub(super) fn into_commit(self, author: AuthorRecord<'_>) -> Result<Commit, DecodeError> {
        Ok(Commit {
            revision: Revision(self.revision),
            time: Timestamp(self.time_us),
            author: Author {
                actor: self.actor.to_owned(),
                credential: author.credential.to_owned(),
                address: author.address.to_owned(),
                call_id: author.call_id.to_owned(),
            },
            source: source_of(self.source)?,
            reason: self.reason.to_owned(),
            request: self.request.map(RequestRecord::into_request),
            annotations: self
                .annotations
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect(),
            changes: self.changes.into_iter().map(ConfigRecord::into_change).collect::<Result<_, _>>()?,
            forgotten: self
                .forgotten
                .into_iter()
                .map(PartRecord::into_forgotten)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl<'a> HeadRecord<'a> {
    pub(super) fn of(commit: &'a Commit, parts: Vec<PartRecord<'a>>) -> HeadRecord<'a> {
        HeadRecord {
            revision: commit.revision.0,
            time_us: commit.time.0,
            actor: &commit.author.actor,
            source: source_code(commit.source),
            reason: &commit.reason,
            request: commit.request.as_ref().map(RequestRecord::of),
            annotations: commit.annotations.iter().map(|(key, value)| (&**key, &**value)).collect(),
            author: AuthorRecord::of(commit),
            parts,
        }
    }

    /// The commit with the changes and forgotten parts that its parts were found to be.
    pub(super) fn into_record(
        self,
        changes: Vec<ConfigRecord<'a>>,
        forgotten: Vec<PartRecord<'a>>,
    ) -> (CommitRecord<'a>, AuthorRecord<'a>) {
        let HeadRecord { revision, time_us, actor, source, reason, request, annotations, author, parts: _ } =
            self;
        let commit = CommitRecord {
            revision,
            time_us,
            actor,
            source,
            reason,
            request,
            annotations,
            changes,
            forgotten,
        };
        (commit, author)
    }
}

impl<'a> PartRecord<'a> {
    pub(super) fn of_forgotten(part: &'a ForgottenPart) -> PartRecord<'a> {
        let ForgottenPart { namespace, bytes, hash } = part;
        PartRecord { namespace: namespace.as_str(), bytes: *bytes, hash: hash.0 }
    }

    fn into_forgotten(self) -> Result<ForgottenPart, DecodeError> {
        let PartRecord { namespace, bytes, hash } = self;
        Ok(ForgottenPart { namespace: namespace_of(namespace)?, bytes, hash: Digest(hash) })
    }
}

impl<'a> AuthorRecord<'a> {
    pub(super) fn of(commit: &'a Commit) -> AuthorRecord<'a> {
        let Author { actor: _, credential, address, call_id } = &commit.author;
        AuthorRecord { credential, address, call_id }
    }
}

impl<'a> RequestRecord<'a> {
    fn of(request: &'a Request) -> RequestRecord<'a> {
        RequestRecord { id: &request.id, fingerprint: request.fingerprint.0 }
    }

    fn into_request(self) -> Request {
        Request { id: self.id.to_owned(), fingerprint: Digest(self.fingerprint) }
    }
}

impl<'a> ConfigRecord<'a> {
    pub(super) fn of(change: &'a ConfigChange) -> ConfigRecord<'a> {
        let layer = |layer: &'a LayerChange| LayerRecord {
            kind: kind_code(layer.key.kind),
            scope: layer.key.scope.as_str(),
            content: layer.content.as_ref().map(Content::as_str),
            expires_us: layer.expires.map(|time| time.0),
            format: layer.format.map(format_code),
        };
        let tag = |tag: &'a TagChange| TagRecord {
            tag: tag.tag.as_str(),
            version: tag.version.map(|version| version.0),
            previous: tag.previous.map(|version| version.0),
        };
        ConfigRecord {
            namespace: change.id.namespace.as_str(),
            config: change.id.config.as_str(),
            version: change.version.0,
            layers: change.layers.iter().map(layer).collect(),
            tags: change.tags.iter().map(tag).collect(),
            restored: change.restored.map(|version| version.0),
        }
    }

    fn journal_bytes(&self) -> Result<(Namespace, u64), DecodeError> {
        let namespace = namespace_of(self.namespace)?;
        let layers = self.layers.iter().map(|layer| layer_bytes(layer.scope, layer.content.unwrap_or("")));
        let tags = self.tags.iter().map(|tag| tag_bytes(tag.tag));
        let bytes = config_bytes(self.namespace, self.config) + layers.chain(tags).sum::<u64>();
        Ok((namespace, bytes))
    }

    fn check(&self) -> Result<(), DecodeError> {
        config_id(self.namespace, self.config)?;
        for layer in &self.layers {
            check_layer_key(layer.kind, layer.scope)?;
            layer.format.map(format_of).transpose()?;
        }
        self.tags.iter().try_for_each(|tag| tag.name().map(drop))
    }

    fn into_change(self) -> Result<ConfigChange, DecodeError> {
        Ok(ConfigChange {
            id: config_id(self.namespace, self.config)?,
            version: Version(self.version),
            layers: self.layers.into_iter().map(LayerRecord::into_change).collect::<Result<_, _>>()?,
            tags: self.tags.into_iter().map(TagRecord::into_change).collect::<Result<_, _>>()?,
            restored: self.restored.map(Version),
        })
    }
}

impl LayerRecord<'_> {
    fn into_change(self) -> Result<LayerChange, DecodeError> {
        Ok(LayerChange {
            key: layer_key(self.kind, self.scope)?,
            content: self.content.map(decode_content),
            expires: self.expires_us.map(Timestamp),
            format: self.format.map(format_of).transpose()?,
        })
    }
}

impl TagRecord<'_> {
    fn name(&self) -> Result<TagName, DecodeError> {
        TagName::parse(self.tag).map_err(|error| invalid("tag", error))
    }

    fn into_change(self) -> Result<TagChange, DecodeError> {
        Ok(TagChange {
            tag: self.name()?,
            version: self.version.map(Version),
            previous: self.previous.map(Version),
        })
    }
}
