//! ListChanges and GetCommit: commits of the past, with the differences that they made.

use std::ops::ControlFlow;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::bounded::{MessageSpace, cut_layers};
use crate::api::convert::request;
use crate::api::convert::response::{commit_message, diff_message};
use crate::api::error::ApiError;
use crate::auth::{Resource, Verb};
use crate::engine::{ChangeQuery, Error, ListedCommit, ScopeDifference, Viewer};
use crate::model::{Revision, Timestamp};
use crate::proto::v1;

use super::changes::may_follow;
use super::size::PAGE_BYTES_MAX;
use super::{Operations, page};

/// Limits of one commit in a response: the bytes of its layers, with or without content, and the bytes of its differences.
const LAYERS_BYTES_MAX: usize = 1 << 20;
const DIFFERENCES_BYTES_MAX: usize = 1 << 20;

/// A page while it is made.
struct Page {
    commits: Vec<v1::ListedCommit>,
    bytes: usize,
    size: usize,
    include_content: bool,
}

impl Operations {
    pub async fn list_changes(
        &self,
        context: &CallContext,
        mut request: v1::ListChangesRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let (binding, epoch) = (page::binding(context.rpc(), &request), self.engine.epoch());
        let cursor = page::cursor(&binding, epoch, &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let filter = request::change_filter(&request.namespace, &request.config)?;
        may_follow(context, filter.as_ref())?;
        let store_revision = self.engine.state().revision;
        let (asked, from, to) = self.range(&request, store_revision).await?;
        let mut query = ChangeQuery {
            filter,
            within: request.scope.as_ref().map(|text| request::scope("", text)).transpose()?,
            actor: (!request.actor.is_empty()).then(|| request.actor.clone()),
            sources: request::sources(&request.sources)?,
            from,
            to,
            oldest_first: request.oldest_first,
            with_differences: request.include_differences,
        };
        if let Some(cursor) = cursor {
            let cursor = cursor.parse().map_err(|_| request::invalid("page_token", "is damaged"))?;
            match request.oldest_first {
                true => query.from = query.from.max(Revision(cursor)),
                false => query.to = query.to.min(Revision(cursor)),
            }
        }
        let _large = self.engine.begin_large(context.caller().actor()).await;
        let (page, next) = self.listed(context, query, size, request.include_content).await?;
        let next_page_token =
            next.map(|next| page::token(&binding, epoch, &next.to_string())).unwrap_or_default();
        let (commits, store_revision) = (page.commits, store_revision.0);
        let oldest_revision = self.oldest_listed(&request)?.0;
        let response = v1::ListChangesResponse {
            commits,
            next_page_token,
            store_revision,
            oldest_revision,
            compacted: asked.0 < oldest_revision,
        };
        self.encoded(context.caller().actor(), response).await
    }

    pub async fn get_commit(
        &self,
        context: &CallContext,
        request: v1::GetCommitRequest,
    ) -> Result<Encoded, ApiError> {
        let (asked, store) = (Revision(request.revision), self.engine.state().revision);
        if asked == Revision::ZERO {
            return Err(request::invalid("revision", "must be set: the first commit has revision 1").into());
        }
        if asked > store {
            return Err(Error::RevisionInFuture { asked, store }.into());
        }
        let oldest = self.engine.oldest()?;
        if asked < oldest {
            return Err(Error::Compacted { asked, oldest }.into());
        }
        let query = ChangeQuery {
            filter: None,
            within: None,
            actor: None,
            sources: vec![],
            from: asked,
            to: asked,
            oldest_first: true,
            with_differences: true,
        };
        let _large = self.engine.begin_large(context.caller().actor()).await;
        let (page, _) = self.listed(context, query, 1, request.include_content).await?;
        // The caller may read nothing of the commit.
        let denied = || context.access().denied(Verb::Read, Resource::Commit(asked));
        let commit = page.commits.into_iter().next().ok_or_else(denied)?;
        let response = v1::GetCommitResponse { commit: Some(commit), store_revision: store.0 };
        self.encoded(context.caller().actor(), response).await
    }

    async fn listed(
        &self,
        context: &CallContext,
        query: ChangeQuery,
        size: usize,
        include_content: bool,
    ) -> Result<(Page, Option<Revision>), Error> {
        let viewer = match include_content {
            true => self.viewer(context),
            false => Viewer::new(context.visibility()),
        };
        let page = Page { commits: vec![], bytes: 0, size, include_content };
        self.engine.list_changes(query, viewer, page, Page::take).await
    }

    /// The oldest revision that a list can have.
    fn oldest_listed(&self, request: &v1::ListChangesRequest) -> Result<Revision, ApiError> {
        Ok(match request::change_filter(&request.namespace, &request.config)? {
            None => self.engine.oldest()?,
            Some((namespace, _)) => self.engine.oldest_of(&namespace),
        })
    }

    /// The first revision that the request asks for, and the first and the last revision of its list: older ones are not retained.
    async fn range(
        &self,
        request: &v1::ListChangesRequest,
        store: Revision,
    ) -> Result<(Revision, Revision, Revision), ApiError> {
        let (mut from, mut to, oldest) = (Revision(1), store, self.oldest_listed(request)?);
        if request.from_revision > 0 {
            from = Revision(request.from_revision);
            if from > store.next() {
                return Err(Error::RevisionInFuture { asked: from, store }.into());
            }
            if from < oldest {
                return Err(Error::Compacted { asked: from, oldest }.into());
            }
        }
        if let Some(since) = &request.from_time {
            let before = Timestamp(request::timestamp("from_time", since)?.0.saturating_sub(1));
            from = from.max(self.engine.revision_at(before).await?.map_or(Revision(1), Revision::next));
        }
        if let Some(until) = &request.to_time {
            let until = request::timestamp("to_time", until)?;
            to = to.min(self.engine.revision_at(until).await?.unwrap_or(Revision::ZERO));
        }
        Ok((from, from.max(oldest), to))
    }
}

impl Page {
    fn take(&mut self, listed: ListedCommit) -> ControlFlow<()> {
        let message = commit_of(listed, self.include_content);
        self.bytes += message.encoded_len();
        self.commits.push(message);
        match self.commits.len() == self.size || self.bytes >= PAGE_BYTES_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn commit_of(listed: ListedCommit, include_content: bool) -> v1::ListedCommit {
    let ListedCommit { sealed, differences, scopes_omitted, scopes_reached } = listed;
    let mut commit = commit_message(&sealed, &sealed.commit.changes, include_content);
    if commit.encoded_len() > LAYERS_BYTES_MAX {
        // The digests stay.
        let layers = commit.changes.iter_mut().flat_map(|change| &mut change.layers);
        layers.for_each(|layer| layer.content.clear());
        cut_layers(&mut commit.changes, LAYERS_BYTES_MAX);
    }
    let mut space = MessageSpace::of(DIFFERENCES_BYTES_MAX);
    let (mut kept, mut omitted) = (vec![], scopes_omitted as u64);
    for difference in differences {
        match difference_of(difference, &mut space) {
            Some(message) => kept.push(message),
            None => omitted += 1,
        }
    }
    v1::ListedCommit {
        commit: Some(commit),
        differences: kept,
        scopes_omitted: omitted,
        scopes_reached: scopes_reached as u64,
    }
}

/// `None`: there is no space for it.
fn difference_of(difference: ScopeDifference, space: &mut MessageSpace) -> Option<v1::ScopeDifference> {
    let ScopeDifference { id, scope, changes, is_cut } = difference;
    let mut message = v1::ScopeDifference {
        namespace: id.namespace.to_string(),
        config: id.config.to_string(),
        scope: scope.to_string(),
        unknown: changes.is_none(),
        more: is_cut,
        changes: vec![],
    };
    if !space.takes(&message) {
        return None;
    }
    for change in diff_message(changes.unwrap_or_default()) {
        if !space.takes(&change) {
            message.more = true;
            break;
        }
        message.changes.push(change);
    }
    Some(message)
}
