//! Lets pages of other origins that an administrator has named read and call the API (Cross-Origin Resource Sharing). Knows headers; no call.
//!
//! A page of such an origin bears its own credential in `authorization`. Cookies of other origins are never taken: no response allows credentials.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::content::{self, add_headers};
use crate::api::body::ResponseBody;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The headers of requests that the API reads.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "accept, authorization, confwatch-epoch, confwatch-mask-secrets, confwatch-scope, connect-timeout-ms, content-type, \
     idempotency-key, if-match, if-none-match, last-event-id, traceparent, tracestate, x-request-id",
);
/// The headers of responses that pages may read.
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "allow, confwatch-digest, confwatch-epoch, confwatch-hidden-secrets, confwatch-revealed-secrets, confwatch-revision, \
     confwatch-scope, confwatch-store-revision, confwatch-version, etag, retry-after, www-authenticate, x-request-id",
);
/// For how long a browser remembers what is allowed, in seconds.
const REMEMBERED_SECONDS: u32 = 600;

/// The origins whose pages may call. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    origins: Arc<[HeaderValue]>,
}

/// The origin of a page that may call.
#[derive(Clone, Debug)]
pub struct Allowed(HeaderValue);

impl Cors {
    /// `https://app.example`, exactly as browsers write it. What is no header value is no origin of a browser.
    pub fn new(origins: &[String]) -> Cors {
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Cors { origins: origins.collect() }
    }

    /// The page that has sent a request, if its origin may call this path.
    pub fn allowed(&self, path: &str, headers: &HeaderMap) -> Option<Allowed> {
        if !self.is_for(path) {
            return None;
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none())?;
        self.origins.contains(origin).then(|| Allowed(origin.clone()))
    }

    /// Whether responses at this path depend on the origin.
    pub fn is_for(&self, path: &str) -> bool {
        !self.origins.is_empty() && (path.starts_with("/v1/") || path == "/openapi.json")
    }
}

/// Tells caches that a response depends on the origin.
pub fn note(response: &mut HeaderMap) {
    let vary = match response.get(VARY).and_then(|vary| vary.to_str().ok()) {
        Some(vary) => HeaderValue::try_from(format!("{vary}, origin")).expect("a name more"),
        None => HeaderValue::from_static("origin"),
    };
    response.insert(VARY, vary);
}

impl Allowed {
    /// The answer to a browser that asks what a page may do. `None`: the request asks something else.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<ResponseBody>> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = content::empty(StatusCode::NO_CONTENT);
        add_headers(response.headers_mut());
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED_SECONDS.into());
        Some(response)
    }

    /// Lets the page read a response.
    pub fn add_headers(self, response: &mut HeaderMap) {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_as_a_whole_and_for_the_api_alone() {
        let cors = Cors::new(&["https://app.example".to_owned(), "http://localhost:5173".to_owned()]);
        let check = |cors: &Cors, path: &str, origins: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            origins.iter().for_each(|of| _ = headers.append(ORIGIN, HeaderValue::from_static(of)));
            assert_eq!(cors.allowed(path, &headers).is_some(), expected, "{path} {origins:?}");
        };
        for origin in ["https://app.example", "http://localhost:5173"] {
            check(&cors, "/v1/configs", &[origin], true);
            check(&cors, "/openapi.json", &[origin], true);
            for path in ["/login", "/logout", "/login/oidc", "/confwatch.v1.ConfigService/Get", "/v1"] {
                check(&cors, path, &[origin], false);
            }
        }
        let others = [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "null",
            "https://evil.example",
            "*",
            "https://APP.example",
        ];
        for origin in others {
            check(&cors, "/v1/configs", &[origin], false);
        }
        check(&cors, "/v1/configs", &[], false);
        check(&cors, "/v1/configs", &["https://app.example", "https://app.example"], false);
        check(&Cors::default(), "/v1/configs", &["https://app.example"], false);
    }
}
