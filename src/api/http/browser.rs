//! Keeps pages of other sites from using the server through a browser. Knows the headers that browsers send; no call.
//!
//! Browsers send client certificates by themselves, and reach a server on the machine of their user. A request that may change something
//! must therefore come from a page of the server itself, or from no browser. Pages of others never read a response: the server sends no
//! CORS header.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, Method};

use super::errors::{cross_site, host_not_local};
use crate::api::error::ApiError;

static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another site has sent. `authenticates`: whether the server asks for credentials.
pub fn check(head: &Parts, authenticates: bool) -> Result<(), ApiError> {
    let host = host(head);
    // A server that authenticates nobody listens on loopback. A page can give its own name the address 127.0.0.1.
    if !authenticates && host.is_some_and(|host| !is_local(host)) {
        return Err(host_not_local(host.unwrap_or_default()));
    }
    if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let is_own = match head.headers.get(&FETCH_SITE).map(|site| site.as_bytes()) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        // Browsers that are older, and pages without TLS. Programs send neither header.
        None => match head.headers.get(ORIGIN) {
            Some(origin) => {
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                origin.is_some_and(|(_, of)| host.is_some_and(|host| host.eq_ignore_ascii_case(of)))
            }
            None => true,
        },
    };
    if is_own { Ok(()) } else { Err(cross_site()) }
}

/// The host that the client has asked, with its port.
fn host(head: &Parts) -> Option<&str> {
    let authority = head.uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| head.headers.get(HOST)?.to_str().ok())
}

/// Whether a host is an IP address or a name that always means this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split_once(']').is_some_and(|(address, _)| is_address(address)),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    is_address(&name) || name == "localhost" || name.ends_with(".localhost")
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
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
}
