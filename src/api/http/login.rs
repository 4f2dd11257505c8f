//! Logs people in and out: `/login`, `/logout`, and in `issuer` the way by an issuer. Knows cookies and the guard; no RPC.

mod issuer;

use bytes::Bytes;
use http::header::{SET_COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::content::{self, add_headers};
use super::cookies::{Cookies, Kind};
use super::headers::content_type;
use super::{browser, errors, request_content};
use crate::api::body::ResponseBody;
use crate::api::context::{request_id, text};
use crate::api::error::ApiError;
use crate::api::guard::sessions::{LoggedIn, LoginClient};
use crate::api::intake::Intake;
use crate::api::request_body::RequestBody;
use crate::api::session_log::{self, Origin};

const JSON: &str = "application/json";
/// Where a login by the issuer begins, and to which the issuer sends people back.
const ISSUER: &str = "/login/oidc";
const CALLBACK: &str = "/login/oidc/callback";
/// The largest content of a login: a token is shorter.
const CONTENT_BYTES_MAX: usize = 16 << 10;

/// What is at a path of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginCall {
    /// Which ways to log in there are.
    Offer,
    /// A login with an API token.
    LogIn,
    /// The beginning of a login by the issuer.
    Issuer,
    /// The return of a person from the issuer.
    Callback,
    LogOut,
}

impl LoginCall {
    /// The path and the method of each.
    pub const ROUTES: [(&str, Method, LoginCall); 5] = [
        ("/login", Method::GET, LoginCall::Offer),
        ("/login", Method::POST, LoginCall::LogIn),
        (ISSUER, Method::GET, LoginCall::Issuer),
        (CALLBACK, Method::GET, LoginCall::Callback),
        ("/logout", Method::POST, LoginCall::LogOut),
    ];
}

/// The logins of a server. Clones share the guard.
#[derive(Clone)]
pub struct Logins {
    intake: Intake,
    pub cookies: Cookies,
}

/// The content of a login.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenLogin {
    token: String,
}

impl Logins {
    pub fn new(intake: Intake, cookies: Cookies) -> Logins {
        Logins { intake, cookies }
    }

    /// Answers a request. Nothing of its content was read before.
    pub async fn answer<B: RequestBody>(
        &self,
        call: LoginCall,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, ApiError> {
        let (head, body) = request.into_parts();
        self.intake.count(&head.extensions)?;
        browser::check(&head, self.intake.authenticates())?;
        match call {
            LoginCall::Offer => Ok(json(&self.offer())),
            LoginCall::LogIn => self.log_in(&head, body).await,
            LoginCall::LogOut => self.log_out(&head, body).await,
            // A login changes something, and HEAD must not.
            LoginCall::Issuer | LoginCall::Callback if head.method != Method::GET => {
                Err(errors::method_not_allowed("GET"))
            }
            LoginCall::Issuer => self.begin_by_issuer(&head).await,
            LoginCall::Callback => self.return_from_issuer(&head).await,
        }
    }

    /// The ways to log in.
    fn offer(&self) -> Value {
        let authenticates = self.intake.authenticates();
        let issuer = self.intake.issuer_logins().map(|logins| logins.provider().settings());
        let oidc = issuer.map(|settings| {
            let of_url = settings.issuer.split_once("://").map_or(&*settings.issuer, |(_, rest)| rest);
            json!({
                "issuer": settings.issuer,
                "name": of_url.trim_end_matches('/'),
                "path": ISSUER,
                "scopes": settings.scopes,
                "cli_client_id": settings.cli_client_id,
            })
        });
        json!({ "authentication": authenticates, "token": authenticates, "oidc": oidc })
    }

    async fn log_in<B: RequestBody>(
        &self,
        head: &Parts,
        body: B,
    ) -> Result<Response<ResponseBody>, ApiError> {
        if content_type(&head.headers)?.as_deref() != Some(JSON) {
            return Err(errors::unsupported_media_type(JSON));
        }
        let content = read(body).await?;
        // Nothing of the content is repeated: it may be a token.
        let TokenLogin { token } = serde_json::from_slice(&content).map_err(|error| {
            let message = r#"the content must be {"token": TOKEN} with an API token"#.to_owned();
            errors::malformed_content(message, Some((error.line(), error.column())))
        })?;
        let token = Zeroizing::new(token);
        let client = client(head);
        let login = self.intake.log_in_by_token(&token, &client);
        let login = login.await.inspect_err(|error| self.intake.note_failed_login(head, &token, error))?;
        self.logged_in(head, &login)
    }

    /// The response to a login, with the cookie of the session.
    fn logged_in(&self, head: &Parts, login: &LoggedIn) -> Result<Response<ResponseBody>, ApiError> {
        self.record(head, login);
        let mut response = json(&json!({
            "actor": &*login.actor,
            "credential_kind": "CREDENTIAL_KIND_SESSION",
            "credential": format!("session:{}", login.id),
            "expire_time": login.ends.to_string(),
        }));
        response.headers_mut().insert(SET_COOKIE, self.cookie(head, login));
        Ok(response)
    }

    fn record(&self, head: &Parts, login: &LoggedIn) {
        session_log::logged_in(self.intake.recorder(), &origin(head), login);
    }

    fn cookie(&self, head: &Parts, login: &LoggedIn) -> HeaderValue {
        self.cookies.set(Kind::Session, &head.headers, &head.uri, &login.text, login.lifetime)
    }

    /// Ends the session of a request, if there is one, and clears the cookie.
    async fn log_out<B: RequestBody>(
        &self,
        head: &Parts,
        body: B,
    ) -> Result<Response<ResponseBody>, ApiError> {
        read(body).await?;
        if let Some(secret) = self.cookies.get(Kind::Session, &head.headers, &head.uri) {
            browser::check_session(head, false)?;
            if let Some(ended) = self.intake.log_out(secret).await? {
                session_log::logged_out(self.intake.recorder(), &origin(head), &ended);
            }
        }
        let mut response = content::empty(StatusCode::NO_CONTENT);
        add_headers(response.headers_mut());
        response
            .headers_mut()
            .insert(SET_COOKIE, self.cookies.clear(Kind::Session, &head.headers, &head.uri));
        Ok(response)
    }
}

/// The content of a request, which is small.
async fn read<B: RequestBody>(body: B) -> Result<Bytes, ApiError> {
    let too_large = || errors::invalid("content", "is too long to be a login");
    request_content::read(body, CONTENT_BYTES_MAX, too_large).await
}

/// The client of a login, as the request names it.
fn client(head: &Parts) -> LoginClient<'_> {
    let name = head.headers.get(USER_AGENT).and_then(|name| name.to_str().ok());
    LoginClient { peer: head.extensions.get(), name: name.unwrap_or_default() }
}

/// Where a request comes from, for the audit log.
fn origin(head: &Parts) -> Origin<'_> {
    let LoginClient { peer, .. } = client(head);
    Origin {
        address: peer.map(|peer| peer.address.ip()),
        path: head.uri.path(),
        request_id: text(request_id(&head.headers)),
    }
}

fn json(value: &Value) -> Response<ResponseBody> {
    let content = Bytes::from(value.to_string());
    let mut response = content::response(StatusCode::OK, HeaderValue::from_static(JSON), content, None);
    add_headers(response.headers_mut());
    response
}
