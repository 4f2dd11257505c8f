//! Search: values of layers by key, value, author and reason.

use std::ops::ControlFlow;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::{kind_message, time_message};
use crate::api::error::ApiError;
use crate::engine::{Error, Found, NamespaceAt, SearchCursor, SearchQuery, Viewer};
use crate::model::pattern::KeyPattern;
use crate::model::text::{Format, parse};
use crate::model::{ConfigId, ConfigName, Content, LayerKey, LayerKind, Namespace, Revision, Scope};
use crate::proto::v1;

use super::changes::may_follow;
use super::size::PAGE_BYTES_MAX;
use super::{Operations, page};

/// The longest text of a value in a response, and of a text to search for.
const VALUE_BYTES_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 1024;
/// The largest value to search for.
const WANTED_BYTES_MAX: usize = 64 << 10;

/// A page while it is made.
struct Page {
    matches: Vec<v1::SearchMatch>,
    bytes: usize,
    size: usize,
}

impl Operations {
    pub async fn search(
        &self,
        context: &CallContext,
        mut request: v1::SearchRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let (binding, epoch) = (page::binding(context.rpc(), &request), self.engine.epoch());
        let cursor = page::cursor(&binding, epoch, &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let mut query = query(request)?;
        may_follow(context, query.filter.as_ref())?;
        query.after = cursor.map(|cursor| read_cursor(&cursor)).transpose()?;
        let page = Page { matches: vec![], bytes: 0, size };
        let viewer = Viewer::new(context.visibility());
        let actor = context.caller().actor();
        let _large = self.engine.begin_large(actor).await;
        let (page, revision, next) = self.engine.search(query, viewer, page, Page::take).await?;
        let next_page_token =
            next.map(|next| page::token(&binding, epoch, &cursor_text(&next))).unwrap_or_default();
        let response = v1::SearchResponse { matches: page.matches, next_page_token, revision: revision.0 };
        self.encoded(actor, response).await
    }
}

fn query(request: v1::SearchRequest) -> Result<SearchQuery, Error> {
    use v1::search_request::At;
    let filter = request::change_filter(&request.namespace, &request.config)?;
    let at = match request.at {
        None => NamespaceAt::Latest,
        Some(At::Revision(revision)) => NamespaceAt::Revision(Revision(revision)),
        Some(At::Time(time)) => NamespaceAt::Time(request::timestamp("time", &time)?),
        Some(At::Tag(_)) if filter.is_none() => {
            return Err(request::invalid("namespace", "must be set with tag"));
        }
        Some(At::Tag(text)) => NamespaceAt::Tag(request::tag("tag", &text)?),
    };
    let text = |field: &str, text: String| match text.len() {
        0 => Ok(None),
        length if length > TEXT_BYTES_MAX => {
            Err(request::invalid(field, format!("has {length} bytes, at most {TEXT_BYTES_MAX} are allowed")))
        }
        _ => Ok(Some(text)),
    };
    let key = text("key", request.key)?
        .map(|key| KeyPattern::parse(&key).map_err(|error| request::invalid("key", error.to_string())));
    let value = request.value.map(|value| {
        let error = |error| Error::Document { field: "value".into(), error };
        parse(&value, Format::Json, WANTED_BYTES_MAX).map_err(error)
    });
    let in_lower_case = |text: String| text.to_lowercase();
    let query = SearchQuery {
        filter,
        within: request.scope.as_ref().map(|text| request::scope("", text)).transpose()?,
        key: key.transpose()?,
        value: value.transpose()?,
        text: text("text", request.text)?.map(in_lower_case),
        actor: text("actor", request.actor)?,
        reason: text("reason", request.reason)?.map(in_lower_case),
        at,
        after: None,
    };
    let is_any = query.key.is_some()
        || query.value.is_some()
        || query.text.is_some()
        || query.actor.is_some()
        || query.reason.is_some();
    match is_any {
        true => Ok(query),
        false => Err(request::invalid("key", "must be set, or value, text, actor or reason")),
    }
}

impl Page {
    fn take(&mut self, found: Found) -> ControlFlow<()> {
        let message = match_message(found);
        self.bytes += message.encoded_len();
        self.matches.push(message);
        match self.matches.len() == self.size || self.bytes >= PAGE_BYTES_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn match_message(found: Found) -> v1::SearchMatch {
    let Found { id, key, pointer, value, is_secret, version, made } = found;
    let (value, value_cut) = value.map_or_else(Default::default, |value| cut(Content::of(&value).as_str()));
    let by = made.as_ref().and_then(|made| made.by.clone());
    v1::SearchMatch {
        namespace: id.namespace.to_string(),
        config: id.config.to_string(),
        scope: key.scope.to_string(),
        kind: kind_message(key.kind).into(),
        pointer: pointer.to_string(),
        value,
        value_cut,
        secret: is_secret,
        version: version.0,
        revision: made.as_ref().map_or(0, |made| made.at.revision.0),
        time: made.as_ref().map(|made| time_message(made.at.time)),
        actor: by.as_ref().map(|by| by.author.actor.clone()).unwrap_or_default(),
        reason: by.map(|by| by.reason).unwrap_or_default(),
    }
}

/// A text without its end if it is long, and whether it is cut.
fn cut(text: &str) -> (String, bool) {
    match text.char_indices().map(|(at, _)| at).find(|at| *at > VALUE_BYTES_MAX) {
        Some(end) => (text[..end].to_owned(), true),
        None => (text.to_owned(), false),
    }
}

/// `REVISION NAMESPACE/CONFIG`, and within a config also `base /SCOPE COUNT`: names have no spaces.
fn cursor_text(cursor: &SearchCursor) -> String {
    let SearchCursor { revision, id, layer } = cursor;
    match layer {
        None => format!("{revision} {id}"),
        Some((LayerKey { kind, scope }, count)) => format!("{revision} {id} {kind} {scope} {count}"),
    }
}

fn read_cursor(text: &str) -> Result<SearchCursor, Error> {
    let read = || {
        let words: Vec<&str> = text.split(' ').collect();
        let (revision, id, layer) = match words.as_slice() {
            [revision, id] => (revision, id, None),
            [revision, id, kind, scope, count] => {
                let kinds = [LayerKind::Base, LayerKind::Override];
                let kind = kinds.into_iter().find(|of| of.to_string() == *kind)?;
                let key = LayerKey { kind, scope: Scope::parse(scope).ok()? };
                (revision, id, Some((key, count.parse().ok()?)))
            }
            _ => return None,
        };
        let (namespace, config) = id.split_once('/')?;
        let (namespace, config) = (Namespace::parse(namespace).ok()?, ConfigName::parse(config).ok()?);
        let revision = Revision(revision.parse().ok()?);
        Some(SearchCursor { revision, id: ConfigId { namespace, config }, layer })
    };
    read().ok_or_else(|| request::invalid("page_token", "is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        for good in ["1 a/b", "0 a/schema:b base / 7", "9 a/b override /eu/x@1 0"] {
            assert_eq!(cursor_text(&read_cursor(good).expect("a cursor")), good);
        }
        for bad in ["", "1", "x a/b", "1 a", "1 a/b base /", "1 a/b other / 1", "1 a/b base / x"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
