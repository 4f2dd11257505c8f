//! The way of a person by an issuer: to the issuer, and back with a code. Knows redirects and their parameters; not what a code is worth.

use http::header::{LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::{CALLBACK, Logins, client};
use crate::api::body::ResponseBody;
use crate::api::error::ApiError;
use crate::api::guard::issuer_login::Returned;
use crate::api::http::content::{self, add_headers};
use crate::api::http::cookies::Kind;
use crate::api::http::errors::invalid;
use crate::api::http::parameters::parameters;
use crate::auth::oidc::ATTEMPT_LIFETIME;

/// The longest path to which a person returns.
const RETURN_TO_BYTES_MAX: usize = 1024;

/// The parameters with which the issuer sends a person back.
#[derive(Default)]
struct Answer {
    state: String,
    code: String,
    issuer: Option<String>,
    error: Option<String>,
}

impl Logins {
    /// Sends a person to the issuer.
    pub(super) async fn begin_by_issuer(&self, head: &Parts) -> Result<Response<ResponseBody>, ApiError> {
        let mut return_to = "/".to_owned();
        for parameter in parameters(head.uri.query().unwrap_or_default()) {
            match parameter? {
                (name, value) if name == "return_to" => return_to = value,
                (name, _) => return Err(invalid(&name, "is no parameter: return_to is")),
            }
        }
        check_return_to(&return_to)?;
        let redirect_uri = self.redirect_uri(head)?;
        let begun = self.intake.begin_issuer_login(&redirect_uri, return_to, &head.extensions).await?;
        let (url, attempt) = begun;
        let cookie = self.cookies.set(Kind::Attempt, &head.headers, &head.uri, &attempt, ATTEMPT_LIFETIME);
        redirect(&url, [cookie])
    }

    /// Opens a session for a person who returns from the issuer. What fails is recorded.
    pub(super) async fn return_from_issuer(&self, head: &Parts) -> Result<Response<ResponseBody>, ApiError> {
        let login = self.redeem(head).await;
        let (login, return_to) = login.inspect_err(|error| self.intake.note_failed_login(head, "", error))?;
        self.record(head, &login);
        let over = self.cookies.clear(Kind::Attempt, &head.headers, &head.uri);
        redirect(&return_to, [over, self.cookie(head, &login)])
    }

    async fn redeem(
        &self,
        head: &Parts,
    ) -> Result<(crate::api::guard::sessions::LoggedIn, String), ApiError> {
        let answer = Answer::read(head.uri.query().unwrap_or_default())?;
        let client = client(head);
        if let Some(error) = &answer.error {
            let error: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
            return Err(self.intake.refuse_login(&format!("the issuer says {error}"), &client));
        }
        let attempt = self.cookies.get(Kind::Attempt, &head.headers, &head.uri).unwrap_or_default();
        let redirect_uri = self.redirect_uri(head)?;
        let returned = Returned {
            attempt,
            state: &answer.state,
            code: &answer.code,
            issuer: answer.issuer.as_deref(),
            redirect_uri: &redirect_uri,
        };
        self.intake.log_in_by_issuer(&returned, &client).await
    }

    /// The URL to which the issuer sends people back.
    fn redirect_uri(&self, head: &Parts) -> Result<String, ApiError> {
        let settings = self.intake.issuer_logins().map(|logins| logins.provider().settings());
        let public = settings.and_then(|settings| settings.public_url.clone());
        let origin = public.or_else(|| self.cookies.origin(&head.headers, &head.uri));
        let origin = origin.ok_or_else(|| invalid("host", "must be set"))?;
        Ok(format!("{}{CALLBACK}", origin.trim_end_matches('/')))
    }
}

impl Answer {
    fn read(query: &str) -> Result<Answer, ApiError> {
        let mut answer = Answer::default();
        for parameter in parameters(query) {
            let (name, value) = parameter?;
            match name.as_str() {
                "state" => answer.state = value,
                "code" => answer.code = value,
                "iss" => answer.issuer = Some(value),
                "error" => answer.error = Some(value),
                // Issuers add others, such as session_state.
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// A path of this server: no other host, however browsers read the text.
fn check_return_to(text: &str) -> Result<(), ApiError> {
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_path && is_plain && text.len() <= RETURN_TO_BYTES_MAX {
        true => Ok(()),
        false => Err(invalid("return_to", "must be a path of this server, such as /console")),
    }
}

/// A redirect, for which the browser keeps cookies. The next page does not learn the code.
fn redirect<const COUNT: usize>(
    to: &str,
    cookies: [HeaderValue; COUNT],
) -> Result<Response<ResponseBody>, ApiError> {
    let location = HeaderValue::from_str(to).map_err(|_| invalid("return_to", "must be ASCII"))?;
    let mut response = content::empty(StatusCode::SEE_OTHER);
    add_headers(response.headers_mut());
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_returns_to_a_path_of_this_server_alone() {
        for good in ["/", "/console", "/console?a=b#c", "/a//b", "/@evil.example"] {
            assert!(check_return_to(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "x".repeat(RETURN_TO_BYTES_MAX));
        for wrong in [
            "",
            "console",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\\b",
            "/\t/evil.example",
            "/a\r\nset-cookie: x=y",
            "/ä",
            "/a b",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(
                check_return_to(wrong).err().map(|error| error.reason),
                Some("INVALID_FIELD"),
                "{wrong}"
            );
        }
    }
}
