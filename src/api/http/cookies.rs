//! The cookies with the secret of a session and with a login that is under way. Knows how browsers keep cookies; no session.
//!
//! Over TLS, and behind a proxy that ends TLS, the cookie of a session is `__Host-confwatch`, which browsers accept with `Secure` alone, and send to this host
//! alone. Over plain text on a loopback host, where browsers may refuse such a cookie, the cookie is `confwatch`, without `Secure`: nothing leaves the machine.
//! The host of the request decides. A cookie of the one kind is not taken for the other.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Uri};

/// What browsers keep for this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The secret of a session.
    Session,
    /// A login by an issuer that is under way. The browser sends the cookie when the issuer sends the person back, which a page of the issuer does.
    Attempt,
}

/// How this server keeps cookies in browsers.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    /// The server itself serves TLS.
    pub is_tls: bool,
}

impl Kind {
    fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Kind::Session, true) => "__Host-confwatch",
            (Kind::Session, false) => "confwatch",
            (Kind::Attempt, true) => "__Host-confwatch-login",
            (Kind::Attempt, false) => "confwatch-login",
        }
    }

    fn same_site(self) -> &'static str {
        match self {
            Kind::Session => "Strict",
            Kind::Attempt => "Lax",
        }
    }
}

impl Cookies {
    /// The value of a cookie that a request has.
    pub fn get<'h>(self, kind: Kind, headers: &'h HeaderMap, uri: &Uri) -> Option<&'h str> {
        let name = kind.name(self.is_secure(headers, uri));
        let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(of, value)| *of == name && !value.is_empty()).map(|(_, value)| value)
    }

    /// The header that gives a value to the browser.
    pub fn set(
        self,
        kind: Kind,
        headers: &HeaderMap,
        uri: &Uri,
        value: &str,
        lifetime: Duration,
    ) -> HeaderValue {
        let is_secure = self.is_secure(headers, uri);
        let (name, same_site, seconds) = (kind.name(is_secure), kind.same_site(), lifetime.as_secs());
        let secure = if is_secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite={same_site}{secure}");
        let mut header = HeaderValue::from_str(&text).expect("a value is ASCII without separators");
        header.set_sensitive(true);
        header
    }

    /// The header by which the browser forgets a value.
    pub fn clear(self, kind: Kind, headers: &HeaderMap, uri: &Uri) -> HeaderValue {
        self.set(kind, headers, uri, "", Duration::ZERO)
    }

    /// The origin of this server for the browser of a request: `https://config.example`.
    pub fn origin(self, headers: &HeaderMap, uri: &Uri) -> Option<String> {
        let scheme = if self.is_secure(headers, uri) { "https" } else { "http" };
        host(headers, uri).map(|host| format!("{scheme}://{host}"))
    }

    fn is_secure(self, headers: &HeaderMap, uri: &Uri) -> bool {
        self.is_tls || !host(headers, uri).is_some_and(is_loopback)
    }
}

/// The host that the client has asked, with its port.
pub fn host<'h>(headers: &'h HeaderMap, uri: &'h Uri) -> Option<&'h str> {
    let authority = uri.authority().map(|authority| authority.as_str());
    authority.or_else(|| headers.get(HOST)?.to_str().ok())
}

/// The name or the address of a host, without its port and in lower case.
pub fn name_of(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether browsers reach a host on their own machine alone.
fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    let address = name.parse::<IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, cookies: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
        cookies.iter().for_each(|cookie| _ = headers.append(COOKIE, HeaderValue::from_static(cookie)));
        headers
    }

    #[test]
    fn the_host_decides_between_the_two_cookies() {
        let check = |host: &'static str, is_tls: bool, expected: &str| {
            let headers = headers(host, &["x=1; confwatch=plain", "__Host-confwatch=secure; y=2"]);
            let (cookies, uri) = (Cookies { is_tls }, Uri::from_static("/v1/whoami"));
            assert_eq!(cookies.get(Kind::Session, &headers, &uri), Some(expected), "{host}");
            let set = cookies.set(Kind::Session, &headers, &uri, "secret", Duration::from_secs(60));
            let expected = match expected {
                "plain" => "confwatch=secret; Path=/; Max-Age=60; HttpOnly; SameSite=Strict",
                _ => "__Host-confwatch=secret; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure",
            };
            assert_eq!(set.to_str().expect("ASCII"), expected);
        };
        for near in ["localhost:7420", "127.0.0.1:7420", "[::1]:7420", "a.localhost", "LOCALHOST."] {
            check(near, false, "plain");
            check(near, true, "secure");
        }
        for far in ["config.example", "10.0.0.1:7420", "localhost.evil.example", "[2001:db8::1]", "[", ""] {
            check(far, false, "secure");
        }
    }

    #[test]
    fn what_is_no_such_cookie_is_none() {
        let cookies = Cookies { is_tls: false };
        for text in ["", "confwatch", "confwatch=", "Confwatch=a", "xconfwatch=a", "confwatchx=a"] {
            assert_eq!(
                cookies.get(Kind::Session, &headers("localhost", &[text]), &Uri::from_static("/")),
                None,
                "{text}"
            );
        }
        assert_eq!(cookies.get(Kind::Session, &headers("localhost", &[]), &Uri::from_static("/")), None);
    }
}
