//! A bundle: the documents of all configs of a namespace for one scope, as one content. Knows the messages for it and their headers; that the caller
//! is given what the caller may read, and no more, is up to the RPC.

use std::fmt::Write;

use bytes::{Buf, Bytes};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use prost::Message;
use prost_reflect::DynamicMessage;

use super::content;
use super::errors::{invalid, precondition_failed};
use super::etag::{EntityTag, Tags};
use super::facts::{HIDDEN, REVEALED, STORE_REVISION, read_scope};
use super::headers::{accepted, idempotency_key};
use super::parameters::{Source, decoded, parameters, set};
use super::template::Captures;
use super::transcode::POOL;
use crate::api::body::ResponseBody;
use crate::api::call_errors::unanswered;
use crate::api::codec::{Encoded, FRAME_HEAD_BYTES};
use crate::api::error::ApiError;
use crate::api::rpc::{Rpc, Signature, signature};
use crate::proto::v1;

/// The name that means all configs of a namespace.
const EVERY_CONFIG: &str = "*";
/// Parameters of the query, beside the scope.
const PARAMETERS: [&str; 3] = ["view", "apply_defaults", "min_revision"];

/// How a bundle is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One object, whose members are the documents by the names of their configs.
    Object,
    /// A line of JSON for each document.
    Lines,
}

impl Form {
    /// In the order in which a client that takes both gets one of them.
    const ALL: [Form; 2] = [Form::Object, Form::Lines];

    fn content_type(self) -> &'static str {
        match self {
            Form::Object => "application/json",
            Form::Lines => "application/x-ndjson",
        }
    }

    /// As entity tags name it.
    fn name(self) -> &'static str {
        match self {
            Form::Object => "json",
            Form::Lines => "ndjson",
        }
    }
}

/// A request for the documents of a scope.
pub struct BundleRequest {
    get: v1::GetRequest,
    form: Form,
    none_match: Option<Tags>,
    matches: Option<Tags>,
}

impl BundleRequest {
    pub const ROUTE: &'static str = "/v1/bundles/{namespace}";
    /// The RPC whose operation reads the documents.
    pub const RPC: Rpc = signature::ConfigServiceBatchGet::RPC;

    /// Reads path, query and headers of a request.
    pub fn read(captures: &Captures, head: &Parts) -> Result<BundleRequest, ApiError> {
        let descriptor =
            POOL.get_message_by_name("confwatch.v1.GetRequest").expect("a message of the contract");
        let mut fields = DynamicMessage::new(descriptor);
        let mut scope = None;
        for parameter in parameters(head.uri.query().unwrap_or_default()) {
            let (name, value) = parameter?;
            match name.as_str() {
                "scope" if scope.is_some() => return Err(invalid("scope", "is given twice")),
                "scope" => scope = Some(value),
                known if PARAMETERS.contains(&known) => set(&mut fields, &name, &value, Source::Query)?,
                _ => return Err(invalid(&name, "there is no such parameter")),
            }
        }
        let mut get = v1::GetRequest::decode(&*fields.encode_to_vec()).expect("a message of the same form");
        for (field, value) in captures {
            get.namespace = decoded(field, value)?;
        }
        get.config = EVERY_CONFIG.to_owned();
        get.scope = read_scope(&head.headers, scope)?;
        if idempotency_key(&head.headers)?.is_some() {
            return Err(invalid("idempotency-key", "is for writes"));
        }
        let offered = Form::ALL.map(Form::content_type);
        let accepted = accepted(&head.headers, &offered)?;
        let form = if accepted == Form::Lines.content_type() { Form::Lines } else { Form::Object };
        let none_match = Tags::of(&head.headers, IF_NONE_MATCH)?;
        Ok(BundleRequest { get, form, none_match, matches: Tags::of(&head.headers, IF_MATCH)? })
    }

    /// The message of the call, encoded.
    pub fn message(&self) -> Bytes {
        let held = self.none_match.as_ref().and_then(|tags| tags.digest_of(self.form.name()));
        // A text that is no digest is a tag of something else.
        let if_none_match = held.filter(|digest| digest.starts_with("sha256:") && digest.len() == 71);
        let if_none_match = if_none_match.unwrap_or_default();
        v1::BatchGetRequest { requests: vec![self.get.clone()], if_none_match }.encode_to_vec().into()
    }

    /// The response with the message that answers the call.
    pub fn response(&self, mut message: Encoded) -> Result<Response<ResponseBody>, ApiError> {
        message.advance(FRAME_HEAD_BYTES.min(message.remaining()));
        let got = v1::BatchGetResponse::decode(message)
            .map_err(|error| unanswered().caused_by(format_args!("a bundle cannot be read: {error}")))?;
        let tag = EntityTag::of_digest(&got.digest, self.form.name());
        if self.matches.as_ref().is_some_and(|tags| !tags.match_strongly(&tag)) {
            return Err(precondition_failed(&tag.to_string()));
        }
        let held = self.none_match.as_ref().and_then(|tags| tags.held(&tag));
        let documents = || got.results.iter().filter_map(|result| result.document.as_ref());
        let mut response = match got.not_modified || held.is_some() {
            true => content::empty(StatusCode::NOT_MODIFIED),
            false => {
                let text = match self.form {
                    Form::Object => object(documents()),
                    Form::Lines => lines(documents()),
                };
                let content_type = HeaderValue::from_static(self.form.content_type());
                content::response(StatusCode::OK, content_type, text.into(), None)
            }
        };
        let headers = response.headers_mut();
        let count = |pointers: fn(&v1::Document) -> &Vec<String>| -> usize {
            documents().map(|document| pointers(document).len()).sum()
        };
        for (name, count) in [
            (&HIDDEN, count(|document| &document.hidden_pointers)),
            (&REVEALED, count(|document| &document.revealed_pointers)),
        ] {
            if count > 0 {
                headers.insert(name, count.into());
            }
        }
        if let Ok(tag) = HeaderValue::from_str(&held.unwrap_or_else(|| tag.to_string())) {
            headers.insert(ETAG, tag);
        }
        headers.insert(&STORE_REVISION, got.store_revision.into());
        headers.insert(
            VARY,
            HeaderValue::from_static("accept, accept-encoding, authorization, confwatch-scope"),
        );
        Ok(response)
    }
}

/// The documents by their names. Their contents are JSON already.
fn object<'a>(documents: impl Iterator<Item = &'a v1::Document> + Clone) -> String {
    let bytes =
        documents.clone().map(|document| document.config.len() + document.content.len() + 4).sum::<usize>();
    let mut text = String::with_capacity(bytes + 2);
    text.push('{');
    for (at, document) in documents.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{}:{}", quoted(&document.config), document.content);
    }
    text.push('}');
    text
}

fn lines<'a>(documents: impl Iterator<Item = &'a v1::Document>) -> String {
    let mut text = String::new();
    for document in documents {
        let v1::Document { config, version, revision, digest, content, .. } = document;
        let (config, digest) = (quoted(config), quoted(digest));
        let _ = writeln!(
            text,
            "{{\"config\":{config},\"version\":{version},\"revision\":{revision},\"digest\":{digest},\"document\":{content}}}"
        );
    }
    text
}

fn quoted(text: &str) -> serde_json::Value {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_an_object_or_lines() {
        let document = |config: &str, content: &str| v1::Document {
            config: config.into(),
            content: content.into(),
            version: 2,
            revision: 7,
            digest: "sha256:ab".into(),
            ..Default::default()
        };
        let documents = [document("app", r#"{"a":1}"#), document("flags", "{}")];
        assert_eq!(object(documents.iter()), r#"{"app":{"a":1},"flags":{}}"#);
        assert_eq!(object([].iter()), "{}");
        let lines = lines(documents.iter());
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"config":"app","version":2,"revision":7,"digest":"sha256:ab","document":{"a":1}}"#
        );
        assert_eq!(lines.len(), 2);
    }
}
