//! Commits, versions and lists of configs. Knows the wire only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{LayerRefView, ValueChangeView, embedded, list, time};
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct CommitView {
    pub revision: u64,
    pub time: Option<String>,
    pub actor: String,
    pub credential: String,
    pub address: String,
    pub call_id: String,
    pub source: &'static str,
    pub reason: String,
    pub request_id: String,
    pub annotations: BTreeMap<String, String>,
    pub changes: Vec<ConfigChangeView>,
    /// Namespaces whose changes were compacted.
    pub compacted_namespaces: Vec<String>,
    pub hash: String,
}

/// The commits of a namespace.
#[derive(Debug, Serialize)]
pub struct CommitsView {
    pub commits: Vec<CommitView>,
    /// The oldest revision that is retained.
    pub oldest_revision: u64,
    /// Older commits were compacted. False where more commits can be listed.
    pub compacted: bool,
}

/// A commit, and what it changed in documents.
#[derive(Debug, Serialize)]
pub struct ListedCommitView {
    #[serde(flatten)]
    pub commit: CommitView,
    pub differences: Vec<ScopeDifferenceView>,
    pub scopes_omitted: u64,
    pub scopes_reached: u64,
}

#[derive(Debug, Serialize)]
pub struct ScopeDifferenceView {
    pub namespace: String,
    pub config: String,
    pub scope: String,
    pub changes: Vec<ValueChangeView>,
    pub more: bool,
    pub unknown: bool,
}

impl From<&v1::ListedCommit> for ListedCommitView {
    fn from(listed: &v1::ListedCommit) -> ListedCommitView {
        ListedCommitView {
            commit: CommitView::from(&listed.commit.clone().unwrap_or_default()),
            differences: list(&listed.differences),
            scopes_omitted: listed.scopes_omitted,
            scopes_reached: listed.scopes_reached,
        }
    }
}

impl From<&v1::ScopeDifference> for ScopeDifferenceView {
    fn from(difference: &v1::ScopeDifference) -> ScopeDifferenceView {
        ScopeDifferenceView {
            namespace: difference.namespace.clone(),
            config: difference.config.clone(),
            scope: difference.scope.clone(),
            changes: list(&difference.changes),
            more: difference.more,
            unknown: difference.unknown,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct ConfigChangeView {
    pub namespace: String,
    pub config: String,
    pub version: u64,
    pub layers: Vec<LayerChangeView>,
    pub tags: Vec<TagChangeView>,
    pub restored_version: u64,
    pub layers_omitted: u64,
}

#[derive(Debug, Serialize)]
pub struct LayerChangeView {
    pub scope: String,
    pub kind: &'static str,
    pub action: &'static str,
    pub digest: String,
    /// Null unless it was asked for.
    pub content: Value,
    pub expire_time: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct TagChangeView {
    pub tag: String,
    pub version: u64,
}

#[derive(Debug, Serialize)]
pub struct VersionsView {
    pub versions: Vec<VersionInfoView>,
}

#[derive(Debug, Serialize)]
pub struct VersionInfoView {
    pub version: u64,
    pub commit: Option<CommitView>,
    pub tags: Vec<String>,
    pub tags_omitted: u64,
}

#[derive(Debug, Serialize)]
pub struct ConfigsView {
    pub configs: Vec<ConfigInfoView>,
}

#[derive(Debug, Serialize)]
pub struct ConfigInfoView {
    pub namespace: String,
    pub config: String,
    pub version: u64,
    pub revision: u64,
    pub update_time: Option<String>,
    pub layers: Vec<LayerRefView>,
    pub tags: BTreeMap<String, u64>,
    pub layer_count: u64,
    pub tag_count: u64,
}

impl From<&v1::Commit> for CommitView {
    fn from(commit: &v1::Commit) -> CommitView {
        CommitView {
            revision: commit.revision,
            time: time(commit.time.as_ref()),
            actor: commit.actor.clone(),
            credential: commit.credential.clone(),
            address: commit.address.clone(),
            call_id: commit.call_id.clone(),
            source: commit.source().as_str_name(),
            reason: commit.reason.clone(),
            request_id: commit.request_id.clone(),
            annotations: commit.annotations.clone().into_iter().collect(),
            changes: list(&commit.changes),
            compacted_namespaces: commit.compacted_namespaces.clone(),
            hash: commit.chain_hash.clone(),
        }
    }
}

impl From<&v1::ConfigChange> for ConfigChangeView {
    fn from(change: &v1::ConfigChange) -> ConfigChangeView {
        ConfigChangeView {
            namespace: change.namespace.clone(),
            config: change.config.clone(),
            version: change.version,
            layers: list(&change.layers),
            tags: list(&change.tags),
            restored_version: change.restored_version,
            layers_omitted: change.layers_omitted,
        }
    }
}

impl From<&v1::LayerChange> for LayerChangeView {
    fn from(change: &v1::LayerChange) -> LayerChangeView {
        LayerChangeView {
            scope: change.scope.clone(),
            kind: change.kind().as_str_name(),
            action: change.action().as_str_name(),
            digest: change.digest.clone(),
            content: embedded(&change.content),
            expire_time: time(change.expire_time.as_ref()),
        }
    }
}

impl From<&v1::TagChange> for TagChangeView {
    fn from(change: &v1::TagChange) -> TagChangeView {
        TagChangeView { tag: change.tag.clone(), version: change.version }
    }
}

impl From<&v1::VersionInfo> for VersionInfoView {
    fn from(info: &v1::VersionInfo) -> VersionInfoView {
        VersionInfoView {
            version: info.version,
            commit: info.commit.as_ref().map(Into::into),
            tags: info.tags.clone(),
            tags_omitted: info.tags_omitted,
        }
    }
}

impl From<&v1::ConfigInfo> for ConfigInfoView {
    fn from(info: &v1::ConfigInfo) -> ConfigInfoView {
        ConfigInfoView {
            namespace: info.namespace.clone(),
            config: info.config.clone(),
            version: info.version,
            revision: info.revision,
            update_time: time(info.update_time.as_ref()),
            layers: list(&info.layers),
            tags: info.tags.clone().into_iter().collect(),
            layer_count: info.layer_count,
            tag_count: info.tag_count,
        }
    }
}
