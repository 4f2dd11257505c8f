//! Get and BatchGet: documents, or parts of them, as they are now or were at a point of the past.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::api::call_errors::too_many_documents;
use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::batch::{self, BatchRead};
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{document_bytes, document_message};
use crate::api::disclosures::By;
use crate::api::engine_errors::reason_of_missing;
use crate::api::error::ApiError;
use crate::api::guard::{Allowed, AllowedBatchRead, allow_batch_read, allow_read};
use crate::auth::Access;
use crate::engine::{At, Error, Missing, Resolved, State};
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::pointer::Pointer;
use crate::model::text::{DocumentError, Format, render};
use crate::model::{ConfigId, Revision};
use crate::proto::v1;

use super::Operations;
use super::batch::{Batch, Found, LOOK_COST, ReadDocument};

/// A part of a document larger than this is read on the threads that may block.
const INLINE_BYTES_MAX: usize = 32 << 10;

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
        let Found { document, resolved, not_modified } = self.find(state, read, actor).await?;
        self.gives(Some(&*resolved).filter(|_| !not_modified), by).map_err(Error::from)?;
        let store_revision = state.revision.0;
        Ok(match document {
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
        let held = request::digest("if_none_match", &request.if_none_match)?;
        let reads = request.requests.into_iter().enumerate();
        let reads = reads.map(|(at, wire)| batch::read(&format!("requests[{at}]."), wire));
        let reads = reads.collect::<Result<Vec<BatchRead>, Error>>()?;
        let min_revision = reads.iter().map(BatchRead::min_revision).max().unwrap_or(Revision::ZERO);
        let reads =
            reads.into_iter().map(|read| allow_batch_read(context, read)).collect::<Result<Vec<_>, _>>()?;
        let is_of_past =
            |read: &AllowedBatchRead| matches!(read, AllowedBatchRead::One(read) if read.at != At::Latest);
        // Documents of the past are kept by nobody else until the batch is complete.
        let _large = match reads.iter().any(is_of_past) {
            true => Some(self.engine.begin_large(context.caller().actor()).await),
            false => None,
        };
        let state = self.engine.state_at_least(min_revision, context.wait_max()).await?;
        let (mut batch, actor) = (Batch::of(context), context.access().caller().actor());
        for (at, read) in reads.into_iter().enumerate() {
            match read {
                AllowedBatchRead::One(read) => match self.find(&state, &read, actor).await {
                    Ok(found) => batch.add_document(found).await?,
                    Err(error) => {
                        let missing = missing_result(error).map_err(|error| within_request(at, error))?;
                        batch.add_missing(&missing).await?;
                    }
                },
                AllowedBatchRead::Every(every) => {
                    let mut after = ConfigId::first_of(&every.namespace);
                    loop {
                        batch.step(LOOK_COST).await;
                        let next = state.configs_after(Some(&after)).next();
                        let Some(config) = next.filter(|config| config.id.namespace == every.namespace)
                        else {
                            break;
                        };
                        after = config.id.clone();
                        if !after.config.is_ordinary() || config.is_deleted() {
                            continue;
                        }
                        // What the caller may not read is not there.
                        let Ok(read) = allow_read(context, every.of(&after.config)) else { continue };
                        let found = match self.find(&state, &read, actor).await {
                            Err(Error::NotFound(_)) => continue,
                            found => found.map_err(|error| within_request(at, error))?,
                        };
                        if batch.count == max {
                            return Err(too_many_documents(max));
                        }
                        batch.add_document(found).await?;
                    }
                }
            }
        }
        if held == Some(batch.digest) {
            return Ok(batch.not_modified(state.revision));
        }
        self.gives(batch.shown.iter().map(Arc::as_ref), &|| context.clone()).map_err(Error::from)?;
        Ok(batch.encoded(state.revision))
    }

    /// A document, and what it was made of.
    async fn find(&self, state: &State, read: &Allowed<DocumentRead>, actor: &str) -> Result<Found, Error> {
        let resolved = self.engine.document(state, &read.target, &read.at, actor).await?;
        if read.if_none_match == Some(resolved.digest) {
            let document = ReadDocument::Own(Box::new(document_message(&resolved, read.format, "")));
            return Ok(Found { document, resolved, not_modified: true });
        }
        let document = match read.pointer.is_root() {
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
        Ok(Found { document, resolved, not_modified: false })
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
