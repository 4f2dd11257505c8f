//! ListOverrides: overrides with what each changes.

use std::ops::ControlFlow;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::bounded::MessageSpace;
use crate::api::convert::request;
use crate::api::convert::response::{diff_message, time_message};
use crate::api::error::ApiError;
use crate::engine::{Error, ListedOverride, OverrideCursor, OverrideQuery, Viewer};
use crate::model::{ConfigName, Scope};
use crate::proto::v1;

use super::changes::may_follow;
use super::size::PAGE_BYTES_MAX;
use super::{Operations, page};

/// The values of the differences of one override.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// A page while it is made.
struct Page {
    overrides: Vec<v1::ListedOverride>,
    bytes: usize,
    size: usize,
}

impl Operations {
    pub async fn list_overrides(
        &self,
        context: &CallContext,
        mut request: v1::ListOverridesRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let (binding, epoch) = (page::binding(context.rpc(), &request), self.engine.epoch());
        let cursor = page::cursor(&binding, epoch, &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let config = match request.config.as_str() {
            "" => None,
            text => Some(request::config_name("config", text)?),
        };
        let query = OverrideQuery {
            namespace: request::namespace("namespace", &request.namespace)?,
            config,
            within: request.scope.as_ref().map(|text| request::scope("", text)).transpose()?,
            changed_before: request
                .changed_before
                .as_ref()
                .map(|time| request::timestamp("changed_before", time))
                .transpose()?,
            only_endless: request.only_endless,
            after: cursor.map(|cursor| read_cursor(&cursor)).transpose()?,
        };
        may_follow(context, Some(&(query.namespace.clone(), query.config.clone())))?;
        let store_revision = self.engine.state().revision.0;
        let page = Page { overrides: vec![], bytes: 0, size };
        let viewer = Viewer::new(context.visibility());
        let actor = context.caller().actor();
        let _large = self.engine.begin_large(actor).await;
        let (page, next) = self.engine.overrides(query, viewer, page, Page::take).await?;
        let next_page_token =
            next.map(|next| page::token(&binding, epoch, &cursor_text(&next))).unwrap_or_default();
        let response =
            v1::ListOverridesResponse { overrides: page.overrides, next_page_token, store_revision };
        self.encoded(actor, response).await
    }
}

impl Page {
    fn take(&mut self, listed: ListedOverride) -> ControlFlow<()> {
        let message = override_message(listed);
        self.bytes += message.encoded_len();
        self.overrides.push(message);
        match self.overrides.len() == self.size || self.bytes >= PAGE_BYTES_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn override_message(listed: ListedOverride) -> v1::ListedOverride {
    let ListedOverride { id, scope, expires, version, made, changes, is_cut } = listed;
    let mut space = MessageSpace::of(VALUES_BYTES_MAX);
    let count = changes.len();
    let changes: Vec<_> =
        diff_message(changes).into_iter().take_while(|change| space.takes(change)).collect();
    let more = is_cut || changes.len() < count;
    let by = made.as_ref().and_then(|made| made.by.clone());
    v1::ListedOverride {
        namespace: id.namespace.to_string(),
        config: id.config.to_string(),
        scope: scope.to_string(),
        changes,
        more,
        expire_time: expires.map(time_message),
        version: version.0,
        revision: made.as_ref().map_or(0, |made| made.at.revision.0),
        time: made.as_ref().map(|made| time_message(made.at.time)),
        actor: by.as_ref().map(|by| by.author.actor.clone()).unwrap_or_default(),
        reason: by.map(|by| by.reason).unwrap_or_default(),
    }
}

/// `CONFIG`, and within a config also `/SCOPE`: names have no spaces.
fn cursor_text(cursor: &OverrideCursor) -> String {
    match &cursor.scope {
        None => cursor.config.to_string(),
        Some(scope) => format!("{} {scope}", cursor.config),
    }
}

fn read_cursor(text: &str) -> Result<OverrideCursor, Error> {
    let read = || {
        let (config, scope) = match text.split_once(' ') {
            None => (text, None),
            Some((config, scope)) => (config, Some(Scope::parse(scope).ok()?)),
        };
        Some(OverrideCursor { config: ConfigName::parse(config).ok()?, scope })
    };
    read().ok_or_else(|| request::invalid("page_token", "is damaged"))
}
