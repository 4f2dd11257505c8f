//! The way in for calls over HTTP: past the guard and the rules for browsers, with the message of the call to the table of services, and its
//! reply back as JSON. Knows headers and bodies; no operation, and no connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::bundle::BundleRequest;
use super::content::{self, add_headers, without_content};
use super::cookies::{Cookies, Kind};
use super::cors::{self, Allowed, Cors};
use super::documents::DocumentRequest;
use super::encoding::{self, Encoding};
use super::error_form::ErrorForm;
use super::headers::{accepted, content_type, deadline, idempotency_key, last_event_id};
use super::login::Logins;
use super::request::{Said, response};
use super::routes::Found;
use super::streams::{self, Framing, JsonFrames, requests};
use super::{browser, connect, console, errors, etag, openapi, request_content};
use crate::api::answer::{Answer, EPOCH};
use crate::api::body::ResponseBody;
use crate::api::call_errors::{Unreadable, too_late};
use crate::api::codec::{Encoded, FRAME_HEAD_BYTES};
use crate::api::compression::{NotUnpacked, is_worth_it, packed, unpacked};
use crate::api::context::request_id;
use crate::api::error::ApiError;
use crate::api::guard::Admission;
use crate::api::intake::{Entered, Intake};
use crate::api::reply::Reply;
use crate::api::request_body::RequestBody;
use crate::api::rpc::{Rpc, is_of_service};

const JSON: &str = "application/json";

/// Larger messages are transcoded on the threads for long work.
const TRANSCODED_INLINE_BYTES_MAX: usize = 64 << 10;

/// All services of the contract, for any server of HTTP. Clones share the engine.
#[derive(Clone)]
pub struct Calls {
    intake: Intake,
    logins: Logins,
    cors: Cors,
    frames: Arc<JsonFrames>,
    has_console: bool,
}

/// What holds for calls of browsers.
#[derive(Clone, Debug, Default)]
pub struct BrowserSettings {
    /// The server itself serves TLS.
    pub is_tls: bool,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
}

impl Calls {
    pub fn new(intake: Intake, browsers: &BrowserSettings) -> Calls {
        // Made now, so that no call waits for the routes.
        let _ = super::routes::find(&Method::GET, "/");
        let logins = Logins::new(intake.clone(), Cookies { is_tls: browsers.is_tls });
        let cors = Cors::new(&browsers.cors_origins);
        Calls { intake, logins, cors, frames: Arc::default(), has_console: false }
    }

    /// The same with the web console.
    pub fn with_console(self) -> Calls {
        Calls { has_console: true, ..self }
    }

    /// Answers a request, for whose path this was found.
    pub fn call<B: RequestBody>(&self, found: Found, form: ErrorForm, request: Request<B>) -> Answer {
        let calls = self.clone();
        Answer::later(async move { calls.answer(found, form, request).await })
    }

    async fn answer<B: RequestBody>(
        &self,
        found: Found,
        form: ErrorForm,
        request: Request<B>,
    ) -> Response<ResponseBody> {
        let is_head = request.method() == Method::HEAD;
        let varies = self.cors.is_for(request.uri().path());
        let page = self.cors.allowed(request.uri().path(), request.headers());
        let call_id = request_id(request.headers()).cloned();
        let outcome = match deadline(request.headers()) {
            Ok(None) => self.outcome(found, request, page.as_ref(), None).await,
            Ok(Some(deadline)) if deadline.is_zero() => Err(too_late()),
            Ok(Some(deadline)) => {
                let outcome = self.outcome(found, request, page.as_ref(), Some(deadline));
                tokio::time::timeout(deadline, outcome).await.unwrap_or_else(|_| Err(too_late()))
            }
            Err(error) => Err(error),
        };
        let mut response = outcome.unwrap_or_else(|error| form.response(&error, call_id.as_ref()));
        response.headers_mut().insert(&EPOCH, self.intake.epoch().clone());
        if varies {
            cors::note(response.headers_mut());
        }
        if let Some(page) = page {
            page.add_headers(response.headers_mut());
        }
        if is_head { without_content(response) } else { response }
    }

    async fn outcome<B: RequestBody>(
        &self,
        found: Found,
        request: Request<B>,
        page: Option<&Allowed>,
        deadline: Option<Duration>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        if let Some(answer) = page.and_then(|page| page.preflight(request.method(), request.headers())) {
            self.intake.count(request.extensions())?;
            return Ok(answer);
        }
        if let Found::Description = found {
            return openapi::response(request.headers());
        }
        if let Found::Console(file) = found
            && self.has_console
        {
            return Ok(console::response(file, request.headers()));
        }
        if let Found::Login(call) = found {
            return self.logins.answer(call, request).await;
        }
        let headers = request.headers();
        let session = self.logins.cookies.get(Kind::Session, headers, request.uri());
        let bears_credential = headers.contains_key(AUTHORIZATION);
        // A page of another origin has a credential of its own.
        let session = session.filter(|_| !bears_credential && page.is_none());
        let is_by_session = session.is_some() && self.intake.authenticates();
        let admitted = match self.intake.admit(headers, request.extensions(), session) {
            Admission::Now(admitted) => admitted,
            Admission::Later(admission) => admission.await,
        };
        let (head, body) = request.into_parts();
        let access = admitted
            .and_then(|access| {
                let authenticates = self.intake.authenticates();
                match page.is_some() && (bears_credential || !authenticates) {
                    true => browser::check_host(&head, authenticates)?,
                    false => browser::check(&head, authenticates)?,
                }
                if is_by_session {
                    browser::check_session(&head, found.rpc().is_some_and(Rpc::is_stream))?;
                }
                Ok(access)
            })
            .inspect_err(|error| self.note_refused(&found, &head, error))?;
        let access = self.intake.access(&head.headers, access)?;
        connect::check_version(&head.headers)?;
        if let Found::Document(call, captures) = &found {
            let request = DocumentRequest::read(*call, captures, &head)?;
            let entered = Entered::new(call.rpc(), head, access, deadline);
            return self.document(request, entered, body).await;
        }
        if let Found::Bundle(captures) = &found {
            let request = BundleRequest::read(captures, &head)?;
            let entered = Entered::new(BundleRequest::RPC, head, access, deadline);
            return self.bundle(request, entered, body).await;
        }
        let rpc = match &found {
            Found::Rpc(rpc) => *rpc,
            Found::Route(route, _) => route.rpc,
            Found::Watch => found.rpc().expect("a watch is of an RPC"),
            Found::OtherMethods(allow) if head.method == Method::OPTIONS => return Ok(allowed(allow)),
            Found::OtherMethods(allow) => return Err(errors::method_not_allowed(allow)),
            // Clients of Connect take what is not found for a thing that the call is about.
            Found::Nothing if connect::is_spoken(&head.headers) && is_of_service(head.uri.path()) => {
                return Err(Unreadable::UnknownMethod.into());
            }
            Found::Document(..)
            | Found::Bundle(_)
            | Found::Description
            | Found::Console(_)
            | Found::Login(_)
            | Found::Nothing => {
                return Err(errors::unknown_path());
            }
        };
        let framing = match (rpc.is_stream(), &head.method) {
            // The response is of the type of the request.
            (false, _) if is_message(&found, &head) => None,
            (false, _) => accepted(&head.headers, &[JSON]).map(|_| None)?,
            (true, &Method::POST) => Some(Framing::of(&head.headers, Framing::Lines)?),
            (true, _) => Some(Framing::of(&head.headers, Framing::Events)?),
        };
        let entered = Entered::new(rpc, head, access, deadline);
        self.called(rpc, found, entered, framing, body).await
    }

    fn note_refused(&self, found: &Found, head: &Parts, error: &ApiError) {
        let method: &str = match found.rpc() {
            Some(rpc) => rpc.path(),
            None => head.uri.path(),
        };
        let session = self.logins.cookies.get(Kind::Session, &head.headers, &head.uri);
        self.intake.note_refused(method, &head.headers, &head.extensions, session, error);
    }

    /// Runs the call of an RPC. Nothing of its content was read before.
    async fn called<B: RequestBody>(
        &self,
        rpc: Rpc,
        found: Found,
        entered: Entered,
        framing: Option<Framing>,
        body: B,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let content = self.content(&entered, body).await?;
        let head = &entered.head;
        let is_message = framing.is_none() && is_message(&found, head);
        if !is_message && !content.is_empty() && content_type(&head.headers)?.as_deref() != Some(JSON) {
            return Err(errors::unsupported_media_type(JSON));
        }
        let said = Said {
            found,
            query: head.uri.query().map(str::to_owned),
            content,
            idempotency_key: idempotency_key(&head.headers)?.map(str::to_owned),
            last_event_id: last_event_id(&head.headers)?.filter(|_| framing.is_some()).map(str::to_owned),
        };
        entered.wait_for_room().await;
        let _in_progress = entered.begin(said.content.len()).await?;
        let message = match said.content.len() <= TRANSCODED_INLINE_BYTES_MAX {
            _ if is_message => said.encoded_message()?,
            true => said.message(rpc)?,
            false => self.intake.work(&entered, move || said.message(rpc)).await??,
        };
        let watch = framing.and_then(|_| requests::watch_of(rpc, &message));
        match (self.intake.run(&entered, message).outcome().await?, framing) {
            (Reply::Message(message), _) if is_message => {
                let shows_secrets = message.shows_secrets();
                let proto = HeaderValue::from_static(connect::PROTO);
                let response = content::response(StatusCode::OK, proto, bytes_of(message), None);
                self.finished(&entered, response, shows_secrets).await
            }
            (Reply::Message(message), _) => self.json(rpc, &entered, message).await,
            (reply, Some(framing)) => {
                Ok(streams::response(self.frames.clone(), rpc, reply, framing, watch.as_ref()))
            }
            (_, None) => Err(errors::answers_with_stream()),
        }
    }

    /// Runs the call of a document or a layer. Nothing of its content was read before.
    async fn document<B: RequestBody>(
        &self,
        mut request: DocumentRequest,
        entered: Entered,
        body: B,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let content = self.content(&entered, body).await?;
        entered.wait_for_room().await;
        let _in_progress = entered.begin(content.len()).await?;
        loop {
            let message = request.message(&entered.head.headers, content.clone())?;
            let reply = self.intake.run(&entered, message).outcome().await;
            let reply = reply.map_err(|error| request.error(error))?;
            let Reply::Message(message) = reply else { return Err(errors::answers_with_stream()) };
            let shows_secrets = message.shows_secrets();
            if let Some(response) = request.response(message)? {
                return self.finished(&entered, response, shows_secrets).await;
            }
        }
    }

    /// Reads all documents of a scope. Nothing of the content of the request was read before.
    async fn bundle<B: RequestBody>(
        &self,
        request: BundleRequest,
        entered: Entered,
        body: B,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let content = self.content(&entered, body).await?;
        if !content.is_empty() {
            return Err(errors::invalid("content", "must be empty"));
        }
        entered.wait_for_room().await;
        let message = request.message();
        let _in_progress = entered.begin(message.len()).await?;
        let reply = self.intake.run(&entered, message).outcome().await?;
        let Reply::Message(message) = reply else { return Err(errors::answers_with_stream()) };
        let shows_secrets = message.shows_secrets();
        let response = match message.remaining() <= TRANSCODED_INLINE_BYTES_MAX {
            true => request.response(message)?,
            false => self.intake.work(&entered, move || request.response(message)).await??,
        };
        self.finished(&entered, response, shows_secrets).await
    }

    /// The response with the message that answers a call.
    async fn json(
        &self,
        rpc: Rpc,
        entered: &Entered,
        message: Encoded,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let shows_secrets = message.shows_secrets();
        let bytes = bytes_of(message);
        let json = match bytes.len() <= TRANSCODED_INLINE_BYTES_MAX {
            true => response(rpc, bytes)?,
            false => self.intake.work(entered, move || response(rpc, bytes)).await??,
        };
        let response = content::response(StatusCode::OK, HeaderValue::from_static(JSON), json, None);
        self.finished(entered, response, shows_secrets).await
    }

    /// The content of a request: received, and unpacked where it is compressed. It is bounded by the limit of a message before and after.
    async fn content<B: RequestBody>(&self, entered: &Entered, body: B) -> Result<Bytes, ApiError> {
        let encoding = encoding::of_content(&entered.head.headers)?;
        let content = read(body, &self.intake).await?;
        match encoding {
            Encoding::Gzip if !content.is_empty() => {
                let bytes_max = self.intake.request_bytes_max();
                let content = self.intake.work(entered, move || unpacked(&content, bytes_max)).await?;
                content.map_err(|error| match error {
                    NotUnpacked::Malformed => errors::not_unpacked(),
                    NotUnpacked::TooLarge => self.intake.message_too_large(),
                })
            }
            Encoding::Gzip | Encoding::Identity => Ok(content),
        }
    }

    /// The same response with the headers of all. A large content is compressed for a client that takes it so.
    async fn finished(
        &self,
        entered: &Entered,
        mut response: Response<ResponseBody>,
        shows_secrets: bool,
    ) -> Result<Response<ResponseBody>, ApiError> {
        add_headers(response.headers_mut());
        response.headers_mut().entry(VARY).or_insert(HeaderValue::from_static("accept-encoding"));
        let is_large = matches!(response.body(), ResponseBody::Content(content) if is_worth_it(content));
        if !is_large || shows_secrets || encoding::accepted(&entered.head.headers) == Encoding::Identity {
            return Ok(response);
        }
        let (mut head, body) = response.into_parts();
        let ResponseBody::Content(content) = body else { return Ok(Response::from_parts(head, body)) };
        let plain = content.into_frame();
        let content = plain.clone();
        let content: Bytes = match self.intake.work(entered, move || packed(&content, 0)).await? {
            Some(packed) => packed.into(),
            None => return Ok(Response::from_parts(head, ResponseBody::Content(Encoded::of_body(plain)))),
        };
        head.headers.insert(CONTENT_ENCODING, encoding::gzip());
        head.headers.insert(CONTENT_LENGTH, content_length(&content));
        // The tag of a write is that of what was written, and not of the response.
        if matches!(entered.head.method, Method::GET | Method::HEAD)
            && let Some(tag) = head.headers.get(ETAG).and_then(etag::of_packed)
        {
            head.headers.insert(ETAG, tag);
        }
        Ok(Response::from_parts(head, ResponseBody::Content(Encoded::of_body(content))))
    }
}

fn content_length(content: &Bytes) -> HeaderValue {
    HeaderValue::from(content.len() as u64)
}

/// Whether the content of a request is a message of protobuf: of a call by the path of its RPC.
fn is_message(found: &Found, head: &Parts) -> bool {
    matches!(found, Found::Rpc(_)) && connect::is_proto(&head.headers)
}

/// The bytes of a message, without its frame.
fn bytes_of(mut message: Encoded) -> Bytes {
    message.advance(FRAME_HEAD_BYTES.min(message.remaining()));
    let count = message.remaining();
    message.copy_to_bytes(count)
}

/// The content of a request, up to the limit of a message.
async fn read<B: RequestBody>(body: B, intake: &Intake) -> Result<Bytes, ApiError> {
    request_content::read(body, intake.request_bytes_max(), || intake.message_too_large()).await
}

/// The response to OPTIONS.
fn allowed(allow: &str) -> Response<ResponseBody> {
    let mut response = content::empty(StatusCode::NO_CONTENT);
    let allow = HeaderValue::from_str(&format!("{allow}, OPTIONS")).expect("names of methods are ASCII");
    response.headers_mut().insert(ALLOW, allow);
    add_headers(response.headers_mut());
    response
}
