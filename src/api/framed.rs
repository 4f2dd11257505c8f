//! The way in for calls: past the guard, all of them. Those of ConfigService: a plain request is read and answered without the copies of the generated server, which
//! has the same handlers and answers everything unusual. Knows gRPC over HTTP/2 bodies; no connection.
//!
//! Plain is what clients send by default: POST, no compression, and one message that the body has whole and nothing beside.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use prost::Message;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tower::Service;

use super::Api;
use super::answer::{Again, Answer, Reply, response};
use super::audited::{audited, ended, refused};
use super::codec::{Encoded, FRAME_HEAD_BYTES};
use super::compression::{compressed, marked, takes_gzip};
use super::context::CallContext;
use super::convert::request::invalid;
use super::deadline::{deadline, wait_max};
use super::guard::{Admission, asks_for_masks, shown};
use super::peer::Peer;
use super::reads::Got;
use super::server::audit_service_server::AuditServiceServer;
use super::server::auth_service_server::AuthServiceServer;
use super::server::config_service_server::{ConfigService, ConfigServiceServer};
use super::server::schema_service_server::SchemaServiceServer;
use super::server::secret_service_server::SecretServiceServer;
use super::status::Unreadable;
use super::transport::Contract;
use super::unread::Unread;
use crate::auth::Access;
use crate::engine::{Error, Stages};
use crate::model::Epoch;

/// What the paths of all calls begin with, and of those that are answered here, up to their names.
const PACKAGE: &str = "/confwatch.v1.";
const PREFIX: &str = "/confwatch.v1.ConfigService/";
static ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Metadata of every response: of which history of the store it is. Of a request: of which history its revisions and versions are.
pub static EPOCH: HeaderName = HeaderName::from_static("confwatch-epoch");

/// `ConfigService`, for any server of HTTP/2. Clones share the engine.
#[derive(Clone)]
pub struct Calls {
    api: Api,
    generated: Contract<ConfigServiceServer<Api>>,
    schemas: Contract<SchemaServiceServer<Api>>,
    auth: Contract<AuthServiceServer<Api>>,
    secrets: Contract<SecretServiceServer<Api>>,
    audit: Contract<AuditServiceServer<Api>>,
    request_bytes_max: usize,
    too_large: Arc<AtomicU64>,
    epoch: HeaderValue,
}

/// The body of a request, as servers of HTTP/2 have it.
pub trait RequestBody:
    http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static
{
}

/// What a handler answers.
type Handled<'a, T> = Pin<Box<dyn Future<Output = Result<tonic::Response<T>, Status>> + Send + 'a>>;

impl Calls {
    pub(super) fn new(api: Api) -> Calls {
        let request_bytes_max = api.engine.limits().request_bytes_max;
        let too_large = Arc::default();
        let generated = ConfigServiceServer::new(api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(request_bytes_max)
            .max_encoding_message_size(usize::MAX);
        let schemas = SchemaServiceServer::new(api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(request_bytes_max)
            .max_encoding_message_size(usize::MAX);
        let auth = AuthServiceServer::new(api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(request_bytes_max)
            .max_encoding_message_size(usize::MAX);
        let secrets = SecretServiceServer::new(api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(request_bytes_max);
        let audit = AuditServiceServer::new(api.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(request_bytes_max);
        let epoch = api.engine.epoch().to_string().try_into().expect("hex digits are a header value");
        Calls {
            api,
            generated: Contract::new(generated, request_bytes_max, &too_large),
            schemas: Contract::new(schemas, request_bytes_max, &too_large),
            auth: Contract::new(auth, request_bytes_max, &too_large),
            secrets: Contract::new(secrets, request_bytes_max, &too_large),
            audit: Contract::new(audit, request_bytes_max, &too_large),
            request_bytes_max,
            too_large,
            epoch,
        }
    }

    /// How many messages were larger than they may be.
    pub fn too_large(&self) -> &Arc<AtomicU64> {
        &self.too_large
    }

    /// Answers a call. Work that may take long is done in a task of its own; what remains is little, and can be polled among other
    /// calls of a connection.
    pub fn call<B: RequestBody>(&self, request: Request<B>) -> Answer {
        if let Some(refused) = refusal(&request) {
            return Answer::Now(refused);
        }
        let takes_gzip = takes_gzip(request.headers());
        let answer = self.answered(request).in_epoch(&self.epoch);
        if takes_gzip { compressed(answer) } else { answer }
    }

    fn answered<B: RequestBody>(&self, request: Request<B>) -> Answer {
        let deadline = deadline(request.headers());
        let answer = match self.api.guard.admit(request.headers(), request.extensions()) {
            Admission::Now(Ok(access)) => self.admitted(request, access),
            Admission::Now(Err(status)) => return Answer::Now(self.refused(&request, status)),
            Admission::Later(admission) => {
                let calls = self.clone();
                Answer::later(async move {
                    match admission.await {
                        Ok(access) => calls.admitted(request, access).response().await,
                        Err(status) => calls.refused(&request, status),
                    }
                })
            }
        };
        answer.within(deadline)
    }

    fn refused<B>(&self, request: &Request<B>, status: Status) -> Response<Reply> {
        let response = status.into_http();
        let shown = || shown(request.headers(), request.extensions());
        refused(&self.api.recorder, request, shown, response.headers());
        response
    }

    /// Answers a call of somebody who is known. Nothing of its message was read before.
    fn admitted<B: RequestBody>(&self, request: Request<B>, access: Access) -> Answer {
        let access = match asks_for_masks(request.headers()) {
            true => access.masking_secrets(),
            false => access,
        };
        if let Some(of) = request.headers().get(&EPOCH).filter(|of| **of != self.epoch) {
            return Answer::Now(other_epoch(of, self.api.engine.epoch()).into_http());
        }
        let (head, mut rest) = request.into_parts();
        // They are few: the generated server will do.
        match service_of(head.uri.path()) {
            "SchemaService" => return self.generated(self.schemas.clone(), head, &access, rest),
            "SecretService" => return self.generated(self.secrets.clone(), head, &access, rest),
            "AuthService" => return self.generated(self.auth.clone(), head, &access, rest),
            "AuditService" => return self.generated(self.audit.clone(), head, &access, rest),
            _ if !is_plain(&head) => {
                let body = Again { read: Bytes::new(), rest };
                return self.generated(self.generated.clone(), head, &access, body);
            }
            _ => {}
        }
        let mut reading = Reading::up_to(self.request_bytes_max);
        // Nearly always the request is there whole, and needs no waiting.
        match reading.poll(&mut rest, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => self.read(head, access, read, rest),
            Poll::Pending => {
                let calls = self.clone();
                Answer::later(async move {
                    let read = poll_fn(|context| reading.poll(&mut rest, context)).await;
                    calls.read(head, access, read, rest).response().await
                })
            }
        }
    }

    /// Answers a request of which this much was read.
    fn read<B: RequestBody>(&self, mut head: Parts, access: Access, read: Bytes, rest: B) -> Answer {
        let answer = message_of(&read, self.request_bytes_max)
            .and_then(|message| self.answer(&mut head, &access, message));
        answer.unwrap_or_else(|| self.generated(self.generated.clone(), head, &access, Again { read, rest }))
    }

    /// Takes the headers, unless there is no such call.
    fn answer(&self, head: &mut Parts, access: &Access, message: Bytes) -> Option<Answer> {
        let (api, call) = (&self.api, head.uri.path().strip_prefix(PREFIX)?);
        if call == "Get" {
            return Some(self.get(head, access, message));
        }
        let context = CallContext::of(head, access);
        let is_stream = is_stream(head.uri.path());
        let mut entry = || Entry {
            headers: std::mem::take(&mut head.headers),
            context: context.clone(),
            stages: head.extensions.remove(),
            unread: unread_of(&head.extensions),
        };
        let answer = match call {
            // It waits for the disk. What is large of its work is done elsewhere already.
            "Set" => Answer::later(unary(api, entry(), message, |api, request| api.set(request))),
            "Watch" => {
                let opened = stream(api, entry(), message, |api, request| api.watch(request));
                Answer::later(opened.map(|opened| response(opened.map(Reply::Watch))))
            }
            "BatchGet" => Answer::aside(read(api, entry(), message, |api, request| api.batch_get(request))),
            "List" => Answer::aside(read(api, entry(), message, |api, request| api.list(request))),
            "Explain" => Answer::aside(read(api, entry(), message, |api, request| api.explain(request))),
            "Apply" => Answer::aside(unary(api, entry(), message, |api, request| api.apply(request))),
            "Delete" => Answer::aside(unary(api, entry(), message, |api, request| api.delete(request))),
            "Validate" => Answer::aside(read(api, entry(), message, |api, request| api.validate(request))),
            "Rollback" => Answer::aside(unary(api, entry(), message, |api, request| api.rollback(request))),
            "ListVersions" => {
                Answer::aside(read(api, entry(), message, |api, request| api.list_versions(request)))
            }
            "Diff" => Answer::aside(read(api, entry(), message, |api, request| api.diff(request))),
            "SetTag" => Answer::aside(unary(api, entry(), message, |api, request| api.set_tag(request))),
            "DeleteTag" => {
                Answer::aside(unary(api, entry(), message, |api, request| api.delete_tag(request)))
            }
            "RequestProgress" => {
                Answer::aside(unary(api, entry(), message, |api, request| api.request_progress(request)))
            }
            "StreamChanges" => {
                let opened = stream(api, entry(), message, |api, request| api.stream_changes(request));
                Answer::later(opened.map(|opened| response(opened.map(Reply::Changes))))
            }
            _ => return None,
        };
        Some(self.audited(context, is_stream, answer))
    }

    /// A document that is at hand is answered at once.
    fn get(&self, head: &mut Parts, access: &Access, message: Bytes) -> Answer {
        let request = match decoded(message) {
            Ok(request) => request,
            Err(status) => return Answer::Now(status.into_http()),
        };
        let api = &self.api;
        let known = OnceLock::new();
        let context = || known.get_or_init(|| CallContext::of(head, access)).clone();
        match api.get_at_once(access, request, &context) {
            Got::Now(got) => {
                let is_refused = got.is_err();
                let peer = head.extensions.get::<Arc<Peer>>();
                let response = response(got.and_then(|message| held(message, peer.map(|peer| &peer.unread))));
                if is_refused {
                    ended(&api.recorder, &context(), response.headers());
                }
                Answer::Now(match known.get() {
                    Some(context) => marked(context, response),
                    None => response,
                })
            }
            Got::Later(read) => {
                let context = context();
                let metadata = MetadataMap::from_headers(std::mem::take(&mut head.headers));
                let (api, wait_max) = (api.clone(), wait_max(&metadata));
                let unread = unread_of(&head.extensions);
                Answer::aside(async move {
                    let got = api.get_read(&read, wait_max, &|| context.clone()).await;
                    marked(&context, response(got.and_then(|message| held(message, unread.as_ref()))))
                })
            }
        }
    }

    /// The answer of a generated service.
    fn generated<S, B: RequestBody>(&self, service: S, mut head: Parts, access: &Access, body: B) -> Answer
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let context = CallContext::of(&head, access);
        let is_stream = is_stream(head.uri.path());
        head.extensions.insert(context.clone());
        self.audited(context, is_stream, aside(service, Request::from_parts(head, Body::new(body))))
    }

    fn audited(&self, context: CallContext, is_stream: bool, answer: Answer) -> Answer {
        match self.api.guard.is_on() {
            true => audited(&self.api.recorder, context, is_stream, answer),
            false => answer,
        }
    }
}

/// The name of the service that a call is of. Empty: there is none.
fn service_of(path: &str) -> &str {
    let call = path.strip_prefix(PACKAGE).and_then(|call| call.split_once('/'));
    call.map_or("", |(service, _)| service)
}

/// Whether a call is answered for as long as its client wants.
pub(super) fn is_stream(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("Watch" | "StreamChanges" | "Stream"))
}

/// What a handler has of a call besides its message.
struct Entry {
    headers: HeaderMap,
    context: CallContext,
    /// Whoever traces the call wants to know of them.
    stages: Option<Arc<Stages>>,
    /// What its connection holds of responses.
    unread: Option<Arc<Unread>>,
}

/// The response of a call that changes nothing, unless the connection has no room for it.
fn read<Q, T>(
    api: &Api,
    entry: Entry,
    message: Bytes,
    handler: impl for<'a> FnOnce(&'a Api, tonic::Request<Q>) -> Handled<'a, T> + Send + 'static,
) -> impl Future<Output = Response<Reply>> + Send + 'static
where
    Q: Message + Default + 'static,
    T: Message,
{
    let unread = entry.unread.clone();
    let handled = stream(api, entry, message, handler);
    async move {
        if let Some(Err(refused)) = unread.as_ref().map(|unread| unread.check()) {
            return refused.into_http();
        }
        response(handled.await.and_then(|message| held(Encoded::of(&message), unread.as_ref())))
    }
}

/// A response that is counted as unread. Refused, if there is no room for it.
fn held(message: Encoded, unread: Option<&Arc<Unread>>) -> Result<Reply, Status> {
    let message = match unread {
        Some(unread) => message.try_counted(unread)?,
        None => message,
    };
    Ok(Reply::Message(message))
}

fn unread_of(extensions: &Extensions) -> Option<Arc<Unread>> {
    extensions.get::<Arc<Peer>>().map(|peer| peer.unread.clone())
}

/// The response of a write: it is never refused once the write was made.
fn unary<Q, T>(
    api: &Api,
    entry: Entry,
    message: Bytes,
    handler: impl for<'a> FnOnce(&'a Api, tonic::Request<Q>) -> Handled<'a, T> + Send + 'static,
) -> impl Future<Output = Response<Reply>> + Send + 'static
where
    Q: Message + Default + 'static,
    T: Message,
{
    let handled = stream(api, entry, message, handler);
    handled.map(|handled| response(handled.map(|message| Reply::Message(Encoded::of(&message)))))
}

fn stream<Q, T>(
    api: &Api,
    entry: Entry,
    message: Bytes,
    handler: impl for<'a> FnOnce(&'a Api, tonic::Request<Q>) -> Handled<'a, T> + Send + 'static,
) -> impl Future<Output = Result<T, Status>> + Send + 'static
where
    Q: Message + Default + 'static,
    T: Send,
{
    let api = api.clone();
    async move {
        let metadata = MetadataMap::from_headers(entry.headers);
        let mut extensions = Extensions::new();
        extensions.insert(entry.context);
        let request = tonic::Request::from_parts(metadata, extensions, decoded(message)?);
        Ok(Stages::of(entry.stages, handler(&api, request)).await?.into_inner())
    }
}

/// The answer of a generated service.
pub fn aside<S>(mut service: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let stages = request.extensions().get().cloned();
    // Generated services are always ready.
    let answer = Stages::of(stages, service.call(request));
    Answer::aside(answer.map(|response| match response {
        Ok(response) => response.map(Reply::Generated),
        Err(never) => match never {},
    }))
}

/// The refusal of what is no gRPC at all.
fn refusal<B>(request: &Request<B>) -> Option<Response<Reply>> {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let status = match () {
        () if request.method() != Method::POST => StatusCode::METHOD_NOT_ALLOWED,
        () if !content_type.starts_with(b"application/grpc") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        () => return None,
    };
    let mut refused = Status::from(Unreadable::NotGrpc).into_http();
    *refused.status_mut() = status;
    Some(refused)
}

/// The refusal of a request whose revisions and versions are of another history of the store.
fn other_epoch(asked: &HeaderValue, store: Epoch) -> Status {
    let is_hex = |text: &&str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = asked.to_str().ok().filter(is_hex);
    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(asked) => Error::OtherEpoch { asked: Epoch(asked), store }.into(),
        None => invalid(EPOCH.as_str(), "must be the 16 hex digits that a response had").into(),
    }
}

fn is_plain(head: &Parts) -> bool {
    let value = |name: &HeaderName| head.headers.get(name).map(HeaderValue::as_bytes);
    matches!(value(&CONTENT_TYPE), Some(b"application/grpc" | b"application/grpc+proto"))
        && matches!(value(&ENCODING), None | Some(b"identity"))
}

/// What was read of a request.
struct Reading {
    /// Of the message.
    bytes_max: usize,
    first: Bytes,
    /// All of it, if there is more than the first piece.
    joined: BytesMut,
}

impl Reading {
    fn up_to(bytes_max: usize) -> Reading {
        Reading { bytes_max, first: Bytes::new(), joined: BytesMut::new() }
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    fn take(&mut self) -> Bytes {
        let (first, joined) = (std::mem::take(&mut self.first), std::mem::take(&mut self.joined));
        if joined.is_empty() { first } else { joined.freeze() }
    }

    /// Reads as far as a request can be plain: until its end, or beyond the largest message.
    fn poll<B>(&mut self, body: &mut B, context: &mut Context<'_>) -> Poll<Bytes>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        while self.len() <= FRAME_HEAD_BYTES + self.bytes_max && !body.is_end_stream() {
            let frame = ready!(Pin::new(&mut *body).poll_frame(context));
            match frame.map(|frame| frame.map(|frame| frame.into_data())) {
                Some(Ok(Ok(data))) => self.push(data),
                // Trailers of a request mean nothing here. What broke off, nobody waits for.
                Some(Ok(Err(_)) | Err(_)) | None => break,
            }
        }
        Poll::Ready(self.take())
    }
}

/// The message of a body that has one, uncompressed, and nothing else.
fn message_of(body: &Bytes, bytes_max: usize) -> Option<Bytes> {
    let (head, message) = body.split_at_checked(FRAME_HEAD_BYTES)?;
    let [0, length @ ..] = head else { return None };
    let length = u32::from_be_bytes(length.try_into().expect("four of five bytes")) as usize;
    let is_plain = length == message.len() && length <= bytes_max;
    is_plain.then(|| body.slice(FRAME_HEAD_BYTES..))
}

fn decoded<Q: Message + Default>(message: Bytes) -> Result<Q, Status> {
    Q::decode(message).map_err(|_| Unreadable::Malformed.into())
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::proto::v1::FILE_DESCRIPTOR_SET;

    #[test]
    fn streams_are_the_calls_that_the_contract_says_are_streams() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors").file;
        let services = files.iter().flat_map(|file| &file.service);
        let mut streams = 0;
        for service in services {
            for method in &service.method {
                let path = format!("{PACKAGE}{}/{}", service.name(), method.name());
                assert_eq!(is_stream(&path), method.server_streaming(), "{path}");
                assert_eq!(service_of(&path), service.name());
                streams += usize::from(method.server_streaming());
            }
        }
        assert_eq!(streams, 3);
    }
}
