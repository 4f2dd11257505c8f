//! The list of configs, page by page. A config with more layers and tags than one message holds is continued on the next page.

use prost::Message;

use crate::auth::Visibility;
use crate::engine::{Cancelled, ConfigState, Engine, Error, State, Viewer};
use crate::model::{ConfigId, ConfigName, LayerKey, LayerKind, Namespace, Scope, TagName};
use crate::proto::v1;

use super::size::{self, ITEMS_BYTES_MAX, PAGE_BYTES_MAX};
use super::{Operations, page};
use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::bounded::MessageSpace;
use crate::api::convert::request;
use crate::api::convert::response::{config_head, layer_message};
use crate::api::error::ApiError;

/// What an entry of a map has around its key and its number.
const TAG_BYTES: usize = 20;

/// The configs to list, and the place where their page begins.
struct ListQuery {
    /// `None`: all namespaces.
    namespace: Option<Namespace>,
    include_deleted: bool,
    include_governing: bool,
    cursor: Option<ListCursor>,
    size: usize,
    /// The request, which page tokens belong to.
    binding: Vec<u8>,
    visibility: Visibility,
}

/// Where a page begins.
struct ListCursor {
    /// After this config.
    id: ConfigId,
    /// Within this config: after this part of it.
    within: Option<ConfigPart>,
}

/// A part of a config, in the order in which a list has them.
enum ConfigPart {
    Layer(LayerKey),
    Tag(TagName),
}

impl Operations {
    pub async fn list(
        &self,
        access: &CallContext,
        mut request: v1::ListRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(access.rpc(), &request);
        let cursor = page::cursor(&binding, self.engine.epoch(), &page_token)?
            .map(|cursor| ListCursor::parse(&cursor))
            .transpose()?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let namespace = match request.namespace.as_str() {
            "" => None,
            text => Some(request::namespace("namespace", text)?),
        };
        let query = ListQuery {
            namespace,
            include_deleted: request.include_deleted,
            include_governing: request.include_governing,
            cursor,
            size,
            binding,
            visibility: access.visibility(),
        };
        let (engine, state) = (self.engine.clone(), self.engine.state());
        // A page may look at each layer of a thousand configs, and pass by all configs that the caller may not see.
        let list = move |cancelled: &Cancelled| Ok(size::encoded(&query.page(&engine, &state, cancelled)?));
        self.engine.work(access.caller().actor(), list).await?
    }
}

impl ListQuery {
    fn page(self, engine: &Engine, state: &State, cancelled: &Cancelled) -> Result<v1::ListResponse, Error> {
        let ListQuery { namespace, cursor, size, visibility, .. } = &self;
        // The list has no contents.
        let viewer = Viewer::new(visibility.clone());
        let (from, mut within) = match cursor {
            Some(ListCursor { id, within }) => (Some(id.clone()), within.as_ref()),
            None => (namespace.as_ref().map(ConfigId::first_of), None),
        };
        // The config that the page before has begun.
        let begun = from.as_ref().filter(|_| within.is_some()).and_then(|id| state.config(id));
        let listed = begun
            .into_iter()
            .chain(state.configs_after(from.as_ref()))
            .take_while(|config| namespace.as_ref().is_none_or(|namespace| config.id.namespace == *namespace))
            .filter(|config| self.include_deleted || !config.is_deleted())
            .filter(|config| self.include_governing || config.id.config.is_ordinary())
            .filter(|config| visibility.has_config(&config.id.namespace, &config.id.config));
        let token = |place: &str| page::token(&self.binding, engine.epoch(), place);
        let (mut configs, mut bytes, mut next) = (vec![], 0, String::new());
        let mut last: Option<&ConfigId> = None;
        for config in listed {
            cancelled.check()?;
            if configs.len() == *size || bytes > PAGE_BYTES_MAX {
                next = last.map(|id| token(&id.to_string())).unwrap_or_default();
                break;
            }
            let after = within.take().filter(|_| from.as_ref() == Some(&config.id));
            let shown = engine.shown(state, config, &viewer);
            let (message, reached) = part(&shown, visibility, after);
            let own = message.encoded_len();
            if !configs.is_empty() && bytes + own > ITEMS_BYTES_MAX {
                // It goes on the next page, alone if it must.
                next = last.map(|id| token(&id.to_string())).unwrap_or_default();
                break;
            }
            bytes += own;
            configs.push(message);
            if let Some(reached) = reached {
                next = token(&ListCursor { id: config.id.clone(), within: Some(reached) }.text());
                break;
            }
            last = Some(&config.id);
        }
        Ok(v1::ListResponse { configs, next_page_token: next, store_revision: state.revision.0 })
    }
}

/// A config, with as many of its layers and tags after a place as fit a message. Also the place that was reached, if something is left.
fn part(
    config: &ConfigState,
    visibility: &Visibility,
    after: Option<&ConfigPart>,
) -> (v1::ConfigInfo, Option<ConfigPart>) {
    let id = &config.id;
    // Who may read it at the top may read all of it.
    let sees_all = visibility.has(&id.namespace, &id.config, &Scope::global());
    let seen = || {
        let sees = |scope: &Scope| sees_all || visibility.has(&id.namespace, &id.config, scope);
        config.layers().iter().filter(move |entry| sees(&entry.key.scope))
    };
    let mut message = v1::ConfigInfo {
        layer_count: seen().count() as u64,
        tag_count: config.tags().len() as u64,
        ..config_head(config)
    };
    let mut space = MessageSpace::of(ITEMS_BYTES_MAX - message.encoded_len());
    let mut reached = None;
    let layers = seen().filter(|entry| match after {
        Some(ConfigPart::Layer(key)) => entry.key > *key,
        Some(ConfigPart::Tag(_)) => false,
        None => true,
    });
    for entry in layers {
        let layer = layer_message(entry);
        if !space.takes(&layer) {
            return (message, reached);
        }
        message.layers.push(layer);
        reached = Some(ConfigPart::Layer(entry.key.clone()));
    }
    let tags = config.tags().iter().filter(|(tag, _)| match after {
        Some(ConfigPart::Tag(last)) => *tag > last,
        Some(ConfigPart::Layer(_)) | None => true,
    });
    for (tag, version) in tags {
        if !space.takes_bytes(tag.as_str().len() + TAG_BYTES) {
            return (message, reached);
        }
        message.tags.insert(tag.to_string(), version.0);
        reached = Some(ConfigPart::Tag(tag.clone()));
    }
    (message, None)
}

impl ListCursor {
    /// `NAMESPACE/CONFIG`, and within a config also `layer base /SCOPE` or `tag TAG`: names have no spaces.
    fn text(&self) -> String {
        match &self.within {
            None => self.id.to_string(),
            Some(ConfigPart::Layer(LayerKey { kind: LayerKind::Base, scope })) => {
                format!("{} base {scope}", self.id)
            }
            Some(ConfigPart::Layer(LayerKey { kind: LayerKind::Override, scope })) => {
                format!("{} override {scope}", self.id)
            }
            Some(ConfigPart::Tag(tag)) => format!("{} tag {tag}", self.id),
        }
    }

    fn parse(text: &str) -> Result<ListCursor, Error> {
        let layer =
            |kind, scope| Some(ConfigPart::Layer(LayerKey { kind, scope: Scope::parse(scope).ok()? }));
        let read = || {
            let mut words = text.split(' ');
            let (namespace, config) = words.next()?.split_once('/')?;
            let namespace = Namespace::parse(namespace).ok()?;
            let id = ConfigId { namespace, config: ConfigName::parse(config).ok()? };
            let within = match (words.next(), words.next()) {
                (None, _) => None,
                (Some("base"), Some(scope)) => Some(layer(LayerKind::Base, scope)?),
                (Some("override"), Some(scope)) => Some(layer(LayerKind::Override, scope)?),
                (Some("tag"), Some(tag)) => Some(ConfigPart::Tag(TagName::parse(tag).ok()?)),
                (Some(_), _) => return None,
            };
            Some(ListCursor { id, within })
        };
        read().ok_or_else(|| request::invalid("page_token", "is damaged"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back() {
        for text in ["a/b", "a/schema:b base /", "a/b override /eu/x@1", "a/b.c tag v1.2"] {
            assert_eq!(ListCursor::parse(text).expect("a cursor").text(), text);
        }
        for text in ["", "a", "a/b layer", "a/b base", "a/b tag -", "a/b other /"] {
            assert!(ListCursor::parse(text).is_err(), "{text}");
        }
    }
}
