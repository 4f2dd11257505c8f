//! YAML 1.2 in and out, as far as it is JSON: string keys, no tags of its own, `true` and `false` as the only booleans.
//! Aliases and merge keys are resolved. Knows no other format.

use serde_json::Value;
use serde_saphyr::options::{NonFiniteFloatPolicy, Options};

use super::tree::Tree;
use super::{DocumentError, DocumentErrorCode};
use crate::model::Pointer;
use crate::model::limits::DEPTH_MAX;

pub fn parse(text: &str, bytes_max: usize) -> Result<Value, DocumentError> {
    let tree = Tree::new(bytes_max);
    let options = options(text.len());
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        tree.build(deserializer)
    })
    .map_err(|error| {
        let mut document_error = tree.into_error(|| what_is_wrong(&error));
        if let Some(location) = error.location() {
            document_error.line = usize::try_from(location.line()).ok();
            document_error.column = usize::try_from(location.column()).ok();
        }
        document_error
    })
}

/// The limits that guard against texts that stand for more than they are: what aliases repeat is bounded by `Tree`, and
/// the work of repeating it here. A text without aliases never reaches them.
fn options(text_bytes: usize) -> Options {
    serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIAS_EVENTS_MAX },
        budget: serde_saphyr::budget! {
            // One level more than `Tree` allows, so that it is the one to refuse, with the place.
            max_depth: DEPTH_MAX + 1,
            max_nodes: text_bytes + ALIAS_EVENTS_MAX,
            max_events: 4 * (text_bytes + ALIAS_EVENTS_MAX),
            max_documents: 2,
            // A key may be as long as any other string.
            simple_key_max_lookahead: text_bytes,
        },
    }
}

/// How many values and ends of values all aliases of a text may stand for.
const ALIAS_EVENTS_MAX: usize = 100_000;

fn what_is_wrong(error: &serde_saphyr::Error) -> (DocumentErrorCode, String) {
    (DocumentErrorCode::MalformedDocument, format!("not YAML: {error}"))
}

pub fn render(value: &Value) -> Result<String, DocumentError> {
    let options = serde_saphyr::ser_options! {
        // Folding long lines would put breaks where the text has none.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(value, options).map_err(|error| {
        let message = format!("YAML cannot express it: {error}");
        DocumentError::new(DocumentErrorCode::FormatCannotExpress, &Pointer::root(), message)
    })
}
