//! Entity tags of documents, layers and bundles. Knows the headers that have them; no document.
//!
//! `"sha256:...-json"` is a document: its digest and the format of its text, with `-masked` if secrets are masked in it. `"v12"` is a layer: the version
//! of its last change. `-gzip` at the end is the same content in gzip: other bytes have another tag. Every tag of the server is strong, and names one
//! content: where tags are compared for whether a client has that content, its coding does not matter.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::errors::invalid;
use crate::api::error::ApiError;
use crate::proto::v1::Format;

/// The most tags that a header may have.
const TAGS_MAX: usize = 100;
const MASKED: &str = "-masked";
const PACKED: &str = "-gzip";

/// The tag of one representation, without quotes, whatever its content coding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

/// The tags of `If-Match` or `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`
    Any,
    Some(Vec<HeldTag>),
}

/// A tag that a client has.
#[derive(Debug, PartialEq, Eq)]
pub struct HeldTag {
    tag: EntityTag,
    /// `W/`: somebody between has weakened it.
    is_weak: bool,
    is_packed: bool,
}

impl EntityTag {
    pub fn of_document(digest: &str, format: Format, is_masked: bool) -> EntityTag {
        EntityTag(format!("{digest}{}{}", suffix(format), if is_masked { MASKED } else { "" }))
    }

    pub fn of_layer(version: u64) -> EntityTag {
        EntityTag(format!("v{version}"))
    }

    /// Of anything that has a digest. `form` is how it is written.
    pub fn of_digest(digest: &str, form: &str) -> EntityTag {
        EntityTag(format!("{digest}-{form}"))
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0)
    }
}

/// As the server sends it: strong, whatever somebody between has made of it.
impl fmt::Display for HeldTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}{}\"", self.tag.0, if self.is_packed { PACKED } else { "" })
    }
}

/// The value of `ETag` for the same content in gzip. `None`: it is no tag.
pub fn of_packed(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = tag.to_str().ok()?.strip_suffix('"')?;
    format!("{text}{PACKED}\"").try_into().ok()
}

impl Tags {
    /// Reads a header. `None`: there is none.
    pub fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, ApiError> {
        let wrong = || invalid(name.as_str(), "must be * or entity tags in quotes");
        let mut tags = vec![];
        for value in headers.get_all(&name) {
            let mut rest = value.to_str().map_err(|_| wrong())?.trim();
            if rest == "*" {
                return Ok(Some(Tags::Any));
            }
            while !rest.is_empty() {
                let strong = rest.strip_prefix("W/");
                let is_weak = strong.is_some();
                let tag = strong.unwrap_or(rest).strip_prefix('"').ok_or_else(wrong)?;
                let (text, after) = tag.split_once('"').ok_or_else(wrong)?;
                let plain = text.strip_suffix(PACKED);
                let tag = EntityTag(plain.unwrap_or(text).to_owned());
                tags.push(HeldTag { tag, is_weak, is_packed: plain.is_some() });
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

    /// The tag of this content in the coding that the client has: for `If-None-Match`, where weak tags count as well.
    pub fn held(&self, tag: &EntityTag) -> Option<String> {
        match self {
            Tags::Any => Some(tag.to_string()),
            Tags::Some(tags) => tags.iter().find(|held| held.tag == *tag).map(HeldTag::to_string),
        }
    }

    /// Whether one of the tags is this one and strong: for `If-Match`.
    pub fn match_strongly(&self, tag: &EntityTag) -> bool {
        match self {
            Tags::Any => true,
            Tags::Some(tags) => tags.iter().any(|held| !held.is_weak && held.tag == *tag),
        }
    }

    /// Whether all of them are weak: `If-Match` then matches nothing.
    pub fn are_weak(&self) -> bool {
        matches!(self, Tags::Some(tags) if tags.iter().all(|held| held.is_weak))
    }

    /// The version that is named alone.
    pub fn version(&self) -> Option<u64> {
        self.only()?.0.strip_prefix('v')?.parse().ok()
    }

    /// The digest of the one document that is named in this format with nothing masked in it.
    pub fn digest_in(&self, format: Format) -> Option<String> {
        self.only()?.0.strip_suffix(suffix(format)).map(str::to_owned)
    }

    /// The digest of the one thing that is named in this form.
    pub fn digest_of(&self, form: &str) -> Option<String> {
        self.only()?.0.strip_suffix(form)?.strip_suffix('-').map(str::to_owned)
    }

    fn only(&self) -> Option<&EntityTag> {
        let Tags::Some(tags) = self else { return None };
        let [held] = tags.as_slice() else { return None };
        Some(&held.tag)
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
    use http::header::IF_MATCH;

    use super::*;

    fn tags(value: &'static str) -> Result<Option<Tags>, &'static str> {
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(value))]);
        Tags::of(&headers, IF_MATCH).map_err(|error| error.reason)
    }

    fn read(value: &'static str) -> Tags {
        tags(value).expect("tags").expect("some")
    }

    #[test]
    fn a_header_has_tags_or_a_star() {
        let held =
            |text: &str, is_weak, is_packed| HeldTag { tag: EntityTag(text.to_owned()), is_weak, is_packed };
        assert_eq!(tags("*"), Ok(Some(Tags::Any)));
        assert_eq!(read("\"v1\""), Tags::Some(vec![held("v1", false, false)]));
        let many = [("a", true, false), ("b,c", false, false), ("", false, false), ("v1", true, true)];
        let many = many.map(|(text, is_weak, is_packed)| held(text, is_weak, is_packed));
        assert_eq!(read("W/\"a\", \"b,c\" ,\"\",W/\"v1-gzip\""), Tags::Some(many.into()));
        assert_eq!(tags(""), Ok(None));
        for wrong in ["v1", "\"v1", "\"a\" \"b\"", "'a'"] {
            assert_eq!(tags(wrong), Err("INVALID_FIELD"), "{wrong}");
        }
    }

    #[test]
    fn a_tag_names_a_layer_or_a_document() {
        assert_eq!(read("\"v12\"").version(), Some(12));
        assert_eq!(read("\"v12-gzip\"").version(), Some(12));
        assert_eq!(read("\"v12\", \"v13\"").version(), None);
        assert_eq!(read("\"12\"").version(), None);
        assert_eq!(read("\"sha256:ab-json\"").digest_in(Format::Json), Some("sha256:ab".into()));
        assert_eq!(read("W/\"sha256:ab-json-gzip\"").digest_in(Format::Json), Some("sha256:ab".into()));
        assert_eq!(read("\"sha256:ab-yaml\"").digest_in(Format::Json), None);
        assert_eq!(read("\"sha256:ab-json-masked\"").digest_in(Format::Json), None);
        assert_eq!(read("\"sha256:ab-ndjson\"").digest_of("ndjson"), Some("sha256:ab".into()));
        assert_eq!(read("\"sha256:ab-ndjson\"").digest_of("json"), None);
    }

    #[test]
    fn what_a_client_has_is_compared_weakly_and_what_it_requires_strongly() {
        let document = EntityTag::of_document("sha256:ab", Format::Yaml, false);
        for (value, held, matches) in [
            ("*", Some("\"sha256:ab-yaml\""), true),
            ("\"sha256:ab-yaml\"", Some("\"sha256:ab-yaml\""), true),
            ("\"x\", \"sha256:ab-yaml-gzip\"", Some("\"sha256:ab-yaml-gzip\""), true),
            ("W/\"sha256:ab-yaml-gzip\"", Some("\"sha256:ab-yaml-gzip\""), false),
            ("\"sha256:ab-json\"", None, false),
        ] {
            let tags = read(value);
            assert_eq!(tags.held(&document).as_deref(), held, "{value}");
            assert_eq!(tags.match_strongly(&document), matches, "{value}");
        }
        assert!(read("W/\"a\", W/\"b\"").are_weak() && !read("W/\"a\", \"b\"").are_weak());
        let packed = of_packed(&HeaderValue::from_static("\"v1\"")).expect("a tag");
        assert_eq!(packed, "\"v1-gzip\"");
    }
}
