//! The web console: the files of `console/dist`, which are built into the program. Knows paths and headers; no call, and nothing of what the
//! console does.

use std::fmt;
use std::io::Write;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::content::{self, add_headers};
use crate::api::body::ResponseBody;

/// How the paths of all files but the page begin.
const ASSETS: &str = "/assets/";
/// The page: the one file that all addresses of the console have.
const PAGE: &str = "index.html";
/// The addresses of the console without a name in them. `console/src/router.ts` has the same.
const PLACES: [&str; 8] = ["/", "/changes", "/watchers", "/access", "/audit", "/schemas", "/settings", LOGIN];
/// Where programs ask how to log in, and people do.
const LOGIN: &str = "/login";
/// The tabs of a config.
const TABS: [&str; 4] = ["edit", "history", "compare", "watchers"];

/// No script, style or connection but those of this server, and no page of another site around the console.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Files whose names have a hash of their content never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
static OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
static RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A file of the console.
pub struct ConsoleFile {
    name: &'static str,
    content: &'static [u8],
    brotli: &'static [u8],
    gzip: OnceLock<Bytes>,
    tag: OnceLock<HeaderValue>,
}

impl fmt::Debug for ConsoleFile {
    /// The name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl ConsoleFile {
    const fn new(name: &'static str, content: &'static [u8], brotli: &'static [u8]) -> ConsoleFile {
        ConsoleFile { name, content, brotli, gzip: OnceLock::new(), tag: OnceLock::new() }
    }

    /// Whether the file is the page itself, and not a part of it.
    fn is_page(&self) -> bool {
        self.name == PAGE
    }

    fn content_type(&self) -> HeaderValue {
        HeaderValue::from_static(match self.name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(_) | None => "application/octet-stream",
        })
    }

    /// Names the content. All forms of it have the same.
    fn tag(&self) -> &HeaderValue {
        self.tag.get_or_init(|| {
            let tag = format!("W/\"{}\"", &hex::encode(Sha256::digest(self.content))[..16]);
            tag.try_into().expect("hex digits are a header value")
        })
    }

    fn gzip(&self) -> Bytes {
        let packed = self.gzip.get_or_init(|| {
            let mut packer = GzEncoder::new(vec![], Compression::default());
            let packed = packer.write_all(self.content).and_then(|()| packer.finish());
            packed.expect("memory takes everything").into()
        });
        packed.clone()
    }
}

// The table FILES of all files.
include!(concat!(env!("OUT_DIR"), "/console.rs"));

static PAGE_FILE: LazyLock<&ConsoleFile> =
    LazyLock::new(|| FILES.iter().find(|file| file.is_page()).expect("the build fails without the page"));

/// What the console has at a path.
pub fn find(path: &str) -> Option<&'static ConsoleFile> {
    if let Some(name) = path.strip_prefix(ASSETS) {
        return FILES.iter().find(|file| file.name == name && !file.is_page());
    }
    is_place(path).then_some(*PAGE_FILE)
}

/// What the console has at a path that programs ask as well, for a browser that opens it as a page.
pub fn find_page<B>(request: &Request<B>) -> Option<&'static ConsoleFile> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_page = request.uri().path() == LOGIN && is_read && accepted.any(|of| of.contains("text/html"));
    is_page.then_some(*PAGE_FILE)
}

/// Whether the console has a page of this address.
fn is_place(path: &str) -> bool {
    if PLACES.contains(&path) {
        return true;
    }
    let Some(names) = path.strip_prefix("/ns/") else { return false };
    match names.trim_end_matches('/').split('/').collect::<Vec<_>>()[..] {
        [namespace] => !namespace.is_empty(),
        [namespace, config] => !namespace.is_empty() && !config.is_empty(),
        [namespace, config, tab] => !namespace.is_empty() && !config.is_empty() && TABS.contains(&tab),
        _ => false,
    }
}

/// The response with a file.
pub fn response(file: &'static ConsoleFile, headers: &HeaderMap) -> Response<ResponseBody> {
    let tag = file.tag();
    let held = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut held = held.flat_map(|value| value.split(','));
    let mut response = if held.any(|of| of.trim().as_bytes() == tag.as_bytes() || of.trim() == "*") {
        content::empty(StatusCode::NOT_MODIFIED)
    } else {
        let (encoding, content) = if takes(headers, "br") {
            (Some("br"), Bytes::from_static(file.brotli))
        } else if takes(headers, "gzip") {
            (Some("gzip"), file.gzip())
        } else {
            (None, Bytes::from_static(file.content))
        };
        let mut response = content::response(StatusCode::OK, file.content_type(), content, None);
        if let Some(encoding) = encoding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.clone());
    headers.insert(VARY, HeaderValue::from_static("accept-encoding, accept"));
    let kept = if file.is_page() { "no-cache" } else { FOR_EVER };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(&OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(&RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    add_headers(headers);
    response
}

/// Whether a client takes content in an encoding.
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        is_named && quality.is_none_or(|quality| quality > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    fn headers(of: &[(HeaderName, &'static str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn addresses_of_the_console_have_its_page_and_others_nothing() {
        for path in [
            "/",
            "/ns/shop",
            "/ns/shop/",
            "/ns/shop/rules:checkout",
            "/ns/shop/a/history",
            "/changes",
            "/login",
        ] {
            assert!(find(path).is_some_and(ConsoleFile::is_page), "{path}");
        }
        let no_places = [
            "/index.html",
            "/assets/index.html",
            "/assets/",
            "/assets/../Cargo.toml",
            "/ns",
            "/ns/",
            "/ns//a",
        ];
        for path in
            no_places.into_iter().chain(["/ns/a/b/other", "/ns/a/b/edit/more", "/v1/nothing", "/favicon.ico"])
        {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_page_names_files_that_are_there() {
        let page = std::str::from_utf8(PAGE_FILE.content).expect("text");
        let named: Vec<&str> =
            page.split("=\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(named.len() >= 3, "{page}");
        for name in named {
            assert!(find(&format!("{ASSETS}{name}")).is_some(), "{name}");
        }
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn a_file_is_sent_in_the_form_that_the_client_takes() {
        let encoding = |accepted: &'static str| {
            let response = response(*PAGE_FILE, &headers(&[(ACCEPT_ENCODING, accepted)]));
            response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(encoding("gzip, deflate, br, zstd"), Some("br".to_owned()));
        assert_eq!(encoding("gzip, br;q=0"), Some("gzip".to_owned()));
        assert_eq!(encoding("identity"), None);
        let plain = response(*PAGE_FILE, &HeaderMap::new());
        assert_eq!(plain.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[test]
    fn a_client_that_holds_a_file_is_sent_no_content() {
        let file = *PAGE_FILE;
        let tag = file.tag().to_str().expect("text");
        let held = HeaderValue::from_str(&format!("\"other\", {tag}")).expect("a header value");
        let response = response(file, &HeaderMap::from_iter([(IF_NONE_MATCH, held)]));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()[ETAG], tag);
    }

    #[test]
    fn only_files_with_a_hash_are_kept_for_ever() {
        for file in &FILES {
            let response = response(file, &HeaderMap::new());
            let is_for_ever = response.headers()[CACHE_CONTROL] == FOR_EVER;
            assert_eq!(is_for_ever, !file.is_page(), "{}", file.name);
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
            assert!(file.is_page() || file.name.contains('-'), "{} has no hash in its name", file.name);
            assert!(!file.brotli.is_empty(), "{}", file.name);
        }
    }

    #[test]
    fn a_browser_opens_the_page_where_programs_ask_how_to_log_in() {
        let ask = |method: Method, path: &str, accept: &str| {
            let request = Request::builder().method(method).uri(path).header(ACCEPT, accept).body(());
            find_page(&request.expect("a request")).is_some()
        };
        assert!(ask(Method::GET, "/login", "text/html,application/xhtml+xml,*/*;q=0.8"));
        assert!(!ask(Method::GET, "/login", "application/json"));
        assert!(!ask(Method::GET, "/login", "*/*"));
        assert!(!ask(Method::POST, "/login", "text/html"));
        assert!(!ask(Method::GET, "/v1/whoami", "text/html"));
    }
}
