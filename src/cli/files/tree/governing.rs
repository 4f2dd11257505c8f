//! Converts a schema between its file and the config `schema:NAME`. Knows the form; not the content of schemas.

use serde_json::{Value, json};

/// What is to be stored of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    pub document: Value,
    /// Where in it the schema is.
    pub place: String,
    /// It is as it was.
    pub is_stored: bool,
}

/// What a layer becomes that is to hold this schema: what it is, if it does so already, else this version alone, of which
/// `number` is the number.
pub fn registry_of(schema: Value, stored: Option<&Value>, number: u64) -> Registry {
    if let Some(stored) = stored
        && let Some(at) = active_place(stored)
        && stored.pointer(&at) == Some(&schema)
    {
        return Registry { document: stored.clone(), place: at, is_stored: true };
    }
    Registry {
        document: json!({"active": number, "versions": [{"number": number, "schema": schema}]}),
        place: "/versions/0/schema".into(),
        is_stored: false,
    }
}

/// The schema, if the layer holds no more than that: no versions before, no steps, and nothing that is accepted.
pub fn is_plain(stored: &Value) -> Option<&Value> {
    let versions = stored.get("versions")?.as_array()?;
    let [version] = versions.as_slice() else { return None };
    let has_steps = version.get("up").is_some() || version.get("down").is_some();
    let accepts = stored.get("accept_existing") == Some(&Value::Bool(true));
    let is_active = stored.get("active") == version.get("number");
    (is_active && !has_steps && !accepts).then(|| version.get("schema"))?
}

/// Where in a layer its active schema is.
fn active_place(stored: &Value) -> Option<String> {
    let active = stored.get("active")?;
    let versions = stored.get("versions")?.as_array()?;
    let at = versions.iter().position(|version| version.get("number") == Some(active))?;
    Some(format!("/versions/{at}/schema"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_active_already_changes_nothing() {
        let stored = json!({"active": 3, "versions": [{"number": 2, "schema": {}}, {"number": 3, "schema": true, "up": []}]});
        let same = registry_of(json!(true), Some(&stored), 9);
        let place = "/versions/1/schema".to_owned();
        assert_eq!(same, Registry { document: stored.clone(), place, is_stored: true });
        let other = registry_of(json!({}), Some(&stored), 9);
        assert_eq!(other.document, json!({"active": 9, "versions": [{"number": 9, "schema": {}}]}));
        assert!(!other.is_stored);
        assert_eq!(registry_of(json!({}), None, 1).document["active"], 1);
    }

    #[test]
    fn only_a_schema_without_steps_and_versions_is_plain() {
        let registry = |schema: Value| registry_of(schema, None, 4).document;
        assert_eq!(is_plain(&registry(json!({"type": "object"}))), Some(&json!({"type": "object"})));
        let mut accepting = registry(json!({}));
        accepting["accept_existing"] = true.into();
        assert_eq!(is_plain(&accepting), None);
        let mut with_steps = registry(json!({}));
        with_steps["versions"][0]["up"] = json!([]);
        assert_eq!(is_plain(&with_steps), None);
        assert_eq!(is_plain(&json!({"active": 1})), None);
    }
}
