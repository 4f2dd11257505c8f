//! Content codings: which one a client takes, and which one the content of a request has. Knows the headers that name them; no content.

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue};

use super::errors::unsupported_content_encoding;
use crate::api::error::ApiError;

/// The codings of contents that the server reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// As headers name it.
pub const GZIP: &str = "gzip";

/// The coding that the client of a request prefers for the response. Large contents alone are compressed.
pub fn accepted(headers: &HeaderMap) -> Encoding {
    let (mut gzip, mut identity, mut other) = (None, None, None);
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for item in values.flat_map(|value| value.split(',')) {
        let mut parts = item.split(';');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok());
        let quality: f32 = quality.unwrap_or(1.0);
        match name.as_str() {
            GZIP | "x-gzip" => gzip = Some(quality),
            "identity" => identity = Some(quality),
            "*" => other = Some(quality),
            _ => {}
        }
    }
    let gzip = gzip.or(other).unwrap_or(0.0);
    match gzip > 0.0 && gzip >= identity.unwrap_or(0.0) {
        true => Encoding::Gzip,
        false => Encoding::Identity,
    }
}

/// The coding of the content of a request. Others than gzip are refused.
pub fn of_content(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let mut encoding = Encoding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        encoding = match (encoding, value.as_bytes().to_ascii_lowercase().as_slice()) {
            (encoding, b"identity") => encoding,
            (Encoding::Identity, b"gzip" | b"x-gzip") => Encoding::Gzip,
            // Two codings on top of each other, too.
            (_, _) => return Err(unsupported_content_encoding(GZIP)),
        };
    }
    Ok(encoding)
}

/// The value of a header that names gzip.
pub fn gzip() -> HeaderValue {
    HeaderValue::from_static(GZIP)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        HeaderMap::from_iter(values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))))
    }

    #[test]
    fn a_client_gets_gzip_if_it_prefers_that() {
        let accepted = |values: &[&'static str]| accepted(&headers(ACCEPT_ENCODING, values));
        for values in
            [&["gzip"][..], &["deflate, gzip;q=1.0, *;q=0.5"], &["br", "GZIP"], &["*"], &["identity, gzip"]]
        {
            assert_eq!(accepted(values), Encoding::Gzip, "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &["identity"],
            &["br, deflate"],
            &["gzip;q=0"],
            &["gzip; q=0, *"],
            &["gzip;q=0.5, identity;q=0.8"],
            &["gzip2"],
        ] {
            assert_eq!(accepted(values), Encoding::Identity, "{values:?}");
        }
    }

    #[test]
    fn content_is_plain_or_in_gzip() {
        let of = |values: &[&'static str]| {
            of_content(&headers(CONTENT_ENCODING, values)).map_err(|error| error.reason)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Encoding::Gzip));
        for values in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &[""]] {
            assert_eq!(of(values), Err("UNSUPPORTED_ENCODING"), "{values:?}");
        }
    }
}
