//! Get and BatchGet: documents, or parts of them, as they are now or were at a point of the past.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message;

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX, field_head};
use crate::api::context::CallContext;
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{document_bytes, document_message};
use crate::api::disclosures::By;
use crate::api::engine_errors::reason_of_missing;
use crate::api::error::ApiError;
use crate::api::guard::{Allowed, allow_read};
use crate::api::unread::UnreadBytes;
use crate::auth::Access;
use crate::engine::{At, Error, Missing, Resolved, State};
use crate::model::Revision;
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::pointer::Pointer;
use crate::model::text::{DocumentError, Format, render};
use crate::proto::v1;

use super::Operations;

/// A part of a document larger than this is read on the threads that may block.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// A batch lets others have their turn after results of so many bytes, of which each counts as some at least.
const YIELD_AFTER_BYTES: usize = 64 << 10;
const RESULT_COST_MIN: usize = 1 << 10;

/// A document in the form that was asked for.
enum ReadDocument {
    /// Whole: its encoding is shared.
    Whole(Bytes),
    /// A part of it, or no content.
    Own(Box<v1::Document>),
}

/// A Get that is answered, or has to wait.
pub enum Got {
    Now(Result<Encoded, ApiError>),
    Later(Allowed<DocumentRead>),
}

impl Operations {
    /// Get, as far as it takes neither waiting nor long work.
    pub fn get_at_once(&self, access: &Access, request: v1::GetRequest, by: By<'_>) -> Got {
        let read = request::read("", request).map_err(ApiError::from);
        let read = match read.and_then(|read| Ok(allow_read(access, read)?)) {
            Ok(read) => read,
            Err(status) => return Got::Now(Err(status)),
        };
        let state = self.engine.state();
        if read.at != At::Latest || !read.pointer.is_root() || read.min_revision > state.revision {
            return Got::Later(read);
        }
        // The newest state is in memory: this never waits.
        let got = self.get_in(&state, &read, access.caller().actor(), by).now_or_never();
        got.map_or_else(|| Got::Later(read), Got::Now)
    }

    pub async fn get_read(
        &self,
        read: &Allowed<DocumentRead>,
        wait_max: std::time::Duration,
        actor: &str,
        by: By<'_>,
    ) -> Result<Encoded, ApiError> {
        let state = self.engine.state_at_least(read.min_revision, wait_max).await?;
        self.get_in(&state, read, actor, by).await
    }

    async fn get_in(
        &self,
        state: &State,
        read: &Allowed<DocumentRead>,
        actor: &str,
        by: By<'_>,
    ) -> Result<Encoded, ApiError> {
        let (found, shown) = self.find(state, read, actor).await?;
        let not_modified = shown.is_none();
        self.gives(shown.as_deref(), by).map_err(Error::from)?;
        let store_revision = state.revision.0;
        Ok(match found {
            // GetResponse { document = 1, not_modified = 2, store_revision = 3 }: what is shared comes last.
            ReadDocument::Whole(document) => {
                let own = v1::GetResponse { document: None, not_modified, store_revision };
                Encoded::around(&own, 1, document)
            }
            ReadDocument::Own(document) => {
                Encoded::of(&v1::GetResponse { document: Some(*document), not_modified, store_revision })
            }
        })
    }

    pub async fn batch_get(
        &self,
        context: &CallContext,
        request: v1::BatchGetRequest,
    ) -> Result<Encoded, ApiError> {
        let (count, max) = (request.requests.len(), self.engine.limits().targets_max);
        if count > max {
            let message = format!("has {count} requests, at most {max} are allowed");
            return Err(request::invalid("requests", message).into());
        }
        let reads = request.requests.into_iter().enumerate();
        let reads = reads.map(|(at, wire)| request::read(&format!("requests[{at}]."), wire));
        let reads = reads.collect::<Result<Vec<DocumentRead>, Error>>()?;
        let reads = reads.into_iter().map(|read| allow_read(context, read)).collect::<Result<Vec<_>, _>>()?;
        let min_revision = reads.iter().map(|read| read.min_revision).max().unwrap_or(Revision::ZERO);
        // Documents of the past are kept by nobody else until the batch is complete.
        let _large = match reads.iter().any(|read| read.at != At::Latest) {
            true => Some(self.engine.begin_large(context.caller().actor()).await),
            false => None,
        };
        let state = self.engine.state_at_least(min_revision, context.wait_max()).await?;
        let (mut batch, mut shown, mut since_yield) = (Batch::of(context), vec![], 0);
        for (at, read) in reads.into_iter().enumerate() {
            let added = match self.find(&state, &read, context.access().caller().actor()).await {
                Ok((found, whose)) => {
                    let not_modified = whose.is_none();
                    shown.extend(whose);
                    let result = v1::BatchGetResult { not_modified, ..Default::default() };
                    match found {
                        ReadDocument::Whole(document) => batch.add(&result, document).await?,
                        ReadDocument::Own(document) => {
                            let document = Some(*document);
                            batch.add(&v1::BatchGetResult { document, ..result }, Bytes::new()).await?
                        }
                    }
                }
                Err(error) => {
                    let result = missing_result(error).map_err(|error| within_request(at, error))?;
                    batch.add(&result, Bytes::new()).await?
                }
            };
            since_yield += added.max(RESULT_COST_MIN);
            if since_yield > YIELD_AFTER_BYTES {
                since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
        self.gives(shown.iter().map(Arc::as_ref), &|| context.clone()).map_err(Error::from)?;
        Ok(batch.encoded(state.revision))
    }

    /// A document, and what it was made of, which is given with it. `None`: the client has it already.
    async fn find(
        &self,
        state: &State,
        read: &Allowed<DocumentRead>,
        actor: &str,
    ) -> Result<(ReadDocument, Option<Arc<Resolved>>), Error> {
        let resolved = self.engine.document(state, &read.target, &read.at, actor).await?;
        if read.if_none_match == Some(resolved.digest) {
            return Ok((ReadDocument::Own(Box::new(document_message(&resolved, read.format, ""))), None));
        }
        let found = match read.pointer.is_root() {
            true if resolved.deliverable(read.format) == read.format => {
                ReadDocument::Whole(document_bytes(&resolved, read.format))
            }
            // Not as a watcher gets it: who reads is told why.
            true => return Err(too_long(&resolved.text(read.format).map_err(cannot_express)?)),
            // A batch may ask for a thousand parts of one large document, without anything in between to wait for.
            false if resolved.content.as_str().len() > INLINE_BYTES_MAX => {
                let (pointer, format, resolved) = (read.pointer.clone(), read.format, resolved.clone());
                let document = self.engine.work(actor, move |_| part(&resolved, &pointer, format)).await?;
                ReadDocument::Own(Box::new(document))
            }
            false => ReadDocument::Own(Box::new(part(&resolved, &read.pointer, read.format)?)),
        };
        Ok((found, Some(resolved)))
    }
}

/// The response to a batch while it is made. Its bytes count as unread from the first result on, so that a client that reads nothing is
/// refused before many batches are in memory.
struct Batch {
    pieces: Vec<Bytes>,
    bytes: usize,
    held: Option<UnreadBytes>,
}

impl Batch {
    fn of(context: &CallContext) -> Batch {
        let held = context.unread().map(|unread| unread.hold(0));
        Batch { pieces: vec![], bytes: 0, held }
    }

    /// Adds a result, whose document is `document` if that is not empty. The bytes that were added.
    async fn add(&mut self, result: &v1::BatchGetResult, document: Bytes) -> Result<usize, ApiError> {
        // BatchGetResponse { results = 1 }, BatchGetResult { document = 1 }: a shared document is the last field of its result.
        let mut own = result.encode_to_vec();
        if !document.is_empty() {
            own.extend_from_slice(&field_head(1, document.len()));
        }
        let head = field_head(1, own.len() + document.len());
        let added = head.len() + own.len() + document.len();
        if self.bytes + added > MESSAGE_BYTES_MAX - (64 << 10) {
            return Err(response_too_large(MESSAGE_BYTES_MAX));
        }
        if let Some(held) = &mut self.held {
            held.grow(added).await?;
        }
        self.bytes += added;
        self.pieces.extend([head, own.into(), document]);
        Ok(added)
    }

    fn encoded(mut self, store_revision: Revision) -> Encoded {
        let end = v1::BatchGetResponse { results: vec![], store_revision: store_revision.0 };
        self.pieces.push(end.encode_to_vec().into());
        let encoded = Encoded::joined(self.pieces);
        match self.held {
            Some(mut held) => {
                held.complete();
                encoded.held_as(held)
            }
            None => encoded,
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

/// A document that is missing is a result of a batch; other errors are errors.
fn missing_result(error: Error) -> Result<v1::BatchGetResult, Error> {
    let reason = match &error {
        Error::NotFound(missing) => reason_of_missing(missing),
        Error::Compacted { .. } | Error::VersionCompacted { .. } => "COMPACTED",
        _ => return Err(error),
    };
    Ok(v1::BatchGetResult {
        error_reason: reason.into(),
        error_message: error.to_string(),
        ..Default::default()
    })
}

/// The document cannot be written in the format that was asked for.
pub(super) fn cannot_express(error: DocumentError) -> Error {
    Error::Document { field: "format".into(), error }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::api::unread::{Unread, UnreadResponses};

    const CONNECTION_BYTES_MAX: usize = 256 << 10;

    fn connection() -> Arc<Unread> {
        UnreadResponses::new(4 * CONNECTION_BYTES_MAX as u64).connection(IpAddr::from([10, 0, 0, 1]))
    }

    fn batch(unread: &Arc<Unread>) -> Batch {
        Batch { pieces: vec![], bytes: 0, held: Some(unread.hold(0)) }
    }

    fn document(bytes: usize) -> v1::Document {
        v1::Document { content: "x".repeat(bytes), ..Default::default() }
    }

    #[tokio::test]
    async fn a_batch_is_the_message_that_its_results_make() {
        let unread = connection();
        let missing = v1::BatchGetResult { error_reason: "COMPACTED".into(), ..Default::default() };
        let part =
            v1::BatchGetResult { document: Some(document(3)), not_modified: true, ..Default::default() };
        let mut batch = batch(&unread);
        batch
            .add(&v1::BatchGetResult::default(), document(700).encode_to_vec().into())
            .await
            .expect("it fits");
        batch.add(&part, Bytes::new()).await.expect("it fits");
        batch.add(&missing, Bytes::new()).await.expect("it fits");
        let encoded = batch.encoded(Revision(7));
        let whole = v1::BatchGetResult { document: Some(document(700)), ..Default::default() };
        let expected = v1::BatchGetResponse { results: vec![whole, part, missing], store_revision: 7 };
        assert_eq!(v1::BatchGetResponse::decode(&*encoded.encode_to_vec()), Ok(expected));
    }

    #[tokio::test]
    async fn batches_that_are_made_at_once_hold_no_more_than_their_connection_may() {
        let unread = connection();
        let half = document(CONNECTION_BYTES_MAX * 6 / 10);
        let part = v1::BatchGetResult { document: Some(half.clone()), ..Default::default() };
        let (mut first, mut second) = (batch(&unread), batch(&unread));
        first.add(&part, Bytes::new()).await.expect("it fits");
        let refused = second.add(&part, Bytes::new()).await.expect_err("there is no room");
        assert_eq!(refused.reason, "TOO_MUCH_UNREAD");
        let whole = Bytes::from(half.encode_to_vec());
        second.add(&v1::BatchGetResult::default(), whole.clone()).await.expect_err("there is no room");
        drop(first);
        second.add(&v1::BatchGetResult::default(), whole).await.expect("there is room again");
    }
}
