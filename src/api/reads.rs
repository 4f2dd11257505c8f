//! Reads: documents, lists, history, differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message;
use tonic::Status;

use crate::auth::{Access, Resource, Verb};
use crate::engine::{
    At, Cancelled, Error, Explanation, Missing, Resolved, State, Viewer, interruptible, keep_seen,
};
use crate::model::diff::{first_differences, unified};
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::pointer::Pointer;
use crate::model::text::{DocumentError, Format, render, render_pretty_json};
use crate::model::{Revision, Scope, TagName, Version};
use crate::proto::v1;

use super::audited::By;
use super::codec::Encoded;
use super::context::CallContext;
use super::convert::bounded::cut_layers;
use super::convert::request::{self, Read};
use super::convert::response::{
    commit_message, diff_message, document_bytes, document_message, origin_message,
};
use super::guard::{Allowed, allow_read};
use super::status::{reason_of_missing, response_too_large};
use super::{Api, MESSAGE_BYTES_MAX, page};

/// Bytes of one page of a list, beside the item that exceeds them.
pub(super) const PAGE_BYTES_MAX: usize = 1 << 20;

/// Items of a list in one message, with room for what is around them.
pub(super) const ITEMS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (256 << 10);
/// A part of a document larger than this is read on the threads that may block.
const INLINE_BYTES_MAX: usize = 32 << 10;
/// Layers of one version, where not all of them fit.
const LAYERS_BYTES_MAX: usize = 2 << 20;
/// Tags of one version in an answer.
const TAGS_OF_VERSION_MAX: usize = 1000;
/// Versions that are looked at for one page of history, so that a scope that hardly any of them changed does not take for ever.
const VERSIONS_LOOKED_AT_MAX: usize = 1000;

/// A document in the form that was asked for.
enum Found {
    /// Whole: its encoding is shared.
    Whole(Bytes),
    /// A part of it, or no content.
    Own(Box<v1::Document>),
}

/// A Get that is answered, or has to wait.
pub(super) enum Got {
    Now(Result<Encoded, Status>),
    Later(Allowed<Read>),
}

impl Api {
    pub(super) async fn get_document(
        &self,
        context: &CallContext,
        request: v1::GetRequest,
        wait_max: Duration,
    ) -> Result<Encoded, Status> {
        let read = allow_read(context, request::read("", request)?)?;
        self.get_read(&read, wait_max, &|| context.clone()).await
    }

    /// Get, as far as it takes neither waiting nor long work.
    pub(super) fn get_at_once(&self, access: &Access, request: v1::GetRequest, by: By<'_>) -> Got {
        let read = request::read("", request).map_err(Status::from);
        let read = match read.and_then(|read| Ok(allow_read(access, read)?)) {
            Ok(read) => read,
            Err(status) => return Got::Now(Err(status)),
        };
        let state = self.engine.state();
        if read.at != At::Latest || !read.pointer.is_root() || read.min_revision > state.revision {
            return Got::Later(read);
        }
        // The newest state is in memory: this never waits.
        let got = self.get_in(&state, &read, by).now_or_never();
        got.map_or_else(|| Got::Later(read), Got::Now)
    }

    pub(super) async fn get_read(
        &self,
        read: &Allowed<Read>,
        wait_max: Duration,
        by: By<'_>,
    ) -> Result<Encoded, Status> {
        let state = self.engine.state_at_least(read.min_revision, wait_max).await?;
        self.get_in(&state, read, by).await
    }

    async fn get_in(&self, state: &State, read: &Allowed<Read>, by: By<'_>) -> Result<Encoded, Status> {
        let (found, shown) = self.find(state, read).await?;
        let not_modified = shown.is_none();
        self.gives(shown.as_deref(), by).map_err(Error::from)?;
        let store_revision = state.revision.0;
        Ok(match found {
            // GetResponse { document = 1, not_modified = 2, store_revision = 3 }: what is shared comes last.
            Found::Whole(document) => {
                let own = v1::GetResponse { document: None, not_modified, store_revision };
                Encoded::around(&own, 1, document)
            }
            Found::Own(document) => {
                Encoded::of(&v1::GetResponse { document: Some(*document), not_modified, store_revision })
            }
        })
    }

    pub(super) async fn get_documents(
        &self,
        context: &CallContext,
        request: v1::BatchGetRequest,
        wait_max: Duration,
    ) -> Result<v1::BatchGetResponse, Status> {
        let (count, max) = (request.requests.len(), self.engine.limits().targets_max);
        if count > max {
            let message = format!("has {count} requests, at most {max} are allowed");
            return Err(request::invalid("requests", message).into());
        }
        let reads = request.requests.into_iter().enumerate();
        let reads = reads.map(|(at, wire)| request::read(&format!("requests[{at}]."), wire));
        let reads = reads.collect::<Result<Vec<Read>, Error>>()?;
        let reads = reads.into_iter().map(|read| allow_read(context, read)).collect::<Result<Vec<_>, _>>()?;
        let min_revision = reads.iter().map(|read| read.min_revision).max().unwrap_or(Revision::ZERO);
        let state = self.engine.state_at_least(min_revision, wait_max).await?;
        let (mut results, mut shown, mut bytes) = (Vec::with_capacity(count), vec![], 0);
        for (at, read) in reads.into_iter().enumerate() {
            let result = match self.find(&state, &read).await {
                Ok((found, whose)) => {
                    let not_modified = whose.is_none();
                    shown.extend(whose);
                    let document = match found {
                        Found::Whole(bytes) => v1::Document::decode(bytes).expect("it was encoded here"),
                        Found::Own(document) => *document,
                    };
                    v1::BatchGetResult { document: Some(document), not_modified, ..Default::default() }
                }
                Err(error) => missing_result(error).map_err(|error| within_request(at, error))?,
            };
            bytes += result.encoded_len();
            if bytes > MESSAGE_BYTES_MAX - (64 << 10) {
                return Err(response_too_large(MESSAGE_BYTES_MAX));
            }
            results.push(result);
        }
        self.gives(shown.iter().map(Arc::as_ref), &|| context.clone()).map_err(Error::from)?;
        Ok(v1::BatchGetResponse { results, store_revision: state.revision.0 })
    }

    pub(super) async fn explain_document(
        &self,
        context: &CallContext,
        request: v1::ExplainRequest,
    ) -> Result<v1::ExplainResponse, Status> {
        let read = allow_read(context, request::explain(request)?)?;
        let state = self.engine.state();
        let Read { target, at, pointer, .. } = read.into_inner();
        let sight = context.sight();
        let Explanation { resolved, origins, withheld } =
            self.engine.explain(&state, &target, &at, pointer, MESSAGE_BYTES_MAX, sight).await?;
        let origins = origins.ok_or_else(|| response_too_large(MESSAGE_BYTES_MAX))?;
        self.gives([&*resolved], &|| context.clone()).map_err(Error::from)?;
        let values = origins.into_iter().map(|origin| origin_message(origin, &resolved)).collect();
        let document = document_message(&resolved, Format::Json, resolved.content.as_str());
        let withheld = withheld.into_iter().map(|at| document.layers[at].clone()).collect();
        let (document, store_revision) = (Some(document), state.revision.0);
        fitting(v1::ExplainResponse { document, values, store_revision, withheld })
    }

    pub(super) async fn list_history(
        &self,
        context: &CallContext,
        mut request: v1::ListVersionsRequest,
    ) -> Result<v1::ListVersionsResponse, Status> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = request.encode_to_vec();
        let cursor = page::cursor(&binding, self.engine.epoch(), &page_token)?;
        let size = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let scope = request.scope.as_ref().map(|text| request::scope("", text)).transpose()?;
        let id = request::config_id("", &request.namespace, &request.config)?;
        let place = scope.clone().unwrap_or_else(Scope::global);
        let sight = context
            .permit(Verb::Read, Resource::Config { id: id.clone(), scope: place })
            .map(|_| context.sight())?;
        let viewer = match request.include_content {
            true => self.viewer(context),
            false => Viewer::new(sight.clone()),
        };
        let state = self.engine.state();
        let config = state.config(&id).ok_or_else(|| Error::NotFound(Missing::Config(id.clone())))?;
        let mut tags: BTreeMap<Version, Vec<&TagName>> = BTreeMap::new();
        for (tag, version) in config.tags() {
            tags.entry(*version).or_default().push(tag);
        }
        let mut before = match cursor {
            Some(cursor) => {
                Version(cursor.parse().map_err(|_| request::invalid("page_token", "is damaged"))?)
            }
            None => config.at.version.next(),
        };
        let (mut versions, mut bytes, mut looked_at, mut more) = (Vec::new(), 0, 0, true);
        while more && versions.len() < size && bytes < PAGE_BYTES_MAX && looked_at < VERSIONS_LOOKED_AT_MAX {
            let read = self.engine.versions(&id, before, size.min(100), viewer.clone()).await?;
            more = !read.is_empty();
            looked_at += read.len();
            for (at, mut sealed) in read {
                before = at.version;
                // Who may read one scope of it is not told of others.
                sealed.commit.changes.iter_mut().for_each(|change| keep_seen(&sight, change));
                let change = sealed.commit.changes.iter().find(|change| change.id == id);
                let concerned = |change: &&crate::model::ConfigChange| {
                    scope
                        .as_ref()
                        .is_none_or(|scope| change.layers.iter().any(|layer| layer.key.scope == *scope))
                };
                if let Some(change) = change.filter(concerned) {
                    let tags = tags.get(&at.version).map(Vec::as_slice).unwrap_or_default();
                    let mut version = v1::VersionInfo {
                        version: at.version.0,
                        commit: Some(commit_message(&sealed, [change], request.include_content)),
                        tags: tags.iter().take(TAGS_OF_VERSION_MAX).map(|tag| tag.to_string()).collect(),
                        tags_omitted: tags.len().saturating_sub(TAGS_OF_VERSION_MAX) as u64,
                    };
                    if versions.is_empty() {
                        leave_out_what_does_not_fit(&mut version);
                    }
                    bytes += version.encoded_len();
                    if !versions.is_empty() && bytes > ITEMS_BYTES_MAX {
                        // It goes on the next page, alone if it must.
                        before = at.version.next();
                        break;
                    }
                    versions.push(version);
                }
                if versions.len() == size || bytes >= PAGE_BYTES_MAX {
                    break;
                }
            }
        }
        let next_page_token = match more && before > Version(1) {
            true => page::token(&binding, self.engine.epoch(), &before.to_string()),
            false => String::new(),
        };
        fitting(v1::ListVersionsResponse { versions, next_page_token, store_revision: state.revision.0 })
    }

    pub(super) async fn diff_documents(
        &self,
        context: &CallContext,
        request: v1::DiffRequest,
        wait_max: Duration,
    ) -> Result<v1::DiffResponse, Status> {
        let (from, to, format, context_lines) = request::diff(request)?;
        let (from, to) = (allow_read(context, from)?, allow_read(context, to)?);
        let state = self.engine.state_at_least(from.min_revision.max(to.min_revision), wait_max).await?;
        let (old, new) = (self.side(&state, &from).await?, self.side(&state, &to).await?);
        let sides = [&old, &new].into_iter().flatten();
        self.gives(sides.map(Arc::as_ref), &|| context.clone()).map_err(Error::from)?;
        let [from, to] = [(&from, &old), (&to, &new)].map(|(read, side)| {
            let version = side.as_ref().map_or("none".to_owned(), |resolved| resolved.at.version.to_string());
            format!("{}@{} version {version}", read.target.id, read.target.scope)
        });
        let compare = move |cancelled: &Cancelled| {
            let compared = compare(old.as_deref(), new.as_deref(), &from, &to, format, context_lines)?;
            let Some((changes, unified)) = compared else { return Ok(None) };
            cancelled.check()?;
            let head = |side: Option<Arc<Resolved>>| side.map(|side| document_message(&side, format, ""));
            let store_revision = state.revision.0;
            Ok(Some(v1::DiffResponse {
                older: head(old),
                newer: head(new),
                changes,
                unified,
                store_revision,
            }))
        };
        // Two large documents without a line in common take seconds, in which other calls go on.
        let compared = self.engine.work(context.access().caller().actor(), compare).await?;
        let response: v1::DiffResponse = compared.ok_or_else(|| response_too_large(MESSAGE_BYTES_MAX))?;
        fitting(response)
    }

    /// A document, and what it was made of, which is given with it. `None`: the client has it already.
    async fn find(
        &self,
        state: &State,
        read: &Allowed<Read>,
    ) -> Result<(Found, Option<Arc<Resolved>>), Error> {
        let resolved = self.engine.document(state, &read.target, &read.at).await?;
        if read.if_none_match == Some(resolved.digest) {
            return Ok((Found::Own(Box::new(document_message(&resolved, read.format, ""))), None));
        }
        let found = match read.pointer.is_root() {
            true if resolved.deliverable(read.format) == read.format => {
                Found::Whole(document_bytes(&resolved, read.format))
            }
            // Not as a watcher gets it: who reads is told why.
            true => return Err(too_long(&resolved.text(read.format).map_err(cannot_express)?)),
            // A batch may ask for a thousand parts of one large document, without anything in between to wait for.
            false if resolved.content.as_str().len() > INLINE_BYTES_MAX => {
                let (pointer, format, resolved) = (read.pointer.clone(), read.format, resolved.clone());
                let document = interruptible(move |_| part(&resolved, &pointer, format)).await?;
                Found::Own(Box::new(document))
            }
            false => Found::Own(Box::new(part(&resolved, &read.pointer, read.format)?)),
        };
        Ok((found, Some(resolved)))
    }

    /// One side of a diff. `None` if there is no document: to be compared as an empty one.
    async fn side(&self, state: &State, read: &Allowed<Read>) -> Result<Option<Arc<Resolved>>, Error> {
        match self.engine.document(state, &read.target, &read.at).await {
            Ok(resolved) => Ok(Some(resolved)),
            // Without the config, or at a point before it, there is nothing; a version that never was is a mistake.
            Err(Error::NotFound(missing)) if reason_of_missing(&missing) == "CONFIG_NOT_FOUND" => Ok(None),
            Err(Error::NotFound(Missing::VersionAtRevision(..) | Missing::VersionAtTime(..))) => Ok(None),
            Err(_) if read.at == At::Version(Version::ZERO) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A document with a part of its content.
fn part(resolved: &Resolved, pointer: &Pointer, format: Format) -> Result<v1::Document, Error> {
    let value = resolved.content.to_value();
    let missing = || Missing::Value(resolved.target.id.clone(), pointer.to_string());
    let part = pointer.find(&value).ok_or_else(missing)?;
    let text = render(part, format).map_err(cannot_express)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_long(&text));
    }
    Ok(document_message(resolved, format, &text))
}

/// The answer, if clients can receive it.
pub(super) fn fitting<M: Message>(response: M) -> Result<M, Status> {
    match response.encoded_len() <= MESSAGE_BYTES_MAX {
        true => Ok(response),
        false => Err(response_too_large(MESSAGE_BYTES_MAX)),
    }
}

/// What differs between two documents, as values and as text; no document is an empty one. `None` if it is too much for an answer.
fn compare(
    old: Option<&Resolved>,
    new: Option<&Resolved>,
    old_label: &str,
    new_label: &str,
    format: Format,
    context_lines: usize,
) -> Result<Option<(Vec<v1::ValueChange>, String)>, Error> {
    let [old, new] = [old, new]
        .map(|side| side.map_or_else(|| serde_json::json!({}), |resolved| resolved.content.to_value()));
    let (changes, is_all) = first_differences(&old, &new, usize::MAX, MESSAGE_BYTES_MAX);
    if !is_all {
        return Ok(None);
    }
    if changes.is_empty() {
        return Ok(Some((vec![], String::new())));
    }
    let text = |value: &serde_json::Value| match format {
        Format::Json => Ok(render_pretty_json(value)),
        Format::Yaml | Format::Toml => render(value, format).map_err(cannot_express),
    };
    let unified = unified(&text(&old)?, &text(&new)?, old_label, new_label, context_lines);
    Ok(Some((diff_message(changes), unified)))
}

/// The document cannot be written in the format that was asked for.
fn cannot_express(error: DocumentError) -> Error {
    Error::Document { field: "format".into(), error }
}

/// The text fits no message, as YAML may not where JSON does.
fn too_long(text: &str) -> Error {
    let bytes = text.len();
    let message = format!("the text has {bytes} bytes in this format, at most {TEXT_BYTES_MAX} are answered");
    request::invalid("format", message)
}

/// An error of one request of a batch, whose fields are named as those of the batch.
fn within_request(at: usize, error: Error) -> Error {
    match error {
        Error::Document { field, error } => {
            Error::Document { field: format!("requests[{at}].{field}"), error }
        }
        Error::Invalid { field, message } => {
            Error::Invalid { field: format!("requests[{at}].{field}"), message }
        }
        error => error,
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

/// A document that is missing is a result of a batch; other errors are errors.
fn missing_result(error: Error) -> Result<v1::BatchGetResult, Error> {
    let reason = match &error {
        Error::NotFound(missing) => reason_of_missing(missing),
        Error::Compacted { .. } => "COMPACTED",
        _ => return Err(error),
    };
    Ok(v1::BatchGetResult {
        error_reason: reason.into(),
        error_message: error.to_string(),
        ..Default::default()
    })
}
