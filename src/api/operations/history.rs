//! ListVersions: the history of a config, newest first.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::bounded::cut_layers;
use crate::api::convert::request;
use crate::api::convert::response::{commit_message, time_message};
use crate::api::error::ApiError;
use crate::auth::{Resource, Verb, Visibility};
use crate::engine::{ConfigState, Error, Missing, Sealed, VersionRef, Viewer, keep_seen};
use crate::model::{ConfigId, Namespace, Revision, Scope, TagName, Timestamp, Version};
use crate::proto::v1;

use super::size::{ITEMS_BYTES_MAX, PAGE_BYTES_MAX};
use super::{Operations, page};

/// Layers of one version, where not all of them fit.
const LAYERS_BYTES_MAX: usize = 2 << 20;
/// Tags of one version in an answer.
const TAGS_OF_VERSION_MAX: usize = 1000;
/// Versions that are looked at for one page of history, so that a scope that hardly any of them changed does not take for ever.
const VERSIONS_LOOKED_AT_MAX: usize = 1000;

/// A page while it is made.
struct Page {
    versions: Vec<v1::VersionInfo>,
    bytes: usize,
    size: usize,
    include_content: bool,
    id: ConfigId,
    /// Only versions that changed a layer of this scope.
    scope: Option<Scope>,
    visibility: Visibility,
    /// With its tags.
    config: Arc<ConfigState>,
    /// Where the list goes on.
    before: Version,
    looked_at: usize,
    /// There may be versions before that.
    more: bool,
}

impl Operations {
    pub async fn list_versions(
        &self,
        context: &CallContext,
        mut request: v1::ListVersionsRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(context.rpc(), &request);
        let cursor = page::cursor(&binding, self.engine.epoch(), &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let scope = request.scope.as_ref().map(|text| request::scope("", text)).transpose()?;
        let id = request::config_id("", &request.namespace, &request.config)?;
        let place = scope.clone().unwrap_or_else(Scope::global);
        let visibility = context
            .permit(Verb::Read, Resource::Config { id: id.clone(), scope: place })
            .map(|_| context.visibility())?;
        let actor = context.caller().actor();
        let _large = self.engine.begin_large(actor).await;
        let viewer = match request.include_content {
            true => self.viewer(context),
            false => Viewer::new(visibility.clone()),
        };
        let state = self.engine.state();
        let config = state.config(&id).ok_or_else(|| Error::NotFound(Missing::Config(id.clone())))?.clone();
        let before = match cursor {
            Some(cursor) => {
                Version(cursor.parse().map_err(|_| request::invalid("page_token", "is damaged"))?)
            }
            None => config.at.version.next(),
        };
        let include_content = request.include_content;
        let (versions, bytes, looked_at, more) = (vec![], 0, 0, true);
        let mut page = Page {
            versions,
            bytes,
            size,
            include_content,
            id,
            scope,
            visibility,
            config,
            before,
            looked_at,
            more,
        };
        while page.has_room() {
            let read = self.engine.versions(&page.id, page.before, size.min(100), viewer.clone()).await?;
            // Messages of all contents are made, and what was read is dropped.
            let take = move |_: &_| {
                page.take(read);
                Ok(page)
            };
            page = self.engine.work(actor, take).await?;
        }
        let Page { versions, before, more, id: ConfigId { namespace, .. }, .. } = page;
        let next_page_token = match more && before > Version(1) {
            true => page::token(&binding, self.engine.epoch(), &before.to_string()),
            false => String::new(),
        };
        let oldest = match next_page_token.is_empty() && before > Version(1) {
            true => Some(self.oldest_commit(&namespace).await?),
            false => None,
        };
        let response = v1::ListVersionsResponse {
            versions,
            next_page_token,
            store_revision: state.revision.0,
            oldest_revision: oldest.map_or(0, |(revision, _)| revision.0),
            oldest_revision_time: oldest.and_then(|(_, time)| time).map(time_message),
        };
        self.encoded(actor, response).await
    }

    /// The oldest retained revision of a namespace, and its time if it is not compacted meanwhile.
    async fn oldest_commit(&self, namespace: &Namespace) -> Result<(Revision, Option<Timestamp>), Error> {
        let oldest = self.engine.oldest_of(namespace);
        match self.engine.commits(oldest).await {
            Ok(commits) => Ok((oldest, commits.first().map(|sealed| sealed.commit.time))),
            Err(Error::Compacted { oldest, .. }) => Ok((oldest, None)),
            Err(error) => Err(error),
        }
    }
}

impl Page {
    fn has_room(&self) -> bool {
        self.more
            && self.versions.len() < self.size
            && self.bytes < PAGE_BYTES_MAX
            && self.looked_at < VERSIONS_LOOKED_AT_MAX
    }

    /// Takes versions, as many as there is room for.
    fn take(&mut self, read: Vec<(VersionRef, Sealed)>) {
        let mut tags: BTreeMap<Version, Vec<&TagName>> = BTreeMap::new();
        for (tag, version) in self.config.tags() {
            tags.entry(*version).or_default().push(tag);
        }
        self.more = !read.is_empty();
        self.looked_at += read.len();
        for (at, mut sealed) in read {
            self.before = at.version;
            // Who may read one scope of it is not told of others.
            sealed.commit.changes.iter_mut().for_each(|change| keep_seen(&self.visibility, change));
            let namespace = &self.id.namespace;
            // Of a version that is kept although its commit was compacted, nobody knows the scopes.
            let is_told = self.visibility.has_all_of(namespace);
            sealed.commit.forgotten.retain(|part| is_told && part.namespace == *namespace);
            let change = sealed.commit.changes.iter().find(|change| change.id == self.id);
            let is_concerned = match (&self.scope, change) {
                (None, change) => change.is_some() || !sealed.commit.forgotten.is_empty(),
                (Some(_), None) => false,
                (Some(scope), Some(change)) => change.layers.iter().any(|layer| layer.key.scope == *scope),
            };
            if is_concerned {
                let tags = tags.get(&at.version).map(Vec::as_slice).unwrap_or_default();
                let mut version = v1::VersionInfo {
                    version: at.version.0,
                    commit: Some(commit_message(&sealed, change, self.include_content)),
                    tags: tags.iter().take(TAGS_OF_VERSION_MAX).map(|tag| tag.to_string()).collect(),
                    tags_omitted: tags.len().saturating_sub(TAGS_OF_VERSION_MAX) as u64,
                };
                if self.versions.is_empty() {
                    leave_out_what_does_not_fit(&mut version);
                }
                self.bytes += version.encoded_len();
                if !self.versions.is_empty() && self.bytes > ITEMS_BYTES_MAX {
                    // It goes on the next page, alone if it must.
                    self.before = at.version.next();
                    break;
                }
                self.versions.push(version);
            }
            if self.versions.len() == self.size || self.bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
    }
}

/// Cuts a version that is too large for a message of its own: the content of layers goes first, of the last ones first, and then layers.
fn leave_out_what_does_not_fit(version: &mut v1::VersionInfo) {
    let mut excess = version.encoded_len().saturating_sub(ITEMS_BYTES_MAX);
    let changes = version.commit.iter_mut().flat_map(|commit| &mut commit.changes);
    let mut layers: Vec<_> = changes.flat_map(|change| &mut change.layers).collect();
    while let Some(layer) = layers.pop().filter(|_| excess > 0) {
        excess = excess.saturating_sub(std::mem::take(&mut layer.content).len());
    }
    if excess > 0
        && let Some(commit) = &mut version.commit
    {
        cut_layers(&mut commit.changes, LAYERS_BYTES_MAX);
    }
}
