//! Entity tags of documents and layers. Knows the headers that have them; no document.
//!
//! `"sha256:...-json"` is a document: its digest and the format of its text, with `-masked` if secrets are masked in it. `"v12"` is a layer: the version
//! of its last change.

use std::fmt;

use http::{HeaderMap, HeaderName};

use crate::api::error::ApiError;
use crate::api::http::errors::invalid;
use crate::proto::v1::Format;

/// The most tags that a header may have.
const TAGS_MAX: usize = 100;
const MASKED: &str = "-masked";

/// The tag of one representation, without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

/// The tags of `If-Match` or `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`
    Any,
    Some(Vec<EntityTag>),
}

impl EntityTag {
    pub fn of_document(digest: &str, format: Format, is_masked: bool) -> EntityTag {
        EntityTag(format!("{digest}{}{}", suffix(format), if is_masked { MASKED } else { "" }))
    }

    pub fn of_layer(version: u64) -> EntityTag {
        EntityTag(format!("v{version}"))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0)
    }
}

impl Tags {
    /// Reads a header. `None`: there is none. A weak tag is taken as the tag that it weakens: each names one content.
    pub fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, ApiError> {
        let wrong = || invalid(name.as_str(), "must be * or entity tags in quotes");
        let mut tags = vec![];
        for value in headers.get_all(&name) {
            let mut rest = value.to_str().map_err(|_| wrong())?.trim();
            if rest == "*" {
                return Ok(Some(Tags::Any));
            }
            while !rest.is_empty() {
                let tag = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"').ok_or_else(wrong)?;
                let (tag, after) = tag.split_once('"').ok_or_else(wrong)?;
                tags.push(EntityTag(tag.to_owned()));
                if tags.len() > TAGS_MAX {
                    return Err(invalid(name.as_str(), &format!("must have {TAGS_MAX} tags at most")));
                }
                let after = after.trim_start();
                rest = match after.strip_prefix(',') {
                    Some(after) => after.trim_start(),
                    None if after.is_empty() => after,
                    None => return Err(wrong()),
                };
            }
        }
        Ok(if tags.is_empty() { None } else { Some(Tags::Some(tags)) })
    }

    pub fn is_any(&self) -> bool {
        *self == Tags::Any
    }

    /// Whether one of the tags is this one.
    pub fn contain(&self, tag: &EntityTag) -> bool {
        match self {
            Tags::Any => true,
            Tags::Some(tags) => tags.contains(tag),
        }
    }

    /// The version of a layer that is named alone.
    pub fn layer_version(&self) -> Option<u64> {
        let Tags::Some(tags) = self else { return None };
        let [tag] = tags.as_slice() else { return None };
        tag.0.strip_prefix('v')?.parse().ok()
    }

    /// The digest of the one document that is named in this format with nothing masked in it.
    pub fn digest_in(&self, format: Format) -> Option<String> {
        let Tags::Some(tags) = self else { return None };
        let [tag] = tags.as_slice() else { return None };
        tag.0.strip_suffix(suffix(format)).map(str::to_owned)
    }
}

fn suffix(format: Format) -> &'static str {
    match format {
        Format::Unspecified | Format::Json => "-json",
        Format::Yaml => "-yaml",
        Format::Toml => "-toml",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::IF_MATCH;

    use super::*;

    fn tags(value: &'static str) -> Result<Option<Tags>, &'static str> {
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(value))]);
        Tags::of(&headers, IF_MATCH).map_err(|error| error.reason)
    }

    #[test]
    fn a_header_has_tags_or_a_star() {
        let some = |tags: &[&str]| {
            Ok(Some(Tags::Some(tags.iter().map(|tag| EntityTag((*tag).to_owned())).collect())))
        };
        assert_eq!(tags("*"), Ok(Some(Tags::Any)));
        assert_eq!(tags("\"v1\""), some(&["v1"]));
        assert_eq!(tags("W/\"a\", \"b,c\" ,\"\""), some(&["a", "b,c", ""]));
        assert_eq!(tags(""), Ok(None));
        for wrong in ["v1", "\"v1", "\"a\" \"b\"", "'a'"] {
            assert_eq!(tags(wrong), Err("INVALID_FIELD"), "{wrong}");
        }
    }

    #[test]
    fn a_tag_names_a_layer_or_a_document() {
        let read = |value| tags(value).expect("tags").expect("some");
        assert_eq!(read("\"v12\"").layer_version(), Some(12));
        assert_eq!(read("\"v12\", \"v13\"").layer_version(), None);
        assert_eq!(read("\"12\"").layer_version(), None);
        assert_eq!(read("\"sha256:ab-json\"").digest_in(Format::Json), Some("sha256:ab".into()));
        assert_eq!(read("\"sha256:ab-yaml\"").digest_in(Format::Json), None);
        assert_eq!(read("\"sha256:ab-json-masked\"").digest_in(Format::Json), None);
        assert!(read("\"sha256:ab-yaml\"").contain(&EntityTag::of_document(
            "sha256:ab",
            Format::Yaml,
            false
        )));
    }
}
