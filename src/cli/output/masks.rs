//! Secrets within documents that are printed beside being handed over. Knows documents; never a server.

use std::collections::HashMap;

use serde_json::Value;

use crate::proto::v1::Document;

/// Masks the secrets of documents. Equal values at a place have equal masks, so that a change is seen; a mask says nothing of its value.
#[derive(Debug, Default)]
pub struct Masks {
    /// A number for each value of a place, in the order in which they were seen.
    seen: HashMap<String, Vec<Value>>,
}

impl Masks {
    /// The document, which must be JSON, with a mask in the place of each secret that it has in clear text.
    pub fn masked(&mut self, document: &Document) -> Document {
        if document.revealed_pointers.is_empty() {
            return document.clone();
        }
        let mut value = serde_json::from_str(&document.content).unwrap_or(Value::Null);
        let mut hidden = document.hidden_pointers.clone();
        for pointer in &document.revealed_pointers {
            match (pointer.as_str(), &mut value) {
                // The whole document: which of its values are secret is not known.
                ("", Value::Object(members)) => {
                    members.iter_mut().for_each(|(name, value)| *value = self.mask(name, value));
                }
                (pointer, value) => {
                    if let Some(value) = value.pointer_mut(pointer) {
                        *value = self.mask(pointer, value);
                    }
                }
            }
            hidden.push(pointer.clone());
        }
        // A digest of what is masked tells a short secret to whoever tries all of them.
        let mut layers = document.layers.clone();
        layers.iter_mut().for_each(|layer| layer.digest.clear());
        Document {
            digest: String::new(),
            layers,
            content: value.to_string(),
            hidden_pointers: hidden,
            revealed_pointers: vec![],
            ..document.clone()
        }
    }

    fn mask(&mut self, place: &str, value: &Value) -> Value {
        let seen = self.seen.entry(place.to_owned()).or_default();
        let number = seen.iter().position(|known| known == value).unwrap_or_else(|| {
            seen.push(value.clone());
            seen.len() - 1
        });
        format!("***:{}", number + 1).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(content: &Value, revealed: &[&str]) -> Document {
        Document {
            content: content.to_string(),
            revealed_pointers: revealed.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_secret_is_masked_and_its_change_is_seen() {
        let mut masks = Masks::default();
        let mut masked = |password: &str| {
            let content = json!({"db": {"password": password, "user": "u"}});
            let masked = masks.masked(&document(&content, &["/db/password"]));
            assert_eq!(
                (masked.hidden_pointers, masked.revealed_pointers.len()),
                (vec!["/db/password".into()], 0)
            );
            masked.content
        };
        let (one, two) = (masked("one"), masked("two"));
        assert_eq!(one, r#"{"db":{"password":"***:1","user":"u"}}"#);
        assert_eq!(two, r#"{"db":{"password":"***:2","user":"u"}}"#);
        assert_eq!(masked("one"), one);
    }

    #[test]
    fn of_a_document_with_too_many_secrets_to_list_everything_is_masked() {
        let masked = Masks::default().masked(&document(&json!({"a": {"b": 1}, "c": 2}), &[""]));
        assert_eq!(masked.content, r#"{"a":"***:1","c":"***:1"}"#);
    }

    #[test]
    fn a_document_without_secrets_is_as_it_is() {
        let plain = document(&json!({"a": 1}), &[]);
        assert_eq!(Masks::default().masked(&plain), plain);
    }
}
