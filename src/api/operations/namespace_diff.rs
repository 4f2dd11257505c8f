//! DiffNamespaces: all configs of two namespaces, environments or points in time compared.

use std::ops::ControlFlow;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::bounded::MessageSpace;
use crate::api::convert::request;
use crate::api::convert::response::{diff_message, kind_message};
use crate::api::error::ApiError;
use crate::engine::{DiffCursor, DiffSide, DocumentDifference, Error, NamespaceAt, NamespaceDiff, Viewer};
use crate::model::{ConfigName, LayerKey, LayerKind, Revision, Scope};
use crate::proto::v1;

use super::changes::may_follow;
use super::size::PAGE_BYTES_MAX;
use super::{Operations, page};

/// The values of the differences of one document.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// A page while it is made.
struct Page {
    differences: Vec<v1::DocumentDifference>,
    bytes: usize,
    size: usize,
}

impl Operations {
    pub async fn diff_namespaces(
        &self,
        context: &CallContext,
        mut request: v1::DiffNamespacesRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let (binding, epoch) = (page::binding(context.rpc(), &request), self.engine.epoch());
        let cursor = page::cursor(&binding, epoch, &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let older = side("older", request.older.as_ref(), None)?;
        let newer = side("newer", request.newer.as_ref(), Some(&older))?;
        if older.scope.is_some() != newer.scope.is_some() {
            return Err(request::invalid("newer.scope", "must be set on both sides, or on none").into());
        }
        for side in [&older, &newer] {
            may_follow(context, Some(&(side.namespace.clone(), None)))?;
        }
        let after = cursor.map(|cursor| parse(&cursor)).transpose()?;
        let diff = NamespaceDiff { older, newer, include_governing: request.include_governing, after };
        let page = Page { differences: vec![], bytes: 0, size };
        let viewer = Viewer::new(context.visibility());
        let actor = context.caller().actor();
        let _large = self.engine.begin_large(actor).await;
        let (page, compared) = self.engine.diff_namespaces(diff, viewer, page, Page::take).await?;
        let next_page_token =
            compared.next.map(|next| page::token(&binding, epoch, &text(&next))).unwrap_or_default();
        let response = v1::DiffNamespacesResponse {
            differences: page.differences,
            next_page_token,
            older_revision: compared.older.0,
            newer_revision: compared.newer.0,
        };
        self.encoded(actor, response).await
    }
}

/// One side. What `newer` leaves open is as in `older`, but for the point in time.
fn side(name: &str, side: Option<&v1::NamespaceSide>, older: Option<&DiffSide>) -> Result<DiffSide, Error> {
    use v1::namespace_side::At;
    let side = match (side, older) {
        (Some(side), _) => side.clone(),
        (None, Some(_)) => v1::NamespaceSide::default(),
        (None, None) => return Err(request::invalid(name, "must be set")),
    };
    let namespace = match (side.namespace.as_str(), older) {
        ("", Some(older)) => older.namespace.clone(),
        (text, _) => request::namespace(format_args!("{name}.namespace"), text)?,
    };
    let scope = match (&side.scope, older) {
        (Some(text), _) => Some(request::scope(&format!("{name}."), text)?),
        (None, Some(older)) => older.scope.clone(),
        (None, None) => None,
    };
    let at = match side.at {
        None => NamespaceAt::Latest,
        Some(At::Revision(revision)) => NamespaceAt::Revision(Revision(revision)),
        Some(At::Time(time)) => NamespaceAt::Time(request::timestamp(format_args!("{name}.time"), &time)?),
        Some(At::Tag(text)) => NamespaceAt::Tag(request::tag(format_args!("{name}.tag"), &text)?),
    };
    Ok(DiffSide { namespace, scope, at })
}

impl Page {
    fn take(&mut self, difference: DocumentDifference) -> ControlFlow<()> {
        let message = difference_message(difference);
        self.bytes += message.encoded_len();
        self.differences.push(message);
        match self.differences.len() == self.size || self.bytes >= PAGE_BYTES_MAX {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn difference_message(difference: DocumentDifference) -> v1::DocumentDifference {
    let DocumentDifference { config, key, is_in_older, is_in_newer, changes, is_cut } = difference;
    let mut space = MessageSpace::of(VALUES_BYTES_MAX);
    let count = changes.len();
    let changes: Vec<_> =
        diff_message(changes).into_iter().take_while(|change| space.takes(change)).collect();
    let more = is_cut || changes.len() < count;
    let (scope, kind) = match key {
        Some(LayerKey { kind, scope }) => (scope.to_string(), kind_message(kind)),
        None => (String::new(), v1::LayerKind::Unspecified),
    };
    v1::DocumentDifference {
        config: config.to_string(),
        scope,
        kind: kind.into(),
        only_older: is_in_older && !is_in_newer,
        only_newer: is_in_newer && !is_in_older,
        changes,
        more,
    }
}

/// `OLDER NEWER CONFIG`, and within a config also `base /SCOPE` or `override /SCOPE`: names have no spaces.
fn text(cursor: &DiffCursor) -> String {
    let DiffCursor { older, newer, config, key } = cursor;
    match key {
        None => format!("{older} {newer} {config}"),
        Some(LayerKey { kind, scope }) => format!("{older} {newer} {config} {kind} {scope}"),
    }
}

fn parse(text: &str) -> Result<DiffCursor, Error> {
    let read = || {
        let mut words = text.split(' ');
        let mut number = || Some(Revision(words.next()?.parse().ok()?));
        let (older, newer) = (number()?, number()?);
        let config = ConfigName::parse(words.next()?).ok()?;
        let key = match (words.next(), words.next()) {
            (None, _) => None,
            (Some(kind), scope) => {
                let kind =
                    [LayerKind::Base, LayerKind::Override].into_iter().find(|of| of.to_string() == kind)?;
                Some(LayerKey { kind, scope: Scope::parse(scope?).ok()? })
            }
        };
        Some(DiffCursor { older, newer, config, key })
    };
    read().ok_or_else(|| request::invalid("page_token", "is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        for good in ["1 2 app", "1 2 schema:app base /", "0 7 app override /eu/x@1"] {
            assert_eq!(text(&parse(good).expect("a cursor")), good);
        }
        for bad in ["", "1", "1 2", "x 2 app", "1 2 app other /", "1 2 app base", "1 2 app base x"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
