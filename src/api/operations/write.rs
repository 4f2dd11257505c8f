//! The way of every write: its permissions, the one pipeline of the engine, and the layers of its response.

use prost::Message;

use crate::api::context::CallContext;
use crate::api::convert::bounded::MessageSpace;
use crate::api::convert::request;
use crate::api::convert::response::{diff_message, layer_outcome_message};
use crate::api::disclosures::Reached;
use crate::api::guard::{AllowedWrite, allow_write};
use crate::auth::Denied;
use crate::engine::{Error, Intent, LayerOutcome, Outcome};
use crate::model::diff::first_differences;
use crate::model::{Content, Digest, Request, Source};
use crate::proto::v1;

use super::Operations;

/// Differences that an answer tells for one change.
const DIFF_MAX: usize = 100;
/// Layers that an answer names. What a write did is told in an answer that the client can receive, however many layers it changed.
pub(super) const LAYERS_BYTES_MAX: usize = 1 << 20;
/// What an answer tells of all its changes besides their names: differences, and where secrets are. A thousand changes with long names, the
/// findings and the affected targets fit the same message.
const DETAILS_BYTES_MAX: usize = 896 << 10;
/// What is around one item in a message.
const FIELD_BYTES: usize = 6;
/// Content that is compared for an answer, and as many bytes of pointers, for all its changes: Diff tells of the rest.
pub(super) const DIFF_BYTES_MAX: usize = 1 << 20;

/// Takes the options out of a request, with what makes it the same request again: the id, and the digest of all but what does not make it
/// another one.
pub(super) fn options<M: Message>(
    call: &str,
    request: &mut M,
    of: impl Fn(&mut M) -> &mut Option<v1::WriteOptions>,
) -> (v1::WriteOptions, Option<Request>) {
    let options = of(request).take().unwrap_or_default();
    if options.request_id.is_empty() {
        return (options, None);
    }
    let without_id = v1::WriteOptions {
        request_id: String::new(),
        validate_only: false,
        without_backup: false,
        ..options.clone()
    };
    *of(request) = Some(without_id);
    let fingerprint = Digest::of(&[call.as_bytes(), &request.encode_to_vec()].concat());
    *of(request) = None;
    let id = options.request_id.clone();
    (options, Some(Request { id, fingerprint }))
}

impl Operations {
    /// A denial keeps the reason that was given, for the audit log.
    pub(super) fn allow_write(
        &self,
        context: &CallContext,
        options: &v1::WriteOptions,
        intent: Intent,
    ) -> Result<AllowedWrite, Denied> {
        let allowed = allow_write(context, self.viewer(context), intent);
        allowed.map_err(|denied| denied.wanted_because(&options.reason))
    }

    /// The one way to the pipeline.
    pub(super) async fn write(
        &self,
        context: &CallContext,
        write: AllowedWrite,
        source: Source,
        options: v1::WriteOptions,
        request: Option<Request>,
    ) -> Result<Outcome, Error> {
        let AllowedWrite { author, viewer, intent } = write;
        let reached = Reached::by(&intent);
        let asked = self.check_hidden(context, &reached, &intent.governing_ids())?;
        let written =
            self.engine.write(request::write(author, viewer, source, options, request, intent)?).await;
        if let Err(Error::Refused(report)) = &written {
            self.tell_of_hidden(context, &asked, report);
        }
        written
    }
}

pub(super) fn applied(outcome: &Outcome) -> Vec<v1::AppliedChange> {
    let (mut bytes_left, mut pointer_bytes_left) = (DIFF_BYTES_MAX, DIFF_BYTES_MAX);
    let mut space = MessageSpace::of(DETAILS_BYTES_MAX);
    let results = outcome.layers.iter().map(|layer| {
        let mut document = layer_outcome_message(layer, false);
        for pointers in [&mut document.hidden_pointers, &mut document.revealed_pointers] {
            if !space.takes_bytes(pointers.iter().map(|pointer| pointer.len() + FIELD_BYTES).sum()) {
                // Stands for the whole document.
                *pointers = vec![String::new()];
            }
        }
        let mut diff = layer_diff(layer, &mut bytes_left, &mut pointer_bytes_left);
        let fitting = diff.iter().take_while(|change| space.takes_bytes(change.encoded_len() + FIELD_BYTES));
        diff.truncate(fitting.count());
        v1::AppliedChange { document: Some(document), changed: layer.changed, diff }
    });
    results.collect()
}

/// How a layer differs from before. Takes the bytes that it compares from what is left, and is empty if they do not suffice.
pub(super) fn layer_diff(
    layer: &LayerOutcome,
    bytes_left: &mut usize,
    pointer_bytes_left: &mut usize,
) -> Vec<v1::ValueChange> {
    let before = layer.before.as_ref().map(|entry| &entry.layer.content);
    let after = layer.after.as_ref().map(|layer| &layer.content);
    let bytes = [before, after].into_iter().flatten().map(|content| content.as_str().len()).sum();
    let Some(left) = bytes_left.checked_sub(bytes).filter(|_| layer.changed) else {
        return vec![];
    };
    *bytes_left = left;
    let value = |content: Option<&Content>| content.map_or(serde_json::json!({}), Content::to_value);
    let (changes, _) = first_differences(&value(before), &value(after), DIFF_MAX, *pointer_bytes_left);
    let changes = diff_message(changes);
    *pointer_bytes_left -=
        changes.iter().map(|change| change.pointer.len()).sum::<usize>().min(*pointer_bytes_left);
    changes
}
