//! Keeps pages of other sites from using the server through a browser. Knows the headers that browsers send; no call.
//!
//! Browsers send client certificates and cookies by themselves, and reach a server on the machine of their user. A request that may change something
//! must therefore come from a page of the server itself, or from no browser. Pages of others never read a response, unless an administrator has named
//! their origin: see `cors`.

use std::net::IpAddr;

use http::header::ORIGIN;
use http::request::Parts;
use http::{HeaderName, Method};

use super::cookies::{host, name_of};
use super::errors::{cross_site, host_not_local, not_of_own_page};
use crate::api::error::ApiError;

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who has sent a request.
enum Sender {
    /// A page of this server.
    ThisSite,
    /// A page of another site.
    OtherSite,
    /// The user of a browser, or a program.
    User,
}

/// Refuses what a page of another site has sent. `authenticates`: whether the server asks for credentials.
pub fn check(head: &Parts, authenticates: bool) -> Result<(), ApiError> {
    check_host(head, authenticates)?;
    match sender(head) {
        Sender::OtherSite if !is_safe(&head.method) => Err(cross_site()),
        Sender::OtherSite | Sender::ThisSite | Sender::User => Ok(()),
    }
}

/// Refuses what was sent to a host that is not the one of a server that authenticates nobody.
pub fn check_host(head: &Parts, authenticates: bool) -> Result<(), ApiError> {
    let host = host(&head.headers, &head.uri);
    // A server that authenticates nobody listens on loopback. A page can give its own name the address 127.0.0.1.
    match host.filter(|host| !authenticates && !is_local(host)) {
        Some(host) => Err(host_not_local(host)),
        None => Ok(()),
    }
}

/// Refuses what no page of this server has sent, of a request with the cookie of a session: a browser adds the cookie by itself. Reads are let through, but
/// not the beginning of a stream.
pub fn check_session(head: &Parts, opens_stream: bool) -> Result<(), ApiError> {
    match sender(head) {
        Sender::ThisSite => Ok(()),
        Sender::OtherSite | Sender::User if is_safe(&head.method) && !opens_stream => Ok(()),
        Sender::OtherSite | Sender::User => Err(not_of_own_page()),
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn sender(head: &Parts) -> Sender {
    match head.headers.get(&FETCH_SITE).map(|site| site.as_bytes()) {
        Some(b"same-origin") => Sender::ThisSite,
        Some(b"none") => Sender::User,
        Some(_) => Sender::OtherSite,
        // Browsers that are older, and pages without TLS. Programs send neither header.
        None => match head.headers.get(ORIGIN) {
            Some(origin) => {
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                let host = host(&head.headers, &head.uri);
                let is_own =
                    origin.is_some_and(|(_, of)| host.is_some_and(|host| host.eq_ignore_ascii_case(of)));
                if is_own { Sender::ThisSite } else { Sender::OtherSite }
            }
            None => Sender::User,
        },
    }
}

/// Whether a host is an IP address or a name that always means this machine.
fn is_local(host: &str) -> bool {
    let name = name_of(host);
    name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check_of(method: Method, headers: &[(&str, &str)], authenticates: bool, expected: Result<(), &str>) {
        let mut request = Request::builder().method(method).uri("/v1/layers:apply");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let found = check(&head, authenticates).map_err(|error| error.reason);
        assert_eq!(found, expected, "{headers:?}");
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let host = ("host", "config.example:8443");
        let check = |headers: &[(&str, &str)], expected| {
            let headers: Vec<_> = [&[host], headers].concat();
            check_of(Method::POST, &headers, true, expected);
            check_of(Method::GET, &headers, true, Ok(()));
        };
        let refused = Err("CROSS_SITE_REQUEST");
        check(&[], Ok(()));
        check(&[("sec-fetch-site", "same-origin")], Ok(()));
        check(&[("sec-fetch-site", "none")], Ok(()));
        check(&[("sec-fetch-site", "same-site")], refused);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "https://config.example:8443")], refused);
        check(&[("origin", "https://config.example:8443")], Ok(()));
        check(&[("origin", "https://Config.Example:8443")], Ok(()));
        check(&[("origin", "https://config.example")], refused);
        check(&[("origin", "https://evil.example")], refused);
        check(&[("origin", "null")], refused);
    }

    #[test]
    fn a_server_without_authentication_is_called_by_a_local_name() {
        for (host, expected) in [
            ("localhost:8080", Ok(())),
            ("app.localhost", Ok(())),
            ("127.0.0.1:8080", Ok(())),
            ("[::1]:8080", Ok(())),
            ("evil.example:8080", Err("HOST_NOT_LOCAL")),
            ("localhost.evil.example", Err("HOST_NOT_LOCAL")),
        ] {
            check_of(Method::GET, &[("host", host)], false, expected);
            check_of(Method::GET, &[("host", host)], true, Ok(()));
        }
    }

    #[test]
    fn a_request_with_a_session_comes_from_a_page_of_the_server() {
        let host = ("host", "config.example");
        let check = |method: Method, headers: &[(&str, &str)], opens_stream: bool, expected: bool| {
            let mut request = Request::builder().method(method).uri("/v1/watch").header(host.0, host.1);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            let found = check_session(&head, opens_stream).map_err(|error| error.reason);
            assert_eq!(found, if expected { Ok(()) } else { Err("CROSS_SITE_REQUEST") }, "{headers:?}");
        };
        let own: [&[(&str, &str)]; 2] =
            [&[("sec-fetch-site", "same-origin")], &[("origin", "https://config.example")]];
        let others: [&[(&str, &str)]; 5] = [
            &[],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://config.example")],
            &[("origin", "null")],
        ];
        for headers in own {
            check(Method::POST, headers, false, true);
            check(Method::GET, headers, true, true);
        }
        for headers in others {
            check(Method::POST, headers, false, false);
            check(Method::GET, headers, true, false);
            check(Method::GET, headers, false, true);
        }
    }
}
