//! Reads the headers of a request that say how it is to be taken: deadline, types of content, idempotency key. Knows no call.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use super::errors::{invalid, not_acceptable};
use crate::api::error::ApiError;

/// How long the client waits, in milliseconds, as the Connect protocol has it.
static TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");
const TIMEOUT_DIGITS_MAX: usize = 10;

/// What the client of a stream got last.
static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The id of a write, under which a repetition gets the first outcome.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// When the client stops waiting for a response.
pub fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(&TIMEOUT_MS) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| {
        (1..=TIMEOUT_DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    let millis = digits.and_then(|digits| digits.parse().ok());
    let millis =
        millis.ok_or_else(|| invalid(TIMEOUT_MS.as_str(), "must be milliseconds, with 10 digits at most"))?;
    Ok(Some(Duration::from_millis(millis)))
}

/// The id of a write. As a string of a structured header it may be in quotes.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let refused = |why| invalid(IDEMPOTENCY_KEY.as_str(), why);
    if values.next().is_some() {
        return Err(refused("must be given once"));
    }
    let text = value.to_str().map_err(|_| refused("must be ASCII"))?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if text.is_empty() { Err(refused("must not be empty")) } else { Ok(Some(text)) }
}

/// The id of the last event that the client of a stream got. Browsers send it when they come back.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(&LAST_EVENT_ID) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| invalid(LAST_EVENT_ID.as_str(), "must be the id of an event"))
}

/// The type of the content of a request, without parameters and in lower case. `None`: the request names none. Content in
/// another character set than UTF-8 is refused.
pub fn content_type(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let wrong = || invalid("content-type", "must be a media type, in UTF-8");
    let mut parts = value.to_str().map_err(|_| wrong())?.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    for parameter in parts {
        let parameter = parameter.trim().to_ascii_lowercase();
        if let Some(set) = parameter.strip_prefix("charset=")
            && set.trim_matches('"') != "utf-8"
        {
            return Err(wrong());
        }
    }
    Ok(Some(name))
}

/// The first of the offered types that the client prefers. All that it takes with the same preference are alike, and the offered order decides.
pub fn accepted<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Result<&'a str, ApiError> {
    let mut ranges = vec![];
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().map_err(|_| invalid("accept", "must be ASCII"))?;
        ranges.extend(text.split(',').map(str::trim).filter(|range| !range.is_empty()).map(range));
    }
    if ranges.is_empty() {
        return Ok(offered[0]);
    }
    let mut best: Option<(&str, f32)> = None;
    for name in offered {
        // The most exact range decides.
        let of = ranges.iter().filter_map(|range| Some((range.exactness(name)?, range.quality)));
        let quality = of.max_by_key(|(exactness, _)| *exactness).map_or(0.0, |(_, quality)| quality);
        if quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((name, quality));
        }
    }
    best.map(|(name, _)| name).ok_or_else(|| not_acceptable(&offered.join(", ")))
}

/// A range of media types, with the preference of the client.
struct Range {
    name: String,
    quality: f32,
}

fn range(text: &str) -> Range {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok());
    Range { name, quality: quality.unwrap_or(1.0) }
}

impl Range {
    /// How exactly the range names a type. `None`: the type is not of it.
    fn exactness(&self, name: &str) -> Option<u8> {
        match self.name.as_str() {
            "*/*" => Some(0),
            exact if exact == name => Some(2),
            range => {
                let family = range.strip_suffix('*').filter(|family| family.ends_with('/'))?;
                name.starts_with(family).then_some(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_deadline_is_milliseconds() {
        let read = |value| deadline(&headers("connect-timeout-ms", value)).map_err(|error| error.reason);
        assert_eq!(read("1500"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(read("0"), Ok(Some(Duration::ZERO)));
        assert_eq!(read("9999999999"), Ok(Some(Duration::from_millis(9_999_999_999))));
        for wrong in ["", "1s", "-1", "12345678901", "1.5"] {
            assert_eq!(read(wrong), Err("INVALID_FIELD"), "{wrong}");
        }
        assert_eq!(deadline(&HeaderMap::new()).expect("none"), None);
    }

    #[test]
    fn the_type_of_content_is_read_without_its_parameters() {
        let read = |value| content_type(&headers("content-type", value)).map_err(|error| error.reason);
        assert_eq!(read("application/json"), Ok(Some("application/json".into())));
        assert_eq!(read("Application/JSON; charset=UTF-8"), Ok(Some("application/json".into())));
        assert_eq!(read("application/json;charset=\"utf-8\""), Ok(Some("application/json".into())));
        assert_eq!(read("application/json; charset=latin1"), Err("INVALID_FIELD"));
    }

    #[test]
    fn the_client_gets_what_it_prefers() {
        let offered = ["application/json", "application/yaml", "application/toml"];
        let read = |value| accepted(&headers("accept", value), &offered).map_err(|error| error.reason);
        assert_eq!(read("*/*"), Ok("application/json"));
        assert_eq!(read("text/html, application/*;q=0.5"), Ok("application/json"));
        assert_eq!(read("application/yaml"), Ok("application/yaml"));
        assert_eq!(read("application/json;q=0.1, application/toml"), Ok("application/toml"));
        assert_eq!(read("application/*, application/json;q=0"), Ok("application/yaml"));
        assert_eq!(read("text/html"), Err("NOT_ACCEPTABLE"));
        assert_eq!(accepted(&HeaderMap::new(), &offered).expect("any"), "application/json");
    }

    #[test]
    fn an_idempotency_key_may_be_in_quotes() {
        let read = |value| {
            idempotency_key(&headers("idempotency-key", value))
                .map(|key| key.map(str::to_owned))
                .map_err(|error| error.reason)
        };
        assert_eq!(read("a-1"), Ok(Some("a-1".into())));
        assert_eq!(read("\"a-1\""), Ok(Some("a-1".into())));
        assert_eq!(read(" "), Err("INVALID_FIELD"));
    }
}
