//! Finds, opens and masks the sealed values of a layer. Knows documents and keys; not the reason for which a value is secret.

use serde_json::Value;

use super::MARK;
use super::ring::{Ring, SecretPlace};
use super::sealed::SealedText;
use crate::model::{ConfigId, LayerKey, Pointer};

/// As it is in the canonical text of every layer that has a sealed value, and of hardly any other.
const IN_TEXT: &str = "{\"$secret\":\"v1:";
const MARK_IN_TEXT: &str = "\"$secret\"";
const HIDDEN_IN_TEXT: &str = "\"***:";

/// Stands for a value of which nothing is to be told.
pub const MASK: &str = "***";

/// A layer with its secrets as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    pub value: Value,
    /// Where they are, in the order of pointers. None is below another.
    pub secrets: Vec<Pointer>,
}

/// Whether a canonical text may have a sealed value. False only if it has none.
pub fn holds_sealed(text: &str) -> bool {
    is_in(text, IN_TEXT)
}

/// How many sealed values a canonical text has.
pub fn sealed_count(text: &str) -> usize {
    match holds_sealed(text) {
        true => text.matches(IN_TEXT).count(),
        false => 0,
    }
}

/// Whether a canonical text may mark a value as secret. False only if it does not.
pub fn mentions_mark(text: &str) -> bool {
    is_in(text, MARK_IN_TEXT)
}

/// Whether a canonical text may have a value that reads as the fingerprint of a hidden one. False only if it does not.
pub fn mentions_hidden(text: &str) -> bool {
    is_in_by(text, b'*', HIDDEN_IN_TEXT)
}

/// Whether a value is sealed.
pub fn is_sealed(value: &Value) -> bool {
    sealed_in(value).is_some()
}

/// Where a layer has sealed values.
pub fn sealed_pointers(mut layer: Value) -> Vec<(Pointer, String)> {
    let mut found = vec![];
    each_sealed(&mut layer, &mut vec![], &mut |place, sealed| {
        found.push((pointer_of(place), sealed.to_string()));
        None
    });
    found
}

fn is_in(text: &str, part: &str) -> bool {
    is_in_by(text, b'$', part)
}

/// Whether a text has a part with this byte. Every text that is written is searched several times, so the search must cost no more than a
/// vectorized search for one byte.
fn is_in_by(text: &str, byte: u8, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let before = memchr::memchr(byte, part).expect("the part has the byte");
    let starts = memchr::memchr_iter(byte, text).filter_map(|at| at.checked_sub(before));
    starts.map(|at| &text[at..]).any(|rest| rest.starts_with(part))
}

/// Opens every sealed value. What does not open, which is a bug or a damaged disk, stays sealed.
pub fn open(id: &ConfigId, mut layer: Value, ring: &Ring) -> Opened {
    let mut secrets = vec![];
    each_sealed(&mut layer, &mut vec![], &mut |place, sealed| {
        let pointer = pointer_of(place);
        let opened = ring.open(SecretPlace { id, pointer: &pointer }, &sealed);
        if opened.is_some() {
            secrets.push(pointer);
        }
        opened
    });
    secrets.sort();
    Opened { value: layer, secrets }
}

/// Replaces each of these values by its fingerprint as a secret of the layer that holds it. Without keys, and where no layer holds the value
/// sealed, it is replaced by a mask. Places that the document does not have are ignored.
pub fn hide<'p>(
    id: &ConfigId,
    document: &mut Value,
    secrets: impl IntoIterator<Item = (&'p Pointer, Option<&'p LayerKey>)>,
    ring: Option<&Ring>,
) {
    for (pointer, layer) in secrets {
        if let Some(value) = document.pointer_mut(&pointer.to_string()) {
            let fingerprint =
                |(ring, layer): (&Ring, _)| ring.hidden(SecretPlace { id, pointer }, layer, value);
            *value = Value::String(ring.zip(layer).map_or_else(|| MASK.to_owned(), fingerprint));
        }
    }
}

/// Puts something else in the place of each of these values.
pub fn mask<'p>(document: &mut Value, secrets: impl IntoIterator<Item = &'p Pointer>, masked: &Value) {
    for pointer in secrets {
        if let Some(value) = document.pointer_mut(&pointer.to_string()) {
            value.clone_from(masked);
        }
    }
}

/// Removes what a merge patch replaces as a whole: secrets, and what the patch marks as secret. Neither is an object to merge with.
pub fn make_way(document: &mut Value, patch: &Value) {
    let (Value::Object(members), Value::Object(changes)) = (document, patch) else { return };
    for (name, change) in changes {
        let Value::Object(marked) = change else { continue };
        let Some(member) = members.get_mut(name) else { continue };
        match is_sealed(member) || marked.contains_key(MARK) {
            true => _ = members.remove(name),
            false => make_way(member, change),
        }
    }
}

/// What a layer has of sealed values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub sealed: u64,
    /// By another key than the newest.
    pub behind: u64,
    /// That do not open.
    pub broken: u64,
}

impl Census {
    /// Adds the sealed values of a layer. Each is opened, to be sure.
    pub fn count(&mut self, id: &ConfigId, mut layer: Value, ring: &Ring) {
        each_sealed(&mut layer, &mut vec![], &mut |place, sealed| {
            self.sealed += 1;
            self.behind += u64::from(sealed.key() != ring.newest());
            let opened = ring.open(SecretPlace { id, pointer: &pointer_of(place) }, &sealed);
            self.broken += u64::from(opened.is_none());
            None
        });
    }
}

/// The text in an object that is a sealed value.
pub(super) fn sealed_in(value: &Value) -> Option<SealedText> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    SealedText::parse(members.get(MARK)?.as_str()?)
}

/// Calls `replace` for each sealed value, and puts what it gives in its place.
pub(super) fn each_sealed<'a>(
    value: &'a mut Value,
    place: &mut Vec<PathStep<'a>>,
    replace: &mut dyn FnMut(&[PathStep<'_>], SealedText) -> Option<Value>,
) {
    if let Some(sealed) = sealed_in(value) {
        if let Some(replaced) = replace(place, sealed) {
            *value = replaced;
        }
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                place.push(PathStep::Member(name));
                each_sealed(member, place, replace);
                place.pop();
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                place.push(PathStep::Element(at));
                each_sealed(item, place, replace);
                place.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A step on the way to a value.
#[derive(Clone, Copy)]
pub(super) enum PathStep<'a> {
    Member(&'a str),
    Element(usize),
}

pub(super) fn pointer_of(place: &[PathStep<'_>]) -> Pointer {
    let text = |token: &PathStep<'_>| match token {
        PathStep::Member(name) => (*name).to_owned(),
        PathStep::Element(at) => at.to_string(),
    };
    place.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Content;
    use crate::secret::example::{base, id, pointer, ring, sealed};

    #[test]
    fn a_layer_opens_with_all_its_secrets_and_can_be_hidden_again() {
        let (ring, id) = (ring(&[1]), id("payments/checkout"));
        let layer = json!({
            "a": sealed(&ring, &id, "/a", &json!("hunter2")),
            "list": [1, {"x/y": sealed(&ring, &id, "/list/1/x~1y", &json!({"deep": [true]}))}],
            "plain": "text"
        });
        let mut census = Census::default();
        census.count(&id, layer.clone(), &ring);
        census.count(&id, json!({"b": layer["a"]}), &super::super::example::ring(&[1, 2]));
        assert_eq!(census, Census { sealed: 3, behind: 1, broken: 1 });
        let opened = open(&id, layer.clone(), &ring);
        assert_eq!(
            opened.value,
            json!({"a": "hunter2", "list": [1, {"x/y": {"deep": [true]}}], "plain": "text"})
        );
        assert_eq!(opened.secrets, [pointer("/a"), pointer("/list/1/x~1y")]);
        let mut hidden = opened.value;
        let layer = base("/");
        hide(&id, &mut hidden, opened.secrets.iter().map(|at| (at, Some(&layer))), Some(&ring));
        assert_eq!(hidden["plain"], "text");
        for text in [&hidden["a"], &hidden["list"][1]["x/y"]] {
            assert!(text.as_str().is_some_and(|text| text.starts_with("***:")), "{text}");
        }
    }

    #[test]
    fn a_patch_replaces_what_it_marks_and_merges_the_rest() {
        let check = |mut document: Value, patch: Value, expected: Value| {
            make_way(&mut document, &patch);
            assert_eq!(document, expected, "{patch}");
        };
        let document = json!({"db": {"user": "u", "port": 1}, "a": 1});
        check(document.clone(), json!({"db": {"$secret": {"user": "v"}}}), json!({"a": 1}));
        check(
            document.clone(),
            json!({"db": {"user": {"$secret": "v"}}, "a": 2}),
            json!({"db": {"port": 1}, "a": 1}),
        );
        check(document.clone(), json!({"db": {"user": "v"}, "c": {"d": 1}}), document);
        let (ring, id) = (ring(&[1]), id("payments/checkout"));
        let sealed = sealed(&ring, &id, "/db", &json!({"user": "u"}));
        check(json!({"db": sealed, "a": 1}), json!({"db": {"user": "v"}}), json!({"a": 1}));
        check(json!({"db": sealed}), json!({"db": {}}), json!({}));
        check(json!({"db": sealed}), json!({"db": null, "c": {}}), json!({"db": sealed}));
    }

    #[test]
    fn what_does_not_open_stays_sealed() {
        let (ring, id) = (ring(&[1]), id("payments/checkout"));
        let layer = json!({"b": sealed(&ring, &id, "/a", &json!("hunter2"))});
        assert_eq!(open(&id, layer.clone(), &ring), Opened { value: layer, secrets: vec![] });
    }

    #[test]
    fn the_text_of_a_layer_tells_whether_there_is_anything_to_open() {
        let (ring, id) = (ring(&[1]), id("payments/checkout"));
        let check = |layer: Value, sealed, marked| {
            let content = Content::of(&layer);
            assert_eq!(
                (holds_sealed(content.as_str()), mentions_mark(content.as_str())),
                (sealed, marked),
                "{layer}"
            );
        };
        check(json!({"a": "$", "b": "$secrets"}), false, false);
        check(json!({"a": "costs $5, {\"$secret\":\"v1:"}), false, false);
        check(json!({"a": {"$secret": "x"}}), false, true);
        check(json!({"a": sealed(&ring, &id, "/a", &json!(1))}), true, true);
    }
}
