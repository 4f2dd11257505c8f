//! The response to BatchGet while it is made: its bytes, the digest of all results, and what they show. Knows messages; no state and no caller.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX, field_head};
use crate::api::context::CallContext;
use crate::api::error::ApiError;
use crate::api::unread::UnreadBytes;
use crate::engine::Resolved;
use crate::model::{Digest, Revision};
use crate::proto::v1;

/// A batch lets others have their turn after results of so many bytes, of which each counts as some at least.
const YIELD_AFTER_BYTES: usize = 64 << 10;
const RESULT_COST_MIN: usize = 1 << 10;
/// What counts for looking at a config that may have no document.
pub const LOOK_COST: usize = 64;

/// A document in the form that was asked for.
pub enum ReadDocument {
    /// Whole: its encoding is shared.
    Whole(Bytes),
    /// A part of it, or no content.
    Own(Box<v1::Document>),
}

/// A document that was found.
pub struct Found {
    pub document: ReadDocument,
    /// What the document was made of, which is given with it.
    pub resolved: Arc<Resolved>,
    /// The client has it already.
    pub not_modified: bool,
}

/// The response to a batch while it is made. Its bytes count as unread from the first result on, so that a client that reads nothing is
/// refused before many batches are in memory.
pub struct Batch {
    /// How many results there are.
    pub count: usize,
    /// Of the contents of all results.
    pub digest: Digest,
    /// What is given with the results.
    pub shown: Vec<Arc<Resolved>>,
    pieces: Vec<Bytes>,
    bytes: usize,
    held: Option<UnreadBytes>,
    since_yield: usize,
}

impl Batch {
    pub fn of(context: &CallContext) -> Batch {
        Batch::holding(context.unread().map(|unread| unread.hold(0)))
    }

    fn holding(held: Option<UnreadBytes>) -> Batch {
        let (count, digest, bytes, since_yield) = (0, Digest::ZERO, 0, 0);
        Batch { count, digest, shown: vec![], pieces: vec![], bytes, held, since_yield }
    }

    pub async fn add_document(&mut self, found: Found) -> Result<(), ApiError> {
        let Found { document, resolved, not_modified } = found;
        let (id, scope) = (&resolved.target.id, &resolved.target.scope);
        let is_masked = !resolved.secrets.hidden().is_empty();
        self.extend_digest(&format!("{id}@{scope} {} {is_masked}", resolved.digest));
        let result = v1::BatchGetResult { not_modified, ..Default::default() };
        if !not_modified {
            self.shown.push(resolved);
        }
        match document {
            ReadDocument::Whole(document) => self.add(&result, document).await,
            ReadDocument::Own(document) => {
                self.add(&v1::BatchGetResult { document: Some(*document), ..result }, Bytes::new()).await
            }
        }
    }

    pub async fn add_missing(&mut self, result: &v1::BatchGetResult) -> Result<(), ApiError> {
        self.extend_digest(&result.error_reason);
        self.add(result, Bytes::new()).await
    }

    fn extend_digest(&mut self, result: &str) {
        self.digest = Digest::chained(self.digest, result.as_bytes());
    }

    /// Lets others have their turn now and then.
    pub async fn step(&mut self, cost: usize) {
        self.since_yield += cost;
        if self.since_yield > YIELD_AFTER_BYTES {
            self.since_yield = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Adds a result, whose document is `document` if that is not empty.
    async fn add(&mut self, result: &v1::BatchGetResult, document: Bytes) -> Result<(), ApiError> {
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
        self.count += 1;
        self.pieces.extend([head, own.into(), document]);
        self.step(added.max(RESULT_COST_MIN)).await;
        Ok(())
    }

    /// The response to a client that has all results.
    pub fn not_modified(self, store_revision: Revision) -> Encoded {
        let (store_revision, digest) = (store_revision.0, self.digest.to_text());
        Encoded::of(&v1::BatchGetResponse { results: vec![], store_revision, digest, not_modified: true })
    }

    pub fn encoded(mut self, store_revision: Revision) -> Encoded {
        let (store_revision, digest) = (store_revision.0, self.digest.to_text());
        let end = v1::BatchGetResponse { results: vec![], store_revision, digest, not_modified: false };
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
        Batch::holding(Some(unread.hold(0)))
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
        let digest = batch.digest.to_text();
        let encoded = batch.encoded(Revision(7));
        let whole = v1::BatchGetResult { document: Some(document(700)), ..Default::default() };
        let expected = v1::BatchGetResponse {
            results: vec![whole, part, missing],
            store_revision: 7,
            digest,
            not_modified: false,
        };
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
