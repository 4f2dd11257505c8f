//! YAML 1.2 in and out, as far as it is JSON: string keys, no tags of its own, `true` and `false` as the only booleans.
//! Aliases and merge keys are resolved. Knows no other format.

use serde_json::Value;
use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{NonFiniteFloatPolicy, Options};

use super::tree::Tree;
use super::{DUPLICATE_KEY, DocumentError, DocumentErrorCode};
use crate::model::limits::DEPTH_MAX;
use crate::model::{Pointer, depth};

pub fn parse(text: &str, bytes_max: usize) -> Result<Value, DocumentError> {
    let tree = Tree::new(bytes_max);
    let options = options(text.len());
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        tree.build(deserializer)
    })
    .map_err(|error| {
        let (code, message, key) = what_is_wrong(&error);
        let mut document_error = tree.into_error(code, message, key);
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
            enforce_alias_anchor_ratio: false,
            // A key may be as long as any other string.
            simple_key_max_lookahead: text_bytes,
        },
    }
}

/// How many values and ends of values all aliases of a text may stand for.
const ALIAS_EVENTS_MAX: usize = 100_000;

/// The code, the message, and the key that is meant if it is not in the place already.
fn what_is_wrong(error: &Error) -> (DocumentErrorCode, String, Option<&str>) {
    match error.without_snippet() {
        Error::AliasError { error, .. } => what_is_wrong(error),
        Error::DuplicateMappingKey { key, .. } => {
            (DocumentErrorCode::DuplicateKey, DUPLICATE_KEY.to_owned(), key.as_deref())
        }
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            (DocumentErrorCode::TooDeep, depth::message(), None)
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            let message = "not YAML that is read here: its aliases, anchors or merge keys stand for too much";
            (DocumentErrorCode::LayerTooLarge, message.to_owned(), None)
        }
        Error::MultipleDocuments { .. } => (
            DocumentErrorCode::MalformedDocument,
            "the text has more than one YAML document".to_owned(),
            None,
        ),
        Error::NullIntoString { .. } => {
            (DocumentErrorCode::MalformedDocument, "null is used as a key".to_owned(), None)
        }
        other => {
            let text = other.to_string();
            let place = other
                .location()
                .map(|location| format!(" at line {}, column {}", location.line(), location.column()));
            let message = place.and_then(|place| text.strip_suffix(&place)).unwrap_or(&text);
            // The scanner, which goes ahead of the parser, has no other mark for it.
            if message.contains("recursion limit") {
                return (DocumentErrorCode::TooDeep, depth::message(), None);
            }
            (DocumentErrorCode::MalformedDocument, format!("not YAML: {message}"), None)
        }
    }
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
