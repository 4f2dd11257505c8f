//! Documents and layers as such: their text is the content of a request or a response, in the format that its header names. Knows the messages
//! for it and their headers; what a call does is the same as for its RPC.

use bytes::{Buf, Bytes};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use prost::Message;
use prost_reflect::DynamicMessage;

use super::content;
use super::errors::{
    invalid, malformed_content, match_required, precondition_failed, unsupported_media_type, weak_tag,
};
use super::etag::{EntityTag, Tags};
use super::facts::{HIDDEN, REVEALED, SCOPE, STORE_REVISION, read_scope};
use super::headers::{accepted, content_type, idempotency_key};
use super::parameters::{Source, decoded, parameters, set};
use super::template::Captures;
use super::transcode::{json, method};
use crate::api::body::ResponseBody;
use crate::api::codec::{Encoded, FRAME_HEAD_BYTES};
use crate::api::error::ApiError;
use crate::api::rpc::{Rpc, Signature, signature};
use crate::proto::v1;

static VERSION: HeaderName = HeaderName::from_static("confwatch-version");
static REVISION: HeaderName = HeaderName::from_static("confwatch-revision");
static DIGEST: HeaderName = HeaderName::from_static("confwatch-digest");

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
/// Formats of documents and their media types, of which the first is answered.
const FORMATS: [(v1::Format, &[&str]); 3] = [
    (v1::Format::Json, &[JSON]),
    (v1::Format::Yaml, &["application/yaml", "text/yaml", "application/x-yaml"]),
    (v1::Format::Toml, &["application/toml", "text/x-toml"]),
];

/// What is done with a document or a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentCall {
    /// Reads the document of a scope.
    Read,
    ReadLayer,
    ReplaceLayer,
    PatchLayer,
    DeleteLayer,
    /// Deletes all layers of a config.
    DeleteConfig,
}

impl DocumentCall {
    /// The paths, with their methods.
    pub const ROUTES: [(&'static str, Method, DocumentCall); 6] = {
        const CONFIG: &str = "/v1/namespaces/{namespace}/configs/{config}";
        const LAYER: &str = "/v1/namespaces/{namespace}/configs/{config}/layers/{scope=**}";
        [
            (CONFIG, Method::GET, DocumentCall::Read),
            (CONFIG, Method::DELETE, DocumentCall::DeleteConfig),
            (LAYER, Method::GET, DocumentCall::ReadLayer),
            (LAYER, Method::PUT, DocumentCall::ReplaceLayer),
            (LAYER, Method::PATCH, DocumentCall::PatchLayer),
            (LAYER, Method::DELETE, DocumentCall::DeleteLayer),
        ]
    };

    /// The RPC whose operation does it.
    pub fn rpc(self) -> Rpc {
        match self {
            DocumentCall::Read | DocumentCall::ReadLayer => signature::ConfigServiceGet::RPC,
            DocumentCall::ReplaceLayer | DocumentCall::PatchLayer => signature::ConfigServiceSet::RPC,
            DocumentCall::DeleteLayer | DocumentCall::DeleteConfig => signature::ConfigServiceDelete::RPC,
        }
    }

    pub fn is_read(self) -> bool {
        match self {
            DocumentCall::Read | DocumentCall::ReadLayer => true,
            DocumentCall::ReplaceLayer
            | DocumentCall::PatchLayer
            | DocumentCall::DeleteLayer
            | DocumentCall::DeleteConfig => false,
        }
    }

    /// What a parameter of the query sets in the message of the RPC. `None`: there is no such parameter.
    fn field(self, parameter: &str) -> Option<&'static str> {
        const READ: [&str; 8] =
            ["version", "tag", "revision", "time", "pointer", "min_revision", "apply_defaults", "view"];
        const OPTIONS: [(&str, &str); 3] = [
            ("reason", "options.reason"),
            ("validate_only", "options.validate_only"),
            ("without_backup", "options.without_backup"),
        ];
        const CHANGE: [(&str, &str); 2] = [("kind", "change.kind"), ("ttl", "change.ttl")];
        let named = |names: &[(&str, &'static str)]| {
            names.iter().find(|(name, _)| *name == parameter).map(|(_, field)| *field)
        };
        let read = || READ.into_iter().find(|name| *name == parameter);
        match self {
            DocumentCall::Read => read(),
            // The kind of a layer is its view.
            DocumentCall::ReadLayer if parameter == "kind" => Some("view"),
            DocumentCall::ReadLayer => read().filter(|name| !matches!(*name, "view" | "apply_defaults")),
            DocumentCall::ReplaceLayer | DocumentCall::PatchLayer => {
                named(&CHANGE).or_else(|| named(&OPTIONS))
            }
            DocumentCall::DeleteLayer if parameter == "kind" => Some("kind"),
            DocumentCall::DeleteLayer | DocumentCall::DeleteConfig => named(&OPTIONS),
        }
    }
}

/// What a request names: `scope` is `None` for a config as a whole.
#[derive(Default)]
struct Names {
    namespace: String,
    config: String,
    scope: Option<String>,
}

/// A request for a document or a layer, as far as its path and its headers say.
pub struct DocumentRequest {
    call: DocumentCall,
    names: Names,
    /// The other fields that the query and the headers set. Most requests set none.
    fields: Option<DynamicMessage>,
    /// Of the response to a read.
    format: v1::Format,
    media_type: &'static str,
    none_match: Option<Tags>,
    matches: Option<Tags>,
    /// The digest of the one document that the client has in this format: it need not be written again.
    held_digest: Option<String>,
}

/// The state of a config or layer without which a write is refused.
#[derive(Default)]
struct Precondition {
    expected_version: Option<u64>,
    must_exist: bool,
}

impl DocumentRequest {
    /// Reads path, query and headers of a request.
    pub fn read(call: DocumentCall, captures: &Captures, head: &Parts) -> Result<DocumentRequest, ApiError> {
        let mut names = Names::default();
        for (field, value) in captures {
            let value = decoded(field, value)?;
            match field.as_str() {
                "namespace" => names.namespace = value,
                "config" => names.config = value,
                _ => names.scope = Some(value),
            }
        }
        let mut fields = None;
        let mut set = |field: &str, value: &str, source| {
            let fields = fields.get_or_insert_with(|| DynamicMessage::new(method(call.rpc()).input()));
            set(fields, field, value, source)
        };
        for parameter in parameters(head.uri.query().unwrap_or_default()) {
            let (name, value) = parameter?;
            if call == DocumentCall::Read && name == "scope" {
                match names.scope {
                    Some(_) => return Err(invalid("scope", "is given twice")),
                    None => names.scope = Some(value),
                }
                continue;
            }
            let field = call.field(&name).ok_or_else(|| invalid(&name, "there is no such parameter"))?;
            let value = match (call, name.as_str(), value.as_str()) {
                (DocumentCall::ReadLayer, "kind", "base" | "LAYER_KIND_BASE") => "VIEW_LAYER".to_owned(),
                (DocumentCall::ReadLayer, "kind", "override" | "LAYER_KIND_OVERRIDE") => {
                    "VIEW_OVERRIDE_LAYER".to_owned()
                }
                (DocumentCall::ReadLayer, "kind", _) => {
                    return Err(invalid("kind", "must be `base` or `override`"));
                }
                _ => value,
            };
            set(field, &value, Source::Query)?;
        }
        if call == DocumentCall::Read {
            names.scope = Some(read_scope(&head.headers, names.scope)?);
        }
        if let Some(key) = idempotency_key(&head.headers)? {
            match call.is_read() {
                true => return Err(invalid("idempotency-key", "is for writes")),
                false => set("options.request_id", key, Source::Path)?,
            }
        }
        let (none_match, matches) =
            (Tags::of(&head.headers, IF_NONE_MATCH)?, Tags::of(&head.headers, IF_MATCH)?);
        let (format, media_type) = match call.is_read() {
            true => format_accepted(&head.headers)?,
            false => (v1::Format::Unspecified, accepted(&head.headers, &[JSON]).map(|_| JSON)?),
        };
        let held_digest = match (call, &none_match) {
            (DocumentCall::Read, Some(tags)) => tags.digest_in(format),
            _ => None,
        };
        Ok(DocumentRequest { call, names, fields, format, media_type, none_match, matches, held_digest })
    }

    /// The message of the call, encoded.
    pub fn message(&self, headers: &HeaderMap, text: Bytes) -> Result<Bytes, ApiError> {
        let Names { namespace, config, scope } = &self.names;
        let (namespace, config) = (namespace.clone(), config.clone());
        let message: Vec<u8> = match self.call {
            DocumentCall::Read | DocumentCall::ReadLayer => {
                refuse_content(&text)?;
                let mut request: v1::GetRequest = self.fields();
                (request.namespace, request.config) = (namespace, config);
                request.scope = scope.clone().unwrap_or_default();
                request.format = self.format.into();
                if self.call == DocumentCall::ReadLayer && request.view == 0 {
                    request.view = v1::View::Layer.into();
                }
                request.if_none_match = self.held_digest.clone().unwrap_or_default();
                request.encode_to_vec()
            }
            DocumentCall::ReplaceLayer | DocumentCall::PatchLayer => {
                let mut request: v1::SetRequest = self.fields();
                let change = request.change.get_or_insert_default();
                (change.namespace, change.config) = (namespace, config);
                change.scope = scope.clone().unwrap_or_default();
                change.action = Some(action(self.call, headers, text)?);
                let precondition = self.precondition()?;
                change.expected_version = precondition.expected_version;
                change.must_exist = precondition.must_exist;
                request.encode_to_vec()
            }
            DocumentCall::DeleteLayer | DocumentCall::DeleteConfig => {
                refuse_content(&text)?;
                let mut request: v1::DeleteRequest = self.fields();
                (request.namespace, request.config) = (namespace, config);
                request.scope = scope.clone();
                let precondition = self.precondition()?;
                let is_try = request.options.as_ref().is_some_and(|options| options.validate_only);
                let is_confirmed = precondition.expected_version.is_some() || precondition.must_exist;
                if self.call == DocumentCall::DeleteConfig && !is_try && !is_confirmed {
                    return Err(match_required(
                        "a config as a whole is deleted with If-Match alone: \"vN\" for its version N, or * for any. With validate_only=true nothing is \
                         deleted, and the response says what would be, and whom it reaches",
                    ));
                }
                request.expected_version = precondition.expected_version;
                request.must_exist = precondition.must_exist;
                request.encode_to_vec()
            }
        };
        Ok(message.into())
    }

    /// The fields that were set by their names.
    fn fields<M: Message + Default>(&self) -> M {
        self.fields.as_ref().map(|fields| decode(fields.encode_to_vec().as_slice())).unwrap_or_default()
    }

    /// The response with the message that answers the call. `None`: the client has the document in another form, and the call is to be made
    /// again, for the document itself.
    pub fn response(&mut self, mut message: Encoded) -> Result<Option<Response<ResponseBody>>, ApiError> {
        message.advance(FRAME_HEAD_BYTES.min(message.remaining()));
        let response = match self.call {
            DocumentCall::Read | DocumentCall::ReadLayer => {
                let got: v1::GetResponse = decode(message);
                if got.not_modified && self.held(got.document.as_ref()).is_none() {
                    self.held_digest = None;
                    return Ok(None);
                }
                self.document(got)?
            }
            DocumentCall::ReplaceLayer | DocumentCall::PatchLayer => {
                let message = message.copy_to_bytes(message.remaining());
                let set: v1::SetResponse = decode(message.clone());
                let is_new = set.changed && self.none_match.as_ref().is_some_and(Tags::is_any);
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                let json = json(&method(self.call.rpc()).output(), message)?;
                let mut response = content::response(status, HeaderValue::from_static(JSON), json, None);
                if let Some(document) = &set.document {
                    self.add_facts(document, response.headers_mut());
                    add_tag(&self.tag(document).to_string(), response.headers_mut());
                }
                response.headers_mut().insert(&STORE_REVISION, set.store_revision.into());
                response
            }
            DocumentCall::DeleteLayer | DocumentCall::DeleteConfig => {
                let message = message.copy_to_bytes(message.remaining());
                let deleted: v1::DeleteResponse = decode(message.clone());
                let json = json(&method(self.call.rpc()).output(), message)?;
                let mut response =
                    content::response(StatusCode::OK, HeaderValue::from_static(JSON), json, None);
                response.headers_mut().insert(&VERSION, deleted.version.into());
                response.headers_mut().insert(&STORE_REVISION, deleted.store_revision.into());
                response
            }
        };
        Ok(Some(response))
    }

    /// The error of the call, as its client has to take it: a precondition in a header has a status of its own.
    pub fn error(&self, error: ApiError) -> ApiError {
        let has_precondition = self.matches.is_some() || self.none_match.is_some();
        match error.reason {
            "VERSION_MISMATCH" if has_precondition => error.answered_with(StatusCode::PRECONDITION_FAILED),
            _ => error,
        }
    }

    /// The tag by which the client has this document, in this form.
    fn held(&self, document: Option<&v1::Document>) -> Option<String> {
        self.none_match.as_ref()?.held(&self.tag(document?))
    }

    fn document(&self, got: v1::GetResponse) -> Result<Response<ResponseBody>, ApiError> {
        let v1::GetResponse { document, not_modified, store_revision } = got;
        let mut document = document.unwrap_or_default();
        let tag = self.tag(&document);
        if self.matches.as_ref().is_some_and(|tags| !tags.match_strongly(&tag)) {
            return Err(precondition_failed(&tag.to_string()));
        }
        let held = self.held(Some(&document));
        let mut response = match not_modified || held.is_some() {
            true => content::empty(StatusCode::NOT_MODIFIED),
            false => {
                let text = Bytes::from(std::mem::take(&mut document.content));
                content::response(StatusCode::OK, HeaderValue::from_static(self.media_type), text, None)
            }
        };
        let headers = response.headers_mut();
        self.add_facts(&document, headers);
        add_tag(&held.unwrap_or_else(|| tag.to_string()), headers);
        headers.insert(&STORE_REVISION, store_revision.into());
        headers.insert(
            VARY,
            HeaderValue::from_static("accept, accept-encoding, authorization, confwatch-scope"),
        );
        Ok(response)
    }

    /// What is known of a document, as headers.
    fn add_facts(&self, document: &v1::Document, headers: &mut HeaderMap) {
        let text = |value: &str| HeaderValue::from_str(value).ok();
        let count = |pointers: &[String]| match pointers {
            // Too many to list.
            [root] if root.is_empty() => HeaderValue::from_static("many"),
            pointers => HeaderValue::from(pointers.len()),
        };
        headers.insert(&VERSION, document.version.into());
        headers.insert(&REVISION, document.revision.into());
        if let Some(digest) = text(&document.digest) {
            headers.insert(&DIGEST, digest);
        }
        if let Some(scope) = text(&document.scope) {
            headers.insert(&SCOPE, scope);
        }
        if !document.hidden_pointers.is_empty() {
            headers.insert(&HIDDEN, count(&document.hidden_pointers));
        }
        if !document.revealed_pointers.is_empty() {
            headers.insert(&REVEALED, count(&document.revealed_pointers));
        }
    }

    /// Of a document: its content and how it is written. Of a layer: the version of its last change, on which a write can depend.
    fn tag(&self, document: &v1::Document) -> EntityTag {
        match self.call {
            DocumentCall::Read => {
                let is_masked = !document.hidden_pointers.is_empty();
                EntityTag::of_document(&document.digest, self.format, is_masked)
            }
            DocumentCall::ReadLayer
            | DocumentCall::ReplaceLayer
            | DocumentCall::PatchLayer
            | DocumentCall::DeleteLayer
            | DocumentCall::DeleteConfig => {
                EntityTag::of_layer(document.layers.last().map_or(0, |layer| layer.version))
            }
        }
    }

    /// What a write requires of the layer, or of the config.
    fn precondition(&self) -> Result<Precondition, ApiError> {
        let of_version = |expected_version| Precondition { expected_version, must_exist: false };
        match (&self.matches, &self.none_match) {
            (None, None) => Ok(Precondition::default()),
            (Some(Tags::Any), None) => Ok(Precondition { expected_version: None, must_exist: true }),
            (Some(tags), None) if tags.are_weak() => Err(weak_tag()),
            (Some(tags), None) => {
                let version = tags.version();
                let version = version.ok_or_else(|| {
                    let what = match self.call {
                        DocumentCall::DeleteConfig => "\"v12\", where 12 is the version of the config",
                        _ => "the ETag of the layer, such as \"v12\"",
                    };
                    invalid("if-match", &format!("must be * or {what}"))
                })?;
                Ok(of_version(Some(version)))
            }
            (None, Some(tags)) if tags.is_any() && self.call != DocumentCall::DeleteConfig => {
                Ok(of_version(Some(0)))
            }
            (None, Some(_)) if self.call == DocumentCall::DeleteConfig => {
                Err(invalid("if-none-match", "is not for a config that is to be deleted"))
            }
            (None, Some(_)) => Err(invalid("if-none-match", "must be *, for a layer that must not exist")),
            (Some(_), Some(_)) => Err(invalid("if-match", "cannot be given beside if-none-match")),
        }
    }
}

fn add_tag(tag: &str, headers: &mut HeaderMap) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
}

/// The server itself has encoded it, or by the same descriptor.
fn decode<M: Message + Default>(message: impl Buf) -> M {
    M::decode(message).expect("a message of this type was encoded")
}

fn refuse_content(content: &[u8]) -> Result<(), ApiError> {
    match content.is_empty() {
        true => Ok(()),
        false => Err(invalid("content", "must be empty")),
    }
}

/// The format in which the client wants a document, and its media type as the client calls it.
fn format_accepted(headers: &HeaderMap) -> Result<(v1::Format, &'static str), ApiError> {
    let offered: Vec<&'static str> = FORMATS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let media_type = accepted(headers, &offered)?;
    let of = FORMATS.iter().find(|(_, names)| names.contains(&media_type));
    let (format, _) = of.expect("it is one of those that were offered");
    Ok((*format, media_type))
}

/// What a write does to the layer, with the content of its request.
fn action(call: DocumentCall, headers: &HeaderMap, text: Bytes) -> Result<v1::change::Action, ApiError> {
    let media_type = content_type(headers)?.unwrap_or_default();
    let text = |format: v1::Format| match String::from_utf8(text.into()) {
        Ok(content) => Ok(v1::Text { content, format: format.into() }),
        Err(_) => Err(malformed_content("the content is not UTF-8".to_owned(), None)),
    };
    if call == DocumentCall::PatchLayer {
        return match media_type.as_str() {
            MERGE_PATCH => Ok(v1::change::Action::MergePatch(text(v1::Format::Json)?)),
            JSON_PATCH => Ok(v1::change::Action::JsonPatch(text(v1::Format::Json)?)),
            _ => Err(unsupported_media_type(&[MERGE_PATCH, JSON_PATCH].join(", "))),
        };
    }
    match FORMATS.iter().find(|(_, names)| names.contains(&media_type.as_str())) {
        Some((format, _)) => Ok(v1::change::Action::Replace(text(*format)?)),
        None => {
            let names: Vec<&str> = FORMATS.iter().map(|(_, names)| names[0]).collect();
            Err(unsupported_media_type(&names.join(", ")))
        }
    }
}
